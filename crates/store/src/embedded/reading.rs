//! Reads from a snapshot, off the writer's thread.

use std::sync::Arc;

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, GroupId, Handle, Seq};
use redb::{ReadTransaction, ReadableTable};
use tokio::sync::oneshot;

use super::fault::{Fault, guarded_read};
use super::groups::Group;
use super::reach::Reach;
use super::row::{Head, Kind};
use super::shared::{Shared, Snapshot};
use super::tables::GroupKey;
use super::task::{Reply, send};
use super::{row, tables};
use crate::{
    Answer, Entry, Full, GroupError, GroupLog, Invite, LogRead, Page, Profile, Record, StoreError,
    Who,
};

/// Has a reading thread answer with a mailbox's page, whose records are at `places`.
pub(crate) fn page(
    shared: &Shared,
    snapshot: Arc<Snapshot>,
    device: DeviceId,
    places: Vec<Seq>,
    more: bool,
    max_bytes: usize,
    answer: Reply<Page, StoreError>,
) {
    // If there is no room for the job, the reply is dropped with it and the caller is told to retry.
    let _: Result<(), Full> = shared.readers.run(move || {
        let page = guarded_read(|| read_page(&snapshot, device, &places, more, max_bytes));
        send(answer, page.map_err(|fault| fault.answer()));
    });
}

fn read_page(
    snapshot: &ReadTransaction,
    device: DeviceId,
    places: &[Seq],
    more: bool,
    max_bytes: usize,
) -> Result<Page, Fault> {
    let mailbox = snapshot.open_table(tables::MAILBOX)?;
    let mut page = Page { records: Vec::with_capacity(places.len()), more };
    let mut bytes = 0;
    for seq in places {
        let row = mailbox.get(seq.0)?;
        let row = row.ok_or_else(|| Fault::damaged(format!("record {} is gone", seq.0)))?;
        let (head, body) = row::record(*seq, row.value())?;
        if head.owner != device {
            return Err(Fault::damaged(format!("record {} is another device's", seq.0)));
        }
        let entry = match row::entry(&head, body) {
            Some(entry) => entry,
            None => entry_elsewhere(snapshot, &head)?,
        };
        bytes += entry.body_bytes();
        if bytes > max_bytes && !page.records.is_empty() {
            page.more = true;
            break;
        }
        page.records.push(Record { seq: *seq, entry });
    }
    Ok(page)
}

/// What a record says that names another row. A mailbox names each post once, so its body is read once.
fn entry_elsewhere(snapshot: &ReadTransaction, head: &Head) -> Result<Entry, Fault> {
    match head.kind {
        Kind::Post { post } => {
            let posts = snapshot.open_table(tables::POST)?;
            let row = posts.get(post.0)?;
            let row = row.ok_or_else(|| Fault::damaged(format!("post {} is gone", post.0)))?;
            row::group::post_entry(post, row.value())
        }
        Kind::Reached { group, origin, .. } => {
            let author = DeviceId { account: head.owner.account, number: origin };
            let posts = reach(snapshot, group, author)?.posts;
            Ok(Entry::GroupReceipt { group, origin, posts })
        }
        Kind::Message { .. } | Kind::Receipt { .. } | Kind::News { .. } => {
            Err(Fault::damaged("a record names no other row"))
        }
    }
}

pub(crate) fn reach(
    snapshot: &ReadTransaction,
    group: GroupId,
    origin: DeviceId,
) -> Result<Reach, Fault> {
    let key = tables::reach_key(group, origin);
    let table = snapshot.open_table(tables::REACH)?;
    let row = table.get(&key)?;
    Ok(row.map(|row| row::group::reach(&key, row.value())).transpose()?.unwrap_or_default())
}

