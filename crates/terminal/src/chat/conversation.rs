//! The open conversation: a window of messages that grows at both ends, and the place in it that
//! is on the screen.

use std::collections::VecDeque;

use godwit_base::MessageId;
use godwit_client::{Changed, ChatId, HistoryItem, MessageState, Reach};

use super::bubble::{self, Line, Setting};

/// Most messages kept: some dozen screens each way. Of usual texts 1,000 x 300 B = 0.3 MB.
const ITEMS_MAX: usize = 1_000;

/// With fewer messages than this above the screen, older ones are fetched.
const AHEAD: usize = 30;

/// Messages of one chat, and which of their lines is at the lower edge of the screen.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) with: ChatId,
    items: VecDeque<HistoryItem>,
    has_older: bool,
    has_newer: bool,
    /// `None` follows the newest message.
    anchor: Option<Anchor>,
    pub(crate) first_new: Option<u64>,
    /// A message that was searched for.
    pub(crate) found: Option<u64>,
}

/// The lowest message on the screen, and how many of its lines are below the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    row: u64,
    hidden: usize,
}

/// A line on the screen and the message it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) line: Line,
    pub(crate) row: u64,
}

impl Conversation {
    /// A conversation whose messages are not loaded yet.
    pub(crate) fn new(with: ChatId) -> Self {
        Self {
            with,
            items: VecDeque::new(),
            has_older: false,
            has_newer: false,
            anchor: None,
            first_new: None,
            found: None,
        }
    }

    /// Takes the newest page and follows what comes. `unread` places the line of new messages.
    pub(crate) fn show_newest(&mut self, page: Vec<HistoryItem>, unread: u32) {
        self.replace(page, false);
        let incoming = self.items.iter().rev().filter(|item| !item.is_outgoing());
        self.first_new = match unread {
            0 => self.first_new,
            unread => incoming.take(unread as usize).last().map(|item| item.row),
        };
        self.anchor = None;
    }

    /// Takes the messages around one that was searched for and shows it.
    pub(crate) fn show_found(&mut self, page: Vec<HistoryItem>, row: u64) {
        self.replace(page, true);
        self.found = Some(row);
        // A few messages below it, so that it does not stand at the very edge.
        let below = self.index_of(row).saturating_add(3).min(self.items.len().saturating_sub(1));
        self.anchor = self.items.get(below).map(|item| Anchor { row: item.row, hidden: 0 });
    }

    fn replace(&mut self, page: Vec<HistoryItem>, has_newer: bool) {
        self.has_older = !page.is_empty();
        self.has_newer = has_newer;
        self.items = page.into();
    }

    /// Puts an older page above.
    pub(crate) fn prepend(&mut self, page: Vec<HistoryItem>) {
        self.has_older = !page.is_empty();
        for item in page.into_iter().rev() {
            if self.first_row().is_none_or(|first| item.row < first) {
                self.items.push_front(item);
            }
        }
        while self.items.len() > ITEMS_MAX && self.anchor.is_some() {
            self.items.pop_back();
            self.has_newer = true;
        }
    }

    /// Puts a newer page below; an empty one says that the newest message is here.
    pub(crate) fn append(&mut self, page: Vec<HistoryItem>) {
        self.has_newer = !page.is_empty();
        for item in page {
            self.push_back(item);
        }
    }

    /// A message was stored just now.
    pub(crate) fn arrived(&mut self, item: HistoryItem) {
        if self.has_newer {
            return; // it comes when the reader gets there
        }
        if self.anchor.is_some() && self.items.len() >= ITEMS_MAX {
            self.has_newer = true;
            return;
        }
        if item.is_outgoing() {
            self.first_new = None; // who writes has seen what was new
        }
        self.push_back(item);
    }

    fn push_back(&mut self, item: HistoryItem) {
        if self.last_row().is_none_or(|last| item.row > last) {
            self.items.push_back(item);
        }
        while self.items.len() > ITEMS_MAX {
            self.items.pop_front();
            self.has_older = true;
        }
    }

    /// Notes how far a message came. Never backwards: a page may be newer than an event.
    pub(crate) fn set_state(&mut self, id: MessageId, state: MessageState) {
        if let Some(item) = self.items.iter_mut().rev().find(|item| item.id == id) {
            let is_news = state.is_failed() || !item.state.reached(state);
            if is_news && !item.state.is_failed() {
                item.state = state;
            }
        }
    }

