//! Acknowledging, and the receipts that it files.

use godwit_base::{DeviceId, DeviceNumber, Seq};

use super::Ground;
use super::world::{World, texts};
use crate::{Entry, Outcome, Quotas, Record, Token};

/// M2, M5: gone from the mailbox, and known to every device of the sender's account.
pub fn acknowledging_deletes_and_tells_every_device_of_the_sender(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 2), world.person(2, 2));
    for counter in 1..=3 {
        world.text(alice.device(2), counter, &bob);
    }
    let second = world.mailbox(bob.device(1))[1].seq;
    assert!(world.mailbox(alice.device(1)).is_empty(), "no receipt before the acknowledgement");
    world.acknowledge(bob.device(1), second);
    assert_eq!(world.mailbox(bob.device(1)).len(), 1);
    assert_eq!(world.mailbox(bob.device(2)).len(), 3, "the other device has its own mailbox");
    let receipt = Entry::Receipt { origin: DeviceNumber(2), by: bob.device(1), up_to: 2 };
    for device in [alice.device(1), alice.device(2)] {
        let records = world.mailbox(device);
        assert_eq!(entries(&records), [&receipt]);
        assert_eq!(world.appended(device), records, "handed over at once");
    }
    world.reopen();
    assert_eq!(entries(&world.mailbox(alice.device(1))), [&receipt]);
    assert_eq!(world.mailbox(bob.device(1)).len(), 1);
}

fn entries(records: &[Record]) -> Vec<&Entry> {
    records.iter().map(|record| &record.entry).collect()
}

/// Or two devices would talk for ever.
pub fn receipts_are_not_receipted(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    world.acknowledge_all(bob.device(1));
    world.acknowledge_all(alice.device(1));
    assert_eq!(world.store().stats().records, 0);
    // A copy for the own account: its sender is told, whoever acknowledged is not.
    let two = world.person(3, 2);
    world.text(two.device(1), 1, &two);
    world.acknowledge_all(two.device(2));
    assert_eq!(world.mailbox(two.device(1)).len(), 1);
    assert!(world.mailbox(two.device(2)).is_empty());
}

/// What was not fetched is replaced, per acknowledging device and per sending device.
pub fn receipts_become_one_watermark(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 1), world.person(3, 1));
    for counter in 1..=3 {
        for sender in [alice.device(1), alice.device(2)] {
            for person in [&bob, &carol] {
                let counter = counter * 2 - u64::from(person.account == bob.account);
                world.text(sender, counter, person);
            }
        }
        world.acknowledge_all(bob.device(1));
        world.acknowledge_all(carol.device(1));
    }
    let mut receipts = texts(&world.mailbox(alice.device(1)));
    receipts.sort();
    let receipt = |by: DeviceId, up_to, origin| format!("{by} has {up_to} of {origin}");
    let mut expected = vec![
        receipt(bob.device(1), 5, 1),
        receipt(bob.device(1), 5, 2),
        receipt(carol.device(1), 6, 1),
        receipt(carol.device(1), 6, 2),
    ];
    expected.sort();
    assert_eq!(receipts, expected);
    // An older counter that comes late does not take the watermark back.
    world.text(alice.device(1), 20, &bob);
    world.acknowledge_all(bob.device(1));
    world.text(alice.device(1), 10, &bob);
    world.acknowledge_all(bob.device(1));
    let receipts = texts(&world.mailbox(alice.device(1)));
    assert!(receipts.contains(&receipt(bob.device(1), 20, 1)), "{receipts:?}");
    assert_eq!(receipts.len(), 4);
}

/// A session that was sent a watermark finds the newer one after it.
pub fn a_receipt_already_fetched_is_not_taken_back(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    world.acknowledge_all(bob.device(1));
    let first = world.mailbox(alice.device(1))[0].seq;
    world.text(alice.device(1), 2, &bob);
    world.acknowledge_all(bob.device(1));
    let records = world.mailbox(alice.device(1));
    assert_eq!(records.len(), 1);
    assert!(records[0].seq > first);
    world.acknowledge(alice.device(1), first);
    assert_eq!(world.mailbox(alice.device(1)), records, "acknowledging the old one is harmless");
}

/// M8: both sides of the bound on receipts, and that fetching them helps.
pub fn whoever_lets_receipts_pile_up_is_refused(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { receipts: 2, ..Quotas::default() });
    let alice = world.person(1, 1);
    let others: Vec<_> = (2..=5).map(|n| world.person(n, 1)).collect();
    let from = alice.device(1);
    for (counter, person) in (1..).zip(&others[..2]) {
        assert_eq!(world.mailbox(from).len() as u64, counter - 1);
        world.text(from, counter, person);
        world.acknowledge_all(person.device(1));
    }
    let outcome = world.send(from, 3, vec![others[2].copies(from, "x")]);
    assert_eq!(outcome, Outcome::ReceiptsWaiting);
    world.acknowledge_all(from);
    world.text(from, 3, &others[2]);
}

/// Order (M4): what the same link handed in behind it does not slip past it.
pub fn what_follows_on_piled_up_receipts_waits_for_it(ground: &mut dyn Ground) {
    const LINK: Token = Token(u64::MAX);
    let mut world = World::with(ground, Quotas { receipts: 1, ..Quotas::default() });
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1, &bob);
    world.acknowledge_all(bob.device(1));
    let decide = |world: &mut World<'_>, counter| {
        world.send_on(LINK, from, counter, vec![bob.copies(from, "x")])
    };
    assert_eq!(decide(&mut world, 2), Outcome::ReceiptsWaiting);
    world.acknowledge_all(from);
    assert_eq!(decide(&mut world, 3), Outcome::Unavailable, "2 has not come again");
    assert!(matches!(decide(&mut world, 2), Outcome::Accepted { .. }));
    assert!(matches!(decide(&mut world, 3), Outcome::Accepted { .. }));
}

/// Twice, of nothing, of nobody.
pub fn odd_acknowledgements_do_nothing(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    world.text(alice.device(1), 2, &bob);
    let first = world.mailbox(bob.device(1))[0].seq;
    for _ in 0..2 {
        world.acknowledge(bob.device(1), first);
    }
    world.acknowledge(bob.device(1), Seq::ZERO);
    world.acknowledge(DeviceId::new(77, 1), Seq(u64::MAX));
    world.acknowledge(alice.device(9), Seq(u64::MAX));
    world.text(alice.device(1), 3, &bob);
    assert_eq!(world.mailbox(bob.device(1)).len(), 2);
    assert_eq!(world.mailbox(alice.device(1)).len(), 1);
}

/// One acknowledgement of more records than an engine deletes in one batch.
pub fn a_long_acknowledgement_is_carried_through(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { records: 40_000, ..Quotas::default() });
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    let mut last = None;
    for counter in 1..=10_000 {
        let token = world.submit(from, counter, vec![bob.copies(from, "")]);
        if counter % 1_000 == 0 {
            world.outcome(token);
        }
        last = Some(token);
    }
    assert!(matches!(world.outcome(last.unwrap()), Outcome::Accepted { .. }));
    world.acknowledge_all(bob.device(1));
    assert!(world.mailbox(bob.device(1)).is_empty());
    let receipts = texts(&world.mailbox(from));
    assert_eq!(receipts, [format!("{} has 10000 of 1", bob.device(1))]);
}
