//! What was said before a device was linked: the main device gives it the history in packs, which are
//! messages between the devices of the account like any other. Where it stands is a row, so that it
//! goes on after a crash; what a pack brings twice is there once.

use godwit_base::{DeviceNumber, Handle, MessageId};
use serde::{Deserialize, Serialize};

use super::annotate::Stamp;
use super::body::{Shown, format};
use super::kinds::{reference, referenced};
use super::now::Now;
use super::outbox::{Kind, Outgoing, Target};
use super::output::{Annotation, Write};
use super::{Body, Content, Core};
use crate::{ChatId, Event, HistoryItem, HistoryProgress, MessageState, Note};

/// Bytes of what a pack is made of, so that it stays a message of 48 KiB with what stands around each
/// row; one longer row is a pack of its own.
pub const PACK_BYTES_MAX: usize = 32 * 1024;

/// Rows of a pack: 64 x about 200 bytes around each are 13 KB.
pub const PACK_ROWS_MAX: u32 = 64;

/// Packs that wait for the server at once: the window of messages has room for what people say.
const PACKS_AHEAD_MAX: usize = 4;

/// The newest messages that a new device is given, 20,000: years of most people. Of 100 bytes each they
/// are 6 MB in its mailbox.
pub const HISTORY_ROWS_MAX: u32 = 20_000;

/// Bytes of bodies that it is given, 8 MiB, whichever is reached first: a fraction of a mailbox.
pub const HISTORY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Rows from before the beginning that are given once more at the end, 1,024: what was being written when
/// it began could not be read then. The window of what comes and goes meanwhile is smaller.
const ROWS_AGAIN: u64 = 1_024;

/// Rows of a linked device's own begin here; what came before it was linked keeps the row numbers of the
/// main device, and so its order.
pub(crate) const OWN_ROWS_FROM: u64 = 1 << 40;

/// How far giving the history has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Giving {
    device: DeviceNumber,
    /// Rows below this are still to be given.
    before: u64,
    /// And not below this.
    floor: u64,
    /// The row after the last one when it began: what came since is given at the end.
    began: u64,
    rows_left: u32,
    bytes_left: u64,
    is_second_round: bool,
    #[serde(default)]
    given: u32,
    /// So many rows are to be given, those that were given included.
    #[serde(default)]
    of: u32,
    /// Whether `of` knows about this round.
    #[serde(default)]
    is_counted: bool,
}

/// Which rows to give next: below `before`, not below `floor`, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastWanted {
    /// Rows below this.
    pub before: u64,
    /// Not below this.
    pub floor: u64,
    /// Whether all that there are between the two are to be counted.
    pub counts: bool,
}

/// Rows that were wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastPage {
    /// Newest first, at most [`PACK_ROWS_MAX`] and [`PACK_BYTES_MAX`] (or one row); none: there are no
    /// more.
    pub items: Vec<PastItem>,
    /// How many there are in all, these included, at most [`HISTORY_ROWS_MAX`]; if they were to be
    /// counted.
    pub count: Option<u32>,
}

/// A message of the history with everything that another device needs in order to show the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastItem {
    /// Of the history's order.
    pub row: u64,
    /// The message.
    pub id: MessageId,
    /// Its chat.
    pub with: ChatId,
    /// Who sent it.
    pub from: Handle,
    /// Whether our account did.
    pub outgoing: bool,
    /// Accepted, delivered or read: others are not given.
    pub state: MessageState,
    /// What stands in place of a text.
    pub note: Option<Note>,
    /// By its sender's clock.
    pub sent_at_ms: u64,
    /// When the server stored it.
    pub received_at_ms: Option<u64>,
    /// When it disappears.
    pub expires_at_ms: Option<u64>,
    /// As it was sent.
    pub body: Vec<u8>,
    /// What was said about it.
    pub said: Vec<PastSaid>,
}

/// Something said about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastSaid {
    /// Of the history's order.
    pub row: u64,
    /// Who said it.
    pub from: Handle,
    /// Its place among those of its kind.
    pub stamp: Stamp,
    /// As it was sent.
    pub body: Vec<u8>,
}

impl PastItem {
    /// Bytes of bodies.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.said.iter().map(|said| said.body.len()).sum::<usize>()
    }
}

/// A pack, as its receiver reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Past {
    /// For whom, our other devices pass it by; and how far it goes.
    pub(crate) progress: HistoryProgress,
    pub(crate) items: Vec<PastItem>,
}

impl Past {
    pub(super) fn to_wire(&self) -> format::HistoryPack {
        let messages = self.items.iter().map(item_to_wire).collect();
        let HistoryProgress { device, given, of, done } = self.progress;
        format::HistoryPack { device, messages, given, of, done }
    }

