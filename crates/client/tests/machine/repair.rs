//! Messages that do not open.

use godwit_base::MessageId;
use godwit_client::{MessageState, Note, WarningKind};

use crate::world::World;

fn notes(world: &mut World, of: &str) -> Vec<Note> {
    world.device(of).history.items.values().filter_map(|item| item.note).collect()
}

/// Sends what will not open.
fn damaged(world: &mut World, text: &str) -> MessageId {
    let id = world.send("alice", "bob", text);
    world.server.mischief.damage.insert(id);
    id
}

#[test]
fn a_damaged_message_is_asked_for_and_replaces_its_placeholder() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    let id = damaged(&mut world, "damaged");
    (0..6).for_each(|at| world.step(at % 2));
    assert_eq!(notes(&mut world, "bob"), [Note::Waiting]);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["before", "damaged"]);
    assert!(notes(&mut world, "bob").is_empty());
    let item = world.device("bob").history.items.values().last().unwrap().clone();
    assert_eq!(item.id, id, "under the id that it always had");
    assert_eq!(world.warnings("bob", WarningKind::Undecryptable), 1);
    world.send("bob", "alice", "thanks");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["thanks"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

#[test]
fn a_resend_that_is_damaged_too_is_asked_for_in_turn() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    let id = damaged(&mut world, "twice damaged");
    world.server.mischief.damage.insert(MessageId { counter: id.counter + 1, ..id });
    world.settle();
    assert_eq!(notes(&mut world, "bob"), [Note::Waiting, Note::Waiting]);
    world.pass(3_600_000); // not sooner may a device be made to open a second session
    world.settle();
    world.pass(600_000);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["before", "twice damaged"]);
    assert!(notes(&mut world, "bob").is_empty(), "both placeholders are gone");
}

#[test]
fn a_request_that_was_lost_by_a_crash_is_not_lost() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    damaged(&mut world, "damaged");
    let (alice, bob) = (world.index("alice"), world.index("bob"));
    world.step(alice);
    world.carry_down(bob, usize::MAX);
    let now = world.now();
    world.devices[bob].flush(now);
    world.devices[bob].commit(true);
    assert_eq!(notes(&mut world, "bob"), [Note::Waiting]);
    world.obey(bob);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["before", "damaged"]);
}

#[test]
fn nothing_is_sent_again_to_who_did_not_get_it_first() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    world.send("alice", "bob", "for bob alone");
    world.send("alice", "carol", "hello");
    world.send("carol", "alice", "hello");
    world.settle();
    // Carol asks for Alice's message 1, which was Bob's.
    let before = world.server.submitted.len();
    let request = godwit_seal::RetryRequest::new(1, 1).unwrap().encode();
    let (alice, carol) =
        (world.device("alice").core().device(), world.device("carol").core().device());
    world.server.inject(alice, carol, 900, 2, request);
    world.settle();
    assert_eq!(world.server.submitted.len(), before);
}

#[test]
fn a_kind_of_copy_that_a_later_version_knows_is_shown_as_such() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let (alice, bob) = (world.device("alice").core().device(), world.device("bob").core().device());
    world.server.inject(bob, alice, 900, 77, vec![1, 2, 3]);
    world.settle();
    assert_eq!(notes(&mut world, "bob"), [Note::UpdateNeeded]);
}
