//! Several devices of one account.

use godwit_base::{DeviceNumber, MessageId};
use godwit_client::core::GroupCommand;
use godwit_client::{
    ChatId, Error, Event, Failure, LinkId, LinkingState, MessageState, WarningKind,
};
use godwit_seal::{DeviceKeys, LinkOffer};

use crate::world::{World, handle};

impl World {
    /// What a device shows of a chat: who said what, and how far it came.
    fn chat(&self, at: usize, with: &str) -> Vec<(String, String, MessageState)> {
        let with = ChatId::from(handle(with));
        let items = self.devices[at].history.items.values().filter(|item| item.with == with);
        let mut items: Vec<_> = items.collect();
        items.sort_by_key(|item| (item.received_at_ms, item.id));
        items
            .into_iter()
            .map(|item| (item.from.to_string(), item.text.clone().unwrap_or_default(), item.state))
            .collect()
    }
}

fn line(from: &str, text: &str, state: MessageState) -> (String, String, MessageState) {
    (from.to_owned(), text.to_owned(), state)
}

#[test]
fn both_devices_show_what_comes_and_what_either_sends() {
    let mut world = World::with(&["alice", "bob"]);
    let (main, bob) = (world.index("alice"), world.index("bob"));
    let other = world.add_device("alice");
    world.send("bob", "alice", "hello to both");
    world.settle();
    world.pass(10);
    let now = world.now();
    world.devices[other].send(&handle("bob"), "from the other", now);
    world.settle();
    world.pass(10);
    let now = world.now();
    let sent = world.devices[main].send(&handle("bob"), "from the main one", now);
    world.settle();

    for at in [main, other] {
        let chat = [
            line("bob", "hello to both", MessageState::Delivered),
            line("alice", "from the other", MessageState::Delivered),
            line("alice", "from the main one", MessageState::Delivered),
        ];
        assert_eq!(world.chat(at, "bob"), chat, "device {at}");
    }
    assert_eq!(world.texts("bob", "alice"), ["from the other", "from the main one"]);

    let now = world.now();
    world.devices[bob].core().mark_read(&handle("alice").into(), now);
    world.settle();
    for at in [main, other] {
        assert_eq!(world.devices[at].state_of(sent), MessageState::Read, "device {at}");
        assert_eq!(world.chat(at, "bob")[1].2, MessageState::Read, "device {at}");
    }
}

#[test]
fn what_one_device_reads_is_read_on_the_other() {
    let mut world = World::with(&["alice", "bob"]);
    let main = world.index("alice");
    let other = world.add_device("alice");
    let id = world.send("bob", "alice", "read me");
    world.settle();
    let now = world.now();
    world.devices[other].core().mark_read(&handle("bob").into(), now);
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Read);
    assert_eq!(world.devices[main].state_of(id), MessageState::Read);
    let elsewhere = Event::ReadElsewhere { with: handle("bob").into() };
    assert!(world.devices[main].told.contains(&elsewhere));
    assert!(!world.devices[other].told.contains(&elsewhere));
    // Nothing is left to tell.
    let before = world.server.submitted.len();
    let now = world.now();
    world.devices[main].core().mark_read(&handle("bob").into(), now);
    world.settle();
    assert_eq!(world.server.submitted.len(), before);
}

/// The message of somebody unknown waits for who that is; that it was read elsewhere waits with it.
#[test]
fn what_was_read_elsewhere_waits_for_a_message_that_waits() {
    let mut world = World::with(&["alice", "bob"]);
    let main = world.index("alice");
    let other = world.add_device("alice");
    world.devices[other].crash();
    world.cut(other);
    let except_other = |world: &mut World| {
        for _ in 0..40 {
            world.pass(50);
            for at in (0..world.devices.len()).filter(|at| *at != other) {
                world.step(at);
            }
        }
    };
    let id = world.send("bob", "alice", "read me");
    except_other(&mut world);
    let now = world.now();
    world.devices[main].core().mark_read(&handle("bob").into(), now);
    except_other(&mut world);
    let now = world.now();
    let answer = world.devices[main].send(&handle("bob"), "I did", now);
    except_other(&mut world);
    world.server.mischief.fetch_limited = 2;
    world.settle();
    world.settle();
    assert_eq!(world.devices[other].state_of(id), MessageState::Read);
    assert_eq!(world.devices[other].state_of(answer), MessageState::Delivered);
}

