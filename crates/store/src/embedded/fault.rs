//! What stops the engine: the disk refused, or what is on it is not what was written.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::StoreError;

/// A failure below the engine. After one in a batch nothing in RAM is trusted: the engine reloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The system has no space left.
    Full,
    /// Another failure of the environment.
    Io(String),
    /// Another process holds the file.
    Locked,
    /// Not what was written.
    Damaged(String),
    /// A bug of ours, or a file that the database library did not expect.
    Panic(String),
    /// Written by a newer schema.
    Newer(u64),
}

impl Fault {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// What a caller is told.
    pub(crate) fn answer(&self) -> StoreError {
        match self {
            Self::Full => StoreError::DiskFull,
            Self::Io(_) | Self::Locked | Self::Panic(_) => StoreError::Unavailable,
            Self::Damaged(what) => StoreError::Damaged(what.clone()),
            Self::Newer(schema) => StoreError::Damaged(format!("schema {schema} is newer")),
        }
    }
}

/// Runs `work`; a panic ends it and not the thread.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Fault::Panic(words(&*panic))))
}

/// Runs `work` that only reads; a panic is damage: the database library panics on some files that were
/// altered behind its back.
pub(crate) fn guarded_read<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    guarded(work).map_err(|fault| match fault {
        Fault::Panic(words) => Fault::Damaged(words),
        other => other,
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            // The file ends before what its header says: cut short behind our back.
            io::ErrorKind::UnexpectedEof => Self::damaged("the file is shorter than it says"),
            io::ErrorKind::InvalidData => Self::Damaged(error.to_string()),
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<redb::StorageError> for Fault {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) => error.into(),
            redb::StorageError::Corrupted(what) => Self::Damaged(what),
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<redb::TableError> for Fault {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TransactionError> for Fault {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<redb::CommitError> for Fault {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<redb::DatabaseError> for Fault {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(error) => error.into(),
            redb::DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::CompactionError> for Fault {
    fn from(error: redb::CompactionError) -> Self {
        match error {
            redb::CompactionError::Storage(error) => error.into(),
            other => Self::Io(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        assert_eq!(Fault::from(io::Error::from(io::ErrorKind::StorageFull)), Fault::Full);
        let broken = Fault::from(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(broken.answer(), StoreError::Unavailable);
    }

    #[test]
    fn a_panic_is_our_bug_when_writing_and_damage_when_reading() {
        let fault = guarded::<()>(|| panic!("page {}", 7));
        assert_eq!(fault, Err(Fault::Panic("page 7".into())));
        assert_eq!(fault.unwrap_err().answer(), StoreError::Unavailable);
        let fault = guarded_read::<()>(|| panic!("page"));
        assert_eq!(fault, Err(Fault::Damaged("page".into())));
    }
}
