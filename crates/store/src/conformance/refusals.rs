//! Submissions that are refused, and that nothing of them is stored.

use bytes::Bytes;
use godwit_base::limits::{RECIPIENTS_MAX, RECORD_BODY_BYTES_MAX};
use godwit_base::{AccountId, DeviceNumber, Seq};

use super::Ground;
use super::world::World;
use crate::{Mismatch, Outcome, Quotas, Recipient, SealedCopy};

fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted { .. })
}

/// Stale, short, long, doubled; then right, with the same counter.
pub fn a_wrong_device_list_is_answered_with_the_right_one(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    let from = alice.device(1);
    let right = bob.copies(from, "hi");
    let copy = |number| SealedCopy { device: DeviceNumber(number), body: Bytes::new() };
    let of = |version, numbers: &[u32]| Recipient {
        account: bob.account,
        list_version: version,
        copies: numbers.iter().copied().map(copy).collect(),
    };
    let cases: [(Recipient, &[u32], &[u32]); 5] = [
        (of(2, &[1, 2]), &[], &[]),
        (of(1, &[1]), &[2], &[]),
        (of(1, &[1, 2, 3]), &[], &[3]),
        (of(1, &[2, 2]), &[1], &[2]),
        (of(1, &[]), &[1, 2], &[]),
    ];
    let numbers = |of: &[u32]| of.iter().copied().map(DeviceNumber).collect::<Vec<_>>();
    for (wrong, missing, extra) in cases {
        let expected = Mismatch {
            account: bob.account,
            list_version: 1,
            signed: bob.list.signed.clone(),
            missing: numbers(missing),
            extra: numbers(extra),
        };
        assert_eq!(world.send(from, 1, vec![wrong]), Outcome::Mismatch(vec![expected]));
    }
    assert!(world.mailbox(bob.device(1)).is_empty());
    assert!(is_accepted(&world.send(from, 1, vec![right])));
    assert!(is_accepted(&world.send(from, 2, vec![of(1, &[2, 1])])), "order does not matter");
}

/// Everybody or nobody.
pub fn one_bad_recipient_keeps_the_message_from_all(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { records: 2, ..Quotas::default() });
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    let from = alice.device(1);
    let unknown = Recipient { account: AccountId(99), list_version: 1, copies: Vec::new() };
    let outcome = world.send(from, 1, vec![bob.copies(from, "x"), unknown]);
    assert_eq!(outcome, Outcome::UnknownAccount(AccountId(99)));

    let mut stale = carol.copies(from, "x");
    stale.list_version = 7;
    let outcome = world.send(from, 1, vec![bob.copies(from, "x"), stale]);
    assert!(matches!(outcome, Outcome::Mismatch(wrong) if wrong.len() == 1));

    world.text(from, 1, &carol);
    let both = || vec![bob.copies(from, "x"), carol.copies(from, "x")];
    let outcome = world.send(from, 2, both());
    assert_eq!(outcome, Outcome::MailboxFull(carol.device(1)));
    assert!(world.mailbox(bob.device(1)).is_empty());
    assert!(world.appended(bob.device(1)).is_empty());

    world.acknowledge_all(carol.device(1));
    assert!(is_accepted(&world.send(from, 2, both())), "the same counter is free");
}

/// Both sides of the quota of records, and that reading makes room.
pub fn a_full_mailbox_refuses_and_takes_again_when_there_is_room(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { records: 6, ..Quotas::default() });
    let bob = world.person(9, 1);
    let senders: Vec<_> = (1..=6).map(|n| world.person(n, 1)).collect();
    for sender in &senders[..5] {
        world.text(sender.device(1), 1, &bob);
    }
    let last = senders[5].device(1);
    world.text(last, 1, &bob);
    let full = Outcome::MailboxFull(bob.device(1));
    assert_eq!(world.send(last, 2, vec![bob.copies(last, "x")]), full);
    let fresh = world.person(7, 1).device(1);
    assert_eq!(world.send(fresh, 1, vec![bob.copies(fresh, "x")]), full);
    world.reopen();
    assert_eq!(world.send(fresh, 1, vec![bob.copies(fresh, "x")]), full);
    let oldest = world.mailbox(bob.device(1))[0].seq;
    world.acknowledge(bob.device(1), oldest);
    world.text(fresh, 1, &bob);
}

