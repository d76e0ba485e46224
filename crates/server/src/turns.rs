//! Which turn each worker is in, and since when: so that somebody who does not wait for the workers sees one
//! that does not end. Three plain stores a turn, and no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use godwit_store::Token;

/// Workers that are watched, 64 B each: 16 KiB, and more than the cores of any machine that runs this. One
/// beyond works unwatched.
pub(crate) const DESKS: usize = 256;

/// The turns of one server.
#[derive(Debug)]
pub(crate) struct Turns(Box<[Desk]>);

/// What one worker does. On a cache line of its own: it is written with every turn.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Desk {
    /// When its turn began; 0 between two turns.
    began_ns: AtomicU64,
    token: AtomicU64,
}

/// A turn that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtWork {
    pub(crate) desk: usize,
    pub(crate) token: Token,
    pub(crate) began_ns: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..DESKS).map(|_| Desk::default()).collect())
    }
}

impl Turns {
    /// This thread begins a turn of that session.
    pub(crate) fn begin(&self, token: Token, now_ns: u64) {
        if let Some(desk) = self.desk() {
            desk.token.store(token.0, Ordering::Relaxed);
            // Released, so that who sees the time sees the token too; costs nothing on x86.
            desk.began_ns.store(now_ns.max(1), Ordering::Release);
        }
    }

    /// Its turn has ended.
    pub(crate) fn end(&self) {
        if let Some(desk) = self.desk() {
            desk.began_ns.store(0, Ordering::Relaxed);
        }
    }

    /// The turns that have not ended.
    pub(crate) fn at_work(&self) -> impl Iterator<Item = AtWork> {
        self.0.iter().enumerate().filter_map(|(index, desk)| {
            let began_ns = desk.began_ns.load(Ordering::Acquire);
            let token = Token(desk.token.load(Ordering::Relaxed));
            (began_ns != 0).then_some(AtWork { desk: index, token, began_ns })
        })
    }

    /// For how many milliseconds this session has been in its turn, if it is in one.
    pub(crate) fn running_ms(&self, token: Token, now_ns: u64) -> Option<u64> {
        let turn = self.at_work().find(|turn| turn.token == token)?;
        Some(now_ns.saturating_sub(turn.began_ns) / 1_000_000)
    }

    fn desk(&self) -> Option<&Desk> {
        self.0.get(PLACE.try_with(|place| place.0).ok()?)
    }
}

thread_local! {
    static PLACE: Place = Place::take();
}

/// A number that no other living thread has, as small as can be.
struct Place(usize);

/// The numbers that threads which ended have given back, and the first that nobody had.
static PLACES: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

impl Place {
    fn take() -> Self {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let (given_back, next) = &mut *places;
        Self(given_back.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    #[test]
    fn a_turn_is_seen_from_its_beginning_to_its_end() {
        let turns = Turns::default();
        assert_eq!(turns.at_work().count(), 0);
        turns.begin(Token(7), 0);
        assert_eq!(turns.at_work().map(|turn| turn.token).collect::<Vec<_>>(), [Token(7)]);
        assert_eq!(turns.running_ms(Token(7), 3_000_001), Some(3), "its first nanosecond counts");
        assert_eq!(turns.running_ms(Token(8), 3_000_001), None);
        turns.end();
        assert_eq!(turns.at_work().count(), 0);
    }

    #[test]
    fn so_many_threads_are_seen_at_once_and_one_more_works_unwatched() {
        let turns = Arc::new(Turns::default());
        // Those of other tests that run beside this one have desks too, so there may be fewer for these.
        let threads = DESKS + 1;
        let (begun, seen) =
            (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
        let all: Vec<_> = (0..threads)
            .map(|number| {
                let (turns, begun, seen) =
                    (Arc::clone(&turns), Arc::clone(&begun), Arc::clone(&seen));
                std::thread::spawn(move || {
                    turns.begin(Token(number as u64), 1);
                    begun.wait();
                    seen.wait();
                    turns.end();
                })
            })
            .collect();
        begun.wait();
        let mut at_work: Vec<_> = turns.at_work().collect();
        seen.wait();
        all.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(at_work.len() <= DESKS && at_work.len() > DESKS / 2, "{}", at_work.len());
        at_work.dedup_by_key(|turn| turn.token);
        at_work.dedup_by_key(|turn| turn.desk);
        assert!(at_work.len() > DESKS / 2, "each has its own");
        assert_eq!(turns.at_work().count(), 0);
        let last = std::thread::spawn(|| PLACE.with(|place| place.0)).join().unwrap();
        assert!(last <= DESKS + 64, "numbers are used again: {last}");
    }
}
