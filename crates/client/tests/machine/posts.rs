//! What is said in groups: every member device shows it once and in order, whoever comes, goes or was away.

use godwit_base::{DeviceNumber, GroupId, MessageId};
use godwit_client::core::GroupCommand;
use godwit_client::{Act, ChatId, Error, Event, Failure, MessageState, Reach, WarningKind};
use godwit_seal::{
    Bundle, DeviceList, Group, Inner, Pairing, SENDER_KEY_AGE_MAX_MS, SenderKeyId, Trust,
};
use godwit_wire::v1;

use crate::server::Entry;
use crate::world::{World, handle};

impl World {
    pub(crate) fn says(&mut self, at: usize, group: GroupId, text: &str) -> MessageId {
        let now = self.now();
        self.devices[at].say(group, text, now)
    }

    pub(crate) fn texts_in(&self, at: usize, group: GroupId) -> Vec<String> {
        self.devices[at].said_in(group).into_iter().map(|(_, text)| text).collect()
    }

    /// The sender keys of all that was posted.
    fn keys(&self) -> Vec<SenderKeyId> {
        let bodies = self.server.said.iter().map(|said| &said.body);
        bodies.map(|body| SenderKeyId::of_message(body).expect("one body for all")).collect()
    }

    /// Everybody takes steps while no time passes.
    fn rush(&mut self) {
        (0..12).for_each(|_| (0..self.devices.len()).for_each(|at| self.step(at)));
    }

    fn number(&self, handle: &str) -> usize {
        self.index(handle)
    }
}

pub(crate) fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// A world of so many people, `p0` and on, of whom the first has made a group of all.
pub(crate) fn group_of(people: usize) -> (World, GroupId) {
    let names: Vec<String> = (0..people).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names);
    let group = world.creates(0, "Herons", &names[1..]);
    (world, group)
}

#[test]
fn in_a_small_group_every_device_has_a_copy() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let other = world.add_device("alice");
    let bobs = world.add_device("bob");
    let group = world.creates(0, "Herons", &["bob", "carol"]);
    let id = world.says(0, group, "hi");
    world.settle();
    world.says(1, group, "hello");
    world.settle();
    world.says(other, group, "from my other device");
    world.settle();
    let expected = texts(&["hi", "hello", "from my other device"]);
    for at in 0..5 {
        assert_eq!(world.texts_in(at, group), expected, "device {at}");
    }
    assert!(world.devices[other].history.get(id).unwrap().outgoing);
    assert_eq!(world.devices[bobs].said_in(group)[0].0, "alice");
    assert_eq!(world.devices[0].state_of(id), MessageState::Delivered);
    let told = &world.devices[0].told;
    assert!(told.iter().any(|event| matches!(
        event,
        Event::Reach { id: of, reach: Reach { delivered: 2, read: 0, of: 2 }, .. } if *of == id
    )));
    // One submission each; alice's first goes to two accounts and her own other device.
    assert_eq!(world.server.posts[0], (world.devices[0].core().device(), id.counter, 4));
    let chats = world.devices[1].history.items.values().filter(|item| item.with.group().is_none());
    assert_eq!(chats.count(), 0, "nothing of it is in a chat between two");
}

#[test]
fn alone_in_a_group_one_talks_to_oneself() {
    let mut world = World::with(&["alice"]);
    let group = world.creates(0, "Notes", &[]);
    let id = world.says(0, group, "hi");
    world.settle();
    assert_eq!(world.devices[0].state_of(id), MessageState::Accepted);
}

#[test]
fn at_32_devices_copies_above_it_one_body() {
    let (mut world, group) = group_of(33);
    world.says(0, group, "to 32");
    world.settle();
    assert_eq!(world.server.posts.last().unwrap().2, 32);
    world.add("last");
    world.settle();
    world.commands(0, GroupCommand::Add(group, vec![handle("last")])).unwrap();
    let id = world.says(0, group, "to 33");
    world.says(1, group, "and back");
    world.settle();
    assert!(world.server.posts[1..].iter().all(|(_, _, copies)| *copies == 0));
    for at in 0..33 {
        let said = world.texts_in(at, group);
        assert_eq!(said.len(), 3, "device {at}: {said:?}");
        assert_eq!(said[0], "to 32");
    }
    let last = world.number("last");
    assert_eq!(world.texts_in(last, group).len(), 2, "what was said before is not for who came");
    assert_eq!(world.devices[0].state_of(id), MessageState::Delivered);
}

