//! How far posts have come: gathered over a batch, then one row and at most one waiting record for each
//! group and sending device. An acknowledgement costs a search in that row; the row is written once a
//! batch, at most 16 KB for a thousand members.

use std::collections::BTreeMap;

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use redb::ReadableTable;

use super::Batch;
use crate::Entry;
use crate::embedded::fault::Fault;
use crate::embedded::index::Load;
use crate::embedded::posts::Posted;
use crate::embedded::reach::Reach;
use crate::embedded::row::{self, Mark};
use crate::embedded::tables::{self, ReachKey};

/// What the acknowledgements of a batch say of posts.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Who has which posts of which device to which group, in the order in which they were had.
    had: BTreeMap<(GroupId, DeviceId), Vec<(AccountId, u64)>>,
    /// Receipts that were fetched, and the version of what they told.
    fetched: Vec<(DeviceId, GroupId, DeviceNumber, u64)>,
}

impl Batch<'_> {
    /// Device `by` has a post. Other devices of its author make no receipts.
    pub(super) fn note_had(&mut self, by: DeviceId, posted: &Posted) {
        if by.account != posted.from.account {
            let had = self.reached.had.entry((posted.group, posted.from)).or_default();
            had.push((by.account, posted.counter));
        }
    }

    /// A receipt was fetched: if more happened since it was filed, the next one follows.
    pub(super) fn note_fetched(
        &mut self,
        by: DeviceId,
        group: GroupId,
        origin: DeviceNumber,
        version: u64,
    ) {
        self.reached.fetched.push((by, group, origin, version));
    }

    /// Writes what was gathered, and files receipts where none waits.
    pub(super) fn tell_reach(&mut self) -> Result<(), Fault> {
        let Reached { had, fetched } = std::mem::take(&mut self.reached);
        for ((group, origin), had) in had {
            let key = tables::reach_key(group, origin);
            let mut reach = self.reach(&key)?;
            let news = had.into_iter().filter(|(account, counter)| reach.has(*account, *counter));
            if news.count() == 0 {
                continue;
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
