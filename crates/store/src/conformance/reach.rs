//! Receipts of posts: one record that counts, and who exactly on demand.

use godwit_base::{AccountId, DeviceId, DeviceNumber};

use super::Ground;
use super::groups::{GROUP, MEMBER, change, entry, group_of};
use super::posts::{quiet, says};
use super::world::{NOW_MS, Person, World, block_on};
use crate::{Entry, GroupPost, Outcome, PostRead, Quotas, Record};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What a record says, if it is such a receipt: counter, accounts, readers.
fn counts(record: Record) -> Option<Vec<(u64, u32, u32)>> {
    match record.entry {
        Entry::GroupReceipt { group, origin, posts } => {
            assert_eq!((group, origin), (GROUP, DeviceNumber(1)));
            let posts = posts.into_iter();
            Some(posts.map(|post| (post.counter, post.accounts, post.readers)).collect())
        }
        _ => None,
    }
}

/// What the receipts in a mailbox say.
fn told(world: &World<'_>, device: DeviceId) -> Vec<Vec<(u64, u32, u32)>> {
    world.mailbox(device).into_iter().filter_map(counts).collect()
}

/// Accounts with the newest counter that they have, and that they have read.
fn progress(world: &World<'_>, by: &Person, counter: u64) -> Vec<(AccountId, u64, u64)> {
    let origin = DeviceNumber(1);
    let reached = block_on(world.store().group_progress(by.account, GROUP, origin, counter));
    let reached = reached.unwrap().into_iter();
    reached.map(|one| (one.account, one.up_to, one.read_up_to)).collect()
}

fn by_account<T: Copy>(mut rows: Vec<(AccountId, T, T)>) -> Vec<(AccountId, T, T)> {
    rows.sort_by_key(|(account, _, _)| *account);
    rows
}

/// `by` has read what the first device of `author` posted to the group.
fn reads(world: &World<'_>, by: &Person, author: &Person, up_to: u64) {
    let mark = PostRead { author: author.device(1), up_to };
    block_on(world.store().note_read(by.account, GROUP, vec![mark])).unwrap();
}

/// M5: not before they acknowledge, the first device of each, and never the author's own.
pub fn receipts_of_a_post_become_one_record_that_counts_accounts(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 2), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    says(&mut world, alice.device(1), 1);
    says(&mut world, alice.device(1), 2);
    assert!(told(&world, alice.device(1)).is_empty());
    let first = world.mailbox(bob.device(1))[0].seq;
    world.acknowledge(bob.device(1), first);
    for device in [alice.device(1), alice.device(2)] {
        assert_eq!(told(&world, device), [vec![(1, 1, 0)]]);
    }
    world.acknowledge_all(carol.device(1));
    world.acknowledge_all(bob.device(2));
    world.acknowledge_all(bob.device(1));
    world.reopen();
    for device in [alice.device(1), alice.device(2)] {
        assert_eq!(told(&world, device), [vec![(1, 2, 0), (2, 2, 0)]], "one record, as of now");
    }
    world.acknowledge_all(alice.device(2));
    assert!(world.mailbox(bob.device(1)).is_empty(), "receipts are not receipted");
    block_on(world.store().verify()).unwrap();
}

/// At most one lies there; what happened meanwhile is told after it.
pub fn the_next_receipt_follows_the_acknowledgement_of_the_last(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    says(&mut world, alice.device(1), 1);
    world.acknowledge_all(bob.device(1));
    let receipt = world.mailbox(alice.device(1)).remove(0);
    world.acknowledge_all(carol.device(1));
    assert_eq!(world.mailbox(alice.device(1))[0].seq, receipt.seq, "the same one waits");
    assert_eq!(world.appended(alice.device(1)).len(), 1, "and was told once");
    world.acknowledge(alice.device(1), receipt.seq);
    assert_eq!(told(&world, alice.device(1)), [vec![(1, 2, 0)]], "there was more to tell");
    world.acknowledge_all(alice.device(1));
    world.settle_down();
    assert!(world.mailbox(alice.device(1)).is_empty(), "and now there is not");
}

/// Whoever came later is there too; only the author's account is told.
pub fn who_has_a_post_is_known_by_account(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 2), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    assert!(progress(&world, &alice, 0).is_empty());
    says(&mut world, alice.device(1), 1);
    says(&mut world, alice.device(1), 2);
    world.acknowledge_all(bob.device(1));
    let first = world.mailbox(carol.device(1))[0].seq;
    world.acknowledge(carol.device(1), first);
    world.reopen();
    let both = by_account(vec![(bob.account, 2, 0), (carol.account, 1, 0)]);
    assert_eq!(progress(&world, &alice, 1), both);
    assert_eq!(progress(&world, &alice, 2), [(bob.account, 2, 0)]);
    assert!(progress(&world, &alice, 3).is_empty());
    assert!(progress(&world, &bob, 1).is_empty(), "of its own posts");
    change(&world, alice.device(1), &entry(2, &[(&bob, None)])).unwrap();
    assert_eq!(progress(&world, &alice, 2), [(bob.account, 2, 0)], "it has it all the same");
}