#[test]
fn who_was_removed_reads_nothing_more() {
    for people in [3, 40] {
        let (mut world, group) = group_of(people);
        world.says(0, group, "before");
        world.settle();
        world.commands(0, GroupCommand::Remove(group, vec![handle("p2")])).unwrap();
        world.says(0, group, "after");
        world.says(1, group, "after, by another");
        world.settle();
        let said = world.texts_in(1, group);
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(world.texts_in(2, group), texts(&["before"]));
        let key = world.devices[2].key();
        let now = world.now();
        let refused = world.devices[2].core().send(key, &group.into(), &texts(&["hey"]), now);
        assert!(matches!(refused, Err(Error::Group(_))), "{refused:?}");
    }
}

#[test]
fn a_post_of_who_did_not_hear_of_the_change_is_sealed_anew() {
    for people in [3, 40] {
        let (mut world, group) = group_of(people);
        world.says(1, group, "first");
        world.settle();
        // p1 hears nothing while p2 goes.
        world.cut(1);
        world.devices[1].crash();
        let now = world.now();
        let remove = GroupCommand::Remove(group, vec![handle("p2")]);
        world.devices[0].core().change_group(remove).unwrap();
        for _ in 0..20 {
            world.step(0);
        }
        world.devices[1].restart(now);
        let ids: Vec<MessageId> = (0..3).map(|n| world.says(1, group, &format!("{n}"))).collect();
        world.settle();
        assert_eq!(world.texts_in(0, group), texts(&["first", "0", "1", "2"]), "{people} people");
        assert_eq!(world.texts_in(2, group), texts(&["first"]), "{people} people");
        for id in ids {
            assert_eq!(world.devices[1].state_of(id), MessageState::Delivered);
        }
    }
}

#[test]
fn a_device_that_a_member_links_or_removes_is_heard_of_in_time() {
    for people in [3, 40] {
        let (mut world, group) = group_of(people);
        world.says(0, group, "first");
        world.settle();
        let other = world.add_device("p1");
        world.says(0, group, "second");
        world.settle();
        assert_eq!(world.texts_in(other, group), texts(&["second"]), "{people} people");
        let number = world.devices[other].core().device().number;
        assert_eq!(number, DeviceNumber(2));
        let now = world.now();
        world.devices[1].core().remove_device(number, now).unwrap();
        world.settle();
        world.says(0, group, "third");
        world.settle();
        assert_eq!(world.texts_in(1, group), texts(&["first", "second", "third"]));
        assert_eq!(world.texts_in(other, group), texts(&["second"]), "{people} people");
    }
}

#[test]
fn a_hundred_and_one_messages_in_one_go_take_two_keys() {
    let (mut world, group) = group_of(34);
    let now = world.now();
    let many: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    let key = world.devices[0].key();
    let ids = world.devices[0].core().send(key, &group.into(), &many, now).unwrap();
    (0..6).for_each(|_| world.settle());
    for at in [0, 1, 33] {
        assert_eq!(world.texts_in(at, group), many, "device {at}");
    }
    for id in [ids[0], ids[99], ids[100], ids[249]] {
        assert_eq!(world.devices[0].state_of(id), MessageState::Delivered);
        assert!(world.devices[33].history.get(id).is_some(), "under the id that it was given");
    }
    let keys = world.keys();
    assert_eq!(
        (keys[0] == keys[99], keys[99] == keys[100], keys[199] == keys[100]),
        (true, false, true)
    );
    assert!(keys[200] != keys[199]);
}

