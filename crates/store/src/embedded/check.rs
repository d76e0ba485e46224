//! Every row of a snapshot, checked: its checksum, its form, and that it leads somewhere.

use std::collections::HashMap;

use godwit_base::{AccountId, GroupId, Seq};
use redb::{ReadTransaction, ReadableTable};

use super::fault::Fault;
use super::posts::Posts;
use super::row::Kind;
use super::{row, tables};
use crate::VerifyReport;

/// Reads all rows; the first that is not as it was written is the error.
pub(crate) fn snapshot(txn: &ReadTransaction) -> Result<VerifyReport, Fault> {
    let records = records(txn)?;
    let rows = records
        + posts(txn)?
        + groups(txn)?
        + senders(txn)?
        + accounts(txn)?
        + devices(txn)?
        + values(txn)?;
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

/// Each record of a post leads to one, and each post is led to.
fn posts(txn: &ReadTransaction) -> Result<u64, Fault> {
    let mut posts = Posts::default();
    let mut rows = 0;
    for post in txn.open_table(tables::POST)?.iter()? {
        let (at, post) = post?;
        let at = Seq(at.value());
        posts.insert(at, row::group::post(at, post.value())?.0);
        rows += 1;
    }
    for record in txn.open_table(tables::MAILBOX)?.iter()? {
        let (seq, record) = record?;
        if let Kind::Post { post } = row::record(Seq(seq.value()), record.value())?.0.kind {
            posts.hold(post)?;
        }
    }
    match posts.unheld() {
        Some(post) => Err(Fault::damaged(format!("post {} waits in no mailbox", post.0))),
        None => Ok(rows),
    }
}

/// Each group has all entries up to its epoch.
fn groups(txn: &ReadTransaction) -> Result<u64, Fault> {
    let mut entries: HashMap<GroupId, u64> = HashMap::new();
    let mut rows = 0;
    for entry in txn.open_table(tables::GROUP_LOG)?.iter()? {
        let (key, entry) = entry?;
        row::group::log_entry(key.value(), entry.value())?;
        *entries.entry(tables::group_of(key.value()).0).or_default() += 1;
        rows += 1;
    }
    for group in txn.open_table(tables::GROUP)?.iter()? {
        let (id, group) = group?;
        let group = row::group::group(id.value(), group.value())?;
        let id = GroupId(*id.value());
        let found = entries.remove(&id).unwrap_or(0);
        // One without members is being swept.
        if found != group.epoch && !group.members.is_empty() {
            return Err(Fault::damaged(format!("group {id} lacks entries of its log")));
        }
        rows += 1;
    }
    if let Some(id) = entries.keys().next() {
        return Err(Fault::damaged(format!("entries lead to no group {id}")));
    }
    for former in txn.open_table(tables::GROUP_FORMER)?.iter()? {
        let (key, former) = former?;
        row::group::number(key.value(), former.value())?;
        rows += 1;
    }
    for reach in txn.open_table(tables::REACH)?.iter()? {
        let (key, reach) = reach?;
        row::group::reach(key.value(), reach.value())?;
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
    for set in txn.open_table(tables::DEVICE_SET)?.iter()? {
        let (account, set) = set?;
        row::group::number(&account.value().to_be_bytes(), set.value())?;
        rows += 1;
    }
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
