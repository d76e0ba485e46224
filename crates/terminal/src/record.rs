//! The lines that scripts read: one JSON object each, its fields stable from the first release.

mod about;
mod groups;
mod people;

use godwit_base::{GroupId, Handle, MessageId};
use godwit_client::{
    ChatId, HistoryItem, HistoryProgress, MessageState, Note, Presence, PresenceState, WarningKind,
};
use serde::Serialize;

use self::about::{About, Change};
pub(crate) use self::about::{
    Beside, Delivery, Set, amount, beside, change_line, note_text, reach_line, reach_of,
};
pub(crate) use self::groups::{Happened, happened_line};
pub(crate) use self::people::{Names, Person};
use crate::text::{grouped, printable};
use crate::time::LocalTime;

/// What `listen` prints.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Heard<'a> {
    /// A message came.
    Message(Box<Message<'a>>),
    /// Somebody reacted to a message.
    Reaction(Change<'a>),
    /// An author gave a message another text.
    Edit(Change<'a>),
    /// An author took a message back.
    Deletion(Change<'a>),
    /// Somebody voted in a poll.
    Vote(Change<'a>),
    /// Another device of ours has starred a message, or taken the star away.
    Star(Change<'a>),
    /// A message has disappeared, its time was up.
    Expired { id: MessageId },
    /// A message of ours came further.
    Receipt { id: MessageId, by: &'a Handle, state: &'static str, at_ms: u64 },
    /// A group has changed: members, name or settings. `godwit group show` prints what it is now.
    Group(Happened<'a>),
    /// Somebody came, went, or types.
    Presence {
        who: &'a Handle,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_seen_ms: Option<u64>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        typing: bool,
    },
    /// A message of ours came to so many members of a group, and so many have read it, of so many.
    Reach { id: MessageId, group: Option<GroupId>, delivered: u32, read: u32, of: u32 },
    /// Something about a contact is new.
    Contact(Person<'a>),
    /// What was said before a device was linked is on its way to it.
    History(HistoryProgress),
    /// Everything that waited on the server has been printed.
    CaughtUp,
    /// Something that its reader should know.
    Warning {
        kind: Kind,
        #[serde(skip_serializing_if = "Option::is_none")]
        with: Option<&'a Handle>,
        text: &'a str,
    },
}

impl<'a> Heard<'a> {
    /// What holds of somebody now.
    pub(crate) fn presence(who: &'a Handle, presence: &Presence) -> Self {
        let Presence { state, last_seen_ms, typing } = *presence;
        Self::Presence { who, state: state.as_str(), last_seen_ms, typing }
    }
}

/// What may be seen of somebody, in a few words; empty if nothing may be.
pub(crate) fn presence_line(presence: &Presence, time: &LocalTime, now_ms: u64) -> String {
    match (presence.state, presence.typing, presence.last_seen_ms) {
        (PresenceState::Unknown, ..) => String::new(),
        (PresenceState::Online, true, _) => "typing…".to_owned(),
        (PresenceState::Online, false, _) => "online".to_owned(),
        (PresenceState::Offline, _, Some(at_ms)) => {
            format!("last seen {}", time.short(at_ms, now_ms).trim())
        }
        (PresenceState::Offline, _, None) => "offline".to_owned(),
    }
}

/// How far the history is, in a few words.
pub(crate) fn history_line(progress: &HistoryProgress) -> String {
    let HistoryProgress { given, of, done, .. } = *progress;
    match done {
        true => format!("history: all {} messages", grouped(given)),
        false => format!("history: {} of {}", grouped(given), grouped(of)),
    }
}

/// What a warning is about: the client's kinds, and those of the command itself.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Kind {
    Client(WarningKind),
    Command(&'static str),
}

/// A message, as `listen`, `history` and `search` print it.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    id: MessageId,
    from: &'a Handle,
    /// What the sender calls themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    to: &'a ChatId,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
    sent_at_ms: u64,
    received_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    about: About<'a>,
}

impl<'a> Message<'a> {
    /// A message that just came.
    pub(crate) fn heard(item: &'a HistoryItem) -> Self {
        Self { state: None, reason: None, ..Self::stored(item) }
    }

    /// The same with the name of its sender, if one is known.
    pub(crate) fn named(self, names: &'a Names) -> Self {
        Self { name: names.of(self.from), ..self }
    }

    /// A message with the state that this device knows.
    pub(crate) fn stored(item: &'a HistoryItem) -> Self {
        Self {
            id: item.id,
            from: &item.from,
            name: None,
            to: &item.to,
            group: item.with.group(),
            text: item.text.as_deref(),
            note: item.note,
            sent_at_ms: item.sent_at_ms,
            received_at_ms: item.received_at_ms,
            state: Some(item.state.as_str()),
            reason: failure(item.state),
            about: About::of(item),
        }
    }
}

/// What `send` prints of one message.
#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    pub(crate) id: MessageId,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Sent {
    pub(crate) fn new(id: MessageId, state: MessageState) -> Self {
        Self { id, state: state.as_str(), reason: failure(state) }
    }
}

fn failure(state: MessageState) -> Option<String> {
    match state {
        MessageState::Failed(failure) => Some(failure.to_string()),
        _ => None,
    }
}

/// A message as a line for people: time, sender, text; more lines of a text are set in below it.
pub(crate) fn message_line(item: &HistoryItem, time: &LocalTime) -> String {
    let beside = beside(item);
    let text = item.text.as_deref().map_or_else(|| note_text(item), Into::into);
    let text = beside.above.iter().map(String::as_str).chain([&*text]);
    let text: Vec<&str> = text.chain(beside.below.iter().map(String::as_str)).collect();
    let text = printable(&text.join("\n")).replace('\n', "\n    ");
    let ticks = if item.is_outgoing() { ticks(item.state) } else { "" };
    format!("{}  {}: {text}{ticks}", time.full(item.sent_at_ms), item.from)
}

fn ticks(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "  (pending)",
        MessageState::Accepted => "  ✓",
        MessageState::Delivered => "  ✓✓",
        MessageState::Read => "  ✓✓ read",
        MessageState::Failed(_) => "  ✗ not sent",
    }
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceId;
    use godwit_client::{Details, Failure};

    use super::*;

    fn item(state: MessageState, text: &str) -> HistoryItem {
        HistoryItem {
            row: 7,
            id: MessageId { device: DeviceId::new(1, 1), counter: 9 },
            with: "bob".parse().unwrap(),
            from: "alice".parse().unwrap(),
            to: "bob".parse().unwrap(),
            outgoing: true,
            text: Some(text.to_owned()),
            note: None,
            sent_at_ms: 1_000,
            received_at_ms: None,
            state,
            details: Details::default(),
        }
    }

    fn json<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn messages_have_the_fields_of_the_contract() {
        let heard = item(MessageState::Delivered, "hi");
        assert_eq!(
            json(&Heard::Message(Box::new(Message::heard(&heard)))),
            r#"{"event":"message","id":"0000000000000001.1.9","from":"alice","to":"bob","text":"hi","sent_at_ms":1000,"received_at_ms":null}"#
        );
        assert_eq!(
            json(&Message::stored(&item(MessageState::Failed(Failure::MailboxFull), "hi"))),
            r#"{"id":"0000000000000001.1.9","from":"alice","to":"bob","text":"hi","sent_at_ms":1000,"received_at_ms":null,"state":"failed","reason":"the recipient's mailbox is full: send again when they have been online"}"#
        );
    }

    #[test]
    fn a_message_without_a_text_says_why() {
        let mut lost = item(MessageState::Delivered, "");
        lost.text = None;
        lost.note = Some(Note::Lost);
        let line = json(&Heard::Message(Box::new(Message::heard(&lost))));
        assert!(line.contains(r#""note":"lost""#) && !line.contains("\"text\""), "{line}");
    }

    #[test]
    fn receipts_and_warnings_have_the_fields_of_the_contract() {
        let bob: Handle = "bob".parse().unwrap();
        let id = item(MessageState::Read, "").id;
        assert_eq!(
            json(&Heard::Receipt { id, by: &bob, state: MessageState::Read.as_str(), at_ms: 5 }),
            r#"{"event":"receipt","id":"0000000000000001.1.9","by":"bob","state":"read","at_ms":5}"#
        );
        assert_eq!(json(&Heard::CaughtUp), r#"{"event":"caught_up"}"#);
        let group = Some(GroupId([1; 16]));
        assert_eq!(
            json(&Heard::Reach { id, group, delivered: 37, read: 12, of: 50 }),
            r#"{"event":"reach","id":"0000000000000001.1.9","group":"01010101010101010101010101010101","delivered":37,"read":12,"of":50}"#
        );
        assert_eq!(
            json(&Heard::Group(Happened::to(GroupId([1; 16]), None))),
            r#"{"event":"group","group":"01010101010101010101010101010101"}"#
        );
        let kind = Kind::Client(WarningKind::KeyChange);
        assert_eq!(
            json(&Heard::Warning { kind, with: Some(&bob), text: "compare" }),
            r#"{"event":"warning","kind":"key_change","with":"bob","text":"compare"}"#
        );
        assert_eq!(
            json(&Heard::Warning { kind: Kind::Command("offline"), with: None, text: "t" }),
            r#"{"event":"warning","kind":"offline","text":"t"}"#
        );
    }

    #[test]
    fn history_has_the_fields_of_the_contract() {
        let progress = HistoryProgress { device: 2, given: 1_200, of: 5_000, done: false };
        assert_eq!(
            json(&Heard::History(progress)),
            r#"{"event":"history","device":2,"given":1200,"of":5000,"done":false}"#
        );
        assert_eq!(history_line(&progress), "history: 1,200 of 5,000");
        let done = HistoryProgress { done: true, ..progress };
        assert_eq!(history_line(&done), "history: all 1,200 messages");
    }

    #[test]
    fn presence_has_the_fields_of_the_contract() {
        let bob: Handle = "bob".parse().unwrap();
        for (state, last_seen_ms, typing, line) in [
            (PresenceState::Online, None, true, r#""online","typing":true"#),
            (PresenceState::Online, None, false, r#""online""#),
            (PresenceState::Offline, Some(60_000), false, r#""offline","last_seen_ms":60000"#),
            (PresenceState::Unknown, None, false, r#""unknown""#),
        ] {
            let presence = Presence { state, last_seen_ms, typing };
            let expected = format!(r#"{{"event":"presence","who":"bob","state":{line}}}"#);
            assert_eq!(json(&Heard::presence(&bob, &presence)), expected);
        }
    }

    #[test]
    fn a_line_for_people_cannot_be_forged_by_a_line_end() {
        let time = LocalTime::utc();
        let line = message_line(&item(MessageState::Read, "one\n2026 bob: two\u{1b}[m"), &time);
        assert_eq!(line, "1970-01-01 00:00:01  alice: one\n    2026 bob: two␛[m  ✓✓ read");
    }
}
