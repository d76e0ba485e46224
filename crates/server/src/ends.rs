//! Whose link is over leaves when it is its turn. To close a socket costs three times as much as to find
//! out that it is dead, and a storm brings 15,000 of both at once. Were each session ended where it
//! notices, they would all stand before whatever comes after them: 0.2 s of a worker. So they stand in a
//! line of their own, and whoever has a message has its turn between two of them (decision 0149).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::rest;

/// Sessions that end at once for each worker: the others of its line wait until that one has.
const ENDS_PER_WORKER: usize = 1;

/// After so many there is a rest: half a millisecond's work, at 15 us each.
const ENDS_BETWEEN_RESTS: u32 = 32;

/// The line of those whose link is over.
#[derive(Debug)]
pub(crate) struct Ends {
    line: Arc<Semaphore>,
    ended: Arc<AtomicU32>,
}

impl Ends {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let line = Arc::new(Semaphore::new(workers.max(1) * ENDS_PER_WORKER));
        Self { line, ended: Arc::default() }
    }

    /// Waits for the turn to end. It is over with the future: the caller ends at once then.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the line up.
    pub(crate) fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        let (line, ended) = (Arc::clone(&self.line), Arc::clone(&self.ended));
        async move {
            // The line is never closed.
            let turn = line.acquire_owned().await;
            // To the end of the worker's queue: who is here goes first.
            yield_now().await;
            if (ended.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ENDS_BETWEEN_RESTS) {
                rest::before(turn);
            }
        }
    }

    /// All turns, so that nobody ends.
    #[cfg(test)]
    pub(crate) async fn stop(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.line.available_permits()).unwrap();
        Arc::clone(&self.line).acquire_many_owned(all).await.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{JoinSet, LocalSet};

    /// What happens if so many end at once on one worker, each an `e`, while somebody else, `.`, always
    /// has something to do.
    async fn order(ends: usize) -> String {
        let (line, seen) = (Ends::new(1), Rc::new(RefCell::new(String::new())));
        let mut all = JoinSet::new();
        let here = LocalSet::new();
        for _ in 0..ends {
            let (turn, seen) = (line.turn(), Rc::clone(&seen));
            all.spawn_local_on(
                async move {
                    turn.await;
                    seen.borrow_mut().push('e');
                },
                &here,
            );
        }
        let busy = Rc::clone(&seen);
        here.run_until(async move {
            let other = tokio::task::spawn_local(async move {
                loop {
                    busy.borrow_mut().push('.');
                    yield_now().await;
                }
            });
            while all.join_next().await.is_some() {}
            other.abort();
        })
        .await;
        seen.take()
    }

    #[tokio::test]
    async fn who_is_here_has_a_turn_between_two_ends() {
        let order = order(100).await;
        assert_eq!(order.matches('e').count(), 100);
        // One may wake the next in the same round.
        assert!(!order.contains("eee"), "{order}");
    }

    #[tokio::test]
    async fn after_so_many_ends_there_is_a_rest_and_not_before() {
        let line = Ends::new(1);
        rest::taken();
        for _ in 1..ENDS_BETWEEN_RESTS {
            line.turn().await;
        }
        assert_eq!(rest::taken(), 0);
        line.turn().await;
        assert_eq!(rest::taken(), 1);
        line.turn().await;
    }

    #[tokio::test]
    async fn who_gives_up_lets_the_next_go() {
        let line = Ends::new(1);
        drop(line.turn());
        let mut first = Box::pin(line.turn());
        assert!(futures_now(&mut first).await, "it waits for the others' turn");
        drop(first);
        line.turn().await;
    }

    /// Whether it still waits after it was looked at once.
    async fn futures_now(turn: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *turn).poll(cx).is_pending())
        })
        .await
    }
}
