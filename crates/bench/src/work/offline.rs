//! Messages to devices that are away; then all of them come at once and drain their mailboxes.

pub(super) mod drain;
pub(super) mod enqueue;
pub mod peer;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::conn::{Conn, Endpoint};
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::{Conditions, Processes, Spent};
use crate::progress;
use crate::server::Site;
use drain::Drained;
use enqueue::{Enqueue, Sent};

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Devices that are away.
    pub users: u32,
    /// Messages for each.
    pub each: u32,
    /// Devices that send them.
    pub senders: u32,
    /// Submissions of one sender that are not accepted yet.
    pub window: u32,
    /// Bytes of a sealed copy.
    pub body_bytes: usize,
    /// What becomes of our own server before the drain.
    pub meanwhile: Meanwhile,
}

/// What becomes of the server between the enqueue and the drain: what is delivered after its end was
/// on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// It goes on.
    Stays,
    /// It is stopped and started again.
    Restarts,
    /// It is killed with SIGKILL after the last acceptance, and started again.
    IsKilled,
}

/// What messages to absent devices cost. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    users: u32,
    each: u32,
    senders: u32,
    window: u32,
    body_bytes: usize,
    enqueue_per_s: f64,
    enqueue_server_cpu_us_per_message: Option<f64>,
    accepted_ms: Option<Percentiles>,
    drain_s: f64,
    drain_messages_per_s: f64,
    drain_server_cpu_us_per_message: Option<f64>,
    /// From the first byte of a device's connection to its last message.
    drain_ms: Option<Percentiles>,
    /// Accepted.
    pub accepted: u64,
    /// Accepted, and not delivered by the drain.
    pub lost: u64,
    /// Delivered again.
    pub duplicated: u64,
    /// Refused for good.
    pub failed: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// Runs the load.
///
/// # Errors
/// [`LoadError`] when it cannot be set up or a connection breaks.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(
    site: &mut Site,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    crowd::register(site.endpoint(), cast, 0..plan.users).await?;
    let senders = plan.users..plan.users + plan.senders;
    let conns = crowd::arrive(site.endpoint(), cast, senders).await?;

    let me = Processes::me();
    let stretch = conditions.stretch(site.processes(), &me);
    let sent = enqueue_all(conns, cast, plan).await?;
    let enqueued = stretch.end();
    let accepted: u64 = sent.iter().map(|sent| sent.accepted.len() as u64).sum();

    match plan.meanwhile {
        Meanwhile::Stays => {}
        Meanwhile::Restarts => site.restart().await?,
        Meanwhile::IsKilled => {
            site.kill().await?;
            site.start_again().await?;
        }
    }
    let mut expected = vec![vec![false; plan.each as usize]; plan.users as usize];
    for (user, place) in sent.iter().flat_map(|sent| &sent.accepted) {
        if let Some(row) = expected.get_mut(*user as usize) {
            row.get_mut(*place as usize).into_iter().for_each(|slot| *slot = true);
        }
    }
    let stretch = conditions.stretch(site.processes(), &me);
    let drained = drain_all(site.endpoint(), cast, plan).await?;
    let drain = stretch.end();

    let copies = || expected.iter().flatten().zip(drained.iter().flat_map(|d| &d.copies));
    let received: u64 = copies().map(|(_, copies)| u64::from(*copies)).sum();
    let lost = copies().filter(|(expected, copies)| **expected && **copies == 0).count() as u64;
    let duplicated = copies().map(|(_, copies)| u64::from(copies.saturating_sub(1))).sum();
    let counts = Counts {
        accepted,
        received,
        lost,
        duplicated,
        failed: sent.iter().map(|sent| sent.failed).sum(),
    };
    let accepted = sent.iter().flat_map(|sent| sent.latencies.iter().copied());
    let latencies =
        (percentiles(accepted), percentiles(drained.iter().map(|drained| drained.took)));
    Ok(Report::of(plan, [enqueued, drain], counts, latencies, conditions))
}

/// How it went with the messages.
#[derive(Clone, Copy)]
struct Counts {
    accepted: u64,
    /// Copies, those that came again among them.
    received: u64,
    lost: u64,
    duplicated: u64,
    failed: u64,
}

impl Report {
    /// What enqueue and drain took; of acceptances and of drains how long.
    fn of(
        plan: &Plan,
        [enqueue, drain]: [Spent; 2],
        counts: Counts,
        (accepted_ms, drain_ms): (Option<Percentiles>, Option<Percentiles>),
        conditions: Conditions,
    ) -> Self {
        let Counts { accepted, received, lost, duplicated, failed } = counts;
        Self {
            workload: "offline",
            users: plan.users,
            each: plan.each,
            senders: plan.senders,
            window: plan.window,
            body_bytes: plan.body_bytes,
            enqueue_per_s: enqueue.per_s(accepted),
            enqueue_server_cpu_us_per_message: enqueue.server_us_each(accepted),
            accepted_ms,
            drain_s: drain.wall.as_secs_f64(),
            drain_messages_per_s: if received > 0 { drain.per_s(received) } else { 0.0 },
            drain_server_cpu_us_per_message: drain.server_us_each(received),
            drain_ms,
            accepted,
            lost,
            duplicated,
            failed,
            others_cpus: enqueue.others_cpus,
            conditions,
        }
    }
}

fn percentiles(all: impl Iterator<Item = Duration>) -> Option<Percentiles> {
    let mut latencies = Latencies::default();
    all.for_each(|latency| latencies.record(latency));
    latencies.percentiles()
}

async fn enqueue_all(conns: Vec<Conn>, cast: Cast, plan: &Plan) -> Result<Vec<Sent>, LoadError> {
    let bar = progress::bar("sending", plan.senders.into());
    let conns = RefCell::new(conns.into_iter().map(Some).collect::<Vec<_>>());
    let shared = Rc::new(plan.clone());
    let enqueue = move |sender: u32| {
        let conn = conns.borrow_mut().get_mut(sender as usize).and_then(Option::take);
        let plan = Rc::clone(&shared);
        async move { Enqueue::new(conn.ok_or(LoadError::Closed)?, sender, cast, &plan).run().await }
    };
    crowd::each(0..plan.senders, plan.senders as usize, &bar, enqueue).await
}

async fn drain_all(to: Endpoint, cast: Cast, plan: &Plan) -> Result<Vec<Drained>, LoadError> {
    let (bar, each) = (progress::bar("draining", plan.users.into()), plan.each as usize);
    let drain = move |user| drain::drain(to, cast, user, each);
    crowd::each(0..plan.users, plan.users as usize, &bar, drain).await
}
