//! The same messages to absent accounts on somebody else's server, and what is left of them when it
//! is killed in between.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, sleep, timeout};

use super::{Counts, Plan, Report, percentiles};
use crate::crowd;
use crate::error::LoadError;
use crate::machine::{Conditions, Processes};
use crate::peer::conn::{PeerConn, PeerEndpoint};
use crate::peer::{Event, body};
use crate::progress;
use crate::work::chat::peer::{AT_ONCE, log_in};

/// After the recipients have said goodbye: until the server knows them as absent.
const SETTLE: Duration = Duration::from_secs(2);

/// Without any message for anybody for so long, a drain is over.
const QUIET: Duration = Duration::from_secs(6);

/// When all is there: for what comes twice.
const QUIET_WHEN_COMPLETE: Duration = Duration::from_secs(1);

/// How often a quiet connection looks whether the drain is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Patience for one acceptance.
const ACCEPTANCE: Duration = Duration::from_secs(60);

/// Logins of a drain: a second one, because a server that was too slow for the first has lost nothing.
const DRAINS: u32 = 2;

/// When to stop.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// New messages are sent for so long at most.
    pub enqueue: Duration,
    /// Between enqueue and drain: say so on standard output, and wait for a line on standard input
    /// with the server's process as it is by then. Whoever drives the load kills it meanwhile.
    pub pause: bool,
}

/// Every message of the run, by recipient and place.
struct Ledger(RefCell<Vec<Vec<Entry>>>);

#[derive(Clone, Copy, Default)]
struct Entry {
    accepted: bool,
    bounced: bool,
    copies: u32,
}

impl Entry {
    fn is_missing(self) -> bool {
        self.accepted && !self.bounced && self.copies == 0
    }
}

impl Ledger {
    fn new(plan: &Plan) -> Self {
        Self(RefCell::new(vec![vec![Entry::default(); plan.each as usize]; plan.users as usize]))
    }

    /// An id is the recipient's number and the place among its messages.
    fn note(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        let [high, low] = [id >> 32, id & 0xffff_ffff].map(|half| usize::try_from(half).ok());
        let mut ledger = self.0.borrow_mut();
        let row = high.and_then(|user| ledger.get_mut(user));
        row.zip(low).and_then(|(row, place)| row.get_mut(place)).map(change);
    }

    fn count(&self, which: impl Fn(&Entry) -> u64) -> u64 {
        self.0.borrow().iter().flatten().map(which).sum()
    }

    fn missing(&self) -> u64 {
        self.count(|entry| u64::from(entry.is_missing()))
    }

    fn is_complete_for(&self, user: u32) -> bool {
        let ledger = self.0.borrow();
        !ledger.get(user as usize).into_iter().flatten().any(|entry| entry.is_missing())
    }
}

/// Runs the load. Accounts 0 to `users` are away, those after them send.
///
/// # Errors
/// [`LoadError`] when it cannot be set up or a sender's connection breaks.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(
    to: &PeerEndpoint,
    mut server: Option<Processes>,
    plan: &Plan,
    bounds: &Bounds,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    be_known(to, 0..plan.users).await?;
    let senders = log_in(to, plan.users..plan.users + plan.senders, AT_ONCE).await?;
    let (me, ledger) = (Processes::me(), Rc::new(Ledger::new(plan)));

    let stretch = conditions.stretch(server.as_ref(), &me);
    // Whoever leaves is work for the server: the senders stay until the drain is over.
    let (_stay, latencies) = enqueue_all(senders, plan, bounds, &ledger).await?;
    let enqueued = stretch.end();
    let accepted = ledger.count(|entry| u64::from(entry.accepted));
    if bounds.pause {
        server = pause(accepted).await?;
    }

    let stretch = conditions.stretch(server.as_ref(), &me);
    let drain = drain_all(to, (0..plan.users).collect(), &ledger).await?;
    let received = ledger.count(|entry| u64::from(entry.copies));
    let mut spent = stretch.end();
    spent.wall = drain.iter().copied().max().unwrap_or_default();
    for _ in 1..DRAINS {
        let late = (0..plan.users).filter(|user| !ledger.is_complete_for(*user));
        drain_all(to, late.collect(), &ledger).await?;
    }
    let counts = Counts {
        accepted,
        received,
        lost: ledger.missing(),
        duplicated: ledger.count(|entry| u64::from(entry.copies.saturating_sub(1))),
        failed: ledger.count(|entry| u64::from(entry.bounced)),
    };
    let latencies = (percentiles(latencies.into_iter()), percentiles(drain.into_iter()));
    Ok(Report::of(plan, [enqueued, spent], counts, latencies, conditions))
}

