//! One batch: what arrived during the last sync, written in one transaction.
//!
//! The parts of what a batch can do are in the files beside this one: [`submit`](self) decides and
//! stores messages, `acknowledge` deletes and files receipts, `accounts`, `keys` and `sweep` do tasks.
//! RAM state is changed along with the transaction; if it fails, all of it is reloaded.

mod accounts;
mod acknowledge;
mod groups;
mod invites;
mod keys;
mod post;
mod reach;
mod stop;
mod submit;
mod sweep;

use godwit_base::{DeviceId, Seq};
use reach::News;
use redb::{ReadableTable, Table, WriteTransaction};

use super::fault::Fault;
use super::index::Load;
use super::intake::BATCH_COPIES_MAX;
use super::posts::Posted;
use super::roll::RollChange;
use super::row::{self, Kind};
use super::state::State;
use super::tables;
use super::task::{Pending, Task};
use super::windows::TRIM_ROWS;
use crate::{Appended, Quotas, Record, Settled, StoreError};
use stop::answer;

pub(crate) use acknowledge::BATCH_DELETES_MAX;
use reach::BATCH_MARKS_MAX;

/// What holds for the whole batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) now_ms: u64,
    pub(crate) quotas: Quotas,
    /// The disk is below its reserve: only what frees room is done.
    pub(crate) disk_full: bool,
}

/// What is told when the batch is durable. Buffers are used again for the next one.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) settled: Vec<Settled>,
    pub(crate) appended: Vec<Appended>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) roll: Vec<RollChange>,
    /// Devices that left their lists.
    pub(crate) removed: Vec<DeviceId>,
    pub(crate) acknowledged: u64,
    pub(crate) expired: u64,
    /// A sweep left nothing to do.
    pub(crate) is_swept: bool,
    row: Vec<u8>,
    journal: Vec<u8>,
}

impl Out {
    /// Everybody was told.
    pub(crate) fn clear(&mut self) {
        self.settled.clear();
        self.appended.clear();
        self.pending.clear();
        self.roll.clear();
        self.removed.clear();
        self.acknowledged = 0;
        self.expired = 0;
        self.is_swept = false;
    }
}

