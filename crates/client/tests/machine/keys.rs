//! One-time keys: topped up, used up, and what is done without them.

use crate::server::Entry;
use crate::world::World;

#[test]
fn keys_are_topped_up_when_few_are_left_and_not_before() {
    for (left, expected) in [(29, 100), (30, 30)] {
        let mut world = World::with(&["alice"]);
        let account = world.device("alice").core().device().account;
        assert_eq!(world.server.one_time_left(account), 100);
        world.server.accounts.get_mut(&account).unwrap().keep_one_time(left);
        let alice = world.index("alice");
        world.cut(alice);
        world.settle();
        assert_eq!(world.server.one_time_left(account), expected);
    }
}

#[test]
fn keys_offered_and_lost_are_offered_again_and_open_sessions() {
    let mut world = World::with(&["alice", "bob"]);
    let account = world.device("bob").core().device().account;
    world.server.accounts.get_mut(&account).unwrap().keep_one_time(0);
    let bob = world.index("bob");
    world.cut(bob);
    // Bob's offer is durable at his side, and the process dies before it leaves.
    let mut offered = false;
    for _ in 0..40 {
        world.pass(50);
        let now = world.now();
        let commits = world.devices[bob].commits;
        world.devices[bob].flush(now);
        world.devices[bob].commit(false);
        if world.devices[bob].commits > commits && world.server.connections.contains_key(&bob) {
            let connection = &world.server.connections[&bob];
            offered |= connection.outgoing.is_empty() && !world.devices[bob].to_server.is_empty();
        }
        world.obey(bob);
        world.carry_up(bob, usize::MAX);
        world.carry_down(bob, usize::MAX);
    }
    assert!(offered);
    world.devices[bob].crash();
    world.obey(bob);
    world.settle();
    assert_eq!(world.server.one_time_left(account), 100);
    world.send("alice", "bob", "on a key of the second offer");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["on a key of the second offer"]);
}

#[test]
fn without_one_time_keys_the_fallback_opens_a_session() {
    let mut world = World::with(&["alice", "bob"]);
    world.server.mischief.no_one_time = true;
    world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
}

#[test]
fn both_may_begin_at_once() {
    let mut world = World::with(&["alice", "bob"]);
    for n in 0..5 {
        world.send("alice", "bob", &format!("a{n}"));
        world.send("bob", "alice", &format!("b{n}"));
        let (alice, bob) = (world.index("alice"), world.index("bob"));
        world.step(alice);
        world.step(bob);
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["a0", "a1", "a2", "a3", "a4"]);
    assert_eq!(world.texts("alice", "bob"), ["b0", "b1", "b2", "b3", "b4"]);
}

#[test]
fn a_mailbox_is_empty_when_everything_was_taken() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let left = world.server.mailboxes.values().flatten();
    let messages = left.filter(|(_, entry)| matches!(entry, Entry::Message { .. })).count();
    assert_eq!(messages, 0);
    assert!(world.server.mailboxes.values().all(std::collections::VecDeque::is_empty));
}
