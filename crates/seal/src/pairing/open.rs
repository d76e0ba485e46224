//! Opening: find the session, try a copy, check who and what, and only then keep the new state.

use godwit_base::limits::BODY_BYTES_MAX;
use vodozemac::olm::{Message, OlmMessage, PreKeyMessage};

use super::ratchet::{Arrived, Ratchet, session_id};
use super::{FALLBACK_SESSIONS_MAX, FallbackSession, Opened, Pairing, SessionId};
use crate::device::DeviceKeys;
use crate::error::OpenError;
use crate::group::{GroupHint, Place};
use crate::inner::{self, Places, Route};
use crate::list::Peer;
use crate::suite::strip;

/// A sealed message as the server delivered it: what is outside the encryption is claims.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The message id's counter.
    pub counter: u64,
    /// Whether it says that it opens a session.
    pub opening: bool,
    /// [`Sealed::bytes`](super::Sealed::bytes).
    pub bytes: &'a [u8],
}

/// What must be so inside the encryption: the counter of the envelope, and one of our places.
#[derive(Clone, Copy)]
struct Claims<'a> {
    counter: u64,
    places: Places<'a>,
}

impl Pairing {
    /// Opens a message from the peer device `from`, which a verified device list names.
    ///
    /// Works on a copy: after an error neither the pairing nor `me` changed. After success store
    /// both rows (`me` if [`Opened::new_session`]), the text and its message id in one commit, then
    /// acknowledge.
    ///
    /// # Errors
    /// An [`OpenError`]; [`OpenError::wants_retry`] says whether to ask for the message again.
    pub fn open(
        &mut self,
        me: &mut DeviceKeys,
        from: &Peer,
        envelope: Envelope<'_>,
        now_ms: u64,
    ) -> Result<Opened, OpenError> {
        self.open_among(me, from, envelope, &|_, _| Vec::new(), now_ms)
    }

    /// As [`Pairing::open`], for a device that is in groups: `places` gives those of its groups with
    /// this hint, as they were at this epoch, of which the sender was a member then. See
    /// [`Opened::place`].
    ///
    /// # Errors
    /// As [`Pairing::open`]; [`OpenError::UnknownPlace`] if there are none, and
    /// [`OpenError::WrongIdentity`] also if it was said elsewhere, or by somebody who sees another
    /// log of the group.
    pub fn open_among(
        &mut self,
        me: &mut DeviceKeys,
        from: &Peer,
        envelope: Envelope<'_>,
        places: &dyn Fn(GroupHint, u64) -> Vec<Place>,
        now_ms: u64,
    ) -> Result<Opened, OpenError> {
        if *from != self.peer {
            return Err(OpenError::PeerChanged);
        }
        if envelope.bytes.len() > BODY_BYTES_MAX {
            return Err(OpenError::Malformed);
        }
        let blob = strip(envelope.bytes)
            .map_err(|suite| suite.map_or(OpenError::Malformed, OpenError::UnknownSuite))?;
        let claims = Claims { counter: envelope.counter, places };
        let opened = match Arrived::parse(envelope.opening, blob)? {
            Arrived::Opening(message) => self.open_opening(me, claims, message, now_ms),
            Arrived::Settled(message) => self.open_settled(me, claims, message, now_ms),
        }?;
        self.tidy(now_ms);
        Ok(opened)
    }

    fn open_opening(
        &mut self,
        me: &mut DeviceKeys,
        claims: Claims<'_>,
        message: PreKeyMessage,
        now_ms: u64,
    ) -> Result<Opened, OpenError> {
        let keys = message.session_keys();
        let id = session_id(&keys);
        if let Some(at) = self.sessions.iter().position(|session| session.id == id) {
            return self.open_at(at, me, true, claims, &OlmMessage::PreKey(message), now_ms);
        }
        let key = keys.one_time_key.to_bytes();
        let fallback = me.fallback_id(&key);
        self.check_fallback_replay(id, fallback)?;

        let myself = me.as_peer();
        let route = Route::new(&self.peer, &myself);
        let (ratchet, (inner, place)) =
            Ratchet::inbound(me.olm_mut(), &self.peer, &message, |text| {
                inner::decode(text, route, true, claims.counter, claims.places)
            })?;
        me.forget_one_time(&key);
        self.add(ratchet, false, now_ms);
        self.fallback_sessions.retain(|seen| me.fallback_lives(seen.key));
        self.fallback_sessions.extend(fallback.map(|key| FallbackSession { session: id, key }));
        Ok(Opened { inner, session: id, place, new_session: true })
    }

    /// A fallback key stays, so that the library would open a message under it again and again.
    fn check_fallback_replay(&self, id: SessionId, fallback: Option<u64>) -> Result<(), OpenError> {
        let Some(fallback) = fallback else { return Ok(()) };
        if self.fallback_sessions.iter().any(|seen| seen.session == id) {
            return Err(OpenError::Replayed);
        }
        let same_key = self.fallback_sessions.iter().filter(|seen| seen.key == fallback);
        if same_key.count() >= FALLBACK_SESSIONS_MAX {
            return Err(OpenError::TooManySessions);
        }
        Ok(())
    }

    /// A settled message does not name its session: the newest that opens it is the one.
    fn open_settled(
        &mut self,
        me: &DeviceKeys,
        claims: Claims<'_>,
        message: Message,
        now_ms: u64,
    ) -> Result<Opened, OpenError> {
        let message = OlmMessage::Normal(message);
        let mut order: Vec<usize> = (0..self.sessions.len()).collect();
        order.sort_by_key(|at| {
            std::cmp::Reverse(self.sessions.get(*at).map(|session| session.touched))
        });
        let mut failure = OpenError::NoSession;
        for at in order {
            match self.open_at(at, me, false, claims, &message, now_ms) {
                // The tag is wrong under this session: it is another's message, or nobody's.
                Err(OpenError::Forged) => {}
                // Another session may still open it; if none does, this says more than "none".
                Err(error @ (OpenError::KeyGone | OpenError::GapTooBig | OpenError::UnsafeKey)) => {
                    failure = error;
                }
                decided => return decided,
            }
        }
        Err(failure)
    }

    fn open_at(
        &mut self,
        at: usize,
        me: &DeviceKeys,
        opening: bool,
        claims: Claims<'_>,
        message: &OlmMessage,
        now_ms: u64,
    ) -> Result<Opened, OpenError> {
        let ordinal = self.ordinal.saturating_add(1);
        let session = self.sessions.get_mut(at).ok_or(OpenError::NoSession)?;
        let (moved, text) = session.ratchet.open(message)?;
        let myself = me.as_peer();
        let route = Route::new(&self.peer, &myself);
        let (inner, place) = inner::decode(&text, route, opening, claims.counter, claims.places)?;

        session.ratchet = moved;
        session.opened = ordinal;
        session.touched = ordinal;
        session.used_at_ms = now_ms;
        session.burst.restart();
        let id = session.id;
        self.ordinal = ordinal;
        Ok(Opened { inner, session: id, place, new_session: false })
    }
}
