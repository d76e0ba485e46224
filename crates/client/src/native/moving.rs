//! The files that the owner of the home moves, one task each: started when somebody asks, or when the
//! home is opened with an upload that is not done; given tickets as the core brings them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use godwit_base::BlobId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::engine::Voice;
use super::request::Answer;
use crate::core::{SendKey, Ticket, Way};
use crate::files::{Access, Broken, Files};
use crate::{Error, Event};

/// Events about one file, so that a fast one does not drown the others: a step of a bar each.
const TOLD_MAX: u64 = 100;

/// Files that are moved at once, half of what the server takes of a device: another home's worth of
/// room for those that a cut has left open there.
const MOVING_MAX: usize = 4;

/// What somebody waits for.
pub(crate) enum Wanted {
    /// The message that goes when the file is up.
    Message(SendKey),
    /// The file; whether the server is to be told that it is here.
    File { tell: bool },
}

/// Somebody who waits, for what.
pub(crate) type Asker = (Wanted, oneshot::Sender<Answer>);

/// Everything that is moving or waits for its ticket.
pub(crate) struct Moving {
    files: Files,
    /// `host:port` of the server.
    address: String,
    voice: Voice,
    transfers: BTreeMap<(BlobId, Way), Transfer>,
    tasks: JoinSet<Ended>,
}

struct Transfer {
    bytes: u64,
    is_running: bool,
    ticket: Option<Bytes>,
    askers: Vec<Asker>,
}

/// A task has ended.
pub(crate) struct Ended {
    blob: BlobId,
    way: Way,
    outcome: Result<(), Broken>,
}

/// What to do next about a file.
pub(crate) enum Next {
    /// Ask the core for another ticket.
    Ticket(BlobId, Way),
    /// It is done, or will not be: tell these.
    Over(BlobId, Way, Result<(), Error>, Vec<Asker>),
}

impl Moving {
    pub(crate) fn start(
        files: Files,
        (host, port): (&str, u16),
        voice: Voice,
    ) -> Result<Self, Error> {
        files.tidy()?;
        let address = format!("{host}:{port}");
        Ok(Self { files, address, voice, transfers: BTreeMap::new(), tasks: JoinSet::new() })
    }

    /// Somebody wants a file moved. Returns whether a ticket is needed: it is not under way yet.
    pub(crate) fn want(
        &mut self,
        blob: BlobId,
        way: Way,
        bytes: u64,
        asker: Option<Asker>,
    ) -> bool {
        let is_new = !self.transfers.contains_key(&(blob, way));
        let fresh = || Transfer { bytes, is_running: false, ticket: None, askers: Vec::new() };
        let transfer = self.transfers.entry((blob, way)).or_insert_with(fresh);
        transfer.askers.extend(asker);
        is_new
    }

    /// Whether this device has a file whole already.
    pub(crate) fn has(&self, blob: BlobId, sealed_bytes: u64) -> bool {
        std::fs::metadata(self.files.whole(blob)).is_ok_and(|found| found.len() == sealed_bytes)
    }

    /// A ticket came, or a no.
    pub(crate) fn on_ticket(&mut self, ticket: Ticket) -> Option<Next> {
        let Ticket { blob, way, answer } = ticket;
        let transfer = self.transfers.get_mut(&(blob, way))?;
        match answer {
            Ok(grant) if way == Way::Up && grant.already_there => self.over(blob, way, Ok(())),
            // Not the file that the message names, whatever it is.
            Ok(grant) if way == Way::Down && grant.bytes != transfer.bytes => {
                self.over(blob, way, Err(forged()))
            }
            Ok(grant) => {
                transfer.ticket = Some(grant.ticket);
                self.start_some();
                None
            }
            Err(error) => self.over(blob, way, Err(error)),
        }
    }

    fn over(&mut self, blob: BlobId, way: Way, outcome: Result<(), Error>) -> Option<Next> {
        let transfer = self.transfers.remove(&(blob, way))?;
        Some(Next::Over(blob, way, outcome, transfer.askers))
    }

