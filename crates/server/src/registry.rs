//! Who is here: every live session by its token, and the one session of each attached device (M7).
//!
//! Cut into shards, each behind its own lock for the time of one lookup, so that no lock is shared by
//! all sessions. The store's writer thread calls in here after each batch.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use godwit_base::{DeviceId, invariant};
use godwit_store::Token;

use crate::seat::Seat;

/// Two threads meet in one of 64 shards once in 64 times; the sweep passes two shards a second.
pub(crate) const SHARDS: usize = 64;

/// Bits of a token that say the shard; above them the slot, above that how often it was used.
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// 2^28 slots in each shard.
const SLOT_BITS: u32 = 28;

/// All live sessions.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[Shard]>,
    /// Spreads new sessions over the shards.
    next_shard: AtomicUsize,
    /// Sessions so far.
    entered: AtomicU32,
    live: AtomicUsize,
    leaving: AtomicUsize,
    lingering: AtomicUsize,
}

/// What became of a session that takes its device.
#[derive(Debug)]
pub(crate) enum Bound {
    /// No other session had it.
    Alone,
    /// This older one had it and must be told to go.
    Displaces(Arc<Seat>),
    /// A link that was made later has it already: what was said on this one came late.
    TooLate,
}

#[derive(Debug, Default)]
struct Shard {
    seats: Mutex<Seats>,
    devices: Mutex<HashMap<DeviceId, Arc<Seat>>>,
}

/// A slab: 16 bytes a slot, a free slot is used again with the next generation.
#[derive(Debug, Default)]
struct Seats {
    slots: Vec<(u32, Option<Arc<Seat>>)>,
    free: Vec<u32>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            next_shard: AtomicUsize::new(0),
            entered: AtomicU32::new(0),
            live: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
        }
    }
}

impl Registry {
    /// Live sessions.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Live sessions that have said goodbye and still send what is unsent.
    pub(crate) fn leaving(&self) -> usize {
        self.leaving.load(Ordering::Relaxed)
    }

