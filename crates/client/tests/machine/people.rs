//! Who is blocked, muted, and by what name people are shown.

use godwit_client::core::{DISPLAY_NAME_BYTES_MAX, FINDS_MAX, MUTED_FOREVER_MS};
use godwit_client::{Contact, Error, Event, Failure, MessageState, Reported};

use godwit_wire::v1;

use crate::world::{World, handle};

impl World {
    fn block(&mut self, at: usize, whom: &str, blocked: bool) {
        let now = self.now();
        self.devices[at].core().set_blocked(&handle(whom), blocked, now).unwrap();
        self.settle();
    }

    fn names(&mut self, at: usize, name: &str) {
        let now = self.now();
        self.devices[at].core().set_profile(Some(name), None, None, now).unwrap();
        self.settle();
    }

    fn person(&mut self, at: usize, whom: &str) -> Option<Contact> {
        let people = self.devices[at].core().people();
        people.into_iter().find(|contact| contact.handle == handle(whom))
    }

    fn name_of(&mut self, at: usize, whom: &str) -> Option<String> {
        self.person(at, whom)?.name
    }

    /// Alice, bob, and carol who have written with each other.
    fn acquainted() -> Self {
        let mut world = Self::with(&["alice", "bob", "carol"]);
        for (from, to) in [("alice", "bob"), ("bob", "alice"), ("carol", "bob"), ("bob", "carol")] {
            world.send(from, to, "hello");
            world.settle();
        }
        world
    }
}

#[test]
fn nothing_of_a_blocked_account_is_shown_and_its_ticks_tell_nothing() {
    let mut world = World::acquainted();
    let bob = world.index("bob");
    world.block(bob, "alice", true);
    let id = world.send("alice", "bob", "do you see me?");
    world.names(0, "Alice the Great");
    world.send("carol", "bob", "I am still here");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    assert_eq!(world.texts("bob", "carol"), ["hello", "I am still here"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered, "two ticks as ever");
    assert_eq!(world.name_of(bob, "alice"), None, "no profile of theirs");
    let (device, now) = (world.device("bob").core().device(), world.now());
    assert!(world.server.mailboxes[&device].is_empty(), "acknowledged");
    world.device("bob").core().mark_read(&handle("alice").into(), now);
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered, "and never blue ones");

    // The ratchets are whole: what comes afterwards opens.
    world.block(bob, "alice", false);
    world.send("alice", "bob", "and now?");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "and now?"]);
}

#[test]
fn nothing_is_sent_to_a_blocked_account() {
    let mut world = World::acquainted();
    let (bob, now) = (world.index("bob"), world.now());
    world.cut(bob);
    let waits = world.send("bob", "alice", "not sealed yet");
    world.devices[bob].core().set_blocked(&handle("alice"), true, now).unwrap();
    let refused =
        world.devices[bob].core().send([9; 16], &handle("alice").into(), &["x".into()], now);
    assert_eq!(refused, Err(Error::Blocked(handle("alice"))));
    world.settle();
    assert_eq!(world.state("bob", waits), MessageState::Failed(Failure::Blocked));
    assert_eq!(world.texts("alice", "bob"), ["hello"]);
    world.names(bob, "Bob");
    assert_eq!(world.name_of(0, "bob"), None, "nor the profile");
}

#[test]
fn what_was_decided_survives_a_restart() {
    let mut world = World::acquainted();
    let (bob, now) = (world.index("bob"), world.now());
    world.devices[bob].core().set_muted(&handle("carol"), MUTED_FOREVER_MS, now).unwrap();
    world.block(bob, "alice", true);
    world.devices[bob].crash();
    world.obey(bob);
    world.settle();
    assert!(world.person(bob, "alice").unwrap().blocked);
    assert_eq!(world.person(bob, "carol").unwrap().muted_until_ms, MUTED_FOREVER_MS);
    world.send("alice", "bob", "and now?");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
}

#[test]
fn nobody_and_oneself_cannot_be_blocked() {
    let mut world = World::acquainted();
    let now = world.now();
    let core = world.device("bob").core();
    let nobody = Err(Error::NoContact(handle("dave")));
    assert_eq!(core.set_blocked(&handle("dave"), true, now), nobody);
    assert_eq!(core.set_muted(&handle("dave"), 1, now), nobody);
    assert_eq!(core.set_blocked(&handle("bob"), true, now), Err(Error::ToYourself));
}