    /// Nothing if it is not right: it would be shown as an unknown kind, by our own device.
    pub(super) fn of_wire(pack: format::HistoryPack) -> Option<Self> {
        let format::HistoryPack { device, messages, given, of, done } = pack;
        let items = messages.into_iter().map(item_of_wire).collect::<Option<_>>()?;
        Some(Self { progress: HistoryProgress { device, given, of, done }, items })
    }
}

fn item_to_wire(item: &PastItem) -> format::PastMessage {
    let said = |said: &PastSaid| format::PastSaid {
        row: said.row,
        from: said.from.as_str().to_owned(),
        id: Some(reference(said.stamp.id())),
        at_ms: said.stamp.at_ms,
        body: said.body.clone(),
    };
    format::PastMessage {
        row: item.row,
        id: Some(reference(item.id)),
        chat: item.with.to_string(),
        from: item.from.as_str().to_owned(),
        outgoing: item.outgoing,
        state: match item.state {
            MessageState::Read => 3,
            MessageState::Delivered => 2,
            _ => 1,
        },
        note: match item.note {
            None => 0,
            Some(Note::Waiting | Note::Lost) => 2,
            Some(Note::UpdateNeeded) => 3,
            Some(Note::Deleted) => 4,
            Some(Note::Timer) => 5,
        },
        sent_at_ms: item.sent_at_ms,
        received_at_ms: item.received_at_ms.unwrap_or_default(),
        expires_at_ms: item.expires_at_ms.unwrap_or_default(),
        body: item.body.clone(),
        said: item.said.iter().map(said).collect(),
    }
}

fn item_of_wire(item: format::PastMessage) -> Option<PastItem> {
    let said = |said: format::PastSaid| {
        let stamp = Stamp::new(said.at_ms, referenced(said.id.as_ref())?);
        Some(PastSaid { row: said.row, from: said.from.parse().ok()?, stamp, body: said.body })
    };
    Some(PastItem {
        row: item.row,
        id: referenced(item.id.as_ref())?,
        with: item.chat.parse().ok()?,
        from: item.from.parse().ok()?,
        outgoing: item.outgoing,
        state: match item.state {
            3 => MessageState::Read,
            2 => MessageState::Delivered,
            _ => MessageState::Accepted,
        },
        note: match item.note {
            0 => None,
            2 => Some(Note::Lost),
            4 => Some(Note::Deleted),
            5 => Some(Note::Timer),
            _ => Some(Note::UpdateNeeded),
        },
        sent_at_ms: item.sent_at_ms,
        received_at_ms: Some(item.received_at_ms).filter(|ms| *ms > 0),
        expires_at_ms: Some(item.expires_at_ms).filter(|ms| *ms > 0),
        body: item.body,
        said: item.said.into_iter().map(said).collect::<Option<_>>()?,
    })
}

impl Giving {
    pub(crate) fn new(device: DeviceNumber, next_row: u64) -> Self {
        Self {
            device,
            before: next_row,
            floor: 0,
            began: next_row,
            rows_left: HISTORY_ROWS_MAX,
            bytes_left: HISTORY_BYTES_MAX,
            is_second_round: false,
            given: 0,
            of: 0,
            is_counted: false,
        }
    }

    fn progress(&self, done: bool) -> HistoryProgress {
        let Self { device, given, of, .. } = *self;
        HistoryProgress { device: device.0, given, of: if done { given } else { of }, done }
    }

    /// So many rows are left, as they were counted; fewer may still fit.
    fn counted(&mut self, count: u32) {
        if !self.is_second_round {
            self.of = self.given.saturating_add(count.min(self.rows_left));
        }
        self.is_counted = true;
    }

    /// What came since the beginning, or was being written then, is given once more.
    fn second_round(self, next_row: u64) -> Self {
        let (before, floor) = (next_row, self.began.saturating_sub(ROWS_AGAIN));
        Self { before, floor, is_second_round: true, is_counted: false, of: self.given, ..self }
    }

    /// Whether so much more is given.
    fn takes(&mut self, rows: u32, bytes: u64) -> bool {
        let left = self.rows_left.checked_sub(rows).zip(self.bytes_left.checked_sub(bytes));
        if let Some((rows_left, bytes_left)) = left {
            (self.rows_left, self.bytes_left) = (rows_left, bytes_left);
            // Most of what is given once more is there already.
            self.given = self.given.saturating_add(if self.is_second_round { 0 } else { rows });
        }
        left.is_some()
    }
}

