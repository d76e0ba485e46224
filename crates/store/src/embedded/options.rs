//! How an embedded store is opened, and the seam to the disk.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use godwit_base::{Clock, SystemClock};

use crate::Quotas;

/// Settings of an embedded store. Start from [`Options::default`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What a mailbox may hold and for how long.
    pub quotas: Quotas,
    /// Free bytes of the disk below which submissions, registrations and keys are refused;
    /// acknowledgements, reads and expiry go on, and need this room for their own writes.
    pub reserve_bytes: u64,
    /// RAM for pages of the file, bytes.
    pub cache_bytes: usize,
    /// Verify the checksum of every page when opening: about half a second for each GiB. Without it a
    /// file that was altered behind our back is noticed row by row, when the row is read.
    pub verify_pages_on_open: bool,
    /// The disk. Tests put a worse one here.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            quotas: Quotas::default(),
            // Eight of the largest batches; a batch writes its bodies and the pages that lead to them.
            reserve_bytes: 64 * 1024 * 1024,
            // What some hundred mailboxes that drain at once read again and again; the system keeps the rest of
            // the file in what memory it has. Half of it may hold pages of the open batch: about forty batches of
            // 2,048 short texts; of a larger one some pages are written before its end.
            cache_bytes: 64 * 1024 * 1024,
            verify_pages_on_open: true,
            disk: Arc::new(FileDisk),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("quotas", &self.quotas)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("verify_pages_on_open", &self.verify_pages_on_open)
            .finish_non_exhaustive()
    }
}

/// The disk as the store sees it.
pub trait Disk: Send + Sync + 'static {
    /// Opens or creates the database file at `path` by one of the builder's `create` methods.
    ///
    /// # Errors
    /// Whatever the database says.
    fn open(
        &self,
        builder: &redb::Builder,
        path: &Path,
    ) -> Result<redb::Database, redb::DatabaseError>;

    /// Bytes that may still be written to the disk that holds `dir`.
    ///
    /// # Errors
    /// Whatever the system says; the store then goes on as if there were room.
    fn available_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileDisk;

/// Makes a file, if there is none, that only its owner reads: it tells who talks to whom.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

impl Disk for FileDisk {
    fn open(
        &self,
        builder: &redb::Builder,
        path: &Path,
    ) -> Result<redb::Database, redb::DatabaseError> {
        create_private(path)?;
        builder.create(path)
    }

    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        fs4::available_space(dir)
    }
}
