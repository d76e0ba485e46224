//! What is said about messages, and messages that disappear.

use godwit_base::MessageId;
use godwit_client::core::{TIMER_S_MAX, TIMER_S_MIN};
use godwit_client::{
    Act, ChatId, Context, Error, Event, HistoryItem, MessageState, Note, WarningKind,
};

use crate::world::{World, handle};

impl World {
    fn act(&mut self, of: &str, with: &str, about: MessageId, act: &Act) -> MessageId {
        let now = self.now();
        let id = self.device(of).act(&handle(with), about, act, now);
        self.settle();
        id
    }

    fn item(&self, at: usize, id: MessageId) -> &HistoryItem {
        self.devices[at].history.get(id).unwrap()
    }

    fn reactions(&self, at: usize, id: MessageId) -> Vec<String> {
        let reactions = self.item(at, id).details.reactions.iter();
        reactions.map(|reaction| format!("{} {}", reaction.from, reaction.emoji)).collect()
    }

    /// What a device was told about a message.
    fn told(&self, at: usize, id: MessageId) -> Vec<(String, Act)> {
        let told = self.devices[at].told.iter().filter_map(|event| match event {
            Event::Changed(changed) if changed.id == id => {
                Some((changed.from.to_string(), changed.act.clone()))
            }
            _ => None,
        });
        told.collect()
    }

    fn send_raw(&mut self, of: &str, to: &str, body: Vec<u8>) -> MessageId {
        let now = self.now();
        let key = self.device(of).key();
        let id = self.device(of).core().send_body(key, &handle(to).into(), body, now).unwrap();
        self.settle();
        id
    }
}

fn react(emoji: &str) -> Act {
    Act::Reaction(emoji.to_owned())
}

fn edit(text: &str) -> Act {
    Act::Edit(text.to_owned())
}

/// Alice with two devices and bob; a message of bob to her.
fn stage() -> (World, [usize; 3], MessageId) {
    let mut world = World::with(&["alice", "bob"]);
    let (main, bob) = (world.index("alice"), world.index("bob"));
    let other = world.add_device("alice");
    let id = world.send("bob", "alice", "hello");
    world.settle();
    (world, [main, other, bob], id)
}

#[test]
fn a_reaction_is_one_for_each_person_on_every_device() {
    let (mut world, all, id) = stage();
    world.act("alice", "bob", id, &react("👍"));
    world.act("bob", "alice", id, &react("😀"));
    for at in all {
        assert_eq!(world.reactions(at, id), ["alice 👍", "bob 😀"], "device {at}");
    }
    // From the other device it replaces the first one.
    let now = world.now();
    world.devices[all[1]].act(&handle("bob"), id, &react("🎉"), now);
    world.settle();
    world.act("bob", "alice", id, &react(""));
    for at in all {
        assert_eq!(world.reactions(at, id), ["alice 🎉"], "device {at}");
        let told = ["👍", "😀", "🎉", ""].map(react);
        let names = ["alice", "bob", "alice", "bob"].map(str::to_owned);
        let told: Vec<_> = names.into_iter().zip(told).collect();
        assert_eq!(world.told(at, id), told, "device {at}");
    }
}

#[test]
fn an_edit_keeps_its_place_and_the_last_one_wins() {
    let (mut world, all, id) = stage();
    let later = world.send("bob", "alice", "later");
    world.settle();
    world.act("bob", "alice", id, &edit("hello, all"));
    // His clock goes back a day: the later edit is the later one all the same.
    world.skew_ms = -86_400_000;
    world.act("bob", "alice", id, &edit("hello again"));
    for at in all {
        let item = world.item(at, id);
        assert_eq!((item.text.as_deref(), item.details.edited), (Some("hello again"), true));
        assert!(item.row < world.item(at, later).row && !world.item(at, later).details.edited);
    }
}