impl Core {
    /// Which rows of the history are to be given to a new device now: read them, and pass them to
    /// [`give_history`](Self::give_history).
    pub fn history_wanted(&self) -> Option<PastWanted> {
        let giving = self.me.home.giving?;
        let own = Target::Account(self.me.device().account);
        let waiting = self.outbox.pending().filter(|(_, message)| message.target == own).count();
        let has_room = waiting < PACKS_AHEAD_MAX && self.outbox.has_room_for_own();
        // What was sealed before there was a device to give it to is given once the server has it.
        let account = self.me.device().account;
        let is_out =
            |message: &Outgoing| message.kind == Kind::Shown && message.is_without(account);
        let is_answered = !self.outbox.pending().any(|(_, message)| is_out(message));
        let is_time = self.link.is_caught_up() && has_room && is_answered;
        let Giving { before, floor, is_counted, .. } = giving;
        is_time.then_some(PastWanted { before, floor, counts: !is_counted })
    }

    /// Rows up to this number are those that another device gave, or may give; 0 on a main device.
    pub const fn given_up_to(&self) -> u64 {
        if self.me.is_main() { 0 } else { OWN_ROWS_FROM - 1 }
    }

    /// Gives a new device the history, after those that wait for it already.
    #[doc(hidden)]
    pub fn begin_giving(&mut self, device: DeviceNumber) {
        self.begin_giving_from(device, self.me.counters.row);
    }

    /// The same, of the rows below one of them. For tests.
    #[doc(hidden)]
    pub fn begin_giving_from(&mut self, device: DeviceNumber, next_row: u64) {
        let giving = Giving::new(device, next_row);
        match &self.me.home.giving {
            // The account has so many devices at most, and each is given it once.
            Some(_) => self.me.home.giving_next.push(giving),
            None => self.me.home.giving = Some(giving),
        }
        self.home_changed = true;
    }

    /// How far a new device was given the history, while it is being given.
    pub fn history_progress(&self) -> Option<HistoryProgress> {
        Some(self.me.home.giving?.progress(false))
    }

    /// The rows that were wanted.
    pub fn give_history(&mut self, page: PastPage, now: Now) {
        let Some(mut giving) = self.me.home.giving else { return };
        let PastPage { items, count } = page;
        if let Some(count) = count {
            giving.counted(count);
        }
        let is_listed = self.me.list.numbers().any(|number| number == giving.device);
        let bytes: usize = items.iter().map(PastItem::bytes).sum();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let rows = u32::try_from(items.len()).unwrap_or(u32::MAX);
        match items.last() {
            Some(last) if is_listed && giving.takes(rows, bytes) => {
                giving.before = last.row;
                self.me.home.giving = Some(giving);
                self.give_pack(&Past { progress: giving.progress(false), items }, now);
            }
            _ if is_listed && !giving.is_second_round => {
                self.me.home.giving = Some(giving.second_round(self.me.counters.row));
            }
            _ => {
                let next = &mut self.me.home.giving_next;
                self.me.home.giving = (!next.is_empty()).then(|| next.remove(0));
                let past = Past { progress: giving.progress(true), items: Vec::new() };
                if is_listed {
                    self.give_pack(&past, now);
                } else {
                    self.say(Event::History(past.progress));
                }
            }
        }
        self.home_changed = true;
    }

    fn give_pack(&mut self, past: &Past, now: Now) {
        let body = Body::past(past);
        // What does not fit in a message is not given.
        if body.len() <= godwit_seal::INNER_BODY_BYTES_MAX {
            self.say_to_own(body, self.wall_ms(now));
        }
        self.say(Event::History(past.progress));
    }

    /// The main device gives us what was said before we were linked.
    pub(super) fn on_past(&mut self, past: Past) {
        if past.progress.device != self.me.device().number.0 || self.me.is_main() {
            return;
        }
        for item in past.items.into_iter().filter(|item| item.row < OWN_ROWS_FROM) {
            self.take_past(item);
        }
        self.say(Event::History(past.progress));
    }

    fn take_past(&mut self, past: PastItem) {
        let shown = match past.note {
            Some(note) => Shown::note(note),
            None => match Body::decode(&past.body).shown() {
                Some(shown) => shown,
                None => return,
            },
        };
        self.timer_runs(shown.timer_s());
        let Shown { text, note, mut details } = shown;
        details.expires_at_ms = past.expires_at_ms;
        let to = match (&past.with, past.outgoing) {
            (ChatId::Contact(_), false) => ChatId::Contact(self.me.home.handle.clone()),
            _ => past.with.clone(),
        };
        let item = HistoryItem {
            row: past.row,
            id: past.id,
            from: past.from,
            to,
            outgoing: past.outgoing,
            text,
            note,
            sent_at_ms: past.sent_at_ms,
            received_at_ms: past.received_at_ms,
            state: past.state,
            details,
            with: past.with,
        };
        let about = (item.with.clone(), item.id);
        let said: Result<Vec<Annotation>, _> = past
            .said
            .into_iter()
            .filter_map(|said| self.past_annotation(about.clone(), said).transpose())
            .collect();
        let sealed = self.vault.seal_body(item.id, &past.body);
        match sealed.and_then(|sealed| Ok((sealed, said?))) {
            Ok((sealed, said)) => self.staged.writes.push(Write::Past { item, sealed, said }),
            Err(error) => self.fault = Some(error),
        }
    }

