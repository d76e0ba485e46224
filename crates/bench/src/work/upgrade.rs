//! Other processes take over from the server, one after another, while many sessions stay and pairs chat.
//! Nobody may notice: each connection is the same afterwards, each message came once and in order. What is
//! hard about it is forced each time: half a frame sent, nothing read until sockets and inboxes are full, and
//! WebSockets. How many of these there were when the sessions were frozen, the server says.

mod forced;
mod held;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use crate::conn::{Conn, Endpoint, Road, Via};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::machine::Conditions;
use crate::progress;
use crate::server::{Site, Upgrade};
use crate::work::chat::pairs::{Pace, Pairs, until_none};
use crate::work::chat::{BODY_BYTES, PATIENCE};
use crate::work::idle;
use forced::{Deaf, Halves};
use held::Held;

pub use held::{Asked, hold_and_ask};
pub use report::Report;

/// Sessions that stay. With pairs and those that are forced they are fewer than files that a server may open,
/// 20,000.
pub const CONNECTIONS_MAX: u32 = 18_000;

/// Pairs that chat: two connections each.
pub const PAIRS_MAX: u32 = 250;

/// Sessions of each kind that is forced: twice two connections each.
pub const FORCED_MAX: u32 = 100;

const _: () = assert!(
    CONNECTIONS_MAX + 2 * PAIRS_MAX + 4 * FORCED_MAX <= idle::PER_SERVER_MAX,
    "a server cannot open as many files"
);

/// Messages of each pair before the process changes: all of them talk.
const ROUNDS: u64 = 2;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sessions that stay.
    pub connections: u32,
    /// Pairs that chat, one message at a time.
    pub pairs: u32,
    /// Upgrades.
    pub upgrades: u32,
    /// Sessions that have sent half a frame, and as many that do not read.
    pub forced: u32,
    /// Program that odd upgrades go to.
    pub binary: Option<PathBuf>,
    /// The second process to take over dies there.
    pub crash_at: Option<String>,
}

impl Plan {
    fn crashes(&self, turn: u32) -> bool {
        turn == 2 && self.crash_at.is_some()
    }

    /// Upgrades that are to succeed.
    fn successes(&self) -> u32 {
        self.upgrades.saturating_sub(u32::from(self.crash_at.is_some()))
    }

    /// All sessions.
    fn sessions(&self) -> u32 {
        self.connections + 2 * self.pairs + 4 * self.forced
    }

    /// Those on WebSockets: of each two pairs one.
    fn web_sockets(&self) -> u32 {
        2 * (self.pairs / 2 + 2 * (self.forced / 2))
    }
}

/// Runs the load.
///
/// # Errors
/// [`LoadError`] when it cannot be set up; what goes wrong later is in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) ends its workers and drops all connections.
pub async fn run(
    site: &mut Site,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    let (to, cast) = (site.endpoint(), Cast::new(rand::random()));
    let mut held = Held::arrive(to, cast, plan.connections).await?;
    let mut first = plan.connections;
    let mut next = |devices| {
        first += devices;
        first - devices..first
    };
    let numbers = next(2 * plan.pairs);
    let conns = arrive(to, cast, numbers.clone(), |_| false).await?;
    let chat = Pairs::on(conns, cast, numbers.start, BODY_BYTES, None);
    let halves = Halves::arrive(to, cast, next(2 * plan.forced)).await?;
    let deaf = Deaf::arrive(to, cast, next(2 * plan.forced)).await?;
    let mut run = Run { chat, halves, deaf };
    let mut report = Report::new(conditions);
    let bar = progress::bar("upgrading", plan.upgrades.into());
    for turn in 1..=plan.upgrades {
        let (silence, upgrade) = run.once(site, plan, turn).await?;
        report.note(&upgrade, silence, plan.crashes(turn));
        report.note_asked(held.ask_all().await?, plan.connections);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for tally in run.tallies() {
        report.note_tally(tally);
    }
    report.note_broken(held.finish().await?);
    Ok(report)
}

/// Those who do something.
struct Run {
    chat: Pairs,
    halves: Halves,
    deaf: Deaf,
}

impl Run {
    /// One upgrade, with everything that is forced; and the longest that somebody who chats waited for an
    /// answer.
    async fn once(
        &mut self,
        site: &mut Site,
        plan: &Plan,
        turn: u32,
    ) -> Result<(Duration, Upgrade), LoadError> {
        self.deaf.fill(site).await?;
        let tally = &self.chat.tally;
        let enough = tally.done() + ROUNDS * u64::from(plan.pairs);
        self.chat.set(Pace::Window(1));
        until_none(|| enough.saturating_sub(tally.done()), PATIENCE).await;
        self.halves.begin().await;
        tally.start_recording();
        let upgrade = match (&plan.crash_at, &plan.binary) {
            (Some(point), _) if plan.crashes(turn) => {
                let mortal = site.mortal(point)?;
                site.upgrade(Some(&mortal)).await?
            }
            (_, Some(binary)) if turn % 2 == 1 => site.upgrade(Some(binary)).await?,
            _ => site.upgrade(None).await?,
        };
        self.halves.finish().await;
        self.chat.settle(PATIENCE).await;
        let [_, accepted, done, _] = tally.stop_recording();
        // Who had the first tick before everything stood still waits for the second.
        let longest = accepted.into_iter().chain(done).map(|ms| ms.max).fold(0.0, f64::max);
        let silence = Duration::from_secs_f64(longest / 1e3);
        self.deaf.drain().await;
        Ok((silence, upgrade))
    }

    fn tallies(&self) -> [&crate::work::chat::tally::Tally; 3] {
        [&self.chat.tally, self.halves.tally(), self.deaf.tally()]
    }
}

/// Registers these devices and takes their mailboxes; of each four the last two are on WebSockets, so that
/// every other pair is.
async fn arrive(
    to: Endpoint,
    cast: Cast,
    numbers: std::ops::Range<u32>,
    is_narrow: impl Fn(u32) -> bool + Copy + 'static,
) -> Result<Vec<Conn>, LoadError> {
    let bar = progress::bar("registering", u64::from(numbers.end - numbers.start));
    let first = numbers.start;
    let arrive = move |number| async move {
        let device = cast.device(number);
        let place = number - first;
        let web_socket = place % 4 >= 2;
        let road = Road { source: None, web_socket, narrow: is_narrow(place) };
        let mut conn = Conn::open_by(to, &device.link, road, Via::Full).await?;
        conn.register(&device).await?;
        conn.attach().await?;
        Ok(conn)
    };
    crowd::each(numbers, crowd::AT_ONCE, &bar, arrive).await
}
