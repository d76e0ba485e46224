//! The backlog's time passes: how long the sweeps take that drop it, and what the traffic that goes on
//! meanwhile notices.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use godwit_base::limits::EXPIRY_DAYS;
use godwit_base::{Clock, SystemClock};
use godwit_store::{Embedded, Operations, StoreError, Swept};
use serde::Serialize;
use tokio::runtime::Handle;

use super::driver::Driver;
use crate::figures::Percentiles;
use crate::machine::threads_cpu;

/// The clock is set forward by this much at once: the store doubts leaps of more than a day.
const STEP_MS: u64 = 12 * 60 * 60 * 1_000;

/// So many steps let a record expire that was stored before the first.
const STEPS: u64 = EXPIRY_DAYS * 24 * 60 * 60 * 1_000 / STEP_MS;

/// The machine's clock, set forward.
#[derive(Debug, Default)]
pub(super) struct Shifted {
    by_ms: AtomicU64,
}

impl Clock for Shifted {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms() + self.by_ms.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        SystemClock.monotonic_ns()
    }
}

/// What expiry costs. Names are stable.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Records that the sweeps dropped.
    expired: u64,
    /// From the moment at which all had expired until all were gone.
    seconds: f64,
    sweeps: u64,
    /// Messages that went through the same store meanwhile, as many under way as before.
    messages_per_s: f64,
    durable_ms: Option<Percentiles>,
    /// CPU time of the store's threads for each expired record; what the messages cost before is
    /// taken off.
    store_cpu_us_per_expired: Option<f64>,
    refused: u64,
}

/// Lets the backlog's time pass under the load of before, of which a message cost the store's threads
/// `message_us`.
pub(super) fn run(
    driver: &mut Driver,
    store: &Embedded,
    clock: &Shifted,
    in_flight: u32,
    message_us: Option<f64>,
) -> Result<Report, StoreError> {
    let runtime = Handle::current();
    for _ in 0..STEPS {
        runtime.block_on(store.sweep())?; // believes the clock so far
        clock.by_ms.fetch_add(STEP_MS, Ordering::Relaxed);
    }
    driver.restart_count();
    let (began, cpu) = (Instant::now(), threads_cpu("store-"));
    let swept = std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| sweep_all(&runtime, store));
        driver.go(store, in_flight, |_| !sweeper.is_finished());
        sweeper.join().unwrap_or(Err(StoreError::Unavailable))
    });
    let cpu = threads_cpu("store-").zip(cpu).map(|(now, then)| now.saturating_sub(then));
    let (sweeps, expired, took) = swept?;
    let messages = driver.accepted();
    let of_messages = message_us.map(|us| us * messages as f64);
    Ok(Report {
        expired,
        seconds: took.as_secs_f64(),
        sweeps,
        messages_per_s: messages as f64 / began.elapsed().as_secs_f64(),
        durable_ms: driver.durable(),
        store_cpu_us_per_expired: cpu
            .zip(of_messages)
            .filter(|_| expired > 0)
            .map(|(all, messages)| (all.as_secs_f64() * 1e6 - messages).max(0.0) / expired as f64),
        refused: driver.refused(),
    })
}

/// Sweeps as the server does: at once again while there is more. How often, how many records went, and
/// how long that took.
fn sweep_all(runtime: &Handle, store: &Embedded) -> Result<(u64, u64, Duration), StoreError> {
    let (began, mut sweeps, mut expired) = (Instant::now(), 0, 0);
    loop {
        let Swept { expired: some, more, .. } = runtime.block_on(store.sweep())?;
        sweeps += 1;
        expired += u64::from(some);
        if !more {
            return Ok((sweeps, expired, began.elapsed()));
        }
    }
}
