//! Everything the writer knows in RAM, and how it is rebuilt from the file.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

use godwit_base::{AccountId, DeviceId, GroupId, Seq};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};

use super::calendar::Calendar;
use super::fault::{Fault, guarded_read};
use super::groups::Groups;
use super::index::{Index, Load};
use super::posts::Posts;
use super::roll::{RollChange, Rolled};
use super::roster::Roster;
use super::row::{self, Head, Kind, Mark};
use super::tables::{self, ReachKey};
use super::window::Window;
use super::windows::Windows;
use crate::Standing;

/// Records that are handed from one thread to the other at once while the mailboxes are read.
const CHUNK_RECORDS: usize = 4_096;

/// Chunks that may wait to be filed: 4 x 4,096 x 72 B = 1.2 MB.
const CHUNKS_AHEAD: usize = 4;

/// The writer's state: a function of what is on disk, plus what the open batch did.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) windows: Windows,
    pub(crate) roster: Roster,
    pub(crate) groups: Groups,
    pub(crate) posts: Posts,
    /// Records of removed devices, waiting for the sweep.
    pub(crate) orphans: VecDeque<Seq>,
    /// The last sequence used.
    pub(crate) last: Seq,
    pub(crate) calendar: Calendar,
    /// The newest clock reading that is on disk, unix milliseconds.
    pub(crate) seen_written_ms: u64,
    /// Where the sweep goes on in the rows of reach.
    pub(crate) reach_swept: Option<ReachKey>,
}

/// Makes a new file one of ours, gives one of an older schema the tables that it lacks, or checks that it
/// is one that we know.
pub(crate) fn prepare(database: &Database) -> Result<(), Fault> {
    match schema_of(database)? {
        Some(schema) if schema >= tables::SCHEMA => return require_schema(schema),
        _ => {} // new, or older: rows of older schemas mean what they meant
    }
    let txn = database.begin_write()?;
    txn.open_table(tables::MAILBOX)?;
    txn.open_table(tables::JOURNAL)?;
    txn.open_table(tables::WINDOW)?;
    txn.open_table(tables::ACCOUNT)?;
    txn.open_table(tables::HANDLE)?;
    txn.open_table(tables::LINK)?;
    txn.open_table(tables::ONE_TIME)?;
    txn.open_table(tables::DEVICE)?;
    txn.open_table(tables::INVITE)?;
    txn.open_table(tables::META)?;
    txn.open_table(tables::DEVICE_SET)?;
    txn.open_table(tables::GROUP)?;
    txn.open_table(tables::GROUP_LOG)?;
    txn.open_table(tables::GROUP_FORMER)?;
    txn.open_table(tables::POST)?;
    txn.open_table(tables::REACH)?;
    txn.open_table(tables::ENGINE)?.insert(tables::SCHEMA_NAME, tables::SCHEMA)?;
    Ok(txn.commit()?)
}

/// Refuses a file that is not a store, or of a newer schema.
pub(crate) fn require_known(database: &Database) -> Result<(), Fault> {
    let schema = schema_of(database)?;
    require_schema(schema.ok_or_else(|| Fault::damaged("the file is not a store"))?)
}

fn require_schema(schema: u64) -> Result<(), Fault> {
    if schema <= tables::SCHEMA { Ok(()) } else { Err(Fault::Newer(schema)) }
}

/// The schema of a file; none if it is new.
fn schema_of(database: &Database) -> Result<Option<u64>, Fault> {
    let engine = match database.begin_read()?.open_table(tables::ENGINE) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other?,
    };
    let schema = engine.get(tables::SCHEMA_NAME)?.map(|guard| guard.value());
    schema
        .map_or_else(|| Err(Fault::damaged("the file names no schema")), |schema| Ok(Some(schema)))
}

