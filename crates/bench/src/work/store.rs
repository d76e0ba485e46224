//! The store alone, without sockets: enqueue durably over a backlog, hand over, delete. What the
//! server could do at best.

mod driver;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_base::{DeviceId, DeviceNumber};
use godwit_store::{
    DeviceList, Directory, Embedded, KeyUpload, Operations, Options, RegisterError, Registration,
    StoreError,
};
use serde::Serialize;

use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::Percentiles;
use crate::machine::{Conditions, Processes, threads_cpu};
use crate::progress;
use driver::{Driver, Event, Line};

/// Submissions that may be under way at once: what the store's queue takes.
pub const IN_FLIGHT_MAX: u32 = 16_384;

/// Devices that receive while the load is measured.
const LIVE: u32 = 1_000;

/// Devices that send: each keeps a share of what is under way, below its window of 128 repeats.
const SENDERS: u32 = 256;

/// Records of the backlog in one mailbox, a tenth of what it may hold.
const PER_MAILBOX: u32 = 1_000;

/// Submissions under way while the backlog is laid.
const LAYING: u32 = 4_096;

/// Registrations under way at once: half of what the store's queue takes.
const REGISTERING: usize = 512;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Records that lie in mailboxes which nobody empties.
    pub backlog: u64,
    /// Submissions under way at once.
    pub in_flight: u32,
    /// How long it is measured.
    pub seconds: u64,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Fetch every record from the mailbox before it is deleted, as a session that is behind does;
    /// without it records are handed over in memory, as to a live session.
    pub read_back: bool,
}

/// What the store costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    backlog: u64,
    in_flight: u32,
    seconds: u64,
    body_bytes: usize,
    read_back: bool,
    /// Messages enqueued durably, handed over and deleted, with the receipts of their senders.
    pub messages_per_s: f64,
    /// From the call to the callback that says it is durable.
    durable_ms: Option<Percentiles>,
    /// CPU time of the process for each message, the driver's included.
    cpu_us_per_message: Option<f64>,
    /// CPU time of the store's own threads for each message.
    store_cpu_us_per_message: Option<f64>,
    messages_per_batch: f64,
    /// Messages that the store refused.
    pub refused: u64,
    /// Laying the backlog, without deletions.
    backlog_messages_per_s: Option<f64>,
    /// Closing and opening again over the backlog.
    reopen_s: f64,
    file_bytes: u64,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// Runs the load on a store in `data`, an empty folder.
///
/// # Errors
/// [`LoadError`] when the store cannot be opened or refuses the accounts.
///
/// # Cancel safety
/// Not: the driver's thread goes on to its end.
pub async fn run(data: &Path, plan: &Plan, conditions: Conditions) -> Result<Report, LoadError> {
    let cast = Cast::new(rand::random());
    let (sink, events) = mpsc::channel();
    let store = open(data, &sink)?;
    let absent = u32::try_from(plan.backlog.div_ceil(PER_MAILBOX.into())).unwrap_or(u32::MAX);
    register(&store, cast, SENDERS + LIVE + absent).await?;
    let (plan, data) = (plan.clone(), data.to_owned());
    let work = move || {
        let mut driver = Driver::new(cast, 0..SENDERS, plan.body_bytes, events);
        let laid = lay(&mut driver, &store, &plan, absent);
        let began = Instant::now();
        drop(store);
        let store = open(&data, &sink)?;
        let reopened = began.elapsed();
        Ok(measure(&mut driver, &store, &plan, laid, reopened, conditions))
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| LoadError::Worker)?
}

fn open(data: &Path, events: &mpsc::Sender<Event>) -> Result<Embedded, LoadError> {
    Ok(Embedded::open(data, Options::default(), Arc::new(Line::new(events.clone())))?)
}