/// Whichever device says so, up to what the account has, and what is said once is not taken back.
pub fn what_is_read_is_counted_by_account_and_no_further_than_it_came(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 2), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    (1..=3).for_each(|counter| says(&mut world, alice.device(1), counter));
    let second = world.mailbox(bob.device(1))[1].seq;
    world.acknowledge(bob.device(1), second);
    world.acknowledge_all(carol.device(1));
    reads(&world, &bob, &alice, 3);
    reads(&world, &carol, &alice, 1);
    world.reopen();
    for device in [alice.device(1), alice.device(2)] {
        assert_eq!(told(&world, device), [vec![(1, 2, 2), (2, 2, 1), (3, 1, 0)]]);
    }
    let both = by_account(vec![(bob.account, 2, 2), (carol.account, 3, 1)]);
    assert_eq!(progress(&world, &alice, 1), both);
    reads(&world, &carol, &alice, 3);
    for lower in [1, 2, 3] {
        reads(&world, &carol, &alice, lower);
    }
    world.acknowledge_all(bob.device(1));
    world.reopen();
    assert_eq!(told(&world, alice.device(1)), [vec![(1, 2, 2), (2, 2, 2), (3, 2, 1)]]);
    assert_eq!(
        progress(&world, &alice, 3),
        by_account(vec![(bob.account, 3, 2), (carol.account, 3, 3)])
    );
    reads(&world, &bob, &alice, 3);
    assert_eq!(told(&world, alice.device(1)), [vec![(1, 2, 2), (2, 2, 2), (3, 2, 2)]]);
    block_on(world.store().verify()).unwrap();
}

/// Nobody else's word counts: not the author's own, and not of who got nothing there.
pub fn only_who_has_a_post_can_have_read_it(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 2), world.person(2, 1), world.person(3, 1));
    let stranger = world.person(4, 1);
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    says(&mut world, alice.device(1), 1);
    let before = world.store().stats().batches;
    reads(&world, &bob, &alice, 1);
    reads(&world, &stranger, &alice, 1);
    assert_eq!(world.store().stats().batches, before, "there is no row, and none comes");
    world.acknowledge_all(bob.device(1));
    world.acknowledge_all(alice.device(2));
    let before = world.store().stats().batches;
    reads(&world, &stranger, &alice, 1);
    reads(&world, &alice, &alice, 1);
    reads(&world, &carol, &alice, 1);
    assert_eq!(world.store().stats().batches, before, "nothing was written");
    assert_eq!(progress(&world, &alice, 0), [(bob.account, 1, 0)]);
    assert!(progress(&world, &stranger, 0).is_empty());
    // Who comes later has not read what was said before.
    change(&world, alice.device(1), &entry(2, &[(&stranger, MEMBER)])).unwrap();
    quiet(&world, &[&stranger]);
    let post = GroupPost { group: GROUP, epoch: 2, devices_version: 0, body: "later".into() };
    let outcome = world.post(alice.device(1), 2, vec![], post);
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    world.acknowledge_all(stranger.device(1));
    reads(&world, &stranger, &alice, 2);
    assert_eq!(told(&world, alice.device(1)), [vec![(1, 1, 0), (2, 1, 1)]]);
}

/// One record, whether posts were had or read; what is read meanwhile is told after it.
pub fn what_is_read_is_told_as_what_is_had(ground: &mut dyn Ground) {
    let mut world = World::new(ground);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    group_of(&world, &[&alice, &bob, &carol]);
    quiet(&world, &[&alice, &bob, &carol]);
    says(&mut world, alice.device(1), 1);
    world.acknowledge_all(bob.device(1));
    world.acknowledge_all(carol.device(1));
    world.acknowledge_all(alice.device(1));
    world.settle_down();
    world.acknowledge_all(alice.device(1));
    world.settle_down();
    world.events();
    reads(&world, &bob, &alice, 1);
    world.settle_down();
    let live = world.appended(alice.device(1));
    assert_eq!(live.len(), 1, "{live:?}");
    let first = live[0].seq;
    assert_eq!(live.into_iter().filter_map(counts).collect::<Vec<_>>(), [[(1, 2, 1)]]);
    reads(&world, &carol, &alice, 1);
    world.settle_down();
    assert_eq!(world.mailbox(alice.device(1))[0].seq, first, "the same one waits");
    assert_eq!(world.appended(alice.device(1)).len(), 1, "and was told once");
    assert_eq!(told(&world, alice.device(1)), [[(1, 2, 2)]], "read, it tells as of now");
    world.acknowledge(alice.device(1), first);
    assert_eq!(told(&world, alice.device(1)), [[(1, 2, 2)]], "there was more to tell");
    world.acknowledge_all(alice.device(1));
    world.settle_down();
    reads(&world, &carol, &alice, 1);
    world.settle_down();
    assert!(world.mailbox(alice.device(1)).is_empty(), "the same again is no news");
}

/// A row that tells of nothing that could still wait goes.
pub fn rows_of_reach_are_swept_when_they_are_old(ground: &mut dyn Ground) {
    let quotas = Quotas { expiry_days: 1, ..Quotas::default() };
    let mut world = World::with(ground, quotas);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    group_of(&world, &[&alice, &bob]);
    quiet(&world, &[&alice, &bob]);
    says(&mut world, alice.device(1), 1);
    world.acknowledge_all(bob.device(1));
    world.setting.clock.set(NOW_MS + DAY_MS / 2);
    reads(&world, &bob, &alice, 1); // the row is as new as what it tells
    for half in 2..=3 {
        world.setting.clock.set(NOW_MS + half * DAY_MS / 2);
        block_on(world.store().sweep()).unwrap();
    }
    assert_eq!(progress(&world, &alice, 1), [(bob.account, 1, 1)]);
    world.setting.clock.advance(1);
    block_on(world.store().sweep()).unwrap();
    assert!(progress(&world, &alice, 1).is_empty());
    assert!(told(&world, alice.device(1)).is_empty(), "it expired as well");
}
