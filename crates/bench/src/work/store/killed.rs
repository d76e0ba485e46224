//! What a kill leaves of a store, opened again: with its pages in the kernel's memory, as after a crash of the
//! server, and without, as after one of the machine.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use godwit_store::{Embedded, Operations};
use rustix::fs::{Advice, fadvise};
use serde::Serialize;
use tempfile::TempDir;

use crate::error::LoadError;

/// How long it took until it was open. Names are stable.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    warm_s: f64,
    /// With no page of it in the kernel's memory.
    cold_s: f64,
    /// Records that were there again, and in how many mailboxes.
    records: u64,
    mailboxes: u64,
}

/// Copies the files of a store that is open and has nothing to do, which is what a kill would leave of it, and
/// opens the copies with `open`. They are on the same disk.
///
/// # Errors
/// [`LoadError`] when there is no room for a copy, or it cannot be opened.
pub(super) fn run(
    data: &Path,
    open: impl Fn(&Path) -> Result<Embedded, LoadError>,
) -> Result<Report, LoadError> {
    let (_, warm) = reopened(data, false, &open)?;
    let (store, cold) = reopened(data, true, &open)?;
    let stats = store.stats();
    Ok(Report {
        warm_s: warm.as_secs_f64(),
        cold_s: cold.as_secs_f64(),
        records: stats.records,
        mailboxes: stats.mailboxes,
    })
}

fn reopened(
    data: &Path,
    is_cold: bool,
    open: impl Fn(&Path) -> Result<Embedded, LoadError>,
) -> Result<(Embedded, Duration), LoadError> {
    let copy = copy(data, is_cold).map_err(LoadError::io("copying the store"))?;
    let began = Instant::now();
    let store = open(copy.path())?;
    Ok((store, began.elapsed())) // the store has its file open: nobody needs its name any more
}

/// A copy beside `data`. Its blocks are on the disk; whether its pages stay in memory is up to `is_cold`.
fn copy(data: &Path, is_cold: bool) -> std::io::Result<TempDir> {
    let copy = tempfile::tempdir_in(data.parent().unwrap_or(data))?;
    for file in std::fs::read_dir(data)? {
        let file = file?;
        if !file.file_type()?.is_file() {
            continue;
        }
        let path = copy.path().join(file.file_name());
        std::fs::copy(file.path(), &path)?;
        let file = File::open(path)?;
        file.sync_all()?; // pages that are not written stay
        if is_cold {
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(copy)
}
