//! Posts: one body for all devices of a group.

use bytes::Bytes;
use godwit_base::limits::{BODY_BYTES_MAX, GROUP_MEMBERS_MAX};
use godwit_base::{DeviceId, Seq};

use super::Ground;
use super::groups::{ADMIN, GROUP, MEMBER, change, crowd, entry, group_of, roster};
use super::world::{NOW_MS, Person, World, block_on, texts};
use crate::{Entry, GroupChange, GroupPost, GroupSettings, Outcome, Quotas, Record, Swept};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn post(epoch: u64, devices_version: u64, text: &str) -> GroupPost {
    let body = Bytes::copy_from_slice(text.as_bytes());
    GroupPost { group: GROUP, epoch, devices_version, body }
}

/// Posts a text to the group at epoch 1, where nobody's devices have changed; it must be accepted.
pub(super) fn says(world: &mut World<'_>, from: DeviceId, counter: u64) {
    let outcome = world.post(from, counter, vec![], post(1, 0, &format!("{from} {counter}")));
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
}

/// Acknowledges whatever says that the group was made, so that mailboxes are empty.
pub(super) fn quiet(world: &World<'_>, people: &[&Person]) {
    for person in people {
        for (number, _) in &person.list.devices {
            world.acknowledge_all(person.device(number.0));
        }
    }
    world.events();
}

fn posted(records: &[Record]) -> Vec<String> {
    let is_post = |record: &&Record| matches!(record.entry, Entry::Post(_));
    texts(&records.iter().filter(is_post).cloned().collect::<Vec<_>>())
}

fn groups_own(from: &Person, to: &Person, text: &str) -> crate::Recipient {
    to.copies(from.device(1), text)
}

/// Handed over and read alike, also after a restart; a repeat stores nothing (M3).
pub fn a_post_is_stored_once_and_waits_for_every_device_but_the_sender(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 2), world.person(3, 1));
    let stranger = world.person(4, 1);
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    let from = alice.device(1);
    says(&mut world, from, 1);
    let again = world.post(from, 1, vec![], post(1, 0, "another"));
    assert!(matches!(again, Outcome::Repeated { .. }), "{again:?}");
    assert_eq!(world.store().stats().posts, 1);
    let others = [alice.device(2), bob.device(1), bob.device(2), carol.device(1)];
    for device in others {
        let told = world.appended(device);
        assert_eq!(world.mailbox(device), told, "{device}");
        let Entry::Post(post) = &told[0].entry else { panic!("{told:?}") };
        assert_eq!((post.from, post.counter), (from, 1));
        assert_eq!((post.group, post.epoch), (GROUP, 1));
        assert_eq!(post.body, format!("{from} 1"));
    }
    let bodies: Vec<_> = others.iter().map(|device| world.appended(*device).remove(0)).collect();
    let at = |record: &Record| match &record.entry {
        Entry::Post(post) => post.body.as_ptr(),
        other => panic!("{other:?}"),
    };
    assert!(bodies.iter().all(|record| at(record) == at(&bodies[0])), "one body in RAM");
    assert!(world.mailbox(from).is_empty() && world.mailbox(stranger.device(1)).is_empty());
    world.reopen();
    for device in others {
        assert_eq!(posted(&world.mailbox(device)), [format!("{from} 1")]);
    }
    block_on(world.store().verify()).unwrap();
    let again = world.post(from, 1, vec![], post(1, 0, "another"));
    assert!(matches!(again, Outcome::Repeated { .. }), "{again:?}");
}

/// Not before, and in the same commit (M2).
pub fn a_body_goes_with_the_last_who_waits_for_it(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 2), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    says(&mut world, alice.device(1), 1);
    world.acknowledge_all(bob.device(1));
    world.acknowledge_all(carol.device(1));
    assert_eq!(world.store().stats().posts, 1);
    world.reopen();
    assert_eq!(posted(&world.mailbox(bob.device(2))).len(), 1);
    world.acknowledge_all(bob.device(2));
    world.settle_down();
    assert_eq!(world.store().stats().posts, 0);
    block_on(world.store().verify()).unwrap();
    world.reopen();
    assert_eq!(world.store().stats().posts, 0);
}