#[test]
fn a_deleted_message_is_gone_everywhere_and_stays_so() {
    let (mut world, all, id) = stage();
    world.act("alice", "bob", id, &react("👍"));
    world.act("bob", "alice", id, &Act::Deletion);
    world.act("alice", "bob", id, &react("😀"));
    world.act("bob", "alice", id, &edit("back"));
    for at in all {
        let item = world.item(at, id);
        assert_eq!((item.text.as_deref(), item.note), (None, Some(Note::Deleted)), "device {at}");
        assert!(item.details.reactions.is_empty() && !item.details.edited);
    }
    // A command asked for twice is done once.
    let now = world.now();
    let bob = world.device("bob");
    let key = bob.key();
    let second = MessageId { device: id.device, counter: id.counter + 99 };
    let mut act =
        |about| bob.core().annotate(key, &handle("alice").into(), about, &react("x"), now);
    assert_eq!(act(id), act(second));
}

#[test]
fn only_its_author_edits_or_deletes_and_only_in_its_chat() {
    let (mut world, [main, other, bob], id) = stage();
    let now = world.now();
    for act in [edit("mine now"), Act::Deletion] {
        let key = world.device("alice").key();
        let refused =
            world.device("alice").core().annotate(key, &handle("bob").into(), id, &act, now);
        assert_eq!(refused, Err(Error::NotAuthor(id)));
    }
    // A client that does not ask: alice edits bob's message (field 5), then deletes it (field 6).
    let about = reference(id);
    let text = [0x12, 4, b'm', b'i', b'n', b'e'];
    world.send_raw("alice", "bob", field(5, &[&about[..], &text].concat()));
    world.send_raw("alice", "bob", field(6, &about));
    for at in [main, other, bob] {
        assert_eq!(world.item(at, id).text.as_deref(), Some("hello"), "device {at}");
    }
    // Carol reacts to a message of a chat that is not hers.
    world.add("carol");
    world.settle();
    world.send("carol", "alice", "who am I");
    world.settle();
    world.act("carol", "alice", id, &react("👀"));
    for at in [main, other] {
        assert!(world.reactions(at, id).is_empty(), "device {at}");
    }
}

#[test]
fn what_comes_before_its_message_is_applied_when_that_comes() {
    let (mut world, all, id) = stage();
    let next = |n| MessageId { device: id.device, counter: id.counter + n };
    // Bob reacts to what he says only after it, and takes back what he has not said yet.
    world.act("bob", "alice", next(3), &react("🔮"));
    world.act("bob", "alice", next(4), &Act::Deletion);
    assert_eq!(world.send("bob", "alice", "as foreseen"), next(3));
    assert_eq!(world.send("bob", "alice", "never"), next(4));
    world.settle();
    for at in all {
        assert_eq!(world.reactions(at, next(3)), ["bob 🔮"], "device {at}");
        assert_eq!(world.item(at, next(4)).note, Some(Note::Deleted), "device {at}");
        assert_eq!(world.told(at, next(3)), [("bob".to_owned(), react("🔮"))], "device {at}");
    }
}

#[test]
fn a_star_is_known_to_our_own_devices_alone() {
    let (mut world, [main, other, bob], id) = stage();
    let before = world.server.submitted.len();
    world.act("alice", "bob", id, &Act::Star(true));
    assert_eq!(world.server.submitted.len(), before + 1);
    assert!(world.item(main, id).details.starred && world.item(other, id).details.starred);
    assert!(!world.item(bob, id).details.starred);
    world.act("bob", "alice", id, &Act::Star(true)); // he has but one device
    assert!(world.item(bob, id).details.starred);
    // A star that somebody else claims to have set for us means nothing (field 23).
    let now = world.now();
    world.devices[other].act(&handle("bob"), id, &Act::Star(false), now);
    world.settle();
    let star = field(1, &[reference(id), vec![0x10, 1]].concat());
    world.send_raw("bob", "alice", field(23, &star));
    assert!(!world.item(main, id).details.starred && !world.item(other, id).details.starred);
}

