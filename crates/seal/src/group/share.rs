//! What a member gives another over a pairwise session: its sender key, the group's secret.

use std::fmt;

use godwit_base::GroupId;
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

use super::entry::group_id;
use super::error::ShareError;
use super::secret::GroupSecret;
use super::sender::{SESSION_KEY_BYTES, SenderKey};
use super::state::{Group, Place};
use crate::format;
use crate::list::Peer;
use crate::suite::{prefix, strip};

/// Most bytes of a share: suite, group, epoch, head, session key, secret and framing.
const SHARE_BYTES_MAX: usize = 1 + 18 + 11 + 34 + (SESSION_KEY_BYTES + 3) + 34 + 6;

/// A share that was read and not yet believed. It is wiped when dropped and cannot be printed.
pub struct GroupShare {
    group: GroupId,
    epoch: u64,
    head: [u8; 32],
    session_key: Zeroizing<Vec<u8>>,
    secret: Option<GroupSecret>,
}

impl GroupShare {
    /// The share of a sender key, and of the group's secret if it is given.
    pub fn of_key(
        key: &SenderKey,
        place: &Place,
        secret: Option<&GroupSecret>,
    ) -> Zeroizing<Vec<u8>> {
        encode(place, Some(key), secret)
    }

    /// The share of the group's secret alone.
    pub fn of_secret(secret: &GroupSecret, place: &Place) -> Zeroizing<Vec<u8>> {
        encode(place, None, Some(secret))
    }

    /// Reads a share.
    ///
    /// # Errors
    /// [`ShareError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ShareError> {
        if bytes.len() > SHARE_BYTES_MAX {
            return Err(ShareError::Malformed);
        }
        let blob = strip(bytes).map_err(|_| ShareError::Malformed)?;
        let mut share = format::GroupShare::decode(blob).map_err(|_| ShareError::Malformed)?;
        let session_key = Zeroizing::new(std::mem::take(&mut share.session_key));
        let secret = Zeroizing::new(std::mem::take(&mut share.secret));
        let is_empty = session_key.is_empty() && secret.is_empty();
        let fits = !is_empty
            && [0, SESSION_KEY_BYTES].contains(&session_key.len())
            && (secret.is_empty() == (share.generation == 0));
        let secret = match secret.len() {
            0 => None,
            _ => Some(GroupSecret::from_bytes(share.generation, array(&secret)?)),
        };
        let group = group_id(&share.group).filter(|_| fits).ok_or(ShareError::Malformed)?;
        let head = *array(&share.head)?;
        Ok(Self { group, epoch: share.epoch, head, session_key, secret })
    }

    /// The group.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The epoch in which it was given.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a sender key is in it.
    pub fn has_key(&self) -> bool {
        !self.session_key.is_empty()
    }

    /// The group's secret, if it is in it; from a share that [`GroupShare::check`] passed.
    pub fn secret(&self) -> Option<&GroupSecret> {
        self.secret.as_ref()
    }

    /// The group's secret itself.
    pub fn into_secret(self) -> Option<GroupSecret> {
        self.secret
    }

    /// Whether the device `from`, whose pairwise message it was, may give it, and sees the same log
    /// as we do.
    ///
    /// # Errors
    /// A [`ShareError`]; [`ShareError::Fork`] and [`ShareError::Ahead`] are worth telling apart.
    pub fn check(&self, from: &Peer, group: &Group) -> Result<(), ShareError> {
        if self.group != group.id() {
            return Err(ShareError::WrongGroup);
        }
        if self.epoch > group.epoch() {
            return Err(ShareError::Ahead(self.epoch));
        }
        let place = group.place_at(self.epoch).ok_or(ShareError::TooOld)?;
        if place.head != self.head {
            return Err(ShareError::Fork(self.epoch));
        }
        if group.was_member(from.account.id(), self.epoch) {
            Ok(())
        } else {
            Err(ShareError::NotAMember)
        }
    }

    pub(super) fn session_key(&self) -> &[u8] {
        &self.session_key
    }
}

impl fmt::Debug for GroupShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupShare(secrets of {} at epoch {})", self.group, self.epoch)
    }
}

fn encode(
    place: &Place,
    key: Option<&SenderKey>,
    secret: Option<&GroupSecret>,
) -> Zeroizing<Vec<u8>> {
    let mut share = format::GroupShare {
        group: place.group.0.to_vec(),
        epoch: place.epoch,
        head: place.head.to_vec(),
        session_key: key.map(|key| key.session_key().to_vec()).unwrap_or_default(),
        secret: secret.map(|secret| secret.to_bytes().to_vec()).unwrap_or_default(),
        generation: secret.map_or(0, GroupSecret::generation),
    };
    let blob = Zeroizing::new(prefix(&share));
    share.session_key.zeroize();
    share.secret.zeroize();
    blob
}

fn array(bytes: &[u8]) -> Result<&[u8; 32], ShareError> {
    bytes.try_into().map_err(|_| ShareError::Malformed)
}
