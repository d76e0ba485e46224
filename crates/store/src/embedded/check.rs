//! Every row of a snapshot, checked: its checksum, its form, and that it leads somewhere.

use godwit_base::{AccountId, Seq};
use redb::{ReadTransaction, ReadableTable};

use super::fault::Fault;
use super::{row, tables};
use crate::VerifyReport;

/// Reads all rows; the first that is not as it was written is the error.
pub(crate) fn snapshot(txn: &ReadTransaction) -> Result<VerifyReport, Fault> {
    let records = records(txn)?;
    let rows = records + senders(txn)? + accounts(txn)? + devices(txn)? + values(txn)?;
    Ok(VerifyReport { rows, records })
}

fn records(txn: &ReadTransaction) -> Result<u64, Fault> {
    let mut rows = 0;
    for record in txn.open_table(tables::MAILBOX)?.iter()? {
        let (seq, record) = record?;
        row::record(Seq(seq.value()), record.value())?;
        rows += 1;
    }
    Ok(rows)
}

fn senders(txn: &ReadTransaction) -> Result<u64, Fault> {
    let mut rows = 0;
    for journal in txn.open_table(tables::JOURNAL)?.iter()? {
        let (seq, journal) = journal?;
        row::journal(Seq(seq.value()), journal.value())?;
        rows += 1;
    }
    for window in txn.open_table(tables::WINDOW)?.iter()? {
        let (key, window) = window?;
        row::window(key.value(), window.value())?;
        rows += 1;
    }
    Ok(rows)
}

/// Accounts and handles lead to each other.
fn accounts(txn: &ReadTransaction) -> Result<u64, Fault> {
    let (handles, accounts) = (txn.open_table(tables::HANDLE)?, txn.open_table(tables::ACCOUNT)?);
    let mut rows = 0;
    for account in accounts.iter()? {
        let (id, account) = account?;
        let id = AccountId(id.value());
        let handle = row::account(id, account.value())?.handle;
        let back = handles.get(handle.as_str())?;
        let back = back.map(|row| row::handle(&handle, row.value())).transpose()?;
        if back != Some(id) {
            return Err(Fault::damaged(format!("account {id} is not found by its handle")));
        }
        rows += 2;
    }
    let unowned = redb::ReadableTableMetadata::len(&handles)? * 2 != rows;
    if unowned { Err(Fault::damaged("a handle leads to no account")) } else { Ok(rows) }
}

fn devices(txn: &ReadTransaction) -> Result<u64, Fault> {
    let mut rows = 0;
    for link in txn.open_table(tables::LINK)?.iter()? {
        let (key, link) = link?;
        row::link(key.value(), link.value())?;
        rows += 1;
    }
    for key in txn.open_table(tables::ONE_TIME)?.iter()? {
        let (id, key) = key?;
        row::plain(id.value(), key.value())?;
        rows += 1;
    }
    for published in txn.open_table(tables::DEVICE)?.iter()? {
        let (key, published) = published?;
        row::published(key.value(), published.value())?;
        rows += 1;
    }
    Ok(rows)
}

fn values(txn: &ReadTransaction) -> Result<u64, Fault> {
    let mut rows = 0;
    for invite in txn.open_table(tables::INVITE)?.iter()? {
        let (code, invite) = invite?;
        row::invite(code.value(), invite.value())?;
        rows += 1;
    }
    for value in txn.open_table(tables::META)?.iter()? {
        let (name, value) = value?;
        row::plain(name.value().as_bytes(), value.value())?;
        rows += 1;
    }
    for number in txn.open_table(tables::ENGINE)?.iter()? {
        number?;
        rows += 1;
    }
    Ok(rows)
}
