//! A bounded inbox, small enough that every session has one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What weighs something in an [`Inbox`].
pub trait Weigh {
    /// Bytes that it keeps in memory, about. The same at every call.
    fn weight_bytes(&self) -> usize;
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// It is in the inbox.
    Pushed,
    /// It was dropped: the inbox is full, or was and its owner has not seen that yet. The inbox is
    /// marked behind.
    Overflowed,
    /// It was dropped: nobody reads this inbox any more.
    Closed,
}

/// What an inbox yields to its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// The oldest item.
    Item(T),
    /// Everything before the first overflow was yielded, what was dropped must be fetched from
    /// where it is durable. The mark is cleared: from now on the inbox takes items again, so fetch
    /// after this, not before, and nothing falls between the two.
    Behind,
    /// Closed and empty.
    Closed,
}

/// Many push, one takes. Holds at most `ITEMS` items and `BYTES` bytes of weight; whoever pushes
/// never waits.
///
/// Order is kept without gaps: after one item is dropped, all are dropped, until the owner has
/// taken what came before and met [`Next::Behind`]. Empty, it owns no memory beyond itself; full,
/// `BYTES` and `ITEMS` slots. The defaults, 64 items and 64 KiB, bound a thousand slow sessions to
/// 64 MiB.
#[derive(Debug)]
pub struct Inbox<T, const ITEMS: usize = 64, const BYTES: usize = 65_536> {
    state: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    /// Present only while something waits.
    queue: Option<Box<Queue<T>>>,
    /// Whoever waits for the next item. Kept under the lock that a push holds anyway, so that no
    /// wake-up falls between a look and a wait.
    waker: Option<Waker>,
    behind: bool,
    closed: bool,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    weight_bytes: usize,
}

impl<T, const ITEMS: usize, const BYTES: usize> Default for Inbox<T, ITEMS, BYTES> {
    fn default() -> Self {
        let inner = Inner { queue: None, waker: None, behind: false, closed: false };
        Self { state: Mutex::new(inner) }
    }
}

impl<T: Weigh, const ITEMS: usize, const BYTES: usize> Inbox<T, ITEMS, BYTES> {
    /// An empty inbox; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    // Nothing but an item's own `weight_bytes` could panic under the lock, and it runs before.
    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item at the end and wakes the owner. Never waits for room.
    pub fn push(&self, item: T) -> Push {
        let weight = item.weight_bytes();
        let mut inner = self.inner();
        if inner.closed {
            return Push::Closed;
        }
        let fits = !inner.behind && inner.room_for::<ITEMS, BYTES>(weight);
        if fits {
            let queue = inner.queue.get_or_insert_default();
            queue.weight_bytes += weight;
            queue.items.push_back(item);
        } else {
            inner.behind = true;
        }
        let waker = inner.waker.take();
        drop(inner);
        waker.inspect(Waker::wake_by_ref);
        if fits { Push::Pushed } else { Push::Overflowed }
    }

    /// Marks the inbox behind, as an overflow does, and wakes the owner: something for it is only
    /// where it is durable.
    pub fn mark_behind(&self) {
        let mut inner = self.inner();
        inner.behind = true;
        let waker = inner.waker.take();
        drop(inner);
        waker.inspect(Waker::wake_by_ref);
    }

    /// Wakes the owner and puts nothing in: what it is to look at is elsewhere.
    pub fn nudge(&self) {
        let waker = self.inner().waker.take();
        waker.inspect(Waker::wake_by_ref);
    }

    /// Takes nothing any more. What is inside can still be taken; the owner is woken.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        let waker = inner.waker.take();
        drop(inner);
        waker.inspect(Waker::wake_by_ref);
    }

    /// What comes next, if anything does.
    pub fn try_next(&self) -> Option<Next<T>> {
        self.inner().next()
    }

    /// What comes next; if nothing, the task is woken when something does. One task waits at a
    /// time: the last to ask.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next<T>> {
        let mut inner = self.inner();
        if let Some(next) = inner.next() {
            return Poll::Ready(next);
        }
        match &mut inner.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// What comes next.
    ///
    /// # Cancel safety
    /// Safe: an item leaves the inbox only in the poll that returns it.
    pub async fn next(&self) -> Next<T> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Whether something was dropped that its owner has not fetched: it is full, or was.
    pub fn has_overflowed(&self) -> bool {
        self.inner().behind
    }

    /// Items that wait.
    pub fn depth(&self) -> usize {
        self.inner().queue.as_ref().map_or(0, |queue| queue.items.len())
    }

    /// Weight of what waits, bytes.
    pub fn weight_bytes(&self) -> usize {
        self.inner().queue.as_ref().map_or(0, |queue| queue.weight_bytes)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), weight_bytes: 0 }
    }
}

impl<T: Weigh> Inner<T> {
    fn room_for<const ITEMS: usize, const BYTES: usize>(&self, weight: usize) -> bool {
        let (items, bytes) =
            self.queue.as_ref().map_or((0, 0), |queue| (queue.items.len(), queue.weight_bytes));
        items < ITEMS && weight <= BYTES.saturating_sub(bytes)
    }

    fn next(&mut self) -> Option<Next<T>> {
        if let Some(item) = self.pop() {
            Some(Next::Item(item))
        } else if std::mem::take(&mut self.behind) {
            Some(Next::Behind)
        } else {
            self.closed.then_some(Next::Closed)
        }
    }

    fn pop(&mut self) -> Option<T> {
        let queue = self.queue.as_mut()?;
        let item = queue.items.pop_front()?;
        queue.weight_bytes = queue.weight_bytes.saturating_sub(item.weight_bytes());
        if queue.items.is_empty() {
            self.queue = None;
        }
        Some(item)
    }
}