#[test]
fn what_is_said_about_messages_works_in_groups_too() {
    for people in [3, 40] {
        let (mut world, group) = group_of(people);
        let id = world.says(0, group, "helo");
        world.settle();
        let now = world.now();
        world.devices[0].act(&group, id, &Act::Edit("hello".to_owned()), now);
        world.devices[1].act(&group, id, &Act::Reaction("+".to_owned()), now);
        let timer = world.devices[1].key();
        world.devices[1].core().set_timer(timer, &group.into(), 60, now).unwrap();
        world.settle();
        for at in 0..3 {
            let item = world.devices[at].history.get(id).unwrap();
            assert_eq!(item.text.as_deref(), Some("hello"), "device {at}");
            assert_eq!(item.details.reactions.len(), 1, "device {at}");
            assert_eq!(world.devices[at].core().timer(&group.into()), 60, "device {at}");
        }
        let now = world.now();
        let foreign = world.devices[1].key();
        let edit = Act::Edit("mine".to_owned());
        let refused =
            world.devices[1].core().annotate(foreign, &ChatId::Group(group), id, &edit, now);
        assert_eq!(refused, Err(Error::NotAuthor(id)));
        world.devices[0].act(&group, id, &Act::Deletion, now);
        world.settle();
        assert_eq!(world.devices[2].history.get(id).unwrap().text, None);
    }
}

#[test]
fn only_admins_write_when_it_is_so() {
    let (mut world, group) = group_of(3);
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    world.says(0, group, "hear ye");
    world.settle();
    assert_eq!(world.texts_in(2, group), texts(&["hear ye"]));
    let (now, key) = (world.now(), world.devices[1].key());
    let refused = world.devices[1].core().send(key, &group.into(), &texts(&["me too"]), now);
    assert!(matches!(refused, Err(Error::Group(_))));
}

#[test]
fn a_server_that_keeps_calling_it_stale_is_given_up() {
    let (mut world, group) = group_of(3);
    world.server.mischief.stale_posts = 17;
    let id = world.says(0, group, "hi");
    (0..3).for_each(|_| world.settle());
    assert_eq!(world.devices[0].state_of(id), MessageState::Failed(Failure::DevicesChanging));
    world.server.mischief.stale_posts = 16;
    let id = world.says(0, group, "hi again");
    (0..3).for_each(|_| world.settle());
    assert_eq!(world.devices[0].state_of(id), MessageState::Delivered);
    assert_eq!(world.texts_in(1, group), texts(&["hi again"]));
}

#[test]
fn a_replayed_post_is_shown_once() {
    let (mut world, group) = group_of(34);
    world.devices[1].crash(); // its mailbox keeps what comes
    world.says(0, group, "once");
    for _ in 0..40 {
        world.pass(50);
        (0..34).filter(|at| *at != 1).for_each(|at| world.step(at));
    }
    let to = world.devices[1].id();
    let twice = world.server.mailboxes[&to].iter().rev().take(1).cloned().collect::<Vec<_>>();
    world.settle();
    for (_, entry) in twice {
        world.server.append(to, entry);
    }
    world.settle();
    assert_eq!(world.texts_in(1, group), texts(&["once"]));
}

#[test]
fn a_post_given_to_another_group_is_not_shown_there() {
    let (mut world, group) = group_of(34);
    let names: Vec<String> = (1..34).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let other = world.creates(0, "Egrets", &names);
    world.says(0, other, "here");
    world.says(0, group, "there");
    world.settle();
    let device = world.devices[0].core().device();
    let counter = world.devices[0].core().next_message();
    let id = MessageId { device, counter };
    world.server.mischief.misleads.insert(id, other.0.to_vec());
    assert_eq!(world.says(0, group, "secret"), id);
    world.settle();
    assert_eq!(world.texts_in(1, other), texts(&["here"]));
    // Its key is not there in that group: it is asked for, and comes to where it belongs.
    world.server.mischief.misleads.clear();
    for _ in 0..400 {
        world.pass(7_000);
        (0..3).for_each(|_| (0..34).for_each(|at| world.step(at)));
    }
    assert_eq!(world.texts_in(1, group), texts(&["there", "secret"]));
    assert_eq!(world.texts_in(1, other), texts(&["here"]));
}

#[test]
fn what_a_ghost_says_is_shown_to_nobody() {
    let mut world = World::with(&["alice", "bob", "mallory"]);
    let group = world.creates(0, "Herons", &["bob"]);
    world.says(0, group, "hi");
    world.settle();
    let account = world.devices[2].core().device().account;
    let logged = world.server.groups.get_mut(group.0.as_slice()).unwrap();
    logged.members.insert(account, v1::GroupRole::Member);
    let (to, from) = (world.devices[1].id(), world.devices[2].core().device());
    let (group_bytes, epoch, body) = (group.0.to_vec(), 1, vec![1, 2, 3]);
    let post = Entry::Post { from, counter: 1, group: group_bytes, epoch, body };
    world.server.append(to, post);
    world.settle();
    assert_eq!(world.texts_in(1, group), texts(&["hi"]));
    assert_eq!(world.warnings("bob", WarningKind::Server), 1);
}

