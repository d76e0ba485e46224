//! Nothing is told before it is durable, and nothing touches the disk that need not.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use godwit_base::Seq;
use godwit_store::conformance::{World, block_on};
use godwit_store::{Answer, KeyUpload, Outcome, Page};

use crate::Bench;

fn is_pending<T, E>(answer: &mut Answer<T, E>) -> bool {
    answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// M1: the sync is held; no tick, no hand-over, no page shows the record. Then it is let go.
#[test]
fn nothing_is_told_before_the_sync_returns() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    world.settle_down();
    world.events();

    disk.set(|faults| faults.hold_syncs = true);
    let first = world.submit(from, 2, vec![bob.copies(from, "held")]);
    disk.wait_for_held_sync();
    let repeat = world.submit(from, 2, vec![bob.copies(from, "held")]);
    let mut page = world.store().read(bob.device(1), Seq::ZERO, 10, 100);
    assert!(is_pending(&mut page));
    assert!(!world.is_settled(first) && !world.is_settled(repeat));
    assert_eq!(world.store().highest_counter(from), 1, "of what is durable");
    assert_eq!(world.events(), []);

    disk.heal();
    assert!(matches!(world.outcome(first), Outcome::Accepted { .. }));
    assert!(matches!(world.outcome(repeat), Outcome::Repeated { .. }));
    assert_eq!(world.store().highest_counter(from), 2);
    assert_eq!(block_on(page).unwrap().records.len(), 2);
    assert_eq!(world.appended(bob.device(1)).len(), 1);
}

/// M9: the key is deleted durably before it is given out.
#[test]
fn a_one_time_key_is_not_given_out_before_the_sync_returns() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let world = World::new(&mut bench);
    let bob = world.person(2, 1).device(1);
    let keys = KeyUpload { one_time: vec![(1, Bytes::from("k"))], fallback: None };
    block_on(world.store().publish_keys(bob, keys)).unwrap();
    disk.set(|faults| faults.hold_syncs = true);
    let mut taken = world.store().take_keys(bob, true);
    disk.wait_for_held_sync();
    assert!(is_pending(&mut taken));
    assert_eq!(world.store().one_time_left(bob), 1, "the count is of what is durable");
    disk.heal();
    assert_eq!(block_on(taken).unwrap().one_time, Some(Bytes::from("k")));
    assert_eq!(world.store().one_time_left(bob), 0);
}

/// What waits during a sync is one batch: two syncs for a thousand messages, not a thousand.
#[test]
fn a_batch_is_what_arrived_during_the_last_sync() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    disk.set(|faults| faults.hold_syncs = true);
    let first = world.submit(from, 1, vec![bob.copies(from, "")]);
    disk.wait_for_held_sync();
    let before = (disk.counts().syncs, world.store().stats().batches);
    let rest: Vec<_> = (2..=1_000)
        .map(|counter| world.submit(from, counter, vec![bob.copies(from, "")]))
        .collect();
    disk.heal();
    for token in [first].into_iter().chain(rest) {
        assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
    }
    assert_eq!(world.store().stats().batches - before.1, 2);
    assert_eq!(disk.counts().syncs - before.0, 2, "one sync a batch");
}

/// A refusal or a repeat changes nothing, so it costs no sync.
#[test]
fn what_stores_nothing_syncs_nothing() {
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    let before = disk.counts().syncs;
    assert!(matches!(world.send(from, 1, vec![bob.copies(from, "")]), Outcome::Repeated { .. }));
    assert_eq!(world.send(from, 0, vec![bob.copies(from, "")]), Outcome::Malformed);
    world.store().acknowledge(from, Seq::ZERO).unwrap();
    world.settle_down();
    assert_eq!(disk.counts().syncs, before);
}

/// Three of four mailboxes that are opened are empty: all that a login asks of one is answered from RAM,
/// and while the writer is in the middle of a sync.
#[test]
fn an_empty_mailbox_opens_without_the_disk() {
    let mut bench = Bench::new();
    bench.options.cache_bytes = 0; // what is read of the file comes from the disk
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let (from, device) = (alice.device(1), bob.device(1));
    world.text(from, 1, &bob);
    world.acknowledge_all(device);
    let open = |world: &World<'_>| {
        let store = world.store();
        store.standing(&[7; 32]);
        assert!(!store.is_removed(device));
        store.highest_counter(device);
        store.one_time_left(device);
        let page = block_on(store.read(device, Seq::ZERO, 256, 64 * 1_024)).unwrap();
        (page.records.len(), page.more)
    };
    let before = disk.counts();
    for _ in 0..100 {
        assert_eq!(open(&world), (0, false));
    }
    assert_eq!(disk.counts(), before);
    disk.set(|faults| faults.hold_syncs = true);
    let token = world.submit(from, 2, vec![bob.copies(from, "")]);
    disk.wait_for_held_sync();
    let mut page = world.store().read(device, Seq::ZERO, 256, 64 * 1_024);
    let answered = page.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    disk.heal(); // before anything is found wrong: nobody can close a disk that stands still
    assert_eq!(answered, Poll::Ready(Ok(Page::default())), "what is not durable is not there");
    assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
    let before = disk.counts();
    assert_eq!(open(&world), (1, false));
    assert!(disk.counts().reads > before.reads, "what is there is read");
}
