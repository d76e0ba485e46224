//! A linked device is given what was said before it, whatever happens to both in the meantime.

use std::collections::BTreeMap;

use godwit_base::{DeviceId, MessageId};
use godwit_client::core::{
    HISTORY_BYTES_MAX, HISTORY_ROWS_MAX, PACK_BYTES_MAX, PastItem, PastPage,
};
use godwit_client::{Act, ChatId, Event, HistoryItem, MessageState};
use proptest::prelude::*;

use crate::chaos::{PEOPLE, happen, happening};
use crate::replay::cases;
use crate::world::{World, handle};

/// Rows of a linked device's own begin here.
const OWN_ROWS_FROM: u64 = 1 << 40;

/// Packs that wait for the server at once.
const PACKS_AHEAD_MAX: usize = 4;

impl World {
    /// Another device of the account at `main` is on the list, has begun, and is to have the history.
    fn gives_to_new(&mut self, main: usize) -> usize {
        let of = self.devices[main].handle.to_string();
        let new = self.add_device(&of);
        let number = self.devices[new].id().number;
        self.devices[main].core().begin_giving(number);
        self.drive(main);
        new
    }

    /// Runs until the history is given.
    fn gives_all(&mut self, main: usize) {
        let mut rounds = 0;
        while self.devices[main].core().history_progress().is_some() {
            (0..self.devices.len()).for_each(|at| self.step(at));
            rounds += 1;
            assert!(rounds < 10_000, "it never ends");
        }
        self.settle();
    }

    /// Everything that a device shows, in the order in which it shows it, less the number of the row.
    fn shows(&self, at: usize) -> Vec<HistoryItem> {
        self.devices[at].history.items.values().map(told).collect()
    }
}

/// A message less what is a device's own affair: its row, and how many have what was said to a group, which
/// only the device knows that said it.
fn told(item: &HistoryItem) -> HistoryItem {
    let mut item = HistoryItem { row: 0, ..item.clone() };
    item.details.reach = None;
    item
}

/// Alice has talked with bob and carol, alone and in a group, and all kinds of things were said about it.
/// Small, but several packs.
fn with_history() -> World {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let group = world.creates(0, "Herons", &["bob", "carol"]);
    let long = "x".repeat(PACK_BYTES_MAX / 8);
    let mut ids = Vec::new();
    for n in 0..20 {
        for from in ["bob", "carol"] {
            ids.push(world.send(from, "alice", &format!("{n} {long}")));
        }
        ids.push(world.send("alice", "bob", &format!("{n} to bob")));
        let now = world.now();
        world.devices[n % 3].say(group, &format!("{n} to all"), now);
        world.pass(10);
        world.settle();
    }
    let now = world.now();
    world.devices[1].act(&handle("alice"), ids[0], &Act::Edit("bob's first".into()), now);
    world.devices[0].act(&handle("carol"), ids[1], &Act::Reaction("+".into()), now);
    world.devices[0].act(&handle("bob"), ids[2], &Act::Deletion, now);
    world.devices[1].core().mark_read(&handle("alice").into(), now);
    world.settle();
    world
}

/// The new device at `new` ends with the same history as the main one at `main`: each message once and in
/// the same order.
fn same(world: &World, main: usize, new: usize) {
    let (expected, there) = (world.shows(main), world.shows(new));
    assert_eq!(there.len(), expected.len());
    for (there, expected) in there.iter().zip(&expected) {
        assert_eq!(there, expected);
    }
}

#[test]
fn it_is_the_same_history() {
    let mut world = with_history();
    let new = world.gives_to_new(0);
    world.gives_all(0);
    same(&world, 0, new);
    let news = world.devices[new].told.iter();
    let news = news.filter(|event| matches!(event, Event::Message(_) | Event::Changed(_)));
    assert_eq!(news.count(), 0, "what is given is no news");
}

/// Either side is killed after each of its steps, before and after its commit, and links are cut.
#[test]
fn it_is_the_same_after_a_kill_or_a_cut_at_every_step() {
    for kills_main in [true, false] {
        let mut world = with_history();
        let new = world.gives_to_new(0);
        let killed = if kills_main { 0 } else { new };
        let mut rounds = 0;
        while world.devices[0].core.as_mut().is_none_or(|core| core.history_progress().is_some()) {
            let now = world.now();
            match rounds % 5 {
                0 => world.cut(killed),
                4 => {}
                // What it did since is gone, or what it would have sent.
                n => {
                    world.devices[killed].flush(now);
                    if n > 1 {
                        world.devices[killed].commit(n == 2);
                    }
                    world.devices[killed].crash();
                }
            }
            world.obey(killed);
            rounds += 1;
            assert!(rounds < 500, "it never ends");
            if world.devices[killed].core.is_none() {
                world.devices[killed].restart(now);
            }
            world.pass(1_000); // whoever was cut dials again
            // So far it comes this time, a little further each.
            for _ in 0..rounds / 5 {
                for at in 0..world.devices.len() {
                    world.drive(at);
                    world.obey(at);
                    world.carry_up(at, 30_000);
                    world.carry_down(at, 30_000);
                }
            }
        }
        world.settle();
        assert!(rounds > 5, "killed {rounds} times");
        same(&world, 0, new);
    }
}

