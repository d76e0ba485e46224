//! The account's devices: the list, a code being typed, digits being compared.

use godwit_client::{DeviceInfo, LinkingState};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{CLOSES, window_with};
use crate::chat::model::{Devices, Step};
use crate::chat::view::Theme;
use crate::text::one_line;

/// Columns of the window: a code of 80 characters in one line, with its prompt.
const COLUMNS: u16 = 84;

/// Rows of the window: eight devices, and two lines of what to do.
const ROWS: u16 = 12;

pub(super) fn draw(frame: &mut Frame<'_>, theme: &Theme, devices: &Devices) {
    let (title, bottom) = match &devices.step {
        Step::Look | Step::Revoke(_) => ("Your devices", CLOSES),
        Step::Code { .. } => ("Link a device", " Esc back "),
        Step::Link(LinkingState::Waiting | LinkingState::Compare { .. }) => {
            ("Link a device", " Esc gives it up ")
        }
        Step::Link(_) => ("Link a device", " Esc back "),
    };
    let area = window_with(frame, theme, title, bottom, (COLUMNS, ROWS));
    match &devices.step {
        Step::Look => list(frame, theme, area, devices, None),
        Step::Revoke(device) => list(frame, theme, area, devices, Some(*device)),
        Step::Code { field, problem } => {
            let row = |y: u16, height: u16| {
                Rect { y: area.y.saturating_add(y), height, ..area }.intersection(area)
            };
            super::field(frame, theme, row(1, 1), field);
            let (text, style) = match problem {
                Some(problem) => (one_line(problem).into_owned(), theme.trouble()),
                None => (
                    "type or paste the code that the new device shows (godwit link start), and \
                     press Enter"
                        .to_owned(),
                    theme.faint(),
                ),
            };
            let text = Paragraph::new(text).style(style).wrap(Wrap { trim: true });
            frame.render_widget(text, row(3, ROWS));
        }
        Step::Link(state) => {
            let lines = Paragraph::new(linking(theme, state)).wrap(Wrap { trim: true });
            frame.render_widget(lines, area);
        }
    }
}

fn list(
    frame: &mut Frame<'_>,
    theme: &Theme,
    area: Rect,
    devices: &Devices,
    revoking: Option<u32>,
) {
    let Some(list) = &devices.list else {
        return frame.render_widget(Paragraph::new("…").style(theme.faint()), area);
    };
    let mut lines: Vec<Line<'_>> = (0..)
        .zip(list)
        .map(|(index, one)| {
            let style = if index == devices.selected { theme.found() } else { theme.plain() };
            Line::styled(line(*one), style)
        })
        .collect();
    lines.push(Line::default());
    lines.push(match (devices.is_main(), revoking) {
        (Some(true), Some(device)) => Line::styled(
            format!("r again revokes device {device}: nobody writes to it any more"),
            theme.trouble(),
        ),
        (Some(true), None) => Line::styled("l link another · r revoke", theme.accent()),
        _ => Line::styled("only the main device links and revokes others", theme.faint()),
    });
    frame.render_widget(Paragraph::new(lines), area);
}

fn line(one: DeviceInfo) -> String {
    let main = if one.main { "  main" } else { "" };
    let this = if one.this { "  (this one)" } else { "" };
    format!("device {}{main}{this}", one.device)
}

fn linking<'a>(theme: &Theme, state: &LinkingState) -> Vec<Line<'a>> {
    let faint = |text: &'static str| Line::styled(text, theme.faint());
    let mut lines = vec![Line::default()];
    match state {
        LinkingState::Waiting => lines.push(faint("waiting for the new device …")),
        LinkingState::Compare { digits, .. } => {
            lines.push(Line::from(vec![
                Span::raw("the new device must show: "),
                Span::styled(digits.clone(), theme.strong()),
            ]));
            lines.push(Line::default());
            lines.push(Line::styled("y: it does, link it and give it the history", theme.accent()));
            lines.push(Line::styled("o: it does, link it without the history", theme.accent()));
            lines.push(Line::styled("n: it does not", theme.accent()));
        }
        LinkingState::Publishing => lines.push(faint("telling the server …")),
        LinkingState::Linked { device } => {
            lines.push(Line::styled(format!("✓ linked: it is device {device}"), theme.good()));
        }
        LinkingState::Failed { reason } => {
            lines.push(Line::styled(format!("✗ {}", one_line(reason)), theme.trouble()));
        }
        _ => {} // what later versions tell, they show
    }
    lines
}