/// Reads everything that lives in RAM.
pub(crate) fn load(database: &Database) -> Result<(State, Rolled), Fault> {
    let txn = database.begin_read()?;
    let mut state = State::default();
    state.load_roster(&txn)?;
    state.load_groups(&txn)?;
    state.load_windows(&txn)?;
    state.load_mailboxes(&txn)?;
    let seen = txn.open_table(tables::ENGINE)?.get(tables::SEEN_NAME)?.map(|guard| guard.value());
    state.seen_written_ms = seen.unwrap_or(0);
    state.calendar = Calendar::seen(state.seen_written_ms);
    let mut rolled = load_roll(&txn, &state.windows)?;
    state.groups.sizes().for_each(|(id, size)| rolled.apply(RollChange::Group(id, size)));
    Ok((state, rolled))
}

impl State {
    fn load_roster(&mut self, txn: &ReadTransaction) -> Result<(), Fault> {
        let sets = txn.open_table(tables::DEVICE_SET)?;
        for account in txn.open_table(tables::ACCOUNT)?.iter()? {
            let (id, account) = account?;
            let id = AccountId(id.value());
            let set = sets.get(id.0)?;
            let set = set.map(|row| row::group::number(&id.0.to_be_bytes(), row.value()));
            let list = row::account(id, account.value())?.list;
            self.roster.set(id, &list, set.transpose()?.unwrap_or(0));
        }
        Ok(())
    }

    fn load_groups(&mut self, txn: &ReadTransaction) -> Result<(), Fault> {
        for group in txn.open_table(tables::GROUP)?.iter()? {
            let (id, group) = group?;
            self.groups.set(GroupId(*id.value()), row::group::group(id.value(), group.value())?);
        }
        for post in txn.open_table(tables::POST)?.iter()? {
            let (at, post) = post?;
            let at = Seq(at.value());
            self.posts.insert(at, row::group::post(at, post.value())?.0);
            self.last = self.last.max(at);
        }
        Ok(())
    }

    fn load_windows(&mut self, txn: &ReadTransaction) -> Result<(), Fault> {
        for window in txn.open_table(tables::WINDOW)?.iter()? {
            let (key, window) = window?;
            let (highest, bits) = row::window(key.value(), window.value())?;
            self.windows.load(tables::device_of(key.value())?, Window::new(highest, bits));
        }
        for journal in txn.open_table(tables::JOURNAL)?.iter()? {
            let (seq, accepted) = journal?;
            let seq = Seq(seq.value());
            for (origin, counter) in row::journal(seq, accepted.value())? {
                // A removed device's window is gone and must not come back.
                if self.roster.has(origin) {
                    self.windows.accept(origin, counter);
                }
            }
            self.last = self.last.max(seq);
        }
        Ok(())
    }

    /// One thread reads the rows and checks them, this one files them: most of a start is this table.
    fn load_mailboxes(&mut self, txn: &ReadTransaction) -> Result<(), Fault> {
        let table = txn.open_table(tables::MAILBOX)?;
        let (chunks, read) = sync_channel(CHUNKS_AHEAD);
        std::thread::scope(|scope| {
            let reader = Builder::new().name("store-loader".into());
            let reader = reader
                .spawn_scoped(scope, move || guarded_read(|| read_records(&table, &chunks)))?;
            // Dropped on an error, which ends the reader.
            for chunk in read {
                for (seq, head) in chunk {
                    self.file(seq, &head)?;
                }
            }
            reader.join().unwrap_or_else(|_| Err(Fault::damaged("the mailboxes cannot be read")))
        })
    }

    fn file(&mut self, seq: Seq, head: &Head) -> Result<(), Fault> {
        if let Kind::Post { post } = head.kind {
            self.posts.hold(post)?;
        }
        if self.roster.has(head.owner) {
            let load = self.load_of(head.kind)?;
            self.index.push(seq, head.owner, load);
        } else {
            self.orphans.push_back(seq);
        }
        self.last = self.last.max(seq);
        Ok(())
    }

    /// What a record weighs in its mailbox.
    pub(crate) fn load_of(&self, kind: Kind) -> Result<Load, Fault> {
        Ok(match kind {
            Kind::Message { from, body_bytes, .. } => {
                Load::Message { from: from.account, body_bytes }
            }
            Kind::Post { post } => {
                let posted = self.posts.get(post)?;
                let body_bytes = posted.body_bytes as usize;
                Load::Message { from: posted.from.account, body_bytes }
            }
            Kind::Receipt { by, origin, .. } => Load::Mark(Mark::Receipt { by, origin }),
            Kind::News { group, .. } => Load::Mark(Mark::News(group)),
            Kind::Reached { group, origin, .. } => Load::Mark(Mark::Reach { group, origin }),
        })
    }