/// Fills mailboxes that nobody empties; how long that took.
fn lay(driver: &mut Driver, store: &Embedded, plan: &Plan, absent: u32) -> Option<Duration> {
    if plan.backlog == 0 {
        return None;
    }
    let began = Instant::now();
    let to = SENDERS + LIVE..SENDERS + LIVE + absent;
    let bar = progress::bar("laying the backlog", plan.backlog);
    driver.aim(to, false, false);
    driver.go(store, LAYING, |driver| {
        bar.set_position(driver.accepted());
        driver.submitted() < plan.backlog
    });
    bar.finish_and_clear();
    Some(began.elapsed())
}

fn measure(
    driver: &mut Driver,
    store: &Embedded,
    plan: &Plan,
    laid: Option<Duration>,
    reopened: Duration,
    conditions: Conditions,
) -> Report {
    let backlog_messages_per_s = laid.map(|took| driver.accepted() as f64 / took.as_secs_f64());
    driver.aim(SENDERS..SENDERS + LIVE, true, plan.read_back);
    let warm = Instant::now() + Duration::from_secs(1);
    driver.go(store, plan.in_flight, |_| Instant::now() < warm);
    driver.restart_count();

    let bar = progress::bar("enqueueing", plan.seconds);
    let batches = store.stats().batches;
    let (stretch, threads) = (conditions.stretch(None, &Processes::me()), threads_cpu("store-"));
    let began = Instant::now();
    let seconds = Duration::from_secs(plan.seconds);
    driver.go(store, plan.in_flight, |_| {
        bar.set_position(began.elapsed().as_secs());
        began.elapsed() < seconds
    });
    let (spent, messages) = (stretch.end(), driver.accepted());
    let threads = threads_cpu("store-").zip(threads).map(|(now, then)| now.saturating_sub(then));
    bar.finish_and_clear();
    let stats = store.stats();
    Report {
        workload: "store",
        backlog: plan.backlog,
        in_flight: plan.in_flight,
        seconds: plan.seconds,
        body_bytes: plan.body_bytes,
        read_back: plan.read_back,
        messages_per_s: spent.per_s(messages),
        durable_ms: driver.durable(),
        cpu_us_per_message: spent.client_us_each(messages),
        store_cpu_us_per_message: threads.map(|cpu| cpu.as_secs_f64() * 1e6 / messages as f64),
        messages_per_batch: messages as f64 / stats.batches.saturating_sub(batches).max(1) as f64,
        refused: driver.refused(),
        backlog_messages_per_s,
        reopen_s: reopened.as_secs_f64(),
        file_bytes: stats.file_bytes,
        others_cpus: spent.others_cpus,
        conditions,
    }
}

/// Registers so many accounts of the cast, a few hundred at a time.
async fn register(store: &Embedded, cast: Cast, count: u32) -> Result<(), LoadError> {
    let bar = progress::bar("registering", count.into());
    let mut numbers = 0..count;
    loop {
        let answers: Vec<_> = numbers
            .by_ref()
            .take(REGISTERING)
            .map(|number| store.register(registration(cast, number)))
            .collect();
        if answers.is_empty() {
            bar.finish_and_clear();
            return Ok(());
        }
        for answer in answers {
            answer.await.map_err(|error| match error {
                RegisterError::Store(error) => error,
                _ => StoreError::Unavailable, // a fresh cast meets nobody's names or keys
            })?;
            bar.inc(1);
        }
    }
}

fn registration(cast: Cast, number: u32) -> Registration {
    let device = cast.device(number);
    let wire = device.registration(1);
    let signed = wire.list.map(|list| list.signed).unwrap_or_default();
    Registration {
        account_key: device.account_key,
        handle: device.handle,
        invite: None,
        require_invite: false,
        list: DeviceList { version: 1, signed, devices: vec![(NUMBER, device.link.public().0)] },
        device: NUMBER,
        keys: KeyUpload { one_time: Vec::new(), fallback: Some(Bytes::from_static(&[0; 105])) },
    }
}

/// The only device of every account here.
const NUMBER: DeviceNumber = DeviceNumber(1);

fn device_id(cast: Cast, number: u32) -> DeviceId {
    DeviceId { account: cast.device(number).account, number: NUMBER }
}