/// The open batch.
pub(crate) struct Batch<'a> {
    txn: &'a WriteTransaction,
    mailbox: Table<'a, u64, &'static [u8]>,
    state: &'a mut State,
    terms: Terms,
    out: &'a mut Out,
    /// The last sequence used before this batch.
    before: Seq,
    accepted: usize,
    /// Records appended since they were last counted anew.
    appended: usize,
    news: News,
    /// Marks of what was read, since they were last counted anew.
    marks: usize,
    /// Acknowledgements are left for the next batch.
    pub(crate) is_behind: bool,
    changed: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn open(
        txn: &'a WriteTransaction,
        state: &'a mut State,
        terms: Terms,
        out: &'a mut Out,
    ) -> Result<Self, Fault> {
        let mailbox = txn.open_table(tables::MAILBOX)?;
        let before = state.last;
        out.journal.clear();
        Ok(Self {
            txn,
            mailbox,
            state,
            terms,
            out,
            before,
            accepted: 0,
            appended: 0,
            news: News::default(),
            marks: 0,
            is_behind: false,
            changed: false,
        })
    }

    /// Does one task; its answer waits for the batch.
    pub(crate) fn task(&mut self, task: Task) -> Result<(), Fault> {
        let pending = match task {
            Task::Register(registration, reply) => {
                Pending::new(reply, answer(self.register(&registration))?)
            }
            Task::ReplaceList(by, new, reply) => {
                let (list, first_keys) = *new;
                Pending::new(reply, answer(self.replace_list(by, &list, &first_keys))?)
            }
            Task::ChangeGroup(by, change, reply) => {
                Pending::new(reply, answer(self.change_group(by, &change))?)
            }
            Task::GroupRoster(by, group, reply) => {
                Pending::new(reply, answer(self.group_roster(by, group))?)
            }
            Task::NoteRead(by, group, marks, reply) => {
                Pending::new(reply, answer(self.note_read(by, group, &marks))?)
            }
            Task::PublishKeys(device, keys, reply) => {
                Pending::new(reply, answer(self.publish_keys(device, &keys))?)
            }
            Task::TakeKeys(device, one_time, reply) => {
                Pending::new(reply, answer(self.take_keys(device, one_time))?)
            }
            Task::PutInvite(invite, reply) => {
                Pending::new(reply, answer(self.put_invite(&invite))?)
            }
            Task::PutMeta(name, value, reply) => {
                Pending::new(reply, answer(self.put_meta(name, &value))?)
            }
            Task::Sweep(reply) => {
                let swept = self.sweep()?;
                self.out.is_swept = !swept.more;
                Pending::new(reply, Ok::<_, StoreError>(swept))
            }
        };
        self.out.pending.push(pending);
        Ok(())
    }

    /// Counts records from here: whatever came before keeps nothing waiting that comes after.
    pub(crate) fn count_anew(&mut self) {
        self.appended = 0;
        self.marks = 0;
    }

    /// Whether one more task or submission belongs in this batch: changes of groups and posts to them make
    /// many records each, and what was read of many devices writes many rows.
    pub(crate) fn has_room(&self) -> bool {
        self.appended < BATCH_COPIES_MAX && self.marks < BATCH_MARKS_MAX
    }

    /// Writes how far posts have come, the journal and a slice of the windows. Says whether there is anything to sync.
    pub(crate) fn finish(mut self) -> Result<bool, Fault> {
        self.tell_reach()?;
        if self.state.last > self.before {
            self.write_journal()?;
        }
        if self.accepted > 0 {
            self.write_windows()?;
            self.trim_journal()?;
        }
        Ok(self.changed)
    }

    fn write_journal(&mut self) -> Result<(), Fault> {
        let last = self.state.last;
        row::seal_journal(&mut self.out.journal, last);
        let mut journal = self.txn.open_table(tables::JOURNAL)?;
        journal.insert(last.0, self.out.journal.as_slice())?;
        Ok(())
    }

    fn write_windows(&mut self) -> Result<(), Fault> {
        let slice = self.state.windows.slice(self.accepted, self.before);
        if slice.is_empty() {
            return Ok(());
        }
        let mut windows = self.txn.open_table(tables::WINDOW)?;
        for (device, window) in slice {
            let key = tables::device_key(device);
            let row = row::put_window(&key, window.highest(), window.bits());
            windows.insert(&key, row.as_slice())?;
        }
        Ok(())
    }

    fn trim_journal(&mut self) -> Result<(), Fault> {
        let Some(mark) = self.state.windows.trim_up_to() else { return Ok(()) };
        let mut journal = self.txn.open_table(tables::JOURNAL)?;
        for _ in 0..TRIM_ROWS {
            let oldest = journal.first()?.map(|(seq, _)| Seq(seq.value()));
            if oldest.is_none_or(|seq| seq > mark) {
                self.state.windows.trimmed();
                return Ok(());
            }
            journal.pop_first()?;
        }
        Ok(())
    }

    /// The place of the next record.
    fn next_seq(&mut self) -> Seq {
        self.state.last = self.state.last.next(self.terms.now_ms);
        self.state.last
    }

    /// Writes the record whose row lies in `out.row`, and remembers to tell of it.
    fn append(
        &mut self,
        seq: Seq,
        owner: DeviceId,
        load: Load,
        entry: crate::Entry,
    ) -> Result<(), Fault> {
        self.mailbox.insert(seq.0, self.out.row.as_slice())?;
        self.state.index.push(seq, owner, load);
        self.out.appended.push(Appended { device: owner, record: Record { seq, entry } });
        self.appended += 1;
        self.changed = true;
        Ok(())
    }

    /// Deletes a record that the index lists for `owner`; with it goes the body that nobody else waits
    /// for. What it was, and the post that it named.
    fn delete(&mut self, owner: DeviceId, seq: Seq) -> Result<(Kind, Option<Posted>), Fault> {
        let head = {
            let row = self.mailbox.remove(seq.0)?;
            let row = row.ok_or_else(|| Fault::damaged(format!("record {} is gone", seq.0)))?;
            row::record(seq, row.value())?.0
        };
        if head.owner != owner {
            return Err(Fault::damaged(format!("record {} is another device's", seq.0)));
        }
        let load = self.state.load_of(head.kind)?;
        self.state.index.remove(seq, owner, load);
        self.changed = true;
        Ok((head.kind, self.release(head.kind)?))
    }

    /// A record is deleted: the post that it named, if it did, loses a holder, and the last takes the
    /// body along.
    fn release(&mut self, kind: Kind) -> Result<Option<Posted>, Fault> {
        let Kind::Post { post } = kind else { return Ok(None) };
        let posted = self.state.posts.get(post)?;
        if self.state.posts.release(post) {
            self.txn.open_table(tables::POST)?.remove(post.0)?;
        }
        Ok(Some(posted))
    }
}
