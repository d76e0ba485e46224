//! Who is here, who looks, who types.

use godwit_client::core::OPEN_MS;
use godwit_client::{Event, Presence, PresenceState, Visibility};
use godwit_wire::{OPEN_CHATS_MAX, ToServer, v1};

use crate::world::{World, handle};

impl World {
    /// What one device said about presence since the last call.
    fn said(&mut self, at: usize) -> Vec<ToServer> {
        let said = self.server.presence.extract_if(.., |(from, _)| *from == at);
        said.map(|(_, message)| message).collect()
    }

    /// The chats that it last said were open.
    pub(crate) fn watched(&mut self, at: usize) -> Option<Vec<v1::OpenChat>> {
        let said = self.said(at);
        said.into_iter().rev().find_map(|message| match message {
            ToServer::PresenceWatch(watch) => Some(watch.chats),
            _ => None,
        })
    }

    pub(crate) fn set(&mut self, at: usize) -> Option<v1::PresenceSet> {
        let said = self.said(at);
        said.into_iter().rev().find_map(|message| match message {
            ToServer::PresenceSet(set) => Some(set),
            _ => None,
        })
    }

    pub(crate) fn opens(&mut self, of: &str, with: &str) -> Option<Presence> {
        let now = self.now();
        self.device(of).core().open_chat(&handle(with), now)
    }

    /// One second passes, in ten steps.
    fn second(&mut self) {
        for _ in 0..10 {
            self.pass(100);
            (0..self.devices.len()).for_each(|at| self.step(at));
        }
    }

    fn presence_told(&mut self, of: &str) -> Vec<Presence> {
        let told = self.device(of).told.extract_if(.., |e| matches!(e, Event::Presence { .. }));
        told.map(|event| match event {
            Event::Presence { presence, .. } => presence,
            _ => unreachable!(),
        })
        .collect()
    }

    fn tells(&mut self, at: usize, of: &str, state: v1::PresenceState, typing: bool) {
        let account = self.account(of).0;
        let last_seen_ms = if state == v1::PresenceState::Offline { 60_000 } else { 0 };
        let presence = v1::Presence { account, state: state.into(), last_seen_ms, typing };
        self.server.say(at, presence);
        (0..3).for_each(|_| self.step(at));
    }
}

fn seen(state: PresenceState, typing: bool) -> Presence {
    let last_seen_ms = (state == PresenceState::Offline).then_some(60_000);
    Presence { state, last_seen_ms, typing }
}

#[test]
fn the_setting_is_said_on_each_link_and_when_it_changes() {
    let mut world = World::with(&["alice"]);
    let set = world.set(0).unwrap();
    assert_eq!((set.here, set.visibility(), set.pass.len()), (true, v1::Visibility::Everyone, 0));
    world.settle();
    assert_eq!(world.said(0), [], "nothing has changed");
    world.cut(0);
    world.settle();
    assert_eq!(world.set(0), Some(set));
    let now = world.now();
    world.device("alice").core().set_visibility(Visibility::Contacts, false, now).unwrap();
    world.settle();
    let contacts = world.set(0).unwrap();
    assert_eq!((contacts.visibility(), contacts.pass.len()), (v1::Visibility::Contacts, 16));
    world.device("alice").crash();
    world.obey(0);
    world.settle();
    assert_eq!(world.set(0), Some(contacts), "it is kept");
    world.device("alice").core().depart();
    world.step(0);
    assert!(!world.set(0).unwrap().here, "the last word");
}

#[test]
fn a_chat_is_open_until_it_is_closed_or_not_opened_again() {
    let mut world = World::with(&["alice", "bob"]);
    let bob = world.account("bob").0;
    assert_eq!(world.opens("alice", "bob"), None);
    world.settle();
    let watched = world.watched(0).unwrap();
    assert_eq!(watched, [v1::OpenChat { account: bob, ..v1::OpenChat::default() }]);
    world.device("alice").core().close_chat(&handle("bob"));
    world.settle();
    assert_eq!(world.watched(0), Some(Vec::new()));
    world.opens("alice", "bob");
    world.settle();
    assert_eq!(world.watched(0).unwrap().len(), 1);
    let opened_ms = world.mono_ms;
    while world.mono_ms < opened_ms + OPEN_MS - 5_000 {
        world.second();
    }
    assert_eq!(world.said(0), []);
    (0..6).for_each(|_| world.second());
    assert_eq!(world.watched(0), Some(Vec::new()));
}

#[test]
fn whoever_does_not_exist_is_asked_for_once() {
    let mut world = World::with(&["alice"]);
    world.opens("alice", "nobody");
    world.settle();
    let fetches = world.server.fetches;
    world.settle();
    assert_eq!(world.server.fetches, fetches);
    world.opens("alice", "nobody");
    world.settle();
    assert_eq!(world.server.fetches, fetches + 1);
}

#[test]
fn contacts_are_given_the_pass_with_a_text_and_show_it() {
    let mut world = World::with(&["alice", "bob"]);
    let now = world.now();
    world.device("alice").core().set_visibility(Visibility::Contacts, false, now).unwrap();
    world.settle();
    let pass = world.set(0).unwrap().pass;
    world.opens("bob", "alice");
    world.settle();
    assert!(world.watched(1).unwrap()[0].pass.is_empty(), "nobody has written yet");
    world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.watched(1).unwrap()[0].pass, pass);
    let length = |world: &World| world.server.submitted.last().unwrap().len();
    world.send("bob", "alice", "hello"); // the session is settled from here on
    world.settle();
    world.send("alice", "bob", "hello");
    world.settle();
    let without = length(&world);
    let now = world.now();
    world.device("alice").core().set_visibility(Visibility::Contacts, true, now).unwrap();
    world.settle();
    let anew = world.set(0).unwrap().pass;
    assert_ne!(anew, pass);
    world.opens("bob", "alice");
    world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.watched(1).unwrap()[0].pass, anew);
    world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(length(&world), without, "a text to somebody who has it costs nothing more");
}