/// People go on writing while it is given: what is new comes to both, and what was before, once.
#[test]
fn what_comes_meanwhile_is_there_once() {
    let mut world = with_history();
    let new = world.gives_to_new(0);
    let mut n = 0;
    while world.devices[0].core().history_progress().is_some() {
        world.send("bob", "alice", &format!("meanwhile {n}"));
        n += 1;
        for at in 0..world.devices.len() {
            world.drive(at);
            world.obey(at);
            world.carry_up(at, 20_000);
            world.carry_down(at, 20_000);
        }
        assert!(n < 1_000, "it never ends");
    }
    world.settle();
    assert!(n > 2);
    same(&world, 0, new);
}

/// Whoever is linked while another one is being given the history waits for it.
#[test]
fn two_devices_that_are_linked_one_after_the_other_both_have_it() {
    let mut world = with_history();
    let first = world.gives_to_new(0);
    world.step(0);
    let second = world.gives_to_new(0);
    world.gives_all(0);
    for new in [first, second] {
        same(&world, 0, new);
    }
}

/// The new device is taken off the list in the middle: nothing more is said to it, and the giver ends.
#[test]
fn giving_ends_with_who_is_to_have_it() {
    let mut world = with_history();
    let new = world.gives_to_new(0);
    world.drive(0); // four packs are on their way
    let (number, now) = (world.devices[new].id().number, world.now());
    world.devices[0].core().remove_device(number, now).unwrap();
    world.gives_all(0);
    let before = world.server.submitted.len();
    world.devices[0].crash();
    world.settle();
    assert!(world.devices[0].core().history_progress().is_none());
    assert_eq!(world.server.submitted.len(), before);
}

/// The giver itself is removed in the middle, by the account's owner on another device: it stops, and what
/// came is the newest part of the history without a gap.
#[test]
fn a_giver_that_is_removed_leaves_no_gap() {
    let mut world = with_history();
    let all = world.shows(0);
    let new = world.gives_to_new(0);
    world.drive(0);
    world.carry_up(0, 80_000);
    let main = world.devices[0].id();
    world.server.expel(main);
    for _ in 0..2 {
        world.settle();
        world.devices[0].crash();
    }
    world.settle();
    assert!(world.devices[0].core().stopped_because().is_some());
    let there = world.shows(new);
    assert!(!there.is_empty() && there.len() < all.len(), "{} of {}", there.len(), all.len());
    let newest = &all[all.len() - there.len()..];
    for (there, expected) in there.iter().zip(newest) {
        assert_eq!((there.id, &there.text), (expected.id, &expected.text));
    }
}

/// A row of a long history.
fn row(number: u64, bytes: usize) -> PastItem {
    let id = MessageId { device: DeviceId::new(7, 1), counter: number };
    PastItem {
        row: number,
        id,
        with: ChatId::Contact(handle("bob")),
        from: handle("bob"),
        outgoing: false,
        state: MessageState::Read,
        note: None,
        sent_at_ms: 1,
        received_at_ms: Some(2),
        expires_at_ms: None,
        body: vec![0xff; bytes], // of a kind that nobody knows
        said: Vec::new(),
    }
}

impl World {
    /// Gives a history of so many rows of so many bytes, so many at once. Returns how many the new device has
    /// of them, and the oldest.
    fn gives_rows(count: u64, bytes: usize, at_once: u64) -> (usize, u64) {
        let mut world = World::with(&["alice"]);
        let new = world.add_device("alice");
        let number = world.devices[new].id().number;
        world.devices[0].core().begin_giving_from(number, count + 1);
        while world.devices[0].core().history_progress().is_some() {
            let now = world.now();
            while let Some(wanted) = world.devices[0].core().history_wanted() {
                let last = wanted.before.saturating_sub(1).min(count);
                let first = last.saturating_sub(at_once - 1).max(wanted.floor).max(1);
                let items = (first..=last).rev().map(|number| row(number, bytes)).collect();
                let count = wanted.counts.then(|| u32::try_from(count).unwrap());
                world.devices[0].core().give_history(PastPage { items, count }, now);
            }
            (0..2).for_each(|at| world.step(at));
        }
        world.settle();
        let items = &world.devices[new].history.items;
        (items.len(), items.first_key_value().map_or(0, |(row, _)| *row))
    }
}

