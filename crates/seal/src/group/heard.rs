//! The receiving half of a sender key: bound to the device that gave it, the group and the epoch.

use std::fmt;

use godwit_base::limits::BODY_BYTES_MAX;
use godwit_base::{DeviceId, GroupId};
use prost::Message;
use vodozemac::megolm::{DecryptionError, InboundGroupSession, MegolmMessage, SessionKey};
use zeroize::Zeroizing;

use super::error::ShareError;
use super::sender::{CONFIG, SESSION_KEY_BYTES, SenderKeyId};
use super::share::GroupShare;
use super::state::{Group, Place};
use crate::error::OpenError;
use crate::format;
use crate::inner::{Inner, decode_bound, group_binding};
use crate::list::Peer;
use crate::suite::strip;

/// How far back a message may come after a later one: a mailbox keeps a sender's order, but for what
/// was refused and sent again within its window of 128. Keys further back are gone.
pub const SENDER_KEY_WINDOW: u32 = 128;

/// No message of a higher number is taken: ten times what a sender uses, so that the number may grow
/// without breaking those who have this one.
pub const SENDER_KEY_INDEX_MAX: u32 = 1_000;

/// First byte of a Megolm message under configuration 2.
const MESSAGE_VERSION: u8 = 4;

/// What opens the messages of one sender key. A plain value: store [`HeardKey::to_row`] in the same
/// commit as what was opened. It cannot be printed.
pub struct HeardKey {
    pub(super) from: Peer,
    pub(super) group: GroupId,
    pub(super) epoch: u64,
    pub(super) id: SenderKeyId,
    pub(super) session: InboundGroupSession,
    /// One more than the highest number opened.
    pub(super) next: u32,
    /// Bit n: number `next - 1 - n` was opened.
    pub(super) opened: u128,
}

impl HeardKey {
    /// Takes the sender key in a share that came from the device `from` over a pairwise session, and
    /// from nowhere else.
    ///
    /// # Errors
    /// A [`ShareError`].
    pub fn accept(share: &GroupShare, from: &Peer, group: &Group) -> Result<Self, ShareError> {
        share.check(from, group)?;
        let bytes = share.session_key();
        if bytes.len() != SESSION_KEY_BYTES {
            return Err(ShareError::NoKey);
        }
        let id = SenderKeyId::of_session_key(bytes).ok_or(ShareError::Malformed)?;
        let key = SessionKey::from_bytes(bytes).map_err(|_| ShareError::Malformed)?;
        let session = InboundGroupSession::new(&key, CONFIG);
        let next = session.first_known_index();
        if next >= SENDER_KEY_INDEX_MAX {
            return Err(ShareError::Malformed);
        }
        let (group, epoch) = (share.group(), share.epoch());
        Ok(Self { from: from.clone(), group, epoch, id, session, next, opened: 0 })
    }

    /// The name of the key.
    pub fn id(&self) -> SenderKeyId {
        self.id
    }

    /// Whose key it is.
    pub fn from(&self) -> DeviceId {
        self.from.id()
    }

    /// The group it is for.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The epoch in which it was given.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Opens a message of the device `from`, said at `place`, with the counter of its envelope.
    ///
    /// Works on a copy: after an error nothing changed. Keys more than [`SENDER_KEY_WINDOW`] behind
    /// the newest message are wiped, and each message opens once.
    ///
    /// # Errors
    /// An [`OpenError`]; [`OpenError::wants_retry`] says whether to ask for the message again.
    pub fn open(
        &mut self,
        from: &Peer,
        place: &Place,
        counter: u64,
        bytes: &[u8],
    ) -> Result<Inner, OpenError> {
        if *from != self.from {
            return Err(OpenError::PeerChanged);
        }
        if place.group != self.group || place.epoch < self.epoch {
            return Err(OpenError::WrongIdentity);
        }
        let message = parse(bytes, self.id)?;
        let index = message.message_index();
        self.check_index(index)?;
        let mut copy = self.copy();
        let opened = copy.decrypt(&message).map_err(|error| decryption_error(&error))?;
        let text = Zeroizing::new(opened.plaintext);
        let binding = group_binding(from, place);
        let inner = decode_bound(&text, &binding, counter)?;
        self.session = copy;
        self.mark(index);
        Ok(inner)
    }

    fn check_index(&self, index: u32) -> Result<(), OpenError> {
        if index >= SENDER_KEY_INDEX_MAX {
            return Err(OpenError::GapTooBig);
        }
        match self.next.checked_sub(index.saturating_add(1)) {
            Some(behind) if behind >= SENDER_KEY_WINDOW => Err(OpenError::KeyGone),
            Some(behind) if self.opened >> behind & 1 == 1 => Err(OpenError::Replayed),
            _ => Ok(()),
        }
    }

    fn mark(&mut self, index: u32) {
        let end = index.saturating_add(1);
        if let Some(ahead) = end.checked_sub(self.next).filter(|ahead| *ahead > 0) {
            self.opened = self.opened.checked_shl(ahead).unwrap_or(0);
            self.next = end;
        }
        let behind = self.next.saturating_sub(end);
        self.opened |= 1_u128.checked_shl(behind).unwrap_or(0);
        self.session.advance_to(self.next.saturating_sub(SENDER_KEY_WINDOW));
    }

    fn copy(&self) -> InboundGroupSession {
        #[allow(clippy::disallowed_methods, reason = "the one copy, and one of the two is dropped")]
        let pickle = self.session.pickle();
        InboundGroupSession::from_pickle(pickle)
    }
}

impl fmt::Debug for HeardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeardKey(of {} in {} from epoch {})", self.from.id(), self.group, self.epoch)
    }
}

/// Parses a message; configuration 1 is refused here, before any key is touched.
fn parse(bytes: &[u8], id: SenderKeyId) -> Result<MegolmMessage, OpenError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(OpenError::Malformed);
    }
    let blob = strip(bytes)
        .map_err(|suite| suite.map_or(OpenError::Malformed, OpenError::UnknownSuite))?;
    let message = format::GroupMessage::decode(blob).map_err(|_| OpenError::Malformed)?;
    if message.key != id.0 {
        return Err(OpenError::NoSession);
    }
    if message.message.first() != Some(&MESSAGE_VERSION) {
        return Err(OpenError::Malformed);
    }
    let parsed = MegolmMessage::from_bytes(&message.message).map_err(|_| OpenError::Malformed)?;
    // The library verifies what it would write itself: only those very bytes are taken.
    if parsed.to_bytes() == message.message { Ok(parsed) } else { Err(OpenError::Malformed) }
}

fn decryption_error(error: &DecryptionError) -> OpenError {
    match error {
        DecryptionError::Signature(_) | DecryptionError::InvalidMAC(_) => OpenError::Forged,
        DecryptionError::InvalidMACLength(..) | DecryptionError::InvalidPadding(_) => {
            OpenError::Malformed
        }
        DecryptionError::UnknownMessageIndex(..) => OpenError::KeyGone,
    }
}
