//! What the handle, the writer and the reading threads share.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use redb::{Builder, Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::mpsc;

use super::fault::Fault;
use super::intake::Intake;
use super::options::Options;
use super::readers::Readers;
use super::roll::Roll;
use super::scrub;
use super::state::{self, State};
use super::waiting::Waiting;
use crate::Stats;

/// The name of the file in the store's folder.
pub(crate) const FILE_NAME: &str = "store.redb";

/// One store's shared parts.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) intake: Intake,
    pub(crate) readers: Readers,
    pub(crate) roll: Roll,
    pub(crate) waiting: Waiting,
    /// A backup or a verification is under way: one at a time, because each reads everything.
    pub(crate) is_reading_all: AtomicBool,
    /// How far the scrubber has come.
    pub(crate) scrub: scrub::Place,
    /// The file has a name that a power cut may take from it: no batch is told before the folder is synced.
    pub(crate) is_name_unsynced: AtomicBool,
    /// Replaced by the writer after a failure or a move; everybody else takes snapshots from it.
    database: RwLock<Option<Open>>,
    stats: Mutex<Stats>,
    /// When the writer began its turn, 0 between two.
    busy_since_ns: AtomicU64,
}

/// The open file, and who reads it.
#[derive(Debug)]
struct Open {
    database: Database,
    /// Each snapshot holds a clone; nothing is ever sent.
    readers: mpsc::Sender<()>,
    unread: mpsc::Receiver<()>,
}

impl From<Database> for Open {
    fn from(database: Database) -> Self {
        let (readers, unread) = mpsc::channel(1);
        Self { database, readers, unread }
    }
}

/// What was durable when it was taken, readable as it was.
#[derive(Debug)]
pub(crate) struct Snapshot {
    txn: ReadTransaction,
    /// Keeps a file open that the store has moved out of.
    _reader: mpsc::Sender<()>,
}

impl Deref for Snapshot {
    type Target = ReadTransaction;

    fn deref(&self) -> &ReadTransaction {
        &self.txn
    }
}

/// A file that the store has moved out of.
#[derive(Debug)]
pub(crate) struct Old(Option<Open>);

impl Old {
    /// Waits until nobody reads it any more, then closes it.
    pub(crate) fn close_when_unread(self) {
        if let Some(Open { database, readers, mut unread }) = self.0 {
            drop(readers);
            let _: Option<()> = unread.blocking_recv();
            drop(database);
        }
    }
}

/// How the file is opened.
pub(crate) fn builder(options: &Options) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder.set_check_integrity_on_open(options.verify_pages_on_open);
    builder
}

impl Shared {
    /// Opens the file and loads what lives in RAM.
    pub(crate) fn open(
        dir: PathBuf,
        readers: Readers,
        options: &Options,
    ) -> Result<(Self, State), Fault> {
        let shared = Self {
            path: dir.join(FILE_NAME),
            dir,
            intake: Intake::default(),
            readers,
            roll: Roll::default(),
            waiting: Waiting::default(),
            is_reading_all: AtomicBool::new(false),
            scrub: scrub::Place::default(),
            is_name_unsynced: AtomicBool::new(false),
            database: RwLock::new(None),
            stats: Mutex::new(Stats { available: true, ..Stats::default() }),
            busy_since_ns: AtomicU64::new(0),
        };
        let state = shared.reopen(options)?;
        shared.stats(|stats| state.count(stats));
        Ok((shared, state))
    }

    /// The writer begins a turn now, or, with none, has ended it.
    pub(crate) fn busy_since(&self, now_ns: Option<u64>) {
        let since_ns = now_ns.map_or(0, |now_ns| now_ns.max(1));
        self.busy_since_ns.store(since_ns, Ordering::Relaxed);
    }

    /// For how long it has been at its turn.
    pub(crate) fn busy_ms(&self, now_ns: u64) -> u64 {
        match self.busy_since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since_ns => now_ns.saturating_sub(since_ns) / 1_000_000,
        }
    }

    /// Closes the file if it is open, opens it and loads it anew.
    pub(crate) fn reopen(&self, options: &Options) -> Result<State, Fault> {
        self.close_database();
        let database = options.disk.open(&builder(options), &self.path)?;
        state::prepare(&database)?;
        let (mut state, rolled) = state::load(&database)?;
        self.roll.replace(rolled);
        state.index.forget_turned(); // what was loaded is told whole
        self.waiting.replace(state.index.owners());
        drop(self.replace_database(database));
        Ok(state)
    }

    /// From now on everybody reads and writes this one.
    pub(crate) fn replace_database(&self, database: Database) -> Old {
        let mut open = self.database.write().unwrap_or_else(PoisonError::into_inner);
        Old(open.replace(database.into()))
    }

    pub(crate) fn close_database(&self) {
        let open = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = open.map(|open| open.database.close()) {
            tracing::warn!(%error, "closing the store failed");
        }
    }

    /// What is durable now, and stays readable as it is.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.with_open(|open| {
            Ok(Snapshot { txn: open.database.begin_read()?, _reader: open.readers.clone() })
        })
    }

    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, Fault> {
        self.with_open(|open| Ok(open.database.begin_write()?))
    }

    fn with_open<T>(&self, work: impl FnOnce(&Open) -> Result<T, Fault>) -> Result<T, Fault> {
        let open = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(open.as_ref().ok_or_else(|| Fault::Io("the file is closed".into()))?)
    }

    /// Changes the counts.
    pub(crate) fn stats(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The counts as they are.
    pub(crate) fn stats_now(&self) -> Stats {
        let stats = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let file_bytes = self.path.metadata().map_or(0, |file| file.len());
        Stats { file_bytes, waiting: self.intake.waiting() as u64, ..stats }
    }
}

impl State {
    /// Puts what is in RAM into the counts.
    pub(crate) fn count(&self, stats: &mut Stats) {
        stats.records = self.index.records();
        stats.bytes = self.index.bytes();
        stats.mailboxes = self.index.mailboxes() as u64;
        stats.accounts = self.roster.accounts();
        stats.devices = self.roster.devices();
        stats.groups = self.groups.count();
        stats.posts = self.posts.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::tables;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    /// Not how long it takes: how long it must not end meanwhile.
    const A_WHILE: Duration = Duration::from_millis(200);

    #[test]
    fn an_old_file_stays_open_while_somebody_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::default();
        let readers = Readers::start().unwrap();
        let (shared, _) = Shared::open(dir.path().to_owned(), readers, &options).unwrap();
        let snapshot = shared.snapshot().unwrap();
        let anew = Database::create(dir.path().join("another")).unwrap();
        let old = shared.replace_database(anew);
        let (closed, closing) = channel();
        let thread = std::thread::spawn(move || {
            old.close_when_unread();
            closed.send(()).unwrap();
        });
        assert_eq!(closing.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
        let engine = snapshot.open_table(tables::ENGINE).unwrap();
        assert_eq!(engine.get(tables::SCHEMA_NAME).unwrap().unwrap().value(), tables::SCHEMA);
        drop((engine, snapshot));
        thread.join().unwrap();
        assert_eq!(closing.try_recv(), Ok(()));
    }
}