/// Entries of a membership log, for whoever may read them.
pub(crate) fn group_log(
    snapshot: &ReadTransaction,
    read: &LogRead,
) -> Result<Result<GroupLog, GroupError>, Fault> {
    let id = read.group;
    let Some(group) = group(snapshot, id)? else { return Ok(Err(GroupError::Unknown)) };
    let by_link = read.shows.is_some() && read.shows == group.settings.invite_hash;
    let epoch = if group.role(read.by).is_some() || by_link {
        group.epoch
    } else {
        let key = tables::group_key(id, read.by.0);
        let left = snapshot.open_table(tables::GROUP_FORMER)?.get(&key)?;
        match left.map(|row| row::group::number(&key, row.value())).transpose()? {
            Some(epoch) => epoch,
            None if read.shows.is_some() => return Ok(Err(GroupError::LinkInvalid)),
            None => return Ok(Err(GroupError::NotMember)),
        }
    };
    let mut log = GroupLog { epoch, entries: Vec::new() };
    let (first, last) =
        (tables::group_key(id, read.after.saturating_add(1)), tables::group_key(id, epoch));
    if read.after >= epoch {
        return Ok(Ok(log));
    }
    let mut bytes = 0;
    for row in snapshot.open_table(tables::GROUP_LOG)?.range::<&GroupKey>(&first..=&last)? {
        let (key, row) = row?;
        let (_, signed) = row::group::log_entry(key.value(), row.value())?;
        bytes += signed.len();
        let is_full = log.entries.len() >= read.max_entries || bytes > read.max_bytes;
        if is_full && !log.entries.is_empty() {
            break;
        }
        log.entries.push((tables::group_of(key.value()).1, signed));
    }
    Ok(Ok(log))
}

fn group(snapshot: &ReadTransaction, id: GroupId) -> Result<Option<Group>, Fault> {
    let groups = snapshot.open_table(tables::GROUP)?;
    let row = groups.get(&id.0)?;
    row.map(|row| row::group::group(&id.0, row.value())).transpose()
}

impl Entry {
    /// Bytes of its body.
    pub(crate) fn body_bytes(&self) -> usize {
        match self {
            Self::Message { body, .. } => body.len(),
            Self::Post(post) => post.body.len(),
            Self::Receipt { .. } | Self::GroupNews { .. } | Self::GroupReceipt { .. } => 0,
        }
    }
}

/// Has a reading thread answer from a snapshot taken then.
pub(crate) fn ask<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&ReadTransaction) -> Result<T, Fault> + Send + 'static,
) -> Answer<T> {
    let (reply, answer) = oneshot::channel();
    let asked = Arc::clone(shared);
    let job = move || {
        let read = guarded_read(|| read(&*asked.snapshot()?));
        send(reply, read.map_err(|fault| fault.answer()));
    };
    match shared.readers.run(job) {
        Ok(()) => later(answer),
        Err(full) => Box::pin(std::future::ready(Err(full.into()))),
    }
}

/// The answer that will come. If whoever owes it is gone, the store is closing or was reopened.
pub(crate) fn later<T, E>(answer: oneshot::Receiver<Result<T, E>>) -> Answer<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::pin(async move { answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable.into())) })
}

pub(crate) fn profile(snapshot: &ReadTransaction, who: &Who) -> Result<Option<Profile>, Fault> {
    let account = match who {
        Who::Account(account) => *account,
        Who::Handle(handle) => {
            let handles = snapshot.open_table(tables::HANDLE)?;
            match handles.get(handle.as_str())? {
                None => return Ok(None),
                Some(row) => row::handle(handle.as_str(), row.value())?,
            }
        }
    };
    let accounts = snapshot.open_table(tables::ACCOUNT)?;
    let Some(row) = accounts.get(account.0)? else { return Ok(None) };
    as_profile(account, row::account(account, row.value())?).map(Some)
}

fn as_profile(account: AccountId, row: row::Account) -> Result<Profile, Fault> {
    let handle: Result<Handle, _> = row.handle.parse();
    let handle = handle.map_err(|_| Fault::damaged("an account's handle has another form"))?;
    Ok(Profile { account, handle, account_key: row.account_key, list: row.list })
}

pub(crate) fn invites(snapshot: &ReadTransaction) -> Result<Vec<Invite>, Fault> {
    let invites = snapshot.open_table(tables::INVITE)?;
    let invite = |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), _>| {
        let (code, invite) = row?;
        row::invite(code.value(), invite.value())
    };
    invites.iter()?.map(invite).collect()
}

pub(crate) fn meta(snapshot: &ReadTransaction, name: &str) -> Result<Option<Bytes>, Fault> {
    let values = snapshot.open_table(tables::META)?;
    values.get(name)?.map(|row| row::plain(name.as_bytes(), row.value())).transpose()
}