    /// Notes how many members of the group have a message.
    pub(crate) fn set_reach(&mut self, id: MessageId, reach: Reach) {
        if let Some(item) = self.items.iter_mut().rev().find(|item| item.id == id) {
            item.details.reach = Some(reach);
        }
    }

    /// Somebody did something about a message.
    pub(crate) fn apply(&mut self, changed: &Changed) {
        if let Some(item) = self.items.iter_mut().rev().find(|item| item.id == changed.id) {
            item.apply(changed);
        }
    }

    /// The newest message that is loaded.
    #[cfg(test)]
    pub(crate) fn newest(&self) -> Option<&HistoryItem> {
        self.items.back()
    }

    /// A message has disappeared.
    pub(crate) fn remove(&mut self, id: MessageId) {
        self.items.retain(|item| item.id != id);
    }

    /// The message that is chosen, or was searched for.
    pub(crate) fn chosen(&self) -> Option<&HistoryItem> {
        self.found.and_then(|row| self.items.iter().find(|item| item.row == row))
    }

    /// Chooses the message so many further down, from none the lowest on the screen, and shows it.
    pub(crate) fn choose(&mut self, by: isize, set: &Setting<'_>, rows: usize) {
        let from = self.found.map_or_else(|| self.bottom().0, |row| self.index_of(row));
        let last = self.items.len().saturating_sub(1);
        let index = from.saturating_add_signed(by).min(last);
        let Some(row) = self.items.get(index).map(|item| item.row) else { return };
        self.found = Some(row);
        if !self.visible(set, rows).iter().any(|shown| shown.row == row) {
            self.place(index.saturating_add(3).min(last), 0);
        }
    }

    /// The row to load older messages before, if the screen is near the upper end.
    pub(crate) fn wants_older(&self, set: &Setting<'_>, rows: usize) -> Option<u64> {
        let top = self.visible(set, rows).first().map_or(0, |shown| self.index_of(shown.row));
        if self.has_older && top < AHEAD { self.first_row() } else { None }
    }

    /// The row to load newer messages after, if the screen is near the lower end.
    pub(crate) fn wants_newer(&self) -> Option<u64> {
        let bottom = self.anchor.map_or(self.items.len(), |anchor| self.index_of(anchor.row));
        let is_near = bottom + AHEAD >= self.items.len();
        if self.has_newer && is_near { self.last_row() } else { None }
    }

    /// Whether the newest message is on the screen.
    pub(crate) fn is_at_end(&self) -> bool {
        self.anchor.is_none() && !self.has_newer
    }

