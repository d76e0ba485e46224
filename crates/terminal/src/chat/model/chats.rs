//! The list of chats: newest first, one selected.

use godwit_client::{ChatId, ChatSummary, HistoryItem};

/// Chats as the list shows them.
#[derive(Debug, Default)]
pub(crate) struct Chats {
    entries: Vec<ChatSummary>,
    selected: usize,
    /// Whether the client has answered yet.
    pub(crate) is_loaded: bool,
}

impl Chats {
    pub(crate) fn entries(&self) -> &[ChatSummary] {
        &self.entries
    }

    pub(crate) fn selected(&self) -> usize {
        self.selected
    }

    pub(crate) fn selected_handle(&self) -> Option<&ChatId> {
        self.entries.get(self.selected).map(|chat| &chat.with)
    }

    pub(crate) fn get(&self, with: &ChatId) -> Option<&ChatSummary> {
        self.entries.iter().find(|chat| chat.with == *with)
    }

    /// Incoming messages that nobody has read, in all chats.
    pub(crate) fn unread(&self) -> u64 {
        self.entries.iter().map(|chat| u64::from(chat.unread)).sum()
    }

    /// Takes the client's list; a chat that was just begun and has no message yet stays on top.
    pub(crate) fn replace(&mut self, entries: Vec<ChatSummary>) {
        let selected = self.selected_handle().cloned();
        let is_known = |with: &ChatId| entries.iter().any(|chat| chat.with == *with);
        let mut all: Vec<ChatSummary> = self
            .entries
            .drain(..)
            .filter(|chat| chat.last_at_ms == 0 && !is_known(&chat.with))
            .collect();
        all.extend(entries);
        self.entries = all;
        self.is_loaded = true;
        self.selected = selected.and_then(|with| self.index(&with)).unwrap_or_default();
    }

    /// Selects a chat; one that is not known yet is put on top.
    pub(crate) fn select(&mut self, with: &ChatId) {
        self.selected = self.index(with).unwrap_or_else(|| {
            self.entries.insert(0, empty(with));
            0
        });
    }

    /// Moves the selection by so many chats, stopping at the ends.
    pub(crate) fn step(&mut self, by: isize) {
        let last = self.entries.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    /// Selects by place on the list; false if there is none.
    pub(crate) fn select_index(&mut self, index: usize) -> bool {
        let is_there = index < self.entries.len();
        if is_there {
            self.selected = index;
        }
        is_there
    }

    /// A message was stored: its chat goes to the top. What is unread the client counts.
    pub(crate) fn arrived(&mut self, item: &HistoryItem) {
        let selected = self.selected_handle().cloned();
        let mut chat = match self.index(&item.with) {
            Some(index) => self.entries.remove(index),
            None => empty(&item.with),
        };
        chat.last_text = item.preview().map(str::to_owned);
        chat.last_at_ms = item.sent_at_ms;
        self.entries.insert(0, chat);
        self.selected = selected.and_then(|with| self.index(&with)).unwrap_or_default();
    }

    /// Nothing is unread in this chat any more.
    pub(crate) fn mark_read(&mut self, with: &ChatId) {
        if let Some(chat) = self.entries.iter_mut().find(|chat| chat.with == *with) {
            chat.unread = 0;
        }
    }

    pub(crate) fn set_verified(&mut self, with: &ChatId, verified: bool) {
        if let Some(chat) = self.entries.iter_mut().find(|chat| chat.with == *with) {
            chat.verified = verified;
        }
    }

    fn index(&self, with: &ChatId) -> Option<usize> {
        self.entries.iter().position(|chat| chat.with == *with)
    }
}

fn empty(with: &ChatId) -> ChatSummary {
    ChatSummary {
        with: with.clone(),
        last_text: None,
        last_at_ms: 0,
        unread: 0,
        verified: false,
        notice: None,
        name: None,
        blocked: false,
        muted_until_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::sample::{chat, handle, message};

    #[test]
    fn the_selection_stays_on_its_chat_when_others_move() {
        let mut chats = Chats::default();
        chats.replace(vec![chat("bob", "x", 0), chat("carol", "y", 0)]);
        chats.select(&handle("carol"));
        chats.arrived(&message(9, "dave", "hello").item());
        assert_eq!(chats.selected_handle(), Some(&handle("carol")));
        assert_eq!(chats.entries()[0].with, handle("dave"));
        assert_eq!((chats.entries()[0].unread, chats.unread()), (0, 0));
        chats.step(10);
        chats.step(-1);
        assert_eq!(chats.selected_handle(), Some(&handle("bob")));
    }

    #[test]
    fn a_chat_just_begun_stays_until_it_has_a_message() {
        let mut chats = Chats::default();
        chats.select(&handle("zoe"));
        chats.replace(vec![chat("bob", "x", 0)]);
        assert_eq!(chats.selected_handle(), Some(&handle("zoe")));
        assert_eq!(chats.entries().len(), 2);
        chats.replace(vec![chat("zoe", "hi", 0), chat("bob", "x", 0)]);
        assert_eq!(chats.entries().len(), 2);
    }
}
