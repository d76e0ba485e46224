//! What a device sent before it was removed, for those who learn of the removal first.

use godwit_base::DeviceId;
use godwit_client::{MessageState, Note, WarningKind};
use godwit_seal::{DeviceList, FORMER_KEEP_MS, Trust};

use crate::server::Entry;
use crate::world::{World, handle};

/// Alice has two devices, of which the second is removed after it has written to bob, whom that did
/// not reach.
struct Removed {
    world: World,
    bob: usize,
    device: DeviceId,
    /// What it sent to bob, as it lay in his mailbox.
    last_words: Vec<Entry>,
}

impl Removed {
    fn after_writing_to_bob(knows: bool) -> Self {
        let mut world = World::with(&["alice", "bob"]);
        let other = world.add_device("alice");
        let (bob, device) = (world.index("bob"), world.devices[other].core().device());
        if knows {
            world.send("bob", "alice", "hello");
            world.settle();
        }
        world.devices[bob].crash();
        world.cut(bob);
        let now = world.now();
        for text in ["one", "two"] {
            world.devices[other].send(&handle("bob"), text, now);
        }
        world.settle_without(bob);
        let to = world.devices[bob].id();
        let mut last_words = [world.server.withhold(to), world.server.withhold(to)];
        last_words.reverse();
        let now = world.now();
        world.device("alice").core().remove_device(device.number, now).unwrap();
        world.settle_without(bob);
        Self { world, bob, device, last_words: last_words.to_vec() }
    }

    /// What the server held back comes.
    fn comes(&mut self, at: usize) {
        let to = self.world.devices[self.bob].id();
        let entry = self.last_words[at].clone();
        self.world.server.append(to, entry);
        self.world.step(self.bob);
    }

    fn texts(&mut self) -> Vec<String> {
        self.world.texts("bob", "alice")
    }

    /// Until when bob believes it.
    fn until_ms(&self) -> u64 {
        let signed = &self.world.server.accounts[&self.device.account].signed_list;
        let trust = Trust::FirstUse(self.device.account);
        let now_ms = self.world.now().wall_ms;
        let list = DeviceList::verify(signed, trust, None, now_ms).unwrap();
        let former: Vec<_> = list.former().collect();
        let [(number, until_ms)] = former[..] else { panic!("{former:?}") };
        assert_eq!(number, self.device.number);
        until_ms
    }
}

impl World {
    pub(crate) fn settle_without(&mut self, who: usize) {
        for _ in 0..60 {
            self.pass(50);
            for at in (0..self.devices.len()).filter(|at| *at != who) {
                if self.devices[at].core.is_some() {
                    self.step(at);
                }
            }
        }
    }
}

#[test]
fn it_opens_for_who_knew_the_device() {
    let mut removed = Removed::after_writing_to_bob(true);
    removed.world.settle();
    // Bob learns of the removal before that comes.
    let id = removed.world.send("bob", "alice", "are you both there?");
    removed.world.settle();
    assert_eq!(removed.world.state("bob", id), MessageState::Delivered);
    (0..2).for_each(|at| removed.comes(at));
    removed.world.settle();
    assert_eq!(removed.texts(), ["one", "two"]);
    // Nothing goes out for it, and nothing is asked of it.
    removed.world.server.submitted.clear();
    let id = removed.world.send("bob", "alice", "only you");
    removed.world.settle();
    assert_eq!(removed.world.state("bob", id), MessageState::Delivered);
    assert_eq!(removed.world.server.submitted.len(), 1, "no second round");
    assert!(!removed.world.server.mailboxes.contains_key(&removed.device));
    let now = removed.world.now();
    removed.world.device("bob").core().mark_read(&handle("alice").into(), now);
    removed.world.settle();
    assert_eq!(removed.world.warnings("bob", WarningKind::Undecryptable), 0);
}

#[test]
fn it_opens_for_who_had_never_heard_of_the_account() {
    let mut removed = Removed::after_writing_to_bob(false);
    removed.world.settle();
    (0..2).for_each(|at| removed.comes(at));
    removed.world.settle();
    assert_eq!(removed.texts(), ["one", "two"]);
    assert_eq!(removed.world.warnings("bob", WarningKind::Undecryptable), 0);
}

#[test]
fn it_opens_for_thirty_days_and_no_longer_and_after_a_restart_too() {
    let mut removed = Removed::after_writing_to_bob(true);
    removed.world.settle();
    removed.world.send("bob", "alice", "I learn of it");
    removed.world.settle();
    let until_ms = removed.until_ms();
    let begin_ms = removed.world.now().wall_ms;
    assert!(until_ms > begin_ms && until_ms <= begin_ms + FORMER_KEEP_MS);
    removed.world.devices[removed.bob].crash();
    removed.world.obey(removed.bob);
    removed.world.settle();
    removed.world.pass(until_ms - removed.world.now().wall_ms - 60_000);
    removed.world.settle();
    while removed.world.now().wall_ms < until_ms - 1 {
        let left_ms = until_ms - 1 - removed.world.now().wall_ms;
        removed.world.pass(left_ms.min(1_000));
        (0..4).for_each(|_| removed.world.step(removed.bob));
    }
    removed.comes(0);
    (0..2).for_each(|_| removed.world.step(removed.bob));
    assert_eq!(removed.texts(), ["one"]);
    removed.world.pass(1);
    removed.comes(1);
    (0..2).for_each(|_| removed.world.step(removed.bob));
    let lost = |removed: &Removed| {
        let items = removed.world.devices[removed.bob].history.items.values();
        items.filter(|item| item.note == Some(Note::Lost)).count()
    };
    assert_eq!((removed.texts(), lost(&removed)), (vec!["one".to_owned()], 1));
    // Its ratchets are wiped.
    removed.world.pass(600_000);
    removed.world.settle();
    let rows = removed.world.devices[removed.bob].rows_of(removed.device);
    assert_eq!(rows, 0, "rows of the removed device");
}

/// What did not open is not asked for again: nobody is there to send it anew.
#[test]
fn what_does_not_open_is_lost_at_once() {
    let mut removed = Removed::after_writing_to_bob(true);
    removed.world.settle();
    removed.world.send("bob", "alice", "I learn of it");
    removed.world.settle();
    let Entry::Message { body, .. } = &mut removed.last_words[0] else { panic!("a message") };
    *body.last_mut().unwrap() ^= 1;
    removed.world.server.submitted.clear();
    (0..2).for_each(|at| removed.comes(at));
    removed.world.settle();
    assert_eq!(removed.texts(), ["two"]);
    assert_eq!(removed.world.warnings("bob", WarningKind::Undecryptable), 1);
    assert!(removed.world.server.submitted.is_empty(), "no request");
}

/// The first message has a copy for the removed device and comes back; the next one has no copy of ours at all.
#[test]
fn what_is_said_after_the_last_other_device_is_gone_does_not_pass_what_was_copied_to_it() {
    let mut world = World::with(&["alice", "bob"]);
    let other = world.add_device("alice");
    world.send("alice", "bob", "hello");
    world.settle();
    let (alice, number) = (world.index("alice"), world.devices[other].id().number);
    let now = world.now();
    world.devices[alice].core().remove_device(number, now).unwrap();
    world.drive(alice);
    world.send("alice", "bob", "one");
    world.drive(alice);
    world.carry_up(alice, usize::MAX);
    // The server's answers come bytewise: to the list, and then to the message.
    while world.devices[alice].core().devices().len() > 1 {
        world.carry_down(alice, 1);
    }
    world.send("alice", "bob", "two");
    world.drive(alice);
    world.carry_up(alice, usize::MAX);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "one", "two"]);
}
