//! Submitting and reading.

use godwit_base::limits::DEDUP_WINDOW;
use godwit_base::{DeviceId, Seq};

use super::Ground;
use super::world::{Event, NOW_MS, World, block_on, first_keys, list, texts};
use crate::{Outcome, Page, Publisher};

/// M1 as the caller sees it: the outcome, then the record to who is there, and it can be read.
pub fn an_accepted_message_is_told_then_handed_over_then_readable(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    let outcome = world.send(alice.device(1), 1, vec![bob.copies(alice.device(1), "hi")]);
    assert_eq!(outcome, Outcome::Accepted { at_ms: NOW_MS });
    for device in [bob.device(1), bob.device(2)] {
        assert_eq!(texts(&world.mailbox(device)), ["hi"]);
        assert_eq!(world.appended(device), world.mailbox(device));
        assert_eq!(world.mailbox(device)[0].seq.unix_ms(), NOW_MS);
    }
    let events = world.events();
    assert!(matches!(events[0], Event::Settled(_)), "the outcome comes first: {events:?}");
    assert_eq!(events.len(), 3);
}

/// M4: what one device sends comes in its order, whoever sends between.
pub fn order_is_kept_in_every_mailbox(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 2));
    let mut last = None;
    for counter in 1..=100 {
        for sender in [alice.device(1), bob.device(1)] {
            let text = format!("{sender} {counter}");
            last = Some(world.submit(sender, counter, vec![carol.copies(sender, &text)]));
        }
    }
    world.outcome(last.unwrap());
    for device in [carol.device(1), carol.device(2)] {
        let records = world.mailbox(device);
        assert!(records.is_sorted_by(|one, next| one.seq < next.seq));
        for sender in [alice.device(1), bob.device(1)] {
            let sent: Vec<_> = (1..=100).map(|counter| format!("{sender} {counter}")).collect();
            let mut came = texts(&records);
            came.retain(|text| text.starts_with(&sender.to_string()));
            assert_eq!(came, sent);
        }
        assert_eq!(world.appended(device), records, "handed over in the same order");
    }
}

/// Both bounds of a page, on both sides, and that a page makes progress.
pub fn a_page_is_bounded_by_records_and_by_bytes(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    for (counter, text) in [(1, "0123456789"), (2, "abcdefghij"), (3, "x")] {
        world.send(alice.device(1), counter, vec![bob.copies(alice.device(1), text)]);
    }
    let read = |after, records, bytes| {
        let page = block_on(world.store().read(bob.device(1), after, records, bytes)).unwrap();
        (page.records.len(), page.more)
    };
    assert_eq!(read(Seq::ZERO, 3, 21), (3, false));
    assert_eq!(read(Seq::ZERO, 2, 21), (2, true));
    assert_eq!(read(Seq::ZERO, 3, 20), (2, true));
    assert_eq!(read(Seq::ZERO, 3, 19), (1, true));
    assert_eq!(read(Seq::ZERO, 1, 1), (1, true), "a page with more has at least one record");
    assert_eq!(read(Seq::ZERO, 0, 0), (1, true));
    let records = world.mailbox(bob.device(1));
    assert_eq!(read(records[0].seq, 3, 100), (2, false));
    assert_eq!(read(records[2].seq, 3, 100), (0, false));
}

/// Nothing there, nobody there: the same empty page.
pub fn an_empty_or_unknown_mailbox_is_an_empty_page(ground: &mut dyn Ground) {
    let world = World::new(ground);
    let bob = world.person(2, 1);
    for device in [bob.device(1), bob.device(9), DeviceId::new(77, 1)] {
        let page = block_on(world.store().read(device, Seq::ZERO, 10, 10)).unwrap();
        assert_eq!(page, Page::default());
    }
}

/// M3: at once, later, after a restart, and when both wait in one queue.
pub fn a_repeat_stores_nothing_and_is_told_so(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    let first = world.submit(from, 1, vec![bob.copies(from, "once")]);
    let second = world.submit(from, 1, vec![bob.copies(from, "once")]);
    assert_eq!(world.outcome(first), Outcome::Accepted { at_ms: NOW_MS });
    assert_eq!(world.outcome(second), Outcome::Repeated { at_ms: NOW_MS });
    world.acknowledge_all(bob.device(1));
    world.reopen();
    let again = world.send(from, 1, vec![bob.copies(from, "once")]);
    assert_eq!(again, Outcome::Repeated { at_ms: NOW_MS });
    assert!(world.mailbox(bob.device(1)).is_empty());
    assert_eq!(world.appended(bob.device(1)).len(), 1);
}

