//! A pairing: all sessions with one device of a peer.
//!
//! Usually there is one. There are more when both ends start at once, when a burst outgrows a
//! session, or after a repair. Each message goes out on the session that last *opened* something,
//! since that one the peer surely has; the others only receive until they are wiped.

mod burst;
mod open;
mod ratchet;
mod row;

use godwit_base::limits::{EXPIRY_DAYS, MAILBOX_RECORDS_MAX};
use godwit_base::{AccountId, DeviceId};
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::device::DeviceKeys;
use crate::error::SealError;
use crate::group::Place;
use crate::inner::{Inner, Route, encode};
use crate::list::Peer;
use crate::retry::REPAIR_INTERVAL_MS;
use crate::suite::SUITE;
use crate::verified::Verified;

pub use burst::BURST_MAX;
use burst::Burst;
pub use open::Envelope;
use ratchet::Ratchet;

/// Most sessions kept of those that one end started; a new one makes the longest unused give way.
/// A mailbox holds what 10 sessions of [`BURST_MAX`] carry, and its reader may answer on the oldest
/// of them: those 10, the one being read, and the one being begun. 12 x 1.8 KB of row after such a
/// burst; usually there is one.
///
/// Both ends use the sessions of one starter in the same order, since messages keep theirs, so both
/// let go of the same one.
pub const SESSIONS_MAX: usize = 12;

const _: () = assert!(SESSIONS_MAX >= MAILBOX_RECORDS_MAX / BURST_MAX as usize + 2);

/// After this time without use a session is wiped, 30 days: no message for it can still wait in a
/// mailbox. The session that sends stays.
pub const SESSION_KEEP_MS: u64 = EXPIRY_DAYS * 24 * 3600 * 1000;

/// Sessions that one peer device may open under one of our fallback keys in that key's life. Each
/// is remembered with 40 bytes, 20 KB for the two keys that live, so that none is opened twice.
pub const FALLBACK_SESSIONS_MAX: usize = 256;

/// Name of a session, the same at both ends: a hash of the three public keys it grew from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 32]);

/// All sessions with one peer device. A plain value: store [`Pairing::to_row`] in the same commit
/// as what was sealed or opened, and before any bytes leave.
pub struct Pairing {
    peer: Peer,
    sessions: Vec<Session>,
    /// Counts every use, so that sessions have an order that no clock can disturb.
    ordinal: u64,
    fallback_sessions: Vec<FallbackSession>,
    repaired_at_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Session {
    id: SessionId,
    ratchet: Ratchet,
    /// Started here, not by the peer. Rows from before this was known say no.
    #[serde(default)]
    ours: bool,
    /// Ordinal of the last message opened, 0 before the first.
    opened: u64,
    /// Ordinal of the last use: start, sealing or opening.
    touched: u64,
    used_at_ms: u64,
    receive_only: bool,
    first_counter: Option<u64>,
    burst: Burst,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct FallbackSession {
    session: SessionId,
    key: u64,
}

/// A sealed message as it travels: `opening` goes beside it in the clear (the kind of the copy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// It opens a session: the peer has answered none of this session's messages yet.
    pub opening: bool,
    /// Suite byte and ciphertext.
    pub bytes: Vec<u8>,
}

/// An opened message.
#[derive(Debug)]
pub struct Opened {
    /// What the sender said.
    pub inner: Inner,
    /// The session it came on.
    pub session: SessionId,
    /// The group and epoch in which it was said, if in one.
    pub place: Option<Place>,
    /// The session was new: [`DeviceKeys`] changed too and must be stored in the same commit.
    pub new_session: bool,
}

impl Pairing {
    /// No sessions yet with this device.
    pub fn new(peer: &Peer) -> Self {
        Self {
            peer: peer.clone(),
            sessions: Vec::new(),
            ordinal: 0,
            fallback_sessions: Vec::new(),
            repaired_at_ms: None,
        }
    }

    /// The peer device.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The peer device's address.
    pub fn id(&self) -> DeviceId {
        self.peer.id()
    }

    /// The account that the peer device belongs to.
    pub fn account(&self) -> AccountId {
        self.peer.account.id()
    }

    /// Whether [`Pairing::seal`] has a session to send on. If not, fetch the peer's bundle and
    /// [`Pairing::start`].
    pub fn is_ready(&self) -> bool {
        self.sending().is_some()
    }

    /// How many sessions there are, at most [`SESSIONS_MAX`] that we started and as many of the peer.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The session that the next message goes out on.
    pub fn sending_session(&self) -> Option<SessionId> {
        self.sending().map(|session| session.id)
    }

    /// Opens a session by the peer's keys. The peer need not be online.
    ///
    /// # Errors
    /// [`SealError::PeerChanged`] if the bundle is another device's, [`SealError::UnsafeKey`].
    pub fn start(
        &mut self,
        me: &DeviceKeys,
        bundle: &Verified<Bundle>,
        now_ms: u64,
    ) -> Result<(), SealError> {
        if bundle.peer != self.peer {
            return Err(SealError::PeerChanged);
        }
        let ratchet = Ratchet::outbound(me, bundle)?;
        self.tidy(now_ms);
        self.add(ratchet, true, now_ms);
        Ok(())
    }

