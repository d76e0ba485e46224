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

/// How long a child that was killed may take until it has ended. It ends at its next `await`; who meets none
/// in so long blocks its thread, and nothing can interrupt that.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A child that was told to end goes on; the text says which.
pub(super) struct Endless(pub(super) String);

pub(super) struct Slot {
    spec: ChildSpec,
    pub(super) node: Arc<Node>,
    task: Option<Task>,
    /// When to start it; None while it runs, and when it is not to run again.
    pub(super) due: Option<Instant>,
    /// When it must have become ready, while it starts.
    ready_by: Option<Instant>,
    /// When it must have shown a sign of life; None if it need not, and once it was ended for that.
    beat_by: Option<Instant>,
    /// It has missed one already.
    is_suspect: bool,
    /// It was to be ended because it showed none.
    is_stuck: bool,
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
        Self {
            spec,
            node,
            task: None,
            due: Some(due),
            ready_by: None,
            beat_by: None,
            is_suspect: false,
            is_stuck: false,
            started: None,
            failures: 0,
        }
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
        self.node.beat();
        self.beat_by = self.spec.beat_deadline.map(|deadline| now + deadline);
        (self.is_suspect, self.is_stuck) = (false, false);
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
        let ready_by = self.ready_by.filter(|_| self.is_starting());
        let beat_by = self.beat_by.filter(|_| self.task.is_some());
        [self.due, ready_by, beat_by].into_iter().flatten().min()
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.is_starting() && self.ready_by.is_some_and(|by| by <= now)
    }

    /// Ready with the exit when the child has ended by itself.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        let Some(task) = &mut self.task else { return Poll::Pending };
        let joined = std::task::ready!(Pin::new(&mut task.handle).poll(cx));
        self.task = None;
        let exit = Exit::of_task(joined);
        Poll::Ready(if self.is_stuck && exit == Exit::Killed { self.silent() } else { exit })
    }

    /// Looks whether it is alive. At the second sign in a row that does not come it is told to end, which it
    /// does at its next `await`, and its end comes as any other.
    pub(super) fn look_for_life(&mut self, now: Instant, supervisor: &str) {
        let (Some(task), Some(within)) = (&self.task, self.spec.beat_deadline) else { return };
        if self.beat_by.is_none_or(|by| now < by) {
            return;
        }
        let next = self.node.last_beat() + within;
        if next > now {
            (self.beat_by, self.is_suspect) = (Some(next), false);
        } else if !self.is_suspect {
            (self.beat_by, self.is_suspect) = (Some(now + within), true);
        } else {
            (self.beat_by, self.is_stuck) = (None, true);
            task.handle.abort();
            self.node.set_state(State::Stuck);
            let silent_ms = u64::try_from((now + within - next).as_millis()).unwrap_or(u64::MAX);
            tracing::error!(supervisor, child = self.node.name(), silent_ms, "child is stuck");
        }
    }

    fn silent(&self) -> Exit {
        let within = self.spec.beat_deadline.unwrap_or_default();
        Exit::Failed(format!("no sign of life in {} ms", 2 * within.as_millis()))
    }

    /// Asks it to stop, waits for its deadline, then kills it. Nothing if it does not run.
    ///
    /// # Errors
    /// It does not end: it blocks its thread, or one below it does. It goes on then.
    pub(super) async fn stop(&mut self) -> Result<(), Endless> {
        self.due = None;
        let Some(mut task) = self.task.take() else { return Ok(()) };
        self.node.set_state(State::Stopping);
        task.stop.cancel();
        let joined = match self.spec.stop_deadline {
            None => (&mut task.handle).await,
            Some(deadline) => match timeout(deadline, &mut task.handle).await {
                Ok(joined) => joined,
                Err(_late) => {
                    task.handle.abort();
                    let Ok(joined) = timeout(KILL_PATIENCE, &mut task.handle).await else {
                        self.node.set_state(State::Stuck);
                        return Err(Endless(format!("{} does not end", self.node.name())));
                    };
                    joined
                }
            },
        };
        let exit = Exit::of_task(joined);
        self.node.ended(exit.clone());
        match exit {
            Exit::Failed(why) if self.spec.is_supervisor() => Err(Endless(why)),
            Exit::Done | Exit::Stopped | Exit::Killed | Exit::Failed(_) | Exit::Panicked(_) => {
                Ok(())
            }
        }
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
