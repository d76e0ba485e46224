//! Writes and syncs that fail: waiters are told, the engine opens the file anew by itself.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Wake};

use bytes::Bytes;
use godwit_base::Seq;
use godwit_store::conformance::{Event, World, block_on};
use godwit_store::{KeyUpload, KeysError, OpenError, Outcome, StoreError};

use crate::disk::Faults;
use crate::{Bench, open};

/// One failure: its batch is refused, the next one is stored, without a restart, and nothing is there
/// twice whatever the failed sync left on the disk.
fn one_failure(fault: fn(&mut Faults)) {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    world.settle_down();
    world.events();
    disk.set(fault);
    let failed = world.send(from, 2, vec![bob.copies(from, "two")]);
    assert_eq!(failed, Outcome::Unavailable);
    disk.heal();
    // A second failure in a row would pause the writing for a moment; the client asks again anyway.
    let again = loop {
        match world.send(from, 2, vec![bob.copies(from, "two")]) {
            Outcome::Unavailable => {}
            outcome => break outcome,
        }
    };
    let handed_over = match again {
        Outcome::Accepted { .. } => 1,
        Outcome::Repeated { .. } => 0,
        other => panic!("{other:?}"),
    };
    world.settle_down();
    let events = world.events();
    let appended = events.iter().filter(|event| matches!(event, Event::Appended(_))).count();
    assert_eq!(appended, handed_over, "nothing for the failed batch");
    // What the failed batch left in the mailbox was never told: whoever reads live must look again
    // before anything newer is told.
    let missed = events.iter().position(|event| *event == Event::Missed);
    let settled = events.iter().rposition(|event| matches!(event, Event::Settled(_)));
    assert!(missed.is_some() && missed < settled, "{events:?}");
    assert_eq!(world.mailbox(bob.device(1)).len(), 2);
    let stats = world.store().stats();
    assert!(stats.reopened >= 1 && stats.available);
    world.reopen();
    assert_eq!(world.mailbox(bob.device(1)).len(), 2);
}

#[test]
fn a_failed_sync_fails_its_waiters_and_the_engine_goes_on() {
    one_failure(|faults| faults.sync = Some(ErrorKind::Other));
}

#[test]
fn a_failed_write_fails_its_waiters_and_the_engine_goes_on() {
    one_failure(|faults| faults.write = Some(ErrorKind::Other));
}

/// A key whose deletion failed is not given out; whether it is lost or not, it is given out once.
#[test]
fn a_task_in_a_failed_batch_is_refused() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let world = World::new(&mut bench);
    let bob = world.person(2, 1).device(1);
    let keys = KeyUpload { one_time: vec![(1, Bytes::from("k"))], fallback: None };
    block_on(world.store().publish_keys(bob, keys)).unwrap();
    disk.set(|faults| faults.sync = Some(ErrorKind::Other));
    let failed = block_on(world.store().take_keys(bob, true));
    assert_eq!(failed, Err(KeysError::Store(StoreError::Unavailable)));
}

/// A panic that no batch catches: the writer's thread is gone, which is told, and a new one goes on.
#[test]
fn a_writer_that_ended_is_noticed_and_started_anew() {
    struct Poison;
    impl Wake for Poison {
        fn wake(self: Arc<Self>) {
            panic!("whoever waited for this answer panics in the writer's thread");
        }
    }
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    let ended = world.store().watch_writer();
    disk.set(|faults| faults.hold_syncs = true);
    let mut answer = world.store().put_meta("poisoned", Bytes::from("value"));
    let waker = Arc::new(Poison).into();
    assert!(answer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    disk.heal();
    assert_eq!(block_on(ended), Err(StoreError::Unavailable));
    let _ended_again = world.store().watch_writer();
    world.text(from, 2, &bob);
    assert_eq!(world.mailbox(bob.device(1)).len(), 2);
    let meta = block_on(world.store().meta("poisoned"));
    assert_eq!(meta, Ok(Some(Bytes::from("value"))), "its batch was durable before the panic");
}

/// The disk stays broken for some batches: all are refused. Then it heals, and what was acknowledged meanwhile is
/// deleted, with a receipt, although nobody says it again.
#[test]
fn writes_come_back_after_many_failures() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    let last = world.mailbox(bob.device(1))[0].seq;
    disk.set(|faults| faults.write = Some(ErrorKind::Other));
    for _ in 0..5 {
        assert_eq!(world.send(from, 2, vec![bob.copies(from, "x")]), Outcome::Unavailable);
        world.store().acknowledge(bob.device(1), last).unwrap();
    }
    disk.heal();
    while world.send(from, 2, vec![bob.copies(from, "x")]) == Outcome::Unavailable {}
    assert_eq!(world.mailbox(bob.device(1)).len(), 1, "what was acknowledged is gone");
    assert_eq!(world.mailbox(from).len(), 1, "its receipt");
}

/// The file cannot even be opened: everything is refused, and it is tried again without being asked.
#[test]
fn a_file_that_cannot_be_opened_is_tried_again() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    disk.set(|faults| {
        faults.sync = Some(ErrorKind::Other);
        faults.open = true;
    });
    assert_eq!(world.send(from, 2, vec![bob.copies(from, "x")]), Outcome::Unavailable);
    let read = || block_on(world.store().read(bob.device(1), Seq::ZERO, 10, 10));
    assert_eq!(read(), Err(StoreError::Unavailable));
    assert!(!world.store().stats().available);
    disk.heal();
    while !world.store().stats().available {
        std::thread::yield_now();
    }
    assert!(!world.mailbox(bob.device(1)).is_empty());
}

/// At start there is nobody to serve: the caller is told.
#[test]
fn a_store_that_cannot_be_opened_says_so() {
    struct Deaf;
    impl godwit_store::Sink for Deaf {
        fn settled(&self, _: &[godwit_store::Settled]) {}
        fn appended(&self, _: &[godwit_store::Appended]) {}
        fn missed(&self) {}
    }
    let bench = Bench::new();
    bench.disk.set(|faults| faults.open = true);
    let refused = open(bench.dir.path(), &bench.options, Arc::new(Deaf));
    assert!(matches!(refused, Err(OpenError::Io { .. })));
}
