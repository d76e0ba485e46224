//! Three accounts of three devices each, and everything that can go wrong on the way; devices are
//! revoked and linked while all that goes on. Afterwards all devices of an account tell the same story.

use std::collections::BTreeMap;

use godwit_base::MessageId;
use godwit_client::core::Core;
use godwit_client::{ChatId, Failure, HistoryItem, MessageState, Reaction};
use proptest::prelude::*;

use crate::chaos::{PEOPLE, happen, happening, owner};
use crate::replay::cases;
use crate::world::World;

/// Devices of each person at the start.
const DEVICES_EACH: usize = 3;

/// Of all of them.
const DEVICES: usize = PEOPLE.len() * DEVICES_EACH;

/// What a device knows of a message, less what is its own affair: row and place in its order.
type Told = (ChatId, String, Option<String>, bool, Option<u64>, MessageState, Vec<Reaction>);

fn told(item: &HistoryItem) -> Told {
    let HistoryItem { with, from, text, outgoing, received_at_ms, state, details, .. } =
        item.clone();
    (with, from.to_string(), text, outgoing, received_at_ms, state, details.reactions)
}

/// The story of a device. Messages read here or elsewhere count as read on all.
fn story(world: &World, at: usize) -> BTreeMap<MessageId, Told> {
    world.devices[at].history.items.values().map(|item| (item.id, told(item))).collect()
}

impl World {
    /// The core of a device, which is started if it does not run.
    fn runs(&mut self, at: usize) -> &mut Core {
        let now = self.now();
        if self.devices[at].core.is_none() {
            self.devices[at].restart(now);
        }
        self.devices[at].core()
    }
}

/// Lets everything come to rest.
fn rest(world: &mut World) {
    world.server.mischief = Default::default();
    for _ in 0..5 {
        world.settle();
        world.pass(60_000);
    }
    world.settle();
}

/// Within a chat, what one device sent is shown in the order in which it was sent.
fn check_order(world: &World, at: usize) {
    let mut last = BTreeMap::new();
    for item in world.devices[at].history.items.values() {
        let before = last.insert((item.with.clone(), item.id.device), item.id.counter);
        assert!(before < Some(item.id.counter), "device {at}: {} after {before:?}", item.id);
    }
}

fn check(world: &World, first_devices: usize) {
    for (person, name) in PEOPLE.iter().enumerate() {
        let devices = (0..first_devices).filter(|at| owner(*at) == person);
        let devices = devices.filter(|at| !world.is_revoked(*at));
        let stories: Vec<(usize, _)> = devices.map(|at| (at, story(world, at))).collect();
        let (main, first) = &stories[0];
        for (at, other) in &stories[1..] {
            assert_eq!(other, first, "device {at} and device {main} of {name}");
        }
        for (id, told) in first.iter().filter(|(_, told)| told.3) {
            assert!(told.5.reached(MessageState::Delivered), "{id} is {:?}", told.5);
        }
        // What came later knows the end of the same story.
        for at in (first_devices..world.devices.len()).filter(|at| owner(*at) == person) {
            for (id, told) in story(world, at) {
                assert_eq!(first.get(&id), Some(&told), "device {at}, which came later, of {id}");
            }
        }
    }
    (0..world.devices.len()).for_each(|at| check_order(world, at));
    (0..world.devices.len())
        .filter(|at| world.is_revoked(*at))
        .for_each(|at| check_last(world, at));
}

/// What a removed device said came to whom it was for if the server took it, and to nobody if the device says
/// that it did not go; nothing waits.
fn check_last(world: &World, at: usize) {
    let said = world.devices[at].history.items.values();
    for item in said.filter(|item| item.id.device == world.devices[at].id()) {
        let others = (0..world.devices.len()).filter(|other| *other != at);
        let mut others = others.map(|other| &world.devices[other]);
        match item.state {
            MessageState::Pending => panic!("{} waits on device {at}, which was removed", item.id),
            MessageState::Failed(Failure::Revoked) => {
                let has_it = others.find(|other| other.history.has(item.id)).map(|has| has.id());
                assert_eq!(has_it, None, "{} did not go", item.id);
            }
            MessageState::Failed(Failure::Unanswered) => {} // some of them came, some did not
            MessageState::Failed(failure) => panic!("{} fails: {failure}", item.id),
            _ => {
                let to = item.to.contact().unwrap().as_str();
                assert!(world.devices[world.index(to)].history.has(item.id), "{}", item.id);
            }
        }
    }
}

#[test]
fn all_devices_of_an_account_tell_the_same_story() {
    let some = |count| prop::collection::vec(happening(DEVICES), count);
    let with_newcomer = prop::collection::vec(happening(DEVICES + 1), 50..200);
    let all = (some(50..300), some(50..300), with_newcomer, PEOPLE.len()..DEVICES);
    cases(4, 8, &all, |(first, second, third, revoked)| {
        let mut world = World::with(&PEOPLE);
        for _ in 1..DEVICES_EACH {
            for person in PEOPLE {
                world.add_device(person);
            }
        }
        let mut sent = Vec::new();
        first.into_iter().for_each(|what| happen(&mut world, what, &mut sent));
        // Whatever is on its way then, to it and from it.
        let (number, now) = (world.devices[revoked].id().number, world.now());
        world.runs(owner(revoked)).remove_device(number, now).unwrap();
        second.into_iter().for_each(|what| happen(&mut world, what, &mut sent));
        world.runs(owner(DEVICES));
        let mut newcomer = world.offers(owner(DEVICES));
        for what in third {
            happen(&mut world, what, &mut sent);
            newcomer = newcomer.and_then(|newcomer| world.begins(newcomer));
        }
        rest(&mut world);
        check(&world, DEVICES);
    });
}
