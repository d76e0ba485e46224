//! The list of chats.

use godwit_client::ChatSummary;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::Theme;
use crate::chat::geometry::{CHAT_ROWS, Geometry};
use crate::chat::model::{Focus, Model};
use crate::text::{fitted, one_line, width};

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, theme: &Theme, geometry: &Geometry) {
    header(frame, model, theme, geometry.chats_header);
    let area = geometry.chats;
    if model.chats.entries().is_empty() {
        if model.chats.is_loaded {
            let lines = ["No chats yet.", "", "Press n and type a handle", "to start one."];
            let lines: Vec<Line<'_>> =
                lines.into_iter().map(|line| Line::from(format!(" {line}"))).collect();
            frame.render_widget(Paragraph::new(lines).style(theme.faint()), area);
        }
        return;
    }
    let mut y = area.y;
    for (index, chat) in model.chats.entries().iter().enumerate().skip(geometry.first_chat) {
        let height = CHAT_ROWS.min(area.bottom().saturating_sub(y));
        if height == 0 {
            break;
        }
        let is_selected = index == model.chats.selected();
        entry(frame, model, theme, chat, Rect { y, height, ..area }, is_selected);
        y += height;
    }
}

fn header(frame: &mut Frame<'_>, model: &Model, theme: &Theme, area: Rect) {
    let buffer = frame.buffer_mut();
    buffer.set_string(area.x + 1, area.y, "godwit", theme.accent());
    let columns = usize::from(area.width).saturating_sub(10);
    let unread = match model.chats.unread() {
        0 => String::new(),
        unread => format!(" · {unread} new"),
    };
    let name = format!("{}{unread}", model.me.handle);
    buffer.set_string(area.x + 9, area.y, fitted(&name, columns), theme.faint());
}

/// Two rows: sign, name and time; the newest text and how much is unread.
fn entry(
    frame: &mut Frame<'_>,
    model: &Model,
    theme: &Theme,
    chat: &ChatSummary,
    area: Rect,
    is_selected: bool,
) {
    let is_open = model.conversation.as_ref().is_some_and(|open| open.with == chat.with);
    let has_focus = model.focus == Focus::Chats && model.overlay.is_none();
    let bar = if is_selected && has_focus { theme.accent() } else { theme.faint() };
    let columns = usize::from(area.width).saturating_sub(3);
    let x = area.x + 2;
    let buffer = frame.buffer_mut();
    if is_selected || is_open {
        for y in area.y..area.bottom() {
            buffer.set_string(area.x, y, if is_selected { "▌" } else { "▏" }, bar);
        }
    }
    let at = match chat.last_at_ms {
        0 => String::new(),
        at_ms => model.time.short(at_ms, model.now_ms),
    };
    let mark = if chat.verified { " ◆" } else { "" };
    let name_columns = columns.saturating_sub(width(&at) + 1 + width(mark));
    let name = fitted(&one_line(&chat.title()), name_columns).into_owned();
    let name_style = if chat.unread > 0 || is_selected { theme.strong() } else { theme.plain() };
    buffer.set_string(x, area.y, &name, name_style);
    buffer.set_string(x + columns_u16(width(&name)), area.y, mark, theme.good());
    buffer.set_string(
        x + columns_u16(columns.saturating_sub(width(&at))),
        area.y,
        &at,
        theme.faint(),
    );
    if area.height < 2 {
        return;
    }
    let badge = match chat.unread {
        0 => String::new(),
        unread @ 1..=999 => format!(" {unread} "),
        _ => " 999+ ".to_owned(),
    };
    let (text, style) = match (&chat.notice, &chat.last_text) {
        _ if chat.blocked => ("blocked".to_owned(), theme.faint()),
        (Some(notice), _) => (format!("! {}", one_line(notice)), theme.warning()),
        (None, Some(text)) => (one_line(text).into_owned(), theme.faint()),
        (None, None) => (String::new(), theme.faint()),
    };
    let text_columns = columns.saturating_sub(if badge.is_empty() { 0 } else { badge.len() + 1 });
    buffer.set_string(x, area.y + 1, fitted(&text, text_columns), style);
    let badge_x = x + columns_u16(columns.saturating_sub(badge.len()));
    buffer.set_string(badge_x, area.y + 1, &badge, theme.badge());
}

fn columns_u16(columns: usize) -> u16 {
    u16::try_from(columns).unwrap_or(u16::MAX)
}
