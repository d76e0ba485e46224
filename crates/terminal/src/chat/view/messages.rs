//! The open conversation.

use godwit_client::{ChatSummary, MessageState};
use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Modifier;
use ratatui::text::Line as TextLine;
use ratatui::widgets::{Paragraph, Wrap};

use super::Theme;
use crate::chat::bubble::{End, Line, Part, ticks};
use crate::chat::conversation::{Conversation, Shown};
use crate::chat::geometry::Geometry;
use crate::chat::model::Model;
use crate::record::presence_line;
use crate::text::{fitted, one_line, width};

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, theme: &Theme, geometry: &Geometry) {
    let Some(open) = &model.conversation else {
        return welcome(frame, theme, geometry.messages);
    };
    header(frame, model, open, theme, geometry.header);
    notice(frame, model, theme, geometry.notice);
    let area = geometry.messages;
    let (set, rows) = model.setting();
    let shown = open.visible(&set, rows);
    if open.is_empty() {
        let text = format!(
            "No messages with {} yet. What you write is encrypted for them alone.",
            title(model, open)
        );
        let text = Paragraph::new(text).style(theme.faint()).alignment(Alignment::Center);
        frame.render_widget(text.wrap(Wrap { trim: true }), area);
        return;
    }
    // The newest message stands just above the composer.
    let free = area.height.saturating_sub(u16::try_from(shown.len()).unwrap_or(u16::MAX));
    for (shown, y) in shown.iter().zip(area.y + free..) {
        let is_found = open.found == Some(shown.row);
        line(frame, theme, shown, Rect { y, height: 1, ..area }, is_found);
    }
    if !open.is_at_end() {
        below(frame, model, theme, area);
    }
}

fn welcome(frame: &mut Frame<'_>, theme: &Theme, area: Rect) {
    let middle =
        Rect { y: area.y + area.height / 3, height: area.height - area.height / 3, ..area };
    let lines = vec![
        TextLine::styled("godwit", theme.accent()),
        TextLine::default(),
        TextLine::styled("open a chat with Enter, start one with n", theme.faint()),
        TextLine::styled("F1 shows every key", theme.faint()),
    ];
    frame.render_widget(Paragraph::new(lines).alignment(Alignment::Center), middle);
}

/// What the open chat is called.
fn title(model: &Model, open: &Conversation) -> String {
    let name = model.open_chat().map_or_else(|| open.with.to_string(), ChatSummary::title);
    one_line(&name).into_owned()
}

/// Who is at the other end, and whether that was verified.
fn header(frame: &mut Frame<'_>, model: &Model, open: &Conversation, theme: &Theme, area: Rect) {
    let columns = usize::from(area.width).saturating_sub(2);
    let name = fitted(&title(model, open), columns).into_owned();
    let buffer = frame.buffer_mut();
    buffer.set_string(area.x + 1, area.y, &name, theme.strong());
    let (text, style) = match model.open_chat() {
        _ if open.with.group().is_some() => ("group", theme.faint()),
        Some(chat) if chat.blocked => ("blocked", theme.warning()),
        Some(chat) if chat.verified => ("◆ verified", theme.good()),
        _ => ("not verified · Ctrl+S", theme.faint()),
    };
    if width(&name) + width(text) + 3 <= columns {
        let x = area.right() - u16::try_from(width(text) + 1).unwrap_or(0);
        buffer.set_string(x, area.y, text, style);
    }
    let presence = model.presence.map(|seen| presence_line(&seen, &model.time, model.now_ms));
    if let Some(seen) = presence.filter(|seen| !seen.is_empty())
        && width(&name) + width(&seen) + width(text) + 6 <= columns
    {
        let x = area.x + u16::try_from(width(&name) + 1).unwrap_or(0);
        buffer.set_string(x, area.y, format!(" · {seen}"), theme.faint());
    }
}

