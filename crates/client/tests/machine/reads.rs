//! Who has read what was said in groups: small ones, where each device has a copy, and large ones, where
//! the server gives one body to all.

use godwit_base::{GroupId, MessageId};
use godwit_client::core::{Asked, GroupCommand};
use godwit_client::{ChatId, Event, MessageState, Reach, Recipients, WarningKind};
use godwit_wire::v1;

use crate::posts::{group_of, texts};
use crate::server::Entry;
use crate::world::{World, handle};

/// People of a group of each kind.
const BOTH: [usize; 2] = [3, 40];

impl World {
    /// Somebody looks at the chat of a group.
    fn reads(&mut self, at: usize, group: GroupId) {
        let now = self.now();
        self.devices[at].core().mark_read(&group.into(), now);
    }

    /// Delivered, read, and of how many, as a device shows it.
    fn reach(&self, at: usize, id: MessageId) -> (u32, u32, u32) {
        let item = self.devices[at].history.get(id).unwrap();
        let Reach { delivered, read, of } = item.details.reach.unwrap_or_default();
        (delivered, read, of)
    }

    fn unread(&self, at: usize, group: GroupId) -> usize {
        let items = self.devices[at].history.items.values();
        let items = items.filter(|item| item.with == ChatId::Group(group) && !item.outgoing);
        items.filter(|item| item.state == MessageState::Delivered).count()
    }

    /// Who has a message, as a device says when it is asked; by handle.
    fn recipients(&mut self, at: usize, id: MessageId) -> Recipients {
        let mut found = match self.devices[at].core().ask_recipients(id) {
            Asked::Now(found) => found,
            Asked::Later(number) => {
                (0..3).for_each(|_| self.step(at));
                self.devices[at].core().take_recipients(number).expect("an answer")
            }
        };
        found.list.sort_by(|a, b| a.handle.cmp(&b.handle));
        found
    }

    fn state_at(&mut self, at: usize, id: MessageId, who: &str) -> Option<MessageState> {
        let found = self.recipients(at, id);
        assert_eq!(found.unknown, None);
        found.list.into_iter().find(|to| to.handle == handle(who)).map(|to| to.state)
    }
}

#[test]
fn who_has_read_is_counted_once_for_each_account_and_all_make_the_ticks_blue() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    let (alices, bobs) = (world.add_device("alice"), world.add_device("bob"));
    let group = world.creates(0, "Herons", &["bob", "carol"]);
    let id = world.says(0, group, "hi");
    world.settle();
    assert_eq!(world.reach(0, id), (2, 0, 2));
    world.reads(bobs, group);
    world.settle();
    assert_eq!(world.unread(1, group), 0, "read on his other device");
    let told = &world.devices[1].told;
    assert!(told.contains(&Event::ReadElsewhere { with: group.into() }));
    let said = world.devices[1].core().next_message();
    world.reads(1, group);
    world.settle();
    assert_eq!(world.devices[1].core().next_message(), said, "told already");
    for at in [0, alices] {
        assert_eq!(world.reach(at, id), (2, 1, 2), "device {at}");
        assert_eq!(world.devices[at].state_of(id), MessageState::Delivered, "device {at}");
        assert_eq!(world.state_at(at, id, "bob"), Some(MessageState::Read), "device {at}");
        assert_eq!(world.state_at(at, id, "carol"), Some(MessageState::Delivered));
    }
    world.reads(2, group);
    world.settle();
    for at in [0, alices] {
        assert_eq!(world.reach(at, id), (2, 2, 2), "device {at}");
        assert_eq!(world.devices[at].state_of(id), MessageState::Read, "device {at}");
        let told = &world.devices[at].told;
        let reach = Reach { delivered: 2, read: 2, of: 2 };
        assert!(told.contains(&Event::Reach { id, with: group.into(), reach }), "device {at}");
    }
    assert!(world.server.group_reads.is_empty(), "the server learns nothing of it");
    assert_eq!(world.devices[2].history.get(id).unwrap().details.reach, None, "hers to count");
}

#[test]
fn of_what_the_server_gave_to_all_it_counts_the_readers_too() {
    let (mut world, group) = group_of(34);
    let mine = world.add_device("p0");
    let ids = [world.says(0, group, "one"), world.says(0, group, "two")];
    world.settle();
    for at in 1..4 {
        world.reads(at, group);
    }
    world.settle();
    assert_eq!(world.server.group_reads.len(), 3, "one each, for all that was read");
    for (at, id) in [(0, ids[0]), (0, ids[1]), (mine, ids[1])] {
        assert_eq!(world.reach(at, id), (33, 3, 33), "device {at}");
        assert_eq!(world.devices[at].state_of(id), MessageState::Delivered);
    }
    (4..34).for_each(|at| world.reads(at, group));
    world.settle();
    for at in [0, mine] {
        assert_eq!(world.reach(at, ids[1]), (33, 33, 33), "device {at}");
        assert_eq!(world.devices[at].state_of(ids[1]), MessageState::Read, "device {at}");
    }
    world.reads(5, group);
    world.settle();
    assert_eq!(world.server.group_reads.len(), 33, "nothing is told twice");
}

