//! What is hard about an upgrade, forced each time: clients in the midst of a frame, and clients that read
//! nothing until their sockets, the server's bytes for them and their inboxes are full.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use godwit_base::AccountId;
use godwit_wire::{ToClient, ToServer, v1};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::arrive;
use crate::conn::{Conn, Endpoint};
use crate::device::{Cast, neighbour_of};
use crate::error::LoadError;
use crate::server::Site;
use crate::work::chat::pairs::{Pace, Pairs, until_none};
use crate::work::chat::sender::submission;
use crate::work::chat::tally::Tally;
use crate::work::chat::{BODY_BYTES, PATIENCE, WINDOW_MAX, recipient};

/// Bytes of a message to somebody who does not read.
const DEAF_BODY_BYTES: usize = 45_000;

/// So many of them are sent at first, 5 MB: Linux keeps 4 MiB for a socket at most (`tcp_wmem`), and as good as
/// nothing for the client (see [`crate::conn::Road`]); the session keeps [`UNSENT_BYTES`], and the rest waits in
/// the mailbox, whose half is 16 MiB.
const BACKLOG: u32 = 110;

/// And so many once the session takes no more, 450 KB: its inbox takes one or two.
const AND_THEN: u32 = WINDOW_MAX - BACKLOG;

/// From so many unsent bytes on a session takes no records: `session.unsent_behind_bytes` of the server.
const UNSENT_BYTES: u64 = 256 * 1024;

/// Between two looks at a session.
const LOOK: Duration = Duration::from_millis(20);

/// Who has sent half of a frame, each to somebody who reads.
pub(super) struct Halves {
    senders: Vec<Half>,
    tally: Rc<Tally>,
}

struct Half {
    /// None once it is broken.
    conn: Option<Conn>,
    pair: u32,
    to: AccountId,
    counter: u64,
}

impl Halves {
    /// Registers and connects the pairs of these devices.
    pub(super) async fn arrive(
        to: Endpoint,
        cast: Cast,
        numbers: Range<u32>,
    ) -> Result<Self, LoadError> {
        let mut conns = arrive(to, cast, numbers.clone(), |_| false).await?.into_iter();
        let tally = Rc::new(Tally::new(u32::try_from(numbers.len() / 2).unwrap_or(u32::MAX)));
        let mut senders = Vec::new();
        for (pair, number) in (0..).zip(numbers.step_by(2)) {
            let (Some(near), Some(far)) = (conns.next(), conns.next()) else { break };
            let to = cast.device(number + 1).account;
            senders.push(Half { conn: Some(near), pair, to, counter: 0 });
            let counted = Rc::clone(&tally);
            tokio::task::spawn_local(async move {
                let end = recipient::run(far, pair, Rc::clone(&counted)).await;
                counted.note_end(end);
            });
        }
        Ok(Self { senders, tally })
    }

    /// Each sends the first half of a frame with a message.
    pub(super) async fn begin(&mut self) {
        for half in &mut self.senders {
            let end = half.begin(&self.tally).await;
            half.breaks_if(end, &self.tally);
        }
    }

    /// Each sends the second half, and waits for its ticks.
    pub(super) async fn finish(&mut self) {
        for half in &mut self.senders {
            let end = match timeout(PATIENCE, half.finish(&self.tally)).await {
                Ok(end) => end,
                // Its message counts as one without an answer.
                Err(_) => Ok(()),
            };
            half.breaks_if(end, &self.tally);
        }
        until_none(|| self.tally.verdict().0, PATIENCE).await;
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Half {
    async fn begin(&mut self, tally: &Tally) -> Result<(), LoadError> {
        let Some(conn) = &mut self.conn else { return Ok(()) };
        self.counter += 1;
        tally.submitted();
        let mut body = vec![0; BODY_BYTES];
        if let Some(head) = body.first_chunk_mut() {
            *head = tally.stamp(Instant::now()).to_be_bytes();
        }
        conn.say(&submission(self.counter, self.to, &body))?;
        conn.flush_half().await
    }

    async fn finish(&mut self, tally: &Tally) -> Result<(), LoadError> {
        let Some(conn) = &mut self.conn else { return Ok(()) };
        conn.flush().await?;
        let (pair, counter) = (self.pair, self.counter);
        let (mut is_done, mut newest) = (false, None);
        while !is_done {
            conn.hear(|message| match message {
                ToClient::Accepted(accepted) => {
                    tally.accepted(pair, accepted.counter, Duration::ZERO);
                }
                ToClient::Receipt(receipt) => {
                    newest = Some(receipt.seq);
                    is_done |= receipt.up_to >= counter;
                }
                _ => {}
            })
            .await?;
        }
        tally.finished(Duration::ZERO);
        if let Some(up_to) = newest {
            conn.say(&ToServer::Ack(v1::Ack { up_to }))?;
            conn.flush().await?;
        }
        Ok(())
    }

    fn breaks_if(&mut self, end: Result<(), LoadError>, tally: &Tally) {
        if end.is_err() {
            tally.note_end(end);
            self.conn = None;
        }
    }
}

/// Who is sent to and does not read.
pub(super) struct Deaf {
    pairs: Pairs,
    reads: watch::Sender<bool>,
    /// Of those who do not read.
    handles: Vec<String>,
    /// Messages that the server is to have by now.
    wanted: u64,
}

impl Deaf {
    /// Registers and connects the pairs of these devices.
    pub(super) async fn arrive(
        to: Endpoint,
        cast: Cast,
        numbers: Range<u32>,
    ) -> Result<Self, LoadError> {
        // The second of a pair receives.
        let is_narrow = |place| neighbour_of(place) < place;
        let conns = arrive(to, cast, numbers.clone(), is_narrow).await?;
        let deaf = numbers.clone().skip(1).step_by(2);
        let handles = deaf.map(|number| cast.device(number).handle.to_string()).collect();
        let (reads, _) = watch::channel(true);
        let hear = reads.subscribe();
        let pairs = Pairs::on(conns, cast, numbers.start, DEAF_BODY_BYTES, Some(&hear));
        Ok(Self { pairs, reads, handles, wanted: 0 })
    }

    /// Nobody reads, and each is sent so much that its socket and its session are full, and then more for its
    /// inbox. What does not come to that in time shows in the server's counts.
    ///
    /// # Errors
    /// The server does not answer its operator.
    pub(super) async fn fill(&mut self, site: &Site) -> Result<(), LoadError> {
        self.reads.send_replace(false);
        self.send(BACKLOG, BACKLOG).await;
        let deadline = Instant::now() + PATIENCE;
        for handle in &self.handles {
            while site.unsent_bytes(handle).await? < UNSENT_BYTES && Instant::now() < deadline {
                sleep(LOOK).await;
            }
        }
        self.send(AND_THEN, WINDOW_MAX).await;
        self.pairs.set(Pace::Rest);
        Ok(())
    }

    /// Each sends so many more, of which so many are under way; returns when the server has them.
    async fn send(&mut self, more: u32, window: u32) {
        self.wanted += u64::from(more) * self.handles.len() as u64;
        self.pairs.set(Pace::Window(window));
        let (wanted, tally) = (self.wanted, &self.pairs.tally);
        until_none(|| wanted.saturating_sub(tally.ticked()), PATIENCE).await;
    }

    /// All read on, until everything has come.
    pub(super) async fn drain(&self) {
        self.reads.send_replace(true);
        self.pairs.settle(PATIENCE).await;
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.pairs.tally
    }
}
