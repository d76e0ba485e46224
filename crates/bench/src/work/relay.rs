//! Signals that no store sees: that somebody types goes from one session to another and is gone. It is
//! all that the server passes on without keeping it, so it tells what opening a frame, finding a session
//! and sealing a frame cost together. What one device says of it, and what the server passes on in a
//! second, is bounded (`crates/server/src/presence.rs`), and the newest replaces what still waits; so the
//! load stays below these bounds and tells the cost by CPU time, not by the rate that it reaches.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use godwit_wire::{OPEN_CHATS_MAX, ToClient, ToServer, v1};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::conn::Conn;
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::{Conditions, Processes};
use crate::progress;
use crate::server::Site;
use crate::work::chat::tally::bump;
use crate::work::presence::{CONNECTIONS_MAX, presence};

/// Pairs: two connections each.
pub const PAIRS_MAX: u32 = CONNECTIONS_MAX / 2;

/// Chats that a device has open at once.
pub const WINDOW_MAX: u32 = 32;
const _: () = assert!(WINDOW_MAX as usize == OPEN_CHATS_MAX);

/// Between two words of one device: the server passes on four a second.
const GAP: Duration = Duration::from_millis(300);

/// Signals a second of all together: the server passes on 20,000, of comings and goings too.
const SIGNALS_PER_S: u32 = 16_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Devices that type, and as many that are told.
    pub pairs: u32,
    /// Signals in one write: so many devices type to as many in one message each. The pairs are whole
    /// groups of that size.
    pub window: u32,
    /// How long it is measured.
    pub seconds: u64,
    /// Until everybody knows who is here, and before it is measured.
    pub settle: Duration,
    /// What is not told by then will not be.
    pub patience: Duration,
}

/// What passing on costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    pairs: u32,
    window: u32,
    seconds: u64,
    /// Signals that were told: what the pace asks for, not what the server could do.
    pub messages_per_s: f64,
    server_cpu_us_per_message: Option<f64>,
    /// What one core would pass on in a second of its time.
    messages_per_cpu_s: Option<f64>,
    client_cpu_us_per_message: Option<f64>,
    /// From the first byte of its group to the hands of who is told.
    pub delivery_ms: Option<Percentiles>,
    /// Signals that were said and not told in time, whether they came later or not.
    pub lost: u64,
    /// Connections that ended early.
    pub broken_connections: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// What all groups share. One thread, so cells and no locks.
#[derive(Default)]
struct Stage {
    over: Cell<bool>,
    /// Only what begins meanwhile is counted as said or lost.
    recording: Cell<bool>,
    told: Cell<u64>,
    lost: Cell<u64>,
    broken: Cell<u64>,
    latencies: RefCell<Latencies>,
}

/// Devices that type, each to all of as many others. They do so at once, and again when all were told.
struct Group {
    /// Accounts of those who type.
    writers: Vec<u64>,
    round: RefCell<Round>,
    began: Cell<Instant>,
    all_told: Notify,
    stage: Rc<Stage>,
}

/// What was told of one round: nothing in a signal says of which round it is, so one counts once from each
/// to each, and none while no round is open.
#[derive(Debug)]
struct Round {
    /// Whom each of those who are told has heard of, a bit for each who types.
    heard: Vec<u32>,
    /// Signals that were not told yet; none when it is not open.
    missing: u32,
}