/// M4: whatever a device sends comes in the order of its counters.
pub fn posts_keep_their_order_among_messages(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    group_of(&world, &[&alice, &bob]);
    quiet(&world, &[&alice, &bob]);
    let from = alice.device(1);
    for counter in 1..=6 {
        match counter % 2 {
            0 => says(&mut world, from, counter),
            _ => world.text(from, counter, &bob),
        }
    }
    let expected: Vec<_> = (1..=6).map(|counter| format!("{from} {counter}")).collect();
    assert_eq!(texts(&world.mailbox(bob.device(1))), expected);
    let third = world.mailbox(bob.device(1))[2].seq;
    let page = block_on(world.store().read(bob.device(1), third, 2, usize::MAX)).unwrap();
    assert_eq!((texts(&page.records), page.more), (expected[3..5].to_vec(), true));
}

/// Each reason, and nothing is stored for any of them (M12).
pub fn a_post_is_refused_unless_all_of_it_is_right(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    let says = |world: &mut World<'_>, by: &Person, post| world.post(by.device(1), 1, vec![], post);
    let unknown = says(&mut world, &alice, post(1, 0, "x"));
    assert_eq!(unknown, Outcome::GroupUnknown);
    let settings = GroupSettings { only_admins_write: true, invite_hash: None };
    let first = entry(1, &[(&alice, ADMIN), (&bob, MEMBER)]);
    let first = GroupChange { settings: Some(settings), ..first };
    change(&world, alice.device(1), &first).unwrap();
    quiet(&world, &[&alice, &bob]);
    assert_eq!(says(&mut world, &carol, post(1, 0, "x")), Outcome::NotMember);
    assert_eq!(says(&mut world, &bob, post(1, 0, "x")), Outcome::NotAdmin);
    assert_eq!(says(&mut world, &alice, post(2, 0, "x")), Outcome::GroupStale);
    assert_eq!(says(&mut world, &alice, post(1, 1, "x")), Outcome::GroupListsStale);
    let nobody = says(&mut world, &alice, post(1, 0, ""));
    assert_eq!(nobody, Outcome::Malformed);
    let both = world.post(alice.device(1), 1, vec![groups_own(&alice, &bob, "x")], post(1, 0, "x"));
    assert_eq!(both, Outcome::Malformed);
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(says(&mut world, &alice, post(1, 0, &large)), Outcome::Malformed);
    assert!(world.mailbox(bob.device(1)).is_empty());
    assert_eq!(world.store().stats().posts, 0);
    let most = says(&mut world, &alice, post(1, 0, &large[1..]));
    assert!(matches!(most, Outcome::Accepted { .. }), "{most:?}");
    let open = GroupChange { settings: Some(GroupSettings::default()), ..entry(2, &[]) };
    change(&world, alice.device(1), &open).unwrap();
    assert_eq!(says(&mut world, &bob, post(1, 0, "x")), Outcome::GroupStale);
    let now = says(&mut world, &bob, post(2, 0, "x"));
    assert!(matches!(now, Outcome::Accepted { .. }), "{now:?}");
    change(&world, alice.device(1), &entry(3, &[(&bob, None)])).unwrap();
    let after = world.post(bob.device(1), 2, vec![], post(3, 0, "x"));
    assert_eq!(after, Outcome::NotMember);
    let last = world.post(alice.device(1), 2, vec![], post(3, 0, "after"));
    assert!(matches!(last, Outcome::Accepted { .. }), "{last:?}");
    assert!(!texts(&world.mailbox(bob.device(1))).contains(&"after".to_owned()));
    assert_eq!(world.store().stats().posts, 2, "the last one is for nobody");
}

