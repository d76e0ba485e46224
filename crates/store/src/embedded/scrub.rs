//! The scrubber: every row's checksum, a slice at a time, for ever. What rots on a disk is found while the
//! backups that have it whole are still there, and not when somebody comes to fetch it.

use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use godwit_base::{AccountId, Seq};
use redb::{Key, ReadTransaction, TableDefinition};

use super::fault::Fault;
use super::reading;
use super::row;
use super::shared::Shared;
use super::tables::{self, DeviceKey, GroupKey, OneTimeKey, ReachKey};
use crate::{Answer, Scrubbed};

/// Where the next slice begins.
#[derive(Debug, Default)]
pub(crate) struct Place(Mutex<At>);

#[derive(Debug, Default, Clone)]
struct At {
    /// Of [`TABLES`].
    table: usize,
    /// The key of the last row that was read there.
    after: Option<Vec<u8>>,
}

/// Reads up to `rows` rows of one table behind a key, and returns the key of the last one; none if the
/// table ends before.
type Walk = fn(&ReadTransaction, Option<&[u8]>, &mut Slice) -> Result<Option<Vec<u8>>, Fault>;

/// All tables whose rows have a checksum.
const TABLES: [Walk; 16] = [
    |txn, after, slice| {
        walk(txn, tables::MAILBOX, after, slice, |seq: u64, row| {
            row::record(Seq(seq), row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::POST, after, slice, |at: u64, row| {
            row::group::post(Seq(at), row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::JOURNAL, after, slice, |seq: u64, row| {
            row::journal(Seq(seq), row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::WINDOW, after, slice, |key: &DeviceKey, row| {
            row::window(key, row).map(drop)
        })
    },
    |txn, after, slice| {
        let check = |id: u64, row: &[u8]| row::account(AccountId(id), row).map(drop);
        walk(txn, tables::ACCOUNT, after, slice, check)
    },
    |txn, after, slice| {
        walk(txn, tables::HANDLE, after, slice, |handle: &str, row| {
            row::handle(handle, row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::LINK, after, slice, |key: &[u8; 32], row| row::link(key, row).map(drop))
    },
    |txn, after, slice| {
        walk(txn, tables::ONE_TIME, after, slice, |key: &OneTimeKey, row| {
            row::plain(key, row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::DEVICE, after, slice, |key: &DeviceKey, row| {
            row::published(key, row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::INVITE, after, slice, |code: &str, row| row::invite(code, row).map(drop))
    },
    |txn, after, slice| {
        let check =
            |account: u64, row: &[u8]| row::group::number(&account.to_be_bytes(), row).map(drop);
        walk(txn, tables::DEVICE_SET, after, slice, check)
    },
    |txn, after, slice| {
        walk(txn, tables::GROUP, after, slice, |id: &[u8; 16], row| {
            row::group::group(id, row).map(drop)
        })
    },
    |txn, after, slice| {
        let check = |key: &GroupKey, row: &[u8]| row::group::log_entry(key, row).map(drop);
        walk(txn, tables::GROUP_LOG, after, slice, check)
    },
    |txn, after, slice| {
        let check = |key: &GroupKey, row: &[u8]| row::group::number(key, row).map(drop);
        walk(txn, tables::GROUP_FORMER, after, slice, check)
    },
    |txn, after, slice| {
        walk(txn, tables::REACH, after, slice, |key: &ReachKey, row| {
            row::group::reach(key, row).map(drop)
        })
    },
    |txn, after, slice| {
        walk(txn, tables::META, after, slice, |name: &str, row| {
            row::plain(name.as_bytes(), row).map(drop)
        })
    },
];

/// A slice under way.
#[derive(Debug, Default)]
struct Slice {
    left: u32,
    found: Scrubbed,
}

impl Slice {
    fn note(&mut self, fault: Fault) -> Result<(), Fault> {
        let Fault::Damaged(what) = fault else { return Err(fault) };
        self.found.damaged = self.found.damaged.saturating_add(1);
        self.found.what.get_or_insert(what);
        Ok(())
    }
}

/// Reads the next `rows` rows on a reading thread, and tells what is wrong with them.
pub(crate) fn slice(shared: &Arc<Shared>, rows: u32) -> Answer<Scrubbed> {
    let theirs = Arc::clone(shared);
    reading::ask(shared, move |txn| {
        let mut at = theirs.scrub.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = next(txn, &mut at, rows)?;
        theirs.stats(|stats| {
            stats.scrubbed += u64::from(found.rows);
            stats.scrub_damaged += u64::from(found.damaged);
            stats.scrubs += u64::from(found.is_whole);
        });
        Ok(found)
    })
}

/// From a place on, until so many rows were read or the last table has ended.
fn next(txn: &ReadTransaction, at: &mut At, rows: u32) -> Result<Scrubbed, Fault> {
    let mut slice = Slice { left: rows, ..Slice::default() };
    while let Some(walk) = TABLES.get(at.table) {
        match walk(txn, at.after.as_deref(), &mut slice) {
            Ok(Some(last)) => {
                at.after = Some(last);
                return Ok(slice.found);
            }
            Ok(None) => {}
            // Its pages cannot be read, so nothing behind them can: on with the next table.
            Err(fault) => slice.note(fault)?,
        }
        *at = At { table: at.table + 1, after: None };
    }
    *at = At::default();
    slice.found.is_whole = true;
    Ok(slice.found)
}

fn walk<K: Key + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, &'static [u8]>,
    after: Option<&[u8]>,
    slice: &mut Slice,
    check: impl for<'a> Fn(K::SelfType<'a>, &'a [u8]) -> Result<(), Fault>,
) -> Result<Option<Vec<u8>>, Fault> {
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(K::from_bytes(after)));
    for row in txn.open_table(table)?.range::<K::SelfType<'_>>((from, Bound::Unbounded))? {
        let (key, value) = row?;
        let last = K::as_bytes(&key.value()).as_ref().to_vec();
        if let Err(fault) = check(key.value(), value.value()) {
            slice.note(fault)?;
        }
        slice.found.rows += 1;
        slice.left = slice.left.saturating_sub(1);
        if slice.left == 0 {
            return Ok(Some(last));
        }
    }
    Ok(None)
}
