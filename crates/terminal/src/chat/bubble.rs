//! One message of a conversation as screen lines: what stands above it (day, line of new
//! messages, space), its text, and where its time and ticks go.

use godwit_client::{HistoryItem, MessageState};

use crate::record::{Beside, beside, note_text};
use crate::text::{fitted, printable, width, wrapped};
use crate::time::LocalTime;

/// Widest text of a bubble, columns: longer lines are hard to read.
const TEXT_COLUMNS_MAX: usize = 76;

/// Columns that a bubble leaves free on the other side, so that one sees whose it is.
const MARGIN_COLUMNS: usize = 8;

/// Spaces between the text and the time behind it.
const GAP: usize = 2;

/// A line on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Blank,
    /// A new day begins.
    Day(String),
    /// Below it are messages that were not read when the chat was opened.
    New,
    /// Part of a message.
    Part(Part),
}

/// A line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) is_outgoing: bool,
    /// The text is ours, about a message that cannot be shown or was not sent.
    pub(crate) is_note: bool,
    /// Time and state, on the last line of a message.
    pub(crate) end: Option<End>,
    /// Columns of the whole bubble without its bar.
    pub(crate) columns: usize,
}

/// What stands behind a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) hour: String,
    /// Only our own messages have ticks.
    pub(crate) state: Option<MessageState>,
}

/// The signs of a state: the same width for all, so that a tick that comes moves nothing.
pub(crate) const fn ticks(state: MessageState, has_colour: bool) -> &'static str {
    match state {
        MessageState::Pending => "◷ ",
        MessageState::Accepted => "✓ ",
        MessageState::Read if !has_colour => "✔✔",
        MessageState::Delivered | MessageState::Read => "✓✓",
        MessageState::Failed(_) => "✗ ",
    }
}

impl End {
    fn width(&self) -> usize {
        self.hour.len() + if self.state.is_some() { 3 } else { 0 }
    }
}

/// How messages are laid out.
#[derive(Debug, Clone)]
pub(crate) struct Setting<'a> {
    pub(crate) time: &'a LocalTime,
    pub(crate) now_ms: u64,
    /// Columns of the conversation.
    pub(crate) columns: usize,
    /// The first message that was not read when the chat was opened.
    pub(crate) first_new: Option<u64>,
}

/// All lines of one message; `previous` is the one above it, if it is known.
pub(crate) fn lines(
    item: &HistoryItem,
    previous: Option<&HistoryItem>,
    set: &Setting<'_>,
) -> Vec<Line> {
    let mut lines = above(item, previous, set);
    let end = End {
        hour: set.time.hour(item.sent_at_ms),
        state: item.is_outgoing().then_some(item.state),
    };
    let text_columns = set.columns.saturating_sub(MARGIN_COLUMNS + 2).clamp(8, TEXT_COLUMNS_MAX);
    let text = item.text.as_deref().map_or_else(|| note_text(item), Into::into);
    let is_note = item.text.is_none();
    let Beside { above, below } = beside(item);
    let mut parts: Vec<(String, bool)> = Vec::new();
    let mut add = |text: &str, is_note: bool| {
        let text = printable(text);
        let wrapped = wrapped(&text, text_columns).into_iter();
        parts.extend(wrapped.map(|line| (line.to_owned(), is_note)));
    };
    if item.with.group().is_some() && !item.outgoing {
        add(item.from.as_str(), true); // in a group one asks who says it
    }
    // A quote takes one line: the message itself can be looked at.
    above.iter().for_each(|line| add(&fitted(line, text_columns), true));
    add(&text, is_note);
    below.iter().for_each(|line| add(line, true));
    if let MessageState::Failed(failure) = item.state {
        let reason = format!("not sent: {failure}");
        parts
            .extend(wrapped(&reason, text_columns).into_iter().map(|line| (line.to_owned(), true)));
    }
    // The time goes behind the last line if it fits there, else on a line of its own.
    let last = parts.last().map_or(0, |(line, _)| width(line));
    if last + GAP + end.width() > text_columns && last > 0 {
        parts.push((String::new(), false));
    }
    let last = parts.last().map_or(0, |(line, _)| width(line));
    let gap = if last == 0 { 0 } else { GAP };
    let widest = parts.iter().map(|(line, _)| width(line)).max().unwrap_or_default();
    let columns = widest.max(last + gap + end.width());
    let count = parts.len();
    lines.extend(parts.into_iter().enumerate().map(|(index, (text, is_note))| {
        Line::Part(Part {
            text,
            is_outgoing: item.is_outgoing(),
            is_note,
            end: (index + 1 == count).then(|| end.clone()),
            columns,
        })
    }));
    lines
}