/// Runs the load.
///
/// # Errors
/// [`LoadError`] when it cannot be set up; what goes wrong later is counted in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(site: &Site, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let groups = plan.pairs.div_ceil(plan.window);
    let conns = crowd::arrive(site.endpoint(), cast, 0..2 * groups * plan.window).await?;
    let stage = Rc::new(Stage::default());
    let (mut typing, mut told) = (JoinSet::new(), JoinSet::new());
    start(plan, groups, cast, conns, &stage, &mut typing, &mut told).await?;
    sleep(plan.settle).await; // the first rounds are among it

    stage.recording.set(true);
    let before = stage.told.get();
    let stretch = conditions.stretch(site.processes(), &Processes::me());
    progress::seconds("typing", plan.seconds).await;
    let (spent, messages) = (stretch.end(), stage.told.get() - before);
    stage.recording.set(false);
    stage.over.set(true);
    while typing.join_next().await.is_some() {}
    told.shutdown().await;

    let server_cpu_us_per_message = spent.server_us_each(messages);
    let delivery_ms = stage.latencies.borrow().percentiles();
    Ok(Report {
        workload: "relay",
        pairs: groups * plan.window,
        window: plan.window,
        seconds: plan.seconds,
        messages_per_s: spent.per_s(messages),
        server_cpu_us_per_message,
        messages_per_cpu_s: server_cpu_us_per_message.map(|us| 1e6 / us),
        client_cpu_us_per_message: spent.client_us_each(messages),
        delivery_ms,
        lost: stage.lost.get(),
        broken_connections: stage.broken.get(),
        others_cpus: spent.others_cpus,
        conditions,
    })
}

/// Starts all groups, their rounds evenly over the time between two.
async fn start(
    plan: &Plan,
    groups: u32,
    cast: Cast,
    conns: Vec<Conn>,
    stage: &Rc<Stage>,
    typing: &mut JoinSet<()>,
    told: &mut JoinSet<()>,
) -> Result<(), LoadError> {
    let size = plan.window;
    let chats = |first: u32, typing| -> Vec<_> {
        let accounts = (first..first + size).map(|number| cast.device(number).account.0);
        accounts.map(|account| v1::OpenChat { account, typing, ..Default::default() }).collect()
    };
    let gap = gap(groups * size * size);
    let mut conns = conns.into_iter();
    for number in 0..groups {
        let first = number * 2 * size;
        let writers: Vec<_> = conns.by_ref().take(size as usize).collect();
        let readers: Vec<_> = conns.by_ref().take(size as usize).collect();
        let typists = (first..first + size).map(|number| cast.device(number).account.0);
        let group = Rc::new(Group {
            writers: typists.collect(),
            round: RefCell::new(Round::closed(size)),
            began: Cell::new(Instant::now()),
            all_told: Notify::new(),
            stage: Rc::clone(stage),
        });
        for (reader, mut conn) in readers.into_iter().enumerate() {
            conn.say(&presence(true))?;
            conn.say(&v1::PresenceWatch { chats: chats(first, false) }.into())?;
            conn.flush().await?;
            told.spawn_local(Rc::clone(&group).is_told(reader, conn));
        }
        let says = ToServer::from(v1::PresenceWatch { chats: chats(first + size, true) });
        let due = Instant::now() + gap.mul_f64(f64::from(number) / f64::from(groups));
        typing.spawn_local(group.types(writers, says, due, gap, plan.patience));
    }
    Ok(())
}

/// Between two rounds, that one device does not say too much, nor all together.
fn gap(signals: u32) -> Duration {
    GAP.max(Duration::from_secs_f64(f64::from(signals) / f64::from(SIGNALS_PER_S)))
}

impl Group {
    /// Rounds until the stage is over: each begins when it is due and the one before it is told.
    async fn types(
        self: Rc<Self>,
        mut writers: Vec<Conn>,
        says: ToServer,
        mut due: Instant,
        gap: Duration,
        patience: Duration,
    ) {
        for writer in &mut writers {
            if says_now(writer, &presence(true)).await.is_err() {
                bump(&self.stage.broken, 1);
                return;
            }
        }
        loop {
            sleep_until(due).await;
            if self.stage.over.get() {
                return;
            }
            let counts = self.stage.recording.get();
            self.round.borrow_mut().opens();
            self.began.set(Instant::now());
            for writer in &mut writers {
                if says_now(writer, &says).await.is_err() {
                    bump(&self.stage.broken, 1);
                    return;
                }
            }
            let all_told = async {
                while self.round.borrow().missing > 0 {
                    self.all_told.notified().await;
                }
            };
            if timeout(patience, all_told).await.is_err() {
                let missing = self.round.borrow_mut().closes();
                bump(&self.stage.lost, if counts { missing.into() } else { 0 });
                sleep(patience).await; // what is late comes now, and belongs to no round
            }
            due = Instant::now().max(due + gap);
        }
    }

