//! What the mouse does: a click opens a chat or places the focus, the wheel scrolls.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::keys::WHEEL_LINES;
use super::{Focus, Model, Overlay};
use crate::chat::geometry::CHAT_ROWS;

impl Model {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        let at = Position::new(mouse.column, mouse.row);
        let wheel = isize::try_from(WHEEL_LINES).unwrap_or(1);
        match mouse.kind {
            MouseEventKind::ScrollUp => self.wheel(at, -wheel),
            MouseEventKind::ScrollDown => self.wheel(at, wheel),
            MouseEventKind::Down(MouseButton::Left) => self.click(at),
            _ => {}
        }
    }

    fn wheel(&mut self, at: Position, lines: isize) {
        let by = lines.signum();
        let is_over_chats = self.geometry().chats.contains(at);
        match &mut self.overlay {
            Some(Overlay::Help { .. }) => self.scroll_help(i16::try_from(by).unwrap_or(0)),
            Some(Overlay::Search(search)) => {
                let last = search.hits.len().saturating_sub(1);
                search.selected = search.selected.saturating_add_signed(by).min(last);
            }
            Some(_) => {}
            None if is_over_chats => self.chats.step(by),
            None => self.scroll(lines),
        }
    }

    fn click(&mut self, at: Position) {
        if self.overlay.is_some() {
            return;
        }
        let geometry = self.geometry();
        if geometry.chats.contains(at) {
            self.focus = Focus::Chats;
            let row = usize::from(at.y.saturating_sub(geometry.chats.y)) / usize::from(CHAT_ROWS);
            if self.chats.select_index(geometry.first_chat + row) {
                self.open_selected();
            }
        } else if geometry.composer.contains(at) || geometry.messages.contains(at) {
            self.focus = Focus::Composer;
        }
    }
}
