//! The sending half of a pair: keeps to its pace, follows its ticks, and sends again what was
//! refused for now, in order.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use godwit_base::AccountId;
use godwit_wire::{Refusal, ToClient, ToServer, v1};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::pairs::Pace;
use super::tally::Tally;
use crate::conn::Conn;
use crate::error::LoadError;

pub(super) struct Sender {
    conn: Conn,
    pair: u32,
    to: AccountId,
    /// Its place among the senders, 0 to 1: an even pace is even over all of them.
    turn: f64,
    filling: Vec<u8>,
    tally: Rc<Tally>,
    newest: u64,
    /// Submitted and neither done nor given up, in order.
    waiting: VecDeque<Waiting>,
    /// A refusal for now: from which counter on to send again, and when.
    held: Option<(u64, Instant)>,
    /// The next submission of an even pace.
    due: Option<Instant>,
}

struct Waiting {
    counter: u64,
    /// When it was due: a pause of the server does not hide what would have waited in it.
    at: Instant,
    accepted: bool,
}

impl Sender {
    pub(super) fn new(
        conn: Conn,
        pair: u32,
        to: AccountId,
        turn: f64,
        filling: Vec<u8>,
        tally: Rc<Tally>,
    ) -> Self {
        let (waiting, held, due) = (VecDeque::new(), None, None);
        Self { conn, pair, to, turn, filling, tally, newest: 0, waiting, held, due }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(mut self, mut pace: watch::Receiver<Pace>) -> Result<(), LoadError> {
        loop {
            let before = self.conn.traffic();
            let now = *pace.borrow_and_update();
            self.send_again()?;
            self.keep_pace(now)?;
            self.conn.flush().await?;
            // Without room the next submission waits for an answer, not for the clock.
            let due = self.due.filter(|_| self.has_room());
            let wake = self.held.map(|(_, at)| at).or(due);
            let mut heard = Vec::new();
            let over = tokio::select! {
                read = self.conn.hear(|message| heard.push(message)) => read.map(|()| false)?,
                changed = pace.changed() => changed.is_err(),
                () = until(wake) => false,
            };
            self.take(heard)?;
            self.tally.count_sender(before, self.conn.traffic());
            if over {
                return Ok(());
            }
        }
    }

    /// Submits what the pace asks for.
    fn keep_pace(&mut self, pace: Pace) -> Result<(), LoadError> {
        let now = Instant::now();
        match pace {
            Pace::Rest => self.due = None,
            Pace::Window(window) => {
                self.due = None;
                while self.held.is_none() && self.waiting.len() < window as usize {
                    self.submit_new(now)?;
                }
            }
            Pace::Every(gap) => {
                let mut due = self.first_due(now, gap);
                while due <= now && self.has_room() {
                    self.submit_new(due)?;
                    due += gap;
                }
                self.due = Some(due);
            }
            Pace::Offer(gap) => {
                let mut due = self.first_due(now, gap);
                while due <= now {
                    if self.has_room() {
                        self.submit_new(now)?;
                    }
                    due += gap;
                }
                self.due = Some(due);
            }
        }
        Ok(())
    }

    fn first_due(&self, now: Instant, gap: Duration) -> Instant {
        self.due.unwrap_or_else(|| now + gap.mul_f64(self.turn))
    }

    fn has_room(&self) -> bool {
        self.held.is_none() && self.waiting.len() < super::WINDOW_MAX as usize
    }

    fn submit_new(&mut self, at: Instant) -> Result<(), LoadError> {
        self.newest += 1;
        self.tally.submitted();
        self.waiting.push_back(Waiting { counter: self.newest, at, accepted: false });
        self.submit(self.newest, at)
    }

    fn submit(&mut self, counter: u64, at: Instant) -> Result<(), LoadError> {
        let stamp = self.tally.stamp(at).to_be_bytes();
        if let Some(head) = self.filling.first_chunk_mut() {
            *head = stamp;
        }
        self.tally.writes(self.pair, counter);
        self.conn.say(&submission(counter, self.to, &self.filling))
    }

    /// After a refusal for now: everything from there on, in order.
    fn send_again(&mut self) -> Result<(), LoadError> {
        let Some((from, at)) = self.held else { return Ok(()) };
        if at > Instant::now() {
            return Ok(());
        }
        self.held = None;
        let waiting = std::mem::take(&mut self.waiting);
        let mut again = waiting.iter().filter(|w| !w.accepted && w.counter >= from);
        let result = again.try_for_each(|w| self.submit(w.counter, w.at));
        self.waiting = waiting;
        result
    }

    fn take(&mut self, heard: Vec<ToClient>) -> Result<(), LoadError> {
        let mut newest_receipt = None;
        for message in heard {
            match message {
                ToClient::Accepted(accepted) => self.accepted(accepted.counter),
                ToClient::Receipt(receipt) => {
                    self.done(receipt.up_to);
                    newest_receipt = Some(receipt.seq);
                }
                ToClient::Refused(refused) => self.refused(&refused),
                ToClient::Goodbye(goodbye) => {
                    let v1::Goodbye { code, reconnect_after_ms: retry_after_ms } = goodbye;
                    return Err(LoadError::Refused { what: "to go on", code, retry_after_ms });
                }
                _ => {}
            }
        }
        match newest_receipt {
            Some(up_to) => self.conn.say(&ToServer::Ack(v1::Ack { up_to })),
            None => Ok(()),
        }
    }

    fn accepted(&mut self, counter: u64) {
        let found = self.waiting.iter_mut().find(|waiting| waiting.counter == counter);
        if let Some(waiting) = found.filter(|waiting| !waiting.accepted) {
            waiting.accepted = true;
            self.tally.accepted(self.pair, counter, waiting.at.elapsed());
        }
    }

    fn done(&mut self, up_to: u64) {
        while let Some(waiting) = self.waiting.pop_front_if(|w| w.counter <= up_to) {
            self.tally.finished(waiting.at.elapsed());
        }
    }

    fn refused(&mut self, refused: &v1::Refused) {
        if Refusal::from_number(refused.code).is_some_and(Refusal::retryable) {
            let at = Instant::now() + Duration::from_millis(refused.retry_after_ms.into());
            let from = self.held.map_or(refused.counter, |(from, _)| from.min(refused.counter));
            self.held = Some((from, self.held.map_or(at, |(_, held)| held.max(at))));
            self.tally.refused_for_now.set(self.tally.refused_for_now.get() + 1);
        } else {
            self.waiting.retain(|waiting| waiting.counter != refused.counter);
            self.tally.given_up();
        }
    }
}

/// A message to the one device of an account.
pub(in crate::work) fn submission(counter: u64, to: AccountId, body: &[u8]) -> ToServer {
    let (kind, body) = (v1::CopyKind::Message.into(), Bytes::copy_from_slice(body));
    let copies = vec![v1::SealedCopy { device: 1, kind, body }];
    let recipients = vec![v1::Recipient { account: to.0, list_version: 1, copies }];
    ToServer::Submit(v1::Submit { counter, recipients, group: None })
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
