//! Room that a spike left. The database shortens its file only where the pages at its end are free, so one
//! row that stays near the end holds all that is free below it.
//!
//! When most of a file is free, and what lives in it is little, the store [moves](give_back) by itself: all
//! rows are copied into a new file, which takes the place of the old one. How long that takes depends on what
//! lives and not on what was free; the old file is closed, and its room given to the system, on a thread that
//! nobody waits for. What is larger the operator [compacts](compact) in place, with the server stopped.

use std::fs::{File, remove_file, rename, set_permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::Builder;
use std::time::{Duration, Instant};

use redb::{Database, ReadTransaction, ReadableTableMetadata};

use super::archive::{beside, copy_all, remove_if_there, sync_folder};
use super::fault::{Fault, guarded, guarded_read};
use super::open_error;
use super::options::Options;
use super::shared::{FILE_NAME, Shared, builder};
use super::state;
use crate::{CompactReport, OpenError};

/// A shorter file is left alone: as much as the store keeps free anyway (`reserve_bytes`).
const FILE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Of so many bytes of the file at most one lives: a file doubles when it grows, so one with half or a
/// third in use is a file that grew, and after a move it is far from the next one.
const FILE_BYTES_PER_LIVE: u64 = 4;

/// What lives at most, for a move while serving: everybody waits for it, as for a batch.
pub(crate) const SERVING_LIVE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What lives at most, for a move when opening: that much is copied in about a second.
pub(crate) const OPENING_LIVE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What a row takes at least beside a body: its key, its head, its checksum, its place in a page. Only rows
/// that may be few enough are looked at page by page.
const ROW_BYTES_MIN: u64 = 64;

/// The ending of the new file's name until it takes the old one's.
const ANEW: &str = "anew";

/// Whether a file is moved in which so much lives.
fn is_worth(file_bytes: u64, live_bytes: u64, live_bytes_max: u64) -> bool {
    file_bytes >= FILE_BYTES_MIN
        && live_bytes <= live_bytes_max
        && live_bytes <= file_bytes / FILE_BYTES_PER_LIVE
}

/// Moves the store into a new file if most of the present one is free. Nothing is lost if it fails: the store
/// goes on in the file that it has. Called by the writer between two batches, or before there is one.
pub(crate) fn give_back(shared: &Shared, options: &Options, live_bytes_max: u64) {
    match guarded(|| move_if_worth(shared, options, live_bytes_max)) {
        Ok(None) => {}
        Ok(Some(Moved { before, after, rows, took })) => {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(before, after, rows, ms, "store moved into a shorter file");
        }
        Err(fault) => tracing::warn!(?fault, "store could not move into a shorter file"),
    }
}

/// A move: bytes of the file before and after it.
struct Moved {
    before: u64,
    after: u64,
    rows: u64,
    took: Duration,
}

fn move_if_worth(
    shared: &Shared,
    options: &Options,
    live_bytes_max: u64,
) -> Result<Option<Moved>, Fault> {
    let began = Instant::now();
    let stats = shared.stats_now();
    let before = stats.file_bytes;
    if !is_worth(before, 0, live_bytes_max) {
        return Ok(None);
    }
    let snapshot = shared.snapshot()?;
    let rows = count_rows(&snapshot)?;
    let at_least = stats.bytes.saturating_add(rows.saturating_mul(ROW_BYTES_MIN));
    let worth = |live| is_worth(before, live, live_bytes_max);
    if !worth(at_least) || !worth(live_bytes(shared)?) {
        return Ok(None);
    }
    let anew = beside(&shared.path, ANEW);
    remove_if_there(&anew)?;
    if !can_take_the_place(&anew, &shared.path)? {
        return Ok(None);
    }
    let copied = copy(&snapshot, rows, options, &anew);
    let database = copied.inspect_err(|_| drop(remove_file(&anew)))?;
    fail::fail_point!("store::copied");
    // From here on the new file is the store, and nothing stands between its name and its use.
    shared.is_name_unsynced.store(true, Ordering::Release);
    rename(&anew, &shared.path)?;
    let old = shared.replace_database(database);
    drop(snapshot);
    // Without such a thread the old file is closed here and now, and who reads it is told to come again.
    drop(Builder::new().name("store-room".into()).spawn(move || old.close_when_unread()));
    sync_name(shared)?;
    let after = shared.stats_now().file_bytes;
    Ok(Some(Moved { before, after, rows, took: began.elapsed() }))
}

/// Whether a new file may have the old one's name: it has the same owner, or a server that runs as somebody
/// else could not open it, and the name is no link to another disk. Makes the new file, empty, and removes
/// it if not.
fn can_take_the_place(anew: &Path, path: &Path) -> io::Result<bool> {
    let old = symlink_metadata(path)?;
    let new = File::create(anew)?.metadata()?;
    let can = old.is_file() && (old.uid(), old.gid()) == (new.uid(), new.gid());
    if can {
        set_permissions(anew, old.permissions())?;
    } else {
        remove_file(anew)?;
    }
    Ok(can)
}

/// Makes the name of the store's file durable if a move could not. Before each batch: what is told of is in
/// the new file.
///
/// # Errors
/// The folder cannot be synced; it is tried again at the next batch.
pub(crate) fn sync_name(shared: &Shared) -> io::Result<()> {
    if shared.is_name_unsynced.load(Ordering::Acquire) {
        sync_folder(&shared.path)?;
        shared.is_name_unsynced.store(false, Ordering::Release);
    }
    Ok(())
}

/// Rows of all tables, whatever they are called.
fn count_rows(snapshot: &ReadTransaction) -> Result<u64, Fault> {
    let mut rows = 0;
    for table in snapshot.list_tables()? {
        rows += snapshot.open_untyped_table(table)?.len()?;
    }
    Ok(rows)
}

/// Bytes of the pages in use; looks at all of them.
fn live_bytes(shared: &Shared) -> Result<u64, Fault> {
    let txn = shared.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.allocated_pages().saturating_mul(stats.page_size() as u64))
}

