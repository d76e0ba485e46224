//! Receipts of posts: one record that counts, and who exactly on demand.

use godwit_base::{DeviceId, DeviceNumber};

use super::Ground;
use super::groups::{GROUP, change, entry, group_of};
use super::posts::{quiet, says};
use super::world::{NOW_MS, Person, World, block_on};
use crate::{Entry, Quotas};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What the receipts in a mailbox say.
fn told(world: &World<'_>, device: DeviceId) -> Vec<Vec<(u64, u32)>> {
    let posts = |record: crate::Record| match record.entry {
        Entry::GroupReceipt { group, origin, posts } => {
            assert_eq!((group, origin), (GROUP, DeviceNumber(1)));
            Some(posts)
        }
        _ => None,
    };
    world.mailbox(device).into_iter().filter_map(posts).collect()
}

fn progress(world: &World<'_>, by: &Person, counter: u64) -> Vec<(godwit_base::AccountId, u64)> {
    let origin = DeviceNumber(1);
    block_on(world.store().group_progress(by.account, GROUP, origin, counter)).unwrap()
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
        assert_eq!(told(&world, device), [vec![(1, 1)]]);
    }
    world.acknowledge_all(carol.device(1));
    world.acknowledge_all(bob.device(2));
    world.acknowledge_all(bob.device(1));
    world.reopen();
    for device in [alice.device(1), alice.device(2)] {
        assert_eq!(told(&world, device), [vec![(1, 2), (2, 2)]], "one record, as of now");
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
    assert_eq!(told(&world, alice.device(1)), [vec![(1, 2)]], "there was more to tell");
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
    let mut both = vec![(bob.account, 2), (carol.account, 1)];
    both.sort_by_key(|(account, _)| *account);
    assert_eq!(progress(&world, &alice, 1), both);
    assert_eq!(progress(&world, &alice, 2), [(bob.account, 2)]);
    assert!(progress(&world, &alice, 3).is_empty());
    assert!(progress(&world, &bob, 1).is_empty(), "of its own posts");
    change(&world, alice.device(1), &entry(2, &[(&bob, None)])).unwrap();
    assert_eq!(progress(&world, &alice, 2), [(bob.account, 2)], "it has it all the same");
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
    for half in 1..=2 {
        world.setting.clock.set(NOW_MS + half * DAY_MS / 2);
        block_on(world.store().sweep()).unwrap();
    }
    assert_eq!(progress(&world, &alice, 1), [(bob.account, 1)]);
    world.setting.clock.advance(1);
    block_on(world.store().sweep()).unwrap();
    assert!(progress(&world, &alice, 1).is_empty());
    assert!(told(&world, alice.device(1)).is_empty(), "it expired as well");
}
