//! Power cuts at random moments, with any part of what was not synced lost or torn.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use godwit_base::Seq;
use godwit_store::conformance::{World, block_on, first_keys};
use godwit_store::{Entry, KeyUpload, OpenError, Outcome, Publisher, Who, compact};

use crate::Bench;

const CUTS: u64 = 150;

/// Chance from a seed, so that a failure can be played again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Everything told as accepted is there once; nothing told as refused by the cut is there twice; what
/// was acknowledged may come again but never something else; a key given out never comes again.
#[test]
fn what_was_told_survives_every_cut() {
    let mut chance = Chance(7);
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let (from, to) = (alice.device(1), bob.device(1));
    let (mut counter, mut key) = (0, 0);
    let (mut accepted, mut taken) = (BTreeSet::new(), BTreeSet::new());
    let mut delivered = 0;
    for cut in 0..CUTS {
        if world.store().one_time_left(to) < 50 {
            let keys = (key..key + 3).map(|id| (id, Bytes::from(id.to_string()))).collect();
            key += 3;
            let keys = KeyUpload { one_time: keys, fallback: None };
            block_on(world.store().publish_keys(to, keys)).unwrap();
        }
        let steps = chance.below(6);
        for _ in 0..steps {
            counter += 1;
            world.text(from, counter, &bob);
            accepted.insert(counter);
        }
        if chance.below(2) == 0 {
            let key = block_on(world.store().take_keys(to, true)).unwrap().one_time;
            assert!(key.is_none_or(|key| taken.insert(key)), "cut {cut}: given out twice");
        }
        // Under way when the power goes: a message, an acknowledgement, a key.
        disk.set(|faults| faults.hold_syncs = true);
        counter += 1;
        let lost = world.submit(from, counter, vec![bob.copies(from, "cut")]);
        disk.wait_for_held_sync();
        let up_to = Seq(u64::MAX);
        if chance.below(2) == 0 {
            world.store().acknowledge(to, up_to).unwrap();
            delivered = accepted.last().copied().unwrap_or(0);
        }
        let odds = chance.below(101);
        disk.cut_power(|| chance.below(100) < odds);
        assert_eq!(world.outcome(lost), Outcome::Unavailable, "cut {cut}");
        world.store().close();
        disk.heal();
        world.reopen();

        let mut seen = BTreeMap::new();
        for record in world.mailbox(to) {
            let Entry::Message { counter, .. } = record.entry else { panic!("{record:?}") };
            *seen.entry(counter).or_insert(0) += 1;
        }
        assert!(seen.values().all(|times| *times == 1), "cut {cut}: {seen:?}");
        for counter in accepted.iter().filter(|counter| **counter > delivered) {
            assert!(seen.contains_key(counter), "cut {cut}: {counter} is lost");
        }
        // The sender repeats what it got no tick for, and gets one now.
        let again = world.send(from, counter, vec![bob.copies(from, "cut")]);
        let stored = matches!(again, Outcome::Accepted { .. });
        assert!(stored || matches!(again, Outcome::Repeated { .. }), "cut {cut}: {again:?}");
        assert_eq!(stored, !seen.contains_key(&counter), "cut {cut}");
        accepted.insert(counter);
        if accepted.len() > 40 {
            world.acknowledge_all(to);
            delivered = counter;
        }
        accepted = accepted.split_off(&(delivered + 1));
        if chance.below(8) == 0 {
            block_on(world.store().verify()).unwrap();
        }
    }
}