#[test]
fn both_sides_of_the_bound_on_messages() {
    let most = u64::from(HISTORY_ROWS_MAX);
    assert_eq!(World::gives_rows(most, 1, 50), (usize::try_from(most).unwrap(), 1));
    assert_eq!(World::gives_rows(most + 1, 1, 50), (usize::try_from(most).unwrap(), 2));
}

#[test]
fn both_sides_of_the_bound_on_bytes() {
    let most = HISTORY_BYTES_MAX / PACK_BYTES_MAX as u64;
    let all = usize::try_from(most).unwrap();
    assert_eq!(World::gives_rows(most, PACK_BYTES_MAX, 1), (all, 1));
    assert_eq!(World::gives_rows(most, PACK_BYTES_MAX + 1, 1), (all - 1, 2));
}

#[test]
fn both_sides_of_what_waits_for_the_server() {
    let mut world = World::with(&["alice", "bob"]);
    let new = world.add_device("alice");
    let number = world.devices[new].id().number;
    world.devices[0].core().begin_giving_from(number, 100);
    let now = world.now();
    for n in 0..PACKS_AHEAD_MAX as u64 {
        assert!(world.devices[0].core().history_wanted().is_some(), "{n} wait");
        let page = PastPage { items: vec![row(99 - n, 1)], count: (n == 0).then_some(99) };
        world.devices[0].core().give_history(page, now);
    }
    assert_eq!(world.devices[0].core().history_wanted(), None);
    // What people say does not wait for it.
    world.send("alice", "bob", "hi");
    world.drive(0);
    assert_eq!(world.devices[0].core().history_wanted(), None);
    world.carry_up(0, usize::MAX);
    world.carry_down(0, usize::MAX);
    assert!(world.devices[0].core().history_wanted().is_some());
}

/// Three people write; then alice has another device, which is given all of it while everything goes on
/// and goes wrong.
#[test]
fn a_new_device_ends_with_the_same_history() {
    let before = prop::collection::vec(happening(PEOPLE.len()), 50..200);
    let meanwhile = prop::collection::vec(happening(PEOPLE.len() + 1), 50..300);
    cases(4, 8, &(before, meanwhile), |(before, meanwhile)| {
        let mut world = World::with(&PEOPLE);
        let mut sent = Vec::new();
        before.into_iter().for_each(|what| happen(&mut world, what, &mut sent));
        world.server.mischief = Default::default();
        (0..3).for_each(|_| {
            world.settle();
            world.pass(60_000);
        });
        let new = world.gives_to_new(0);
        meanwhile.into_iter().for_each(|what| happen(&mut world, what, &mut sent));
        world.server.mischief = Default::default();
        (0..5).for_each(|_| {
            world.settle();
            world.pass(60_000);
        });
        world.settle();
        assert!(world.devices[0].core().history_progress().is_none());
        alike(&world, 0, new);
    });
}

/// Both show the same messages, with the same said about them; what is older than the new device in the same
/// order, and the rest in each sender's.
fn alike(world: &World, main: usize, new: usize) {
    let story = |at: usize| -> BTreeMap<MessageId, HistoryItem> {
        let items = world.devices[at].history.items.values();
        items.map(|item| (item.id, told(item))).collect()
    };
    let (expected, there) = (story(main), story(new));
    assert_eq!(there.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (id, item) in &there {
        // A tick that came while its message was on its way in a pack is not there.
        let expected = HistoryItem { state: item.state, ..expected[id].clone() };
        assert_eq!(item, &expected, "{id}");
    }
    let given = world.devices[new].history.items.range(..OWN_ROWS_FROM);
    let given: Vec<MessageId> = given.map(|(_, item)| item.id).collect();
    let order = world.devices[main].history.items.values().map(|item| item.id);
    let order: Vec<MessageId> = order.filter(|id| given.contains(id)).collect();
    assert_eq!(given, order);
    let mut last = BTreeMap::new();
    for item in world.devices[new].history.items.values() {
        let before = last.insert((item.with.clone(), item.id.device), item.id.counter);
        assert!(before < Some(item.id.counter), "{} after {before:?}", item.id);
    }
}
