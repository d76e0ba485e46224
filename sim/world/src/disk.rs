//! A disk in memory below the store. What is written and not synced is kept apart: when power fails each
//! sector of it survives or not, as the seed has it. A fuse lets the server die at any of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use godwit_store::Disk;
use redb::{Builder, Database, DatabaseError, StorageBackend};

/// What a disk writes as one.
const SECTOR_BYTES: usize = 512;

/// What a file takes its room in.
const BLOCK_BYTES: usize = 4_096;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

/// How a server ends that nobody asks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process is killed. The system goes on, and keeps what was written.
    Kill,
    /// Power fails. Only what was synced is sure to be there.
    Power,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<PathBuf, File>,
    rng: Rng,
    /// Files that were opened before the server died last are dead.
    life: u64,
    /// The server is dead: it reads and writes nothing any more.
    is_dead: bool,
    /// The server dies with so many writes and syncs more.
    fuse: Option<u32>,
    full: Option<Full>,
    /// Syncs that will fail.
    bad_syncs: u32,
    /// Planted: a sync does nothing and says that all is well.
    lies: bool,
    /// Planted: what is read after a death is nothing but ones.
    ruins: bool,
    steps: u64,
    /// Times that it said no because the plan wants it.
    noes: u64,
}

/// How full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The system says so when it is asked.
    Told,
    /// It is learned from a write that fails.
    Felt,
}

#[derive(Debug, Default)]
struct File {
    /// What is there when power comes back.
    durable: Vec<u8>,
    /// What the system answers now.
    current: Vec<u8>,
    unsynced: Vec<Change>,
    taken: BTreeSet<usize>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl SimDisk {
    /// An empty disk; chance is that of `rng`.
    pub fn new(rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            rng,
            life: 0,
            is_dead: false,
            fuse: None,
            full: None,
            bad_syncs: 0,
            lies: false,
            ruins: false,
            steps: 0,
            noes: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the server die with so many writes and syncs more; none: it lives.
    pub fn fuse(&self, steps: Option<u32>) {
        self.lock().fuse = steps;
    }

    /// Whether the fuse has burnt down.
    pub fn is_dead(&self) -> bool {
        self.lock().is_dead
    }

    /// Fills the disk, or makes room again.
    pub fn fill(&self, full: Option<Full>) {
        self.lock().full = full;
    }

    /// The next syncs fail, as many.
    pub fn spoil_syncs(&self, count: u32) {
        self.lock().bad_syncs = count;
    }

    /// Times that it said no because a plan wants it.
    pub fn noes(&self) -> u64 {
        self.lock().noes
    }

    /// Plants a disk that syncs nothing.
    pub fn lie(&self) {
        self.lock().lies = true;
    }

    /// Plants a disk that gives back nothing but ones after its server died.
    pub fn ruin(&self) {
        self.lock().ruins = true;
    }

    /// Writes and syncs so far.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Bytes that would be lost if power failed now.
    pub fn unsynced_bytes(&self) -> usize {
        let bytes = |change: &Change| match change {
            Change::Write(_, bytes) => bytes.len(),
            Change::Length(_) => 0,
        };
        self.lock().files.values().flat_map(|file| &file.unsynced).map(bytes).sum()
    }

    /// The server is dead from here on, whatever it still tries.
    pub fn die(&self) {
        self.lock().is_dead = true;
    }

    /// What the next server finds.
    pub fn revive(&self, end: End) {
        let state = &mut *self.lock();
        (state.is_dead, state.fuse) = (false, None);
        state.life += 1;
        for file in state.files.values_mut() {
            match end {
                End::Kill => {}
                End::Power => {
                    file.lose(&mut state.rng);
                    file.current.clone_from(&file.durable);
                }
            }
            if state.ruins {
                file.current.fill(0xFF);
            }
        }
    }
}

impl File {
    /// Power fails: of what was not synced, each sector is there or not.
    fn lose(&mut self, rng: &mut Rng) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Length(length) if rng.bool() => self.durable.resize(length, 0),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    for (at, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if rng.bool() {
                            put(&mut self.durable, offset + at * SECTOR_BYTES, sector);
                        }
                    }
                }
            }
        }
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Length(length) => self.durable.resize(length, 0),
                Change::Write(offset, bytes) => put(&mut self.durable, offset, &bytes),
            }
        }
    }
}

impl State {
    /// One step of the server. Whether it dies with it.
    fn step(&mut self) -> bool {
        self.steps += 1;
        match &mut self.fuse {
            Some(0) => {
                self.is_dead = true;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    if let Some(place) = bytes.get_mut(offset..offset + data.len()) {
        place.copy_from_slice(data);
    }
}

impl Disk for SimDisk {
    fn open(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        let life = {
            let state = &mut *self.lock();
            if state.is_dead {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            state.files.entry(path.to_owned()).or_default();
            state.life
        };
        builder.create_with_backend(SimFile { disk: self.clone(), path: path.to_owned(), life })
    }

    fn available_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(if self.lock().full == Some(Full::Told) { 0 } else { u64::MAX })
    }
}

/// An open file.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        if state.is_dead || state.life != self.life {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        work(&mut state)
    }

    fn file<'a>(&self, files: &'a mut BTreeMap<PathBuf, File>) -> io::Result<&'a mut File> {
        files.get_mut(&self.path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn at(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl StorageBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(self.file(&mut state.files)?.current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = at(offset)?;
        self.with(|state| {
            let data = self.file(&mut state.files)?.current.get(offset..offset + out.len());
            out.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = at(length)?;
        self.with(|state| {
            let dies = state.step();
            let file = self.file(&mut state.files)?;
            file.current.resize(length, 0);
            file.unsynced.push(Change::Length(length));
            if dies { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            let dies = state.step();
            // Either side of the sync: it happened and nobody heard, or it did not.
            if dies && state.rng.bool() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if state.bad_syncs > 0 {
                state.bad_syncs -= 1;
                state.noes += 1;
                return Err(io::Error::other("the disk says no"));
            }
            if !state.lies {
                self.file(&mut state.files)?.sync();
            }
            if dies { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = at(offset)?;
        self.with(|state| {
            let dies = state.step();
            let is_full = state.full == Some(Full::Felt);
            let file = self.file(&mut state.files)?;
            let blocks = offset / BLOCK_BYTES..(offset + data.len()).div_ceil(BLOCK_BYTES);
            if is_full && blocks.clone().any(|block| !file.taken.contains(&block)) {
                state.noes += 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.taken.extend(blocks);
            put(&mut file.current, offset, data);
            file.unsynced.push(Change::Write(offset, data.to_vec()));
            if dies { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        })
    }
}
