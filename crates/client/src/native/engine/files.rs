//! What the owner does about files: commands, and what follows from tickets and ends of transfers.

use godwit_base::BlobId;
use tokio::sync::oneshot;

use super::Engine;
use crate::core::Way;
use crate::native::moving::{Asker, Next, Wanted};
use crate::native::request::{Answer, Request, Response};
use crate::{Error, Event, WarningKind};

impl Engine {
    /// What was not uploaded when the home was closed goes on.
    pub(super) fn resume_uploads(&mut self) {
        for upload in self.core.uploads() {
            self.move_file(upload.blob, Way::Up, upload.bytes, None);
        }
    }

    /// What is answered when a file has moved. Gives back what is no such thing.
    pub(super) fn file_command(
        &mut self,
        request: Request,
        asker: oneshot::Sender<Answer>,
    ) -> Option<(Request, oneshot::Sender<Answer>)> {
        match request {
            Request::SendFile { key, to, media, text, context } => {
                let media = media.media();
                match self.core.upload(key, &to, &media, &text, &context) {
                    Err(error) => self.answers.push((asker, Err(error))),
                    Ok(()) => match self.core.sent(&key) {
                        Some(id) => self.answers.push((asker, Ok(Response::Sent(vec![id])))),
                        None => {
                            let asker = Some((Wanted::Message(key), asker));
                            self.move_file(media.blob, Way::Up, media.sealed_bytes, asker);
                        }
                    },
                }
            }
            Request::Bring { media, tell } => {
                if self.moving.has(media.blob, media.sealed_bytes) {
                    self.has(media.blob, tell);
                    self.answers.push((asker, Ok(Response::Done)));
                } else {
                    let asker = Some((Wanted::File { tell }, asker));
                    self.move_file(media.blob, Way::Down, media.sealed_bytes, asker);
                }
            }
            other => return Some((other, asker)),
        }
        None
    }

    fn move_file(&mut self, blob: BlobId, way: Way, bytes: u64, asker: Option<Asker>) {
        if self.moving.want(blob, way, bytes, asker) {
            let now = self.now();
            self.core.want_ticket(blob, way, false, now);
        }
    }

    fn has(&mut self, blob: BlobId, tell: bool) {
        if tell {
            self.core.has_fetched(blob);
        }
    }

    /// What follows from a ticket, or from the end of a transfer.
    pub(super) fn follow(&mut self, next: Option<Next>) {
        match next {
            None => {}
            Some(Next::Ticket(blob, way)) => {
                let now = self.now();
                self.core.want_ticket(blob, way, true, now);
            }
            Some(Next::Over(blob, way, outcome, askers)) => self.over(blob, way, &outcome, askers),
        }
    }

    fn over(&mut self, blob: BlobId, way: Way, outcome: &Result<(), Error>, askers: Vec<Asker>) {
        let unsent = match way {
            Way::Up => self.uploaded(blob, outcome, askers.is_empty()),
            Way::Down => None,
        };
        for (wanted, asker) in askers {
            let answer = match (outcome, wanted) {
                (Err(error), _) => Err(error.clone()),
                (Ok(()), Wanted::Message(key)) => {
                    let why = || unsent.clone().unwrap_or(Error::Closed);
                    let id = self.core.sent(&key).ok_or_else(why);
                    id.map(|id| Response::Sent(vec![id]))
                }
                (Ok(()), Wanted::File { tell }) => {
                    self.has(blob, tell);
                    Ok(Response::Done)
                }
            };
            self.answers.push((asker, answer));
        }
    }

    /// The messages that waited for the file go, or never will. Returns why one does not.
    fn uploaded(
        &mut self,
        blob: BlobId,
        outcome: &Result<(), Error>,
        is_alone: bool,
    ) -> Option<Error> {
        let mut unsent = None;
        let now = self.now();
        let waiting = self.core.uploads().into_iter().filter(|upload| upload.blob == blob);
        for upload in waiting {
            let sent = match outcome {
                Ok(()) => self.core.uploaded(upload.key, now).map(drop),
                Err(error) => {
                    self.core.give_up(upload.key);
                    Err(error.clone())
                }
            };
            let Err(error) = sent else { continue };
            // Whoever waits for it is told by the answer.
            if is_alone {
                let text = format!("a file was not sent: {error}");
                self.voice.say(Event::Warning { kind: WarningKind::NotSent, with: None, text });
            }
            unsent = Some(error);
        }
        self.moving.forget(blob);
        unsent
    }
}