#[test]
fn an_answer_and_a_forward_say_so_on_every_device() {
    let (mut world, all, id) = stage();
    let quote = world.item(all[0], id).quote();
    let now = world.now();
    let alice = world.device("alice");
    let (first, second) = (alice.key(), alice.key());
    let context = Context { reply_to: Some(quote.clone()), ..Context::default() };
    let bob = ChatId::from(handle("bob"));
    let answer = alice.core().send_with(first, &bob, "hello you", &context, now).unwrap();
    let context = Context { forwarded: true, ..Context::default() };
    let forward = alice.core().send_with(second, &bob, "old news", &context, now).unwrap();
    world.settle();
    for at in all {
        assert_eq!(world.item(at, answer).details.reply_to.as_ref(), Some(&quote));
        assert!(world.item(at, forward).details.forwarded);
        assert!(!world.item(at, answer).details.forwarded);
    }
}

#[test]
fn a_poll_counts_the_last_vote_of_each() {
    let (mut world, all, _) = stage();
    let now = world.now();
    let options = ["tea", "coffee"].map(str::to_owned);
    let bob = world.device("bob");
    let key = bob.key();
    let alice = ChatId::from(handle("alice"));
    let poll = bob.core().send_poll(key, &alice, "what?", &options, false, now).unwrap();
    world.settle();
    world.act("bob", "alice", poll, &Act::Vote(vec![0]));
    world.act("alice", "bob", poll, &Act::Vote(vec![0]));
    let now = world.now();
    world.devices[all[1]].act(&handle("bob"), poll, &Act::Vote(vec![1]), now);
    world.settle();
    for at in all {
        let item = world.item(at, poll);
        assert_eq!(item.text.as_deref(), Some("what?"));
        let poll = item.details.poll.as_ref().unwrap();
        let voters = poll.options.iter().map(|option| option.voters.as_slice());
        let expected = [vec![handle("bob")], vec![handle("alice")]];
        assert!(voters.eq(expected.iter().map(Vec::as_slice)), "device {at}: {poll:?}");
    }
    // Two answers where one is asked for, and one that there is not: no vote.
    world.act("alice", "bob", poll, &Act::Vote(vec![0, 1]));
    world.act("bob", "alice", poll, &Act::Vote(vec![2]));
    for at in all {
        let poll = world.item(at, poll).details.poll.as_ref().unwrap();
        assert!(poll.options.iter().all(|option| option.voters.is_empty()), "device {at}");
    }
}

#[test]
fn a_timer_is_the_same_on_both_sides_and_runs_from_sending_or_reading() {
    let (mut world, [main, other, bob], id) = stage();
    let now = world.now();
    let alice = world.device("alice");
    let key = alice.key();
    let set = alice.core().set_timer(key, &handle("bob").into(), 60, now).unwrap();
    world.settle();
    for at in [main, other, bob] {
        let with = handle(if at == bob { "alice" } else { "bob" });
        assert_eq!(world.devices[at].core().timer(&with.into()), 60, "device {at}");
        assert_eq!(world.item(at, set).note, Some(Note::Timer), "device {at}");
    }
    let timed = world.send("bob", "alice", "for your eyes only");
    world.settle();
    world.act("alice", "bob", timed, &react("👀"));
    assert!(world.item(bob, timed).details.expires_at_ms.is_some());
    assert_eq!(world.item(main, timed).details.expires_at_ms, None, "nobody has read it");
    world.pass(70_000);
    world.settle();
    assert!(world.devices[bob].history.get(timed).is_none(), "gone at its sender's");
    let now = world.now();
    world.devices[other].core().mark_read(&handle("bob").into(), now);
    world.settle();
    world.pass(50_000);
    world.settle();
    for at in [main, other] {
        assert!(world.devices[at].history.get(timed).is_some(), "device {at}");
    }
    world.pass(20_000);
    world.settle();
    for at in [main, other] {
        assert!(world.devices[at].history.get(timed).is_none(), "device {at}");
        let gone = Event::Expired { id: timed, with: handle("bob").into() };
        assert_eq!(world.devices[at].told.iter().filter(|event| **event == gone).count(), 1);
        // What has no timer stays, and what set it.
        assert!(world.devices[at].history.get(id).is_some());
        assert!(world.devices[at].history.get(set).is_some());
    }
}

