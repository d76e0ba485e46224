//! Where two links meet that know the same rendezvous: a device that is to be linked, a stranger to
//! this server, and the device that links it. Each leaves sealed messages for the other. In memory
//! only: after a restart both begin again, and nothing was promised.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use godwit_wire::{RELAY_MESSAGES_MAX, RENDEZVOUS_BYTES};
use tokio::sync::Notify;

use crate::handover::{LeftRecord, RendezvousRecord};

/// How long a rendezvous lasts: a person reads a code off one screen and types it into another.
pub(crate) const RENDEZVOUS_NS: u64 = 10 * 60 * 1_000_000_000;

/// Rendezvous at once: at a minute each, four thousand linkings a minute. A place is under 500 B.
pub(crate) const RENDEZVOUS_MAX: usize = 4_096;

/// Bytes in all of them: 2,700 of the largest messages, or 10,000 whole linkings of 3 KB.
pub(crate) const RELAY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// When to try again with all places taken: some are given back every second.
pub(crate) const RELAY_BUSY_MS: u32 = 5_000;

const MESSAGES: usize = RELAY_MESSAGES_MAX as usize;

/// The id that both sides know.
pub(crate) type Rendezvous = [u8; RENDEZVOUS_BYTES];

/// Who speaks at a rendezvous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    New,
    Present,
}

/// Why a message was not left or not heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotRelayed {
    /// All places are taken, or all bytes.
    Busy,
    /// Another message lies there.
    Taken,
    /// Its time was over while somebody waited.
    Expired,
    /// Whoever wants to open it may not; in so many milliseconds.
    RateLimited(u32),
}

/// All rendezvous of this server.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    by_id: HashMap<Rendezvous, Place>,
    bytes: usize,
}

#[derive(Debug)]
struct Place {
    until_ns: u64,
    /// What each side left; `Bytes` of their own, so that no frame is kept for them.
    left: [[Option<Bytes>; MESSAGES]; 2],
    changed: Arc<Notify>,
}

impl Relay {
    /// Leaves message `sequence` of `side`, from 1. `may_open` is asked if nobody was here before.
    /// The same message again changes nothing.
    ///
    /// # Errors
    /// [`NotRelayed`]; nothing was left.
    pub(crate) fn leave(
        &self,
        id: Rendezvous,
        (side, sequence): (Side, u32),
        body: &[u8],
        now_ns: u64,
        may_open: impl FnOnce() -> Result<(), u32>,
    ) -> Result<(), NotRelayed> {
        let mut places = self.lock();
        let bytes_left = RELAY_BYTES_MAX.saturating_sub(places.bytes);
        let place = places.open(id, now_ns, may_open)?;
        let Some(slot) = place.slot(side, sequence) else { return Err(NotRelayed::Taken) };
        match slot {
            Some(present) if present == body => return Ok(()),
            Some(_) => return Err(NotRelayed::Taken),
            None if body.len() > bytes_left => return Err(NotRelayed::Busy),
            None => *slot = Some(Bytes::copy_from_slice(body)),
        }
        place.changed.notify_waiters();
        places.bytes += body.len();
        Ok(())
    }

    /// The other side's message `sequence`, as soon as it is there. `may_open` as in
    /// [`Relay::leave`].
    ///
    /// # Errors
    /// [`NotRelayed`].
    ///
    /// # Cancel safety
    /// Nothing is taken away by asking.
    pub(crate) async fn hear(
        &self,
        id: Rendezvous,
        (side, sequence): (Side, u32),
        now_ns: u64,
        may_open: impl FnOnce() -> Result<(), u32>,
    ) -> Result<Bytes, NotRelayed> {
        self.lock().open(id, now_ns, may_open)?;
        loop {
            let changed = {
                let mut places = self.lock();
                let place = places.by_id.get_mut(&id).ok_or(NotRelayed::Expired)?;
                if let Some(Some(body)) = place.slot(side.other(), sequence) {
                    return Ok(body.clone());
                }
                // Made under the lock: no change after this look goes unnoticed.
                Arc::clone(&place.changed).notified_owned()
            };
            changed.await;
        }
    }

