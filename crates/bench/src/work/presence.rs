//! Devices that come and go while others look: what it costs that somebody is told. Each device has one
//! chat open, with its neighbour, so every change is told once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use godwit_wire::{ToClient, ToServer, v1};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::conn::{Conn, Traffic};
use crate::crowd;
use crate::device::{Cast, neighbour_of};
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::{Conditions, Processes, Spent};
use crate::progress;
use crate::server::Site;

/// Connections that one process holds, of 20,000 files that it may open.
pub const CONNECTIONS_MAX: u32 = 19_000;

/// Until timers, logs and allocators have come to rest.
pub const SETTLE: Duration = Duration::from_secs(4);

/// What is not told by then will not be: a change that found no room is told in the next second.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Devices, an even number, each of an account of its own.
    pub connections: u32,
    /// How many of a hundred come or go each second.
    pub changes_percent: f64,
    /// How long it is measured, and before that how long without changes.
    pub seconds: u64,
    /// After each step.
    pub settle: Duration,
    /// See [`PATIENCE`].
    pub patience: Duration,
}

/// What presence costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    connections: u32,
    changes_percent: f64,
    seconds: u64,
    /// Changes that devices made.
    pub changes: u64,
    /// Changes that their neighbours were told.
    pub told: u64,
    /// Changes that no neighbour was told in time.
    pub lost: u64,
    /// CPU time of the server in a second, everybody connected and nobody changing.
    idle_server_cpu_us_per_s: Option<f64>,
    /// The same with the changes.
    server_cpu_us_per_s: Option<f64>,
    /// The difference, for each change.
    server_cpu_us_per_change: Option<f64>,
    /// Growth of the server's memory when everybody had said something about presence, each.
    user_bytes_per_connection: Option<f64>,
    /// From the device that changes, framing included.
    up_bytes_per_change: f64,
    /// To its neighbour.
    down_bytes_per_change: f64,
    /// From the change to its neighbour's hands.
    latency_ms: Option<Percentiles>,
    /// Connections that ended early.
    pub broken_connections: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// What all devices share. One thread, so cells and no locks.
struct Stage {
    /// When each device changed last, and was not told of yet.
    changed: RefCell<Vec<Option<Instant>>>,
    told: Cell<u64>,
    broken: Cell<u64>,
    traffic: Cell<Traffic>,
    latencies: RefCell<Latencies>,
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
    let conns = crowd::arrive(site.endpoint(), cast, 0..plan.connections).await?;
    sleep(plan.settle).await;
    let memory = || site.processes().and_then(Processes::pss_bytes);
    let before_bytes = memory();
    let stage = Rc::new(Stage::new(plan.connections));
    let devices = start(conns, cast, &stage);
    sleep(plan.settle).await;
    let after_bytes = memory();

    let idle = conditions.stretch(site.processes(), &Processes::me());
    progress::seconds("nobody changes", plan.seconds).await;
    let idle = idle.end();
    let (before, told_before) = (stage.traffic.get(), stage.told.get());
    let busy = conditions.stretch(site.processes(), &Processes::me());
    let changes = change(plan, &devices, &stage).await;
    let busy = busy.end();
    sleep(plan.patience).await;

    let traffic = stage.traffic.get();
    let told = stage.told.get() - told_before;
    let each = |bytes: u64| bytes as f64 / changes.max(1) as f64;
    let us_per_s = |spent: &Spent| spent.server_us_each(plan.seconds);
    let more = us_per_s(&busy).zip(us_per_s(&idle)).map(|(busy, idle)| busy - idle);
    let grown = before_bytes.zip(after_bytes).map(|(before, after)| after as f64 - before as f64);
    let latency_ms = stage.latencies.borrow().percentiles();
    Ok(Report {
        workload: "presence",
        connections: plan.connections,
        changes_percent: plan.changes_percent,
        seconds: plan.seconds,
        changes,
        told,
        lost: changes.saturating_sub(told),
        idle_server_cpu_us_per_s: us_per_s(&idle),
        server_cpu_us_per_s: us_per_s(&busy),
        server_cpu_us_per_change: more.map(|us| us * plan.seconds as f64 / changes.max(1) as f64),
        user_bytes_per_connection: grown.map(|bytes| bytes / f64::from(plan.connections)),
        up_bytes_per_change: each(traffic.up_bytes - before.up_bytes),
        down_bytes_per_change: each(traffic.down_bytes - before.down_bytes),
        latency_ms,
        broken_connections: stage.broken.get(),
        others_cpus: busy.others_cpus,
        conditions,
    })
}