#[test]
fn who_tells_nobody_is_told_nothing_and_its_own_devices_know() {
    for people in BOTH {
        let (mut world, group) = group_of(people);
        let other = world.add_device("p1");
        let now = world.now();
        world.devices[1].core().set_receipts(false, now);
        world.settle();
        let id = world.says(0, group, "hi");
        let of_p1 = world.says(1, group, "hello");
        world.settle();
        world.reads(1, group);
        world.reads(2, group);
        world.settle();
        let others = u32::try_from(people).unwrap() - 1;
        assert_eq!(world.reach(0, id), (others, 1, others), "of p2 alone, {people} people");
        assert_eq!(world.state_at(0, id, "p1"), Some(MessageState::Delivered));
        let by_p1 = world.devices[1].id();
        assert!(world.server.group_reads.iter().all(|(by, _)| *by != by_p1), "{people} people");
        assert_eq!(world.unread(other, group), 0, "{people} people");
        assert_eq!(world.reach(1, of_p1).1, 0, "who does not tell is not told");
        assert_eq!(world.state_at(1, of_p1, "p2"), Some(MessageState::Delivered));
    }
}

#[test]
fn who_is_blocked_does_not_learn_that_it_was_read() {
    for people in BOTH {
        let (mut world, group) = group_of(people);
        let other = world.add_device("p1");
        let now = world.now();
        world.devices[1].core().set_blocked(&handle("p0"), true, now).unwrap();
        world.settle();
        let blocked = world.says(0, group, "hi");
        let id = world.says(2, group, "hello");
        world.settle();
        world.reads(1, group);
        world.settle();
        assert_eq!(world.reach(0, blocked).1, 0, "{people} people");
        assert_eq!(world.reach(2, id).1, 1, "{people} people");
        assert_eq!(world.unread(other, group), 0, "{people} people");
    }
}

#[test]
fn what_was_read_is_told_though_the_process_dies_before() {
    for people in BOTH {
        let (mut world, group) = group_of(people);
        let other = world.add_device("p1");
        let id = world.says(0, group, "hi");
        world.settle();
        world.reads(1, group);
        let now = world.now();
        world.devices[1].flush(now);
        world.devices[1].commit(true);
        world.cut(1);
        assert!(world.server.group_reads.is_empty());
        world.settle();
        assert_eq!(world.reach(0, id).1, 1, "{people} people");
        assert_eq!(world.unread(other, group), 0, "{people} people");
    }
}

#[test]
fn what_the_server_was_told_is_told_again_until_it_answers() {
    let (mut world, group) = group_of(34);
    let id = world.says(0, group, "hi");
    world.settle();
    world.server.mischief.reads_unanswered = 1;
    world.reads(1, group);
    (0..3).for_each(|_| world.step(1));
    assert_eq!(world.server.group_reads.len(), 1);
    let meanwhile = world.says(0, group, "meanwhile");
    world.settle();
    world.reads(1, group);
    world.settle();
    assert_eq!(world.server.group_reads.len(), 1, "the first is not answered");
    world.cut(1);
    world.settle();
    let marks: Vec<u64> =
        world.server.group_reads.iter().map(|(_, read)| read.marks[0].up_to).collect();
    assert_eq!(marks, [id.counter, meanwhile.counter], "raised, not queued");
    world.server.mischief.reads_limited = 2;
    let last = world.says(0, group, "more");
    world.settle();
    world.reads(1, group);
    world.settle();
    assert_eq!(world.server.group_reads.len(), 5, "two refusals, then it is taken");
    assert_eq!(world.reach(0, last), (33, 1, 33));
    world.cut(1);
    world.settle();
    assert_eq!(world.server.group_reads.len(), 5, "it was answered");
}

#[test]
fn what_was_read_is_told_after_the_server_knows_that_it_came() {
    let (mut world, group) = group_of(34);
    world.says(0, group, "so that all have the key");
    world.settle();
    let id = world.says(0, group, "hi");
    (0..4).for_each(|_| world.step(0));
    world.carry_down(1, usize::MAX);
    world.drive(1);
    assert_eq!(world.texts_in(1, group).last().unwrap(), "hi");
    world.cut(1); // and with it the acknowledgement
    world.reads(1, group);
    world.settle();
    assert_eq!(world.reach(0, id), (33, 1, 33));
}