    /// One that is told, until its connection ends.
    async fn is_told(self: Rc<Self>, reader: usize, mut conn: Conn) {
        let gap = Duration::from_secs(conn.welcome.keepalive_s.max(1).into());
        let hears = |message| match message {
            ToClient::Presence(seen) if seen.typing => self.one_told(reader, seen.account),
            _ => {}
        };
        let Err(_) = conn.keep_hearing(Instant::now() + gap, gap, hears).await;
        bump(&self.stage.broken, 1);
    }

    fn one_told(&self, reader: usize, account: u64) {
        let writer = self.writers.iter().position(|writer| *writer == account);
        let mut round = self.round.borrow_mut();
        if !writer.is_some_and(|writer| round.hears(reader, writer)) {
            return; // of a round that was given up
        }
        bump(&self.stage.told, 1);
        if self.stage.recording.get() {
            self.stage.latencies.borrow_mut().record(self.began.get().elapsed());
        }
        if round.missing == 0 {
            self.all_told.notify_one();
        }
    }
}

impl Round {
    /// Of so many who type to as many.
    fn closed(size: u32) -> Self {
        Self { heard: vec![0; size as usize], missing: 0 }
    }

    fn opens(&mut self) {
        self.heard.fill(0);
        let signals = self.heard.len() * self.heard.len();
        self.missing = u32::try_from(signals).unwrap_or(u32::MAX);
    }

    /// How many are missing; from now on they are of no round.
    fn closes(&mut self) -> u32 {
        std::mem::take(&mut self.missing)
    }

    /// Whether this is the first that one hears of the other in a round that is open.
    fn hears(&mut self, reader: usize, writer: usize) -> bool {
        let Some(heard) = self.heard.get_mut(reader).filter(|_| self.missing > 0) else {
            return false;
        };
        let first = *heard & (1 << writer) == 0;
        *heard |= 1 << writer;
        self.missing -= u32::from(first);
        first
    }
}

async fn says_now(conn: &mut Conn, message: &ToServer) -> Result<(), LoadError> {
    conn.say(message)?;
    conn.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_as_small_as_the_documents_say() {
        let chat = v1::OpenChat { account: 1, typing: true, ..v1::OpenChat::default() };
        let says = ToServer::from(v1::PresenceWatch { chats: vec![chat] });
        let state = v1::PresenceState::Online.into();
        let seen = v1::Presence { account: 1, state, typing: true, ..v1::Presence::default() };
        assert_eq!((says.encoded_len(), ToClient::from(seen).encoded_len()), (15, 16));
    }

    #[test]
    fn what_comes_late_or_twice_stands_for_nothing_that_is_missing() {
        let mut round = Round::closed(2);
        assert!(!round.hears(0, 0), "nobody has said anything");
        round.opens();
        assert!(round.hears(0, 0) && round.hears(0, 1) && round.hears(1, 0));
        assert_eq!(round.closes(), 1);
        assert!(!round.hears(1, 1), "late");
        round.opens();
        assert!(round.hears(1, 1), "of the next round");
        assert_eq!([round.hears(1, 1), round.hears(1, 1), round.hears(1, 1)], [false; 3]);
        assert_eq!(round.closes(), 3, "three others are missing all the same");
    }

    #[test]
    fn nobody_says_more_than_the_server_passes_on() {
        assert_eq!(gap(1), GAP);
        let most = SIGNALS_PER_S * 3 / 10;
        assert_eq!((gap(most), gap(2 * most)), (GAP, 2 * GAP));
        assert!(GAP >= Duration::from_secs(1) / 4, "four a second of one device");
    }
}
