//! A server that lies about an account of several devices.

use godwit_base::{DeviceId, DeviceNumber};
use godwit_client::{Failure, MessageState, Note, WarningKind};
use godwit_seal::{AccountKey, DeviceKeys, DeviceList};
use godwit_wire::v1;

use crate::server::Entry;
use crate::world::{World, handle};

/// Alice writes with bob, who has two devices.
struct Stage {
    world: World,
    /// Bob's devices among those of the world.
    bobs: [usize; 2],
    second: DeviceId,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::with(&["alice", "bob"]);
        let bobs = [world.index("bob"), world.add_device("bob")];
        let second = world.devices[bobs[1]].core().device();
        world.send("alice", "bob", "before");
        world.settle();
        let mut stage = Self { world, bobs, second };
        stage.both_have(&["before"]);
        stage
    }

    fn both_have(&mut self, texts: &[&str]) {
        for at in self.bobs {
            assert_eq!(self.world.devices[at].texts_from(&handle("alice")), texts, "device {at}");
        }
    }

    /// Alice writes; the message fails, and nothing of it lies in any mailbox.
    fn is_refused(&mut self, failure: Failure) {
        let id = self.world.send("alice", "bob", "secret");
        self.world.settle();
        assert_eq!(self.world.state("alice", id), MessageState::Failed(failure));
        assert!(self.world.server.mailboxes.values().all(std::collections::VecDeque::is_empty));
        self.both_have(&["before"]);
    }

    /// A device that the server has made up, with everything that it can have.
    fn ghost(&mut self) -> DeviceKeys {
        let account_key = self.world.account_key(self.second.account);
        DeviceKeys::create(&account_key, DeviceNumber(3), self.world.now().wall_ms)
    }
}

fn upload(keys: &DeviceKeys) -> v1::KeyUpload {
    let keys = keys.upload();
    let one_time = keys.one_time.into_iter();
    v1::KeyUpload {
        one_time: one_time
            .map(|(id, signed)| v1::OneTimeKey { id, signed: signed.into() })
            .collect(),
        fallback: keys.fallback.unwrap().into(),
    }
}

#[test]
fn that_adds_a_device_has_nothing_sealed_for_it() {
    let mut stage = Stage::new();
    let ghost = stage.ghost();
    // The best that it can sign: the same device, of an account of its own.
    let mine = AccountKey::generate();
    let now_ms = stage.world.now().wall_ms;
    let entry = DeviceKeys::create(&mine.public(), DeviceNumber(3), now_ms).describe();
    let signed = DeviceList::sign(&mine, None, &[entry], now_ms).unwrap();
    stage.world.server.add_ghost(ghost.id(), upload(&ghost), signed);
    stage.is_refused(Failure::DevicesChanging);
    assert!(stage.world.warnings("alice", WarningKind::Server) >= 1, "the user is told");
    assert_eq!(stage.world.server.one_time_left_of(ghost.id()), 100, "no key of it was asked for");
}

#[test]
fn that_drops_a_device_from_the_list_gets_no_message_past_it() {
    let mut stage = Stage::new();
    stage.world.server.drop_device(stage.second);
    stage.is_refused(Failure::DevicesChanging);
}

#[test]
fn that_replays_an_old_list_is_told_of_and_gets_no_message_past_a_device() {
    let mut stage = Stage::new();
    stage.world.server.go_back_one_list(stage.second.account);
    stage.is_refused(Failure::DevicesChanging);
    assert!(stage.world.warnings("alice", WarningKind::Server) >= 1);
}

/// The list is right, and the keys are of a device that the server has.
#[test]
fn that_swaps_the_bundle_of_the_second_device_opens_no_session() {
    for one_time in [true, false] {
        let mut world = World::with(&["alice", "bob"]);
        let second = world.add_device("bob");
        let device = world.devices[second].core().device();
        let account_key = world.account_key(device.account);
        let ghost = DeviceKeys::create(&account_key, device.number, world.now().wall_ms);
        world.server.swap_keys(device, upload(&ghost));
        world.server.mischief.no_one_time = !one_time;
        let id = world.send("alice", "bob", "secret");
        world.settle();
        assert_eq!(world.state("alice", id), MessageState::Failed(Failure::BadKeys));
        assert!(world.server.mailboxes.values().all(std::collections::VecDeque::is_empty));
        assert!(world.warnings("alice", WarningKind::Server) >= 1);
    }
}