/// What stands above a message.
fn above(item: &HistoryItem, previous: Option<&HistoryItem>, set: &Setting<'_>) -> Vec<Line> {
    let day = |item: &HistoryItem| set.time.day(item.sent_at_ms);
    let mut lines = Vec::new();
    if previous.is_none_or(|previous| day(previous) != day(item)) {
        if previous.is_some() {
            lines.push(Line::Blank);
        }
        lines.push(Line::Day(set.time.day_name(item.sent_at_ms, set.now_ms)));
        lines.push(Line::Blank);
    } else if previous.is_some_and(|previous| previous.is_outgoing() != item.is_outgoing()) {
        lines.push(Line::Blank);
    }
    if set.first_new == Some(item.row) {
        lines.push(Line::New);
        lines.push(Line::Blank);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::sample::{NOW, message};

    fn setting(time: &LocalTime, columns: usize) -> Setting<'_> {
        Setting { time, now_ms: NOW, columns, first_new: None }
    }

    fn parts(lines: &[Line]) -> Vec<&Part> {
        lines
            .iter()
            .filter_map(|line| if let Line::Part(part) = line { Some(part) } else { None })
            .collect()
    }

    #[test]
    fn time_and_ticks_follow_a_short_text() {
        let time = LocalTime::utc();
        let item = message(1, "alice", "hi").state(MessageState::Read).item();
        let lines = lines(&item, Some(&item), &setting(&time, 60));
        let parts = parts(&lines);
        assert_eq!((lines.len(), parts.len()), (1, 1));
        assert_eq!(parts[0].columns, 2 + GAP + 5 + 3);
        assert_eq!(parts[0].end.as_ref().unwrap().state, Some(MessageState::Read));
    }

    #[test]
    fn the_time_gets_its_own_line_where_it_does_not_fit() {
        let time = LocalTime::utc();
        // 60 columns leave 50 for the text.
        for (length, expected) in [(43, 1), (44, 2), (50, 2), (51, 2)] {
            let item = message(1, "bob", &"x".repeat(length)).item();
            let lines = lines(&item, Some(&item), &setting(&time, 60));
            assert_eq!(parts(&lines).len(), expected, "{length}");
            assert!(parts(&lines).iter().all(|part| part.columns <= 50));
            assert_eq!(parts(&lines).last().unwrap().end.as_ref().unwrap().state, None);
        }
    }

    #[test]
    fn a_text_is_never_wider_than_one_can_read() {
        let time = LocalTime::utc();
        for (length, expected) in [(TEXT_COLUMNS_MAX, 1), (TEXT_COLUMNS_MAX + 1, 2)] {
            let item = message(1, "bob", &"x".repeat(length)).item();
            let lines = lines(&item, Some(&item), &setting(&time, 300));
            let texts = parts(&lines).iter().filter(|part| !part.text.is_empty()).count();
            assert_eq!(texts, expected, "{length}");
        }
    }

    #[test]
    fn a_day_a_change_of_sides_and_new_messages_are_marked() {
        let time = LocalTime::utc();
        let first = message(1, "bob", "a").item();
        let second = message(2, "alice", "b").item();
        let later = message(3, "bob", "c").at(NOW + 86_400_000).item();
        let mut set = setting(&time, 60);
        let above = |item, previous, set: &Setting<'_>| {
            let mut all = lines(item, previous, set);
            all.pop();
            all
        };
        assert_eq!(above(&first, None, &set), [Line::Day("Today".into()), Line::Blank]);
        assert_eq!(above(&second, Some(&first), &set), [Line::Blank]);
        assert_eq!(above(&second, Some(&second), &set), []);
        let day = Line::Day("2 March".into());
        assert_eq!(above(&later, Some(&second), &set), [Line::Blank, day, Line::Blank]);
        set.first_new = Some(1);
        assert_eq!(above(&first, Some(&first), &set), [Line::New, Line::Blank]);
    }

    #[test]
    fn a_failed_message_says_what_to_do() {
        let time = LocalTime::utc();
        let failed = MessageState::Failed(godwit_client::Failure::MailboxFull);
        let item = message(1, "alice", "hi").state(failed).item();
        let lines = lines(&item, Some(&item), &setting(&time, 90));
        let parts = parts(&lines);
        assert_eq!(parts[0].text, "hi");
        assert!(
            parts[1].is_note
                && parts[1].text.starts_with("not sent: the recipient's mailbox is full")
        );
    }

    #[test]
    fn a_quote_stands_above_and_reactions_below() {
        let time = LocalTime::utc();
        let mut item = message(1, "alice", "yes").item();
        let id = item.id;
        let quote = godwit_client::Quote { id, text: format!("lunch?\n{}", "x".repeat(99)) };
        item.details.reply_to = Some(quote);
        item.details.edited = true;
        let from = "bob".parse().unwrap();
        item.details.reactions = vec![godwit_client::Reaction { from, emoji: "👍".to_owned() }];
        let lines = lines(&item, Some(&item), &setting(&time, 60));
        let texts: Vec<(&str, bool)> =
            parts(&lines).iter().map(|part| (part.text.as_str(), part.is_note)).collect();
        assert!(texts[0].0.starts_with("> lunch?") && texts[0].1, "{texts:?}");
        assert_eq!(texts[1..], [("yes", false), ("👍 bob · edited", true)]);
        item.apply(&godwit_client::Changed {
            row: 2,
            id,
            with: item.with.clone(),
            from: item.from.clone(),
            at_ms: NOW,
            act: godwit_client::Act::Deletion,
        });
        let tombstone = super::lines(&item, Some(&item), &setting(&time, 60));
        let tombstone = parts(&tombstone);
        assert_eq!((tombstone.len(), tombstone[0].text.as_str()), (1, "this message was deleted"));
    }

    #[test]
    fn ticks_are_as_wide_as_each_other() {
        use MessageState::{Accepted, Delivered, Pending, Read};
        for state in [Pending, Accepted, Delivered, Read] {
            for has_colour in [true, false] {
                assert_eq!(width(ticks(state, has_colour)), 2, "{state}");
            }
        }
        assert_ne!(ticks(Delivered, false), ticks(Read, false));
    }
}