    /// Closes what has lasted long enough; who waits there is told.
    pub(crate) fn expire(&self, now_ns: u64) {
        let mut places = self.lock();
        let mut freed = 0;
        places.by_id.retain(|_, place| {
            let stays = now_ns < place.until_ns;
            if !stays {
                freed += place.bytes();
                place.changed.notify_waiters();
            }
            stays
        });
        places.bytes = places.bytes.saturating_sub(freed);
        if places.by_id.is_empty() {
            places.by_id.shrink_to_fit();
        }
    }

    /// All rendezvous, for another process. Whoever waits at one asks again there.
    pub(crate) fn pack(&self) -> Vec<RendezvousRecord> {
        let places = self.lock();
        places.by_id.iter().map(|(id, place)| place.pack(id)).collect()
    }

    /// Opens again what was written down; what cannot be is passed over.
    pub(crate) fn unpack(&self, rows: &[RendezvousRecord]) {
        let mut places = self.lock();
        for row in rows.iter().take(RENDEZVOUS_MAX) {
            let Ok(id) = Rendezvous::try_from(row.id.as_slice()) else { continue };
            let place = Place::unpack(row);
            places.bytes += place.bytes();
            places.by_id.insert(id, place);
        }
    }

    // Nothing under this lock runs foreign code that could leave it half changed.
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn open(
        &mut self,
        id: Rendezvous,
        now_ns: u64,
        may_open: impl FnOnce() -> Result<(), u32>,
    ) -> Result<&mut Place, NotRelayed> {
        let is_full = self.by_id.len() >= RENDEZVOUS_MAX;
        match self.by_id.entry(id) {
            std::collections::hash_map::Entry::Occupied(place) => Ok(place.into_mut()),
            std::collections::hash_map::Entry::Vacant(_) if is_full => Err(NotRelayed::Busy),
            std::collections::hash_map::Entry::Vacant(free) => {
                may_open().map_err(NotRelayed::RateLimited)?;
                Ok(free.insert(Place {
                    until_ns: now_ns.saturating_add(RENDEZVOUS_NS),
                    left: Default::default(),
                    changed: Arc::default(),
                }))
            }
        }
    }
}

impl Place {
    fn slot(&mut self, side: Side, sequence: u32) -> Option<&mut Option<Bytes>> {
        let [new, present] = &mut self.left;
        let of_side = match side {
            Side::New => new,
            Side::Present => present,
        };
        let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
        of_side.get_mut(index)
    }

    fn pack(&self, id: &Rendezvous) -> RendezvousRecord {
        let [new, present] = &self.left;
        let sides = [(false, new), (true, present)];
        let left = sides.into_iter().flat_map(|(of_present, messages)| {
            (1..).zip(messages).filter_map(move |(sequence, body)| {
                let body = body.as_ref()?.to_vec();
                Some(LeftRecord { of_present, sequence, body })
            })
        });
        RendezvousRecord { id: id.to_vec(), until_ns: self.until_ns, left: left.collect() }
    }

    fn unpack(row: &RendezvousRecord) -> Self {
        let (left, changed) = (Default::default(), Arc::default());
        let mut place = Self { until_ns: row.until_ns, left, changed };
        for left in &row.left {
            let side = if left.of_present { Side::Present } else { Side::New };
            if let Some(slot) = place.slot(side, left.sequence) {
                *slot = Some(Bytes::copy_from_slice(&left.body));
            }
        }
        place
    }

    fn bytes(&self) -> usize {
        self.left.iter().flatten().flatten().map(Bytes::len).sum()
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::New => Self::Present,
            Self::Present => Self::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const ID: Rendezvous = [7; RENDEZVOUS_BYTES];
    const SECOND_NS: u64 = 1_000_000_000;

    fn leave(
        relay: &Relay,
        id: Rendezvous,
        at: (Side, u32),
        body: &[u8],
    ) -> Result<(), NotRelayed> {
        relay.leave(id, at, body, 0, || Ok(()))
    }

    /// What is there now, if something is.
    fn heard(relay: &Relay, at: (Side, u32)) -> Option<Result<Bytes, NotRelayed>> {
        let hears = pin!(relay.hear(ID, at, 0, || Ok(())));
        match hears.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(heard) => Some(heard),
            Poll::Pending => None,
        }
    }

