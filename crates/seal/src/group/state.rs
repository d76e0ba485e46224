//! The state of a group after the entries that were verified.

use std::collections::BTreeMap;

use godwit_base::{AccountId, DeviceId, GroupId};
use serde::{Deserialize, Serialize};

use super::entry::{Change, InviteOffer, SealedProfile};
use crate::account::AccountPublic;

/// Epochs whose places are remembered: messages sealed before a change may come after it. A server
/// takes nothing for an older epoch, so that only what was on its way counts. 64 x 40 B = 2.5 KB.
pub const PAST_EPOCHS_MAX: usize = 64;

/// Where a message is said: a group as it was after one entry. Only a [`Group`] gives one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub(crate) group: GroupId,
    pub(crate) epoch: u64,
    pub(crate) head: [u8; 32],
}

/// The first 3 bytes of a group's id: enough to tell one's own groups apart, most of the time, and
/// short enough that a short text stays short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHint(pub [u8; 3]);

impl GroupHint {
    /// The hint of a group.
    pub const fn of(group: GroupId) -> Self {
        let [a, b, c, ..] = group.0;
        Self([a, b, c])
    }
}

impl Place {
    pub(crate) const fn hint(&self) -> GroupHint {
        GroupHint::of(self.group)
    }

    /// The group.
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Its epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// A member as the log names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    #[serde(rename = "k")]
    pub(super) key: AccountPublic,
    #[serde(rename = "s")]
    pub(super) since: u64,
    /// Order of joining, which decides who follows the last admin.
    #[serde(rename = "o")]
    pub(super) ordinal: u64,
    #[serde(rename = "a")]
    pub(super) is_admin: bool,
    /// Highest version of its device list that an entry of its own carried.
    #[serde(rename = "v")]
    pub(super) list_version: u64,
}

impl Member {
    /// The account key: pinned by whoever added the member.
    pub fn key(&self) -> &AccountPublic {
        &self.key
    }

    /// Whether it may change the group.
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// The epoch in which it joined.
    pub fn since(&self) -> u64 {
        self.since
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) epoch: u64,
    pub(super) head: [u8; 32],
}

/// Somebody who left not long ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) account: AccountId,
    pub(super) since: u64,
    /// The first epoch without the account.
    pub(super) until: u64,
}

/// A group, verified from its first entry on. A plain value: store [`Group::to_row`] in the same
/// commit as what an entry caused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub(super) id: GroupId,
    pub(super) epoch: u64,
    pub(super) head: [u8; 32],
    pub(super) members: BTreeMap<AccountId, Member>,
    pub(super) next_ordinal: u64,
    pub(super) only_admins_write: bool,
    pub(super) profile: Option<SealedProfile>,
    pub(super) invite: Option<InviteOffer>,
    pub(super) community: Option<GroupId>,
    /// The epoch from which the present generation of the secret is used.
    pub(super) secret_epoch: u64,
    /// The last epoch in which somebody left or was removed, 0 if nobody ever was.
    pub(super) departure_epoch: u64,
    pub(super) past: Vec<Past>,
    pub(super) gone: Vec<Gone>,
}

/// What an entry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The epoch that it began.
    pub epoch: u64,
    /// Who made it.
    pub author: DeviceId,
    /// When, by the author's clock, unix milliseconds.
    pub made_at_ms: u64,
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// Who became admin because no other was left.
    pub successor: Option<AccountId>,
}

impl Group {
    /// The id.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The epoch: how many entries there were.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where a message is said now.
    pub fn place(&self) -> Place {
        Place { group: self.id, epoch: self.epoch, head: self.head }
    }

    /// Where a message of this epoch was said; `None` for one not reached, or long gone.
    pub fn place_at(&self, epoch: u64) -> Option<Place> {
        if epoch == self.epoch {
            return Some(self.place());
        }
        let past = self.past.iter().find(|past| past.epoch == epoch)?;
        Some(Place { group: self.id, epoch, head: past.head })
    }

    /// The members, by account.
    pub fn members(&self) -> impl Iterator<Item = (AccountId, &Member)> {
        self.members.iter().map(|(account, member)| (*account, member))
    }

    /// How many members there are, at most
    /// [`GROUP_MEMBERS_MAX`](godwit_base::limits::GROUP_MEMBERS_MAX).
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// A member.
    pub fn member(&self, account: AccountId) -> Option<&Member> {
        self.members.get(&account)
    }

    /// Whether an account is a member who may change the group.
    pub fn is_admin(&self, account: AccountId) -> bool {
        self.member(account).is_some_and(Member::is_admin)
    }

    /// Whether an account was a member in an epoch that is remembered.
    pub fn was_member(&self, account: AccountId, epoch: u64) -> bool {
        let is_in = self.member(account).is_some_and(|member| member.since <= epoch);
        is_in
            || self
                .gone
                .iter()
                .any(|gone| gone.account == account && gone.since <= epoch && epoch < gone.until)
    }

    /// Who was a member in an epoch that is remembered.
    pub fn members_at(&self, epoch: u64) -> impl Iterator<Item = AccountId> {
        let here = self.members.iter().filter(move |(_, member)| member.since <= epoch);
        let was_here = move |gone: &&Gone| gone.since <= epoch && epoch < gone.until;
        let gone = self.gone.iter().filter(was_here).map(|gone| gone.account);
        here.map(|(account, _)| *account).chain(gone)
    }

    /// Whether what an account says in the group is to be shown.
    pub fn may_write(&self, account: AccountId) -> bool {
        self.member(account).is_some_and(|member| member.is_admin || !self.only_admins_write)
    }

    /// Whether only admins write.
    pub fn only_admins_write(&self) -> bool {
        self.only_admins_write
    }

    /// Name and picture, sealed under the group's secret.
    pub fn profile(&self) -> Option<&SealedProfile> {
        self.profile.as_ref()
    }

    /// The link by which people may join.
    pub fn invite(&self) -> Option<&InviteOffer> {
        self.invite.as_ref()
    }

    /// The announcement group above this one.
    pub fn community(&self) -> Option<GroupId> {
        self.community
    }

    /// The generation of the secret that the present name is sealed under, 0 before the first name.
    pub fn secret_generation(&self) -> u32 {
        self.profile.as_ref().map_or(0, |profile| profile.generation)
    }

    /// Somebody who left knows the present secret: the next name needs a new one.
    pub fn wants_new_secret(&self) -> bool {
        self.secret_generation() == 0 || self.departure_epoch > self.secret_epoch
    }

    /// The last epoch in which somebody left or was removed; sender keys from before it are not used
    /// any more.
    pub fn departure_epoch(&self) -> u64 {
        self.departure_epoch
    }

    /// Whether everybody has left.
    pub fn is_closed(&self) -> bool {
        self.members.is_empty()
    }
}
