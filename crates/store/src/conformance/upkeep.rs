//! Expiry, the server's own values, counts, verification, closing.

use bytes::Bytes;
use godwit_base::Seq;

use super::Ground;
use super::world::{NOW_MS, World, block_on};
use crate::{
    Full, META_BYTES_MAX, Outcome, Quotas, StoreError, Submission, Swept, Token, VerifyReport, Who,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Lets days pass as a running server sees them: a sweep each half day.
fn pass_days(world: &World<'_>, days: u64) -> Vec<Swept> {
    let half_day = |_| {
        world.setting.clock.advance(DAY_MS / 2);
        block_on(world.store().sweep()).unwrap()
    };
    (0..days * 2).map(half_day).collect()
}

/// M2: both sides of the thirtieth day, messages and receipts alike.
pub fn old_records_expire_and_young_ones_stay(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    world.acknowledge_all(bob.device(1));
    world.text(alice.device(1), 2, &bob);
    world.setting.clock.advance(1);
    world.text(alice.device(1), 3, &bob);
    world.setting.clock.set(NOW_MS);
    let swept = pass_days(&world, 30);
    assert!(swept.iter().all(|swept| *swept == Swept::default()), "{swept:?}");
    world.setting.clock.advance(1);
    let swept = block_on(world.store().sweep()).unwrap();
    assert_eq!(swept, Swept { expired: 2, ..Swept::default() });
    assert_eq!(world.mailbox(bob.device(1)).len(), 1);
    assert!(world.mailbox(alice.device(1)).is_empty(), "nobody is told of what expired");
    world.reopen();
    assert_eq!(world.mailbox(bob.device(1)).len(), 1);
    assert_eq!(world.store().stats().records, 1);
}

/// However much is old, one sweep is short; and the mailbox has its room back.
pub fn a_sweep_is_bounded_and_says_there_is_more(ground: &mut dyn Ground) {
    let quotas = Quotas { records: 3_000, expiry_days: 1, ..Quotas::default() };
    let mut world = World::with(ground, quotas);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    let tokens: Vec<_> = (1..=1_500)
        .map(|counter| world.submit(from, counter, vec![bob.copies(from, "")]))
        .collect();
    for token in tokens {
        assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
    }
    let full = world.send(from, 1_501, vec![bob.copies(from, "")]);
    assert_eq!(full, Outcome::MailboxFull(bob.device(1)));
    pass_days(&world, 1);
    world.setting.clock.advance(1);
    let (mut sweeps, mut expired) = (0, 0);
    loop {
        let swept = block_on(world.store().sweep()).unwrap();
        (sweeps, expired) = (sweeps + 1, expired + swept.expired);
        if !swept.more {
            break;
        }
    }
    assert_eq!(expired, 1_500);
    assert!(sweeps > 1);
    world.text(from, 1_501, &bob);
    assert_eq!(world.store().stats().expired, 1_500);
}

/// A clock that is wrong by a year, set right an hour later; and one that stays.
pub fn a_leap_of_the_clock_drops_nothing(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    let sweep = |world: &World<'_>| block_on(world.store().sweep()).unwrap();
    sweep(&world);
    let leapt = Swept { clock_leapt: true, ..Swept::default() };
    world.setting.clock.advance(365 * DAY_MS);
    assert_eq!(sweep(&world), leapt);
    world.reopen();
    assert_eq!(sweep(&world), leapt, "nor after a restart");
    world.setting.clock.set(NOW_MS + 3_600_000);
    assert_eq!(sweep(&world), Swept::default());
    world.setting.clock.advance(365 * DAY_MS);
    assert_eq!(sweep(&world), leapt);
    let swept = pass_days(&world, 1);
    assert_eq!(swept, [leapt, Swept { expired: 1, ..Swept::default() }]);
}

/// Their mailbox is gone at once, their records with the sweep, also after a restart.
pub fn a_removed_devices_records_are_swept(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 3));
    world.text(alice.device(1), 1, &bob);
    world.lists(2, bob.device(1), 2, [1, 2]).unwrap();
    assert_eq!(world.store().stats().records, 2);
    let swept = Swept { orphaned: 1, ..Swept::default() };
    assert_eq!(block_on(world.store().sweep()).unwrap(), swept);
    world.lists(2, bob.device(1), 3, [1]).unwrap();
    world.reopen();
    assert_eq!(world.store().stats().records, 1);
    assert_eq!(block_on(world.store().sweep()).unwrap(), swept);
    assert_eq!(block_on(world.store().sweep()).unwrap(), Swept::default());
    assert_eq!(world.mailbox(bob.device(1)).len(), 1);
    let empty = block_on(world.store().read(bob.device(3), Seq::ZERO, 9, 9)).unwrap();
    assert!(empty.records.is_empty());
}