    /// Whether newer messages exist that are not loaded.
    pub(crate) fn has_newer(&self) -> bool {
        self.has_newer
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Follows the newest message again.
    pub(crate) fn follow(&mut self) {
        self.anchor = None;
        self.found = None;
    }

    /// Moves the screen up by lines.
    pub(crate) fn scroll_up(&mut self, lines: usize, set: &Setting<'_>, rows: usize) {
        let (mut index, mut hidden) = self.bottom();
        hidden += lines;
        while index > 0 && hidden >= self.height(index, set) {
            hidden -= self.height(index, set);
            index -= 1;
        }
        self.place(index, hidden.min(self.height(index, set)));
        // At the upper end the screen stays full.
        let missing = rows.saturating_sub(self.visible(set, rows).len());
        if missing > 0 {
            self.scroll_down(missing, set);
        }
    }

    /// Moves the screen down by lines; at the lower end it follows the newest message.
    pub(crate) fn scroll_down(&mut self, lines: usize, set: &Setting<'_>) {
        let (mut index, mut hidden) = self.bottom();
        let mut left = lines;
        while left > hidden {
            if index + 1 >= self.items.len() {
                if self.has_newer {
                    self.place(index, 0);
                } else {
                    self.follow();
                }
                return;
            }
            left -= hidden;
            index += 1;
            hidden = self.height(index, set);
        }
        hidden -= left;
        if hidden == 0 && index + 1 >= self.items.len() && !self.has_newer {
            self.follow();
        } else {
            self.place(index, hidden);
        }
    }

    /// The lines on a screen of so many rows, top first; fewer if there are no more.
    pub(crate) fn visible(&self, set: &Setting<'_>, rows: usize) -> Vec<Shown> {
        let (bottom, mut hidden) = self.bottom();
        let mut shown = Vec::new();
        for index in (0..=bottom).rev() {
            let Some(item) = self.items.get(index) else { break };
            for line in self.lines(index, set).into_iter().rev() {
                if hidden > 0 {
                    hidden -= 1;
                } else if shown.len() < rows {
                    shown.push(Shown { line, row: item.row });
                }
            }
            if shown.len() >= rows {
                break;
            }
        }
        shown.reverse();
        shown
    }

    fn bottom(&self) -> (usize, usize) {
        match self.anchor {
            Some(anchor) => (self.index_of(anchor.row), anchor.hidden),
            None => (self.items.len().saturating_sub(1), 0),
        }
    }

    fn place(&mut self, index: usize, hidden: usize) {
        self.anchor = self.items.get(index).map(|item| Anchor { row: item.row, hidden });
    }

    fn height(&self, index: usize, set: &Setting<'_>) -> usize {
        self.lines(index, set).len()
    }

    fn lines(&self, index: usize, set: &Setting<'_>) -> Vec<Line> {
        let previous = index.checked_sub(1).and_then(|previous| self.items.get(previous));
        let set = Setting { first_new: self.first_new, ..set.clone() };
        self.items.get(index).map_or_else(Vec::new, |item| bubble::lines(item, previous, &set))
    }

    /// Where a row stands, or the place it would have.
    fn index_of(&self, row: u64) -> usize {
        self.items.partition_point(|item| item.row < row).min(self.items.len().saturating_sub(1))
    }

    fn first_row(&self) -> Option<u64> {
        self.items.front().map(|item| item.row)
    }

    fn last_row(&self) -> Option<u64> {
        self.items.back().map(|item| item.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::sample::{NOW, handle, message};
    use crate::time::LocalTime;

    fn page(rows: std::ops::RangeInclusive<u64>) -> Vec<HistoryItem> {
        rows.map(|row| message(row, "bob", &format!("m{row}")).at(NOW).item()).collect()
    }

    fn open(rows: std::ops::RangeInclusive<u64>) -> Conversation {
        let mut conversation = Conversation::new(handle("bob"));
        conversation.show_newest(page(rows), 0);
        conversation
    }

    fn set(time: &LocalTime) -> Setting<'_> {
        Setting { time, now_ms: NOW, columns: 60, first_new: None }
    }

    fn texts(conversation: &Conversation, rows: usize) -> Vec<String> {
        let time = LocalTime::utc();
        let shown = conversation.visible(&set(&time), rows);
        shown
            .into_iter()
            .map(|shown| match shown.line {
                Line::Part(part) => part.text,
                Line::Day(day) => day,
                Line::Blank => String::new(),
                Line::New => "new".to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_newest_messages_are_shown_and_followed() {
        let mut conversation = open(1..=9);
        assert_eq!(texts(&conversation, 2), ["m8", "m9"]);
        conversation.arrived(message(10, "bob", "m10").at(NOW).item());
        assert_eq!(texts(&conversation, 2), ["m9", "m10"]);
        assert!(conversation.is_at_end());
    }

    #[test]
    fn scrolled_back_the_screen_stands_still_while_messages_come() {
        let time = LocalTime::utc();
        let mut conversation = open(1..=9);
        conversation.scroll_up(3, &set(&time), 2);
        assert_eq!(texts(&conversation, 2), ["m5", "m6"]);
        conversation.arrived(message(10, "bob", "m10").at(NOW).item());
        conversation.prepend(vec![message(0, "bob", "m0").at(NOW).item()]);
        assert_eq!(texts(&conversation, 2), ["m5", "m6"]);
        assert!(!conversation.is_at_end());
        conversation.scroll_down(3, &set(&time));
        assert_eq!(texts(&conversation, 2), ["m8", "m9"]);
        conversation.scroll_down(1, &set(&time));
        assert!(conversation.is_at_end());
    }

    #[test]
    fn the_upper_end_keeps_the_screen_full() {
        let time = LocalTime::utc();
        let mut conversation = open(1..=9);
        conversation.scroll_up(1_000, &set(&time), 4);
        assert_eq!(texts(&conversation, 4), ["Today", "", "m1", "m2"]);
        let mut short = open(1..=2);
        short.scroll_up(5, &set(&time), 20);
        assert!(short.is_at_end());
        assert_eq!(texts(&short, 20), ["Today", "", "m1", "m2"]);
    }

    #[test]
    fn a_message_taller_than_the_screen_scrolls_by_lines() {
        let time = LocalTime::utc();
        let mut conversation = Conversation::new(handle("bob"));
        let tall = (0..10).map(|n| format!("l{n}")).collect::<Vec<_>>().join("\n");
        conversation.show_newest(vec![message(1, "bob", &tall).at(NOW).item()], 0);
        conversation.scroll_up(4, &set(&time), 3);
        assert_eq!(texts(&conversation, 3), ["l3", "l4", "l5"]);
    }

    #[test]
    fn older_and_newer_pages_are_asked_for_near_the_ends_and_only_while_there_are_some() {
        let time = LocalTime::utc();
        let mut conversation = open(51..=90);
        assert_eq!(conversation.wants_older(&set(&time), 5), None); // 35 above the screen
        conversation.scroll_up(10, &set(&time), 5);
        assert_eq!(conversation.wants_older(&set(&time), 5), Some(51));
        conversation.prepend(page(1..=50));
        assert_eq!(conversation.wants_older(&set(&time), 5), None);
        conversation.scroll_up(100, &set(&time), 5);
        assert_eq!(conversation.wants_older(&set(&time), 5), Some(1));
        conversation.prepend(Vec::new());
        assert_eq!(conversation.wants_older(&set(&time), 5), None);
        assert_eq!(conversation.wants_newer(), None);
    }

    #[test]
    fn a_found_message_is_on_the_screen_and_what_follows_is_loaded() {
        let mut conversation = Conversation::new(handle("bob"));
        conversation.show_found(page(40..=60), 50);
        let time = LocalTime::utc();
        assert_eq!(texts(&conversation, 5), ["m49", "m50", "m51", "m52", "m53"]);
        assert_eq!(conversation.wants_newer(), Some(60));
        conversation.arrived(message(99, "bob", "later").at(NOW).item());
        assert_eq!(conversation.last_row(), Some(60));
        conversation.append(page(61..=99));
        conversation.append(Vec::new());
        conversation.scroll_down(1_000, &set(&time));
        assert!(conversation.is_at_end());
        assert_eq!(texts(&conversation, 1), ["m99"]);
    }

    #[test]
    fn states_only_move_forward() {
        let mut conversation = open(1..=1);
        let id = conversation.items[0].id;
        conversation.set_state(id, MessageState::Accepted);
        assert_eq!(conversation.items[0].state, MessageState::Delivered);
        conversation.set_state(id, MessageState::Read);
        assert_eq!(conversation.items[0].state, MessageState::Read);
    }

    #[test]
    fn new_messages_have_a_line_above_them_until_we_answer() {
        let mut conversation = Conversation::new(handle("bob"));
        conversation.show_newest(page(1..=9), 2);
        assert_eq!(texts(&conversation, 5), ["m7", "new", "", "m8", "m9"]);
        conversation.arrived(message(10, "alice", "hi").at(NOW).item());
        assert_eq!(texts(&conversation, 4), ["m8", "m9", "", "hi"]);
    }

    #[test]
    fn the_window_stays_bounded_at_both_ends() {
        let time = LocalTime::utc();
        let mut conversation = open(5_000..=5_099);
        for row in 5_100..7_000 {
            conversation.arrived(message(row, "bob", "m").at(NOW).item());
        }
        assert_eq!(conversation.items.len(), ITEMS_MAX);
        assert!(conversation.has_older);
        conversation.scroll_up(10_000, &set(&time), 10);
        conversation.prepend(page(5_900..=5_999));
        assert_eq!(conversation.items.len(), ITEMS_MAX);
        assert!(conversation.has_newer);
        conversation.arrived(message(7_000, "bob", "m").at(NOW).item());
        assert_eq!(conversation.last_row(), Some(6_899));
    }
}