#[test]
fn what_expired_while_a_device_was_off_is_gone_at_its_start() {
    let (mut world, [main, ..], _) = stage();
    let now = world.now();
    let alice = world.device("alice");
    let key = alice.key();
    alice.core().set_timer(key, &handle("bob").into(), 60, now).unwrap();
    let timed = world.send("alice", "bob", "soon gone");
    world.settle();
    world.devices[main].crash();
    world.cut(main);
    world.mono_ms += 3_600_000;
    world.server.now_ms += 3_600_000;
    let now = world.now();
    world.devices[main].restart(now);
    world.devices[main].core().tick(now);
    world.drive(main);
    assert!(world.devices[main].history.get(timed).is_none());
}

#[test]
fn timers_have_bounds_and_need_a_chat() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "hi");
    world.settle();
    let now = world.now();
    let mut set = |with: &str, seconds| {
        let alice = world.device("alice");
        let key = alice.key();
        alice.core().set_timer(key, &handle(with).into(), seconds, now)
    };
    assert!(set("bob", TIMER_S_MIN).is_ok() && set("bob", TIMER_S_MAX).is_ok());
    assert!(set("bob", 0).is_ok());
    assert!(matches!(set("bob", TIMER_S_MIN - 1), Err(Error::OutOfBounds { .. })));
    assert!(matches!(set("bob", TIMER_S_MAX + 1), Err(Error::OutOfBounds { .. })));
    assert_eq!(set("nobody", 60), Err(Error::NoChat(handle("nobody").into())));
}

#[test]
fn without_receipts_nobody_is_told_what_was_read_and_nobody_tells_us() {
    let (mut world, [main, other, bob], id) = stage();
    let now = world.now();
    world.devices[main].core().set_receipts(false, now);
    world.settle();
    assert!(!world.devices[other].core().sends_receipts(), "our other device knows");
    let sent = world.send("alice", "bob", "seen?");
    world.settle();
    let now = world.now();
    world.devices[other].core().mark_read(&handle("bob").into(), now);
    world.devices[bob].core().mark_read(&handle("alice").into(), now);
    world.settle();
    assert_eq!(world.devices[bob].state_of(id), MessageState::Delivered);
    assert_eq!(world.devices[main].state_of(id), MessageState::Read, "on our own devices");
    assert_eq!(world.devices[main].state_of(sent), MessageState::Delivered);
    // On again: what was read meanwhile is not told of, what comes now is.
    let now = world.now();
    world.devices[other].core().set_receipts(true, now);
    world.settle();
    let later = world.send("bob", "alice", "now?");
    world.settle();
    assert_eq!(world.devices[bob].state_of(id), MessageState::Delivered);
    let now = world.now();
    world.devices[main].core().mark_read(&handle("bob").into(), now);
    world.settle();
    assert_eq!(world.devices[bob].state_of(later), MessageState::Read);
}

#[test]
fn what_a_later_version_says_is_kept_and_warns_nobody() {
    let (mut world, [main, other, _], _) = stage();
    let id = world.send_raw("bob", "alice", field(99, &[1, 2]));
    for at in [main, other] {
        assert_eq!(world.item(at, id).note, Some(Note::UpdateNeeded));
    }
    assert_eq!(world.warnings("alice", WarningKind::Undecryptable), 0);
}

/// A field of bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut tag = number << 3 | 2;
    while tag > 127 {
        out.push(u8::try_from(tag & 127 | 128).unwrap());
        tag >>= 7;
    }
    out.extend([u8::try_from(tag).unwrap(), u8::try_from(bytes.len()).unwrap()]);
    out.extend_from_slice(bytes);
    out
}

/// Field 1: a message (counters below 128).
fn reference(id: MessageId) -> Vec<u8> {
    let mut message = vec![0x09];
    message.extend(id.device.account.0.to_le_bytes());
    message.extend([0x10, u8::try_from(id.device.number.0).unwrap()]);
    message.extend([0x18, u8::try_from(id.counter).unwrap()]);
    field(1, &message)
}
