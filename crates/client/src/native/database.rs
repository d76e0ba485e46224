//! The home's database: one connection that writes, one that reads.

mod annotate;
mod convert;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use godwit_base::{DeviceId, Handle};
use rusqlite::{Connection, OpenFlags};

use crate::Error;
use crate::core::{Row, Table, Vault};

pub(crate) use read::Reader;
pub(crate) use write::Writer;

/// Version of the schema, kept in the file.
const SCHEMA_VERSION: i32 = 2;

/// How long a commit waits for another program that holds the file, such as a backup, 1 second: half
/// of what the end of a client waits for.
const BUSY: Duration = Duration::from_secs(1);

const SCHEMA: &str = include_str!("database/schema.sql");

/// What was added to it without another version: a program that does not know it passes it over.
const ADDED: &str = include_str!("database/reach.sql");

/// What the history needs to know of the account it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) handle: Handle,
    pub(crate) device: DeviceId,
    /// Rows up to this did not arrive here: another device has given them.
    pub(crate) given_up_to: u64,
}

fn storage(error: &rusqlite::Error) -> Error {
    Error::Storage(error.to_string())
}

/// Makes the file for its owner alone; SQLite gives its companions the same mode.
fn create(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map(drop)
}

/// Opens or makes the database, and reads every row of the core.
pub(crate) fn open(path: &Path) -> Result<(Connection, Vec<Row>), Error> {
    create(path).map_err(|error| Error::Storage(error.to_string()))?;
    let open = || -> rusqlite::Result<_> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        // FULL: a commit is on the disk before it returns; what was acknowledged is never lost.
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        // What is deleted is overwritten: keys and texts are not left in free pages.
        db.pragma_update(None, "secure_delete", "ON")?;
        let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            let tx = db.transaction()?;
            tx.execute_batch(SCHEMA)?;
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            tx.commit()?;
        }
        let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == SCHEMA_VERSION {
            db.execute_batch(ADDED)?;
        }
        let rows = state(&db)?;
        Ok((db, rows, version))
    };
    let (db, rows, version) = open().map_err(|e| storage(&e))?;
    if version != SCHEMA_VERSION {
        return Err(Error::OtherVersion);
    }
    Ok((db, rows))
}

fn state(db: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut query = db.prepare("SELECT key, value FROM state WHERE tab = ?1 ORDER BY key")?;
    for table in Table::ALL {
        let found = query.query_map([table as u8], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in found {
            let (key, value) = row?;
            rows.push((table, key, value));
        }
    }
    Ok(rows)
}

/// A second connection that only reads; it never waits for the one that writes.
pub(crate) fn open_reader(path: &Path, vault: Vault, owner: Owner) -> Result<Reader, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| storage(&e))?;
    Ok(Reader::new(db, vault, owner))
}
