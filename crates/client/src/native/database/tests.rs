//! What is said about messages, in the database.

use godwit_base::{DeviceId, Handle, MessageId};

use super::read::Reader;
use super::{Owner, Writer, open, open_reader};
use crate::core::{AHEAD_MAX, Annotation, Body, PastWanted, Stamp, Vault, Write};
use crate::{
    Act, Arrived, ChatId, Details, Event, HistoryItem, MessageState, Note, PollOption, Reach,
};

const ALICE: u64 = 1;
const BOB: u64 = 2;

struct Stage {
    _folder: tempfile::TempDir,
    vault: Vault,
    writer: Writer,
    reader: Reader,
    row: u64,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("godwit.db");
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let owner = Owner {
            handle: "alice".parse().unwrap(),
            device: DeviceId::new(ALICE, 1),
            given_up_to: 0,
        };
        let writer = Writer::new(open(&path).unwrap().0, vault.clone(), owner.clone());
        let reader = open_reader(&path, vault.clone(), owner).unwrap();
        Self { _folder: folder, vault, writer, reader, row: 0 }
    }

    fn next_row(&mut self) -> u64 {
        self.row += 1;
        self.row
    }

    /// A message of bob's, in the chat with whom it is.
    fn message(&mut self, with: &str, counter: u64, body: &[u8], note: Option<Note>) -> Vec<Event> {
        let from: Handle = with.parse().unwrap();
        let shown = Body::decode(body).shown().unwrap();
        let item = HistoryItem {
            row: self.next_row(),
            id: id(counter),
            with: from.clone().into(),
            from,
            to: "alice".parse().unwrap(),
            outgoing: false,
            text: shown.text.filter(|_| note.is_none()),
            note,
            sent_at_ms: 1,
            received_at_ms: Some(1),
            state: MessageState::Delivered,
            details: shown.details,
        };
        let sealed = self.vault.seal_body(item.id, body).unwrap();
        self.writer.commit(vec![Write::Message { item, sealed }]).unwrap()
    }

    fn text(&mut self, counter: u64) -> Vec<Event> {
        self.message("bob", counter, &Body::text("hello"), None)
    }

    /// `by` says something about a message of bob's, with a stamp of this time.
    fn annotate(&mut self, by: u64, about: u64, at_ms: u64, act: Act) -> Vec<Event> {
        let row = self.next_row();
        let said = MessageId { device: DeviceId::new(by, 2), counter: 1_000 + row };
        let stamp = Stamp { at_ms, device: (by, 2), counter: said.counter };
        let sealed = self.vault.seal_body(said, &Body::about(id(about), &act)).unwrap();
        let from = if by == ALICE { "alice" } else { "bob" }.parse().unwrap();
        let (with, about) = (bob(), id(about));
        let annotation = Annotation { row, with, about, from, stamp, act, sealed };
        self.writer.commit(vec![Write::Annotate(annotation)]).unwrap()
    }

    fn item(&self, counter: u64) -> HistoryItem {
        self.reader.message(id(counter)).unwrap().unwrap()
    }

    fn expire(&mut self, now_ms: u64) -> Vec<Event> {
        self.writer.commit(vec![Write::Expire { now_ms }]).unwrap()
    }
}

fn bob() -> ChatId {
    "bob".parse().unwrap()
}

fn id(counter: u64) -> MessageId {
    MessageId { device: DeviceId::new(BOB, 1), counter }
}

fn react(emoji: &str) -> Act {
    Act::Reaction(emoji.to_owned())
}

/// What was told of, in order.
fn acts(events: &[Event]) -> Vec<Act> {
    let act = |event: &Event| match event {
        Event::Changed(changed) => Some(changed.act.clone()),
        _ => None,
    };
    events.iter().filter_map(act).collect()
}

#[test]
fn the_highest_stamp_of_each_person_counts_and_is_told_once() {
    let mut stage = Stage::new();
    stage.text(1);
    assert_eq!(acts(&stage.annotate(ALICE, 1, 10, react("a"))), [react("a")]);
    assert_eq!(acts(&stage.annotate(BOB, 1, 5, react("b"))), [react("b")]);
    assert_eq!(acts(&stage.annotate(ALICE, 1, 9, react("older"))), []);
    assert_eq!(acts(&stage.annotate(BOB, 1, 6, Act::Edit("edited".to_owned()))).len(), 1);
    let item = stage.item(1);
    let reactions: Vec<&str> = item.details.reactions.iter().map(|r| r.emoji.as_str()).collect();
    assert_eq!(reactions, ["a", "b"]);
    assert_eq!((item.text.as_deref(), item.details.edited), (Some("edited"), true));
    assert_eq!(stage.reader.search("edited", 9).unwrap().len(), 1);
    assert!(stage.reader.search("hello", 9).unwrap().is_empty());
}