    /// One session more, or one less, has said goodbye and not sent it.
    pub(crate) fn count_leaving(&self, more: bool) {
        match more {
            true => self.leaving.fetch_add(1, Ordering::Relaxed),
            false => self.leaving.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Links that were made so far; it wraps.
    pub(crate) fn entered(&self) -> u32 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Sessions that have said everything and wait for their peer to close.
    pub(crate) fn lingering(&self) -> usize {
        self.lingering.load(Ordering::Relaxed)
    }

    /// One session more, or one less, waits for its peer to close.
    pub(crate) fn count_lingering(&self, more: bool) {
        match more {
            true => self.lingering.fetch_add(1, Ordering::Relaxed),
            false => self.lingering.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// A seat for a new session; it is given back with [`Registry::leave`].
    pub(crate) fn enter(&self, now_s: u32) -> Arc<Seat> {
        let index = self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let shard = self.shard(index);
        let ordinal = self.entered.fetch_add(1, Ordering::Relaxed);
        let seat = lock(&shard.seats).insert(|slot, generation| {
            Arc::new(Seat::new(token_of(index, slot, generation), ordinal, now_s))
        });
        self.live.fetch_add(1, Ordering::Relaxed);
        seat
    }

    /// Ends a session's stay: it is reached by nobody afterwards. Twice is as good as once.
    pub(crate) fn leave(&self, seat: &Arc<Seat>, device: Option<DeviceId>) {
        if let Some(device) = device {
            let mut devices = lock(&self.of_device(device).devices);
            if devices.get(&device).is_some_and(|present| Arc::ptr_eq(present, seat)) {
                devices.remove(&device);
            }
        }
        let (shard, slot, generation) = parts_of(seat.token);
        if lock(&self.shard(shard).seats).remove(slot, generation) {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
        seat.words.close();
        seat.records.close();
    }

    /// From now on records of `device` go to this seat, unless a newer one has it.
    pub(crate) fn bind(&self, device: DeviceId, seat: &Arc<Seat>) -> Bound {
        let mut devices = lock(&self.of_device(device).devices);
        let present = devices.get(&device);
        invariant!(
            M7,
            present.is_none_or(|present| !Arc::ptr_eq(present, seat)),
            "a session took its own device a second time"
        );
        if present.is_some_and(|present| present.is_newer_than(seat)) {
            return Bound::TooLate;
        }
        match devices.insert(device, Arc::clone(seat)) {
            Some(older) => {
                older.displace();
                Bound::Displaces(older)
            }
            None => Bound::Alone,
        }
    }

    /// Calls back for each attached session, under the lock of its shard: look, push, and return.
    pub(crate) fn each_attached(&self, mut with: impl FnMut(&Seat)) {
        for shard in &self.shards {
            lock(&shard.devices).values().for_each(|seat| with(seat));
        }
    }

    /// The seat of a token, if its session lives.
    pub(crate) fn by_token(&self, token: Token) -> Option<Arc<Seat>> {
        let (shard, slot, generation) = parts_of(token);
        lock(&self.shard(shard).seats).get(slot, generation).cloned()
    }

    /// The seat of a device, if it is attached.
    pub(crate) fn by_device(&self, device: DeviceId) -> Option<Arc<Seat>> {
        lock(&self.of_device(device).devices).get(&device).cloned()
    }

    /// The device that is attached with this token. Looks through all: for what is rare.
    pub(crate) fn device_of(&self, token: Token) -> Option<DeviceId> {
        self.shards.iter().find_map(|shard| {
            let devices = lock(&shard.devices);
            devices.iter().find(|(_, seat)| seat.token == token).map(|(device, _)| *device)
        })
    }

    /// Attached sessions.
    pub(crate) fn attached(&self) -> usize {
        self.shards.iter().map(|shard| lock(&shard.devices).len()).sum()
    }

    /// The seats of one shard, to sweep them without holding its lock.
    pub(crate) fn seats_of(&self, shard: usize) -> Vec<Arc<Seat>> {
        let seats = lock(&self.shard(shard).seats);
        seats.slots.iter().filter_map(|(_, seat)| seat.clone()).collect()
    }

    fn of_device(&self, device: DeviceId) -> &Shard {
        let mut hasher = DefaultHasher::new();
        device.hash(&mut hasher);
        #[allow(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
        let index = hasher.finish() as usize;
        self.shard(index)
    }

    #[allow(clippy::indexing_slicing, reason = "the remainder is in range by construction")]
    fn shard(&self, index: usize) -> &Shard {
        &self.shards[index % SHARDS]
    }
}

impl Seats {
    fn insert(&mut self, make: impl FnOnce(u32, u32) -> Arc<Seat>) -> Arc<Seat> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slots.get(slot as usize).map_or(0, |(generation, _)| *generation);
        let seat = make(slot, generation);
        if let Some((_, place)) = self.slots.get_mut(slot as usize) {
            *place = Some(Arc::clone(&seat));
        }
        seat
    }

    fn get(&self, slot: u32, generation: u32) -> Option<&Arc<Seat>> {
        let (present, seat) = self.slots.get(slot as usize)?;
        seat.as_ref().filter(|_| *present == generation)
    }

    fn remove(&mut self, slot: u32, generation: u32) -> bool {
        match self.slots.get_mut(slot as usize) {
            Some((present, seat)) if *present == generation && seat.is_some() => {
                *seat = None;
                *present = present.wrapping_add(1) & GENERATION_MASK;
                self.free.push(slot);
                true
            }
            _ => false,
        }
    }
}

/// What is left of 64 bits for the generation: 30.
const GENERATION_MASK: u32 = (1 << (u64::BITS - SHARD_BITS - SLOT_BITS)) - 1;

fn token_of(shard: usize, slot: u32, generation: u32) -> Token {
    let above = (u64::from(generation) << SLOT_BITS) | u64::from(slot);
    Token((above << SHARD_BITS) | shard as u64)
}

#[allow(clippy::cast_possible_truncation, reason = "each part is masked to its bits")]
fn parts_of(token: Token) -> (usize, u32, u32) {
    let above = token.0 >> SHARD_BITS;
    let shard = (token.0 as usize) % SHARDS;
    (shard, (above as u32) & ((1 << SLOT_BITS) - 1), (above >> SLOT_BITS) as u32)
}

// Nothing under these locks runs foreign code, so a poisoned one still guards a whole table.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: DeviceId = DeviceId::new(7, 1);

    #[test]
    fn a_token_finds_its_session_and_never_the_next_one() {
        let registry = Registry::default();
        let seats: Vec<_> = (0..3 * SHARDS).map(|_| registry.enter(0)).collect();
        assert_eq!(registry.live(), 3 * SHARDS);
        for seat in &seats {
            let found = registry.by_token(seat.token).unwrap();
            assert!(Arc::ptr_eq(&found, seat));
        }
        let old = seats[0].token;
        for seat in &seats {
            registry.leave(seat, None);
            registry.leave(seat, None);
        }
        assert_eq!(registry.live(), 0, "each is counted once");
        for _ in 0..SHARDS {
            registry.enter(0);
        }
        assert!(registry.by_token(old).is_none(), "its slot is used again, its token is not");
    }

    #[test]
    fn the_newer_session_displaces_and_the_older_leaves_without_harm() {
        let registry = Registry::default();
        let (older, newer) = (registry.enter(0), registry.enter(0));
        assert!(matches!(registry.bind(BOB, &older), Bound::Alone));
        assert!(
            matches!(registry.bind(BOB, &newer), Bound::Displaces(it) if Arc::ptr_eq(&it, &older))
        );
        registry.leave(&older, Some(BOB));
        assert!(Arc::ptr_eq(&registry.by_device(BOB).unwrap(), &newer));
        assert_eq!(registry.device_of(newer.token), Some(BOB));
        assert_eq!((registry.device_of(older.token), registry.attached()), (None, 1));
        registry.leave(&newer, Some(BOB));
        assert!(registry.by_device(BOB).is_none());
    }

    #[test]
    fn an_older_session_that_attaches_late_does_not_displace_the_newer() {
        let registry = Registry::default();
        let (older, newer) = (registry.enter(0), registry.enter(0));
        assert!(matches!(registry.bind(BOB, &newer), Bound::Alone));
        assert!(matches!(registry.bind(BOB, &older), Bound::TooLate));
        registry.leave(&older, Some(BOB));
        assert!(Arc::ptr_eq(&registry.by_device(BOB).unwrap(), &newer));
    }

    #[test]
    fn the_newer_of_two_is_known_when_the_count_wraps() {
        let registry = Registry::default();
        registry.entered.store(u32::MAX, Ordering::Relaxed);
        let (older, newer) = (registry.enter(0), registry.enter(0));
        assert!(newer.is_newer_than(&older) && !older.is_newer_than(&newer));
    }

    #[test]
    fn each_attached_session_is_called_once() {
        let registry = Registry::default();
        let seats: Vec<_> = (0..3).map(|_| registry.enter(0)).collect();
        for (number, seat) in seats.iter().enumerate().skip(1) {
            registry.bind(DeviceId::new(number as u64, 1), seat);
        }
        let mut called = Vec::new();
        registry.each_attached(|seat| called.push(seat.token));
        called.sort_by_key(|token| token.0);
        let mut attached = vec![seats[1].token, seats[2].token];
        attached.sort_by_key(|token| token.0);
        assert_eq!(called, attached);
    }

    #[test]
    fn a_token_carries_its_parts() {
        for parts in [(0, 0, 0), (63, (1 << SLOT_BITS) - 1, GENERATION_MASK), (5, 17, 3)] {
            assert_eq!(parts_of(token_of(parts.0, parts.1, parts.2)), parts);
        }
    }
}
