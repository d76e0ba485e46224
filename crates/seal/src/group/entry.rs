//! An entry as bytes: made, signed, and read in its one encoding.

use godwit_base::limits::{GROUP_ENTRY_BYTES_MAX, GROUP_MEMBERS_MAX};
use godwit_base::{AccountId, DeviceNumber, GroupId};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::error::GroupError;
use super::secret::SEALED_PROFILE_BYTES_MAX;
use crate::account::{AccountPublic, verifies};
use crate::device::DeviceKeys;
use crate::format;
use crate::format::change::Change as Wire;
use crate::list::DeviceList;
use crate::suite::{Domain, prefix, strip};

/// Most changes of one entry: all members of a new group, and a name, a link, a setting.
const CHANGES_MAX: usize = GROUP_MEMBERS_MAX + 16;

/// Most bytes of a sealed secret in a link: 32, and what sealing adds.
const SEALED_SECRET_BYTES: usize = 32 + crate::ROW_OVERHEAD_BYTES;

pub(super) const NONCE_BYTES: usize = 16;

/// One change of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new member, with the account key that the author has pinned for it.
    Add(AccountPublic),
    /// A member goes; the author itself: it leaves.
    Remove(AccountId),
    /// A member becomes admin.
    Promote(AccountId),
    /// An admin becomes an ordinary member.
    Demote(AccountId),
    /// Whether only admins write.
    OnlyAdminsWrite(bool),
    /// Name and picture.
    Profile(SealedProfile),
    /// The link by which people join; `None` takes it back.
    Invite(Option<InviteOffer>),
    /// The announcement group above this one.
    Community(Option<GroupId>),
    /// The author joins by the link; the proof that it has the link.
    Join([u8; 64]),
}

/// Name and picture as the log holds them: see [`GroupSecret::seal_profile`](super::GroupSecret::seal_profile).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedProfile {
    /// Of the secret; one more after somebody left.
    pub generation: u32,
    /// Sealed under that secret.
    pub sealed: Vec<u8>,
}

/// A link as the log holds it: see [`InviteSecret::offer`](super::InviteSecret::offer).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteOffer {
    pub(super) key: [u8; 32],
    pub(super) generation: u32,
    pub(super) door: [u8; 32],
    pub(super) sealed: Vec<u8>,
}

impl InviteOffer {
    /// The hash of [`InviteSecret::token`](super::InviteSecret::token), by which the server knows who has the link.
    pub fn door(&self) -> &[u8; 32] {
        &self.door
    }