/// The recipients have been there before: a broker keeps messages only for whom it has seen.
async fn be_known(to: &PeerEndpoint, users: Range<u32>) -> Result<(), LoadError> {
    for conn in log_in(to, users, AT_ONCE).await? {
        tokio::task::spawn_local(conn.close());
    }
    sleep(SETTLE).await;
    Ok(())
}

async fn pause(accepted: u64) -> Result<Option<Processes>, LoadError> {
    let said = serde_json::json!({ "event": "enqueued", "accepted": accepted });
    writeln!(std::io::stdout().lock(), "{said}").map_err(LoadError::io("speaking"))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let line = lines.next_line().await.map_err(LoadError::io("listening"))?;
    let line = line.ok_or(LoadError::NoOrder("the server's process"))?;
    Ok(line.trim().parse().ok().map(|pid| Processes(vec![pid])))
}

/// Everybody sends; the connections, and the time that each acceptance took.
async fn enqueue_all(
    conns: Vec<PeerConn>,
    plan: &Plan,
    bounds: &Bounds,
    ledger: &Rc<Ledger>,
) -> Result<(Vec<PeerConn>, Vec<Duration>), LoadError> {
    let deadline = Instant::now() + bounds.enqueue;
    let bar = progress::bar("sending", plan.senders.into());
    let conns = RefCell::new(conns.into_iter().map(Some).collect::<Vec<_>>());
    let (ledger, plan) = (Rc::clone(ledger), Rc::new(plan.clone()));
    let (everybody, at_once) = (0..plan.senders, plan.senders as usize);
    let enqueue = move |sender: u32| {
        let conn = conns.borrow_mut().get_mut(sender as usize).and_then(Option::take);
        let (ledger, plan) = (Rc::clone(&ledger), Rc::clone(&plan));
        async move { enqueue(conn.ok_or(LoadError::Closed)?, sender, &plan, deadline, &ledger).await }
    };
    let sent = crowd::each(everybody, at_once, &bar, enqueue).await?;
    let (conns, latencies): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
    Ok((conns, latencies.into_iter().flatten().collect()))
}

/// Goes round its own recipients until all is sent or it is time, and all of it is accepted.
async fn enqueue(
    mut conn: PeerConn,
    sender: u32,
    plan: &Plan,
    deadline: Instant,
    ledger: &Ledger,
) -> Result<(PeerConn, Vec<Duration>), LoadError> {
    let mut ids = ids(sender, plan).peekable();
    let mut open: Vec<(u64, Instant)> = Vec::new();
    let mut latencies = Vec::new();
    loop {
        while open.len() < plan.window as usize && Instant::now() < deadline {
            let Some(id) = ids.next() else { break };
            open.push((id, Instant::now()));
            let to = u32::try_from(id >> 32).unwrap_or(u32::MAX);
            conn.send(to, id, &body(id, plan.body_bytes));
        }
        if open.is_empty() {
            return Ok((conn, latencies));
        }
        conn.flush().await?;
        let late = LoadError::TimedOut { what: "acceptance", seconds: ACCEPTANCE.as_secs() };
        timeout(ACCEPTANCE, conn.fill()).await.map_err(|_| late)??;
        while let Some(event) = conn.ready() {
            match event {
                Event::Accepted { id } => {
                    ledger.note(id, |entry| entry.accepted = true);
                    if let Some(place) = open.iter().position(|(open, _)| *open == id) {
                        latencies.push(open.swap_remove(place).1.elapsed());
                    }
                }
                Event::Bounced { id } => ledger.note(id, |entry| entry.bounced = true),
                _ => {}
            }
        }
    }
}

