//! Files that are not as they were written: an error, never a wrong value, never a panic.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use godwit_base::ManualClock;
use godwit_store::conformance::{Ground, Setting, World, block_on};
use godwit_store::{
    Embedded, Entry, OpenError, Operations, Options, Quotas, Record, Sink, Store, StoreError,
};

const PEOPLE: u8 = 40;

/// Bytes of a spot that is looked at when choosing what to damage.
const SPOT: usize = 256;

/// Spots that are damaged, about.
const SPOTS: usize = 150;

struct Folder<'a>(&'a Path);

impl Ground for Folder<'_> {
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store> {
        let mut options = Options::default();
        options.clock = Arc::new(setting.clock.clone());
        Arc::new(Embedded::open(self.0, options, sink).unwrap())
    }
}

struct Deaf;

impl Sink for Deaf {
    fn settled(&self, _: &[godwit_store::Settled]) {}
    fn appended(&self, _: &[godwit_store::Appended]) {}
    fn missed(&self) {}
}

/// A closed store with a mailbox for each person, and what is in them.
fn written(dir: &Path) -> Vec<(godwit_base::DeviceId, Vec<Record>)> {
    let mut folder = Folder(dir);
    let mut world = World::new(&mut folder);
    let people: Vec<_> = (1..=PEOPLE).map(|n| world.person(n, 1)).collect();
    let mut counter = 0;
    for to in &people {
        for from in people.iter().take(10) {
            counter += 1;
            if from.account != to.account {
                world.text(from.device(1), counter, to);
            }
        }
    }
    block_on(world.store().put_meta("key", Bytes::from(vec![5; 50_000]))).unwrap();
    let read = people.iter().map(|to| (to.device(1), world.mailbox(to.device(1)))).collect();
    world.store().close();
    read
}

fn open(dir: &Path, verify_pages: bool) -> Result<Embedded, OpenError> {
    let mut options = Options::default();
    options.clock = Arc::new(ManualClock::at(1_800_000_000_000));
    options.verify_pages_on_open = verify_pages;
    options.quotas = Quotas::default();
    Embedded::open(dir, options, Arc::new(Deaf))
}

fn file(dir: &Path) -> std::path::PathBuf {
    dir.join("store.redb")
}

/// Cut short anywhere.
#[test]
fn a_truncated_file_is_told_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let whole = fs::read(file(dir.path())).unwrap();
    for percent in [1, 5, 20, 50, 80, 99] {
        fs::write(file(dir.path()), &whole[..whole.len() * percent / 100]).unwrap();
        let opened = open(dir.path(), true);
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{percent} %: {opened:?}");
    }
    fs::write(file(dir.path()), &whole).unwrap();
    open(dir.path(), true).unwrap();
}

/// Something else altogether.
#[test]
fn a_foreign_file_is_told_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(file(dir.path()), "this is not a store".repeat(1_000)).unwrap();
    let opened = open(dir.path(), true);
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
}

/// 16 bytes changed somewhere: the store does not open, or everything in it is as it was written.
#[test]
fn changed_bytes_are_found_when_opening() {
    let dir = tempfile::tempdir().unwrap();
    let records = written(dir.path());
    let (mut found, mut harmless) = (0, 0);
    each_damage(dir.path(), |dir| match open(dir, true) {
        Err(OpenError::Damaged { .. }) => found += 1,
        Err(other) => panic!("{other:?}"),
        Ok(store) => {
            assert_eq!(wrong(&store, &records), Vec::<String>::new());
            harmless += 1;
        }
    });
    assert!(found > 50, "found {found}, harmless {harmless}");
}

/// Without the check at opening, each row is still checked when it is read.
#[test]
fn changed_bytes_are_found_when_reading() {
    let dir = tempfile::tempdir().unwrap();
    let records = written(dir.path());
    let (mut found, mut harmless) = (0, 0);
    each_damage(dir.path(), |dir| match open(dir, false) {
        Err(OpenError::Damaged { .. }) => found += 1,
        Err(other) => panic!("{other:?}"),
        Ok(store) => {
            let wrong = wrong(&store, &records);
            let verified = block_on(Operations::verify(&store));
            match (&wrong[..], verified) {
                ([], Ok(_)) => harmless += 1,
                (_, Err(StoreError::Damaged(_))) => found += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(found > 50, "found {found}, harmless {harmless}");
}

/// Alters the file in many places, one at a time.
fn each_damage(dir: &Path, mut look: impl FnMut(&Path)) {
    let path = file(dir);
    let whole = fs::read(&path).unwrap();
    // Where nothing was ever written there is nothing to damage.
    let written: Vec<usize> = (0..whole.len() / SPOT)
        .filter(|spot| whole[spot * SPOT..][..SPOT].iter().any(|byte| *byte != 0))
        .collect();
    for spot in written.iter().step_by((written.len() / SPOTS).max(1)) {
        fs::write(&path, &whole).unwrap();
        // Not aligned, so that headers, keys and bodies are hit in turn.
        let at = spot * SPOT + spot * 7 % (SPOT - 16);
        let damaged: Vec<u8> = whole[at..][..16].iter().map(|byte| !byte).collect();
        let open = OpenOptions::new().write(true).open(&path).unwrap();
        open.write_all_at(&damaged, at as u64).unwrap();
        drop(open);
        look(dir);
    }
}

/// Mailboxes that answer something else than was written. An error is not wrong.
fn wrong(store: &Embedded, records: &[(godwit_base::DeviceId, Vec<Record>)]) -> Vec<String> {
    use godwit_store::Mailboxes;
    let mut wrong = Vec::new();
    for (device, written) in records {
        let page = store.read(*device, godwit_base::Seq::ZERO, usize::MAX, usize::MAX);
        match block_on(page) {
            Err(StoreError::Damaged(_)) => {}
            Ok(page) if page.records == *written => {}
            other => wrong.push(format!("{device}: {other:?}")),
        }
    }
    wrong
}

/// Two processes, or two doors, on one folder.
#[test]
fn a_store_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), true).unwrap();
    assert!(matches!(open(dir.path(), true), Err(OpenError::Locked(_))));
    drop(first);
    open(dir.path(), true).unwrap();
}

/// A downgrade must not misread.
#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), true).unwrap());
    let engine: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("engine");
    let database = redb::Database::open(file(dir.path())).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(engine).unwrap().insert("schema", 4).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert!(matches!(open(dir.path(), true), Err(OpenError::Newer { found: 4, known: 3, .. })));
}