#[test]
fn a_deletion_leaves_nothing_and_takes_nothing_more() {
    let mut stage = Stage::new();
    stage.text(1);
    stage.annotate(ALICE, 1, 1, react("a"));
    assert_eq!(acts(&stage.annotate(BOB, 1, 2, Act::Deletion)), [Act::Deletion]);
    assert_eq!(acts(&stage.annotate(ALICE, 1, 3, react("b"))), []);
    let item = stage.item(1);
    assert_eq!((item.text, item.note), (None, Some(Note::Deleted)));
    assert_eq!(item.details, Details::default());
    assert!(stage.reader.search("hello", 9).unwrap().is_empty());
}

#[test]
fn what_is_about_another_chat_is_passed_over() {
    let mut stage = Stage::new();
    stage.message("carol", 1, &Body::text("hello"), None);
    assert!(stage.annotate(BOB, 1, 1, Act::Deletion).is_empty());
    assert_eq!(stage.item(1).text.as_deref(), Some("hello"));
}

#[test]
fn what_comes_first_is_kept_up_to_a_bound_and_told_after_its_message() {
    let mut stage = Stage::new();
    for about in 1..=u64::from(AHEAD_MAX) {
        assert!(stage.annotate(BOB, about, 1, react("x")).is_empty());
    }
    let events = stage.text(1);
    assert!(matches!(events[0], Event::Message(_)) && acts(&events) == [react("x")]);
    assert_eq!(stage.item(1).details.reactions.len(), 1);
    // One place is free again; the second one more pushes the oldest out.
    stage.annotate(BOB, 9_001, 1, react("x"));
    stage.annotate(BOB, 9_002, 1, react("x"));
    assert!(acts(&stage.text(2)).is_empty());
    assert_eq!(acts(&stage.text(3)).len(), 1);
    // A deletion that came first: nobody ever sees the text.
    stage.annotate(BOB, 9_003, 1, Act::Deletion);
    let events = stage.text(9_003);
    let [Event::Message(item)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&item.text, item.note), (&None, Some(Note::Deleted)));
    assert_eq!(stage.item(9_003).note, Some(Note::Deleted));
}

#[test]
fn a_message_disappears_when_its_time_is_up_and_not_before() {
    let mut stage = Stage::new();
    let timed = Body::said("hello", &crate::Context::default(), 60);
    stage.message("bob", 1, &timed, None);
    stage.annotate(ALICE, 1, 1, react("a"));
    assert!(stage.expire(u64::from(u32::MAX)).is_empty(), "nobody has read it");
    let from = DeviceId::new(BOB, 1);
    stage.writer.commit(vec![Write::ReadHere { from, up_to: 1, at_ms: 1_000 }]).unwrap();
    assert_eq!(stage.item(1).details.expires_at_ms, Some(61_000));
    assert!(stage.expire(60_999).is_empty());
    assert_eq!(stage.expire(61_000), [Event::Expired { id: id(1), with: bob() }]);
    assert!(stage.reader.message(id(1)).unwrap().is_none());
    // Sent again by mistake, it has nothing of the first.
    stage.text(1);
    assert!(stage.item(1).details.reactions.is_empty());
}

#[test]
fn what_has_disappeared_is_not_given_out_before_it_is_removed() {
    let mut stage = Stage::new();
    stage.text(1);
    stage.message("bob", 2, &Body::said("secret", &crate::Context::default(), 60), None);
    stage.annotate(BOB, 2, 1, react("a"));
    let from = DeviceId::new(BOB, 1);
    stage.writer.commit(vec![Write::ReadHere { from, up_to: 2, at_ms: 1_000 }]).unwrap();
    let given = |stage: &mut Stage, now_ms| {
        stage.reader.is_now(now_ms);
        let reader = &stage.reader;
        let wanted = PastWanted { before: u64::MAX, floor: 0, counts: true };
        let past = reader.past(wanted).unwrap();
        let last = reader.chats().unwrap().pop().unwrap().last_text;
        let counts = [
            usize::from(reader.message(id(2)).unwrap().is_some()),
            reader.history(&bob(), None, 9).unwrap().len(),
            // The rows that are left out take no place in a page.
            reader.history(&bob(), None, 1).unwrap().len(),
            reader.history_after(&bob(), 0, 9).unwrap().len(),
            reader.search("secret", 9).unwrap().len(),
            reader.arrived_after(0, 9).unwrap().len(),
            past.items.len(),
            past.count.unwrap() as usize,
        ];
        (counts, last.unwrap())
    };
    assert_eq!(given(&mut stage, 60_999), ([1, 2, 1, 2, 1, 3, 2, 2], "secret".to_owned()));
    assert_eq!(given(&mut stage, 61_000), ([0, 1, 1, 1, 0, 1, 1, 1], "hello".to_owned()));
}

