//! Many records at once, which are then all fetched and deleted: whether the disk gets its room back.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use godwit_store::{Embedded, Operations};
use serde::Serialize;
use tokio::runtime::Handle;

use super::driver::Driver;
use super::room::disk_bytes;
use super::{LAYING, People, Plan};
use crate::progress;

/// How long the room is waited for, in times of what is measured.
const PATIENCE: u32 = 6;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Submissions under way while it is looked at: the room goes back with the batches of other work.
const QUIET: u32 = 64;

/// What a spike leaves. Names are stable.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    records: u64,
    laid_s: f64,
    drained_s: f64,
    disk_bytes_before: Option<u64>,
    disk_bytes_peak: Option<u64>,
    /// Once all are deleted.
    disk_bytes_drained: Option<u64>,
    disk_bytes_after: Option<u64>,
    /// From the last deletion until nine tenths of what the spike took were given back.
    returned_after_s: Option<f64>,
}

/// Lays the spike in the mailboxes of `people`, and empties them.
pub(super) fn run(
    driver: &mut Driver,
    store: &Embedded,
    data: &Path,
    plan: &Plan,
    people: Range<u32>,
) -> Report {
    let records = plan.spike;
    let patience = Duration::from_secs(plan.seconds) * PATIENCE;
    let disk_bytes_before = disk_bytes(data);
    let began = Instant::now();
    lay(driver, store, records, people.clone());
    let laid_s = began.elapsed().as_secs_f64();
    let disk_bytes_peak = disk_bytes(data);
    let began = Instant::now();
    driver.aim(People::live(), true, false);
    driver.drain(store, people);
    let drained_s = began.elapsed().as_secs_f64();
    let disk_bytes_drained = disk_bytes(data);
    let enough = disk_bytes_before.zip(disk_bytes_peak);
    let enough = enough.map(|(before, peak)| before + peak.saturating_sub(before) / 10);
    let returned = || disk_bytes(data).zip(enough).is_some_and(|(now, enough)| now <= enough);
    let returned_after_s = live_until(driver, store, patience, returned);
    let disk_bytes_after = disk_bytes(data);
    Report {
        records,
        laid_s,
        drained_s,
        disk_bytes_before,
        disk_bytes_peak,
        disk_bytes_drained,
        disk_bytes_after,
        returned_after_s,
    }
}

/// Fills mailboxes that nobody empties meanwhile.
pub(super) fn lay(driver: &mut Driver, store: &Embedded, records: u64, people: Range<u32>) {
    let bar = progress::bar("laying records", records);
    driver.aim(people, false, false);
    driver.restart_count();
    driver.go(store, LAYING, |driver| {
        bar.set_position(driver.accepted());
        driver.submitted() < records
    });
    // Answered after the last batch was told of: later nothing of it is taken for the live devices'.
    drop(Handle::current().block_on(store.sweep()));
    driver.take_waiting();
    bar.finish_and_clear();
}

/// A little traffic until it is `done`; seconds until then, if it was within the patience.
fn live_until(
    driver: &mut Driver,
    store: &Embedded,
    patience: Duration,
    done: impl Fn() -> bool,
) -> Option<f64> {
    let (began, mut look, mut took) = (Instant::now(), None, None);
    driver.go(store, QUIET, |_| {
        if look.is_none_or(|look: Instant| look.elapsed() >= LOOK_EVERY) {
            look = Some(Instant::now());
            took = done().then(|| began.elapsed().as_secs_f64());
        }
        took.is_none() && began.elapsed() < patience
    });
    took
}
