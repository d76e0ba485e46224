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

/// What is under way, and what comes next.
#[derive(Debug)]
struct Turn {
    /// The counter that is next; below one that was said, after a refusal.
    next: u64,
    open: u64,
    /// After a refusal all that is open is answered first: what follows it is refused too.
    waits: bool,
}

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
    turn: Turn,
    accepted: u64,
    refused: u64,
}

impl Talker {
    pub(super) fn new(conn: Conn, to: Vec<AccountId>, body_bytes: usize, tally: Rc<Tally>) -> Self {
        let body = Bytes::from(vec![0; body_bytes]);
        Self { conn, to, body, tally, turn: Turn::FIRST, accepted: 0, refused: 0 }
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
                        if self.turn.has_room() {
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
            while self.turn.has_room() {
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
        while self.turn.open > 0 {
            let Ok(heard) = timeout(patience, Self::hear(&mut self.conn)).await else { break };
            self.take(&heard?);
        }
        Ok(())
    }

    /// What came of it, by now.
    pub(super) fn done(&self) -> Done {
        Done {
            messages: self.accepted,
            refused: self.refused,
            lost_by_others: self.tally.verdict().0,
        }
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
        let counter = self.turn.next;
        let to = self.to.get(self.recipients_of(counter)).unwrap_or_default();
        let recipients = to.iter().map(recipient).collect();
        self.conn.say(&ToServer::Submit(v1::Submit { counter, recipients, group: None }))?;
        self.turn.said();
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
                    self.turn.answered();
                    for place in self.recipients_of(accepted.counter) {
                        let place = u32::try_from(place).unwrap_or(u32::MAX);
                        self.tally.accepted(place, accepted.counter, Duration::ZERO);
                    }
                }
                ToClient::Refused(refused) if refused.counter > 0 => {
                    self.refused += 1;
                    self.turn.refused(refused.counter);
                }
                _ => {}
            }
        }
    }
}

impl Turn {
    const FIRST: Self = Self { next: 1, open: 0, waits: false };

    fn has_room(&self) -> bool {
        self.open < OPEN_MAX && !self.waits
    }

    fn said(&mut self) {
        self.next += 1;
        self.open += 1;
    }

    /// Goes on from there once nothing is open, at full speed.
    fn refused(&mut self, counter: u64) {
        self.next = self.next.min(counter);
        self.waits = true;
        self.answered();
    }

    fn answered(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.waits &= self.open > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much as there is room for; the counters of it.
    fn says(turn: &mut Turn) -> Range<u64> {
        let first = turn.next;
        while turn.has_room() {
            turn.said();
        }
        first..turn.next
    }

    #[test]
    fn after_a_refusal_all_is_answered_and_then_it_goes_on_at_full_speed() {
        let mut turn = Turn::FIRST;
        assert_eq!(says(&mut turn), 1..OPEN_MAX + 1);
        (1..=256).for_each(|_| turn.answered());
        for counter in 257..=OPEN_MAX {
            turn.refused(counter);
            let expected = if counter < OPEN_MAX { 257..257 } else { 257..257 + OPEN_MAX };
            assert_eq!(says(&mut turn), expected, "after the refusal of {counter}");
        }
        turn.answered();
        assert_eq!(says(&mut turn).count(), 1, "nothing was refused since");
    }
}
