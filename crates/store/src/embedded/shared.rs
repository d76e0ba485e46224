//! What the handle, the writer and the reading threads share.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::fault::Fault;
use super::intake::Intake;
use super::options::Options;
use super::readers::Readers;
use super::roll::Roll;
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
    /// Replaced by the writer after a failure; everybody else takes snapshots from it.
    database: RwLock<Option<Database>>,
    stats: Mutex<Stats>,
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
            database: RwLock::new(None),
            stats: Mutex::new(Stats { available: true, ..Stats::default() }),
        };
        let state = shared.reopen(options)?;
        shared.stats(|stats| state.count(stats));
        Ok((shared, state))
    }

    /// Closes the file if it is open, opens it and loads it anew.
    pub(crate) fn reopen(&self, options: &Options) -> Result<State, Fault> {
        self.close_database();
        let mut builder = Database::builder();
        builder.set_cache_size(options.cache_bytes);
        builder.set_check_integrity_on_open(options.verify_pages_on_open);
        let database = options.disk.open(&builder, &self.path)?;
        state::prepare(&database)?;
        let (mut state, rolled) = state::load(&database)?;
        self.roll.replace(rolled);
        state.index.take_turned(); // what was loaded is told whole
        self.waiting.replace(state.index.owners());
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(state)
    }

    pub(crate) fn close_database(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = database.map(Database::close) {
            tracing::warn!(%error, "closing the store failed");
        }
    }

    /// What is durable now, and stays readable as it is.
    pub(crate) fn snapshot(&self) -> Result<ReadTransaction, Fault> {
        self.with_database(|database| Ok(database.begin_read()?))
    }

    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, Fault> {
        self.with_database(|database| Ok(database.begin_write()?))
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or_else(|| Fault::Io("the file is closed".into()))?)
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