    /// Starts what has a ticket, as much as may run.
    fn start_some(&mut self) {
        let running = self.transfers.values().filter(|transfer| transfer.is_running).count();
        let ready = self.transfers.iter_mut().filter(|(_, t)| !t.is_running && t.ticket.is_some());
        for ((blob, way), transfer) in ready.take(MOVING_MAX.saturating_sub(running)) {
            let Some(ticket) = transfer.ticket.take() else { continue };
            transfer.is_running = true;
            let access = Access { address: self.address.clone(), ticket };
            let (files, bytes, blob, way) = (self.files.clone(), transfer.bytes, *blob, *way);
            let moved = teller(self.voice.clone(), blob, way, bytes);
            self.tasks.spawn(async move {
                let outcome = match way {
                    Way::Up => files.send(&access, blob, moved).await,
                    Way::Down => files.fetch(&access, blob, bytes, moved).await,
                };
                Ended { blob, way, outcome }
            });
        }
    }

    /// The next task that has ended; never, if none runs.
    ///
    /// # Cancel safety
    /// Safe: an end is taken only when it is returned.
    pub(crate) async fn next(&mut self) -> Ended {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                // A panic in a task is a bug; who waits for it is told when the home is closed.
                Some(Err(_)) => {}
                None => return std::future::pending().await,
            }
        }
    }

    /// What follows from an end.
    pub(crate) fn on_ended(&mut self, ended: Ended) -> Option<Next> {
        let Ended { blob, way, outcome } = ended;
        if let Some(transfer) = self.transfers.get_mut(&(blob, way)) {
            transfer.is_running = false;
        }
        let next = match outcome {
            Ok(()) => self.over(blob, way, Ok(())),
            Err(Broken::Ticket) => Some(Next::Ticket(blob, way)),
            Err(Broken::Refused(refusal, _)) => {
                self.over(blob, way, Err(Error::refused(refusal.number().into())))
            }
            Err(Broken::Forged) => self.over(blob, way, Err(forged())),
            Err(Broken::Disk(error) | Broken::Cut(error)) => {
                self.over(blob, way, Err(Error::File(error.to_string())))
            }
        };
        self.start_some();
        next
    }

    /// The sealed form of what was uploaded is needed no more.
    pub(crate) fn forget(&self, blob: BlobId) {
        let path = self.files.whole(blob);
        tokio::task::spawn_blocking(move || std::fs::remove_file(path));
    }
}

/// Tells how far a file is, now and then and at its end.
fn teller(
    voice: Voice,
    blob: BlobId,
    way: Way,
    bytes: u64,
) -> impl Fn(u64) + Clone + Send + 'static {
    let told = Arc::new(AtomicU64::new(u64::MAX));
    move |done_bytes| {
        let step = done_bytes.saturating_mul(TOLD_MAX) / bytes.max(1);
        if told.swap(step, Ordering::Relaxed) != step {
            voice.say(Event::Transfer { blob, way, done_bytes, bytes });
        }
    }
}

fn forged() -> Error {
    Error::File(
        "the server gave another file than the message names: ask the sender to send it again"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use godwit_wire::v1;
    use tokio::sync::{broadcast, watch};

    use super::*;
    use crate::ConnectionState;

    /// A server that grants a file of another length than the message names is not asked for a byte.
    #[tokio::test]
    async fn a_grant_of_another_length_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let events = broadcast::channel(8).0;
        let connection = watch::channel(ConnectionState::Connecting).0;
        let files = Files::at(folder.path()).unwrap();
        let voice = Voice { events, connection };
        let mut moving = Moving::start(files, ("127.0.0.1", 1), voice).unwrap();
        let blob = BlobId([7; 32]);
        let granted = |bytes| Ticket {
            blob,
            way: Way::Down,
            answer: Ok(v1::MediaGrant { bytes, ..v1::MediaGrant::default() }),
        };
        for bytes in [0, 999, 1_001, u64::MAX] {
            assert!(moving.want(blob, Way::Down, 1_000, None), "it is new");
            let next = moving.on_ticket(granted(bytes));
            assert!(
                matches!(next, Some(Next::Over(_, Way::Down, Err(Error::File(_)), _))),
                "{bytes}"
            );
            assert!(moving.tasks.is_empty());
        }
        assert!(moving.want(blob, Way::Down, 1_000, None));
        assert!(moving.on_ticket(granted(1_000)).is_none());
        assert_eq!(moving.tasks.len(), 1, "the right one is fetched");
    }
}