/// Copies everything into a new file, which is whole and synced then, and open.
fn copy(
    snapshot: &ReadTransaction,
    rows: u64,
    options: &Options,
    anew: &Path,
) -> Result<Database, Fault> {
    let database = options.disk.open(&builder(options), anew)?;
    let copied = copy_all(snapshot, &database)?;
    match copied == rows {
        true => Ok(database),
        false => Err(Fault::Io(format!("{copied} of {rows} rows were copied"))),
    }
}

/// Removes what a move left that was cut off. The store is open, so nobody else has it.
pub(crate) fn clear(shared: &Shared) {
    if let Err(error) = remove_if_there(&beside(&shared.path, ANEW)) {
        tracing::warn!(%error, "what an interrupted move left cannot be removed");
    }
}

/// Makes the file of the store in `dir`, which nobody may have open, as short as what lives in it. Verifies
/// every page first. Needs no room; how long it takes depends on what lives and on how much is given back.
/// Cut off at any moment it leaves a whole store.
///
/// # Errors
/// See [`OpenError`].
pub fn compact(dir: &Path, options: &Options) -> Result<CompactReport, OpenError> {
    let path = dir.join(FILE_NAME);
    let refused = |source| OpenError::Io { path: path.clone(), source };
    let before_bytes = path.metadata().map_err(refused)?.len(); // never makes an empty store
    guarded_read(|| {
        let mut database = options.disk.open(&builder(options), &path)?;
        state::require_known(&database)?;
        database.compact()?;
        Ok(database.close()?)
    })
    .map_err(|fault| open_error(&path, fault))?;
    let after_bytes = path.metadata().map_err(refused)?.len();
    Ok(CompactReport { before_bytes, after_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;

    #[test]
    fn a_short_file_is_left_alone() {
        assert!(!is_worth(FILE_BYTES_MIN - 1, 0, u64::MAX));
        assert!(is_worth(FILE_BYTES_MIN, 0, u64::MAX));
    }

    #[test]
    fn a_file_that_is_used_is_left_alone() {
        assert!(is_worth(64 * MB, 16 * MB, u64::MAX));
        assert!(!is_worth(64 * MB, 16 * MB + 1, u64::MAX));
        assert!(!is_worth(u64::MAX, u64::MAX, u64::MAX));
    }

    #[test]
    fn so_much_is_moved_at_most() {
        for most in [SERVING_LIVE_BYTES_MAX, OPENING_LIVE_BYTES_MAX] {
            assert!(is_worth(1 << 40, most, most));
            assert!(!is_worth(1 << 40, most + 1, most));
        }
    }

    #[test]
    fn a_new_file_takes_the_place_of_one_of_its_owner_and_not_of_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let [path, link, anew] =
            ["store.redb", "link.redb", "store.redb.anew"].map(|n| dir.path().join(n));
        std::fs::write(&path, "rows").unwrap();
        let mut seen = path.metadata().unwrap().permissions();
        seen.set_readonly(true);
        set_permissions(&path, seen.clone()).unwrap();
        assert!(can_take_the_place(&anew, &path).unwrap());
        assert_eq!(anew.metadata().unwrap().permissions(), seen, "whoever could open it still can");
        remove_file(&anew).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!can_take_the_place(&anew, &link).unwrap());
        assert!(!anew.exists());
    }
}