/// A list that is signed anew leaves sender keys as they are; a device that comes or goes does not.
pub fn only_a_change_of_the_set_of_devices_makes_a_post_stale(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    group_of(&world, &[&alice, &bob]);
    let version = |world: &World<'_>| roster(world, &alice).unwrap().devices_version;
    assert_eq!(version(&world), 0);
    world.lists(2, bob.device(1), 2, [1]).unwrap();
    assert_eq!(version(&world), 0);
    assert_eq!(roster(&world, &alice).unwrap().members.iter().map(|row| row.2).max(), Some(2));
    let mut seen = vec![0];
    for (list, numbers) in [(3, vec![1, 2]), (4, vec![1, 2]), (5, vec![2])] {
        world.lists(2, bob.device(if list == 5 { 2 } else { 1 }), list, numbers).unwrap();
        world.reopen();
        let now = version(&world);
        assert_eq!(seen.contains(&now), list == 4, "list {list}: {seen:?}, {now}");
        let stale = world.post(alice.device(1), list, vec![], post(1, 0, "x"));
        assert_eq!(stale, Outcome::GroupListsStale);
        let right = world.post(alice.device(1), list, vec![], post(1, now, "x"));
        assert!(matches!(right, Outcome::Accepted { .. }), "{right:?}");
        seen.push(now);
    }
    assert_eq!(posted(&world.mailbox(bob.device(2))).len(), 3);
}

/// Nobody missing, nobody beside; lists are compared as for any message.
pub fn copies_for_a_group_are_for_exactly_its_members(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 1), world.person(3, 1));
    let dave = world.person(4, 1);
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    let from = alice.device(1);
    let copies = |of: &[&Person]| of.iter().map(|to| to.copies(from, "x")).collect::<Vec<_>>();
    for (to, outcome) in [
        (copies(&[&alice, &bob]), Outcome::Malformed),
        (copies(&[&bob, &carol]), Outcome::Malformed),
        (copies(&[&alice, &bob, &carol, &dave]), Outcome::Malformed),
        (copies(&[&alice, &bob, &dave]), Outcome::Malformed),
        (vec![], Outcome::Malformed),
    ] {
        assert_eq!(world.post(from, 1, to, post(1, 9, "")), outcome);
    }
    let stale = world.post(from, 1, copies(&[&alice, &bob, &carol]), post(2, 9, ""));
    assert_eq!(stale, Outcome::GroupStale);
    let all = world.post(from, 1, copies(&[&carol, &bob, &alice]), post(1, 9, ""));
    assert!(matches!(all, Outcome::Accepted { .. }), "{all:?}");
    let bobs = |to: &[&Person]| to.iter().map(|to| to.copies(bob.device(1), "y")).collect();
    let own = world.post(bob.device(1), 1, bobs(&[&alice, &carol]), post(1, 9, ""));
    assert!(matches!(own, Outcome::Accepted { .. }), "the one device has nobody else: {own:?}");
    world.lists(3, carol.device(1), 2, [1]).unwrap();
    let old = world.post(from, 2, copies(&[&alice, &bob, &carol]), post(1, 9, ""));
    assert!(matches!(old, Outcome::Mismatch(_)), "{old:?}");
}

/// One member who was away for long does not keep a thousand from talking.
pub fn a_full_mailbox_is_passed_by_and_told(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { records: 4, ..Quotas::default() });
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    let from = alice.device(1);
    for counter in 1..=2 {
        says(&mut world, from, counter);
        world.acknowledge_all(carol.device(1));
    }
    for counter in 3..=4 {
        says(&mut world, from, counter);
    }
    let bobs = texts(&world.mailbox(bob.device(1)));
    let missed = format!("{GROUP} is at 1, posts missed");
    assert_eq!(bobs, [format!("{from} 1"), format!("{from} 2"), missed]);
    assert_eq!(posted(&world.mailbox(carol.device(1))).len(), 2);
    change(&world, from, &entry(2, &[])).unwrap();
    let bobs = texts(&world.mailbox(bob.device(1)));
    assert_eq!(bobs[2], format!("{GROUP} is at 2, posts missed"), "not forgotten by newer news");
    world.reopen();
    world.acknowledge_all(bob.device(1));
    let after = world.post(from, 5, vec![], post(2, 0, "again"));
    assert!(matches!(after, Outcome::Accepted { .. }), "{after:?}");
    assert_eq!(texts(&world.mailbox(bob.device(1))), ["again"]);
    // Full for copies is full, as for any message.
    let copies = |counter, to: &Person| (counter, vec![to.copies(from, "x")]);
    let (counter, to) = copies(6, &bob);
    assert!(matches!(world.send(from, counter, to), Outcome::Accepted { .. }));
    let (counter, to) = copies(7, &bob);
    assert_eq!(world.send(from, counter, to), Outcome::MailboxFull(bob.device(1)));
}

