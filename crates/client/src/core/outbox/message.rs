//! One message of the outbox: to whom, of what kind, and how far it has come.

use godwit_base::{AccountId, GroupId, Handle};
use godwit_seal::AccountPublic;
use godwit_wire::v1;
use serde::{Deserialize, Serialize};

use crate::ChatId;
use crate::core::vault::Blob;

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// To whoever has the handle when the message is sealed.
    Handle(Handle),
    /// To this account and no other.
    Account(AccountId),
    /// To the members of this group; a [`Kind::Share`] to those of [`Outgoing::accounts`].
    Group(GroupId),
}

/// What kind of message it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A message of the history.
    Shown,
    /// Something about a message, or something for our own devices.
    About,
    /// A read receipt.
    Read,
    /// What a member gives another of a group.
    Share,
    /// A request to send anew; travels unsealed.
    Retry,
    /// A message once more, with the counters of its failed attempts.
    Resend { of: u64, repeats: Vec<u64> },
    /// What another account, or our own other devices, are told without a trace in the history: a
    /// profile, settings.
    Quiet,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    /// What is sealed, or for a retry request sent as it is.
    pub(crate) body: Blob,
    pub(crate) sent_at_ms: u64,
    /// The copies as they are submitted, always the same bytes: first for the one it is to, then for
    /// our own other devices. Empty before the message is sealed and after it was accepted.
    pub(crate) sealed: Vec<SealedFor>,
    /// How often it was sealed because devices had changed.
    pub(crate) rounds: u32,
    /// After the server accepted it: for whom it was sealed.
    pub(crate) accepted: Option<Accepted>,
    pub(crate) resends: u32,
    /// When it disappears here: it is not sent anew after that.
    #[serde(default)]
    pub(crate) expires_at_ms: Option<u64>,
    /// Once more to one account what was said in this group.
    #[serde(default)]
    pub(crate) within: Option<GroupId>,
    /// Of a sender key that is given to several members: to whom.
    #[serde(default)]
    pub(crate) accounts: Vec<AccountId>,
    /// For which state of the group it was sealed.
    #[serde(default)]
    pub(crate) post: Option<Posted>,
    /// It is shown under this counter: it had to let others pass, and goes under a later one.
    #[serde(default)]
    pub(crate) shown_as: Option<u64>,
}

/// How a message to a group was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Posted {
    pub(crate) epoch: u64,
    /// Of the roster that the sender key went to; 0 if each device has a copy of its own.
    pub(crate) devices_version: u64,
    /// Sealed with the sender key; empty if each device has a copy, and after it was accepted.
    pub(crate) body: Blob,
    /// How many other members there were.
    pub(crate) of: u32,
}

/// The copies for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedFor {
    pub(crate) account_key: AccountPublic,
    pub(crate) list_version: u64,
    pub(crate) copies: Vec<Copy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copy {
    pub(crate) device: u32,
    /// A `CopyKind` of the wire.
    pub(crate) kind: i32,
    pub(crate) body: Blob,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// In the order in which it was sealed.
    pub(crate) by: Vec<AcceptedBy>,
    /// When all of them had it, each on its first device.
    pub(crate) delivered_at_ms: Option<u64>,
}

/// An account and those of its devices for which a message was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AcceptedBy {
    pub(crate) account_key: AccountPublic,
    pub(crate) devices: Vec<u32>,
}

impl Target {
    pub(crate) fn of(with: &ChatId) -> Self {
        match with {
            ChatId::Contact(handle) => Self::Handle(handle.clone()),
            ChatId::Group(id) => Self::Group(*id),
        }
    }
}

impl Kind {
    /// Whether our own other devices get a copy.
    pub(crate) const fn is_copied(&self) -> bool {
        matches!(self, Self::Shown | Self::About | Self::Read)
    }
}

impl Outgoing {
    pub(crate) fn new(target: Target, kind: Kind, body: Vec<u8>, sent_at_ms: u64) -> Self {
        Self {
            target,
            kind,
            body: Blob(body),
            sent_at_ms,
            sealed: Vec::new(),
            rounds: 0,
            accepted: None,
            resends: 0,
            expires_at_ms: None,
            within: None,
            accounts: Vec::new(),
            post: None,
            shown_as: None,
        }
    }

    /// Whether the bytes that go out are made.
    pub(crate) fn is_sealed(&self) -> bool {
        !self.sealed.is_empty() || self.post.is_some()
    }

    /// What the server is told of the group.
    pub(crate) fn group_post(&self) -> Option<v1::GroupPost> {
        let (Target::Group(id), Some(post)) = (&self.target, &self.post) else { return None };
        Some(v1::GroupPost {
            group: id.0.to_vec().into(),
            epoch: post.epoch,
            devices_version: post.devices_version,
            body: post.body.0.clone().into(),
        })
    }

    /// Whether it is sealed in copies of which none is for an account.
    pub(crate) fn is_without(&self, account: AccountId) -> bool {
        !self.sealed.is_empty()
            && !self
                .sealed
                .iter()
                .any(|sealed| sealed.account_key.id() == account && !sealed.copies.is_empty())
    }

    /// The group in which it is said, if it is said in one.
    pub(crate) fn group(&self) -> Option<GroupId> {
        match &self.target {
            Target::Group(id) if self.kind != Kind::Share => Some(*id),
            Target::Group(_) | Target::Handle(_) => None,
            Target::Account(_) => self.within,
        }
    }
}
