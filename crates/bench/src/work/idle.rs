//! Connections that do nothing but stay: memory here and in the kernel, and the CPU time of their
//! keepalives.

pub mod peer;

use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::machine::{Conditions, Processes, Spent, kernel_bytes, socket_bytes};
use crate::progress;
use crate::server::{Choice, Site};
use crate::work::locally;
use crate::worker::standing::{Keepers, connect};
use crate::worker::{Duty, News, Order, PER_WORKER_MAX, Worker, shares, tell};

/// Connections to one server: the same bound on files, with room for its own.
pub const PER_SERVER_MAX: u32 = 19_000;

/// After a start or a ramp: until timers, logs and allocators have come to rest.
const SETTLE: Duration = Duration::from_secs(4);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections in all.
    pub connections: u32,
    /// Connections to one server; more servers are started as needed.
    pub per_server: u32,
    /// Connections that are being made at once, by each worker.
    pub at_once: usize,
    /// How long the idle CPU time is measured: it is small, and counted in ticks of 10 ms.
    pub seconds: u64,
    /// Quiet seconds that the connections ask for, instead of what the server says.
    pub keepalive_s: Option<u32>,
}

/// What idle connections cost. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    connections: u32,
    servers: usize,
    seconds: u64,
    /// Growth of the servers' own memory, each.
    pub user_bytes_per_connection: Option<f64>,
    /// Half of the growth of the kernel's memory, each: the other half is the client's end.
    pub kernel_bytes_per_connection: Option<f64>,
    /// The same, of the kernel's caches of sockets alone: steadier, but only root may see it.
    kernel_socket_bytes_per_connection: Option<f64>,
    /// Server CPU time for each connection and second, keepalives included.
    idle_cpu_us_per_connection_s: Option<f64>,
    /// Quiet time after which a client says so, seconds.
    keepalive_s: u32,
    logins_per_s: f64,
    login_server_cpu_us: Option<f64>,
    /// Memory of the servers before the first connection, accounts known, bytes each.
    empty_server_bytes: Option<u64>,
    /// Connections that ended by themselves.
    pub broken_connections: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// Runs the load on servers of its own, or on the one named in `choice`.
///
/// # Errors
/// [`LoadError`] when servers or workers cannot be set up.
///
/// # Cancel safety
/// Dropping the future ends its servers and workers.
pub async fn run(choice: &Choice, plan: &Plan, spinners: &Processes) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let sites = open_sites(choice, plan, cast).await?;
    let conditions =
        Conditions::here(sites.first().map_or(".".as_ref(), |(s, _)| s.data()), spinners);
    let servers = processes(&sites);
    sleep(SETTLE).await;

    let before = Memory::now(servers.as_ref());
    let ramp = conditions.stretch(servers.as_ref(), &Processes::default());
    let began = Instant::now();
    let (workers, keepalive_s) = ramp_up(&sites, cast, plan).await?;
    let (all_up, ramp) = (began.elapsed(), ramp.end());
    sleep(SETTLE).await;

    let clients = Processes(workers.iter().filter_map(Worker::pid).collect());
    let quiet = conditions.stretch(servers.as_ref(), &clients);
    progress::seconds("idling", plan.seconds).await;
    let spent = quiet.end();
    let after = Memory::now(servers.as_ref());

    let mut broken_connections = 0;
    for worker in workers {
        broken_connections += worker.finish().await?;
    }
    let servers = sites.len();
    for (site, _) in sites {
        site.close().await?;
    }
    let seen = Seen { servers, keepalive_s, all_up, broken_connections, before, after };
    Ok(Report::of(plan, [ramp, spent], &seen, conditions))
}

/// What was seen besides the time that it took.
struct Seen {
    servers: usize,
    keepalive_s: u32,
    /// From the first connection to the last.
    all_up: Duration,
    broken_connections: u64,
    before: Memory,
    after: Memory,
}