#[test]
fn a_copy_that_waited_is_shown_with_its_ticks() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let main = world.index("alice");
    let other = world.add_device("alice");
    world.devices[other].crash();
    world.cut(other);
    let ids: Vec<MessageId> = (0..5)
        .map(|n| {
            let now = world.now();
            let to = if n % 2 == 0 { "bob" } else { "carol" };
            world.devices[main].send(&handle(to), &format!("line {n}"), now)
        })
        .collect();
    for _ in 0..40 {
        world.pass(50);
        for at in (0..world.devices.len()).filter(|at| *at != other) {
            world.step(at);
        }
    }
    world.settle();
    for id in ids {
        assert_eq!(world.devices[other].state_of(id), MessageState::Delivered);
    }
}

#[test]
fn a_sender_learns_of_a_new_device_and_of_one_that_is_gone() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("bob", "alice", "one");
    world.settle();
    let other = world.add_device("alice");
    world.send("bob", "alice", "two");
    world.settle();
    let texts = |world: &World, at: usize| world.devices[at].texts_from(&handle("bob"));
    assert_eq!(texts(&world, other), ["two"]);

    let now = world.now();
    let number = world.devices[other].core().device().number;
    world.device("alice").core().remove_device(number, now).unwrap();
    world.settle();
    world.cut(other);
    world.send("bob", "alice", "three");
    world.settle();
    assert_eq!(texts(&world, other), ["two"]);
    assert_eq!(world.texts("alice", "bob"), ["one", "two", "three"]);
    assert!(world.devices[other].core().stopped_because().is_some());
    assert_eq!(world.warnings("bob", WarningKind::Server), 0);
    // Its number is never given out again.
    let third = world.add_device("alice");
    assert_eq!(world.devices[third].core().device().number, DeviceNumber(number.0 + 1));
}

/// It is on the list, and ends before it has said a word.
#[test]
fn a_new_device_that_dies_at_once_keeps_nobody_from_writing() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    world.send("bob", "alice", "to one device");
    world.settle();
    world.list_device("alice");
    let known = world.send("bob", "alice", "to two");
    let unknown = world.send("carol", "alice", "to two, at once");
    let own = world.send("alice", "bob", "with a copy to the dead one");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["to one device", "to two"]);
    assert_eq!(world.texts("alice", "carol"), ["to two, at once"]);
    for (of, id) in [("bob", known), ("carol", unknown), ("alice", own)] {
        assert_eq!(world.state(of, id), MessageState::Delivered, "{of}");
        assert_eq!(world.warnings(of, WarningKind::Server), 0, "{of}");
    }
}

/// The server has the list and its answer is lost: the same is offered again by a client that was
/// restarted. A server that was set back to the day before is given the device anew, without its
/// one-time keys.
#[test]
fn the_first_keys_are_offered_until_the_server_has_them() {
    let mut world = World::with(&["alice", "bob"]);
    let alice = world.index("alice");
    let account = world.device("alice").core().device().account;
    world.server.mischief.list_refused = Some((1, godwit_wire::Refusal::Busy, 100));
    let keys = world.list_device("alice").keys;
    assert_eq!(world.server.lists.len(), 2, "offered twice");
    world.devices[alice].crash();
    world.obey(alice);
    world.settle();
    assert_eq!(world.server.one_time_left_of(keys.id()), keys.upload().one_time.len());
    let id = world.send("bob", "alice", "to two");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered);
    world.server.go_back_one_list(account);
    world.pass(25 * 3_600_000);
    world.settle();
    assert_eq!(world.server.accounts[&account].numbers(), [1, 2]);
    assert_eq!(world.server.one_time_left_of(keys.id()), 0);
    let id = world.send("bob", "alice", "by the fallback key");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered);
}

