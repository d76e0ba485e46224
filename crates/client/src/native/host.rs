//! The task behind every clone of a [`Client`](super::Client).

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::request::{Answer, Request};
use crate::{ConnectionState, Error, Event};

/// Calls that may wait for the task; more make the callers wait. 256 small requests.
pub(crate) const CALLS_MAX: usize = 256;

/// Events that a slow stream may be behind before it is told [`Event::Lagged`]; a drain of a full
/// mailbox can bring more, the history has them.
pub(crate) const EVENTS_MAX: usize = 1_024;

/// One call on its way to the task.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Cheap handle on the task.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) connection: watch::Receiver<ConnectionState>,
}

impl Host {
    /// Asks and waits for the answer.
    ///
    /// # Cancel safety
    /// Dropped before it was taken, the request never happens; dropped later, it still does.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { request, answer }).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}
