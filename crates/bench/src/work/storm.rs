//! Everybody is dropped at once and comes back, while some go on chatting: how long it takes, what it
//! costs, and what those who stayed notice. Or the server is killed, and nobody stays.

mod duty;

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::{Conditions, Processes, kernel_limit};
use crate::peak::Peak;
use crate::progress;
use crate::redial::{Redial, Road};
use crate::server::Site;
use crate::work::chat::pairs::{Pace, Pairs, recipient_of};
use crate::work::chat::{self, BODY_BYTES};
use crate::worker::{Duty, Order, PER_WORKER_MAX, Worker, shares, source_of};

pub use duty::hold_and_return;

/// Connections to the one server, those of the pairs apart: it may open 20,000 files.
pub const CONNECTIONS_MAX: u32 = 18_000;

/// Pairs that stay: two connections each, in this process and at the server.
pub const PAIRS_MAX: u32 = 900;

/// Source addresses below this belong to workers.
const OWN_SOURCE: u32 = 60_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections that are dropped.
    pub connections: u32,
    /// Pairs that stay.
    pub pairs: u32,
    /// Messages a second that all pairs send together.
    pub rate: f64,
    /// How long the pairs are measured before.
    pub calm_s: u64,
    /// Who is not back by then has failed.
    pub seconds: u64,
    /// Kill the server and start it again; then nobody stays.
    pub kill: bool,
    /// Connections being made at once before the storm, by each worker.
    pub at_once: usize,
    /// Before the pairs are measured.
    pub warm_up: Duration,
    /// See [`chat::PATIENCE`].
    pub patience: Duration,
}

/// What a storm costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    connections: u32,
    pairs: u32,
    rate_per_s: f64,
    killed: bool,
    /// From the drop until the last one had its mailbox; `None` if not all came back.
    pub all_back_s: Option<f64>,
    /// From the drop to its mailbox, of each that came back.
    back_ms: Option<Percentiles>,
    /// CPU time of the server meanwhile, the pairs' traffic included.
    server_cpu_s: Option<f64>,
    /// The most memory of the server meanwhile, to that just before.
    peak_rss_ratio: Option<f64>,
    rss_bytes_before: Option<u64>,
    rss_bytes_peak: Option<u64>,
    /// Devices that were not back in time.
    pub failed: u64,
    /// What they met on their way.
    #[serde(flatten)]
    pub road: Road,
    /// What the pairs noticed; without meaning where the server was killed.
    pub stayed: Stayed,
    /// Accepted from a pair's sender, and never delivered.
    pub lost: u64,
    /// Delivered again; after a kill what was not acknowledged yet comes again, and should.
    pub duplicated: u64,
    /// Connections that ended later, or that should have stayed.
    pub broken_connections: u64,
    others_cpus: Option<f64>,
    /// What the kernel grants of the server's listen queue: who finds no room comes a second late.
    somaxconn: Option<u64>,
    conditions: Conditions,
}

/// The traffic of the pairs, from submission to the recipient's hands.
#[derive(Debug, Serialize)]
pub struct Stayed {
    /// Before the storm.
    pub delivery_ms_before: Option<Percentiles>,
    /// From the drop until all were back.
    pub delivery_ms_during: Option<Percentiles>,
    /// The second to the first.
    pub p50_ratio: Option<f64>,
    /// The same of the 99th of a hundred.
    pub p99_ratio: Option<f64>,
    /// The server's part of it: from before the sender wrote it to when the kernel had it for the
    /// recipient. What this program waits for a CPU before and after is not in it.
    pub server_ms_before: Option<Percentiles>,
    /// From the drop until all were back.
    pub server_ms_during: Option<Percentiles>,
    /// The 99th of a hundred of the second to that of the first.
    pub server_p99_ratio: Option<f64>,
}

/// How the devices of one worker came back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Returned {
    /// What they met.
    pub road: Road,
    /// From the drop to its mailbox, of each, in the order of their return.
    pub back_ms: Vec<u32>,
    /// Devices that were not back in time.
    pub failed: u64,
}

/// Runs the storm.
///
/// # Errors
/// [`LoadError`] when it cannot be set up; what goes wrong later is counted in the report.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) ends the workers and drops all connections.
pub async fn run(
    site: &mut Site,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    crowd::register(site.endpoint(), cast, 0..plan.connections).await?;
    // What the registrations left in the allocator would hide what the storm takes.
    site.restart().await?;
    let mut workers = start_workers(site, cast, plan).await?;
    let (first, count) = (plan.connections, plan.pairs);
    let pairs = Pairs::arrive_noting(site.endpoint(), cast, first, count, BODY_BYTES).await?;

    pairs.set(Pace::Every(pairs.distance(plan.rate)));
    sleep(plan.warm_up).await;
    pairs.tally.start_recording();
    progress::seconds("calm", plan.calm_s).await;
    let before = pairs.tally.stop_recording();

    let clients = Processes(workers.iter().filter_map(Worker::pid).collect());
    let rss_bytes_before = site.processes().and_then(Processes::rss_bytes);
    let began = Instant::now();
    let mut stretch = conditions.stretch(site.processes(), &clients);
    pairs.tally.start_recording();
    if plan.kill {
        site.kill().await?;
    }
    for worker in &mut workers {
        worker.drop_all().await?;
    }
    if plan.kill {
        site.start_again().await?;
        stretch = conditions.stretch(site.processes(), &clients);
    }
    let peak = Peak::watch(site.processes());
    let (workers, returned) = come_back(workers, site, cast, plan, &pairs, began).await?;
    let spent = stretch.end();
    let during = pairs.tally.stop_recording();
    let rss_bytes_peak = peak.bytes();
    if !plan.kill {
        pairs.settle(plan.patience).await;
    }

    let mut broken_connections = if plan.kill { 0 } else { pairs.tally.broken.get() };
    for worker in workers {
        broken_connections += worker.finish().await?;
    }
    let (lost, duplicated, _) = pairs.tally.verdict();
    let back_s = returned.back_ms.iter().max().map(|ms| f64::from(*ms) / 1e3);
    let ratio = rss_bytes_peak.zip(rss_bytes_before).map(|(peak, b)| peak as f64 / b as f64);
    Ok(Report {
        workload: "storm",
        connections: plan.connections,
        pairs: plan.pairs,
        rate_per_s: plan.rate,
        killed: plan.kill,
        all_back_s: back_s.filter(|_| returned.failed == 0),
        back_ms: percentiles(&returned.back_ms),
        server_cpu_s: spent.server_cpu.map(|cpu| cpu.as_secs_f64()),
        peak_rss_ratio: ratio,
        rss_bytes_before,
        rss_bytes_peak,
        failed: returned.failed,
        road: returned.road,
        stayed: Stayed::of(before, during),
        lost,
        duplicated,
        broken_connections,
        others_cpus: spent.others_cpus,
        somaxconn: kernel_limit("net/core/somaxconn"),
        conditions,
    })
}

