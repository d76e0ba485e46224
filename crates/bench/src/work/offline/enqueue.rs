//! A device that sends to many who are away.

use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_base::AccountId;
use godwit_wire::{Refusal, ToClient, ToServer, v1};
use tokio::time::sleep;

use super::Plan;
use crate::conn::Conn;
use crate::device::Cast;
use crate::error::LoadError;

/// What it found.
#[derive(Default)]
pub(in crate::work) struct Sent {
    /// The accepted messages: user, and how many before to the same user.
    pub(in crate::work) accepted: Vec<(u32, u32)>,
    /// From submission to the first tick.
    pub(in crate::work) latencies: Vec<Duration>,
    /// Refused for good.
    pub(in crate::work) failed: u64,
}

pub(in crate::work) struct Enqueue {
    conn: Conn,
    /// The users that are this sender's own; it goes round them.
    users: Vec<(u32, AccountId)>,
    total: usize,
    window: usize,
    body_bytes: usize,
    /// When each message was submitted, in order of their counters, while nothing is known of it.
    open: Vec<Option<Instant>>,
    settled: usize,
    /// Refused for now: to be sent again, after the pause.
    again: Vec<u64>,
    pause: Duration,
    sent: Sent,
}

impl Enqueue {
    pub(in crate::work) fn new(conn: Conn, sender: u32, cast: Cast, plan: &Plan) -> Self {
        let users = (sender..plan.users).step_by(plan.senders as usize);
        let users: Vec<_> = users.map(|user| (user, cast.device(user).account)).collect();
        Self {
            conn,
            total: users.len() * plan.each as usize,
            users,
            window: plan.window as usize,
            body_bytes: plan.body_bytes,
            open: Vec::new(),
            settled: 0,
            again: Vec::new(),
            pause: Duration::ZERO,
            sent: Sent::default(),
        }
    }

    /// Sends everything and waits until all of it is settled. The connection stays open until then
    /// and no longer.
    pub(in crate::work) async fn run(mut self) -> Result<Sent, LoadError> {
        while self.settled < self.total {
            self.again.sort_unstable();
            for counter in std::mem::take(&mut self.again) {
                self.submit(counter)?;
            }
            while self.open.len() < self.total && self.open.len() - self.settled < self.window {
                self.open.push(Some(Instant::now()));
                self.submit(self.open.len() as u64)?;
            }
            self.conn.flush().await?;
            let mut heard = Vec::new();
            self.conn.hear(|message| heard.push(message)).await?;
            heard.into_iter().for_each(|message| self.take(message));
            sleep(std::mem::take(&mut self.pause)).await;
        }
        Ok(self.sent)
    }

    /// Whom a message is for, and how many before it are for the same.
    fn place(&self, counter: u64) -> Option<(u32, AccountId, u32)> {
        let index = usize::try_from(counter.checked_sub(1)?).ok()?;
        let (user, account) = self.users.get(index % self.users.len())?;
        Some((*user, *account, u32::try_from(index / self.users.len()).ok()?))
    }

    fn submit(&mut self, counter: u64) -> Result<(), LoadError> {
        let Some((_, account, turn)) = self.place(counter) else { return Ok(()) };
        let mut body = vec![0; self.body_bytes];
        if let Some(head) = body.first_chunk_mut() {
            *head = u64::from(turn).to_be_bytes();
        }
        let kind = v1::CopyKind::Message.into();
        let copy = v1::SealedCopy { device: 1, kind, body: Bytes::from(body) };
        let recipient = v1::Recipient { account: account.0, list_version: 1, copies: vec![copy] };
        self.conn.say(&ToServer::Submit(v1::Submit {
            counter,
            recipients: vec![recipient],
            group: None,
        }))
    }

    fn take(&mut self, message: ToClient) {
        match message {
            ToClient::Accepted(accepted) => {
                if let Some((at, (user, _, turn))) =
                    self.close(accepted.counter).zip(self.place(accepted.counter))
                {
                    self.sent.accepted.push((user, turn));
                    self.sent.latencies.push(at.elapsed());
                }
            }
            ToClient::Refused(refused)
                if Refusal::from_number(refused.code).is_some_and(Refusal::retryable) =>
            {
                self.again.push(refused.counter);
                self.pause = self.pause.max(Duration::from_millis(refused.retry_after_ms.into()));
            }
            ToClient::Refused(refused) => {
                self.sent.failed += u64::from(self.close(refused.counter).is_some());
            }
            _ => {}
        }
    }

    /// A message is settled, unless it was already; when it was submitted.
    fn close(&mut self, counter: u64) -> Option<Instant> {
        let index = usize::try_from(counter.checked_sub(1)?).ok()?;
        let at = self.open.get_mut(index)?.take()?;
        self.settled += 1;
        Some(at)
    }
}

/// The place that a body names; beyond every plan if it names none.
pub(in crate::work) fn place_in(body: &[u8]) -> usize {
    let turn = body.first_chunk().map(|turn| u64::from_be_bytes(*turn));
    turn.and_then(|turn| usize::try_from(turn).ok()).unwrap_or(usize::MAX)
}
