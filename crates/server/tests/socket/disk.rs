//! A disk that does as a test says: its syncs wait, or it has no room.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use godwit_store::Disk;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend};

#[derive(Debug, Clone, Default)]
pub(crate) struct TestDisk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    available_bytes: AtomicU64,
    gate: Mutex<Gate>,
    changed: Condvar,
    fails: AtomicBool,
}

#[derive(Debug, Default)]
struct Gate {
    shut: bool,
    /// Syncs that wait at the gate.
    waiting: u32,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            available_bytes: AtomicU64::new(u64::MAX),
            gate: Mutex::default(),
            changed: Condvar::new(),
            fails: AtomicBool::new(false),
        }
    }
}

impl TestDisk {
    /// From now on so many bytes are free.
    pub(crate) fn has_free(&self, bytes: u64) {
        self.0.available_bytes.store(bytes, Ordering::SeqCst);
    }

    /// The next sync reaches the disk and reports a failure all the same.
    pub(crate) fn fails_once(&self) {
        self.0.fails.store(true, Ordering::SeqCst);
    }

    /// Syncs wait from now on.
    pub(crate) fn stalls(&self) {
        self.0.gate.lock().unwrap().shut = true;
    }

    /// Waits until a sync waits; then what it covers is written and not durable.
    pub(crate) async fn is_waited_for(&self) {
        let inner = Arc::clone(&self.0);
        let wait = move || {
            let gate = inner.gate.lock().unwrap();
            drop(inner.changed.wait_while(gate, |gate| gate.waiting == 0).unwrap());
        };
        tokio::task::spawn_blocking(wait).await.unwrap();
    }

    /// Waiting syncs go through, and later ones do not wait.
    pub(crate) fn goes_on(&self) {
        self.0.gate.lock().unwrap().shut = false;
        self.0.changed.notify_all();
    }
}

impl Disk for TestDisk {
    fn open(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let backend = GatedFile { file: FileBackend::new(file)?, disk: self.clone() };
        builder.create_with_backend(backend)
    }

    fn available_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.available_bytes.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct GatedFile {
    file: FileBackend,
    disk: TestDisk,
}

impl StorageBackend for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let inner = &self.disk.0;
        let mut gate = inner.gate.lock().unwrap();
        gate.waiting += 1;
        inner.changed.notify_all();
        let mut gate = inner.changed.wait_while(gate, |gate| gate.shut).unwrap();
        gate.waiting -= 1;
        drop(gate);
        self.file.sync_data()?;
        match inner.fails.swap(false, Ordering::SeqCst) {
            true => Err(io::Error::other("planted")),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
