//! Where everything is on the screen: a pure function of the model, shared by the view that draws
//! and the model that asks what a click hit.

use ratatui::layout::Rect;

use super::model::{Focus, Model};

/// From this many columns on, the list and the conversation stand side by side.
const SIDE_BY_SIDE_COLUMNS: u16 = 68;

/// The smallest screen on which anything can be shown.
const COLUMNS_MIN: u16 = 20;
const ROWS_MIN: u16 = 6;

/// Rows of one chat in the list: name and time, newest text.
pub(crate) const CHAT_ROWS: u16 = 2;

/// Most rows of the composer.
const COMPOSER_ROWS_MAX: u16 = 8;

/// Columns of the sign before the composer's text.
pub(crate) const PROMPT_COLUMNS: u16 = 3;

/// Areas of the screen; those that are not shown are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) is_too_small: bool,
    pub(crate) has_conversation: bool,
    pub(crate) chats_header: Rect,
    pub(crate) chats: Rect,
    /// Index of the chat at the top of the list.
    pub(crate) first_chat: usize,
    /// The line between list and conversation.
    pub(crate) divider: Rect,
    pub(crate) header: Rect,
    /// What must be known about the contact.
    pub(crate) notice: Rect,
    pub(crate) messages: Rect,
    pub(crate) composer_line: Rect,
    pub(crate) composer: Rect,
    pub(crate) status: Rect,
}

impl Geometry {
    /// Where everything is for this model.
    pub(crate) fn of(model: &Model) -> Self {
        let (columns, rows) = model.size;
        if columns < COLUMNS_MIN || rows < ROWS_MIN {
            return Self { is_too_small: true, ..Self::default() };
        }
        let status = Rect::new(0, rows - 1, columns, 1);
        let body = Rect::new(0, 0, columns, rows - 1);
        let mut geometry = Self { status, ..Self::default() };
        if columns >= SIDE_BY_SIDE_COLUMNS {
            let list = (columns * 3 / 10).clamp(24, 36);
            geometry.list(Rect { width: list, ..body }, model);
            geometry.divider = Rect { x: list, width: 1, ..body };
            geometry.talk(Rect { x: list + 1, width: columns - list - 1, ..body }, model);
        } else if model.focus == Focus::Chats || model.conversation.is_none() {
            geometry.list(body, model);
        } else {
            geometry.talk(body, model);
        }
        geometry
    }

    fn list(&mut self, area: Rect, model: &Model) {
        self.chats_header = Rect { height: 1, ..area };
        self.chats = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
        let visible = usize::from((self.chats.height / CHAT_ROWS).max(1));
        self.first_chat = model.chats.selected().saturating_sub(visible - 1);
    }

    fn talk(&mut self, area: Rect, model: &Model) {
        self.header = Rect { height: 1, ..area };
        if model.conversation.is_none() {
            self.messages = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
            return;
        }
        self.has_conversation = true;
        let has_notice = model.open_chat().is_some_and(|chat| chat.notice.is_some());
        let notice = if has_notice && area.height > 8 { 2 } else { 0 };
        let text_columns = area.width.saturating_sub(PROMPT_COLUMNS + 1);
        let typed = model.composer.layout(usize::from(text_columns)).0.len();
        let most = COMPOSER_ROWS_MAX.min(area.height / 3).max(1);
        let composer = u16::try_from(typed).unwrap_or(u16::MAX).clamp(1, most);
        // Header and its line, notice, messages, the composer and its line.
        let messages = area.height.saturating_sub(2 + notice + 1 + composer);
        let mut y = area.y + 2;
        let mut take = |height: u16| {
            let taken = Rect { y, height, ..area };
            y += height;
            taken
        };
        self.notice = take(notice);
        self.messages = take(messages);
        self.composer_line = take(1);
        self.composer = take(composer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::model::{Outcome, Place, Wakeup};
    use crate::chat::sample::{NOW, alice, chat, handle};
    use crate::time::LocalTime;

    fn model(size: (u16, u16)) -> Model {
        Model::new(alice(), LocalTime::utc(), NOW, size).0
    }

    #[test]
    fn the_smallest_screen_is_enough_and_one_smaller_is_not() {
        let is_too_small = |columns, rows| Geometry::of(&model((columns, rows))).is_too_small;
        assert!(!is_too_small(COLUMNS_MIN, ROWS_MIN));
        assert!(is_too_small(COLUMNS_MIN - 1, ROWS_MIN) && is_too_small(COLUMNS_MIN, ROWS_MIN - 1));
    }

    #[test]
    fn the_composer_grows_with_its_text_to_its_bound() {
        let mut model = model((100, 60));
        model.update(Wakeup::Done(Outcome::Chats(Ok(vec![chat("bob", "hi", 0)]))), NOW);
        model.open(&handle("bob"), Place::Newest);
        for lines in 1..=COMPOSER_ROWS_MAX + 1 {
            let rows = Geometry::of(&model).composer.height;
            assert_eq!(rows, lines.min(COMPOSER_ROWS_MAX));
            model.composer.insert("\n");
        }
    }
}
