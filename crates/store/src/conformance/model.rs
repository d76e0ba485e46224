//! Random operations beside a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{DeviceId, Seq};

use super::Ground;
use super::world::{Person, World, texts};
use crate::{Entry, Outcome, Quotas};

const PEOPLE: u8 = 4;
const STEPS: usize = 300;
const SEEDS: u64 = 6;
const QUOTA: usize = 12;

/// What must be in the mailboxes: for each device, in order, (sender, counter) of messages; receipts
/// as a map, because they move when they are replaced.
#[derive(Default)]
struct Model {
    messages: BTreeMap<DeviceId, Vec<(DeviceId, u64)>>,
    receipts: BTreeMap<DeviceId, BTreeMap<(DeviceId, u32), u64>>,
    accepted: BTreeSet<(DeviceId, u64)>,
    next_counter: BTreeMap<DeviceId, u64>,
}

/// Submissions, repeats, acknowledgements and restarts in any order.
pub fn random_operations_agree_with_a_model(ground: &mut dyn Ground) {
    let mut world = World::with(ground, Quotas { records: QUOTA, ..Quotas::default() });
    let people: Vec<_> = (1..=PEOPLE).map(|n| world.person(n, u32::from(n % 3) + 1)).collect();
    let mut model = Model::default();
    for seed in 1..=SEEDS {
        let mut chance = Chance(seed);
        for step in 0..STEPS {
            let story = format!("seed {seed}, step {step}");
            match chance.below(20) {
                0..12 => submit(&mut world, &mut model, &mut chance, &people, &story),
                12..19 => acknowledge(&world, &mut model, &mut chance, &people),
                _ => world.reopen(),
            }
            if chance.below(10) == 0 {
                compare(&world, &model, &people, &story);
            }
        }
        compare(&world, &model, &people, &format!("seed {seed}, end"));
    }
}

fn submit(
    world: &mut World<'_>,
    model: &mut Model,
    chance: &mut Chance,
    people: &[Person],
    story: &str,
) {
    let sender = chance.one_of(people);
    let from = chance.device_of(sender);
    let next = model.next_counter.entry(from).or_insert(1);
    // Mostly the next counter, sometimes one of the last ten again.
    let counter =
        if chance.below(4) == 0 { (*next).saturating_sub(chance.below(10)).max(1) } else { *next };
    *next = (*next).max(counter + 1);
    let mut to: Vec<_> = (0..=chance.below(2)).map(|_| chance.one_of(people).clone()).collect();
    to.dedup_by_key(|person| person.account);
    let text = format!("{from} {counter}");
    let outcome = world.send(from, counter, to.iter().map(|to| to.copies(from, &text)).collect());
    let devices = to.iter().flat_map(|to| {
        to.copies(from, "")
            .copies
            .into_iter()
            .map(|copy| DeviceId { account: to.account, number: copy.device })
    });
    let devices: Vec<_> = devices.collect();
    if model.accepted.contains(&(from, counter)) {
        assert!(matches!(outcome, Outcome::Repeated { .. }), "{story}: {outcome:?}");
    } else if let Some(full) = devices.iter().find(|device| !model.has_room(**device, from)) {
        assert_eq!(outcome, Outcome::MailboxFull(*full), "{story}");
    } else {
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{story}: {outcome:?}");
        model.accepted.insert((from, counter));
        for device in devices {
            model.messages.entry(device).or_default().push((from, counter));
        }
    }
}

fn acknowledge(world: &World<'_>, model: &mut Model, chance: &mut Chance, people: &[Person]) {
    let device = chance.device_of(chance.clone().one_of(people));
    let waiting = world.mailbox(device);
    let Some(last) = waiting.get(usize::try_from(chance.below(16)).unwrap()).or(waiting.last())
    else {
        return;
    };
    let up_to: Seq = last.seq;
    for record in waiting.iter().take_while(|record| record.seq <= up_to) {
        match &record.entry {
            Entry::Message { from, counter, .. } => model.deliver(device, *from, *counter, people),
            Entry::Receipt { origin, by, .. } => {
                model.receipts.entry(device).or_default().remove(&(*by, origin.0));
            }
            other => panic!("nobody is in a group: {other:?}"),
        }
    }
    world.acknowledge(device, up_to);
}

impl Model {
    fn has_room(&self, device: DeviceId, from: DeviceId) -> bool {
        let queued = self.messages.get(&device).map_or(&[][..], Vec::as_slice);
        let held = queued.iter().filter(|(sender, _)| sender.account == from.account).count();
        held < QUOTA - queued.len()
    }

    fn deliver(&mut self, device: DeviceId, from: DeviceId, counter: u64, people: &[Person]) {
        let queued = self.messages.get_mut(&device).unwrap();
        assert_eq!(queued.remove(0), (from, counter), "order");
        let sender = people.iter().find(|person| person.account == from.account).unwrap();
        for (number, _) in &sender.list.devices {
            let told = sender.device(number.0);
            if told != device {
                let receipts = self.receipts.entry(told).or_default();
                let up_to = receipts.entry((device, from.number.0)).or_default();
                *up_to = counter.max(*up_to);
            }
        }
    }
}

fn compare(world: &World<'_>, model: &Model, people: &[Person], story: &str) {
    let devices = people
        .iter()
        .flat_map(|person| person.list.devices.iter().map(|(number, _)| person.device(number.0)));
    for device in devices {
        let records = world.mailbox(device);
        assert!(records.is_sorted_by(|one, next| one.seq < next.seq), "{story}");
        let (mut messages, mut receipts) = (Vec::new(), BTreeMap::new());
        for record in &records {
            match &record.entry {
                Entry::Message { from, counter, .. } => messages.push((*from, *counter)),
                Entry::Receipt { origin, by, up_to } => {
                    let before = receipts.insert((*by, origin.0), *up_to);
                    assert_eq!(before, None, "{story}: one watermark each");
                }
                other => panic!("nobody is in a group: {other:?}"),
            }
        }
        let expected = model.messages.get(&device).cloned().unwrap_or_default();
        assert_eq!(messages, expected, "{story}: {device} holds {:?}", texts(&records));
        let expected = model.receipts.get(&device).cloned().unwrap_or_default();
        assert_eq!(receipts, expected, "{story}: receipts of {device}");
    }
}

/// Chance from a seed (SplitMix64), so that a failure can be played again.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn device_of(&mut self, person: &Person) -> DeviceId {
        person.device(self.one_of(&person.list.devices).0.0)
    }
}
