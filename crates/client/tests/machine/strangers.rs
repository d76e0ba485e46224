//! Messages of senders of whom nothing can be learned, or not yet: none goes without a trace.

use godwit_base::DeviceId;
use godwit_client::{Note, WarningKind};

use crate::world::{World, handle};

const SINGLE: i32 = 0;

/// A number that no refusal has.
const UNKNOWN_CODE: u32 = 999;

/// Pause before a question is asked again that the server refused.
const ASK_AGAIN_MS: u64 = 30_000;

impl World {
    /// Bob is away; what alice sends waits for him, and he does not know her.
    fn with_a_message_waiting() -> Self {
        let mut world = Self::with(&["alice", "bob"]);
        let bob = world.index("bob");
        world.cut(bob);
        world.send("alice", "bob", "who am I?");
        let alice = world.index("alice");
        (0..20).for_each(|_| world.step(alice));
        assert_eq!(world.waiting_for("bob"), 1);
        world
    }

    fn waiting_for(&mut self, name: &str) -> usize {
        let device = self.device(name).core().device();
        self.server.mailboxes[&device].len()
    }

    fn notes(&mut self, of: &str, from: &str) -> Vec<Option<Note>> {
        let from = handle(from);
        let items = self.device(of).history.items.values().filter(|item| item.from == from);
        items.map(|item| item.note).collect()
    }
}

#[test]
fn a_message_of_an_account_that_is_no_more_leaves_a_placeholder_once() {
    let mut world = World::with(&["alice"]);
    let alice = world.device("alice").core().device();
    world.server.inject(alice, DeviceId::new(0xabc, 1), 1, SINGLE, b"sealed".to_vec());
    world.settle();
    let stranger = "unknown-0000000000000abc";
    assert_eq!(world.notes("alice", stranger), [Some(Note::Lost)]);
    assert_eq!(world.warnings("alice", WarningKind::Undecryptable), 1);
    assert_eq!(world.waiting_for("alice"), 0, "acknowledged");
    // As after a crash before the acknowledgement left.
    world.server.inject(alice, DeviceId::new(0xabc, 1), 1, SINGLE, b"sealed".to_vec());
    world.settle();
    assert_eq!(world.notes("alice", stranger).len(), 1);
}

#[test]
fn a_message_is_shown_although_the_keys_beside_its_senders_list_are_not_signed() {
    let mut world = World::with_a_message_waiting();
    world.server.mischief.bad_bundle = true;
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["who am I?"]);
    assert!(world.warnings("bob", WarningKind::Server) >= 1, "and the keys are not used");
}

#[test]
fn a_message_is_kept_while_the_server_refuses_to_say_whose_it_is() {
    let mut world = World::with_a_message_waiting();
    world.server.mischief.fetch_refused = (2, UNKNOWN_CODE);
    world.settle();
    assert_eq!((world.waiting_for("bob"), world.texts("bob", "alice").len()), (1, 0));
    for _ in 0..2 {
        world.pass(ASK_AGAIN_MS);
        world.settle();
    }
    assert_eq!(world.texts("bob", "alice"), ["who am I?"]);
    assert_eq!(world.waiting_for("bob"), 0);
}

#[test]
fn a_message_whose_sender_the_server_never_names_ends_as_a_placeholder() {
    let mut world = World::with_a_message_waiting();
    let alice = world.device("alice").core().device().account;
    world.server.mischief.fetch_refused = (u32::MAX, UNKNOWN_CODE);
    for _ in 0..12 {
        world.settle();
        world.pass(ASK_AGAIN_MS);
    }
    assert_eq!(world.notes("bob", &format!("unknown-{alice}")), [Some(Note::Lost)]);
    assert_eq!(world.waiting_for("bob"), 0);
}

/// What a known device sent waits behind a message of one that its account has not signed for.
#[test]
fn what_a_known_device_sent_is_opened_although_its_neighbour_cannot_be_known() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "one");
    world.settle();
    let (alice, bob) = (world.device("alice").core().device(), world.device("bob").core().device());
    let at = world.index("bob");
    world.cut(at);
    let second = DeviceId::new(alice.account.0, 2);
    world.server.inject(bob, second, 1, SINGLE, b"sealed".to_vec());
    world.send("alice", "bob", "two");
    let at = world.index("alice");
    (0..20).for_each(|_| world.step(at));
    *world.server.accounts.get_mut(&alice.account).unwrap().signed_list.last_mut().unwrap() ^= 1;
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "two"]);
    assert_eq!(world.notes("bob", "alice"), [None, Some(Note::Lost), None]);
}