impl Report {
    /// What the ramp and the idling took.
    fn of(plan: &Plan, [ramp, idling]: [Spent; 2], seen: &Seen, conditions: Conditions) -> Self {
        let Seen { servers, keepalive_s, all_up, broken_connections, before, after } = seen;
        let idle_us = idling.server_us_each(plan.connections.into());
        Self {
            workload: "idle",
            connections: plan.connections,
            servers: *servers,
            seconds: plan.seconds,
            user_bytes_per_connection: after.user_growth(before, plan.connections),
            kernel_bytes_per_connection: after.kernel_growth(before, plan.connections),
            kernel_socket_bytes_per_connection: after.socket_growth(before, plan.connections),
            idle_cpu_us_per_connection_s: idle_us.map(|us| us / idling.wall.as_secs_f64()),
            keepalive_s: *keepalive_s,
            logins_per_s: f64::from(plan.connections) / all_up.as_secs_f64(),
            login_server_cpu_us: ramp.server_us_each(plan.connections.into()),
            empty_server_bytes: before.user_bytes.map(|bytes| bytes / (*servers).max(1) as u64),
            broken_connections: *broken_connections,
            others_cpus: idling.others_cpus,
            conditions,
        }
    }
}

/// Servers, each with the devices that are registered there.
async fn open_sites(
    choice: &Choice,
    plan: &Plan,
    cast: Cast,
) -> Result<Vec<(Site, Range<u32>)>, LoadError> {
    let mut sites = Vec::new();
    for numbers in shares(plan.connections, plan.per_server) {
        let mut site = Site::open(choice).await?;
        locally(crowd::register(site.endpoint(), cast, numbers.clone())).await?;
        // What the registrations left in the allocator would hide what the connections take.
        site.restart().await?;
        sites.push((site, numbers));
    }
    Ok(sites)
}

/// All servers' processes; `None` if one is unknown.
fn processes(sites: &[(Site, Range<u32>)]) -> Option<Processes> {
    let known = sites.iter().map(|(site, _)| Some(site.processes()?.0.clone()));
    known.collect::<Option<Vec<_>>>().map(|all| Processes(all.concat()))
}

/// Memory at one moment.
struct Memory {
    user_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
    socket_bytes: Option<u64>,
}

impl Memory {
    fn now(servers: Option<&Processes>) -> Self {
        let user_bytes = servers.and_then(Processes::pss_bytes);
        Self { user_bytes, kernel_bytes: kernel_bytes(), socket_bytes: socket_bytes() }
    }

    fn user_growth(&self, before: &Self, connections: u32) -> Option<f64> {
        growth(self.user_bytes?, before.user_bytes?, connections)
    }

    /// Both ends of each connection are on this machine; half is the server's.
    fn kernel_growth(&self, before: &Self, connections: u32) -> Option<f64> {
        growth(self.kernel_bytes?, before.kernel_bytes?, connections).map(|both| both / 2.0)
    }

    fn socket_growth(&self, before: &Self, connections: u32) -> Option<f64> {
        growth(self.socket_bytes?, before.socket_bytes?, connections).map(|both| both / 2.0)
    }
}

fn growth(after: u64, before: u64, connections: u32) -> Option<f64> {
    (connections > 0).then(|| (after as f64 - before as f64) / f64::from(connections))
}

/// Workers, each with all its connections, and the keepalive that the servers asked for. One comes after
/// another: a worker says that its connections are there when all of them stand, and with fifty at a time
/// the first would have waited for longer than a server does.
async fn ramp_up(
    sites: &[(Site, Range<u32>)],
    cast: Cast,
    plan: &Plan,
) -> Result<(Vec<Worker>, u32), LoadError> {
    let bar = progress::bar("connecting", plan.connections.into());
    let (mut workers, mut keepalive_s) = (Vec::new(), 0);
    for (site, numbers) in sites {
        for part in shares(numbers.end - numbers.start, PER_WORKER_MAX) {
            let numbers = numbers.start + part.start..numbers.start + part.end;
            let mut order =
                Order::new(site.endpoint(), cast, numbers, plan.at_once, workers.len(), Duty::Hold);
            order.keepalive_s = plan.keepalive_s;
            let mut worker = Worker::start(&order)?;
            keepalive_s = keepalive_s.max(worker.stands(&bar).await?);
            workers.push(worker);
        }
    }
    bar.finish_and_clear();
    Ok((workers, keepalive_s))
}

/// What a worker process does: connects, attaches, keeps alive, until standard input ends.
///
/// # Errors
/// [`LoadError`] when a connection cannot be made.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn hold(order: &Order) -> Result<(), LoadError> {
    let conns = connect(order).await?;
    let mut keepers = Keepers::of(&conns);
    keepers.keep_all(conns);
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    tell(&News::Broken(keepers.broken()));
    Ok(())
}
