//! Who is answered next. A handshake is the most that one unknown connection can make the server work: a
//! tenth of a millisecond. Were all that have come worked off as they are, a storm of a thousand would
//! stand before every message of those who are here. So only a few are under way at once, those who are
//! here have their turn between two of them, and who brings a ticket goes first: that costs a third.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_wire::preface::Mode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError};

use crate::rest;

/// Handshakes under way for each worker. The next one wakes when this is done, so no worker waits, and
/// whoever is here waits for one of them at most: 0.12 ms.
const TURNS_PER_WORKER: usize = 1;

/// Full ones among them, or first in line for a turn: with as many as workers they keep all of them busy when
/// nobody brings a ticket, and whoever does goes before all but these.
const FULL_TURNS_PER_WORKER: usize = 1;

/// Of all places at the door, the part that full handshakes may take while they wait: 768 of 1,024. The
/// rest is for tickets, and for who has not said anything yet. At 3,400 a second and core in a storm the last
/// of them waits 0.2 s, and with nothing but tickets before it, until its deadline.
const FULL_PLACES_PERCENT: usize = 75;

/// So many in line are a storm, and each turn of it is followed by a rest. Fewer are done in ten
/// milliseconds, and rests would double that.
const STORM: usize = 128;

/// The line.
#[derive(Debug)]
pub(crate) struct Line {
    /// Those who wait for their turn.
    waiting: AtomicUsize,
    turns: Arc<Semaphore>,
    full_turns: Semaphore,
    full_places: Semaphore,
}

/// One of those who wait, until dropped.
struct Waits<'a>(&'a AtomicUsize);

/// The right to work now; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    one_of_all: Option<OwnedSemaphorePermit>,
    is_in_a_storm: bool,
    _one_of_the_full: Option<[SemaphorePermit<'a>; 2]>,
}

impl Line {
    /// For so many workers, and so many places at the door.
    pub(crate) fn new(workers: usize, places: usize) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            turns: Arc::new(Semaphore::new(workers.max(1) * TURNS_PER_WORKER)),
            full_turns: Semaphore::new(workers.max(1) * FULL_TURNS_PER_WORKER),
            full_places: Semaphore::new((places * FULL_PLACES_PERCENT / 100).max(1)),
        }
    }

    /// Waits for the turn. None, and at once, if so many full handshakes wait that one more would take
    /// the place of somebody with a ticket.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the line up.
    pub(crate) async fn turn(&self, mode: Mode) -> Option<Turn<'_>> {
        let waits = Waits::in_line(&self.waiting);
        let full = match mode {
            Mode::Resume => None,
            Mode::Full => {
                let place = match self.full_places.try_acquire() {
                    Ok(place) => place,
                    Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return None,
                };
                // A line of their own: only as many as may work at once stand in the common one.
                Some([place, self.full_turns.acquire().await.ok()?])
            }
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        // To the end of the worker's own queue: who is here goes first.
        tokio::task::yield_now().await;
        drop(waits);
        let is_in_a_storm = self.waiting.load(Ordering::Relaxed) >= STORM;
        Some(Turn { one_of_all: Some(turn), is_in_a_storm, _one_of_the_full: full })
    }

    /// Those who wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// All turns, so that nobody has one.
    #[cfg(test)]
    pub(crate) async fn stop(&self) -> SemaphorePermit<'_> {
        let all = u32::try_from(self.turns.available_permits()).unwrap();
        self.turns.acquire_many(all).await.unwrap()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_in_a_storm
            && let Some(turn) = self.one_of_all.take()
        {
            rest::before(turn);
        }
    }
}

