//! Streams of events and of what arrives: messages, and what is said about them.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use tokio::sync::{broadcast, oneshot};

use super::home::Home;
use super::host::Host;
use super::request::{Answer, Request, Response};
use crate::{Arrived, Error, Event};

/// Messages read from the history at once.
const PAGE: u32 = 100;

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
    /// What was stored before the stream began; read to the end first.
    stored: Option<Stored>,
    /// Messages up to this row were given out already.
    given: u64,
}

impl EventStream {
    pub(crate) fn new(host: &Host, since: Since) -> Self {
        let events = host.events();
        match since {
            Since::Now => Self { events, stored: None, given: 0 },
            Since::Row(row) => {
                Self { events, stored: Some(Stored::after(host.clone(), row)), given: row }
            }
        }
    }

    /// The next event; `None` when the client was closed.
    ///
    /// # Cancel safety
    /// Safe: an event is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        while let Some(stored) = &mut self.stored {
            match stored.next().await {
                Ok(Some(arrived)) => {
                    self.given = arrived.row();
                    return Some(match arrived {
                        Arrived::Message(item) => Event::Message(item),
                        Arrived::Changed(changed) => Event::Changed(changed),
                    });
                }
                Ok(None) => self.stored = None,
                Err(_) => return None,
            }
        }
        loop {
            match self.events.recv().await {
                Ok(Event::Message(item)) if !item.is_outgoing() && item.row <= self.given => {}
                Ok(Event::Changed(changed)) if changed.row <= self.given => {}
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(dropped)) => {
                    return Some(Event::Lagged(dropped));
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Incoming messages of the history, page by page.
#[derive(Debug)]
struct Stored {
    host: Host,
    page: VecDeque<Arrived>,
    row: u64,
    /// The next page is on its way. It survives a dropped `next`: a caller that drops often must
    /// get on as well.
    asked: Option<oneshot::Receiver<Answer>>,
}

impl Stored {
    fn after(host: Host, row: u64) -> Self {
        Self { host, page: VecDeque::new(), row, asked: None }
    }

    /// The next one there is; `None` at the present end. Cancel safe.
    async fn next(&mut self) -> Result<Option<Arrived>, Error> {
        if self.page.is_empty() {
            let asked = match &mut self.asked {
                Some(asked) => asked,
                None => {
                    let request = Request::ArrivedAfter { row: self.row, limit: PAGE };
                    self.asked.insert(self.host.begin(request).await?)
                }
            };
            let answer = asked.await;
            self.asked = None;
            match answer.map_err(|_| Error::Closed)?? {
                Response::Arrived(page) => self.page = page.into(),
                _ => return Err(Error::OtherVersion),
            }
        }
        let next = self.page.pop_front();
        if let Some(arrived) = &next {
            self.row = arrived.row();
        }
        Ok(next)
    }
}

/// Every incoming message once, in the order in which it was stored, across restarts.
#[derive(Debug)]
pub struct InboxReader {
    stored: Stored,
    events: broadcast::Receiver<Event>,
    cursor: File,
    shown: u64,
}

impl InboxReader {
    pub(crate) fn open(host: &Host, home: &Home) -> Result<Self, Error> {
        let open = || -> std::io::Result<(File, u64)> {
            let cursor = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(home.cursor())?;
            let mut row = [0; 8];
            let read = cursor.read_at(&mut row, 0)?;
            Ok((cursor, if read == row.len() { u64::from_be_bytes(row) } else { 0 }))
        };
        let events = host.events();
        let (cursor, shown) = open().map_err(|error| home.io(&error))?;
        Ok(Self { stored: Stored::after(host.clone(), shown), events, cursor, shown })
    }

    /// The next message; waits for one. What was not yet [`shown`](Self::shown) when the process
    /// ended comes again first.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: a message is taken only when it is returned.
    pub async fn next(&mut self) -> Result<Arrived, Error> {
        loop {
            if let Some(item) = self.stored.next().await? {
                return Ok(item);
            }
            // Everything stored was given: wait for a sign that there is more.
            match self.events.recv().await {
                Err(broadcast::error::RecvError::Closed) => return Err(Error::Closed),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            }
        }
    }

    /// The next message if one is stored already; `None` when all that is stored was given.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: a message is taken only when it is returned.
    pub async fn try_next(&mut self) -> Result<Option<Arrived>, Error> {
        // A dropped `next` may have asked before something was stored that the caller knows of.
        let is_late = self.stored.asked.is_some();
        match self.stored.next().await? {
            None if is_late => self.stored.next().await,
            next => Ok(next),
        }
    }

    /// Remembers that the application has shown this message and all before it. Survives the end
    /// of this process (kill -9 too), not a power cut: then the last ones come again.
    ///
    /// # Errors
    /// When the cursor's file cannot be written.
    pub fn shown(&mut self, arrived: &Arrived) -> Result<(), Error> {
        let row = arrived.row();
        if row > self.shown {
            self.cursor
                .write_all_at(&row.to_be_bytes(), 0)
                .map_err(|error| Error::Storage(error.to_string()))?;
            self.shown = row;
        }
        Ok(())
    }
}
