//! What a supervisor must know of a child, and what the child gets to work with.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::tree::Kind;
use crate::{Exit, Supervisor};

/// How long a child may take to stop when its specification does not say: ample for flushing a
/// batch to disk, short enough that ten children in a row end within a service manager's 90 s.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it was killed, failed or panicked.
    Transient,
    /// Never, not even when its siblings are restarted.
    Temporary,
}

impl Restart {
    pub(crate) fn wanted_after(self, exit: &Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => !exit.is_normal(),
            Self::Temporary => false,
        }
    }
}

pub(crate) type ChildFuture = Pin<Box<dyn Future<Output = Exit> + Send>>;
type Factory = Box<dyn FnMut(ChildContext) -> ChildFuture + Send>;

/// A child as its supervisor knows it: name, rules, and how to make it anew.
pub struct ChildSpec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) restart: Restart,
    /// None waits without end: for supervisors, whose own children have deadlines.
    pub(crate) stop_deadline: Option<Duration>,
    /// Some if the child says when it is ready, within this time.
    pub(crate) ready_deadline: Option<Duration>,
    /// Some if the child shows that it is alive at least so often.
    pub(crate) beat_deadline: Option<Duration>,
    pub(crate) factory: Factory,
}

impl ChildSpec {
    pub(crate) fn is_supervisor(&self) -> bool {
        matches!(self.kind, Kind::Supervisor(_))
    }

    /// A worker. `factory` is called for the first start and for every restart; what must survive
    /// a restart is captured by it and cloned into the future.
    pub fn new<F>(
        name: impl Into<String>,
        restart: Restart,
        mut factory: impl FnMut(ChildContext) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Exit> + Send + 'static,
    {
        Self {
            name: name.into(),
            kind: Kind::Worker,
            restart,
            stop_deadline: Some(STOP_DEADLINE),
            ready_deadline: None,
            beat_deadline: None,
            factory: Box::new(move |context| Box::pin(factory(context))),
        }
    }

    /// A supervisor as a child. `factory` builds it for the first start and for every restart.
    pub fn supervisor(
        restart: Restart,
        mut factory: impl FnMut() -> Supervisor + Send + 'static,
    ) -> Self {
        let first = factory();
        let (name, strategy) = (first.name.clone(), first.strategy);
        let mut first = Some(first);
        Self {
            name,
            kind: Kind::Supervisor(strategy),
            restart,
            stop_deadline: None,
            ready_deadline: None,
            beat_deadline: None,
            factory: Box::new(move |context| {
                let supervisor = first.take().unwrap_or_else(&mut factory);
                Box::pin(supervisor.run(context))
            }),
        }
    }

    /// How long it may take to stop before it is killed; 5 s unless set. A supervisor has no
    /// deadline of its own unless set: those of its children add up.
    #[must_use]
    pub fn stop_within(mut self, deadline: Duration) -> Self {
        self.stop_deadline = Some(deadline);
        self
    }

    /// The child calls [`ChildContext::ready`] within `deadline` of its start, and the next child
    /// is started only then. Too late counts as a failure. Without this a child is ready at once.
    #[must_use]
    pub fn ready_within(mut self, deadline: Duration) -> Self {
        self.ready_deadline = Some(deadline);
        self
    }

    /// The child calls [`ChildContext::beat`] at least once in each `deadline`. If it has not done so twice
    /// in a row it waits for something that does not come: it is ended, which counts as a failure. Twice,
    /// because the first time it may have been the machine that had no time for anybody.
    ///
    /// A child that blocks its thread cannot be ended; it is shown as stuck until it returns by itself, and
    /// is not started a second time beside it.
    #[must_use]
    pub fn beats_within(mut self, deadline: Duration) -> Self {
        self.beat_deadline = Some(deadline);
        self
    }
}

/// What a child gets to work with, new for each start.
#[derive(Clone)]
pub struct ChildContext {
    pub(crate) stop: CancellationToken,
    pub(crate) node: Arc<Node>,
}

impl ChildContext {
    /// Completes when the child should stop. Finish what is in hand, then return
    /// [`Exit::Stopped`].
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the child should stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The stop signal itself, to hand to parts that take one. Cancelling it asks this child alone
    /// to stop.
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Says that the child is up, so that the next one may start. Saying it twice changes nothing.
    pub fn ready(&self) {
        self.node.set_ready();
    }

    /// Shows that the child is alive.
    pub fn beat(&self) {
        self.node.beat();
    }

    /// Shows how many things wait for this child, in the tree.
    pub fn report_inbox(&self, depth: usize) {
        self.node.report_inbox(depth);
    }
}
