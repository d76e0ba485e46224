//! A disk in memory that can be held, broken, filled, and cut from power.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use godwit_store::Disk;
use redb::{Builder, Database, DatabaseError, StorageBackend};

const SECTOR: usize = 512;
const BLOCK: usize = 4_096;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The disk. Clones are the same disk.
#[derive(Clone, Default, Debug)]
pub(crate) struct SimDisk(Arc<Inner>);

#[derive(Default, Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What survives a power cut.
    durable: Vec<u8>,
    /// What the system would answer now.
    current: Vec<u8>,
    unsynced: Vec<Change>,
    /// Blocks that were ever written.
    taken: BTreeSet<usize>,
    counts: Counts,
    faults: Faults,
    /// Files opened before the last power cut are dead.
    power: u64,
    waiting_syncs: usize,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What was done so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    pub(crate) opens: u64,
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) write: Option<io::ErrorKind>,
    pub(crate) sync: Option<io::ErrorKind>,
    pub(crate) open: bool,
    /// Writes fail where nothing was written before, as on a full disk.
    pub(crate) no_space: bool,
    pub(crate) hold_syncs: bool,
    /// Syncs before this one go through all the same.
    pub(crate) hold_from: u64,
    pub(crate) available_bytes: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            write: None,
            sync: None,
            open: false,
            no_space: false,
            hold_syncs: false,
            hold_from: 0,
            available_bytes: u64::MAX,
        }
    }
}

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Changes what goes wrong.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
        self.0.changed.notify_all();
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        self.set(|faults| *faults = Faults::default());
    }

    /// Waits until a sync is being held.
    pub(crate) fn wait_for_held_sync(&self) {
        let none = |state: &mut State| state.waiting_syncs == 0;
        let (_state, timeout) =
            self.0.changed.wait_timeout_while(self.lock(), PATIENCE, none).unwrap();
        assert!(!timeout.timed_out(), "no sync came");
    }

    /// Power fails: of what was not synced, each sector survives or not, as `chance` has it. Whoever
    /// still has the file open gets errors, and nobody opens it until the disk is healed.
    pub(crate) fn cut_power(&self, mut chance: impl FnMut() -> bool) {
        let state = &mut *self.lock();
        for change in state.unsynced.drain(..) {
            match change {
                Change::Length(length) if chance() => state.durable.resize(length, 0),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    for (at, sector) in bytes.chunks(SECTOR).enumerate() {
                        if chance() {
                            put(&mut state.durable, offset + at * SECTOR, sector);
                        }
                    }
                }
            }
        }
        state.current = state.durable.clone();
        state.power += 1;
        state.faults = Faults { open: true, ..Faults::default() };
        self.0.changed.notify_all();
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Disk for SimDisk {
    fn open(&self, builder: &Builder, _: &Path) -> Result<Database, DatabaseError> {
        let power = {
            let mut state = self.lock();
            state.counts.opens += 1;
            if state.faults.open {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            state.power
        };
        builder.create_with_backend(SimFile { disk: self.clone(), power })
    }

    fn available_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.lock().faults.available_bytes)
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    power: u64,
}

impl SimFile {
    fn lock(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.power == self.power { Ok(state) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

fn fail(fault: Option<io::ErrorKind>) -> io::Result<()> {
    fault.map_or(Ok(()), |kind| Err(kind.into()))
}

impl StorageBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock()?;
        state.counts.reads += 1;
        let offset = usize::try_from(offset).unwrap();
        let data = state.current.get(offset..offset + out.len());
        out.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let state = &mut *self.lock()?;
        fail(state.faults.write)?;
        let length = usize::try_from(length).unwrap();
        state.current.resize(length, 0);
        state.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock()?;
        state.waiting_syncs += 1;
        self.disk.0.changed.notify_all();
        let held = |state: &mut State| {
            let Faults { hold_syncs, hold_from, .. } = state.faults;
            hold_syncs && state.counts.syncs >= hold_from && state.power == self.power
        };
        // Bounded, so that a test that fails while it holds the disk ends.
        let (waited, _) = self.disk.0.changed.wait_timeout_while(state, PATIENCE, held).unwrap();
        state = waited;
        state.waiting_syncs -= 1;
        if state.power != self.power {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.counts.syncs += 1;
        fail(state.faults.sync)?;
        let state = &mut *state;
        for change in state.unsynced.drain(..) {
            match change {
                Change::Length(length) => state.durable.resize(length, 0),
                Change::Write(offset, bytes) => put(&mut state.durable, offset, &bytes),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let state = &mut *self.lock()?;
        fail(state.faults.write)?;
        state.counts.writes += 1;
        let offset = usize::try_from(offset).unwrap();
        let blocks = offset / BLOCK..=(offset + data.len() - 1) / BLOCK;
        if state.faults.no_space && blocks.clone().any(|block| !state.taken.contains(&block)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.taken.extend(blocks);
        put(&mut state.current, offset, data);
        state.unsynced.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}
