//! What a message costs on the wire. The budget for a settled text of 20 characters is 140 bytes.

use godwit_seal::{Change, Group, GroupShare, SenderKey};

use crate::people::{Letter, NOW_MS, Person, inner, settled};

fn sealed_len(body_len: usize) -> usize {
    let (mut alice, mut bob) = settled();
    let letter = alice.writes(&mut bob, &"x".repeat(body_len));
    letter.sealed.bytes.len()
}

#[test]
fn a_short_settled_text_costs_136_bytes_and_later_in_a_chain_137() {
    // 24 bytes: 20 characters in the client's own framing.
    assert_eq!(sealed_len(24), 136);
    let (mut alice, bob) = settled();
    let lengths: Vec<_> =
        (0..200).map(|_| alice.seals(&bob, &"x".repeat(24)).unwrap().sealed.bytes.len()).collect();
    assert!(lengths[..128].iter().all(|length| *length == 136));
    assert!(lengths[128..].iter().all(|length| *length == 137), "the chain index takes two bytes");
}

#[test]
fn even_the_largest_counter_leaves_room_for_the_short_text() {
    let (mut alice, mut bob) = settled();
    let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
    let mut largest = inner(u64::MAX, &"x".repeat(24));
    largest.sent_at_ms = (1 << 42) - 1; // the year 2109
    let sealed = pairing.seal(&alice.device, &largest).unwrap();
    assert_eq!(sealed.bytes.len(), 136);
    assert!(bob.opens(&alice, &Letter { counter: u64::MAX, sealed }).is_ok());
}

#[test]
fn lengths_tell_little() {
    let expected = [
        (0, 136),
        (33, 136), // 62 bytes inside: the step
        (34, 201),
        (97, 201),
        (98, 265),
        (160, 265),
        (161, 329),
        (224, 329),
        (225, 345), // Padmé from here on
        (300, 409),
        (1_000, 1_161),
        (10_000, 10_313),
    ];
    for (body_len, sealed) in expected {
        assert_eq!(sealed_len(body_len), sealed, "a body of {body_len}");
    }
}

#[test]
fn an_opening_message_costs_371_bytes_of_which_the_keys_are_most() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    assert_eq!(alice.writes(&mut bob, &"x".repeat(24)).sealed.bytes.len(), 371);
}

/// A text of 20 characters for a group of any size, and what each device is given once for it.
#[test]
fn a_short_text_under_a_sender_key_costs_179_bytes_for_all_and_the_key_about_400_a_device() {
    let (mut alice, mut bob) = settled();
    let (_, group) = alice.founds(&[&bob]);
    let mut key = SenderKey::create(&group.place(), NOW_MS);
    let share = GroupShare::of_key(&key, &group.place(), None);
    let text = "x".repeat(24);
    let sealed = key.seal(&alice.device, &group.place(), &inner(300, &text)).unwrap();
    assert_eq!(sealed.len(), 179);
    let letter = alice.writes(&mut bob, &"x".repeat(share.len()));
    assert_eq!((share.len(), letter.sealed.bytes.len()), (287, 393));
}

#[test]
fn an_entry_of_one_device_costs_about_400_bytes() {
    let (alice, bob) = settled();
    let (_, group) = alice.founds(&[]);
    let entry = alice.signs(&group, &[Change::Add(bob.key())]).unwrap();
    assert!(entry.len() < 500, "{}", entry.len());
}

/// The hint of the group and the epoch fit beside a text of 20 characters.
#[test]
fn a_short_text_of_a_small_group_costs_no_more_than_any_other() {
    let (mut alice, bob) = settled();
    let (_, mut group) = alice.founds(&[&bob]);
    for _ in 1..127 {
        alice.changes(&mut group, &[]);
    }
    let text = "x".repeat(24);
    let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
    let mut seal = |group: &Group| {
        pairing.seal_in(&alice.device, &group.place(), &inner(16_383, &text)).unwrap().bytes.len()
    };
    assert_eq!((group.epoch(), seal(&group)), (127, 136));
}