#[test]
fn the_key_and_what_it_opens_outlive_a_crash() {
    let (mut world, group) = group_of(34);
    world.says(0, group, "first");
    world.settle();
    for at in [0, 1] {
        world.devices[at].crash();
    }
    world.settle();
    world.says(0, group, "second");
    world.settle();
    assert_eq!(world.texts_in(1, group), texts(&["first", "second"]));
}

#[test]
fn a_sender_key_lives_seven_days_and_no_longer() {
    let (mut world, group) = group_of(34);
    world.says(0, group, "first");
    world.rush();
    assert_eq!(world.keys().len(), 1, "sealed at once");
    let until_ms = world.mono_ms + SENDER_KEY_AGE_MAX_MS;
    world.pass(SENDER_KEY_AGE_MAX_MS - 60_000);
    world.settle();
    while world.mono_ms < until_ms - 1 {
        world.pass((until_ms - 1 - world.mono_ms).min(5_000));
        world.rush();
    }
    world.says(0, group, "still");
    world.rush();
    world.pass(1);
    world.says(0, group, "anew");
    world.rush();
    let keys = world.keys();
    assert_eq!((keys[1] == keys[0], keys[2] == keys[0]), (true, false));
    assert_eq!(world.texts_in(33, group), texts(&["first", "still", "anew"]));
}

/// Three posts that p1 was not there for, as they lay in its mailbox: the last one first.
fn held_back(world: &mut World, group: GroupId, by: usize) -> ([MessageId; 3], [Entry; 3]) {
    world.says(by, group, "first");
    world.settle();
    world.devices[1].crash();
    world.cut(1);
    let ids = ["a", "b", "c"].map(|text| world.says(by, group, text));
    world.settle_without(1);
    let to = world.devices[1].id();
    (ids, ids.map(|_| world.server.withhold(to)))
}

/// The same body under another number, epoch, or name.
fn changed(
    entry: &Entry,
    change: impl FnOnce(&mut godwit_base::DeviceId, &mut u64, &mut u64),
) -> Entry {
    let mut entry = entry.clone();
    if let Entry::Post { from, counter, epoch, .. } = &mut entry {
        change(from, counter, epoch);
    }
    entry
}

#[test]
fn posts_that_are_replayed_reordered_or_given_as_others_are_shown_once_and_as_they_are() {
    let (mut world, group) = group_of(34);
    let (ids, held) = held_back(&mut world, group, 0);
    let (to, other) = (world.devices[1].id(), world.devices[2].id());
    for place in [0, 2, 1, 0, 1] {
        world.server.append(to, held[place].clone());
    }
    world.server.append(to, changed(&held[0], |_, counter, _| *counter += 50));
    world.server.append(to, changed(&held[1], |from, counter, _| (*from, *counter) = (other, 900)));
    (0..8).for_each(|_| world.settle());
    for (id, text) in ids.iter().zip(["a", "b", "c"]) {
        let items = world.devices[1].history.items.values();
        let shown: Vec<_> = items.filter(|item| item.text.as_deref() == Some(text)).collect();
        let [item] = shown[..] else { panic!("{text} is shown {} times", shown.len()) };
        assert_eq!(item.id, *id);
    }
}

#[test]
fn of_two_posts_with_their_numbers_swapped_neither_is_shown_as_the_other() {
    let (mut world, group) = group_of(34);
    let (ids, held) = held_back(&mut world, group, 0);
    let to = world.devices[1].id();
    let [third, second, first] = held;
    world.server.append(to, changed(&second, |_, counter, _| *counter = ids[0].counter));
    world.server.append(to, changed(&first, |_, counter, _| *counter = ids[1].counter));
    world.server.append(to, third);
    world.settle();
    for (id, text) in ids.iter().zip([None, None, Some("c")]) {
        let item = world.devices[1].history.get(*id).unwrap();
        assert_eq!(item.text.as_deref(), text, "{id}");
    }
}