#[test]
fn devices_are_added_by_the_main_one_up_to_the_bound() {
    let mut world = World::with(&["alice", "bob"]);
    for _ in 1..godwit_base::limits::DEVICES_MAX {
        world.add_device("alice");
    }
    let now = world.now();
    let account = world.device("alice").core().device().account;
    let account_key = world.account_key(account);
    let keys = DeviceKeys::create(&account_key, DeviceNumber(9), now.wall_ms);
    let full = Error::TooManyDevices { max: godwit_base::limits::DEVICES_MAX };
    let core = world.device("alice").core();
    let added = core.add_device(keys.describe(), [9; 32], keys.upload(), now);
    assert_eq!(added, Err(full));
    let last = world.devices.len() - 1;
    assert_eq!(world.devices[last].core().remove_device(DeviceNumber(1), now), Err(Error::NotMain));
    let number = world.devices[last].id().number;
    let itself = world.devices[last].core().remove_device(number, now);
    assert_eq!(itself, Err(Error::OwnDevice { main: false }));
    let core = world.device("alice").core();
    let itself = core.remove_device(DeviceNumber(1), now);
    assert_eq!(itself, Err(Error::OwnDevice { main: true }));
    assert_eq!(core.remove_device(DeviceNumber(99), now), Err(Error::NoDevice(99)));
    // Each knows which is the main one, and which it is itself.
    for at in [world.index("alice"), last] {
        let (own, infos) = (world.devices[at].id(), world.devices[at].core().device_infos());
        assert_eq!(infos.len(), godwit_base::limits::DEVICES_MAX);
        for info in infos {
            assert_eq!((info.this, info.main), (info.device == own.number.0, info.device == 1));
        }
    }
    world.send("bob", "alice", "to all of you");
    world.settle();
    for at in (0..world.devices.len()).filter(|at| world.devices[*at].handle == handle("alice")) {
        assert_eq!(world.devices[at].texts_from(&handle("bob")), ["to all of you"], "device {at}");
    }
}

/// What alice said to a group was sealed before she had another device, and comes to the server after its
/// list: it is sealed anew, for that device too.
#[test]
fn what_was_sealed_before_the_first_other_device_goes_to_it_too() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "Herons", &["bob"]);
    let now = world.now();
    world.devices[0].say(group, "before", now);
    world.settle();
    let newcomer = world.offers(0).unwrap();
    world.server.mischief.busy = 1;
    let now = world.now();
    let id = world.devices[0].say(group, "on the way", now);
    (0..6).for_each(|_| world.step(0));
    assert!(world.begins(newcomer).is_none());
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    for at in [1, 2] {
        assert!(world.devices[at].history.get(id).is_some_and(|i| i.text.is_some()), "device {at}");
    }
}

/// What a new device shows.
fn code() -> String {
    LinkOffer::new().unwrap().code().text()
}

#[test]
fn another_code_waits_until_the_linking_that_goes_on_has_ended() {
    let mut world = World::with(&["alice"]);
    let (first, second) = (code(), code());
    let (link, other) = (LinkId::of_code(&first).unwrap(), LinkId::of_code(&second).unwrap());
    let now = world.now();
    let core = world.device("alice").core();
    core.approve_link(&first, now).unwrap();
    assert_eq!(core.approve_link(&second, now), Err(Error::LinkingBusy));
    assert_eq!(core.approve_link(&first, now), Ok(()), "begun already");
    assert!(matches!(core.confirm_link(other, true, now), Err(Error::Linking(_))));
    core.cancel_link(other);
    core.abandon_link(other);
    assert_eq!(core.linking_state(), Some((link, LinkingState::Waiting)));
    core.cancel_link(link);
    assert_eq!(core.linking_state(), None);
    core.approve_link(&second, now).unwrap();
    assert_eq!(core.linking_state(), Some((other, LinkingState::Waiting)));
    core.abandon_link(other);
    core.approve_link(&first, now).unwrap();
    world.settle();
    let told: Vec<_> = world.device("alice").told.iter().collect();
    let given_up = |link| {
        let reason = "it was given up".to_owned();
        Event::Linking { link, state: LinkingState::Failed { reason } }
    };
    assert!(
        [given_up(link), given_up(other)].iter().all(|event| told.contains(&event)),
        "{told:?}"
    );
}

