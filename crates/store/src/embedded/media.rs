//! The embedded book of files: a redb file of its own, so that a sync for a file never holds up the
//! batch of a message, and a lost book loses no message.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use godwit_base::{AccountId, BlobId, DeviceId};
use redb::{Builder, Database, ReadableTable, TableDefinition, WriteTransaction};

use super::calendar::Calendar;
use super::fault::{Fault, guarded, guarded_read};
use super::open_error;
use super::options::Disk;
use super::row::media::{self as row, BlobRow, Holder, Usage};
use crate::api::media::{
    Blob, Held, Hold, HoldError, MEDIA_FETCHERS_MAX, MEDIA_HOLDERS_MAX, MEDIA_HOLDS_MAX, MediaBook,
    MediaStats, SweptMedia,
};
use crate::{OpenError, StoreError};

/// The file in the folder.
const FILE_NAME: &str = "media.redb";

/// Version of the tables below.
const SCHEMA: u64 = 1;

/// RAM for pages of the file: the rows of 20,000 files.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Rows that one sweep drops, so that nobody waits behind it for long.
const SWEEP_MAX: usize = 1_024;

type BlobKey = [u8; 32];
/// When it is over, account, blob.
type DueKey = [u8; 48];

/// Files by their digest.
const BLOB: TableDefinition<&BlobKey, &[u8]> = TableDefinition::new("blob");
/// How many files and bytes each account holds: the sums of its rows above.
const USAGE: TableDefinition<u64, &[u8]> = TableDefinition::new("usage");
/// Holders by the time at which they let go.
const DUE: TableDefinition<&DueKey, ()> = TableDefinition::new("due");
const ENGINE: TableDefinition<&str, u64> = TableDefinition::new("engine");

/// The book in one file of a folder.
pub struct EmbeddedMedia {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// One change at a time; each is a sync, and rates keep them few.
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// None after a failure of the disk: it is opened anew by the next who asks.
    database: Option<Database>,
    /// For good: nobody opens it anew here.
    is_closed: bool,
    calendar: Calendar,
    stats: MediaStats,
}

impl EmbeddedMedia {
    /// Opens the book in `dir`, which is created if need be. Blocks while it is read.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        let io = |source| OpenError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let book = guarded_read(|| read_book(&path, &*disk));
        let book = Mutex::new(book.map_err(|fault| open_error(&path, fault))?);
        Ok(Self { path, disk, book })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the database. After a failure of the disk nothing of it is trusted: it is
    /// closed, and opened anew the next time.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database, &mut Calendar, &mut MediaStats) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut book = self.book();
        let done = guarded(|| {
            if book.is_closed {
                return Err(Fault::Io("the book of files is closed".to_owned()));
            }
            if book.database.is_none() {
                *book = read_book(&self.path, &*self.disk)?;
            }
            let Book { database, calendar, stats, .. } = &mut *book;
            let database = database.as_ref().ok_or(Fault::Locked)?;
            work(database, calendar, stats)
        });
        done.map_err(|fault| {
            book.database = None;
            fault.answer()
        })
    }

    /// One durable change: `work` on the row of a file, which is empty if there is none.
    fn change<T>(
        &self,
        blob: BlobId,
        work: impl FnOnce(&WriteTransaction, &mut BlobRow) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.with(|database, _, stats| {
            let transaction = database.begin_write()?;
            let before = read_row(&transaction.open_table(BLOB)?, blob)?;
            let mut after = before.clone();
            let result = work(&transaction, &mut after)?;
            if after != before {
                write_row(&transaction, blob, &before, &after)?;
                transaction.commit()?;
                stats.remove(&before);
                stats.add(&after);
            }
            Ok(result)
        })
    }

    /// Reads a file's row, which is empty if there is none.
    fn look(&self, blob: BlobId) -> Result<BlobRow, StoreError> {
        self.with(|database, _, _| {
            let transaction = redb::ReadableDatabase::begin_read(database)?;
            read_row(&transaction.open_table(BLOB)?, blob)
        })
    }

    /// Who lets go of what at `now_ms`, unless that time is not believed; notes that it was seen.
    fn due(&self, now_ms: u64) -> Result<Option<Vec<(AccountId, BlobId)>>, StoreError> {
        self.with(|database, calendar, _| {
            if !calendar.believes(now_ms) {
                return Ok(None);
            }
            let transaction = database.begin_write()?;
            let mut due = Vec::new();
            let last = due_key(now_ms, AccountId(u64::MAX), BlobId([u8::MAX; 32]));
            for item in transaction.open_table(DUE)?.range::<&DueKey>(..=&last)?.take(SWEEP_MAX) {
                due.push(holder_of(item?.0.value()));
            }
            transaction.open_table(ENGINE)?.insert("seen_ms", now_ms)?;
            transaction.commit()?;
            Ok(Some(due))
        })
    }
}

