//! The pairs themselves: connected, and told at which pace to chat.

use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::tally::Tally;
use super::{recipient, sender};
use crate::conn::{Conn, Endpoint};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;

/// What the senders are to do now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// Send nothing new.
    Rest,
    /// Keep so many on their way.
    Window(u32),
    /// Send one at each such distance; what was due and found no room is made up for.
    Every(Duration),
    /// The same, but what was due and found no room is not sent: so much is offered, and no more is
    /// waited for.
    Offer(Duration),
}

/// Pairs of a sender and a recipient, one task a connection.
pub(crate) struct Pairs {
    pub(crate) tally: Rc<Tally>,
    count: u32,
    pace: watch::Sender<Pace>,
}

impl Pairs {
    /// Registers and connects the pairs whose first device is `first`; they rest.
    ///
    /// # Errors
    /// The first that cannot be connected.
    ///
    /// # Cancel safety
    /// Some may have been registered.
    pub(crate) async fn arrive(
        to: Endpoint,
        cast: Cast,
        first: u32,
        count: u32,
        body_bytes: usize,
    ) -> Result<Self, LoadError> {
        Self::connected(to, cast, first, count, body_bytes, false).await
    }

    /// The same with the server's part told apart.
    ///
    /// # Errors
    /// The first that cannot be connected.
    ///
    /// # Cancel safety
    /// Some may have been registered.
    pub(crate) async fn arrive_noting(
        to: Endpoint,
        cast: Cast,
        first: u32,
        count: u32,
        body_bytes: usize,
    ) -> Result<Self, LoadError> {
        Self::connected(to, cast, first, count, body_bytes, true).await
    }

    async fn connected(
        to: Endpoint,
        cast: Cast,
        first: u32,
        count: u32,
        body_bytes: usize,
        noting: bool,
    ) -> Result<Self, LoadError> {
        let mut conns = crowd::arrive(to, cast, first..first + 2 * count).await?;
        let pairs = Self::resting(count);
        if noting {
            conns.iter_mut().try_for_each(Conn::note_arrivals)?;
            pairs.tally.tell_the_server_apart();
        }
        pairs.start(conns, cast, first, body_bytes, None);
        Ok(pairs)
    }

    /// Pairs at rest on connections that are there already, in the order of their numbers. If `reads` says
    /// no, those who receive do not look at their sockets.
    pub(crate) fn on(
        conns: Vec<Conn>,
        cast: Cast,
        first: u32,
        body_bytes: usize,
        reads: Option<&watch::Receiver<bool>>,
    ) -> Self {
        let pairs = Self::resting(u32::try_from(conns.len() / 2).unwrap_or(u32::MAX));
        pairs.start(conns, cast, first, body_bytes, reads);
        pairs
    }

    /// So many pairs at rest, whose tasks the caller starts.
    pub(super) fn resting(count: u32) -> Self {
        Self { tally: Rc::new(Tally::new(count)), count, pace: watch::Sender::new(Pace::Rest) }
    }

    /// The pace as a sender of theirs follows it.
    pub(super) fn paced(&self) -> watch::Receiver<Pace> {
        self.pace.subscribe()
    }

    /// In the order of their numbers: sender, recipient, sender, recipient.
    fn start(
        &self,
        conns: Vec<Conn>,
        cast: Cast,
        first: u32,
        body_bytes: usize,
        reads: Option<&watch::Receiver<bool>>,
    ) {
        let mut filling = vec![0; body_bytes];
        rand::rng().fill_bytes(&mut filling);
        let mut conns = conns.into_iter();
        for pair in 0..self.count {
            let (Some(near), Some(far)) = (conns.next(), conns.next()) else { return };
            let to = cast.device(recipient_of(first, pair)).account;
            let turn = f64::from(pair) / f64::from(self.count);
            let tally = Rc::clone(&self.tally);
            let sender = sender::Sender::new(near, pair, to, turn, filling.clone(), tally);
            let (sending, counted) = (sender.run(self.paced()), Rc::clone(&self.tally));
            tokio::task::spawn_local(async move { counted.note_end(sending.await) });
            let (reads, counted) = (reads.cloned(), Rc::clone(&self.tally));
            tokio::task::spawn_local(async move {
                let tally = Rc::clone(&counted);
                let end = match reads {
                    Some(reads) => recipient::run_while(far, pair, tally, reads).await,
                    None => recipient::run(far, pair, tally).await,
                };
                counted.note_end(end);
            });
        }
    }

    /// From now on they send so.
    pub(crate) fn set(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    /// The distance of one sender's messages when all together send so many a second.
    pub(crate) fn distance(&self, per_s: f64) -> Duration {
        Duration::from_secs_f64(f64::from(self.count) / per_s)
    }

    /// Sends nothing new and waits until every message is done, or nothing has moved for a while.
    ///
    /// # Cancel safety
    /// Safe; they rest.
    pub(crate) async fn settle(&self, patience: Duration) {
        self.set(Pace::Rest);
        until_none(|| self.tally.on_their_way(), patience).await;
    }
}

/// Waits until none is missing, or as many have been missing for so long.
///
/// # Cancel safety
/// Safe.
pub(in crate::work) async fn until_none(missing: impl Fn() -> u64, patience: Duration) {
    let (mut last, mut since) = (missing(), Instant::now());
    while last > 0 && since.elapsed() < patience {
        sleep(Duration::from_millis(20)).await;
        let now = missing();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// The number of the device that receives what pair `pair` sends.
pub(crate) const fn recipient_of(first: u32, pair: u32) -> u32 {
    first + 2 * pair + 1
}