/// What waited for it waits no more, and a body that waited for it alone goes.
pub fn a_removed_device_lets_go_of_its_posts(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    group_of(&world, &[&alice, &bob]);
    quiet(&world, &[&alice, &bob]);
    says(&mut world, alice.device(1), 1);
    world.acknowledge_all(bob.device(1));
    world.lists(2, bob.device(1), 2, [1]).unwrap();
    world.reopen();
    assert_eq!(world.store().stats().posts, 1, "until the sweep");
    block_on(world.store().verify()).unwrap();
    let swept = block_on(world.store().sweep()).unwrap();
    assert_eq!(swept, Swept { orphaned: 1, ..Swept::default() });
    assert_eq!(world.store().stats().posts, 0);
    let after = world.post(alice.device(1), 2, vec![], post(1, 2, "x"));
    assert!(matches!(after, Outcome::Accepted { .. }), "{after:?}");
    assert!(world.mailbox(bob.device(2)).is_empty());
    block_on(world.store().verify()).unwrap();
}

/// Like any record, and the body with the last.
pub fn posts_expire(ground: &mut dyn Ground) {
    let quotas = Quotas { expiry_days: 1, ..Quotas::default() };
    let mut world = World::with(ground, quotas);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    says(&mut world, alice.device(1), 1);
    for half in 1..=2 {
        world.setting.clock.set(NOW_MS + half * DAY_MS / 2);
        block_on(world.store().sweep()).unwrap();
    }
    assert_eq!(world.store().stats().posts, 1);
    world.setting.clock.advance(1);
    let swept = block_on(world.store().sweep()).unwrap();
    assert_eq!(swept, Swept { expired: 2, ..Swept::default() });
    assert_eq!(world.store().stats().posts, 0);
    world.reopen();
    block_on(world.store().verify()).unwrap();
}

/// As much as a page may hold of them, and always one.
pub fn a_page_of_posts_is_bounded_by_bytes(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    group_of(&world, &[&alice, &bob]);
    quiet(&world, &[&alice, &bob]);
    for counter in 1..=3 {
        let outcome = world.post(alice.device(1), counter, vec![], post(1, 0, "0123456789"));
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
    for (bytes, records) in [(0, 1), (19, 1), (20, 2), (30, 3)] {
        let page = block_on(world.store().read(bob.device(1), Seq::ZERO, 9, bytes)).unwrap();
        assert_eq!((page.records.len(), page.more), (records, records < 3), "{bytes} bytes");
    }
    assert_eq!(world.store().stats().bytes, 30);
}

/// More than one batch takes: all are settled, in order, and none is lost by closing.
pub fn many_posts_are_cut_into_batches(ground: &mut dyn Ground) {
    const POSTS: u64 = 12;
    let mut world = World::new(ground);
    let people = crowd(&world, 0, GROUP_MEMBERS_MAX);
    let refs: Vec<_> = people.iter().collect();
    group_of(&world, &refs);
    let from = people[0].device(1);
    world.acknowledge_all(people[1].device(1));
    let batches = world.store().stats().batches;
    let tokens: Vec<_> = (1..=POSTS)
        .map(|counter| world.post_later(from, counter, vec![], post(1, 0, &counter.to_string())))
        .collect();
    for token in tokens {
        let outcome = world.outcome(token);
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
    let expected: Vec<_> = (1..=POSTS).map(|counter| counter.to_string()).collect();
    assert_eq!(texts(&world.mailbox(people[1].device(1))), expected);
    assert_eq!(world.store().stats().posts, POSTS);
    assert!(world.store().stats().batches > batches + 1, "8 of them fill a batch");
    world.reopen();
    assert_eq!(posted(&world.mailbox(people[GROUP_MEMBERS_MAX - 1].device(1))), expected);
    block_on(world.store().verify()).unwrap();
}