/// A resent counter may come after newer ones.
pub fn counters_out_of_order_are_accepted_once_each(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    for counter in [5, 3, 4, 1, 2] {
        world.text(alice.device(1), counter, &bob);
    }
    for counter in 1..=5 {
        let again = world.send(alice.device(1), counter, vec![bob.copies(alice.device(1), "x")]);
        assert!(matches!(again, Outcome::Repeated { .. }), "{counter}: {again:?}");
    }
    assert_eq!(world.mailbox(bob.device(1)).len(), 5);
}

/// Both sides of the window's lower edge, before and after a restart.
pub fn a_counter_below_the_window_cannot_be_told(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    world.text(from, 1_000, &bob);
    world.reopen();
    let lowest = 1_000 - DEDUP_WINDOW + 1;
    let below = world.send(from, lowest - 1, vec![bob.copies(from, "x")]);
    assert_eq!(below, Outcome::CounterTooOld);
    world.text(from, lowest, &bob);
    assert_eq!(world.mailbox(bob.device(1)).len(), 2);
}

/// What tells a device that it is a copy of an older self.
pub fn the_highest_counter_is_known_until_the_device_goes(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let from = alice.device(1);
    assert_eq!(world.store().highest_counter(from), 0);
    for (counter, highest) in [(5, 5), (3, 5), (6, 6)] {
        world.text(from, counter, &bob);
        assert_eq!(world.store().highest_counter(from), highest);
    }
    let refused = world.send(from, 7, vec![]);
    assert_eq!(refused, Outcome::Malformed);
    assert_eq!(world.store().highest_counter(from), 6, "of what was accepted");
    world.reopen();
    assert_eq!(world.store().highest_counter(from), 6);
    assert_eq!(world.store().highest_counter(bob.device(1)), 0);
    let next = list(1, 2, [2]);
    let keys = first_keys(&next);
    block_on(world.store().replace_list(Publisher::Device(alice.device(1)), next, keys)).unwrap();
    assert_eq!(world.store().highest_counter(from), 0);
    world.reopen();
    assert_eq!(world.store().highest_counter(from), 0);
}

/// A message to one's own account goes to the other devices.
pub fn own_devices_get_copies_but_not_the_sender(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let alice = world.person(1, 3);
    world.text(alice.device(2), 1, &alice);
    let waiting = [1, 2, 3].map(|number| world.mailbox(alice.device(number)).len());
    assert_eq!(waiting, [1, 0, 1]);
}

/// An account's only device writes to itself: accepted, once, and nothing is stored.
pub fn a_message_to_nobody_else_is_accepted(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let alice = world.person(1, 1);
    world.text(alice.device(1), 1, &alice);
    world.reopen();
    let from = alice.device(1);
    let again = world.send(from, 1, vec![alice.copies(from, "x")]);
    assert!(matches!(again, Outcome::Repeated { .. }), "{again:?}");
    assert!(world.mailbox(from).is_empty());
}

/// Places are never used again, even if nothing is left that would show them.
pub fn places_grow_though_the_clock_goes_back(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    world.text(alice.device(1), 1, &bob);
    world.acknowledge_all(bob.device(1));
    let receipt = world.mailbox(alice.device(1))[0].seq;
    world.acknowledge_all(alice.device(1));
    world.setting.clock.set(NOW_MS - 3_600_000);
    world.reopen();
    world.text(alice.device(1), 2, &bob);
    assert!(world.mailbox(bob.device(1))[0].seq > receipt);
}

/// Records, windows, accounts: all of it.
pub fn everything_is_there_after_reopening(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    for counter in 1..=20 {
        world.text(alice.device(1), counter, &bob);
    }
    world.acknowledge_all(bob.device(1));
    let mailboxes = |world: &World| {
        [alice.device(1), bob.device(1), bob.device(2)].map(|device| world.mailbox(device))
    };
    let before = mailboxes(&world);
    let stats = world.store().stats();
    world.reopen();
    assert_eq!(mailboxes(&world), before);
    let after = world.store().stats();
    assert_eq!(
        (after.records, after.bytes, after.mailboxes, after.accounts, after.devices),
        (stats.records, stats.bytes, stats.mailboxes, stats.accounts, stats.devices),
    );
    world.text(alice.device(1), 21, &bob);
    assert_eq!(world.mailbox(bob.device(2)).len(), 21);
}