/// Each list brings one device and removes another. Whatever the cut tore, the list that is stored, who
/// is removed, whose mailbox and keys are gone, all say the same; and the same list again completes it.
#[test]
fn a_list_is_replaced_whole_or_not_at_all_by_any_cut() {
    let mut chance = Chance(11);
    let mut bench = Bench::new();
    let disk = bench.disk.clone();
    let mut world = World::new(&mut bench);
    let (alice, mut bob) = (world.person(1, 1), world.person(2, 2));
    let (from, by) = (alice.device(1), bob.device(1));
    let (mut went_through, mut undone) = (0, 0);
    for cut in 1..=CUTS / 3 {
        let newest = u32::try_from(cut).unwrap() + 1;
        let (goes, comes) = (bob.device(newest), bob.device(newest + 1));
        world.text(from, cut, &bob);
        let keys = KeyUpload { one_time: vec![(1, Bytes::from("key"))], fallback: None };
        block_on(world.store().publish_keys(goes, keys)).unwrap();
        disk.set(|faults| faults.hold_syncs = true);
        let numbers = [1, newest + 1];
        let list = world.list_of(2, cut + 1, numbers);
        let answer =
            world.store().replace_list(Publisher::Device(by), list.clone(), first_keys(&list));
        disk.wait_for_held_sync();
        // Everything written, nothing, or some of it is on the disk.
        let odds = [100, 0, chance.below(101)][usize::try_from(cut % 3).unwrap()];
        disk.cut_power(|| chance.below(100) < odds);
        block_on(answer).unwrap_err();
        assert_eq!(world.removed(), [], "cut {cut}: nobody was told");
        world.store().close();
        disk.heal();
        world.reopen();

        let stored = block_on(world.store().profile(Who::Account(bob.account))).unwrap().unwrap();
        let is_new = stored.list == list;
        assert!(is_new || stored.list == bob.list, "cut {cut}: {stored:?}");
        assert_eq!(world.store().is_removed(goes), is_new, "cut {cut}");
        assert_eq!(world.mailbox(goes).is_empty(), is_new, "cut {cut}");
        assert_eq!(world.store().one_time_left(goes) == 0, is_new, "cut {cut}");
        assert_eq!(world.lists(2, by, cut + 1, numbers), Ok(()), "cut {cut}: the same again");
        assert!(world.store().is_removed(goes) && !world.store().is_removed(comes), "cut {cut}");
        assert_eq!(world.removed().len(), usize::from(!is_new), "cut {cut}");
        world.events();
        bob.list = list;
        *(if is_new { &mut went_through } else { &mut undone }) += 1;
    }
    assert!(went_through > 0 && undone > 0, "both happened: {went_through} and {undone}");
    block_on(world.store().verify()).unwrap();
}

/// Cut off at any of its syncs, whatever of the last writes is on the disk, a compaction leaves a whole store.
#[test]
fn a_compaction_loses_nothing_to_any_cut() {
    /// A compaction of a file like this one syncs more often than that.
    const SYNCS: u64 = 12;
    let mut chance = Chance(13);
    let mut bench = Bench::new();
    let (disk, options) = (bench.disk.clone(), bench.options.clone());
    let dir = bench.dir.path().to_owned();
    std::fs::write(dir.join("store.redb"), []).unwrap(); // what is asked for before the disk is
    let mut world = World::new(&mut bench);
    let (alice, bob, carol) = (world.person(1, 1), world.person(2, 1), world.person(3, 1));
    let (from, mut counter) = (alice.device(1), 0);
    for cut in 0..3 * SYNCS {
        for _ in 0..20 {
            counter += 1;
            let body = "x".repeat(20_000);
            let spike = world.submit(from, counter, vec![bob.copies(from, &body)]);
            assert!(matches!(world.outcome(spike), Outcome::Accepted { .. }));
        }
        counter += 1;
        world.text(from, counter, &carol);
        world.acknowledge(bob.device(1), Seq(u64::MAX));
        let kept = world.mailbox(carol.device(1));
        world.store().close();

        let hold_from = disk.counts().syncs + cut % SYNCS;
        disk.set(|faults| (faults.hold_syncs, faults.hold_from) = (true, hold_from));
        let compacted = std::thread::scope(|scope| {
            let compacting = scope.spawn(|| compact(&dir, &options));
            disk.wait_for_held_sync();
            let odds = [100, 0, chance.below(101)][usize::try_from(cut % 3).unwrap()];
            disk.cut_power(|| chance.below(100) < odds);
            compacting.join().unwrap()
        });
        assert!(matches!(compacted, Err(OpenError::Io { .. })), "cut {cut}: {compacted:?}");
        disk.heal();
        world.reopen();
        assert_eq!(world.mailbox(carol.device(1)), kept, "cut {cut}");
        block_on(world.store().verify()).unwrap();
    }
}
