//! The sending half of a sender key: one device's Megolm session for a group.

use std::fmt;

use godwit_base::GroupId;
use vodozemac::megolm::{GroupSession, SessionConfig};
use zeroize::Zeroizing;

use super::state::{Group, Place};
use crate::device::DeviceKeys;
use crate::error::SealError;
use crate::format;
use crate::inner::{Inner, encode_bound, group_binding};
use crate::suite::{prefix, strip};

/// Messages under one sender key, then a new one is due: whoever steals one reads no more than these.
pub const SENDER_KEY_MESSAGES_MAX: u32 = 100;

/// Age at which a new sender key is due, 7 days.
pub const SENDER_KEY_AGE_MAX_MS: u64 = 7 * 24 * 3600 * 1000;

/// Full 32-byte tags. The library's default is configuration 1, with 8-byte tags.
pub(super) const CONFIG: SessionConfig = SessionConfig::version_2();

/// Bytes of a session key: version, index (4), ratchet (128), public key (32), signature (64).
pub(super) const SESSION_KEY_BYTES: usize = 1 + 4 + 128 + 32 + 64;

/// Names a sender key of a device: the first 8 bytes of its public key. Two of one device are never
/// alike by chance, and a message under a like-named one does not verify.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderKeyId(pub [u8; 8]);

impl fmt::Debug for SenderKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SenderKeyId({:016x})", u64::from_be_bytes(self.0))
    }
}

impl SenderKeyId {
    /// Which key a message of a group was sealed under; `None` if it is no such message.
    pub fn of_message(bytes: &[u8]) -> Option<Self> {
        let blob = strip(bytes).ok()?;
        let message = <format::GroupMessage as prost::Message>::decode(blob).ok()?;
        message.key.as_slice().try_into().ok().map(Self)
    }

    /// Which key a session key belongs to.
    pub(super) fn of_session_key(bytes: &[u8]) -> Option<Self> {
        bytes.get(133..141)?.try_into().ok().map(Self)
    }
}

/// This device's key for what it says in a group. A plain value: store [`SenderKey::to_row`] in the
/// same commit as what was sealed, and before any bytes leave. It cannot be printed.
pub struct SenderKey {
    pub(super) group: GroupId,
    pub(super) epoch: u64,
    pub(super) made_at_ms: u64,
    pub(super) session: GroupSession,
}

impl SenderKey {
    /// A new key. Give it to the members' devices, [`GroupShare::of_key`](super::GroupShare::of_key), before anything
    /// is sealed under it.
    pub fn create(place: &Place, now_ms: u64) -> Self {
        let session = GroupSession::new(CONFIG);
        Self { group: place.group, epoch: place.epoch, made_at_ms: now_ms, session }
    }

    /// The name of the key.
    pub fn id(&self) -> SenderKeyId {
        SenderKeyId::of_session_key(&self.session_key()).unwrap_or(SenderKeyId([0; 8]))
    }

    /// The group it is for.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Whether a new key is due before the next message: somebody left since it was made, or it has
    /// carried [`SENDER_KEY_MESSAGES_MAX`] messages, or is [`SENDER_KEY_AGE_MAX_MS`] old. That a
    /// device which has it was removed from its account, only the caller can know.
    pub fn is_due(&self, group: &Group, now_ms: u64) -> bool {
        group.id() != self.group
            || group.departure_epoch() > self.epoch
            || self.session.message_index() >= SENDER_KEY_MESSAGES_MAX
            // Either way: a clock that was once ahead must not keep a key alive for long.
            || now_ms.abs_diff(self.made_at_ms) >= SENDER_KEY_AGE_MAX_MS
    }

    /// How many messages were sealed under it.
    pub fn message_count(&self) -> u32 {
        self.session.message_index()
    }

    /// Seals a message for all who have the key. The new state must be durable before the bytes
    /// leave, and a second try sends the same bytes.
    ///
    /// # Errors
    /// [`SealError::NeedsSession`] for another group, an epoch before the key's, or a key that has
    /// carried all it may; [`SealError::BodyTooLarge`]. Nothing changed then.
    pub fn seal(
        &mut self,
        me: &DeviceKeys,
        place: &Place,
        inner: &Inner,
    ) -> Result<Vec<u8>, SealError> {
        let is_spent = self.session.message_index() >= SENDER_KEY_MESSAGES_MAX;
        if place.group != self.group || place.epoch < self.epoch || is_spent {
            return Err(SealError::NeedsSession);
        }
        let text = encode_bound(inner, &group_binding(&me.as_peer(), place), None, None)?;
        let key = self.id().0.to_vec();
        let message = self.session.encrypt(text.as_slice()).to_bytes();
        Ok(prefix(&format::GroupMessage { key, message }))
    }

    /// The session key from the next message on: who gets it can read nothing earlier.
    pub(super) fn session_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.session.session_key().to_bytes())
    }
}

impl fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SenderKey(secret of {} from epoch {})", self.group, self.epoch)
    }
}