#[test]
fn what_is_older_than_the_server_tells_of_has_come_as_far() {
    let (mut world, group) = group_of(34);
    world.says(0, group, "so that all have the key");
    world.settle();
    let ids = [world.says(0, group, "one"), world.says(0, group, "two")];
    (0..4).for_each(|_| world.step(0)); // and nobody else
    let posts = vec![v1::PostReach { counter: ids[1].counter, accounts: 5, readers: 2 }];
    let (to, origin) = (world.devices[0].id(), world.devices[0].id().number.0);
    world.server.append(to, Entry::Reach { group: group.0.to_vec(), origin, posts });
    (0..2).for_each(|_| world.step(0));
    for id in ids {
        assert_eq!(world.reach(0, id), (5, 2, 33));
    }
}

#[test]
fn only_who_was_a_member_when_it_was_said_counts() {
    for people in BOTH {
        let (mut world, group) = group_of(people);
        world.add("late");
        world.settle();
        let others = u32::try_from(people).unwrap() - 1;
        let first = world.says(0, group, "first");
        world.settle();
        world.commands(2, GroupCommand::Leave(group)).unwrap();
        world.commands(0, GroupCommand::Add(group, vec![handle("late")])).unwrap();
        let second = world.says(0, group, "second");
        world.settle();
        let late = world.index("late");
        (1..people).chain([late]).filter(|at| *at != 2).for_each(|at| world.reads(at, group));
        world.settle();
        // Who left had it and has not read it; who came later is not meant.
        assert_eq!(
            world.state_at(0, first, "p2"),
            Some(MessageState::Delivered),
            "{people} people"
        );
        assert_eq!(world.state_at(0, first, "late"), None, "{people} people");
        assert_eq!(world.state_at(0, first, "p1"), Some(MessageState::Read), "{people} people");
        assert_eq!(world.state_at(0, second, "p2"), None, "{people} people");
        assert_eq!(world.state_at(0, second, "late"), Some(MessageState::Read));
        assert_eq!(world.reach(0, second), (others, others, others), "{people} people");
        assert_eq!(world.devices[0].state_of(second), MessageState::Read, "{people} people");
        if people == BOTH[0] {
            assert_eq!(world.reach(0, first), (others, others - 1, others));
            assert_eq!(world.devices[0].state_of(first), MessageState::Delivered);
        }
    }
}

#[test]
fn who_exactly_is_asked_and_not_known_without_a_link() {
    let (mut world, group) = group_of(34);
    let other = world.add_device("p0");
    world.says(0, group, "so that all have the key");
    world.settle();
    world.devices[2].crash();
    world.cut(2);
    let id = world.says(0, group, "hi");
    for _ in 0..20 {
        world.pass(50);
        (0..world.devices.len()).filter(|at| *at != 2).for_each(|at| world.step(at));
    }
    world.reads(1, group);
    for _ in 0..20 {
        world.pass(50);
        (0..world.devices.len()).filter(|at| *at != 2).for_each(|at| world.step(at));
    }
    for at in [0, other] {
        assert_eq!(world.recipients(at, id).list.len(), 33, "device {at}");
        assert_eq!(world.state_at(at, id, "p1"), Some(MessageState::Read), "device {at}");
        assert_eq!(world.state_at(at, id, "p2"), Some(MessageState::Accepted), "device {at}");
        assert_eq!(world.state_at(at, id, "p3"), Some(MessageState::Delivered), "device {at}");
    }
    assert_eq!(world.recipients(3, id), Recipients::default(), "another's message");
    world.cut(0);
    let offline = world.recipients(0, id);
    assert!(offline.list.is_empty() && offline.unknown.is_some());
    // Asked, and the link breaks before the answer.
    let Asked::Later(number) = world.devices[other].core().ask_recipients(id) else {
        panic!("the server knows")
    };
    world.cut(other);
    let broken = world.devices[other].core().take_recipients(number).unwrap();
    assert!(broken.list.is_empty() && broken.unknown.is_some());
}

#[test]
fn where_only_admins_write_the_others_say_what_they_have_read() {
    let (mut world, group) = group_of(3);
    world.commands(0, GroupCommand::OnlyAdminsWrite(group, true)).unwrap();
    let id = world.says(0, group, "hear ye");
    world.settle();
    world.reads(1, group);
    world.settle();
    assert_eq!(world.reach(0, id), (2, 1, 2));
    assert_eq!(world.warnings("p0", WarningKind::Server), 0);
    let written_to = world.devices[1].core().people().into_iter().any(|p| p.written_to);
    assert!(!written_to, "who reads makes nobody a contact");
}

