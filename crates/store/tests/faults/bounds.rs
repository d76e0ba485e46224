//! Queues that fill up, journals that grow, sinks that panic.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_base::limits::GROUP_READ_MARKS_MAX;
use godwit_base::{DeviceId, GroupId, Seq};
use godwit_store::conformance::{Person, World, block_on};
use godwit_store::{
    Appended, Disk, Full, GroupChange, GroupPost, Mailboxes, Operations, Outcome, PostRead, Quotas,
    Reached, Role, Settled, Sink, StoreError, Submission, Token,
};
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};

use crate::disk::SimDisk;
use crate::{Bench, open};

/// M8: while the disk stands still the queue fills and says so; everything taken is settled.
#[test]
fn a_full_queue_says_so_and_loses_nothing() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::with(&mut bench, Quotas { records: 100_000, ..Quotas::default() });
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    disk.set(|faults| faults.hold_syncs = true);
    let first = world.submit(from, 1, vec![bob.copies(from, "")]);
    disk.wait_for_held_sync();
    let tokens: Vec<_> = (2..=16_385)
        .map(|counter| world.submit(from, counter, vec![bob.copies(from, "")]))
        .collect();
    let recipients = vec![bob.copies(from, "")];
    let one_more =
        Submission { origin: from, counter: 16_386, recipients, post: None, token: Token(0) };
    assert_eq!(world.store().submit(one_more), Err(Full));
    assert_eq!(world.store().stats().waiting, 16_384);
    disk.heal();
    for token in [first].into_iter().chain(tokens) {
        assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
    }
    world.text(from, 16_386, &bob);
}

/// Reads and acknowledgements have their own queue, which fills likewise.
#[test]
fn reads_are_bounded_too() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob); // what is empty is told without the queue
    disk.set(|faults| faults.hold_syncs = true);
    world.submit(alice.device(1), 2, vec![bob.copies(alice.device(1), "")]);
    disk.wait_for_held_sync();
    for _ in 0..65_536 {
        world.store().acknowledge(bob.device(1), Seq::ZERO).unwrap();
    }
    assert_eq!(world.store().acknowledge(bob.device(1), Seq::ZERO), Err(Full));
    let read = block_on(world.store().read(bob.device(1), Seq::ZERO, 1, 1));
    assert_eq!(read, Err(StoreError::Busy));
    disk.heal();
    while world.store().acknowledge(bob.device(1), Seq::ZERO).is_err() {}
}

/// An acknowledgement of very much is done in several batches; one that just fits in one.
#[test]
fn a_batch_deletes_so_many_records_and_the_next_the_rest() {
    const BATCH_DELETES_MAX: u64 = 8_192;
    let mut bench = Bench::new();
    let mut world = World::with(&mut bench, Quotas { records: 20_000, ..Quotas::default() });
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let (from, mut counter) = (alice.device(1), 0);
    for (records, batches) in [(BATCH_DELETES_MAX, 1), (BATCH_DELETES_MAX + 1, 2)] {
        let tokens: Vec<_> = (0..records)
            .map(|_| {
                counter += 1;
                world.submit(from, counter, vec![bob.copies(from, "")])
            })
            .collect();
        for token in tokens {
            assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
        }
        let before = world.store().stats();
        world.acknowledge(bob.device(1), Seq(u64::MAX));
        let after = world.store().stats();
        assert_eq!(after.acknowledged - before.acknowledged, records);
        assert_eq!(after.batches - before.batches, batches);
    }
}

/// What was read counts as far as it was acknowledged: while acknowledgements are left for the next batch
/// nobody can say how far that is.
#[test]
fn what_is_read_waits_for_the_acknowledgements_before_it() {
    const BATCH_DELETES_MAX: u64 = 8_192;
    for (records, answer) in
        [(BATCH_DELETES_MAX, Ok(())), (BATCH_DELETES_MAX + 1, Err(StoreError::Busy))]
    {
        let mut bench = Bench::new();
        let disk = bench.disk.clone();
        let mut world = World::with(&mut bench, Quotas { records: 20_000, ..Quotas::default() });
        let (alice, bob) = (world.person(1, 1), world.person(2, 1));
        let from = alice.device(1);
        let tokens: Vec<_> = (1..=records)
            .map(|counter| world.submit(from, counter, vec![bob.copies(from, "")]))
            .collect();
        for token in tokens {
            assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
        }
        disk.set(|faults| faults.hold_syncs = true);
        world.submit(bob.device(1), 1, vec![alice.copies(bob.device(1), "")]);
        disk.wait_for_held_sync();
        world.store().acknowledge(bob.device(1), Seq(u64::MAX)).unwrap();
        let mark = PostRead { author: from, up_to: 1 };
        let noted = world.store().note_read(bob.account, GroupId([7; 16]), vec![mark]);
        disk.heal();
        assert_eq!(block_on(noted), answer, "{records} records");
    }
}

