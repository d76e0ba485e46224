//! Draws the model. Everything here is a function of the model; nothing is remembered.

mod chats;
mod messages;
mod overlay;
mod theme;

use godwit_client::ConnectionState;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(crate) use self::theme::Theme;
use super::geometry::{Geometry, PROMPT_COLUMNS};
use super::model::{Focus, Model, Status};
use crate::record::history_line;
use crate::text::{fitted, one_line, width};

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model, theme: &Theme) {
    let geometry = model.geometry();
    if geometry.is_too_small {
        let text = fitted("enlarge the window", usize::from(frame.area().width)).into_owned();
        frame.render_widget(Paragraph::new(text), frame.area());
        return;
    }
    if geometry.chats_header.height > 0 {
        chats::draw(frame, model, theme, &geometry);
    }
    divider(frame, theme, &geometry);
    if geometry.header.height > 0 {
        messages::draw(frame, model, theme, &geometry);
        composer(frame, model, theme, &geometry);
    }
    status(frame, model, theme, &geometry);
    if let Some(overlay) = &model.overlay {
        overlay::draw(frame, model, overlay, theme);
    }
}

/// The lines between the parts.
fn divider(frame: &mut Frame<'_>, theme: &Theme, geometry: &Geometry) {
    for header in [geometry.chats_header, geometry.header] {
        if header.height > 0 {
            rule(frame, theme, Rect { y: header.y + 1, ..header });
        }
    }
    rule(frame, theme, geometry.composer_line);
    let divider = geometry.divider;
    for y in divider.y..divider.bottom() {
        let composer_line = geometry.composer_line;
        let sign = match y {
            1 => "┼",
            y if composer_line.height > 0 && y == composer_line.y => "├",
            _ => "│",
        };
        frame.buffer_mut().set_string(divider.x, y, sign, theme.faint());
    }
}

fn rule(frame: &mut Frame<'_>, theme: &Theme, area: Rect) {
    if area.height > 0 {
        let line = "─".repeat(usize::from(area.width));
        frame.buffer_mut().set_string(area.x, area.y, line, theme.faint());
    }
}

/// What is being typed, the cursor's line always in sight.
fn composer(frame: &mut Frame<'_>, model: &Model, theme: &Theme, geometry: &Geometry) {
    let area = geometry.composer;
    if area.height == 0 {
        return;
    }
    let columns = area.width.saturating_sub(PROMPT_COLUMNS + 1);
    let (lines, (line, column)) = model.composer.layout(usize::from(columns));
    let rows = usize::from(area.height);
    let first = line.saturating_sub(rows - 1);
    let has_focus = model.focus == Focus::Composer;
    let prompt = if has_focus { theme.accent() } else { theme.faint() };
    frame.buffer_mut().set_string(area.x + 1, area.y, "›", prompt);
    let text = Rect { x: area.x + PROMPT_COLUMNS, width: columns, ..area };
    if model.composer.text().is_empty() {
        let hint = fitted("write a message", usize::from(columns)).into_owned();
        frame.render_widget(Paragraph::new(Span::styled(hint, theme.faint())), text);
    }
    let shown: Vec<Line<'_>> = lines.into_iter().skip(first).take(rows).map(Line::from).collect();
    if !model.composer.text().is_empty() {
        frame.render_widget(Paragraph::new(shown), text);
    }
    if has_focus && model.overlay.is_none() {
        let down = u16::try_from(line - first).unwrap_or(0);
        let right = u16::try_from(column).unwrap_or(0).min(columns);
        frame.set_cursor_position(Position::new(text.x + right, text.y + down));
    }
}

/// The lower edge: what went wrong and what to do, else the keys that help now; the connection.
fn status(frame: &mut Frame<'_>, model: &Model, theme: &Theme, geometry: &Geometry) {
    let area = geometry.status;
    let columns = usize::from(area.width);
    let (sign, connection) = connection(model);
    let (text, style) = match &model.status {
        Some(Status::Trouble(text)) => (format!("✗ {}", one_line(text)), theme.trouble()),
        Some(Status::Done(text)) => (format!("✓ {}", one_line(text)), theme.good()),
        None => match &model.connection {
            ConnectionState::Offline { reason, .. } => {
                (one_line(reason).into_owned(), theme.warning())
            }
            _ => match &model.history {
                Some(progress) => (history_line(progress), theme.faint()),
                None => (hints(model), theme.faint()),
            },
        },
    };
    let right = width(&sign) + 1 + width(&connection) + 2;
    let left = columns.saturating_sub(right + 2);
    let buffer = frame.buffer_mut();
    buffer.set_string(area.x + 1, area.y, fitted(&text, left), style);
    if right < columns {
        let x = area.right() - u16::try_from(right - 1).unwrap_or(0);
        let style = match model.connection {
            ConnectionState::Online => theme.good(),
            _ => theme.warning(),
        };
        buffer.set_string(x, area.y, format!("{sign} {connection}"), style);
    }
}

/// The connection in a sign and a few words.
fn connection(model: &Model) -> (String, String) {
    let (sign, text) = match &model.connection {
        ConnectionState::Online => ("●", "online".to_owned()),
        ConnectionState::Connecting => ("◌", "connecting".to_owned()),
        ConnectionState::Offline { .. } => match model.retry_at_ms {
            Some(at_ms) => {
                let seconds = at_ms.saturating_sub(model.now_ms).div_ceil(1_000);
                ("○", format!("offline, next try in {seconds} s, Ctrl+R now"))
            }
            None => ("○", "offline".to_owned()),
        },
    };
    (sign.to_owned(), text)
}

/// The keys that help where one is.
fn hints(model: &Model) -> String {
    let hints = match (model.focus, &model.purpose) {
        (Focus::Chats, _) => "Enter open · n new chat · / search · ? help · q quit",
        (Focus::Messages, _) => {
            "r answer · e edit · d delete · * star · 1-6 react, vote · Esc back"
        }
        (Focus::Composer, Some(purpose)) => return purpose.hint(),
        (Focus::Composer, None) => "Enter send · Alt+Enter new line · Tab chats · F1 help",
    };
    hints.to_owned()
}

#[cfg(test)]
mod tests;
