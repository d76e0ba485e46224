//! The place of one child: its specification, its task while it runs, and when it is due.

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::tree::State;
use crate::{ChildContext, ChildSpec, Exit, Restart};

pub(super) struct Slot {
    spec: ChildSpec,
    pub(super) node: Arc<Node>,
    task: Option<Task>,
    /// When to start it; None while it runs, and when it is not to run again.
    pub(super) due: Option<Instant>,
    /// When it must have become ready, while it starts.
    ready_by: Option<Instant>,
    started: Option<Instant>,
    /// Failures in a row, each within a budget's window of its start.
    failures: u32,
}

/// A child's task. Dropped before it ended, it is aborted: no child outlives its supervisor.
struct Task {
    handle: JoinHandle<Exit>,
    stop: CancellationToken,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Slot {
    pub(super) fn new(spec: ChildSpec, ready: Arc<Notify>, due: Instant) -> Self {
        let node = Arc::new(Node::new(spec.name.clone(), spec.kind, ready));
        Self { spec, node, task: None, due: Some(due), ready_by: None, started: None, failures: 0 }
    }

    pub(super) fn restart(&self) -> Restart {
        self.spec.restart
    }

    /// Whether it was started and did not say yet that it is ready.
    pub(super) fn is_starting(&self) -> bool {
        self.task.is_some() && self.node.state() == State::Starting
    }

    pub(super) fn start(&mut self, now: Instant) {
        if self.started.replace(now).is_some() {
            self.node.count_restart();
        }
        self.due = None;
        self.ready_by = self.spec.ready_deadline.map(|deadline| now + deadline);
        let starting = self.ready_by.is_some();
        self.node.set_state(if starting { State::Starting } else { State::Running });
        let stop = CancellationToken::new();
        let context = ChildContext { stop: stop.clone(), node: Arc::clone(&self.node) };
        // A factory that panics is a child that panics, not a supervisor that does.
        let future = catch_unwind(AssertUnwindSafe(|| (self.spec.factory)(context)))
            .unwrap_or_else(|payload| Box::pin(ready(Exit::of_panic(payload.as_ref()))));
        let handle = tokio::spawn(future);
        self.task = Some(Task { handle, stop });
    }

    /// When something must be done about it, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.or(self.ready_by.filter(|_| self.is_starting()))
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.is_starting() && self.ready_by.is_some_and(|by| by <= now)
    }

    /// Ready with the exit when the child has ended by itself.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        let Some(task) = &mut self.task else { return Poll::Pending };
        let joined = std::task::ready!(Pin::new(&mut task.handle).poll(cx));
        self.task = None;
        Poll::Ready(Exit::of_task(joined))
    }

    /// Asks it to stop, waits for its deadline, then kills it. Nothing if it does not run.
    pub(super) async fn stop(&mut self) {
        self.due = None;
        let Some(mut task) = self.task.take() else { return };
        self.node.set_state(State::Stopping);
        task.stop.cancel();
        let joined = match self.spec.stop_deadline {
            None => (&mut task.handle).await,
            Some(deadline) => match timeout(deadline, &mut task.handle).await {
                Ok(joined) => joined,
                Err(_late) => {
                    task.handle.abort();
                    (&mut task.handle).await
                }
            },
        };
        self.node.ended(Exit::of_task(joined));
    }

    /// Ends it for not becoming ready in time.
    pub(super) async fn end_late(&mut self) -> Exit {
        if let Some(mut task) = self.task.take() {
            task.handle.abort();
            let _ = (&mut task.handle).await;
        }
        let within = self.spec.ready_deadline.unwrap_or_default();
        Exit::Failed(format!("not ready within {} ms", within.as_millis()))
    }

    /// Failures in a row with this one; a run longer than `window` starts the count anew.
    pub(super) fn count_failure(&mut self, now: Instant, window: Duration) -> u32 {
        let ran_well = self.started.is_some_and(|at| now.duration_since(at) >= window);
        self.failures = if ran_well { 1 } else { self.failures.saturating_add(1) };
        self.failures
    }

    pub(super) fn restart_at(&mut self, due: Instant) {
        self.due = Some(due);
        self.node.set_state(State::BackingOff);
    }
}