    /// A device left its list: it gets nothing more, sends nothing more, and what waits for it goes
    /// with the sweep.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.windows.forget(device);
        self.orphans.append(&mut self.index.forget(device));
    }
}

/// Hands out the records of all mailboxes in order, each checked, until all are or nobody wants more.
fn read_records(
    table: &ReadOnlyTable<u64, &'static [u8]>,
    chunks: &SyncSender<Vec<(Seq, Head)>>,
) -> Result<(), Fault> {
    let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
    for record in table.iter()? {
        let (seq, record) = record?;
        let seq = Seq(seq.value());
        chunk.push((seq, row::record(seq, record.value())?.0));
        if chunk.len() == CHUNK_RECORDS {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_RECORDS));
            if chunks.send(full).is_err() {
                return Ok(());
            }
        }
    }
    // Whoever does not want the last either has said why.
    drop(chunks.send(chunk));
    Ok(())
}

fn load_roll(txn: &ReadTransaction, windows: &Windows) -> Result<Rolled, Fault> {
    let mut rolled = Rolled::default();
    for link in txn.open_table(tables::LINK)?.iter()? {
        let (key, link) = link?;
        let (device, revoked) = row::link(key.value(), link.value())?;
        let standing = if revoked { Standing::Revoked(device) } else { Standing::Device(device) };
        rolled.apply(RollChange::Link(*key.value(), standing));
    }
    for key in txn.open_table(tables::ONE_TIME)?.iter()? {
        rolled.count_one_time(tables::device_of(key?.0.value())?);
    }
    for (device, counter) in windows.highest() {
        rolled.apply(RollChange::Accepted(device, counter));
    }
    Ok(rolled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    /// A file with so many messages to a device that nobody lists, some of them replaced.
    fn file(records: usize, replaced: &[(usize, &[u8])]) -> Database {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        prepare(&database).unwrap();
        let txn = database.begin_write().unwrap();
        {
            let mut mailbox = txn.open_table(tables::MAILBOX).unwrap();
            let (gone, from) = (DeviceId::new(1, 1), DeviceId::new(2, 1));
            let mut row = Vec::new();
            for at in 0..records {
                let seq = Seq(1 + at as u64);
                row::put_message(&mut row, seq, gone, from, seq.0, b"hi");
                mailbox.insert(seq.0, row.as_slice()).unwrap();
            }
            for (at, row) in replaced {
                mailbox.insert(1 + *at as u64, *row).unwrap();
            }
        }
        txn.commit().unwrap();
        database
    }

    #[test]
    fn every_record_is_filed_once_and_in_order() {
        let chunks = CHUNK_RECORDS * (CHUNKS_AHEAD + 2);
        for records in [0, 1, CHUNK_RECORDS - 1, CHUNK_RECORDS, CHUNK_RECORDS + 1, chunks] {
            let (state, _) = load(&file(records, &[])).unwrap();
            assert!(state.orphans.iter().map(|seq| seq.0).eq(1..=records as u64), "{records}");
            assert_eq!(state.last, Seq(records as u64));
        }
    }

    #[test]
    fn what_the_reader_finds_is_told() {
        let records = CHUNK_RECORDS + 2;
        let error = load(&file(records, &[(records - 1, b"not a row")])).unwrap_err();
        assert_eq!(error, Fault::damaged("a record row fails its checksum"));
    }

    /// The reader is far ahead then, and must not wait for room that never comes.
    #[test]
    fn what_cannot_be_filed_ends_the_reader() {
        let mut row = Vec::new();
        row::group::put_holding(&mut row, Seq(1), DeviceId::new(1, 1), Seq(9));
        let error = load(&file(CHUNK_RECORDS * (CHUNKS_AHEAD + 4), &[(0, &row)])).unwrap_err();
        assert!(matches!(error, Fault::Damaged(_)), "{error:?}");
    }
}