#[test]
fn that_replays_a_message_shows_it_once_on_each_device() {
    let mut stage = Stage::new();
    let main = stage.world.devices[stage.bobs[0]].core().device();
    for at in stage.bobs {
        stage.world.devices[at].crash();
        stage.world.cut(at);
    }
    stage.world.send("alice", "bob", "once");
    for _ in 0..40 {
        stage.world.pass(50);
        stage.world.step(0);
    }
    let copies = [main, stage.second].map(|device| {
        let entry = stage.world.server.withhold(device);
        (0..3).for_each(|_| stage.world.server.append(device, entry.clone()));
        (device, entry)
    });
    stage.world.settle();
    stage.both_have(&["before", "once"]);
    // Again later, under another number, and to the other device.
    for (at, (device, entry)) in copies.iter().enumerate() {
        stage.world.server.append(*device, entry.clone());
        let Entry::Message { from, counter, kind, body } = entry.clone() else {
            panic!("a message")
        };
        stage.world.server.inject(*device, from, counter + 50, kind, body);
        stage.world.server.append(copies[1 - at].0, entry.clone());
    }
    stage.world.settle();
    stage.both_have(&["before", "once"]);
}

/// Whatever order it chooses, each is opened once and has the number that its sender gave it.
#[test]
fn that_reorders_messages_changes_neither_their_number_nor_their_number_of_times() {
    let mut stage = Stage::new();
    for at in stage.bobs {
        stage.world.devices[at].crash();
        stage.world.cut(at);
    }
    let texts = ["a", "b", "c", "d", "e"];
    let ids = texts.map(|text| stage.world.send("alice", "bob", text));
    for _ in 0..40 {
        stage.world.pass(50);
        stage.world.step(0);
    }
    for at in stage.bobs {
        let device = stage.world.devices[at].id();
        let held: Vec<Entry> = texts.iter().map(|_| stage.world.server.withhold(device)).collect();
        // It was taken from the end: last first, and the middle one before all.
        for place in [2, 0, 1, 3, 4] {
            stage.world.server.append(device, held[place].clone());
        }
    }
    stage.world.settle();
    for at in stage.bobs {
        let items = &stage.world.devices[at].history.items;
        for (id, text) in ids.iter().zip(texts) {
            let found: Vec<_> = items.values().filter(|item| item.id == *id).collect();
            let [item] = found[..] else { panic!("{id} is shown {} times", found.len()) };
            assert_eq!(item.text.as_deref(), Some(text));
        }
        assert_eq!(items.len(), 1 + texts.len());
    }
}

/// What was sealed as the first it gives as the second, and the other way round.
#[test]
fn that_swaps_the_numbers_of_two_messages_has_neither_shown_as_the_other() {
    let mut stage = Stage::new();
    for at in stage.bobs {
        stage.world.devices[at].crash();
        stage.world.cut(at);
    }
    let [first, second] = ["a", "b"].map(|text| stage.world.send("alice", "bob", text));
    for _ in 0..40 {
        stage.world.pass(50);
        stage.world.step(0);
    }
    for at in stage.bobs {
        let device = stage.world.devices[at].id();
        let held = [first, second].map(|_| stage.world.server.withhold(device));
        // It was taken from the end.
        for (mut entry, other) in held.into_iter().zip([first, second]) {
            let Entry::Message { counter, .. } = &mut entry else { panic!("a message") };
            *counter = other.counter;
            stage.world.server.append(device, entry);
        }
    }
    stage.world.settle();
    stage.both_have(&["before"]);
    for (at, id) in stage.bobs.into_iter().flat_map(|at| [(at, first), (at, second)]) {
        let item = stage.world.devices[at].history.get(id);
        assert_eq!(item.and_then(|item| item.note), Some(Note::Lost), "device {at}");
    }
    assert!(stage.world.warnings("bob", WarningKind::Undecryptable) >= 2);
}