    fn past_annotation(
        &self,
        (with, about): (ChatId, MessageId),
        said: PastSaid,
    ) -> Result<Option<Annotation>, godwit_seal::RowError> {
        let PastSaid { row, from, stamp, body } = said;
        let act = match Body::decode(&body).content {
            Content::About { act, .. } => act,
            Content::Mark(super::kinds::Mark::Star { on, .. }) => crate::Act::Star(on),
            _ => return Ok(None),
        };
        let sealed = self.vault.seal_body(stamp.id(), &body)?;
        Ok(Some(Annotation { row, with, about, from, stamp, act, sealed }))
    }
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceId;

    use super::*;

    fn item(row: u64) -> PastItem {
        let id = MessageId { device: DeviceId::new(7, 2), counter: row };
        let said = PastSaid {
            row: row + 1,
            from: "bob".parse().unwrap(),
            stamp: Stamp::new(5, id),
            body: Body::about(id, &crate::Act::Reaction("+".to_owned())),
        };
        PastItem {
            row,
            id,
            with: ChatId::Contact("bob".parse().unwrap()),
            from: "alice".parse().unwrap(),
            outgoing: true,
            state: MessageState::Read,
            note: None,
            sent_at_ms: 1,
            received_at_ms: Some(2),
            expires_at_ms: None,
            body: Body::text("hi"),
            said: vec![said],
        }
    }

    #[test]
    fn a_pack_reads_back_and_one_that_is_not_right_is_unknown() {
        let progress = HistoryProgress { device: 2, given: 9, of: 12, done: true };
        let past = Past { progress, items: vec![item(3), item(1)] };
        assert_eq!(Body::decode(&Body::past(&past)).content, Content::Past(past.clone()));
        for state in [MessageState::Accepted, MessageState::Delivered, MessageState::Read] {
            for note in [None, Some(Note::Lost), Some(Note::Deleted), Some(Note::Timer)] {
                let one = PastItem { state, note, expires_at_ms: Some(9), ..item(1) };
                assert_eq!(item_of_wire(item_to_wire(&one)), Some(one));
            }
        }
        let mut wire = past.to_wire();
        wire.messages[1].chat = "not a chat!".to_owned();
        assert_eq!(Past::of_wire(wire), None);
        let mut wire = past.to_wire();
        wire.messages[0].said[0].id = None;
        assert_eq!(Past::of_wire(wire), None);
    }

    #[test]
    fn both_sides_of_what_is_given() {
        let mut giving = Giving::new(DeviceNumber(2), 9);
        assert!(!giving.takes(HISTORY_ROWS_MAX + 1, 0) && !giving.takes(0, HISTORY_BYTES_MAX + 1));
        assert!(giving.takes(HISTORY_ROWS_MAX, HISTORY_BYTES_MAX));
        assert!(!giving.takes(1, 0) && !giving.takes(0, 1));
        assert_eq!(giving.given, HISTORY_ROWS_MAX);
    }

    #[test]
    fn what_is_given_is_counted_once_and_ends_as_what_was_given() {
        let told = |giving: &Giving, done| {
            let HistoryProgress { given, of, .. } = giving.progress(done);
            (given, of)
        };
        let mut giving = Giving::new(DeviceNumber(2), ROWS_AGAIN + 9);
        giving.counted(HISTORY_ROWS_MAX + 1);
        assert_eq!(told(&giving, false), (0, HISTORY_ROWS_MAX), "no more than may be given");
        giving.counted(HISTORY_ROWS_MAX);
        assert_eq!(told(&giving, false), (0, HISTORY_ROWS_MAX));
        assert!(giving.takes(64, 0));
        let mut giving = giving.second_round(ROWS_AGAIN + 11);
        assert_eq!((giving.before, giving.floor, giving.is_counted), (ROWS_AGAIN + 11, 9, false));
        giving.counted(2);
        assert!(giving.takes(2, 0));
        assert_eq!(told(&giving, false), (64, 64), "given again");
        assert_eq!(told(&giving, true), (64, 64));
    }
}
