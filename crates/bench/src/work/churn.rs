//! Devices that come and go at an even rate: what a login costs, from dialling to "caught up", when most
//! mailboxes are empty; and whether the server keeps anything of who has gone.

mod device;
mod feeder;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::conn::Conn;
use crate::crowd;
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::machine::{Conditions, Processes};
use crate::progress;
use crate::redial::{Redial, Road};
use crate::server::Site;
use device::Device;
use feeder::Feeder;

/// Connections that one process holds, of 20,000 files that it may open.
pub const CONNECTIONS_MAX: u32 = 18_000;

/// Logins a second: more than a core can answer.
pub const RATE_MAX: u32 = 50_000;

/// Every so many devices find a message when they come back; the others, three of four, find nothing.
pub const MAIL_EVERY: u32 = 4;

/// Until timers, logs and allocators have come to rest.
pub const SETTLE: Duration = Duration::from_secs(2);

/// Longer than a login takes at any working server.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Devices that one feeder writes to: a new account may begin 2,000 conversations a day.
const DEVICES_PER_FEEDER: u32 = 1_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Devices, each of an account of its own.
    pub connections: u32,
    /// Logins a second, each after a goodbye.
    pub rate: u32,
    /// How long it is measured, and before that how long without logins.
    pub seconds: u64,
    /// Before memory is looked at.
    pub settle: Duration,
    /// See [`PATIENCE`].
    pub patience: Duration,
}

/// What coming and going costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    connections: u32,
    rate_per_s: u32,
    seconds: u64,
    /// Devices that went and came back.
    pub logins: u64,
    /// Of these, with an empty mailbox.
    pub empty: u64,
    /// Of these, with a message in it.
    pub with_mail: u64,
    logins_per_s: f64,
    /// CPU time of the server in a second, everybody connected and nobody moving.
    idle_server_cpu_us_per_s: Option<f64>,
    /// What a login and a goodbye add to it; with one message for every fourth.
    server_cpu_us_per_login: Option<f64>,
    /// From dialling to "caught up", empty mailboxes.
    login_ms: Option<Percentiles>,
    /// The same of mailboxes with a message, which is read.
    login_with_mail_ms: Option<Percentiles>,
    /// Memory of the server after the first half of the logins.
    rss_bytes_start: Option<u64>,
    /// After the second.
    rss_bytes_end: Option<u64>,
    /// The second to the first: 1 if nothing is kept of who has gone.
    memory_ratio: Option<f64>,
    /// Logins that failed, or found less than was sent.
    pub failed: u64,
    /// Turns of the clock at which the device was still busy with its last login.
    pub skipped: u64,
    /// What devices met on their way.
    #[serde(flatten)]
    pub road: Road,
    /// Connections that ended by themselves.
    pub broken_connections: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// What all devices share. One thread, so cells and no locks.
pub(crate) struct Stage {
    redial: Redial,
    empty: Cell<u64>,
    with_mail: Cell<u64>,
    failed: Cell<u64>,
    broken: Cell<u64>,
    latencies: RefCell<[Latencies; 2]>,
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
    let with_mail = plan.connections.div_ceil(MAIL_EVERY);
    let feeders = plan.connections..plan.connections + with_mail.div_ceil(DEVICES_PER_FEEDER);
    let feeders = crowd::arrive(site.endpoint(), cast, feeders).await?;
    let stage = Rc::new(Stage::new(site));
    let devices = start(conns, feeders, cast, plan, &stage);
    sleep(plan.settle).await;
    let idle = conditions.stretch(site.processes(), &Processes::me());
    progress::seconds("nobody moves", plan.seconds).await;
    let idle = idle.end();

    let busy = conditions.stretch(site.processes(), &Processes::me());
    let memory = || site.processes().and_then(Processes::rss_bytes);
    let skipped_first = come_and_go(plan, &devices).await;
    let rss_bytes_start = memory();
    let skipped_then = come_and_go(plan, &devices).await;
    let logins_by_then = stage.logins();
    let busy = busy.end();
    let rss_bytes_end = memory();
    drop(devices);
    sleep(plan.settle).await;