    /// Seals a message for the peer. The new state must be durable before the bytes leave, and a
    /// second try sends the same bytes.
    ///
    /// # Errors
    /// [`SealError::NeedsSession`] if there is no session, or each has [`BURST_MAX`] messages
    /// unacknowledged; [`SealError::BodyTooLarge`]. Nothing changed then.
    pub fn seal(&mut self, me: &DeviceKeys, inner: &Inner) -> Result<Sealed, SealError> {
        self.seal_at(me, inner, None)
    }

    /// As [`Pairing::seal`], for a message that is said in a group: it opens in no other group and no
    /// other epoch.
    ///
    /// # Errors
    /// As [`Pairing::seal`].
    pub fn seal_in(
        &mut self,
        me: &DeviceKeys,
        place: &Place,
        inner: &Inner,
    ) -> Result<Sealed, SealError> {
        self.seal_at(me, inner, Some(*place))
    }

    fn seal_at(
        &mut self,
        me: &DeviceKeys,
        inner: &Inner,
        place: Option<Place>,
    ) -> Result<Sealed, SealError> {
        let recipient = self.peer.clone();
        let ordinal = self.ordinal.saturating_add(1);
        let session = self.sending_mut().ok_or(SealError::NeedsSession)?;
        let opening = session.ratchet.is_opening();
        let route = Route { sender: &me.as_peer(), recipient: &recipient, place };
        let text = encode(inner, route, opening)?;
        let mut bytes = vec![SUITE];
        session.ratchet.seal(&text, &mut bytes)?;
        session.burst.add(inner.counter);
        session.first_counter.get_or_insert(inner.counter);
        session.touched = ordinal;
        self.ordinal = ordinal;
        Ok(Sealed { opening, bytes })
    }

    /// The peer device has everything that we sealed for it up to this counter (the server's word;
    /// a server that lies here only breaks the session, which is then repaired).
    pub fn delivered(&mut self, up_to: u64) {
        self.sessions.iter_mut().for_each(|session| session.burst.delivered(up_to));
    }

    /// Wipes sessions that were not used for [`SESSION_KEEP_MS`], but the sending one. Returns
    /// whether the row changed.
    pub fn tidy(&mut self, now_ms: u64) -> bool {
        let sending = self.sending_session();
        let before = self.sessions.len();
        self.sessions.retain(|session| {
            Some(session.id) == sending
                || now_ms.saturating_sub(session.used_at_ms) < SESSION_KEEP_MS
        });
        self.sessions.len() != before
    }

    /// Whether the message with this counter went out on an earlier session than the next one will.
    pub(crate) fn sends_on_newer_session_than(&self, counter: u64) -> bool {
        self.sending()
            .is_some_and(|session| session.first_counter.is_none_or(|first| first > counter))
    }

    pub(crate) fn may_repair(&self, now_ms: u64) -> bool {
        // The difference either way: a clock that was once ahead must not forbid repair for long.
        self.repaired_at_ms.is_none_or(|last| now_ms.abs_diff(last) >= REPAIR_INTERVAL_MS)
    }

    pub(crate) fn send_on_newest_only(&mut self, now_ms: u64) {
        let newest = self.sessions.iter().map(|session| session.touched).max();
        for session in &mut self.sessions {
            session.receive_only = Some(session.touched) != newest;
        }
        self.repaired_at_ms = Some(now_ms);
    }

    /// The session that last opened something; of those that opened nothing yet, the last used.
    fn sending(&self) -> Option<&Session> {
        self.sessions.iter().filter(|session| session.may_send()).max_by_key(|s| s.preference())
    }

    fn sending_mut(&mut self) -> Option<&mut Session> {
        self.sessions.iter_mut().filter(|session| session.may_send()).max_by_key(|s| s.preference())
    }

    /// Adds a session, started here (`ours`) or by a message of the peer that opened it, and makes
    /// room for it among its own.
    fn add(&mut self, ratchet: Ratchet, ours: bool, now_ms: u64) {
        let alike = |session: &&Session| session.ours == ours;
        while self.sessions.iter().filter(alike).count() >= SESSIONS_MAX {
            let oldest = self.sessions.iter().filter(alike).map(|session| session.touched).min();
            self.sessions.retain(|session| Some(session.touched) != oldest);
        }
        self.ordinal = self.ordinal.saturating_add(1);
        self.sessions.push(Session {
            id: ratchet.id(),
            ratchet,
            ours,
            opened: if ours { 0 } else { self.ordinal },
            touched: self.ordinal,
            used_at_ms: now_ms,
            receive_only: false,
            first_counter: None,
            burst: Burst::default(),
        });
    }
}

impl Session {
    fn may_send(&self) -> bool {
        !self.receive_only && !self.burst.is_full()
    }

    fn preference(&self) -> (u64, u64) {
        (self.opened, self.touched)
    }
}

impl std::fmt::Debug for Pairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pairing({} sessions with {})", self.sessions.len(), self.id())
    }
}