#[test]
fn whoever_is_not_known_is_found_by_their_handle() {
    let mut world = World::with(&["alice", "bob"]);
    let alice = world.index("alice");
    let core = world.device("alice").core();
    assert_eq!(core.find(&handle("alice")), Err(Error::ToYourself));
    let (bob, dave) = (core.find(&handle("bob")).unwrap(), core.find(&handle("dave")).unwrap());
    assert_eq!((core.take_found(bob), core.take_found(dave)), (None, None));
    // The question is asked again on the next link.
    world.step(alice);
    world.cut(alice);
    world.settle();
    let core = world.device("alice").core();
    assert_eq!(core.take_found(bob), Some(Ok(())));
    let nobody = Error::NoAccount { handle: handle("dave"), why: Failure::UnknownAccount };
    assert_eq!(core.take_found(dave), Some(Err(nobody)));
    assert_eq!((core.take_found(bob), core.take_found(dave)), (None, None), "once");
    // Who is known is found without a link.
    world.cut(alice);
    let core = world.device("alice").core();
    let again = core.find(&handle("bob")).unwrap();
    assert_eq!(core.take_found(again), Some(Ok(())));
}

#[test]
fn so_many_handles_are_asked_for_at_once() {
    let mut world = World::with(&["alice", "bob"]);
    let core = world.device("alice").core();
    let asked: Vec<u64> = (0..FINDS_MAX).map(|_| core.find(&handle("bob")).unwrap()).collect();
    let most = Error::TooManyFinds { max: FINDS_MAX };
    assert_eq!(core.find(&handle("bob")), Err(most));
    world.settle();
    let core = world.device("alice").core();
    assert_eq!(core.take_found(asked[0]), Some(Ok(())));
    assert!(core.find(&handle("bob")).is_ok());
}

#[test]
fn every_device_of_the_account_knows_who_is_blocked_also_one_that_comes_later() {
    let mut world = World::acquainted();
    let main = world.index("bob");
    let other = world.add_device("bob");
    world.send("alice", "bob", "hello you two");
    world.settle();
    world.block(other, "alice", true);
    let now = world.now();
    world.devices[main].core().set_muted(&handle("carol"), 77, now).unwrap();
    world.settle();
    let third = world.add_device("bob");
    world.settle();
    world.send("alice", "bob", "do you see me?");
    world.settle();
    for at in [main, other, third] {
        assert!(world.person(at, "alice").unwrap().blocked, "device {at}");
        assert_eq!(world.person(at, "carol").unwrap().muted_until_ms, 77, "device {at}");
        let texts = world.devices[at].texts_from(&handle("alice"));
        assert!(!texts.contains(&"do you see me?".to_owned()), "device {at}");
    }
    world.block(third, "alice", false);
    for at in [main, other, third] {
        assert!(!world.person(at, "alice").unwrap().blocked, "device {at}");
    }
}

#[test]
fn contacts_are_told_a_name_and_strangers_who_wrote_are_not() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let (alice, bob, carol) = (0, 1, 2);
    world.names(bob, "Bob B.");
    world.send("carol", "bob", "who are you?");
    world.settle();
    assert_eq!(world.name_of(carol, "bob"), None, "carol only wrote to him");
    world.send("bob", "alice", "hello");
    world.settle();
    assert_eq!(world.name_of(alice, "bob").as_deref(), Some("Bob B."), "after the first message");
    world.names(bob, "Bobby");
    assert_eq!(world.name_of(alice, "bob").as_deref(), Some("Bobby"), "and after a change");
    let told = world.device("alice").told.iter().filter(
        |event| matches!(event, Event::Contact(contact) if contact.name.as_deref() == Some("Bobby")),
    );
    assert_eq!(told.count(), 1);
    assert_eq!(world.name_of(carol, "bob"), None);
    world.send("bob", "carol", "bob");
    world.settle();
    assert_eq!(world.name_of(carol, "bob").as_deref(), Some("Bobby"));
    // It is in nobody's history.
    assert_eq!(world.device("alice").history.items.len(), 1);
}

#[test]
fn changes_made_while_offline_are_told_as_one() {
    let mut world = World::acquainted();
    let (bob, now) = (world.index("bob"), world.now());
    world.cut(bob);
    for n in 0..5 {
        let name = format!("Bob {n}");
        world.devices[bob].core().set_profile(Some(&name), None, None, now).unwrap();
    }
    world.server.submitted.clear();
    world.settle();
    assert_eq!(world.name_of(0, "bob").as_deref(), Some("Bob 4"));
    assert_eq!(world.server.submitted.len(), 2, "one for alice and one for carol");
    world.devices[bob].crash();
    world.obey(bob);
    world.settle();
    assert_eq!(world.server.submitted.len(), 2, "a restart tells nobody again");
    assert_eq!(world.devices[bob].core().profile().name, "Bob 4");
}

#[test]
fn a_picture_reaches_contacts_and_own_devices_whole() {
    let mut world = World::acquainted();
    let bob = world.index("bob");
    let other = world.add_device("bob");
    let mut picture = vec![0xff, 0xd8, 0xff];
    picture.resize(godwit_client::core::PROFILE_PICTURE_BYTES_MAX, 7);
    let now = world.now();
    world.devices[bob].core().set_profile(None, None, Some(&picture), now).unwrap();
    world.settle();
    assert_eq!(world.devices[0].core().picture_of(&handle("bob")).as_deref(), Some(&picture[..]));
    assert_eq!(world.devices[other].core().profile().picture, picture);
    let late = world.add_device("bob");
    world.settle();
    assert_eq!(world.devices[late].core().profile().picture, picture);
}

