//! A supervisor at work: one loop that waits for the next event and acts on it.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::slot::{Endless, Slot};
use super::{Strategy, Supervisor};
use crate::budget::Spent;
use crate::{Backoff, Chance, ChildContext, Exit, Restart, RestartBudget};

pub(super) struct Watch {
    context: ChildContext,
    strategy: Strategy,
    budget: RestartBudget,
    spent: Spent,
    backoff: Backoff,
    chance: Chance,
    /// In start order.
    slots: Vec<Slot>,
    /// A child became ready.
    ready: Arc<Notify>,
}

/// All that wakes a supervisor.
enum Event {
    /// Its own supervisor, or the owner of the tree, wants it to stop.
    Stop,
    /// The child at this place ended by itself.
    Ended(usize, Exit),
    /// A child became ready.
    Ready,
    /// A back-off or a deadline ran out.
    Due,
}

/// It cannot go on; the text says why: the restart budget is spent, or a child does not end.
struct GiveUp(String);

impl Watch {
    pub(super) fn new(supervisor: Supervisor, context: ChildContext) -> Self {
        let ready = Arc::new(Notify::new());
        let now = Instant::now();
        let slot = |spec| Slot::new(spec, Arc::clone(&ready), now);
        let slots: Vec<Slot> = supervisor.children.into_iter().map(slot).collect();
        context.node.set_children(slots.iter().map(|slot| Arc::clone(&slot.node)).collect());
        Self {
            context,
            strategy: supervisor.strategy,
            budget: supervisor.budget,
            spent: Spent::default(),
            backoff: supervisor.backoff,
            chance: supervisor.chance,
            slots,
            ready,
        }
    }

    pub(super) async fn run(mut self) -> Exit {
        loop {
            self.start_due();
            let event = self.next_event().await;
            let outcome = match event {
                Event::Stop => {
                    return match self.stop(0..self.slots.len()).await {
                        Ok(()) => Exit::Stopped,
                        Err(Endless(why)) => Exit::Failed(why),
                    };
                }
                Event::Ended(place, exit) => self.ended(place, exit).await,
                Event::Ready => Ok(()),
                Event::Due => {
                    self.look_for_life();
                    self.end_late().await
                }
            };
            if let Err(GiveUp(why)) = outcome {
                // Whoever does not end now either has been named already.
                let _ = self.stop(0..self.slots.len()).await;
                return Exit::Failed(why);
            }
        }
    }

    /// Starts what is due, in order, up to the first child that is not ready yet.
    fn start_due(&mut self) {
        let now = Instant::now();
        for slot in &mut self.slots {
            if slot.due.is_some_and(|due| due <= now) {
                slot.start(now);
            }
            if slot.is_starting() {
                return;
            }
        }
        if self.slots.iter().all(|slot| slot.due.is_none()) {
            self.context.ready();
        }
    }

    async fn next_event(&mut self) -> Event {
        let deadline = self.deadline();
        let Self { context, slots, ready, .. } = self;
        tokio::select! {
            biased;
            // First: when everything goes down, what happens below no longer matters.
            () = context.stopping() => Event::Stop,
            (place, exit) = ended(slots) => Event::Ended(place, exit),
            () = ready.notified() => Event::Ready,
            () = until(deadline) => Event::Due,
        }
    }

    /// The next moment to act by itself. Children behind one that is not ready yet do not count:
    /// they wait for it, however long they have been due.
    fn deadline(&self) -> Option<Instant> {
        let starting = self.slots.iter().position(Slot::is_starting);
        let last = starting.unwrap_or(self.slots.len());
        self.slots.iter().take(last.saturating_add(1)).filter_map(Slot::deadline).min()
    }

    fn look_for_life(&mut self) {
        let (now, supervisor) = (Instant::now(), self.context.node.name());
        self.slots.iter_mut().for_each(|slot| slot.look_for_life(now, supervisor));
    }

    async fn end_late(&mut self) -> Result<(), GiveUp> {
        let now = Instant::now();
        let Some(place) = self.slots.iter().position(|slot| slot.is_late(now)) else {
            return Ok(());
        };
        match self.slots.get_mut(place) {
            Some(slot) => {
                let exit = slot.end_late().await;
                self.ended(place, exit).await
            }
            None => Ok(()),
        }
    }

    /// A child ended: leave it, or restart whom the strategy names, or give up.
    async fn ended(&mut self, place: usize, exit: Exit) -> Result<(), GiveUp> {
        let now = Instant::now();
        let Some(slot) = self.slots.get_mut(place) else { return Ok(()) };
        slot.node.ended(exit.clone());
        let supervisor = self.context.node.name();
        if !slot.restart().wanted_after(&exit) {
            tracing::info!(supervisor, child = slot.node.name(), %exit, "child ended");
            return Ok(());
        }
        if !self.spent.take(self.budget, now) {
            let why = format!("{} {exit}, and {}", slot.node.name(), self.budget);
            tracing::error!(supervisor, why, "restart budget spent");
            return Err(GiveUp(why));
        }
        let failures = slot.count_failure(now, self.budget.window);
        let delay = self.backoff.delay(failures, &mut self.chance);
        let restart_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(supervisor, child = slot.node.name(), %exit, restart_in_ms, "child restarts");
        let affected = self.affected(place);
        if let Err(Endless(why)) = self.stop(affected.clone()).await {
            // A second one beside the first would be worse than none.
            tracing::error!(supervisor = self.context.node.name(), why, "cannot restart");
            return Err(GiveUp(why));
        }
        let due = Instant::now() + delay;
        for slot in self.slots.get_mut(affected).unwrap_or_default() {
            if slot.restart() != Restart::Temporary {
                slot.restart_at(due);
            }
        }
        Ok(())
    }

    fn affected(&self, place: usize) -> Range<usize> {
        match self.strategy {
            Strategy::OneForOne => place..place + 1,
            Strategy::RestForOne => place..self.slots.len(),
            Strategy::OneForAll => 0..self.slots.len(),
        }
    }

    /// Stops all of them, in reverse; the error is that of the first that does not end.
    async fn stop(&mut self, places: Range<usize>) -> Result<(), Endless> {
        let mut all = Ok(());
        for slot in self.slots.get_mut(places).unwrap_or_default().iter_mut().rev() {
            all = all.and(slot.stop().await);
        }
        all
    }
}

/// Waits for the first child that ends by itself. A handful of children: all are asked each time.
async fn ended(slots: &mut [Slot]) -> (usize, Exit) {
    poll_fn(|cx| {
        for (place, slot) in slots.iter_mut().enumerate() {
            if let Poll::Ready(exit) = slot.poll_end(cx) {
                return Poll::Ready((place, exit));
            }
        }
        Poll::Pending
    })
    .await
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