#[test]
fn what_arrived_is_read_in_order_with_pages_of_any_size() {
    let mut stage = Stage::new();
    stage.text(1);
    stage.annotate(BOB, 1, 1, react("x"));
    stage.text(2);
    stage.annotate(BOB, 3, 1, react("ahead"));
    stage.annotate(ALICE, 2, 1, react("own"));
    stage.text(3);
    let read = |limit| {
        let (mut row, mut all) = (0, Vec::new());
        loop {
            let page = stage.reader.arrived_after(row, limit).unwrap();
            let Some(last) = page.last() else { return all };
            row = last.row();
            all.extend(page.into_iter().map(|arrived| match arrived {
                Arrived::Message(item) => item.id.counter.to_string(),
                Arrived::Changed(changed) => format!("{:?}", changed.act),
            }));
        }
    };
    let all = ["1", "Reaction(\"x\")", "2", "Reaction(\"own\")", "3", "Reaction(\"ahead\")"];
    for limit in [2, 3, 4, 100] {
        assert_eq!(read(limit), all, "{limit}");
    }
}

#[test]
fn what_an_older_version_did_not_know_is_shown_after_the_update() {
    let mut stage = Stage::new();
    let options = ["tea", "coffee"].map(str::to_owned);
    let poll = crate::core::poll_of("what?", &options, false).unwrap();
    stage.message("bob", 1, &Body::poll(&poll, 0), Some(Note::UpdateNeeded));
    stage.annotate(ALICE, 1, 1, Act::Vote(vec![1]));
    let item = stage.item(1);
    assert_eq!((item.text.as_deref(), item.note), (Some("what?"), None));
    let voters = vec!["alice".parse().unwrap()];
    let option = PollOption { text: "coffee".to_owned(), voters };
    assert_eq!(item.details.poll.unwrap().options[1], option);
}

#[test]
fn how_far_a_message_to_a_group_came_is_kept_and_told() {
    let mut stage = Stage::new();
    let group = ChatId::Group(godwit_base::GroupId([1; 16]));
    let id = MessageId { device: DeviceId::new(ALICE, 2), counter: 5 };
    let item = HistoryItem {
        row: stage.next_row(),
        id,
        with: group.clone(),
        from: "alice".parse().unwrap(),
        to: group.clone(),
        outgoing: true,
        text: Some("hello".to_owned()),
        note: None,
        sent_at_ms: 1,
        received_at_ms: Some(1),
        state: MessageState::Accepted,
        details: Details::default(),
    };
    let sealed = stage.vault.seal_body(id, &Body::text("hello")).unwrap();
    stage.writer.commit(vec![Write::Message { item, sealed }]).unwrap();
    let stored = |stage: &Stage| {
        let item = stage.reader.message(id).unwrap().unwrap();
        (item.state, item.details.reach)
    };
    assert_eq!(stored(&stage), (MessageState::Accepted, None));
    let mut comes = |delivered, read| {
        let reach = Reach { delivered, read, of: 3 };
        let with = group.clone();
        let told = stage.writer.commit(vec![Write::Reach { id, with, reach, at_ms: 9 }]).unwrap();
        let states = told.iter().filter_map(|event| match event {
            Event::State { state, .. } => Some(*state),
            _ => None,
        });
        let states: Vec<MessageState> = states.collect();
        let reaches = told.iter().filter(|event| matches!(event, Event::Reach { .. })).count();
        assert_eq!(reaches, 1);
        assert_eq!(stored(&stage).1, Some(reach));
        (states, stored(&stage).0)
    };
    assert_eq!(comes(2, 1), (vec![], MessageState::Accepted));
    assert_eq!(comes(3, 2), (vec![MessageState::Delivered], MessageState::Delivered));
    assert_eq!(comes(3, 3), (vec![MessageState::Read], MessageState::Read));
    assert_eq!(comes(3, 3), (vec![], MessageState::Read));
}

#[test]
fn what_another_device_read_in_a_group_is_read_here_up_to_there() {
    let mut stage = Stage::new();
    let group = godwit_base::GroupId([1; 16]);
    for (counter, device) in [(1, 1), (2, 1), (3, 1), (1, 2)] {
        let id = MessageId { device: DeviceId::new(BOB, device), counter };
        let item = HistoryItem {
            row: stage.next_row(),
            id,
            with: group.into(),
            from: "bob".parse().unwrap(),
            to: group.into(),
            outgoing: false,
            text: Some("hello".to_owned()),
            note: None,
            sent_at_ms: 1,
            received_at_ms: Some(1),
            state: MessageState::Delivered,
            details: Details { timer_s: 60, ..Details::default() },
        };
        let sealed = stage.vault.seal_body(id, &Body::text("hello")).unwrap();
        stage.writer.commit(vec![Write::Message { item, sealed }]).unwrap();
    }
    let from = DeviceId::new(BOB, 1);
    let elsewhere = godwit_base::GroupId([2; 16]);
    for group in [elsewhere, group] {
        let read = Write::ReadInGroup { group, from, up_to: 2, at_ms: 1_000 };
        stage.writer.commit(vec![read]).unwrap();
    }
    let page = stage.reader.history(&group.into(), None, 10).unwrap();
    let states: Vec<_> = page.iter().map(|item| (item.state, item.details.expires_at_ms)).collect();
    let (read, unread) = ((MessageState::Read, Some(61_000)), (MessageState::Delivered, None));
    assert_eq!(states, [read, read, unread, unread]);
}