/// Posts of alice to a group that has bob in it.
fn posts(world: &mut World<'_>, alice: &Person, bob: &Person, counters: RangeInclusive<u64>) {
    let (from, group) = (alice.device(1), GroupId([7; 16]));
    let first = GroupChange {
        group,
        epoch: 1,
        signed: "entry".into(),
        members: vec![(alice.account, Some(Role::Admin)), (bob.account, Some(Role::Member))],
        settings: None,
        shows: None,
    };
    block_on(world.store().change_group(from, first)).unwrap();
    let post = GroupPost { group, epoch: 1, devices_version: 0, body: "post".into() };
    for counter in counters {
        let outcome = world.post(from, counter, vec![], post.clone());
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
}

/// It is had first, then read, though one batch hears of both.
#[test]
fn what_is_acknowledged_and_read_in_one_breath_is_counted() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let (from, group) = (alice.device(1), GroupId([7; 16]));
    posts(&mut world, &alice, &bob, 1..=1);
    world.settle_down();
    disk.set(|faults| faults.hold_syncs = true);
    world.submit(bob.device(1), 1, vec![alice.copies(bob.device(1), "")]);
    disk.wait_for_held_sync();
    let before = world.store().stats().batches;
    world.store().acknowledge(bob.device(1), Seq(u64::MAX)).unwrap();
    let mark = PostRead { author: from, up_to: 1 };
    let noted = world.store().note_read(bob.account, group, vec![mark]);
    disk.heal();
    block_on(noted).unwrap();
    assert_eq!(world.store().stats().batches - before, 2, "that of the submission, and one");
    let reached = block_on(world.store().group_progress(alice.account, group, from.number, 1));
    assert_eq!(reached, Ok(vec![Reached { account: bob.account, up_to: 1, read_up_to: 1 }]));
}

/// A thousand readers are a batch, however many of them there are in one row.
#[test]
fn a_batch_takes_so_many_marks_and_the_next_the_rest() {
    const BATCH_MARKS_MAX: usize = 1_024;
    for (requests, batches) in [
        (BATCH_MARKS_MAX / GROUP_READ_MARKS_MAX, 1),
        (BATCH_MARKS_MAX / GROUP_READ_MARKS_MAX + 1, 2),
    ] {
        let mut bench = Bench::new();
        let disk = bench.disk.clone();
        let mut world = World::new(&mut bench);
        let (alice, bob) = (world.person(1, 1), world.person(2, 1));
        let (from, group) = (alice.device(1), GroupId([7; 16]));
        let counters = 1..=requests as u64;
        posts(&mut world, &alice, &bob, counters.clone());
        world.acknowledge_all(bob.device(1));
        world.settle_down();
        disk.set(|faults| faults.hold_syncs = true);
        world.submit(bob.device(1), 1, vec![alice.copies(bob.device(1), "")]);
        disk.wait_for_held_sync();
        let before = world.store().stats().batches;
        let noted: Vec<_> = counters
            .map(|up_to| {
                let marks = vec![PostRead { author: from, up_to }; GROUP_READ_MARKS_MAX];
                world.store().note_read(bob.account, group, marks)
            })
            .collect();
        disk.heal();
        noted.into_iter().for_each(|noted| block_on(noted).unwrap());
        let after = world.store().stats().batches;
        assert_eq!(after - before, 1 + batches, "that of the submission, and theirs");
    }
}

/// Windows reach their own table and the journal is dropped behind them; a restart knows every counter.
#[test]
fn the_journal_stays_short_and_windows_are_remembered() {
    const EACH: u64 = 450;
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::with(&mut bench, Quotas { records: 1_000_000, ..Quotas::default() });
    let bob = world.person(99, 1);
    let people: Vec<_> = (1..=20).map(|n| world.person(n, 8)).collect();
    let senders: Vec<DeviceId> =
        people.iter().flat_map(|person| (1..=8).map(|number| person.device(number))).collect();
    for counter in 1..=EACH {
        let send = |from: &DeviceId| world.submit(*from, counter, vec![bob.copies(*from, "")]);
        let tokens: Vec<_> = senders.iter().map(send).collect();
        for token in tokens {
            assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
        }
    }
    let batches = world.store().stats().batches;
    world.store().close();
    let accepted = EACH * senders.len() as u64;
    assert!(accepted > 65_536, "enough for one round");
    let (windows, journal) = rows(&disk);
    assert_eq!(windows, senders.len() as u64);
    assert!(journal * 3 < batches, "{journal} rows are left of {batches} batches");

    world.reopen();
    for from in senders {
        let mut again = |counter| world.send(from, counter, vec![bob.copies(from, "")]);
        assert_eq!(again(EACH - 128), Outcome::CounterTooOld);
        assert!(matches!(again(EACH - 127), Outcome::Repeated { .. }));
        assert!(matches!(again(EACH), Outcome::Repeated { .. }));
        assert!(matches!(again(EACH + 1), Outcome::Accepted { .. }));
    }
}

/// Rows of the tables of windows and of the journal.
fn rows(disk: &SimDisk) -> (u64, u64) {
    let windows: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("window");
    let journal: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
    let database = disk.open(&redb::Builder::new(), Path::new("")).unwrap();
    let txn = database.begin_read().unwrap();
    let windows = txn.open_table(windows).unwrap().len().unwrap();
    (windows, txn.open_table(journal).unwrap().len().unwrap())
}

/// A bug on the other side of the sink must not stop the store.
#[test]
fn a_sink_that_panics_does_not_end_the_writer() {
    #[derive(Default)]
    struct Clumsy(AtomicUsize, AtomicUsize);
    impl Sink for Clumsy {
        fn settled(&self, settled: &[Settled]) {
            self.0.fetch_add(settled.len(), Ordering::SeqCst);
            panic!("clumsy");
        }
        fn appended(&self, _: &[Appended]) {}
        fn missed(&self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            panic!("clumsy again");
        }
    }
    let bench = Bench::new();
    let clumsy = Arc::new(Clumsy::default());
    let sink = Arc::clone(&clumsy);
    let store = open(bench.dir.path(), &bench.options, sink).unwrap();
    for counter in 1..=3 {
        let origin = DeviceId::new(1, 1);
        let nobody = Submission {
            origin,
            counter,
            recipients: Vec::new(),
            post: None,
            token: Token(counter),
        };
        store.submit(nobody).unwrap();
    }
    store.close();
    assert_eq!(clumsy.0.load(Ordering::SeqCst), 3);
    assert!(clumsy.1.load(Ordering::SeqCst) >= 1, "it is told that it missed something");
}
