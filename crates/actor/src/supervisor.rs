//! Supervisors: which children, started in which order, restarted by which rule.

mod slot;
mod watch;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::tree::{Kind, State};
use crate::{Backoff, Chance, ChildContext, ChildSpec, Exit, RestartBudget, Tree, TreeHandle};

/// Who is restarted when a child ends and is to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// That child alone.
    OneForOne,
    /// That child and all that were started after it, which may lean on it.
    RestForOne,
    /// All children.
    OneForAll,
}

impl Strategy {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::OneForOne => "one-for-one",
            Self::RestForOne => "rest-for-one",
            Self::OneForAll => "one-for-all",
        }
    }
}

/// A supervisor that does not run yet.
///
/// It starts its children in the order given, each once the one before is ready, and stops them in
/// reverse. A child that ends is restarted by its own [`Restart`](crate::Restart) rule and this
/// supervisor's [`Strategy`], after a back-off. When the restart budget is spent, the supervisor
/// stops all children and fails itself: its own supervisor then deals with it.
pub struct Supervisor {
    pub(crate) name: String,
    pub(crate) strategy: Strategy,
    budget: RestartBudget,
    backoff: Backoff,
    chance: Chance,
    children: Vec<ChildSpec>,
}

impl Supervisor {
    /// A supervisor without children.
    pub fn new(name: impl Into<String>, strategy: Strategy) -> Self {
        Self {
            name: name.into(),
            strategy,
            budget: RestartBudget::default(),
            backoff: Backoff::default(),
            chance: Box::new(|most| rand::random_range(0..=most)),
            children: Vec::new(),
        }
    }

    /// Adds a child, to be started after those added before.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// How many restarts it allows before it fails itself.
    #[must_use]
    pub fn budget(mut self, budget: RestartBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How long it waits before a restart.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Where the jitter of its back-off comes from; the machine's entropy unless set.
    #[must_use]
    pub fn chance(mut self, chance: impl FnMut(u64) -> u64 + Send + 'static) -> Self {
        self.chance = Box::new(chance);
        self
    }

    /// Starts it as the root of a tree, on the tokio runtime that the caller is in.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Running {
        let kind = Kind::Supervisor(self.strategy);
        let node = Arc::new(Node::new(self.name.clone(), kind, Arc::new(Notify::new())));
        node.set_state(State::Starting);
        let context = ChildContext { stop: CancellationToken::new(), node };
        let running_context = context.clone();
        let task = tokio::spawn(async move {
            let exit = self.run(running_context.clone()).await;
            running_context.node.ended(exit.clone());
            exit
        });
        Running { context, task }
    }

    pub(crate) async fn run(self, context: ChildContext) -> Exit {
        watch::Watch::new(self, context).run().await
    }
}

/// A running root supervisor. Dropping it leaves the tree running; [`Running::stop`] ends it.
pub struct Running {
    context: ChildContext,
    task: JoinHandle<Exit>,
}

impl Running {
    /// The tree as it stands.
    pub fn tree(&self) -> Tree {
        self.context.node.snapshot()
    }

    /// A handle that takes snapshots from anywhere.
    pub fn tree_handle(&self) -> TreeHandle {
        TreeHandle(Arc::clone(&self.context.node))
    }

    /// Cancelling this token asks the whole tree to stop, like [`Running::stop`], without waiting.
    pub fn stop_signal(&self) -> CancellationToken {
        self.context.stop_signal()
    }

    /// Waits until the root ends: [`Exit::Stopped`] when asked to, [`Exit::Failed`] when a failure
    /// climbed all the way up.
    ///
    /// # Cancel safety
    /// Safe until it has returned; it returns once.
    pub async fn wait(&mut self) -> Exit {
        Exit::of_task((&mut self.task).await)
    }

    /// Stops every child in reverse start order and waits for the end. Takes at most the sum of
    /// the children's deadlines, and 5 s more for each that blocks its thread: nothing can interrupt
    /// that, so it goes on, and the exit names it.
    ///
    /// # Cancel safety
    /// The tree goes on stopping if this future is dropped.
    pub async fn stop(mut self) -> Exit {
        self.context.stop.cancel();
        self.wait().await
    }
}