    /// The generation of the group's secret that the link opens.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

/// Who makes an entry.
pub(super) struct Author {
    pub(super) account: AccountPublic,
    pub(super) number: DeviceNumber,
    pub(super) list_version: u64,
}

/// An entry whose signature was verified; whether it may stand is for the group to say.
pub(super) struct Entry {
    pub(super) group: Option<GroupId>,
    pub(super) epoch: u64,
    pub(super) previous: Vec<u8>,
    pub(super) made_at_ms: u64,
    pub(super) author: Author,
    pub(super) changes: Vec<Change>,
    /// The id that it gives a group, if it is the first.
    pub(super) own_id: GroupId,
    pub(super) hash: [u8; 32],
}

/// Where an entry goes.
pub(super) struct Header {
    pub(super) group: Option<GroupId>,
    pub(super) epoch: u64,
    pub(super) previous: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    pub(super) made_at_ms: u64,
}

/// The signed bytes of an entry.
pub(super) fn sign(
    header: Header,
    me: &DeviceKeys,
    list: &DeviceList,
    changes: &[Change],
) -> Vec<u8> {
    let content = format::Entry {
        group: header.group.map(|id| id.0.to_vec()).unwrap_or_default(),
        epoch: header.epoch,
        previous: header.previous,
        author_list: list.signed().to_vec(),
        author_device: me.id().number.0,
        made_at_ms: header.made_at_ms,
        nonce: header.nonce,
        changes: changes.iter().map(to_format).collect(),
    }
    .encode_to_vec();
    let signature = me.sign(&Domain::GroupEntry.bytes(&[&content])).to_vec();
    prefix(&format::SignedEntry { content, signature })
}

/// Parses an entry and checks who signed it.
pub(super) fn read(bytes: &[u8]) -> Result<Entry, GroupError> {
    if bytes.len() > GROUP_ENTRY_BYTES_MAX {
        return Err(GroupError::Malformed);
    }
    let blob = strip(bytes)
        .map_err(|suite| suite.map_or(GroupError::Malformed, GroupError::UnknownSuite))?;
    let signed = format::SignedEntry::decode(blob).map_err(|_| GroupError::Malformed)?;
    let content = format::Entry::decode(&*signed.content).map_err(|_| GroupError::Malformed)?;
    check_shape(&content)?;
    let (author, signing_key) = author(&content)?;
    if !verifies(&signing_key, &Domain::GroupEntry.bytes(&[&signed.content]), &signed.signature) {
        return Err(GroupError::BadSignature);
    }
    // After the signature, so that only a member can make us say "update the program".
    let changes = changes(&content)?;
    if content.encode_to_vec() != signed.content {
        return Err(GroupError::Newer);
    }
    Ok(Entry {
        group: group_id(&content.group),
        epoch: content.epoch,
        made_at_ms: content.made_at_ms,
        author,
        changes,
        own_id: own_id(&signed.content),
        hash: Domain::GroupEntryContent.hash(&[&signed.content]),
        previous: content.previous,
    })
}

/// The first entry has a nonce and names neither group nor predecessor; every other is the reverse.
fn check_shape(content: &format::Entry) -> Result<(), GroupError> {
    let lengths = (content.group.len(), content.previous.len(), content.nonce.len());
    let expected = match content.epoch {
        0 => return Err(GroupError::Malformed),
        1 => (0, 0, NONCE_BYTES),
        _ => (16, 32, 0),
    };
    if lengths == expected && content.changes.len() <= CHANGES_MAX {
        Ok(())
    } else {
        Err(GroupError::Malformed)
    }
}

/// The author and the key that must have signed. The list's age is no matter: it was young when the
/// entry was made, and members who join later must be able to verify it too.
fn author(content: &format::Entry) -> Result<(Author, [u8; 32]), GroupError> {
    let (list, _) = DeviceList::read(&content.author_list, None).map_err(GroupError::AuthorList)?;
    let number = DeviceNumber(content.author_device);
    let device = list.entries().iter().find(|device| device.number == number);
    let signing_key = device.ok_or(GroupError::UnknownDevice)?.signing_key;
    let author = Author { account: *list.account_key(), number, list_version: list.version() };
    Ok((author, signing_key))
}

fn changes(content: &format::Entry) -> Result<Vec<Change>, GroupError> {
    content.changes.iter().map(from_format).collect()
}

fn from_format(change: &format::Change) -> Result<Change, GroupError> {
    Ok(match change.change.as_ref().ok_or(GroupError::Newer)? {
        Wire::Add(key) => Change::Add(AccountPublic(array(key)?)),
        Wire::Remove(account) => Change::Remove(AccountId(*account)),
        Wire::Promote(account) => Change::Promote(AccountId(*account)),
        Wire::Demote(account) => Change::Demote(AccountId(*account)),
        Wire::OnlyAdminsWrite(only) => Change::OnlyAdminsWrite(*only),
        Wire::Profile(profile) => {
            if profile.sealed.len() > SEALED_PROFILE_BYTES_MAX {
                return Err(GroupError::BadProfile);
            }
            let sealed = profile.sealed.clone();
            Change::Profile(SealedProfile { generation: profile.generation, sealed })
        }
        Wire::Invite(invite) => Change::Invite(offer(invite)?),
        Wire::Community(group) if group.is_empty() => Change::Community(None),
        Wire::Community(group) => {
            Change::Community(Some(group_id(group).ok_or(GroupError::Malformed)?))
        }
        Wire::Join(proof) => Change::Join(array(proof)?),
    })
}

fn offer(invite: &format::Invite) -> Result<Option<InviteOffer>, GroupError> {
    if *invite == format::Invite::default() {
        return Ok(None);
    }
    if invite.sealed.len() != SEALED_SECRET_BYTES {
        return Err(GroupError::Malformed);
    }
    let (key, door, sealed) = (array(&invite.key)?, array(&invite.door)?, invite.sealed.clone());
    Ok(Some(InviteOffer { key, generation: invite.generation, door, sealed }))
}

fn to_format(change: &Change) -> format::Change {
    let change = match change {
        Change::Add(key) => Wire::Add(key.0.to_vec()),
        Change::Remove(account) => Wire::Remove(account.0),
        Change::Promote(account) => Wire::Promote(account.0),
        Change::Demote(account) => Wire::Demote(account.0),
        Change::OnlyAdminsWrite(only) => Wire::OnlyAdminsWrite(*only),
        Change::Profile(profile) => Wire::Profile(format::Profile {
            generation: profile.generation,
            sealed: profile.sealed.clone(),
        }),
        Change::Invite(offer) => {
            Wire::Invite(offer.as_ref().map_or_else(format::Invite::default, |offer| {
                format::Invite {
                    key: offer.key.to_vec(),
                    generation: offer.generation,
                    door: offer.door.to_vec(),
                    sealed: offer.sealed.clone(),
                }
            }))
        }
        Change::Community(group) => {
            Wire::Community(group.map(|id| id.0.to_vec()).unwrap_or_default())
        }
        Change::Join(proof) => Wire::Join(proof.to_vec()),
    };
    format::Change { change: Some(change) }
}

/// The id of the group whose first entry this is.
fn own_id(content: &[u8]) -> GroupId {
    let hash = Domain::Group.hash(&[content]);
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    GroupId(id)
}

pub(super) fn group_id(bytes: &[u8]) -> Option<GroupId> {
    bytes.try_into().ok().map(GroupId)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], GroupError> {
    bytes.try_into().map_err(|_| GroupError::Malformed)
}