#[test]
fn copies_and_what_was_given_to_all_are_both_told_at_once() {
    let (mut world, group) = group_of(33);
    let other = world.add_device("p1"); // and with it the group is a large one
    let small = world.creates(0, "Egrets", &["p1", "p2"]);
    let copied = world.says(0, small, "as copies");
    let given = world.says(0, group, "to all");
    world.settle();
    let add: Vec<_> = (3..33).map(|n| handle(&format!("p{n}"))).collect();
    world.commands(0, GroupCommand::Add(small, add)).unwrap();
    let grown = world.says(0, small, "to all, now");
    world.settle();
    world.reads(1, small);
    world.reads(1, group);
    world.settle();
    assert_eq!(world.reach(0, copied), (2, 1, 2));
    assert_eq!(world.reach(0, grown), (32, 1, 32));
    assert_eq!(world.reach(0, given), (32, 1, 32));
    assert_eq!((world.unread(other, small), world.unread(other, group)), (0, 0));
}

#[test]
fn what_had_to_let_a_key_pass_is_read_under_the_id_that_it_has() {
    let (mut world, group) = group_of(34);
    let other = world.add_device("p1");
    let now = world.now();
    let many: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    let key = world.devices[0].key();
    let ids = world.devices[0].core().send(key, &group.into(), &many, now).unwrap();
    (0..6).for_each(|_| world.settle());
    world.reads(1, group);
    world.settle();
    assert_eq!(world.unread(1, group), 0);
    assert_eq!(world.unread(other, group), 0);
    assert_eq!(world.reach(0, ids[249]), (33, 1, 33));
    assert_eq!(world.state_at(0, ids[0], "p1"), Some(MessageState::Read));
    assert_eq!(world.state_at(0, ids[0], "p2"), Some(MessageState::Delivered));
}

#[test]
fn a_copy_that_came_when_it_was_sent_again_is_told_as_the_one_it_is() {
    let (mut world, group) = group_of(3);
    world.says(0, group, "before");
    world.settle();
    let id = MessageId {
        device: world.devices[0].id(),
        counter: world.devices[0].core().next_message(),
    };
    world.server.mischief.damage.insert(id);
    assert_eq!(world.says(0, group, "again"), id);
    world.settle();
    for at in [1, 2] {
        assert_eq!(world.texts_in(at, group), texts(&["before", "again"]), "device {at}");
        world.reads(at, group);
    }
    world.settle();
    assert_eq!(world.reach(0, id), (2, 2, 2));
}

/// Two messages, of which the first does not open. What comes for it when it is sent again has a number above the
/// second's; one device has the second not yet. What it reads is the first alone, whoever is told of it.
#[test]
fn what_was_sent_again_is_read_under_the_number_that_it_had_first() {
    for people in BOTH {
        let (mut world, group) = group_of(people);
        let other = world.add_device("p1");
        world.says(0, group, "before");
        world.settle();
        (1..=other).for_each(|at| world.reads(at, group));
        world.settle();
        let (to, device) = (world.devices[1].id(), world.devices[0].id());
        let counter = world.devices[0].core().next_message();
        world.server.mischief.damage.insert(MessageId { device, counter });
        world.devices[1].crash();
        world.cut(1);
        let [first, second] = ["one", "two"].map(|text| world.says(0, group, text));
        assert_eq!(first.counter, counter, "it is the one that does not open");
        world.settle_without(1);
        let withheld = world.server.withhold_of(to, second);
        world.settle();
        assert_eq!(world.texts_in(1, group), texts(&["before", "one"]), "{people} people");
        world.reads(1, group);
        world.settle();
        assert_eq!(world.reach(0, first).1, 1, "{people} people");
        assert_eq!(world.reach(0, second).1, 0, "{people} people: nobody has read it");
        world.reads(other, group);
        world.settle();
        assert_eq!(world.reach(0, second).1, 1, "{people} people: it was unread there");
        world.server.append(to, withheld);
        world.settle();
        assert_eq!(world.texts_in(1, group), texts(&["before", "one", "two"]));
    }
}

#[test]
fn what_waits_to_go_out_says_the_newest() {
    let (mut world, group) = group_of(3);
    world.says(0, group, "one");
    world.settle();
    let before = world.devices[1].core().next_message();
    // The server asks p1 to wait with what it sends.
    world.server.mischief.busy = 1;
    world.send("p1", "p2", "busy");
    (0..3).for_each(|_| world.step(1));
    assert_eq!(world.server.mischief.busy, 0);
    world.reads(1, group);
    let id = world.says(0, group, "two");
    for _ in 0..4 {
        (0..3).for_each(|at| world.step(at));
    }
    assert_eq!(world.texts_in(1, group), texts(&["one", "two"]));
    world.reads(1, group);
    assert_eq!(world.devices[1].core().next_message(), before + 2, "one watermark, raised");
    world.settle();
    assert_eq!(world.reach(0, id), (2, 1, 2));
}
