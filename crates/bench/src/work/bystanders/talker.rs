//! A device that sends as much as it likes. It says nothing twice that was accepted, but of what it is
//! told when it is refused it takes only from where on, and never the delay.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use godwit_base::AccountId;
use godwit_wire::{ToClient, ToServer, v1};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::crew::Done;
use crate::conn::Conn;
use crate::error::LoadError;
use crate::work::chat::tally::Tally;

/// Submissions without an answer: twice of what the server takes from one session.
const OPEN_MAX: u64 = 512;

/// Bytes of a submission: it has to go into one frame, of 65,535 bytes.
const SUBMISSION_BYTES: usize = 60_000;

/// What a copy has around its body: account, version, device and lengths are 22.
const AROUND_BODY_BYTES: usize = 32;

pub(super) struct Talker {
    conn: Conn,
    to: Vec<AccountId>,
    body: Bytes,
    /// Who counts what comes, by the place of the account in `to`.
    tally: Rc<Tally>,
    /// The counter that is next; below one that was said, after a refusal.
    next: u64,
    newest: u64,
    open: u64,
    accepted: u64,
    refused: u64,
}

impl Talker {
    pub(super) fn new(conn: Conn, to: Vec<AccountId>, body_bytes: usize, tally: Rc<Tally>) -> Self {
        let body = Bytes::from(vec![0; body_bytes]);
        Self { conn, to, body, tally, next: 1, newest: 0, open: 0, accepted: 0, refused: 0 }
    }

    /// One message to everybody at each `gap`, for so long; what finds no room is not said.
    pub(super) async fn talks_evenly(
        &mut self,
        gap: Duration,
        long: Duration,
    ) -> Result<(), LoadError> {
        let end = Instant::now() + long;
        let mut clock = interval(gap);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = sleep_until(end) => return Ok(()),
                _ = clock.tick() => {
                    for _ in 0..self.rounds() {
                        if self.has_room() {
                            self.say()?;
                        }
                    }
                    self.conn.flush().await?;
                }
                heard = Self::hear(&mut self.conn) => self.take(&heard?),
            }
        }
    }

    /// As many as the connection takes, for so long.
    pub(super) async fn talks(&mut self, long: Duration) -> Result<(), LoadError> {
        let end = Instant::now() + long;
        loop {
            while self.has_room() {
                self.say()?;
            }
            self.conn.flush().await?;
            tokio::select! {
                () = sleep_until(end) => return Ok(()),
                heard = Self::hear(&mut self.conn) => self.take(&heard?),
            }
        }
    }

    /// Says nothing more, and waits until all is answered, or nothing comes for so long.
    pub(super) async fn falls_silent(&mut self, patience: Duration) -> Result<(), LoadError> {
        while self.open > 0 {
            let Ok(heard) = timeout(patience, Self::hear(&mut self.conn)).await else { break };
            self.take(&heard?);
        }
        Ok(())
    }

    /// What came of it, by now.
    pub(super) fn done(&self) -> Done {
        Done { messages: self.accepted, refused: self.refused, lost: self.tally.verdict().0 }
    }

    /// After a refusal all that is open is answered first: what follows it is refused too.
    fn has_room(&self) -> bool {
        self.open < OPEN_MAX && (self.next > self.newest || self.open == 0)
    }

    /// Recipients of one submission.
    fn at_once(&self) -> usize {
        (SUBMISSION_BYTES / (self.body.len() + AROUND_BODY_BYTES)).max(1)
    }

    /// Submissions until everybody was sent to.
    fn rounds(&self) -> usize {
        self.to.len().div_ceil(self.at_once()).max(1)
    }

    /// Whom a submission is for: it goes round them.
    fn recipients_of(&self, counter: u64) -> Range<usize> {
        let turn = usize::try_from(counter.saturating_sub(1)).unwrap_or(0) % self.rounds();
        let first = turn * self.at_once();
        first..(first + self.at_once()).min(self.to.len())
    }

    fn say(&mut self) -> Result<(), LoadError> {
        let recipient = |account: &AccountId| {
            let (kind, body) = (v1::CopyKind::Message.into(), self.body.clone());
            let copies = vec![v1::SealedCopy { device: 1, kind, body }];
            v1::Recipient { account: account.0, list_version: 1, copies }
        };
        let to = self.to.get(self.recipients_of(self.next)).unwrap_or_default();
        let recipients = to.iter().map(recipient).collect();
        let submit = v1::Submit { counter: self.next, recipients, group: None };
        self.conn.say(&ToServer::Submit(submit))?;
        self.newest = self.newest.max(self.next);
        self.next += 1;
        self.open += 1;
        Ok(())
    }

    async fn hear(conn: &mut Conn) -> Result<Vec<ToClient>, LoadError> {
        let mut heard = Vec::new();
        conn.hear(|message| heard.push(message)).await?;
        Ok(heard)
    }

    fn take(&mut self, heard: &[ToClient]) {
        for message in heard {
            match message {
                ToClient::Accepted(accepted) => {
                    self.accepted += 1;
                    for place in self.recipients_of(accepted.counter) {
                        let place = u32::try_from(place).unwrap_or(u32::MAX);
                        self.tally.accepted(place, accepted.counter, Duration::ZERO);
                    }
                }
                ToClient::Refused(refused) if refused.counter > 0 => {
                    self.refused += 1;
                    self.next = self.next.min(refused.counter);
                }
                _ => continue,
            }
            self.open = self.open.saturating_sub(1);
        }
    }
}