#[test]
fn a_profile_beyond_its_bounds_changes_nothing() {
    let mut world = World::acquainted();
    let now = world.now();
    let core = world.device("bob").core();
    let most = "n".repeat(DISPLAY_NAME_BYTES_MAX);
    assert!(core.set_profile(Some(&most), None, None, now).is_ok());
    let over = core.set_profile(Some(&format!("{most}n")), Some("fine"), None, now);
    assert!(matches!(over, Err(Error::BadProfile(_))), "{over:?}");
    assert!(core.set_profile(None, None, Some(b"GIF89a"), now).is_err());
    assert_eq!((core.profile().name, core.profile().about), (most, String::new()));
}

#[test]
fn a_report_goes_out_in_clear_with_what_was_chosen_and_is_answered() {
    let mut world = World::acquainted();
    let theirs = world.device("bob").history.items.values().find(|i| i.from == handle("alice"));
    let theirs = theirs.unwrap().clone();
    let own = world.device("bob").history.items.values().find(|i| i.outgoing).unwrap().id;
    let core = world.device("bob").core();
    let message = |id| Reported { id, sent_at_ms: 5, text: "é".repeat(2_000) };
    let foreign = core.report(&handle("alice"), "spam", &[message(own)]);
    assert!(matches!(foreign, Err(Error::BadReport(_))), "{foreign:?}");
    let many = vec![message(theirs.id); 21];
    assert!(core.report(&handle("alice"), "spam", &many).is_err());
    assert!(core.report(&handle("alice"), &"r".repeat(513), &[]).is_err());
    core.report(&handle("alice"), "spam", &many[..20]).unwrap();
    world.settle();
    let report = &world.server.reports[0];
    assert_eq!((report.reason.as_str(), report.messages.len()), ("spam", 20));
    assert_eq!(report.account, theirs.id.device.account.0);
    assert_eq!(report.messages[0].text, "é".repeat(1_024), "cut to the bound");
    let taken = Event::Reported { with: handle("alice"), refused: None };
    assert!(world.device("bob").told.contains(&taken));
}

#[test]
fn who_is_blocked_sees_no_presence_and_whoever_else_did_goes_on_seeing_it() {
    let mut world = World::acquainted();
    let (alice, bob, carol) = (0, world.index("bob"), world.index("carol"));
    assert_eq!(world.set(bob).unwrap().visibility(), v1::Visibility::Everyone);
    let shown = world.device("carol").history.items.len();
    world.block(bob, "alice", true);
    let set = world.set(bob).unwrap();
    assert_eq!((set.visibility(), set.pass.len()), (v1::Visibility::Contacts, 16));
    for (who, sees) in [(carol, true), (alice, false)] {
        world.opens(["alice", "bob", "carol"][who], "bob");
        world.settle();
        assert_eq!(world.watched(who).unwrap()[0].pass == set.pass, sees, "device {who}");
    }
    assert_eq!(world.device("carol").history.items.len(), shown, "nothing to see of it");
    world.opens("bob", "alice");
    world.settle();
    assert_eq!(world.watched(bob), None, "she would see that he types");
    // Once more, by another: she who was told the second pass is told the third.
    let dave = world.add("dave");
    world.settle();
    world.send("bob", "dave", "hello");
    world.settle();
    world.block(bob, "dave", true);
    let third = world.set(bob).unwrap().pass;
    assert_ne!(third, set.pass);
    world.opens("carol", "bob");
    world.settle();
    assert_eq!(world.watched(carol).unwrap()[0].pass, third);
    for blocked in ["alice", "dave"] {
        world.block(bob, blocked, false);
    }
    assert_eq!(world.set(bob).unwrap().visibility(), v1::Visibility::Everyone);
    world.opens("dave", "bob");
    world.settle();
    assert_ne!(world.watched(dave).unwrap()[0].pass, third);
}

#[test]
fn what_one_device_reads_makes_nobody_a_contact_of_the_other() {
    let mut world = World::with(&["alice", "bob"]);
    let bob = world.index("bob");
    let other = world.add_device("bob");
    world.names(other, "Bob B.");
    world.send("alice", "bob", "who are you?");
    world.settle();
    let now = world.now();
    world.devices[bob].core().mark_read(&handle("alice").into(), now);
    world.settle();
    assert!(!world.person(other, "alice").unwrap().written_to);
    world.devices[other].crash();
    world.obey(other);
    world.settle();
    assert_eq!(world.name_of(0, "bob"), None, "a name is not had by writing");
    world.send("bob", "alice", "bob");
    world.settle();
    assert!(world.person(other, "alice").unwrap().written_to);
}