/// One task a connection; each is told through its channel to change.
fn start(conns: Vec<Conn>, cast: Cast, stage: &Rc<Stage>) -> Vec<mpsc::Sender<Instant>> {
    let mut devices = Vec::with_capacity(conns.len());
    for (number, conn) in (0_u32..).zip(conns) {
        let (change, changes) = mpsc::channel(1);
        devices.push(change);
        let (own, shared) = (Rc::clone(stage), Rc::clone(stage));
        let neighbour = neighbour_of(number);
        let watched = cast.device(neighbour).account.0;
        tokio::task::spawn_local(async move {
            if device(conn, number, neighbour, watched, changes, &own).await.is_err() {
                shared.broken.set(shared.broken.get() + 1);
            }
        });
    }
    devices
}

/// One device: here at first, and the other way round at each change.
async fn device(
    mut conn: Conn,
    number: u32,
    neighbour: u32,
    watched: u64,
    mut changes: mpsc::Receiver<Instant>,
    stage: &Stage,
) -> Result<(), LoadError> {
    let mut here = true;
    let chat = v1::OpenChat { account: watched, ..v1::OpenChat::default() };
    conn.say(&presence(here))?;
    conn.say(&ToServer::PresenceWatch(v1::PresenceWatch { chats: vec![chat] }))?;
    conn.flush().await?;
    let quiet = Duration::from_secs(conn.welcome.keepalive_s.max(1).into());
    let mut keepalive = Instant::now() + quiet;
    loop {
        let before = conn.traffic();
        let mut told = 0;
        tokio::select! {
            heard = conn.hear(|message| told += u64::from(matches!(message, ToClient::Presence(_)))) => heard?,
            at = changes.recv() => {
                let Some(at) = at else { return Ok(()) };
                here = !here;
                stage.changes(number, at);
                conn.say(&presence(here))?;
                conn.flush().await?;
                keepalive = Instant::now() + quiet;
            }
            () = sleep_until(keepalive) => {
                conn.say_nothing();
                conn.flush().await?;
                keepalive = Instant::now() + quiet;
            }
        }
        if told > 0 {
            stage.is_told(neighbour);
        }
        stage.count(before, conn.traffic());
    }
}

/// That somebody is at a device, or not, for everybody to see.
pub(super) fn presence(here: bool) -> ToServer {
    let visibility = v1::Visibility::Everyone.into();
    ToServer::PresenceSet(v1::PresenceSet { here, visibility, ..v1::PresenceSet::default() })
}

/// Has devices change at even distances, far apart from one another; returns how many did.
async fn change(plan: &Plan, devices: &[mpsc::Sender<Instant>], stage: &Stage) -> u64 {
    let per_s = f64::from(plan.connections) * plan.changes_percent / 100.0;
    let gap = Duration::from_secs_f64(1.0 / per_s.max(0.001));
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    let mut clock = interval(gap);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut changes = 0;
    // Both of a pair are half the crowd apart in time.
    let order = (0..devices.len()).step_by(2).chain((1..devices.len()).step_by(2));
    for device in order.cycle() {
        let at = clock.tick().await;
        if at >= end || stage.broken.get() > 0 {
            break;
        }
        let Some(device) = devices.get(device) else { break };
        if device.send(at).await.is_err() {
            break;
        }
        changes += 1;
    }
    changes
}

impl Stage {
    fn new(devices: u32) -> Self {
        Self {
            changed: RefCell::new(vec![None; devices as usize]),
            told: Cell::default(),
            broken: Cell::default(),
            traffic: Cell::default(),
            latencies: RefCell::default(),
        }
    }

    fn changes(&self, number: u32, at: Instant) {
        if let Some(place) = self.changed.borrow_mut().get_mut(number as usize) {
            *place = Some(at);
        }
    }

    /// Somebody was told of this device: if it had changed, that took so long.
    fn is_told(&self, number: u32) {
        let changed = self.changed.borrow_mut().get_mut(number as usize).and_then(Option::take);
        if let Some(at) = changed {
            self.told.set(self.told.get() + 1);
            self.latencies.borrow_mut().record(at.elapsed());
        }
    }

    fn count(&self, before: Traffic, after: Traffic) {
        let mut all = self.traffic.get();
        all.up_bytes += after.up_bytes - before.up_bytes;
        all.down_bytes += after.down_bytes - before.down_bytes;
        self.traffic.set(all);
    }
}
