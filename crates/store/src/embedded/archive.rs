//! Everything at once: verification, online backup, restore.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{Database, Durability, Key, ReadTransaction, TableDefinition, Value};
use tokio::sync::oneshot;

use super::fault::{Fault, guarded_read};
use super::options::create_private;
use super::shared::{FILE_NAME, Shared};
use super::task::{Reply, send};
use super::{check, open_error, reading, state, tables};
use crate::{Answer, BackupReport, OpenError, StoreError, VerifyReport};

/// Rows copied in one transaction of a backup: bounds the RAM that it takes to some megabytes.
const COPY_ROWS: usize = 10_000;

/// Checks every row of a snapshot, on a thread of its own.
pub(crate) fn verify(shared: &Arc<Shared>) -> Answer<VerifyReport> {
    let (reply, answer) = oneshot::channel();
    on_own_thread(shared, reply, StoreError::Busy, |shared| {
        guarded_read(|| check::snapshot(&*shared.snapshot()?)).map_err(|fault| fault.answer())
    });
    reading::later(answer)
}

/// Copies a snapshot into a new file, on a thread of its own.
pub(crate) fn backup(shared: &Arc<Shared>, to: PathBuf) -> Answer<BackupReport, OpenError> {
    let (reply, answer) = oneshot::channel();
    let busy = OpenError::Locked(to.clone());
    let gone = OpenError::Locked(to.clone());
    on_own_thread(shared, reply, busy, move |shared| write_backup(shared, &to));
    Box::pin(async move { answer.await.unwrap_or(Err(gone)) })
}

/// Runs `work` unless another such work is under way.
fn on_own_thread<T: Send + 'static, E: Send + 'static>(
    shared: &Arc<Shared>,
    reply: Reply<T, E>,
    busy: E,
    work: impl FnOnce(&Shared) -> Result<T, E> + Send + 'static,
) {
    if shared.is_reading_all.swap(true, Ordering::AcqRel) {
        return send(reply, Err(busy));
    }
    let theirs = Arc::clone(shared);
    let run = move || {
        let answer = work(&theirs);
        theirs.is_reading_all.store(false, Ordering::Release);
        send(reply, answer);
    };
    if std::thread::Builder::new().name("store-archive".into()).spawn(run).is_err() {
        // The reply went with the closure: whoever asked is told to come again.
        shared.is_reading_all.store(false, Ordering::Release);
    }
}

fn write_backup(shared: &Shared, to: &Path) -> Result<BackupReport, OpenError> {
    require_absent(to)?;
    let refused = |source| OpenError::Io { path: to.to_owned(), source };
    let partial = beside(to, "partial");
    remove_if_there(&partial).map_err(refused)?;
    create_private(&partial).map_err(refused)?;
    let rows = guarded_read(|| {
        let to = Database::create(&partial)?;
        let rows = copy_all(&*shared.snapshot()?, &to)?;
        to.close()?;
        Ok(rows)
    });
    let rows = rows.map_err(|fault| open_error(to, fault));
    let rows = rows.inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
    publish(&partial, to).map_err(refused)?;
    let file_bytes = to.metadata().map_err(refused)?.len();
    Ok(BackupReport { rows, file_bytes })
}

/// Copies all rows into an empty database, durably.
pub(crate) fn copy_all(from: &ReadTransaction, to: &Database) -> Result<u64, Fault> {
    let rows = copy(from, to, tables::MAILBOX)?
        + copy(from, to, tables::JOURNAL)?
        + copy(from, to, tables::WINDOW)?
        + copy(from, to, tables::ACCOUNT)?
        + copy(from, to, tables::HANDLE)?
        + copy(from, to, tables::LINK)?
        + copy(from, to, tables::ONE_TIME)?
        + copy(from, to, tables::DEVICE)?
        + copy(from, to, tables::INVITE)?
        + copy(from, to, tables::META)?
        + copy(from, to, tables::DEVICE_SET)?
        + copy(from, to, tables::GROUP)?
        + copy(from, to, tables::GROUP_LOG)?
        + copy(from, to, tables::GROUP_FORMER)?
        + copy(from, to, tables::POST)?
        + copy(from, to, tables::REACH)?
        + copy(from, to, tables::ENGINE)?;
    // The copies before were not synced one by one: this commit makes them durable.
    to.begin_write()?.commit()?;
    Ok(rows)
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &Database,
    table: TableDefinition<'static, K, V>,
) -> Result<u64, Fault> {
    let mut rows = from.open_table(table)?.range::<K::SelfType<'_>>(..)?.peekable();
    let mut copied = 0;
    loop {
        let mut txn = to.begin_write()?;
        txn.set_durability(Durability::None).map_err(|error| Fault::Io(error.to_string()))?;
        {
            let mut table = txn.open_table(table)?;
            for row in rows.by_ref().take(COPY_ROWS) {
                let (key, value) = row?;
                table.insert(key.value(), value.value())?;
                copied += 1;
            }
        }
        txn.commit()?;
        if rows.peek().is_none() {
            return Ok(copied);
        }
    }
}

/// Puts a backup in place as the store of `dir`, which must not have one. Every page and row is
/// verified first.
///
/// One-time keys are left out: those taken since the backup would be given out a second time (M9);
/// devices publish new ones when they connect. What was accepted after the backup is gone.
///
/// # Errors
/// See [`OpenError`]; nothing is left behind then.
pub fn restore(backup: &Path, dir: &Path) -> Result<VerifyReport, OpenError> {
    let path = dir.join(FILE_NAME);
    require_absent(&path)?;
    let refused = |source| OpenError::Io { path: path.clone(), source };
    let unreadable = |source| OpenError::Io { path: backup.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(refused)?;
    let partial = beside(&path, "partial");
    create_private(&partial).map_err(refused)?;
    let copied = File::open(backup).and_then(|mut from| {
        io::copy(&mut from, &mut OpenOptions::new().write(true).truncate(true).open(&partial)?)
    });
    copied.map_err(unreadable)?;
    let report = guarded_read(|| adopt(&partial)).map_err(|fault| open_error(backup, fault));
    let report = report.inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
    publish(&partial, &path).map_err(refused)?;
    Ok(report)
}

/// Verifies a copied backup and makes it fit to go on from.
fn adopt(path: &Path) -> Result<VerifyReport, Fault> {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    let database = builder.open(path)?;
    state::require_known(&database)?;
    state::prepare(&database)?;
    let report = check::snapshot(&redb::ReadableDatabase::begin_read(&database)?)?;
    let txn = database.begin_write()?;
    txn.delete_table(tables::ONE_TIME)?;
    txn.open_table(tables::ONE_TIME)?;
    txn.commit()?;
    database.close()?;
    Ok(report)
}

fn require_absent(path: &Path) -> Result<(), OpenError> {
    if path.exists() { Err(OpenError::Exists(path.to_owned())) } else { Ok(()) }
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives a whole, synced file its name, durably.
fn publish(partial: &Path, path: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    std::fs::rename(partial, path)?;
    sync_folder(path)
}

/// Makes durable which files are in the folder of `path`.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}