    fn numbered(number: usize) -> Rendezvous {
        let mut id = [0; RENDEZVOUS_BYTES];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn each_side_hears_the_other_and_never_itself() {
        let relay = Relay::default();
        assert_eq!(leave(&relay, ID, (Side::New, 1), b"new"), Ok(()));
        assert_eq!(heard(&relay, (Side::New, 1)), None);
        assert_eq!(heard(&relay, (Side::Present, 1)), Some(Ok("new".into())));
        assert_eq!(heard(&relay, (Side::Present, 1)), Some(Ok("new".into())), "and again");
        assert_eq!(heard(&relay, (Side::Present, 2)), None);
        assert_eq!(leave(&relay, ID, (Side::Present, 1), b"present"), Ok(()));
        assert_eq!(heard(&relay, (Side::New, 1)), Some(Ok("present".into())));
    }

    #[test]
    fn a_message_stays_what_it_was() {
        let relay = Relay::default();
        assert_eq!(leave(&relay, ID, (Side::New, 4), b"one"), Ok(()));
        assert_eq!(leave(&relay, ID, (Side::New, 4), b"one"), Ok(()), "the answer was lost");
        assert_eq!(leave(&relay, ID, (Side::New, 4), b"two"), Err(NotRelayed::Taken));
        assert_eq!(leave(&relay, ID, (Side::New, 5), b"one"), Err(NotRelayed::Taken));
        assert_eq!(leave(&relay, ID, (Side::New, 0), b"one"), Err(NotRelayed::Taken));
        assert_eq!(relay.lock().bytes, 3);
    }

    #[tokio::test]
    async fn who_waits_is_told_when_it_comes_and_when_it_is_over() {
        let relay = Relay::default();
        let comes = async { leave(&relay, ID, (Side::Present, 1), b"here").unwrap() };
        let (came, ()) = tokio::join!(relay.hear(ID, (Side::New, 1), 0, || Ok(())), comes);
        assert_eq!(came, Ok("here".into()));
        let ends = async {
            relay.expire(RENDEZVOUS_NS - 1);
            assert_eq!(relay.lock().by_id.len(), 1, "not yet");
            relay.expire(RENDEZVOUS_NS);
        };
        let (over, ()) = tokio::join!(relay.hear(ID, (Side::New, 2), 0, || Ok(())), ends);
        assert_eq!(over, Err(NotRelayed::Expired));
        assert!(relay.lock().by_id.is_empty());
        assert_eq!(relay.lock().bytes, 0);
    }

    #[test]
    fn so_many_places_and_no_more() {
        let relay = Relay::default();
        for number in 0..RENDEZVOUS_MAX {
            assert_eq!(leave(&relay, numbered(number), (Side::New, 1), b"x"), Ok(()));
        }
        assert_eq!(leave(&relay, ID, (Side::New, 1), b"x"), Err(NotRelayed::Busy));
        assert_eq!(heard(&relay, (Side::New, 1)), Some(Err(NotRelayed::Busy)));
        assert_eq!(leave(&relay, numbered(0), (Side::New, 2), b"x"), Ok(()), "a place that is");
        relay.expire(RENDEZVOUS_NS);
        assert_eq!(leave(&relay, ID, (Side::New, 1), b"x"), Ok(()));
    }

    #[test]
    fn so_many_bytes_and_no_more() {
        let relay = Relay::default();
        let body = vec![0; 12 * 1024];
        let fit = RELAY_BYTES_MAX / body.len();
        for number in 0..fit {
            assert_eq!(leave(&relay, numbered(number), (Side::New, 1), &body), Ok(()));
        }
        let rest = RELAY_BYTES_MAX - fit * body.len();
        assert_eq!(leave(&relay, ID, (Side::New, 1), &body[..=rest]), Err(NotRelayed::Busy));
        assert_eq!(leave(&relay, ID, (Side::New, 1), &body[..rest]), Ok(()));
        relay.expire(RENDEZVOUS_NS);
        assert_eq!(leave(&relay, ID, (Side::New, 1), &body), Ok(()));
    }

    #[test]
    fn who_may_not_open_one_may_still_come_to_it() {
        let relay = Relay::default();
        let not_now = || Err(3);
        let refused = relay.leave(ID, (Side::New, 1), b"x", 0, not_now);
        assert_eq!(refused, Err(NotRelayed::RateLimited(3)));
        assert_eq!(leave(&relay, ID, (Side::New, 1), b"x"), Ok(()));
        assert_eq!(relay.leave(ID, (Side::Present, 1), b"y", SECOND_NS, not_now), Ok(()));
    }
}
