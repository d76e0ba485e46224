//! The embedded book of files against the suite, and on a disk that fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_base::{AccountId, BlobId};
use godwit_store::conformance::media::Shelf;
use godwit_store::{Disk, EmbeddedMedia, Hold, HoldError, MediaBook, StoreError};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend};
use tempfile::TempDir;

struct Folder(TempDir);

impl Shelf for Folder {
    fn open(&mut self) -> Arc<dyn MediaBook> {
        // Never synced: what the suite asks for is not durability, and there are thousands of commits.
        Arc::new(EmbeddedMedia::open(self.0.path(), Arc::new(FullDisk::default())).unwrap())
    }
}

godwit_store::media_conformance!(Folder(TempDir::new().unwrap()));

/// A disk that is full while a test says so, and that never waits for a sync.
#[derive(Debug, Clone, Default)]
struct FullDisk(Arc<AtomicBool>);

#[derive(Debug)]
struct FullFile(FileBackend, FullDisk);

impl Disk for FullDisk {
    fn open(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        builder.create_with_backend(FullFile(FileBackend::new(file)?, self.clone()))
    }

    fn available_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl StorageBackend for FullFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.1.0.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.0.write(offset, data),
        }
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

#[test]
fn a_full_disk_is_told_and_heals() {
    let (folder, disk) = (TempDir::new().unwrap(), FullDisk::default());
    let book = EmbeddedMedia::open(folder.path(), Arc::new(disk.clone())).unwrap();
    let hold = |number| Hold {
        account: AccountId(1),
        blob: BlobId([number; 32]),
        bytes: 1,
        fetchers: 0,
        until_ms: 1,
        keep_until_ms: 1,
        quota_bytes: 100,
    };
    book.hold(&hold(1)).unwrap();
    disk.0.store(true, Ordering::SeqCst);
    let refused = book.hold(&hold(2)).unwrap_err();
    assert!(matches!(refused, HoldError::Store(StoreError::DiskFull)), "{refused:?}");
    disk.0.store(false, Ordering::SeqCst);
    book.hold(&hold(2)).unwrap();
    assert!(book.held(AccountId(1), BlobId([1; 32])).unwrap().is_some(), "and nothing was lost");
}