#[test]
fn typing_is_said_at_once_and_anew_and_ends() {
    let mut world = World::with(&["alice", "bob"]);
    world.opens("alice", "bob");
    world.settle();
    world.said(0);
    let typing = |world: &mut World| {
        let said = world.said(0);
        said.into_iter()
            .map(|message| match message {
                ToServer::PresenceWatch(watch) => watch.chats[0].typing,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<bool>>()
    };
    for second in 0..13 {
        let now = world.now();
        world.device("alice").core().types(&handle("bob"), true, now);
        world.second();
        let expected: &[bool] = if second % 5 == 0 { &[true] } else { &[] };
        assert_eq!(typing(&mut world), expected, "second {second}");
    }
    let mut ends = Vec::new();
    (0..8).for_each(|_| {
        world.second();
        ends.extend(typing(&mut world));
    });
    assert_eq!(ends.pop(), Some(false), "six seconds after the last key");
    assert!(ends.len() <= 1 && !ends.contains(&false), "{ends:?}");
    for on in [true, false] {
        let now = world.now();
        world.device("alice").core().types(&handle("bob"), on, now);
        world.second();
        assert_eq!(typing(&mut world), [on], "said when it changes");
    }
}

#[test]
fn what_the_server_tells_is_told_once_and_typing_ends_by_itself() {
    let mut world = World::with(&["alice", "bob"]);
    world.tells(0, "bob", v1::PresenceState::Online, false);
    assert_eq!(
        world.presence_told("alice"),
        [],
        "of somebody whose chat is not open nothing is believed"
    );
    world.opens("alice", "bob");
    world.settle();
    for (state, typing, told) in [
        (v1::PresenceState::Online, false, seen(PresenceState::Online, false)),
        (v1::PresenceState::Online, true, seen(PresenceState::Online, true)),
    ] {
        world.tells(0, "bob", state, typing);
        assert_eq!(world.presence_told("alice"), [told]);
        world.tells(0, "bob", state, typing);
        assert_eq!(world.presence_told("alice"), []);
    }
    (0..11).for_each(|_| world.second());
    assert_eq!(world.presence_told("alice"), []);
    (0..2).for_each(|_| world.second());
    assert_eq!(world.presence_told("alice"), [seen(PresenceState::Online, false)]);
    world.tells(0, "bob", v1::PresenceState::Offline, true);
    let offline = seen(PresenceState::Offline, false);
    assert_eq!(world.presence_told("alice"), [offline], "who is not there does not type");
    assert_eq!(world.opens("alice", "bob"), Some(offline), "known to who opens it too");
    world.cut(0);
    world.settle();
    assert_eq!(
        world.presence_told("alice"),
        [Presence::UNKNOWN],
        "without a link nothing is known"
    );
}

#[test]
fn so_many_chats_are_open_and_the_one_that_ends_first_gives_way() {
    let people: Vec<String> = (0..=OPEN_CHATS_MAX).map(|n| format!("person{n}")).collect();
    let mut world = World::new();
    world.add("alice");
    people.iter().for_each(|handle| {
        world.add(handle);
    });
    world.settle();
    for person in &people[..OPEN_CHATS_MAX] {
        world.opens("alice", person);
        world.pass(1);
    }
    world.settle();
    assert_eq!(world.watched(0).unwrap().len(), OPEN_CHATS_MAX);
    world.opens("alice", &people[OPEN_CHATS_MAX]);
    world.settle();
    let first = world.account(&people[0]).0;
    let watched = world.watched(0).unwrap();
    assert_eq!(watched.len(), OPEN_CHATS_MAX);
    assert!(watched.iter().all(|chat| chat.account != first));
}

#[test]
fn changes_are_said_four_times_a_second_at_most_and_the_last_one_always() {
    let mut world = World::with(&["alice"]);
    (0..10).for_each(|_| world.second());
    world.said(0);
    for n in 0..100 {
        world.device("alice").core().set_here(n % 2 == 0);
        world.pass(10);
        world.step(0);
    }
    let said = world.said(0).len();
    assert!((1..=5).contains(&said), "{said} in a second");
    world.device("alice").core().set_here(true);
    world.second();
    world.device("alice").core().set_here(false);
    world.second();
    assert!(!world.set(0).unwrap().here);
}

#[test]
fn another_device_says_nothing_before_it_knows_the_setting_and_then_the_same() {
    let mut world = World::with(&["alice"]);
    let now = world.now();
    world.device("alice").core().set_visibility(Visibility::Nobody, false, now).unwrap();
    world.settle();
    world.said(0);
    let other = world.add_device("alice");
    world.settle();
    let sets: Vec<_> = world
        .said(other)
        .into_iter()
        .filter_map(|message| match message {
            ToServer::PresenceSet(set) => Some(set.visibility()),
            _ => None,
        })
        .collect();
    assert_eq!(sets, [v1::Visibility::Nobody], "never the default");
    world.pass(10);
    let now = world.now();
    world.devices[other].core().set_visibility(Visibility::Contacts, false, now).unwrap();
    world.settle();
    let (of_main, of_other) = (world.set(0).unwrap(), world.set(other).unwrap());
    assert_eq!(of_main.visibility(), v1::Visibility::Contacts, "chosen on the other");
    assert_eq!(of_main.pass, of_other.pass);
    assert!(world.devices[0].history.items.is_empty(), "and nothing to show");
}
