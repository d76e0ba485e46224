//! The live node behind a [`Tree`]: written by the child and its supervisor, read by anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::tree::{Kind, State};
use crate::{Exit, Tree};

/// An inbox depth that was never reported.
const UNTOLD: usize = usize::MAX;

pub(crate) struct Node {
    name: String,
    kind: Kind,
    inbox: AtomicUsize,
    born: Instant,
    /// Milliseconds from then to the last sign of life.
    beat_ms: AtomicU64,
    status: Mutex<Status>,
    /// Told when the child becomes ready: its supervisor waits on it.
    ready: Arc<Notify>,
}

struct Status {
    state: State,
    since: Instant,
    restarts: u64,
    panics: u64,
    last_exit: Option<Exit>,
    children: Vec<Arc<Node>>,
}

impl Node {
    pub(crate) fn new(name: String, kind: Kind, ready: Arc<Notify>) -> Self {
        let born = Instant::now();
        let status = Status {
            state: State::Waiting,
            since: born,
            restarts: 0,
            panics: 0,
            last_exit: None,
            children: Vec::new(),
        };
        let (inbox, beat_ms) = (AtomicUsize::new(UNTOLD), AtomicU64::new(0));
        Self { name, kind, inbox, born, beat_ms, status: Mutex::new(status), ready }
    }

    // No code that can panic runs under this lock, and a snapshot of a poisoned one is still true.
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn state(&self) -> State {
        self.status().state
    }

    pub(crate) fn set_state(&self, state: State) {
        let mut status = self.status();
        status.state = state;
        status.since = Instant::now();
    }

    /// Starting becomes running; any other state stays.
    pub(crate) fn set_ready(&self) {
        let mut status = self.status();
        if status.state == State::Starting {
            status.state = State::Running;
            status.since = Instant::now();
            self.ready.notify_one();
        }
    }

    pub(crate) fn ended(&self, exit: Exit) {
        let mut status = self.status();
        status.state = State::Ended;
        status.since = Instant::now();
        status.panics += u64::from(matches!(exit, Exit::Panicked(_)));
        status.last_exit = Some(exit);
    }

    pub(crate) fn count_restart(&self) {
        self.status().restarts += 1;
    }

    pub(crate) fn beat(&self) {
        let ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(ms, Ordering::Relaxed);
    }

    /// When it last showed that it is alive; its start is a sign too.
    pub(crate) fn last_beat(&self) -> Instant {
        self.born + Duration::from_millis(self.beat_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn report_inbox(&self, depth: usize) {
        self.inbox.store(depth.min(UNTOLD - 1), Ordering::Relaxed);
    }

    pub(crate) fn set_children(&self, children: Vec<Arc<Node>>) {
        self.status().children = children;
    }

    pub(crate) fn snapshot(&self) -> Tree {
        let inbox = self.inbox.load(Ordering::Relaxed);
        let status = self.status();
        Tree {
            name: self.name.clone(),
            kind: self.kind,
            state: status.state,
            age_ms: u64::try_from(status.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            restarts: status.restarts,
            panics: status.panics,
            last_exit: status.last_exit.clone(),
            inbox: (inbox != UNTOLD).then_some(inbox),
            counts: BTreeMap::new(),
            children: status.children.iter().map(|child| child.snapshot()).collect(),
        }
    }
}