/// Something about the contact that must not be overlooked.
fn notice(frame: &mut Frame<'_>, model: &Model, theme: &Theme, area: Rect) {
    let notice = model.open_chat().and_then(|chat| chat.notice.as_ref());
    if let Some(notice) = notice.filter(|_| area.height > 0) {
        let text = format!("! {} (Ctrl+S shows the safety number)", one_line(notice));
        let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
        frame.render_widget(
            Paragraph::new(text).style(theme.warning()).wrap(Wrap { trim: true }),
            inner,
        );
    }
}

fn line(frame: &mut Frame<'_>, theme: &Theme, shown: &Shown, area: Rect, is_found: bool) {
    match &shown.line {
        Line::Blank => {}
        Line::Day(day) => titled_rule(frame, area, day, theme.faint()),
        Line::New => titled_rule(frame, area, "new messages", theme.good()),
        Line::Part(part) => self::part(frame, theme, part, area, is_found),
    }
}

/// `──── Today ────`
fn titled_rule(frame: &mut Frame<'_>, area: Rect, title: &str, style: ratatui::style::Style) {
    let columns = usize::from(area.width).saturating_sub(2);
    let title = format!(" {} ", fitted(title, columns.saturating_sub(4)));
    let side = columns.saturating_sub(width(&title)) / 2;
    let rest = columns.saturating_sub(width(&title) + side);
    let line = format!("{}{title}{}", "─".repeat(side), "─".repeat(rest));
    frame.buffer_mut().set_string(area.x + 1, area.y, line, style);
}

/// A line of a message: theirs at the left with a bar before it, ours at the right with one behind.
fn part(frame: &mut Frame<'_>, theme: &Theme, part: &Part, area: Rect, is_found: bool) {
    let columns = u16::try_from(part.columns).unwrap_or(u16::MAX).min(area.width.saturating_sub(4));
    let (bar, bar_style, bar_x, x) = match part.is_outgoing {
        true => ("▐", theme.ours(), area.right() - 2, area.right().saturating_sub(3 + columns)),
        false => ("▌", theme.theirs(), area.x + 1, area.x + 3),
    };
    let style = match (is_found, part.is_note) {
        (true, _) => theme.found(),
        (false, true) => theme.faint().add_modifier(Modifier::ITALIC),
        (false, false) => theme.plain(),
    };
    let buffer = frame.buffer_mut();
    buffer.set_string(bar_x, area.y, bar, bar_style);
    buffer.set_stringn(x, area.y, &part.text, usize::from(columns), style);
    if let Some(end) = &part.end {
        let signs = end.state.map(|state| (ticks(state, theme.has_colour()), state));
        let wide = 5 + if signs.is_some() { 3 } else { 0 };
        self::end(frame, theme, end, signs, (x + columns).saturating_sub(wide), area.y);
    }
}

fn end(
    frame: &mut Frame<'_>,
    theme: &Theme,
    end: &End,
    signs: Option<(&str, MessageState)>,
    x: u16,
    y: u16,
) {
    let buffer = frame.buffer_mut();
    buffer.set_string(x, y, &end.hour, theme.faint());
    if let Some((signs, state)) = signs {
        let style = match state {
            MessageState::Read => theme.read(),
            MessageState::Failed(_) => theme.trouble(),
            _ => theme.faint(),
        };
        buffer.set_string(x + 6, y, signs, style);
    }
}

/// Says that there is more below.
fn below(frame: &mut Frame<'_>, model: &Model, theme: &Theme, area: Rect) {
    let text = match model.open_chat().map_or(0, |chat| chat.unread) {
        0 => " ↓ Ctrl+End ".to_owned(),
        unread => format!(" ↓ {unread} new · Ctrl+End "),
    };
    let columns = u16::try_from(width(&text)).unwrap_or(0);
    if columns + 4 < area.width && area.height > 0 {
        let x = area.x + (area.width - columns) / 2;
        frame.buffer_mut().set_string(x, area.bottom() - 1, text, theme.badge());
    }
}
