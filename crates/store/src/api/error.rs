//! What can go wrong with any operation, and the form of an answer that comes later.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

/// An answer that comes later. It borrows nothing, so that a session can keep it in its state.
///
/// The operation is queued when the method is called, not when the answer is first polled.
///
/// # Cancel safety
/// Dropping the answer does not withdraw the operation: it may still happen, and everything here is
/// either harmless to repeat or, like [`Prekeys::take_keys`](crate::Prekeys::take_keys), says what
/// is lost.
pub type Answer<T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'static>>;

/// The queue into the store is full, or the store is closed; nothing was taken. Answer `Busy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is busy; try again in a moment")]
pub struct Full;

/// Why an operation did not happen, whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Our limit: the queue is full. A retry helps.
    #[error("the store is busy; try again in a moment")]
    Busy,
    /// Our limit: more than the named bound allows. A retry does not help.
    #[error("over the limit: {0}")]
    Limit(&'static str),
    /// Environment: the disk is below its reserve. A retry helps once space is free.
    #[error("the disk is full; free some space, the store goes on by itself")]
    DiskFull,
    /// Environment: a write or sync failed; the engine reopens itself from disk. A retry helps. The
    /// operation may have happened.
    #[error("the store is not available; it reopens by itself, try again in a moment")]
    Unavailable,
    /// Environment: what is on disk is not what was written. A retry does not help; restore a backup.
    #[error("the store is damaged ({0}); stop the server and restore a backup")]
    Damaged(String),
}

impl StoreError {
    /// Whether the same call can succeed later without anybody doing anything to the store.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::Damaged(_) | Self::Limit(_))
    }
}

impl From<Full> for StoreError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// Why a store could not be opened, backed up or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process; stop that one first")]
    Locked(PathBuf),
    /// What is on disk is not what was written.
    #[error("{path} is damaged ({what}); move it away and restore a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a newer version.
    #[error("{path} has schema {found}, this version knows up to {known}; use the newer version")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema that wrote it.
        found: u64,
        /// The newest schema known here.
        known: u64,
    },
    /// A restore would overwrite a store.
    #[error("{0} exists already; move it away first")]
    Exists(PathBuf),
    /// The environment refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