/// The ids that a sender sends: place after place, round its own recipients.
fn ids(sender: u32, plan: &Plan) -> impl Iterator<Item = u64> + use<> {
    let (users, senders) = (plan.users, plan.senders.max(1));
    (0..plan.each).flat_map(move |place| {
        let own = (sender..users).step_by(senders as usize);
        own.map(move |user| u64::from(user) << 32 | u64::from(place))
    })
}

/// All these accounts log in at once; when each had its last message.
async fn drain_all(
    to: &PeerEndpoint,
    users: Vec<u32>,
    ledger: &Rc<Ledger>,
) -> Result<Vec<Duration>, LoadError> {
    let (began, count) = (Instant::now(), u32::try_from(users.len()).unwrap_or(u32::MAX));
    let newest = Rc::new(Cell::new(began));
    let bar = progress::bar("draining", count.into());
    let (to, ledger) = (to.clone(), Rc::clone(ledger));
    let drain = move |place: u32| {
        let user = users.get(place as usize).copied().unwrap_or(place);
        let (to, newest, ledger) = (to.clone(), Rc::clone(&newest), Rc::clone(&ledger));
        async move { drain(&to, user, &newest, &ledger).await.map(|last| last.duration_since(began)) }
    };
    crowd::each(0..count, count.max(1) as usize, &bar, drain).await
}

/// One account takes everything; when its last message came.
async fn drain(
    to: &PeerEndpoint,
    user: u32,
    newest: &Cell<Instant>,
    ledger: &Ledger,
) -> Result<Instant, LoadError> {
    let mut last = Instant::now();
    let mut conn = to.log_in(user).await?;
    newest.set(Instant::now());
    loop {
        while let Some(event) = conn.ready() {
            if let Event::Message { id, .. } = event {
                ledger.note(id, |entry| entry.copies += 1);
                last = Instant::now();
                newest.set(last);
            }
        }
        conn.flush().await?;
        if let Ok(read) = timeout(LOOK_EVERY, conn.fill()).await {
            read?;
            continue;
        }
        let complete = ledger.is_complete_for(user);
        let quiet = if complete { QUIET_WHEN_COMPLETE } else { QUIET };
        if newest.get().elapsed() > quiet {
            conn.close().await?;
            return Ok(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Meanwhile;
    use super::*;

    fn plan() -> Plan {
        let meanwhile = Meanwhile::Stays;
        Plan { users: 5, each: 3, senders: 2, window: 4, body_bytes: 64, meanwhile }
    }

    #[test]
    fn the_senders_share_all_messages_among_them() {
        let mut all: Vec<u64> = (0..2).flat_map(|sender| ids(sender, &plan())).collect();
        all.sort_unstable();
        let expected = (0..5_u64).flat_map(|user| (0..3).map(move |place| user << 32 | place));
        assert_eq!(all, expected.collect::<Vec<_>>());
    }

    #[test]
    fn lost_is_what_was_accepted_and_neither_came_nor_came_back() {
        let ledger = Ledger::new(&plan());
        let id = |user: u64, place: u64| user << 32 | place;
        for place in 0..3 {
            ledger.note(id(1, place), |entry| entry.accepted = true);
        }
        assert_eq!((ledger.missing(), ledger.is_complete_for(0)), (3, true));
        ledger.note(id(1, 0), |entry| entry.copies += 2);
        ledger.note(id(1, 1), |entry| entry.bounced = true);
        ledger.note(id(9, 0), |entry| entry.copies += 1); // nobody's
        assert_eq!((ledger.missing(), ledger.is_complete_for(1)), (1, false));
        assert_eq!(ledger.count(|entry| u64::from(entry.copies.saturating_sub(1))), 1);
    }
}
