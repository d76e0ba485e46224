//! The store alone, without sockets: enqueue durably over a backlog, hand over, delete. What the
//! server could do at best.

mod driver;
mod expiry;
mod killed;
mod room;
mod spike;

use std::ops::Range;
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
use driver::{Driver, Line};
use expiry::Shifted;
use room::Room;

/// Submissions that may be under way at once: what the store's queue takes.
pub const IN_FLIGHT_MAX: u32 = 16_384;

/// Devices that receive while the load is measured.
const LIVE: u32 = 1_000;

/// Devices that send: each keeps a share of what is under way, below its window of 128 repeats.
const SENDERS: u32 = 256;

/// Records of the backlog in one mailbox at most: half of what it may hold.
pub const PER_MAILBOX_MAX: u32 = 5_000;

/// Submissions under way while the backlog is laid.
const LAYING: u32 = 4_096;

/// Registrations under way at once: half of what the store's queue takes.
const REGISTERING: usize = 512;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Records that lie in mailboxes which nobody empties.
    pub backlog: u64,
    /// Of these in one mailbox.
    pub per_mailbox: u32,
    /// Submissions under way at once.
    pub in_flight: u32,
    /// How long it is measured.
    pub seconds: u64,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Fetch every record from the mailbox before it is deleted, as a session that is behind does;
    /// without it records are handed over in memory, as to a live session.
    pub read_back: bool,
    /// Also open what a kill would leave over the backlog.
    pub killed: bool,
    /// Records that then come at once, and are all fetched and deleted.
    pub spike: u64,
    /// In the end the backlog's time passes.
    pub expire: bool,
}

/// What the store costs. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    backlog: u64,
    per_mailbox: u32,
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
    /// What the process holds more after opening again than with the store still empty, for each record
    /// of the backlog; pages in the cache, which does not grow with it, included.
    rss_bytes_per_record: Option<f64>,
    /// What the cache of pages may hold.
    cache_bytes_max: usize,
    disk_bytes_per_record: Option<f64>,
    file_bytes: u64,
    killed: Option<killed::Report>,
    spike: Option<spike::Report>,
    expiry: Option<expiry::Report>,
    others_cpus: Option<f64>,
    conditions: Conditions,
}

/// Whom the cast plays.
struct People {
    absent: u32,
    late: u32,
}

impl People {
    fn of(plan: &Plan) -> Self {
        let mailboxes = |records: u64| {
            u32::try_from(records.div_ceil(plan.per_mailbox.max(1).into())).unwrap_or(u32::MAX)
        };
        Self { absent: mailboxes(plan.backlog), late: mailboxes(plan.spike) }
    }

    /// Those who receive while the load is measured.
    fn live() -> Range<u32> {
        SENDERS..SENDERS + LIVE
    }

    /// In whose mailboxes the backlog lies.
    fn absent(&self) -> Range<u32> {
        let first = Self::live().end;
        first..first + self.absent
    }

    /// In whose mailboxes the spike lies.
    fn late(&self) -> Range<u32> {
        let first = self.absent().end;
        first..first + self.late
    }
}

/// What lay there before the load was measured.
struct Standing {
    laid: Option<Duration>,
    reopened: Duration,
    /// Memory and disk of a record.
    each: (Option<f64>, Option<f64>),
    cache_bytes_max: usize,
    killed: Option<killed::Report>,
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
    let clock = Arc::new(Shifted::default());
    let mut options = Options::default();
    options.clock = Arc::<Shifted>::clone(&clock);
    let cache_bytes_max = options.cache_bytes;
    let (plan, data, people) = (plan.clone(), data.to_owned(), People::of(plan));
    let open = move |data: &Path| {
        let line = Arc::new(Line::new(sink.clone()));
        Ok::<_, LoadError>(Embedded::open(data, options.clone(), line)?)
    };
    let store = open(&data)?;
    register(&store, cast, people.late().end).await?;
    let work = move || {
        let empty = Room::now(&data);
        let mut driver = Driver::new(cast, 0..SENDERS, plan.body_bytes, events);
        let laid = (plan.backlog > 0).then(|| {
            let began = Instant::now();
            spike::lay(&mut driver, &store, plan.backlog, people.absent());
            began.elapsed()
        });
        let killed = plan.killed.then(|| killed::run(&data, &open)).transpose()?;
        let began = Instant::now();
        drop(store);
        let mut store = open(&data)?;
        let reopened = began.elapsed();
        let each = Room::now(&data).each_since(&empty, plan.backlog);
        let standing = Standing { laid, reopened, each, cache_bytes_max, killed };
        let mut report = measure(&mut driver, &store, &plan, standing, conditions);
        if plan.spike > 0 {
            let people = people.late();
            let mut spike = spike::run(&mut driver, &store, &data, &plan, people)?;
            let began = Instant::now();
            drop(store);
            store = open(&data)?;
            spike.reopened(&data, began.elapsed());
            report.spike = Some(spike);
        }
        if plan.expire {
            let message_us = report.store_cpu_us_per_message;
            let expiry = expiry::run(&mut driver, &store, &clock, plan.in_flight, message_us)?;
            report.expiry = Some(expiry);
        }
        Ok(report)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| LoadError::Worker)?
}

fn measure(
    driver: &mut Driver,
    store: &Embedded,
    plan: &Plan,
    standing: Standing,
    conditions: Conditions,
) -> Report {
    let laid = standing.laid.map(|took| driver.accepted() as f64 / took.as_secs_f64());
    driver.aim(People::live(), true, plan.read_back);
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
        per_mailbox: plan.per_mailbox,
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
        backlog_messages_per_s: laid,
        reopen_s: standing.reopened.as_secs_f64(),
        rss_bytes_per_record: standing.each.0,
        cache_bytes_max: standing.cache_bytes_max,
        disk_bytes_per_record: standing.each.1,
        file_bytes: stats.file_bytes,
        killed: standing.killed,
        spike: None,
        expiry: None,
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
