//! Many records at once, which are then all fetched and deleted: whether the disk gets its room back.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use godwit_store::{Embedded, Operations};
use serde::Serialize;
use tokio::runtime::Handle;

use super::driver::{DRAIN_PATIENCE, Driver};
use super::room::disk_bytes;
use super::{LAYING, People, Plan};
use crate::error::LoadError;
use crate::figures::Percentiles;
use crate::progress;

/// How long the room is waited for, in times of what is measured.
const PATIENCE: u32 = 6;

/// And at least: when a million records gave their room back it took 9.5 s.
const PATIENCE_MIN: Duration = Duration::from_secs(30);

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
    /// The most that was seen until all were deleted.
    disk_bytes_peak: Option<u64>,
    /// Once all are deleted.
    disk_bytes_drained: Option<u64>,
    disk_bytes_after: Option<u64>,
    /// From the sweep after the last deletion until nine tenths of what the spike took were given back, on the
    /// disk, with a little traffic. A server sweeps once a minute.
    returned_after_s: Option<f64>,
    /// The longest that a message waited meanwhile.
    durable_ms: Option<Percentiles>,
    /// After closing and opening again, which took so long.
    disk_bytes_reopened: Option<u64>,
    reopened_s: Option<f64>,
}

/// Lays the spike in the mailboxes of `people`, and empties them.
pub(super) fn run(
    driver: &mut Driver,
    store: &Embedded,
    data: &Path,
    plan: &Plan,
    people: Range<u32>,
) -> Result<Report, LoadError> {
    let records = plan.spike;
    let mut seen = Sizes::of(disk_bytes(data));
    let began = Instant::now();
    lay(driver, store, records, people.clone());
    let laid_s = began.elapsed().as_secs_f64();
    seen.see(disk_bytes(data));
    let began = Instant::now();
    driver.aim(People::live(), true, false);
    driver.drain(store, people, DRAIN_PATIENCE, || seen.see(disk_bytes(data)))?;
    let drained_s = began.elapsed().as_secs_f64();
    let disk_bytes_drained = disk_bytes(data);
    seen.see(disk_bytes_drained);
    driver.aim(People::live(), true, false);
    driver.restart_count();
    // Its answer is not waited for: what follows it is what is measured.
    drop(store.sweep());
    let returned = || seen.returned(disk_bytes(data));
    let returned_after_s = live_until(driver, store, patience(plan.seconds), returned);
    Ok(Report {
        records,
        laid_s,
        drained_s,
        disk_bytes_before: seen.before,
        disk_bytes_peak: seen.peak,
        disk_bytes_drained,
        disk_bytes_after: disk_bytes(data),
        returned_after_s,
        durable_ms: driver.durable(),
        disk_bytes_reopened: None,
        reopened_s: None,
    })
}

impl Report {
    /// The store was closed and opened again.
    pub(super) fn reopened(&mut self, data: &Path, took: Duration) {
        self.disk_bytes_reopened = disk_bytes(data);
        self.reopened_s = Some(took.as_secs_f64());
    }
}

fn patience(seconds: u64) -> Duration {
    (Duration::from_secs(seconds) * PATIENCE).max(PATIENCE_MIN)
}

/// What the store took of the disk before the spike, and at most.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    before: Option<u64>,
    peak: Option<u64>,
}

impl Sizes {
    fn of(before: Option<u64>) -> Self {
        Self { before, peak: before }
    }

    fn see(&mut self, now: Option<u64>) {
        self.peak = self.peak.max(now);
    }

    /// Whether nine tenths of what the spike took are given back.
    fn returned(&self, now: Option<u64>) -> bool {
        let enough = self.before.zip(self.peak);
        let enough = enough.map(|(before, peak)| before + peak.saturating_sub(before) / 10);
        now.zip(enough).is_some_and(|(now, enough)| now <= enough)
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
    driver.aim(0..0, false, false); // a million names would count as the store's memory
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
        let is_due = look.is_none_or(|look: Instant| look.elapsed() >= LOOK_EVERY);
        if took.is_none() && is_due {
            look = Some(Instant::now());
            took = done().then(|| began.elapsed().as_secs_f64());
        }
        took.is_none() && began.elapsed() < patience
    });
    took
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_waited_for_however_short_the_run_is() {
        assert_eq!([1, 5, 6].map(patience), [30, 30, 36].map(Duration::from_secs));
    }

    /// Nine tenths are those of the most that was seen, whenever that was.
    #[test]
    fn the_peak_is_the_most_that_was_seen() {
        let mut seen = Sizes::of(Some(100));
        for now in [1_000, 1_100, 600] {
            seen.see(Some(now));
        }
        assert_eq!(seen.peak, Some(1_100));
        assert!(seen.returned(Some(200)) && !seen.returned(Some(201)));
        assert!(!seen.returned(None) && !Sizes::of(None).returned(Some(0)), "nothing is known");
    }
}