impl<'a> Waits<'a> {
    fn in_line(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::task::Poll;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    /// Lets everybody come as far as they can.
    async fn all_wait() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_brings_a_ticket_goes_before_all_but_one_a_worker() {
        let here = async {
            let (line, order) = (Rc::new(Line::new(1, 1_024)), Rc::new(RefCell::new(Vec::new())));
            let stopped = line.stop().await;
            let full = ["full 1", "full 2", "full 3"].map(|name| (name, Mode::Full));
            let tickets = ["ticket 1", "ticket 2", "ticket 3", "ticket 4", "ticket 5"];
            for (name, mode) in full.into_iter().chain(tickets.map(|name| (name, Mode::Resume))) {
                let (line, order) = (Rc::clone(&line), Rc::clone(&order));
                spawn_local(async move {
                    let _turn = line.turn(mode).await.unwrap();
                    order.borrow_mut().push(name);
                });
                all_wait().await;
            }
            assert!(order.borrow().is_empty(), "nobody before the turns are free");
            drop(stopped);
            all_wait().await;
            let order = order.borrow();
            let place = |name| order.iter().position(|had| *had == name).unwrap();
            for ticket in ["ticket 1", "ticket 2", "ticket 3", "ticket 4"] {
                assert!(place(ticket) < place("full 2"), "{order:?}"); // the last may work beside it
            }
            assert!(place("full 1") < place("full 2") && place("full 2") < place("full 3"));
        };
        LocalSet::new().run_until(here).await;
    }

    /// What it comes to by itself.
    async fn soon<F: Future + Unpin>(mut future: F) -> Poll<F::Output> {
        for _ in 0..100 {
            if let Poll::Ready(done) = futures_util::poll!(&mut future) {
                return Poll::Ready(done);
            }
            yield_now().await;
        }
        Poll::Pending
    }

    #[tokio::test]
    async fn so_many_are_under_way_and_no_more() {
        for workers in [1, 4] {
            let line = Line::new(workers, 1_024);
            let mut under_way = Vec::new();
            for number in 0..workers * TURNS_PER_WORKER {
                let full = number < workers * FULL_TURNS_PER_WORKER;
                let mode = if full { Mode::Full } else { Mode::Resume };
                under_way.push(soon(Box::pin(line.turn(mode))).await);
            }
            assert!(under_way.iter().all(|turn| matches!(turn, Poll::Ready(Some(_)))));
            let mut full = Box::pin(line.turn(Mode::Full));
            let mut ticket = Box::pin(line.turn(Mode::Resume));
            assert!(soon(&mut full).await.is_pending() && soon(&mut ticket).await.is_pending());
            under_way.pop();
            assert!(soon(&mut full).await.is_pending(), "that was the place of a ticket");
            assert!(matches!(soon(&mut ticket).await, Poll::Ready(Some(_))));
            under_way.clear();
            assert!(matches!(soon(&mut full).await, Poll::Ready(Some(_))));
        }
    }

    #[tokio::test]
    async fn full_ones_leave_room_at_the_door_for_tickets() {
        let line = Line::new(1, 8);
        let stopped = line.stop().await;
        let mut waiting = Vec::new();
        for _ in 0..6 {
            let mut turn = Box::pin(line.turn(Mode::Full));
            assert!(soon(&mut turn).await.is_pending(), "six of eight wait");
            waiting.push(turn);
        }
        let refused = soon(Box::pin(line.turn(Mode::Full))).await;
        assert!(matches!(refused, Poll::Ready(None)), "the seventh is told to come again");
        let mut ticket = Box::pin(line.turn(Mode::Resume));
        assert!(soon(&mut ticket).await.is_pending(), "a ticket waits");
        waiting.pop();
        assert!(soon(Box::pin(line.turn(Mode::Full))).await.is_pending(), "one place is free");
        drop(stopped);
        assert!(matches!(soon(waiting.remove(0)).await, Poll::Ready(Some(_))), "it came before");
        assert!(matches!(soon(&mut ticket).await, Poll::Ready(Some(_))));
        let alone = Line::new(1, 1);
        let one = soon(Box::pin(alone.turn(Mode::Full))).await;
        assert!(matches!(one, Poll::Ready(Some(_))), "one place is for anybody");
    }

    #[tokio::test]
    async fn a_turn_is_followed_by_a_rest_in_a_storm_and_not_in_a_short_line() {
        for (others, rests) in [(STORM - 1, 0), (STORM, 1)] {
            let line = Line::new(1, 1_024);
            let storm: Vec<_> = (0..others).map(|_| Waits::in_line(&line.waiting)).collect();
            rest::taken();
            drop(line.turn(Mode::Resume).await.unwrap());
            assert_eq!(rest::taken(), rests, "with {others} in line");
            assert!(line.turn(Mode::Resume).await.is_some(), "it comes back");
            drop(storm);
        }
    }

    #[tokio::test]
    async fn who_leaves_the_line_is_not_counted() {
        let line = Line::new(1, 1_024);
        let stopped = line.stop().await;
        let mut turn = Box::pin(line.turn(Mode::Resume));
        assert!(soon(&mut turn).await.is_pending());
        assert_eq!(line.waiting.load(Ordering::Relaxed), 1);
        drop((turn, stopped));
        assert_eq!(line.waiting.load(Ordering::Relaxed), 0, "gone");
        let turn = soon(Box::pin(line.turn(Mode::Full))).await;
        assert_eq!(line.waiting.load(Ordering::Relaxed), 0, "at work");
        drop(turn);
    }
}
