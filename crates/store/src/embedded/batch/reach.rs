//! How far posts have come: gathered over a batch, then one row and at most one waiting record for each
//! group and sending device. An acknowledgement, or that somebody has read, costs a search in that row; the
//! row is written once a batch, at most 29 KB for a thousand members.

use std::collections::BTreeMap;

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use redb::ReadableTable;

use super::Batch;
use super::stop::{Step, require, require_room};
use crate::embedded::fault::Fault;
use crate::embedded::index::Load;
use crate::embedded::posts::Posted;
use crate::embedded::reach::Reach;
use crate::embedded::row::{self, Mark};
use crate::embedded::tables::{self, ReachKey};
use crate::{Entry, PostRead, StoreError};

/// Marks of what was read that one batch takes; one more request is taken while there are fewer. Each may be
/// of another row, of 29 KB in the largest groups: 30 MB at the very worst.
pub(super) const BATCH_MARKS_MAX: usize = 1_024;

/// What a batch hears of posts.
#[derive(Debug, Default)]
pub(super) struct News {
    /// By group and posting device.
    of: BTreeMap<(GroupId, DeviceId), OfPosts>,
    /// Receipts that were fetched, and the version of what they told.
    fetched: Vec<(DeviceId, GroupId, DeviceNumber, u64)>,
}

/// What a batch hears of the posts of one device to one group: accounts and counters.
#[derive(Debug, Default)]
struct OfPosts {
    /// Who has them, in the order in which they were had.
    had: Vec<(AccountId, u64)>,
    /// Who has read them, up to there.
    read: Vec<(AccountId, u64)>,
}

impl Batch<'_> {
    /// Device `by` has a post. Other devices of its author make no receipts.
    pub(super) fn note_had(&mut self, by: DeviceId, posted: &Posted) {
        if by.account != posted.from.account {
            let posts = self.news.of.entry((posted.group, posted.from)).or_default();
            posts.had.push((by.account, posted.counter));
        }
    }

    /// Account `by` has read posts of others. What it has acknowledged is known only when nothing of that
    /// is left for the next batch.
    pub(super) fn note_read(
        &mut self,
        by: AccountId,
        group: GroupId,
        marks: &[PostRead],
    ) -> Step<(), StoreError> {
        require(!self.is_behind, StoreError::Busy)?;
        require_room(self.terms.disk_full)?;
        self.marks += marks.len();
        for PostRead { author, up_to } in marks.iter().filter(|mark| mark.author.account != by) {
            self.news.of.entry((group, *author)).or_default().read.push((by, *up_to));
        }
        Ok(())
    }

    /// A receipt was fetched: if more happened since it was filed, the next one follows.
    pub(super) fn note_fetched(
        &mut self,
        by: DeviceId,
        group: GroupId,
        origin: DeviceNumber,
        version: u64,
    ) {
        self.news.fetched.push((by, group, origin, version));
    }

    /// Writes what was gathered, and files receipts where none waits.
    pub(super) fn tell_reach(&mut self) -> Result<(), Fault> {
        let News { of, fetched } = std::mem::take(&mut self.news);
        for ((group, origin), OfPosts { had, read }) in of {
            let key = tables::reach_key(group, origin);
            let mut reach = self.reach(&key)?;
            let mut changes = 0;
            for (account, counter) in had {
                changes += usize::from(reach.has(account, counter));
            }
            for (account, counter) in read {
                changes += usize::from(reach.reads(account, counter));
            }
            if changes == 0 {
                continue; // a row that is not there stays so, whoever says that it has read something
            }
            reach.version += 1;
            reach.changed_ms = self.terms.now_ms;
            let present = self.state.groups.get(group);
            reach.trim(|account| present.is_some_and(|group| group.role(account).is_some()));
            let row = row::group::put_reach(&key, &reach);
            self.txn.open_table(tables::REACH)?.insert(&key, row.as_slice())?;
            self.changed = true;
            let owners: Vec<_> = self.state.roster.devices_of(origin.account).collect();
            for owner in owners {
                self.file_reach(owner, group, origin.number, &reach)?;
            }
        }
        for (owner, group, origin, version) in fetched {
            let author = DeviceId { account: owner.account, number: origin };
            let reach = self.reach(&tables::reach_key(group, author))?;
            if reach.version > version && self.state.roster.has(owner) {
                self.file_reach(owner, group, origin, &reach)?;
            }
        }
        Ok(())
    }

    /// Tells one device of the author, unless something waits for it that it will read as of then.
    fn file_reach(
        &mut self,
        owner: DeviceId,
        group: GroupId,
        origin: DeviceNumber,
        reach: &Reach,
    ) -> Result<(), Fault> {
        let mark = Mark::Reach { group, origin };
        if self.state.index.mark(owner, mark).is_some() {
            return Ok(());
        }
        let seq = self.next_seq();
        row::group::put_reached(&mut self.out.row, seq, owner, group, origin, reach.version);
        let entry = Entry::GroupReceipt { group, origin, posts: reach.posts.clone() };
        self.append(seq, owner, Load::Mark(mark), entry)
    }

    fn reach(&self, key: &ReachKey) -> Result<Reach, Fault> {
        let table = self.txn.open_table(tables::REACH)?;
        let row = table.get(key)?;
        Ok(row.map(|row| row::group::reach(key, row.value())).transpose()?.unwrap_or_default())
    }
}