/// Both sides of the bound.
pub fn meta_values_are_kept_and_bounded(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let largest = Bytes::from(vec![7; META_BYTES_MAX]);
    let put = |world: &World<'_>, value| block_on(world.store().put_meta("key", value));
    let get = |world: &World<'_>| block_on(world.store().meta("key")).unwrap();
    assert_eq!(get(&world), None);
    put(&world, Bytes::from("first")).unwrap();
    put(&world, largest.clone()).unwrap();
    world.reopen();
    assert_eq!(get(&world), Some(largest));
    let too_large = put(&world, Bytes::from(vec![7; META_BYTES_MAX + 1]));
    assert!(matches!(too_large, Err(StoreError::Limit(_))));
    assert_eq!(block_on(world.store().meta("other")).unwrap(), None);
}

/// What an operator sees.
pub fn counts_follow_what_happens(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    let from = alice.device(1);
    world.send(from, 1, vec![bob.copies(from, "12345")]);
    world.send(from, 1, vec![bob.copies(from, "12345")]);
    let stats = world.store().stats();
    assert_eq!((stats.records, stats.bytes, stats.mailboxes), (2, 10, 2));
    assert_eq!((stats.accounts, stats.devices), (2, 3));
    assert_eq!((stats.accepted, stats.repeated, stats.acknowledged), (1, 1, 0));
    assert!(stats.available && !stats.disk_full && stats.batches > 0);
    world.acknowledge_all(bob.device(1));
    let stats = world.store().stats();
    assert_eq!((stats.records, stats.bytes, stats.mailboxes), (2, 5, 2), "one is a receipt");
    assert_eq!(stats.acknowledged, 1);
}

/// A store with a row in every table is whole.
pub fn verification_finds_nothing_wrong(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    world.acknowledge_all(bob.device(1));
    world.text(alice.device(1), 2, &bob);
    block_on(world.store().put_meta("key", Bytes::from("value"))).unwrap();
    let VerifyReport { rows, records } = block_on(world.store().verify()).unwrap();
    assert_eq!(records, 2);
    assert!(rows > 8, "{rows}");
}

/// What was taken is settled, then everything is refused.
pub fn a_closed_store_takes_nothing(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    let tokens: Vec<_> =
        (1..=100).map(|counter| world.submit(from, counter, vec![bob.copies(from, "")])).collect();
    world.store().close();
    for token in tokens {
        assert!(world.is_settled(token));
    }
    let recipients = vec![bob.copies(from, "")];
    let late = Submission { origin: from, counter: 101, recipients, post: None, token: Token(0) };
    assert_eq!(world.store().submit(late), Err(Full));
    assert_eq!(world.store().acknowledge(from, Seq::ZERO), Err(Full));
    let read = block_on(world.store().read(from, Seq::ZERO, 1, 1));
    assert_eq!(read, Err(StoreError::Busy));
    assert_eq!(block_on(world.store().sweep()), Err(StoreError::Busy));
    assert_eq!(block_on(world.store().profile(Who::Account(alice.account))), Err(StoreError::Busy));
    world.store().close();
    world.reopen();
    assert_eq!(world.mailbox(bob.device(1)).len(), 100);
}
