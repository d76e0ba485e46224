//! The supervision tree as it stands: what `godwitd tree` prints.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::node::Node;
use crate::{Exit, Strategy};

/// What a node of the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Does work.
    Worker,
    /// Watches children by this strategy.
    Supervisor(Strategy),
}

/// Where a node of the tree stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not started yet: an earlier sibling is not ready.
    Waiting,
    /// Started, not ready yet.
    Starting,
    /// Up.
    Running,
    /// It shows no sign of life and cannot be ended: it blocks its thread.
    Stuck,
    /// Asked to stop.
    Stopping,
    /// Ended, to be started again after the back-off.
    BackingOff,
    /// Ended, and stays so.
    Ended,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stuck => "stuck",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing off",
            Self::Ended => "ended",
        }
    }
}

/// A snapshot of a node and of all below it. Prints as an indented tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Name, unique among its siblings.
    pub name: String,
    /// Worker or supervisor.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Milliseconds since the state last changed.
    pub age_ms: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// How often it ended by a panic.
    pub panics: u64,
    /// Why it ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Exit>,
    /// Things that wait for it, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<usize>,
    /// What else there is to count, by name; whoever shows the tree adds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Its children in start order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Tree>,
}

impl Tree {
    /// The node at a path of names below this one: `tree.find(&["store", "writer"])`.
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        match path.split_first() {
            None => Some(self),
            Some((name, rest)) => self.children.iter().find(|c| c.name == *name)?.find(rest),
        }
    }

    /// Adds a number to the node at a path of names below this one; nothing if there is none.
    pub fn count(&mut self, path: &[&str], name: &str, value: u64) {
        match path.split_first() {
            None => {
                self.counts.insert(name.to_owned(), value);
            }
            Some((first, rest)) => {
                if let Some(child) = self.children.iter_mut().find(|child| child.name == *first) {
                    child.count(rest, name, value);
                }
            }
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, lead: &str, branch: &str) -> fmt::Result {
        write!(f, "{lead}{branch}{}", self.name)?;
        if let Kind::Supervisor(strategy) = self.kind {
            write!(f, " ({})", strategy.text())?;
        }
        write!(f, "  {} {}", self.state.text(), Age(self.age_ms))?;
        if self.restarts > 0 {
            write!(f, ", {} restarts", self.restarts)?;
        }
        if self.panics > 0 {
            write!(f, ", {} panics", self.panics)?;
        }
        if let Some(depth) = self.inbox {
            write!(f, ", inbox {depth}")?;
        }
        for (name, value) in &self.counts {
            write!(f, ", {} {value}", name.replace('_', " "))?;
        }
        if let Some(exit) = &self.last_exit {
            write!(f, ", last {exit}")?;
        }
        writeln!(f)?;
        let stem = match branch {
            "" => "",
            "└─ " => "   ",
            _ => "│  ",
        };
        let lead = format!("{lead}{stem}");
        for (index, child) in self.children.iter().enumerate() {
            let last = index + 1 == self.children.len();
            child.write(f, &lead, if last { "└─ " } else { "├─ " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "", "")
    }
}

struct Age(u64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms @ ..1_000 => write!(f, "{ms} ms"),
            ms @ ..60_000 => write!(f, "{} s", ms / 1_000),
            ms @ ..3_600_000 => write!(f, "{} min", ms / 60_000),
            ms @ ..86_400_000 => write!(f, "{} h", ms / 3_600_000),
            ms => write!(f, "{} d", ms / 86_400_000),
        }
    }
}

/// Takes snapshots of a running tree; cheap to clone, outlives the tree.
#[derive(Clone)]
pub struct TreeHandle(pub(crate) Arc<Node>);

impl TreeHandle {
    /// The tree as it stands.
    pub fn snapshot(&self) -> Tree {
        self.0.snapshot()
    }
}
