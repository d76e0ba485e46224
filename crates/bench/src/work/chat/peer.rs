//! The same chat on somebody else's server: the same paces, the same measuring, the same report.

use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::pairs::{Pace, Pairs};
use super::tally::Tally;
use super::{Plan, Report, WINDOW_MAX, observe};
use crate::crowd;
use crate::error::LoadError;
use crate::machine::{Conditions, Processes};
use crate::peer::conn::{PeerConn, PeerEndpoint};
use crate::peer::{Event, body};
use crate::progress;

/// Logins on their way at once: more are a storm to some servers.
pub const AT_ONCE: usize = 32;

/// Runs the chat. Account 2n sends to account 2n + 1.
///
/// # Errors
/// [`LoadError`] when not everybody can log in; what goes wrong later is counted in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(
    to: &PeerEndpoint,
    server: Option<&Processes>,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    let conns = log_in(to, 0..2 * plan.pairs, AT_ONCE).await?;
    let pairs = Pairs::resting(plan.pairs);
    let mut conns = conns.into_iter();
    for pair in 0..plan.pairs {
        let (Some(near), Some(far)) = (conns.next(), conns.next()) else { break };
        let sender = Sender {
            conn: near,
            pair,
            turn: f64::from(pair) / f64::from(plan.pairs),
            body_bytes: plan.body_bytes,
            tally: Rc::clone(&pairs.tally),
            newest: 0,
            waiting: VecDeque::new(),
            unaccepted: VecDeque::new(),
            due: None,
        };
        let (sending, counted) = (sender.run(pairs.paced()), Rc::clone(&pairs.tally));
        tokio::task::spawn_local(async move { counted.note_end(sending.await) });
        let receiving = receive(far, pair, Rc::clone(&pairs.tally));
        let counted = Rc::clone(&pairs.tally);
        tokio::task::spawn_local(async move { counted.note_end(receiving.await) });
    }
    Ok(observe(server, plan, &pairs, conditions).await)
}

/// Logs these accounts in, in order of their numbers, so many at a time.
pub(in crate::work) async fn log_in(
    to: &PeerEndpoint,
    users: std::ops::Range<u32>,
    at_once: usize,
) -> Result<Vec<PeerConn>, LoadError> {
    let bar = progress::bar("logging in", u64::from(users.end - users.start));
    let to = to.clone();
    let log_in = move |user| {
        let to = to.clone();
        async move { to.log_in(user).await }
    };
    crowd::each(users, at_once, &bar, log_in).await
}

/// The sending half of a pair.
struct Sender {
    conn: PeerConn,
    pair: u32,
    /// Its place among the senders, 0 to 1.
    turn: f64,
    body_bytes: usize,
    tally: Rc<Tally>,
    newest: u64,
    /// Sent and without a receipt, in order: the id, and when it was due.
    waiting: VecDeque<(u64, Instant)>,
    /// Sent and not accepted: a receipt may be faster than the server's own word.
    unaccepted: VecDeque<(u64, Instant)>,
    /// The next message of an even pace.
    due: Option<Instant>,
}

impl Sender {
    /// Runs until the connection ends.
    async fn run(mut self, mut pace: watch::Receiver<Pace>) -> Result<(), LoadError> {
        loop {
            let before = self.conn.traffic();
            let now = *pace.borrow_and_update();
            self.keep_pace(now);
            self.conn.flush().await?;
            let due = self.due.filter(|_| self.has_room());
            let over = tokio::select! {
                read = self.conn.fill() => read.map(|()| false)?,
                changed = pace.changed() => changed.is_err(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => false,
            };
            while let Some(event) = self.conn.ready() {
                self.take(&event);
            }
            self.tally.count_sender(before, self.conn.traffic());
            if over {
                return Ok(());
            }
        }
    }

    fn keep_pace(&mut self, pace: Pace) {
        let now = Instant::now();
        match pace {
            Pace::Rest => self.due = None,
            Pace::Window(window) => {
                self.due = None;
                while self.waiting.len() < window as usize {
                    self.send(now);
                }
            }
            Pace::Every(gap) => {
                let mut due = *self.due.get_or_insert(now + gap.mul_f64(self.turn));
                while due <= now && self.has_room() {
                    self.send(due);
                    due += gap;
                }
                self.due = Some(due);
            }
            Pace::Offer(gap) => {
                let mut due = *self.due.get_or_insert(now + gap.mul_f64(self.turn));
                while due <= now {
                    if self.has_room() {
                        self.send(now);
                    }
                    due += gap;
                }
                self.due = Some(due);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WINDOW_MAX as usize
    }

    fn send(&mut self, at: Instant) {
        self.newest += 1;
        self.tally.submitted();
        self.waiting.push_back((self.newest, at));
        self.unaccepted.push_back((self.newest, at));
        let body = body(self.tally.stamp(at), self.body_bytes);
        self.conn.send(2 * self.pair + 1, self.newest, &body);
    }

    fn take(&mut self, event: &Event) {
        match *event {
            Event::Accepted { id } => {
                if let Some(at) = remove(&mut self.unaccepted, id) {
                    self.tally.accepted(self.pair, id, at.elapsed());
                }
            }
            Event::Receipt { id } => {
                if let Some(at) = remove(&mut self.waiting, id) {
                    self.tally.finished(at.elapsed());
                }
            }
            Event::Bounced { id } => {
                if remove(&mut self.waiting, id).is_some() {
                    self.tally.given_up();
                }
            }
            Event::LoggedIn | Event::Message { .. } => {}
        }
    }
}

/// Takes a message off a list, mostly the first of it.
fn remove(list: &mut VecDeque<(u64, Instant)>, id: u64) -> Option<Instant> {
    let place = list.iter().position(|(listed, _)| *listed == id)?;
    list.remove(place).map(|(_, at)| at)
}

/// The receiving half: each message gets its receipt. Runs until the connection ends.
async fn receive(mut conn: PeerConn, pair: u32, tally: Rc<Tally>) -> Result<(), LoadError> {
    loop {
        let before = conn.traffic();
        conn.flush().await?;
        conn.fill().await?;
        while let Some(event) = conn.ready() {
            if let Event::Message { from, id, stamp } = event {
                tally.delivered(pair, id, stamp);
                conn.receipt(from, id);
            }
        }
        conn.flush().await?;
        tally.count_recipient(before, conn.traffic());
    }
}