/// Ten minutes: as long as the server keeps a rendezvous.
#[test]
fn a_linking_that_nobody_answers_holds_up_no_other_after_its_time() {
    let mut world = World::with(&["alice"]);
    let (first, second) = (code(), code());
    let mut now = world.now();
    let core = world.device("alice").core();
    core.approve_link(&first, now).unwrap();
    now.mono_ms += 599_999;
    assert_eq!(core.approve_link(&second, now), Err(Error::LinkingBusy));
    now.mono_ms += 1;
    assert_eq!(core.approve_link(&second, now), Ok(()));
}

/// Of four messages one is answered before the device is removed, two are on their way, of which one arrives,
/// and one is said by a later process, which has not heard of it.
#[test]
fn a_removed_device_tells_what_did_not_go_from_what_may_have() {
    let mut world = World::with(&["alice", "bob"]);
    let other = world.add_device("alice");
    let bob = handle("bob");
    let send = |world: &mut World, text: &str| {
        let now = world.now();
        world.devices[other].send(&bob, text, now)
    };
    let answered = send(&mut world, "answered");
    world.settle();
    let arrives = send(&mut world, "arrives");
    world.drive(other);
    world.carry_up(other, usize::MAX);
    let does_not = send(&mut world, "does not");
    world.drive(other);
    world.cut(other);
    let (number, now) = (world.devices[other].id().number, world.now());
    world.device("alice").core().remove_device(number, now).unwrap();
    world.settle_without(other);
    world.devices[other].crash();
    world.obey(other);
    world.devices[other].restart(now);
    let late = send(&mut world, "late");
    world.settle();
    let on_its_way = MessageState::Failed(Failure::Unanswered);
    let states = [answered, arrives, does_not, late].map(|id| world.devices[other].state_of(id));
    let late = MessageState::Failed(Failure::Revoked);
    assert_eq!(states, [MessageState::Delivered, on_its_way, on_its_way, late]);
    assert_eq!(world.texts("bob", "alice"), ["answered", "arrives"]);
    assert!(
        world.device("alice").history.has(arrives) && !world.device("alice").history.has(does_not)
    );
}

/// It writes before it hears that it was removed, and after.
#[test]
fn what_a_removed_device_says_fails_and_does_not_wait_for_ever() {
    let mut world = World::with(&["alice", "bob"]);
    let other = world.add_device("alice");
    world.cut(other);
    let (number, now) = (world.devices[other].id().number, world.now());
    let before = world.devices[other].send(&handle("bob"), "too late", now);
    world.device("alice").core().remove_device(number, now).unwrap();
    world.settle_without(other);
    world.settle();
    assert_eq!(world.devices[other].state_of(before), MessageState::Failed(Failure::Revoked));
    let now = world.now();
    let bob = ChatId::from(handle("bob"));
    let key = world.devices[other].key();
    let core = world.devices[other].core();
    assert_eq!(core.send(key, &bob, &["later".to_owned()], now), Err(Error::Revoked));
    assert!(world.texts("bob", "alice").is_empty());
}

/// Whoever waits for the outcome of a command or for who has a handle is told, and does not wait for ever.
#[test]
fn a_removed_device_leaves_no_command_without_an_answer() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let other = world.add_device("alice");
    let group = world.creates(0, "Herons", &["bob"]);
    world.cut(other);
    let carol = handle("carol");
    let core = world.devices[other].core();
    let rename = || GroupCommand::Rename(group, "Egrets".to_owned());
    let (change, find) = (core.change_group(rename()).unwrap(), core.find(&carol).unwrap());
    let (number, now) = (world.devices[other].id().number, world.now());
    world.device("alice").core().remove_device(number, now).unwrap();
    world.settle_without(other);
    world.settle();
    let core = world.devices[other].core();
    assert_eq!(core.take_group_outcome(change), Some(Err(Error::Revoked)));
    assert_eq!(core.take_found(find), Some(Err(Error::Revoked)));
    assert_eq!(core.change_group(rename()), Err(Error::Revoked));
    assert_eq!(core.find(&carol), Err(Error::Revoked));
    assert_eq!(world.sees(0, group).name.as_deref(), Some("Herons"));
}