impl MediaBook for EmbeddedMedia {
    fn hold(&self, hold: &Hold) -> Result<Held, HoldError> {
        self.change(hold.blob, |transaction, blob| {
            if blob.is_stored && blob.bytes != hold.bytes {
                return Ok(Err(HoldError::Length));
            }
            let before = blob.holders.iter().find(|holder| holder.account == hold.account).copied();
            if before.is_none() && blob.holders.len() >= MEDIA_HOLDERS_MAX {
                return Ok(Err(HoldError::Holders));
            }
            if !fits(transaction, hold, before)? {
                return Ok(Err(HoldError::Quota));
            }
            let until_ms = if blob.is_stored { hold.keep_until_ms } else { hold.until_ms };
            blob.holders.retain(|holder| holder.account != hold.account);
            blob.holders.push(Holder {
                account: hold.account,
                bytes: hold.bytes,
                fetchers: fetchers(hold.fetchers, before),
                until_ms,
            });
            Ok(Ok(Held { bytes: hold.bytes, is_stored: blob.is_stored, until_ms }))
        })?
    }

    fn held(&self, account: AccountId, blob: BlobId) -> Result<Option<Held>, StoreError> {
        let found = self.look(blob)?;
        let holder = found.holders.iter().find(|holder| holder.account == account);
        Ok(holder.map(|holder| Held {
            bytes: holder.bytes,
            is_stored: found.is_stored,
            until_ms: holder.until_ms,
        }))
    }

    fn stored(
        &self,
        account: AccountId,
        blob: BlobId,
        keep_until_ms: u64,
    ) -> Result<bool, StoreError> {
        self.change(blob, |_, blob| {
            let mut holders = blob.holders.iter_mut();
            let Some(holder) = holders.find(|holder| holder.account == account) else {
                return Ok(false);
            };
            holder.until_ms = keep_until_ms;
            blob.bytes = holder.bytes;
            blob.is_stored = true;
            Ok(true)
        })
    }

    fn blob(&self, blob: BlobId) -> Result<Option<Blob>, StoreError> {
        let found = self.look(blob)?;
        let until_ms = found.holders.iter().map(|holder| holder.until_ms).max();
        let until_ms = until_ms.filter(|_| found.is_stored);
        Ok(until_ms.map(|until_ms| Blob { bytes: found.bytes, until_ms }))
    }

    fn fetched(&self, blob: BlobId, device: DeviceId) -> Result<bool, StoreError> {
        self.change(blob, |_, blob| {
            let Some(named) = named(blob).filter(|_| blob.is_stored) else { return Ok(false) };
            if !blob.fetched.contains(&device) {
                blob.fetched.push(device);
            }
            let is_last = blob.fetched.len() >= named;
            if is_last {
                *blob = BlobRow::default();
            }
            Ok(is_last)
        })
    }

    fn sweep_media(&self, now_ms: u64) -> Result<SweptMedia, StoreError> {
        let Some(due) = self.due(now_ms)? else {
            return Ok(SweptMedia { clock_leapt: true, ..SweptMedia::default() });
        };
        let mut swept = SweptMedia { more: due.len() >= SWEEP_MAX, ..SweptMedia::default() };
        for (account, blob) in due {
            let (was_stored, is_gone) = self.change(blob, |_, row| {
                row.holders.retain(|holder| holder.account != account || holder.until_ms > now_ms);
                let (was_stored, is_gone) = (row.is_stored, row.holders.is_empty());
                if is_gone {
                    *row = BlobRow::default();
                }
                Ok((was_stored, is_gone))
            })?;
            if was_stored && is_gone {
                swept.gone.push(blob);
            }
            // Of an upload of this account, finished or not, nothing may be left in its place.
            swept.lapsed.push((account, blob));
        }
        Ok(swept)
    }

    fn media_stats(&self) -> MediaStats {
        self.book().stats
    }

    fn close_media(&self) {
        let mut book = self.book();
        book.is_closed = true;
        book.database = None;
    }
}

impl MediaStats {
    fn add(&mut self, blob: &BlobRow) {
        self.blobs += u64::from(blob.is_stored);
        self.bytes += blob.bytes;
    }

    fn remove(&mut self, blob: &BlobRow) {
        self.blobs = self.blobs.saturating_sub(u64::from(blob.is_stored));
        self.bytes = self.bytes.saturating_sub(blob.bytes);
    }
}