/// Makes a file what the first version wrote: without groups.
fn without_groups(file: &Path) {
    use redb::TableDefinition as Table;
    let database = redb::Database::open(file).unwrap();
    let txn = database.begin_write().unwrap();
    let gone = [
        txn.delete_table(Table::<'_, u64, &[u8]>::new("device_set")),
        txn.delete_table(Table::<'_, &[u8; 16], &[u8]>::new("group")),
        txn.delete_table(Table::<'_, &[u8; 24], &[u8]>::new("group_log")),
        txn.delete_table(Table::<'_, &[u8; 24], &[u8]>::new("group_former")),
        txn.delete_table(Table::<'_, u64, &[u8]>::new("post")),
        txn.delete_table(Table::<'_, &[u8; 28], &[u8]>::new("reach")),
    ];
    assert!(gone.into_iter().all(|gone| gone.unwrap()));
    txn.open_table(Table::<'_, &str, u64>::new("engine")).unwrap().insert("schema", 1).unwrap();
    txn.commit().unwrap();
}

/// An upgrade keeps what there was, in place and from a backup.
#[test]
fn an_older_schema_is_given_the_tables_that_it_lacks() {
    use godwit_store::Operations;
    let root = tempfile::tempdir().unwrap();
    let (dir, restored) = (root.path().join("old"), root.path().join("restored"));
    let records = written(&dir);
    without_groups(&file(&dir));
    godwit_store::restore(&file(&dir), &restored).unwrap();
    for dir in [&dir, &restored] {
        let store = open(dir, true).unwrap();
        assert_eq!(wrong(&store, &records), Vec::<String>::new());
        assert_eq!(store.stats().groups, 0);
        block_on(store.verify()).unwrap();
    }
    open(&dir, true).unwrap();
}

/// The pattern above really compares: another body is seen.
#[test]
fn a_wrong_body_would_be_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = written(dir.path());
    let store = open(dir.path(), true).unwrap();
    let Entry::Message { body, .. } = &mut records[3].1[2].entry else { panic!("a receipt") };
    *body = Bytes::from("something else");
    assert_eq!(wrong(&store, &records).len(), 1);
}

/// Reads everything once, so many rows at a time. Rows read, damaged ones, and what is said of the first.
fn scrubbed(store: &Embedded, rows: u32) -> (u32, u32, Option<String>) {
    let (mut read, mut damaged, mut what) = (0, 0, None);
    loop {
        let slice = block_on(store.scrub(rows)).unwrap();
        assert!(slice.rows <= rows, "{slice:?}");
        assert!(slice.is_whole || slice.rows == rows || slice.damaged > 0, "{slice:?}");
        read += slice.rows;
        damaged += slice.damaged;
        what = what.or(slice.what);
        if slice.is_whole {
            return (read, damaged, what);
        }
    }
}

#[test]
fn the_scrubber_reads_each_row_once_a_time_whatever_its_slices() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let store = open(dir.path(), true).unwrap();
    // The engine's own numbers have no checksum: all others are read.
    let rows = u32::try_from(block_on(store.verify()).unwrap().rows).unwrap();
    let engine = rows - scrubbed(&store, u32::MAX).0;
    assert!((1..=2).contains(&engine), "{engine}");
    for slice in [1, 7, 100] {
        assert_eq!(scrubbed(&store, slice), (rows - engine, 0, None), "{slice} rows at a time");
    }
    let stats = store.stats();
    assert_eq!((stats.scrubs, stats.scrub_damaged), (4, 0));
    assert_eq!(stats.scrubbed, 4 * u64::from(rows - engine));
}

#[test]
fn the_scrubber_finds_a_row_that_has_changed_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let file = file(dir.path());
    let bytes = fs::read(&file).unwrap();
    // One byte of a value of 50,000 equal ones, wherever the file has it.
    let begins = |at: &usize| bytes[*at - 1] != 5 && bytes[*at..].starts_with(&[5; SPOT]);
    let damaged = OpenOptions::new().write(true).open(&file).unwrap();
    for at in (1..bytes.len()).filter(begins) {
        damaged.write_all_at(&[6], u64::try_from(at + 100).unwrap()).unwrap();
    }
    let store = open(dir.path(), false).unwrap();
    let (rows, damaged, what) = scrubbed(&store, 10);
    assert!(rows > 100, "{rows}");
    assert_eq!(damaged, 1);
    assert!(what.is_some());
    assert!(matches!(block_on(store.verify()), Err(StoreError::Damaged(_))));
}