    let us_per_s = |us: Option<f64>, wall: Duration| us.map(|us| us / wall.as_secs_f64());
    let idle_us = us_per_s(idle.server_us_each(1), idle.wall);
    let busy_us = us_per_s(busy.server_us_each(1), busy.wall);
    let per_s = busy.per_s(logins_by_then);
    let latencies = stage.latencies.borrow();
    let [empty_ms, mail_ms] = &*latencies;
    Ok(Report {
        workload: "churn",
        connections: plan.connections,
        rate_per_s: plan.rate,
        seconds: plan.seconds,
        logins: stage.logins(),
        empty: stage.empty.get(),
        with_mail: stage.with_mail.get(),
        logins_per_s: per_s,
        idle_server_cpu_us_per_s: idle_us,
        server_cpu_us_per_login: busy_us.zip(idle_us).map(|(busy, idle)| (busy - idle) / per_s),
        login_ms: empty_ms.percentiles(),
        login_with_mail_ms: mail_ms.percentiles(),
        rss_bytes_start,
        rss_bytes_end,
        memory_ratio: rss_bytes_end
            .zip(rss_bytes_start)
            .map(|(end, start)| end as f64 / start as f64),
        failed: stage.failed.get(),
        skipped: skipped_first + skipped_then,
        road: stage.redial.road(),
        broken_connections: stage.broken.get(),
        others_cpus: busy.others_cpus,
        conditions,
    })
}

/// One task a device; each is told through its channel to go and come back.
fn start(
    conns: Vec<Conn>,
    feeders: Vec<Conn>,
    cast: Cast,
    plan: &Plan,
    stage: &Rc<Stage>,
) -> Vec<mpsc::Sender<()>> {
    let feeders: Vec<Feeder> = feeders.into_iter().map(Feeder::start).collect();
    let mut devices = Vec::with_capacity(conns.len());
    for (number, conn) in (0_u32..).zip(conns) {
        let (go, told) = mpsc::channel(1);
        devices.push(go);
        let mail = number.is_multiple_of(MAIL_EVERY);
        let feeder = feeders.get((number / MAIL_EVERY / DEVICES_PER_FEEDER) as usize);
        let feeder = feeder.filter(|_| mail).cloned();
        let device = Device::new(cast.device(number), feeder, plan.patience, Rc::clone(stage));
        // Evenly over the interval, as devices that came at different times would be.
        let part = f64::from(number) / f64::from(plan.connections);
        tokio::task::spawn_local(device.run(conn, told, part));
    }
    devices
}

/// Has devices go and come back, one after another, evenly over half of the time. How many were still
/// busy when it was their turn.
async fn come_and_go(plan: &Plan, devices: &[mpsc::Sender<()>]) -> u64 {
    let half = Duration::from_secs(plan.seconds) / 2;
    let turns = u64::from(plan.rate) * plan.seconds / 2;
    let mut clock = interval(Duration::from_secs(1) / plan.rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let bar = progress::bar("coming and going", turns);
    let end = Instant::now() + half;
    let mut skipped = 0;
    for device in devices.iter().cycle() {
        if clock.tick().await >= end {
            break;
        }
        skipped += u64::from(device.try_send(()).is_err());
        bar.inc(1);
    }
    bar.finish_and_clear();
    skipped
}

impl Stage {
    fn new(site: &Site) -> Self {
        Self {
            redial: Redial::new(site.endpoint(), None),
            empty: Cell::default(),
            with_mail: Cell::default(),
            failed: Cell::default(),
            broken: Cell::default(),
            latencies: RefCell::default(),
        }
    }

    fn logins(&self) -> u64 {
        self.empty.get() + self.with_mail.get()
    }
}
