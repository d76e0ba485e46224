//! `godwit send HANDLE --lines`: each line of standard input is one message, blank ones too, so
//! that a file arrives whole. Reading, sealing and waiting run side by side, and memory does not
//! grow with the input.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::{io, thread};

use godwit_base::MessageId;
use godwit_client::{Client, Error, Event, MessageState, Since};
use tokio::sync::{Notify, mpsc};

use super::runs::Runs;
use super::send::{advice, while_linked};
use super::stdin::{Batch, read_lines};
use crate::arguments::Send;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::Sent;

/// Batches read ahead of the outbox: at most as many chunks of input in RAM.
const BATCHES_AHEAD: usize = 4;

/// Sends every line and waits until all reached the state that was asked for. Lines that are in
/// the outbox stay sent, whatever happens to later ones.
pub(super) async fn send(client: &Client, send: &Send, output: &mut Output) -> Result<(), Failure> {
    let (to_outbox, batches) = mpsc::channel(BATCHES_AHEAD);
    thread::spawn(move || {
        read_lines(io::stdin().lock(), |batch| to_outbox.blocking_send(batch).is_ok());
    });
    let lines = Lines { client, send, output: RefCell::new(output), queued: Queued::default() };
    let work = async {
        // Trouble with the home ends both halves; a bad line ends the first, and those before it go on.
        let (filled, waited) = tokio::try_join!(lines.fill(batches), lines.wait())?;
        filled.and(waited)
    };
    while_linked(client, work).await
}

/// The work of one command. Its two halves, [`fill`](Self::fill) and [`wait`](Self::wait), run on
/// one task.
struct Lines<'a> {
    client: &'a Client,
    send: &'a Send,
    output: RefCell<&'a mut Output>,
    queued: Queued,
}

impl Lines<'_> {
    /// Puts what was read into the outbox, batch by batch. Why it ended before its time is said at once:
    /// the lines before may wait for long.
    ///
    /// # Errors
    /// Trouble with the home: nothing will become of the lines before either.
    async fn fill(
        &self,
        mut batches: mpsc::Receiver<Batch>,
    ) -> Result<Result<(), Failure>, Failure> {
        let filled = async {
            let mut lines = 0;
            while let Some(batch) = batches.recv().await {
                lines += self.put(batch.map_err(Stop::Line)?, lines).await?;
            }
            Ok(())
        };
        let filled = filled.await;
        self.queued.complete();
        match filled {
            Ok(()) => Ok(Ok(())),
            Err(Stop::Line(failure)) => Ok(Err(failure.tell())),
            Err(Stop::Home(failure)) => Err(failure),
        }
    }

    /// Puts one batch into the outbox and returns its length; `before` lines went before it.
    async fn put(&self, mut texts: Vec<String>, before: usize) -> Result<usize, Stop> {
        let count = texts.len();
        let too_long = match self.put_all(&texts).await {
            Err(Error::TextTooLong { bytes: _, max }) => {
                let at = texts.iter().position(|text| text.len() > max).unwrap_or_default();
                let bytes = texts.get(at).map_or(0, String::len);
                texts.truncate(at);
                self.put_all(&texts).await?;
                Some((before + at + 1, bytes, max))
            }
            done => {
                done?;
                None
            }
        };
        match too_long {
            None => Ok(count),
            Some((line, bytes, max)) => Err(Stop::Line(Failure::Other(format!(
                "line {line} has {bytes} bytes and a message holds {max}: lines before it were sent, later ones were not; break it and send from there"
            )))),
        }
    }

    /// Puts texts into the outbox, waiting for room where there is none.
    async fn put_all(&self, texts: &[String]) -> Result<(), Error> {
        if texts.is_empty() {
            return Ok(());
        }
        let mut events = None;
        loop {
            match self.client.send_all(&self.send.to, texts.to_vec()).await {
                Ok(ids) => return self.put_done(&ids),
                Err(Error::OutboxFull { .. }) => {}
                Err(error) => return Err(error),
            }
            // Watch first and ask once more: room may have come in between.
            match &mut events {
                None => events = Some(self.client.events(Since::Now)),
                Some(events) => loop {
                    match events.next().await.ok_or(Error::Closed)? {
                        Event::State { .. } | Event::Lagged(_) => break,
                        _ => {}
                    }
                },
            }
        }
    }

    fn put_done(&self, ids: &[MessageId]) -> Result<(), Error> {
        for id in ids {
            self.queued.push(*id);
        }
        if self.output.borrow().is_json() {
            return Ok(()); // printed with its final state
        }
        let text: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.print(|output| output.line(&text.join("\n")));
        Ok(())
    }

    /// Waits for each message in turn.
    ///
    /// # Errors
    /// Trouble with the home: nothing will become of the others.
    async fn wait(&self) -> Result<Result<(), Failure>, Failure> {
        let goal = MessageState::from(self.send.wait);
        let mut timeout = pin!(self.timeout());
        let mut is_late = false;
        let mut tally = Tally::default();
        while let Some(id) = self.queued.next().await {
            let reached = if is_late {
                None
            } else {
                tokio::select! {
                    biased; // a message that is there counts, also at the last moment
                    state = self.client.wait_for(id, goal) => Some(state?),
                    () = &mut timeout => {
                        is_late = true;
                        None
                    }
                }
            };
            let state = match reached {
                Some(state) => state,
                None => self.client.state(id).await?.unwrap_or(MessageState::Pending),
            };
            tally.add(id, state, goal);
            if self.output.borrow().is_json() {
                self.print(|output| output.record(&Sent::new(id, state), |_| String::new()));
            }
        }
        Ok(tally.result(goal))
    }

    /// Ends when the time is up, counted from when the last line was in the outbox.
    async fn timeout(&self) {
        self.queued.completed.notified().await;
        match self.send.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    }

    /// Prints. A reader of the ids who has gone does not stop the sending.
    fn print(&self, print: impl FnOnce(&mut Output) -> Result<(), Failure>) {
        let _ = print(&mut self.output.borrow_mut());
    }
}