/// Both sides of the quota of bytes.
pub fn bytes_fill_a_mailbox_too(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { bytes: 100, ..Quotas::default() });
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    let (a, c) = (alice.device(1), carol.device(1));
    let full = Outcome::MailboxFull(bob.device(1));
    assert_eq!(world.send(a, 1, vec![bob.copies(a, &"x".repeat(101))]), full);
    assert!(is_accepted(&world.send(a, 1, vec![bob.copies(a, &"x".repeat(60))])));
    assert_eq!(world.send(c, 1, vec![bob.copies(c, &"x".repeat(41))]), full);
    assert!(is_accepted(&world.send(c, 1, vec![bob.copies(c, &"x".repeat(40))])));
}

/// Whoever floods leaves room for the others: an account may hold what is still free.
pub fn one_sender_cannot_fill_a_mailbox(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { records: 8, ..Quotas::default() });
    let (flood, alice, bob) = (world.person(1, 2), world.person(2, 1), world.person(3, 1));
    let full = Outcome::MailboxFull(bob.device(1));
    for counter in 1..=2 {
        world.text(flood.device(1), counter, &bob);
        world.text(flood.device(2), counter, &bob);
    }
    for device in [flood.device(1), flood.device(2)] {
        let outcome = world.send(device, 3, vec![bob.copies(device, "x")]);
        assert_eq!(outcome, full, "its devices share");
    }
    for counter in 1..=2 {
        world.text(alice.device(1), counter, &bob);
    }
    world.reopen();
    let outcome = world.send(alice.device(1), 3, vec![bob.copies(alice.device(1), "x")]);
    assert_eq!(outcome, full, "shares are known after a restart");
}

/// Each bound that the session checks, checked again.
pub fn malformed_submissions_are_refused_at_each_bound(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    let to = |text: &str| vec![bob.copies(from, text)];
    let strangers = |count: usize| {
        let stranger = |n| Recipient { account: AccountId(n), list_version: 1, copies: vec![] };
        (0..count as u64).map(stranger).collect::<Vec<_>>()
    };
    assert_eq!(world.send(from, 0, to("x")), Outcome::Malformed);
    assert_eq!(world.send(from, 1, vec![]), Outcome::Malformed);
    assert_eq!(world.send(from, 1, [to("x"), to("y")].concat()), Outcome::Malformed);
    let too_long = "x".repeat(RECORD_BODY_BYTES_MAX + 1);
    assert_eq!(world.send(from, 1, to(&too_long)), Outcome::Malformed);
    assert_eq!(world.send(from, 1, strangers(RECIPIENTS_MAX + 1)), Outcome::Malformed);
    let most = world.send(from, 1, strangers(RECIPIENTS_MAX));
    assert_eq!(most, Outcome::UnknownAccount(AccountId(0)));
    assert!(is_accepted(&world.send(from, 1, to(&too_long[1..]))));
    assert_eq!(world.mailbox(bob.device(1)).len(), 1);
}

/// A device that was removed while its submission waited, and one that never was.
pub fn a_removed_device_sends_nothing(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 2), world.person(2, 1));
    world.text(alice.device(2), 1, &bob);
    world.lists(1, alice.device(1), 2, [1]).unwrap();
    for from in [alice.device(2), alice.device(7)] {
        let outcome = world.send(from, 2, vec![bob.copies(from, "x")]);
        assert_eq!(outcome, Outcome::Revoked);
    }
    assert_eq!(world.mailbox(bob.device(1)).len(), 1, "what it sent before stays");
    world.acknowledge(bob.device(1), Seq(u64::MAX));
}