/// Workers whose connections all stand.
async fn start_workers(site: &Site, cast: Cast, plan: &Plan) -> Result<Vec<Worker>, LoadError> {
    let (to, at_once) = (site.endpoint(), plan.at_once);
    let duty = Duty::Return { seconds: plan.seconds };
    let mut workers = Vec::new();
    for numbers in shares(plan.connections, PER_WORKER_MAX) {
        let order = Order::new(to, cast, numbers, at_once, workers.len(), duty);
        workers.push(Worker::start(&order)?);
    }
    let bar = progress::bar("connecting", plan.connections.into());
    for worker in &mut workers {
        worker.stands(&bar).await?;
    }
    bar.finish_and_clear();
    Ok(workers)
}

/// Waits until all that were dropped are back, or the time is over. After a kill the pairs' recipients
/// come back too and take what was accepted for them.
async fn come_back(
    workers: Vec<Worker>,
    site: &Site,
    cast: Cast,
    plan: &Plan,
    pairs: &Pairs,
    began: Instant,
) -> Result<(Vec<Worker>, Returned), LoadError> {
    let recipients = if plan.kill { plan.pairs } else { 0 };
    let bar = progress::bar("coming back", u64::from(plan.connections + recipients));
    let mut returning = JoinSet::new();
    for mut worker in workers {
        let bar = bar.clone();
        returning.spawn_local(async move {
            let returned = worker.returns(&bar).await;
            returned.map(|returned| (worker, returned))
        });
    }
    let redial =
        Rc::new(Redial::new(site.endpoint(), Some(source_of(site.endpoint(), OWN_SOURCE))));
    let mut drained = JoinSet::new();
    for pair in 0..recipients {
        let (redial, tally, bar) = (Rc::clone(&redial), Rc::clone(&pairs.tally), bar.clone());
        let device = cast.device(recipient_of(plan.connections, pair));
        let deadline = began + Duration::from_secs(plan.seconds);
        drained.spawn_local(async move {
            let take = |deliver: &godwit_wire::v1::Deliver| {
                tally.delivered(pair, deliver.counter, chat::stamp_of(&deliver.body));
            };
            let back = timeout_at(deadline, redial.come_back(&device, None, take)).await;
            bar.inc(1);
            back.is_ok().then(|| began.elapsed())
        });
    }
    let (mut workers, mut all) = (Vec::new(), Returned::default());
    while let Some(joined) = returning.join_next().await {
        let (worker, returned) = joined.map_err(|_| LoadError::Worker)??;
        workers.push(worker);
        all.add(returned);
    }
    while let Some(back) = drained.join_next().await {
        match back.map_err(|_| LoadError::Worker)? {
            Some(took) => all.back_ms.push(u32::try_from(took.as_millis()).unwrap_or(u32::MAX)),
            None => all.failed += 1,
        }
    }
    all.road = all.road.and(redial.road());
    bar.finish_and_clear();
    Ok((workers, all))
}

impl Returned {
    fn add(&mut self, other: Self) {
        self.road = self.road.and(other.road);
        self.back_ms.extend(other.back_ms);
        self.failed += other.failed;
    }
}

impl Stayed {
    /// Of what the pairs' tally recorded before and during.
    fn of(before: [Option<Percentiles>; 4], during: [Option<Percentiles>; 4]) -> Self {
        let [delivery_ms_before, _, _, server_ms_before] = before;
        let [delivery_ms_during, _, _, server_ms_during] = during;
        let p99_ratio = |before: Option<Percentiles>, during: Option<Percentiles>| {
            Some(during?.p99 / before?.p99)
        };
        let p50s = delivery_ms_before.zip(delivery_ms_during);
        Self {
            delivery_ms_before,
            delivery_ms_during,
            p50_ratio: p50s.map(|(before, during)| during.p50 / before.p50),
            p99_ratio: p99_ratio(delivery_ms_before, delivery_ms_during),
            server_ms_before,
            server_ms_during,
            server_p99_ratio: p99_ratio(server_ms_before, server_ms_during),
        }
    }
}

fn percentiles(all_ms: &[u32]) -> Option<Percentiles> {
    let mut latencies = Latencies::default();
    for ms in all_ms {
        latencies.record(Duration::from_millis(u64::from(*ms)));
    }
    latencies.percentiles()
}