fn read_book(path: &Path, disk: &dyn Disk) -> Result<Book, Fault> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let database = disk.open(&builder, path)?;
    let transaction = database.begin_write()?;
    let mut stats = MediaStats::default();
    let seen_ms = {
        let mut engine = transaction.open_table(ENGINE)?;
        let found = engine.get("schema")?.map(|schema| schema.value());
        match found {
            Some(schema) if schema > SCHEMA => return Err(Fault::Newer(schema)),
            Some(_) => {}
            None => drop(engine.insert("schema", SCHEMA)?),
        }
        transaction.open_table(USAGE)?;
        transaction.open_table(DUE)?;
        for item in transaction.open_table(BLOB)?.iter()? {
            let (key, value) = item?;
            stats.add(&row::blob(key.value(), value.value())?);
        }
        engine.get("seen_ms")?.map_or(0, |seen| seen.value())
    };
    transaction.commit()?;
    Ok(Book {
        database: Some(database),
        is_closed: false,
        calendar: Calendar::seen(seen_ms),
        stats,
    })
}

/// Devices that will fetch it, if every holder has said how many.
fn named(blob: &BlobRow) -> Option<usize> {
    let numbers = blob.holders.iter().map(|holder| {
        let is_named = (1..=MEDIA_FETCHERS_MAX).contains(&holder.fetchers);
        usize::try_from(holder.fetchers).ok().filter(|_| is_named)
    });
    numbers.sum::<Option<usize>>().filter(|named| *named > 0)
}

/// The greater of two numbers of one account, and "not known" above all.
fn fetchers(named: u32, before: Option<Holder>) -> u32 {
    match before {
        None => named,
        Some(before) if before.fetchers == 0 || named == 0 => 0,
        Some(before) => named.max(before.fetchers),
    }
}

/// Whether the account may hold this besides what it holds.
fn fits(
    transaction: &WriteTransaction,
    hold: &Hold,
    before: Option<Holder>,
) -> Result<bool, Fault> {
    let usage = read_usage(&transaction.open_table(USAGE)?, hold.account)?;
    let others = usage.bytes.saturating_sub(before.map_or(0, |before| before.bytes));
    let has_room = others.saturating_add(hold.bytes) <= hold.quota_bytes;
    Ok(has_room && (before.is_some() || usage.files < MEDIA_HOLDS_MAX as u64))
}

fn read_usage(
    table: &impl ReadableTable<u64, &'static [u8]>,
    account: AccountId,
) -> Result<Usage, Fault> {
    let value = table.get(account.0)?;
    value.map_or_else(|| Ok(Usage::default()), |value| row::usage(account, value.value()))
}

fn read_row(
    table: &impl ReadableTable<&'static BlobKey, &'static [u8]>,
    blob: BlobId,
) -> Result<BlobRow, Fault> {
    let value = table.get(&blob.0)?;
    value.map_or_else(|| Ok(BlobRow::default()), |value| row::blob(&blob.0, value.value()))
}

/// Writes a file's row and the rows of its holders.
fn write_row(
    transaction: &WriteTransaction,
    blob: BlobId,
    before: &BlobRow,
    after: &BlobRow,
) -> Result<(), Fault> {
    let mut table = transaction.open_table(BLOB)?;
    match after.holders.is_empty() {
        true => drop(table.remove(&blob.0)?),
        false => drop(table.insert(&blob.0, row::put_blob(&blob.0, after).as_slice())?),
    }
    let (mut usage, mut due) = (transaction.open_table(USAGE)?, transaction.open_table(DUE)?);
    for holder in &before.holders {
        due.remove(&due_key(holder.until_ms, holder.account, blob))?;
        let mut row = read_usage(&usage, holder.account)?;
        row.files = row.files.saturating_sub(1);
        row.bytes = row.bytes.saturating_sub(holder.bytes);
        match row.files {
            0 => drop(usage.remove(holder.account.0)?),
            _ => drop(
                usage.insert(holder.account.0, row::put_usage(holder.account, row).as_slice())?,
            ),
        }
    }
    for holder in &after.holders {
        due.insert(&due_key(holder.until_ms, holder.account, blob), ())?;
        let mut row = read_usage(&usage, holder.account)?;
        row.files += 1;
        row.bytes = row.bytes.saturating_add(holder.bytes);
        usage.insert(holder.account.0, row::put_usage(holder.account, row).as_slice())?;
    }
    Ok(())
}

fn due_key(until_ms: u64, account: AccountId, blob: BlobId) -> DueKey {
    let mut key = [0; 48];
    let (until_ms, account) = (until_ms.to_be_bytes(), account.0.to_be_bytes());
    let parts = until_ms.iter().chain(&account).chain(&blob.0);
    key.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    key
}

/// The account and the file of a key of [`DUE`].
fn holder_of(key: &DueKey) -> (AccountId, BlobId) {
    let (mut account, mut blob) = ([0; 8], [0; 32]);
    let parts = account.iter_mut().chain(&mut blob);
    parts.zip(key.iter().skip(8)).for_each(|(to, from)| *to = *from);
    (AccountId(u64::from_be_bytes(account)), BlobId(blob))
}

impl fmt::Debug for EmbeddedMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedMedia").field("path", &self.path).finish_non_exhaustive()
    }
}
