//! Why a supervised task ended.

use std::any::Any;
use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::task::JoinError;

/// Why a supervised task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason", content = "why")]
pub enum Exit {
    /// It finished its work.
    Done,
    /// It was asked to stop, and did.
    Stopped,
    /// It was asked to stop, did not within its deadline, and was ended by force.
    Killed,
    /// It cannot go on; the text says why, for the people who run the server.
    Failed(String),
    /// It panicked, with this message.
    Panicked(String),
}

impl Exit {
    /// [`Exit::Failed`] with the text of an error.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// Whether it ended as it should: done or stopped. A transient child is then left alone.
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Done | Self::Stopped)
    }

    pub(crate) fn of_task(joined: Result<Self, JoinError>) -> Self {
        match joined.map_err(JoinError::try_into_panic) {
            Ok(exit) => exit,
            Err(Ok(payload)) => Self::of_panic(payload.as_ref()),
            Err(Err(_cancelled)) => Self::Killed,
        }
    }

    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("a payload that is not text").to_owned())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Stopped => f.write_str("stopped"),
            Self::Killed => f.write_str("killed"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Panicked(why) => write!(f, "panicked: {why}"),
        }
    }
}