#[test]
fn a_post_given_under_another_epoch_is_not_shown() {
    let (mut world, group) = group_of(34);
    let (_, held) = held_back(&mut world, group, 0);
    world.commands(0, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    let to = world.devices[1].id();
    let warned = world.warnings("p1", WarningKind::Undecryptable);
    world.server.append(to, changed(&held[0], |_, _, epoch| *epoch = 2));
    (0..3).for_each(|_| world.step(1));
    assert!(!world.texts_in(1, group).contains(&"c".to_owned()));
    assert_eq!(world.warnings("p1", WarningKind::Undecryptable), warned + 1);
}

/// The server has shown everybody but its author another second entry than it has now.
#[test]
fn a_key_that_is_given_out_of_another_log_uncovers_the_fork() {
    let (mut world, group) = group_of(34);
    let copied = world.devices[0].copy();
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    world.server.groups.get_mut(group.0.as_slice()).unwrap().log.pop();
    world.devices[0].put_back(copied);
    world.settle();
    world.commands(0, GroupCommand::Rename(group, "Egrets".to_owned())).unwrap();
    assert!((1..34).all(|at| world.sees(at, group).frozen.is_none()), "nor can it be seen yet");
    world.says(0, group, "hi");
    world.settle();
    for at in 1..34 {
        assert!(world.sees(at, group).frozen.is_some(), "device {at}");
        assert!(world.texts_in(at, group).is_empty(), "device {at}");
    }
    assert!(world.warnings("p1", WarningKind::Server) >= 1);
}

/// A member whose program is another than ours: it seals, for the present epoch, what only admins may say.
#[test]
fn what_who_may_not_write_says_is_not_shown() {
    let mut world = World::with(&["alice", "bob"]);
    let group = world.creates(0, "Herons", &["bob"]);
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    let keys = world.list_device("bob").keys;
    let (alice, now_ms) = (world.devices[0].id(), world.now().wall_ms);
    let account = &world.server.accounts[&alice.account];
    let trust = Trust::FirstUse(alice.account);
    let list = DeviceList::verify(&account.signed_list, trust, None, now_ms).unwrap();
    let fallback = &account.devices[&alice.number.0].fallback;
    let bundle = Bundle::verify(&[], fallback, &list, alice.number, now_ms).unwrap();
    let mut pairing = Pairing::new(bundle.peer());
    pairing.start(&keys, &bundle, now_ms).unwrap();
    let log = &world.server.groups[&group.0.to_vec()].log;
    let (mut there, _) = Group::found(&log[0]).unwrap();
    there.apply(&log[1]).unwrap();
    let body = [[0x0a, 3].as_slice(), b"hey"].concat().into();
    let inner = Inner { counter: 1, sent_at_ms: now_ms, resend_of: None, body };
    let sealed = pairing.seal_in(&keys, &there.place(), &inner).unwrap();
    world.server.inject(alice, keys.id(), 1, v1::CopyKind::Opening.into(), sealed.bytes);
    world.settle();
    assert!(world.texts_in(0, group).is_empty());
    assert_eq!(world.warnings("alice", WarningKind::Server), 1);
}

#[test]
fn what_who_was_removed_says_is_not_shown() {
    let (mut world, group) = group_of(35);
    let (_, held) = held_back(&mut world, group, 2);
    world.commands(0, GroupCommand::Remove(group, vec![handle("p2")])).unwrap();
    let to = world.devices[1].id();
    world.server.append(to, changed(&held[0], |_, _, epoch| *epoch = 2));
    (0..3).for_each(|_| world.step(1));
    assert!(!world.texts_in(1, group).contains(&"c".to_owned()));
    assert_eq!(world.warnings("p1", WarningKind::Server), 1);
}

/// Two posts come back because a member has another device by now; the link breaks between the two answers.
/// What is said then does not pass the second, which is still sealed as it was.
#[test]
fn a_post_does_not_pass_one_that_comes_back() {
    let (mut world, group) = group_of(34);
    world.says(0, group, "first");
    world.settle();
    world.add_device("p1");
    for text in ["a", "b"] {
        world.says(0, group, text);
    }
    world.drive(0);
    world.carry_up(0, usize::MAX);
    let answers = world.server.connections[&0].outgoing.len();
    world.carry_down(0, answers / 2);
    world.cut(0);
    world.says(0, group, "c");
    (0..3).for_each(|_| world.settle());
    assert_eq!(world.texts_in(33, group), texts(&["first", "a", "b", "c"]));
}
