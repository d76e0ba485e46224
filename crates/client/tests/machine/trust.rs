//! Whose keys are believed.

use godwit_client::{Error, Failure, MessageState, WarningKind};

use crate::world::{World, handle};

/// Bob has lost his device and registered again: another key under the same handle.
fn bob_begins_anew(world: &mut World) {
    let old = world.device("bob").core().device();
    world.server.accounts.remove(&old.account);
    world.server.mailboxes.remove(&old);
    let at = world.index("bob");
    world.devices[at].crash();
    world.obey(at);
    let link = world.link();
    world.devices[at] = crate::device::Device::new("bob", &link, world.now());
    world.settle();
}

#[test]
fn both_see_the_same_safety_number() {
    let mut world = World::with(&["alice", "bob"]);
    assert_eq!(
        world.device("alice").core().safety_number(&handle("bob")),
        Err(Error::NoChat(handle("bob").into()))
    );
    world.send("alice", "bob", "hello");
    world.settle();
    let alices = world.device("alice").core().safety_number(&handle("bob")).unwrap();
    let bobs = world.device("bob").core().safety_number(&handle("alice")).unwrap();
    assert_eq!(alices.digits, bobs.digits);
    assert_eq!(alices.digits.len(), 60);
}

#[test]
fn a_changed_key_is_told_and_messages_go_to_the_new_one() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "to the old");
    world.settle();
    bob_begins_anew(&mut world);
    let id = world.send("alice", "bob", "to the new");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["to the new"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.warnings("alice", WarningKind::KeyChange), 1);
}

#[test]
fn a_message_from_the_new_key_is_shown_with_a_warning() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("bob", "alice", "by the old");
    world.settle();
    bob_begins_anew(&mut world);
    world.send("bob", "alice", "by the new");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["by the old", "by the new"]);
    assert_eq!(world.warnings("alice", WarningKind::KeyChange), 1);
}

#[test]
fn nothing_goes_to_the_new_key_of_a_verified_contact_until_it_is_accepted() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    world.device("alice").core().set_verified(&handle("bob"), true).unwrap();
    world.settle();
    bob_begins_anew(&mut world);
    let id = world.send("alice", "bob", "secret");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Failed(Failure::KeyChanged));
    assert!(world.texts("bob", "alice").is_empty());
    let now = world.now();
    let refused =
        world.device("alice").core().send([77; 16], &handle("bob").into(), &["x".into()], now);
    assert_eq!(refused, Err(Error::KeyChanged(handle("bob"))));
    // That survives a restart of the client.
    let alice = world.index("alice");
    world.devices[alice].crash();
    world.obey(alice);
    world.settle();
    let now = world.now();
    let refused =
        world.device("alice").core().send([78; 16], &handle("bob").into(), &["x".into()], now);
    assert_eq!(refused, Err(Error::KeyChanged(handle("bob"))));
    // To take back what was compared is not to accept the new key.
    world.device("alice").core().set_verified(&handle("bob"), false).unwrap();
    let now = world.now();
    let refused =
        world.device("alice").core().send([79; 16], &handle("bob").into(), &["x".into()], now);
    assert_eq!(refused, Err(Error::KeyChanged(handle("bob"))));
    world.device("alice").core().set_verified(&handle("bob"), true).unwrap();
    world.send("alice", "bob", "accepted");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["accepted"]);
}

#[test]
fn a_device_list_that_its_owner_did_not_sign_is_not_used() {
    let mut world = World::with(&["alice", "bob"]);
    let bob = world.device("bob").core().device().account;
    let list = &mut world.server.accounts.get_mut(&bob).unwrap().signed_list;
    *list.last_mut().unwrap() ^= 1;
    let id = world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Failed(Failure::BadKeys));
    assert!(world.warnings("alice", WarningKind::Server) >= 1);
}

#[test]
fn a_server_that_answers_for_somebody_else_is_not_believed() {
    let mut world = World::with(&["alice", "bob", "mallory"]);
    let mallory = world.device("mallory").core().device().account;
    let bob = world.device("bob").core().device().account;
    world.server.accounts.get_mut(&bob).unwrap().handle = handle("bobby");
    // Whoever asks for bob is told of mallory, under mallory's name.
    world.server.mischief.answers_for = Some((handle("bob"), mallory));
    let id = world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Failed(Failure::BadKeys));
    assert!(world.texts("mallory", "alice").is_empty());
}

#[test]
fn a_mismatch_that_never_ends_fails_the_message_after_three_rounds() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let bob = world.device("bob").core().device().account;
    // The server insists on a version that nobody has signed.
    world.server.accounts.get_mut(&bob).unwrap().list_version = 2;
    world.server.submitted.clear();
    let id = world.send("alice", "bob", "never fits");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Failed(Failure::DevicesChanging));
    assert_eq!(world.server.submitted.len(), 4, "the first and three rounds");
}

#[test]
fn a_taken_handle_is_refused_and_another_can_be_tried_with_the_same_keys() {
    let mut world = World::with(&["alice"]);
    let second = world.add("alice");
    world.settle();
    let refused = world.devices[second].core().join_result().cloned();
    assert!(matches!(refused, Some(Err(Error::Refused { code: 21, .. }))), "{refused:?}");
    let (link, now) = (world.link(), world.now());
    let core = world.devices[second].core();
    core.join(&link, &handle("alicia"), None);
    core.start(now);
    world.settle();
    assert_eq!(world.devices[second].core().me().unwrap().handle, handle("alicia"));
    assert_eq!(world.server.resumed, 0, "who joins proves the key of its link each time");
}

#[test]
fn an_answer_to_the_registration_that_was_lost_is_asked_for() {
    let mut world = World::new();
    let at = world.add("alice");
    for _ in 0..40 {
        world.pass(50);
        let now = world.now();
        world.devices[at].flush(now);
        world.devices[at].commit(false);
        world.obey(at);
        world.carry_up(at, usize::MAX);
        if !world.server.accounts.is_empty() {
            break; // registered, and the answer is on its way
        }
        world.carry_down(at, usize::MAX);
    }
    assert!(!world.server.accounts.is_empty());
    world.devices[at].crash();
    world.obey(at);
    world.settle();
    assert_eq!(world.devices[at].core().me().unwrap().handle, handle("alice"));
    world.add("bob");
    world.settle();
    world.send("bob", "alice", "hello");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["hello"]);
}
