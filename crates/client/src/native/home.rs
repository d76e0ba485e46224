//! The folder of one account on one device.
//!
//! ```text
//! home/             0700
//!   godwit.db       SQLite, 0600: rows of the core (sealed) and the history
//!   key             32 bytes, 0600: seals the rows
//!   lock            held by the one process that owns link and ratchets
//!   owner.sock      0600: where that process serves the others
//!   media/          sealed files: those to be uploaded, and those that were fetched
//!   listen.cursor   up to which row the application has shown messages
//! ```
//! A home must never be copied and used twice: two installations would use one set of ratchets.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use godwit_seal::RowKey;
use zeroize::Zeroizing;

use crate::Error;
use crate::core::Vault;
use crate::files::Files;

/// Longest path of a socket, bytes: `sun_path` holds 104 on BSD and macOS, 108 on Linux, and a NUL
/// ends it. The shorter one, so that a home can move between machines.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// A home by its path.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

/// While this lives, this process owns the home. The system lets go of it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct Ownership {
    _lock: File,
}

impl Home {
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("godwit.db")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("owner.sock")
    }

    /// The name of the socket until it is its owner's alone; shorter, so that it fits where the other does.
    pub(crate) fn unready_socket(&self) -> PathBuf {
        self.0.join("owner.new")
    }

    /// The folder of sealed files.
    pub(crate) fn files(&self) -> Result<Files, Error> {
        Ok(Files::at(&self.0.join("media"))?)
    }

    pub(crate) fn cursor(&self) -> PathBuf {
        self.0.join("listen.cursor")
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    /// Whether somebody has begun to join here.
    pub(crate) fn exists(&self) -> bool {
        self.database().exists()
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// [`Error::PathTooLong`] if its socket could not be reached later; [`Error::Storage`].
    pub(crate) fn create(&self) -> Result<(), Error> {
        let bytes = self.socket().as_os_str().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            let (too_long, home) = (bytes - SOCKET_PATH_BYTES_MAX, self.name());
            return Err(Error::PathTooLong { home, too_long });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(|e| self.io(&e))
    }

    /// Becomes the owner; `None` while another process is.
    pub(crate) fn try_own(&self) -> Result<Option<Ownership>, Error> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.0.join("lock"))
            .map_err(|e| self.io(&e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Ownership { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.io(&error)),
        }
    }

    /// The key that seals this home's rows; made on first use. Only the owner calls it.
    pub(crate) fn vault(&self) -> Result<Vault, Error> {
        let path = self.0.join("key");
        match File::open(&path) {
            Ok(mut file) => {
                let mut key = Zeroizing::new([0; 32]);
                file.read_exact(key.as_mut())
                    .map_err(|_| Error::Damaged("its key file is cut".to_owned()))?;
                Ok(Vault::new(RowKey::from_bytes(&key)))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.io(&error)),
            Err(_) if self.exists() => Err(Error::Damaged("its key file is missing".to_owned())),
            Err(_) => self.new_vault(&path),
        }
    }

    fn new_vault(&self, path: &Path) -> Result<Vault, Error> {
        let key = RowKey::generate().map_err(|error| Error::Storage(error.to_string()))?;
        let write = || -> io::Result<()> {
            // Whole or not at all: a row sealed under a key that a power cut took is lost.
            let fresh = self.0.join("key.new");
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(key.to_bytes().as_ref())?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|e| self.io(&e))?;
        Ok(Vault::new(key))
    }

    pub(crate) fn io(&self, error: &io::Error) -> Error {
        Error::Storage(format!("{}: {error}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("a/b"));
        home.create().unwrap();
        let first = home.try_own().unwrap();
        assert!(first.is_some() && home.try_own().unwrap().is_none());
        drop(first);
        assert!(home.try_own().unwrap().is_some());
    }

    #[test]
    fn a_path_is_as_long_as_its_socket_may_be_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let room = SOCKET_PATH_BYTES_MAX - folder.path().as_os_str().len() - "//owner.sock".len();
        let home = |letters| Home::at(&folder.path().join("x".repeat(letters)));
        assert_eq!(home(room).create(), Ok(()));
        let too_long = home(room + 1).create();
        assert!(matches!(too_long, Err(Error::PathTooLong { too_long: 1, .. })), "{too_long:?}");
        assert!(!home(room + 1).0.exists());
    }

    #[test]
    fn the_key_stays_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        home.vault().unwrap();
        let path = folder.path().join("key");
        let bytes = fs::read(&path).unwrap();
        home.vault().unwrap();
        assert_eq!((bytes.len(), fs::read(&path).unwrap()), (32, bytes));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, [1, 2, 3]).unwrap();
        assert!(matches!(home.vault(), Err(Error::Damaged(_))));
    }

    #[test]
    fn rows_without_their_key_are_not_sealed_under_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("godwit.db"), b"").unwrap();
        assert!(matches!(Home::at(folder.path()).vault(), Err(Error::Damaged(_))));
    }
}