/// Why no more lines go into the outbox.
enum Stop {
    /// This line cannot be sent; those before it can.
    Line(Failure),
    /// The home cannot be used.
    Home(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(_) | Error::HomeBusy { .. } | Error::OtherVersion | Error::Closed => {
                Self::Home(error.into())
            }
            error => Self::Line(error.into()),
        }
    }
}

/// Messages in the outbox whose end has not been seen, and whether more will come.
#[derive(Default)]
struct Queued {
    runs: RefCell<Runs>,
    is_complete: Cell<bool>,
    changed: Notify,
    completed: Notify,
}

impl Queued {
    fn push(&self, id: MessageId) {
        self.runs.borrow_mut().push(id);
        self.changed.notify_one();
    }

    fn complete(&self) {
        self.is_complete.set(true);
        self.changed.notify_one();
        self.completed.notify_one();
    }

    /// The oldest id; `None` when the last was taken and no more will come.
    async fn next(&self) -> Option<MessageId> {
        loop {
            let oldest = self.runs.borrow_mut().pop();
            if oldest.is_some() || self.is_complete.get() {
                return oldest;
            }
            self.changed.notified().await;
        }
    }
}

/// How the messages ended.
#[derive(Default)]
struct Tally {
    sent: u64,
    refused: u64,
    late: u64,
    first_refusal: Option<(MessageId, String)>,
    worst_late: Option<MessageState>,
}

impl Tally {
    fn add(&mut self, id: MessageId, state: MessageState, goal: MessageState) {
        self.sent += 1;
        match state {
            MessageState::Failed(failure) => {
                self.refused += 1;
                self.first_refusal.get_or_insert_with(|| (id, failure.to_string()));
            }
            state if state.reached(goal) => {}
            state => {
                self.late += 1;
                let worst = self.worst_late.filter(|worst| !worst.reached(state));
                self.worst_late = Some(worst.unwrap_or(state));
            }
        }
    }

    fn result(self, goal: MessageState) -> Result<(), Failure> {
        let Self { sent, refused, late, first_refusal, worst_late } = self;
        match (first_refusal, worst_late) {
            (Some((id, reason)), _) => Err(Failure::Refused(format!(
                "{refused} of {sent} messages were refused, first {id}: {reason}"
            ))),
            (None, Some(state)) => Err(Failure::TimedOut(format!(
                "{late} of {sent} messages not {goal} in time: {}",
                advice(state)
            ))),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceId;
    use godwit_client::Failure as Reason;

    use super::*;

    fn tally(states: &[MessageState], goal: MessageState) -> Result<(), Failure> {
        let mut tally = Tally::default();
        for (counter, state) in (1..).zip(states) {
            tally.add(MessageId { device: DeviceId::new(1, 1), counter }, *state, goal);
        }
        tally.result(goal)
    }

    #[test]
    fn all_reached_is_success_and_none_sent_too() {
        use MessageState::{Accepted, Delivered, Read};
        assert_eq!(tally(&[], Read), Ok(()));
        assert_eq!(tally(&[Accepted, Delivered, Read], Accepted), Ok(()));
    }

    #[test]
    fn late_ones_are_counted_and_the_least_far_decides_the_advice() {
        use MessageState::{Accepted, Delivered, Pending};
        let Err(Failure::TimedOut(text)) =
            tally(&[Delivered, Accepted, Pending, Accepted], Delivered)
        else {
            panic!("not timed out");
        };
        assert!(
            text.starts_with("3 of 4 messages not delivered in time: it stays in the outbox"),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_outranks_lateness() {
        let failed = MessageState::Failed(Reason::UnknownAccount);
        let Err(Failure::Refused(text)) =
            tally(&[MessageState::Pending, failed, failed], MessageState::Accepted)
        else {
            panic!("not refused");
        };
        assert!(
            text.starts_with("2 of 3 messages were refused, first 0000000000000001.1.2: nobody"),
            "{text}"
        );
    }
}
