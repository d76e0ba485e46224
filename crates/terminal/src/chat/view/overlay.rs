//! What lies on top: help, a new chat, search, the safety number, the account's devices.

mod devices;

use godwit_client::{ChatId, HistoryItem, SafetyNumber};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Wrap};

use super::Theme;
use crate::chat::field::Field;
use crate::chat::help;
use crate::chat::model::{Model, Overlay, Search};
use crate::command::digit_lines;
use crate::qr;
use crate::text::{fitted, one_line, width};

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, overlay: &Overlay, theme: &Theme) {
    match overlay {
        Overlay::Help { top } => help(frame, theme, *top),
        Overlay::NewChat { field, problem } => new_chat(frame, theme, field, problem.as_deref()),
        Overlay::Search(search) => self::search(frame, model, theme, search),
        Overlay::Devices(devices) => devices::draw(frame, theme, devices),
        Overlay::Safety { with, number } => safety(frame, model, theme, with, number.as_ref()),
    }
}

/// What stands at the lower edge of each window.
const CLOSES: &str = " Esc closes ";

fn window(frame: &mut Frame<'_>, theme: &Theme, title: &str, columns: u16, rows: u16) -> Rect {
    window_with(frame, theme, title, CLOSES, (columns, rows))
}

/// A frame in the middle of the screen, as large as asked if there is room; returns its inside.
fn window_with(
    frame: &mut Frame<'_>,
    theme: &Theme,
    title: &str,
    bottom: &'static str,
    (columns, rows): (u16, u16),
) -> Rect {
    let screen = frame.area();
    let columns = columns.saturating_add(4).min(screen.width);
    let rows = rows.saturating_add(2).min(screen.height);
    let x = (screen.width - columns) / 2;
    let y = (screen.height - rows) / 2;
    let area = Rect::new(x, y, columns, rows);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.accent())
        .title(Span::styled(format!(" {title} "), theme.strong()))
        .title_bottom(Line::styled(bottom, theme.faint()).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

fn help(frame: &mut Frame<'_>, theme: &Theme, top: u16) {
    let screen = (frame.area().width, frame.area().height);
    let lines = help::lines(screen.0);
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let bottom = match help::top_max(screen) {
        0 => CLOSES,
        last if top >= last => " ↑ scrolls · Esc closes ",
        _ if top == 0 => " ↓ more · Esc closes ",
        _ => " ↑↓ scrolls · Esc closes ",
    };
    let area = window_with(frame, theme, "Help", bottom, (help::COLUMNS, rows));
    let lines: Vec<Line<'_>> = lines
        .into_iter()
        .map(|help::Line { key, text, is_read }| {
            let style = if is_read { theme.read() } else { theme.accent() };
            let key = match key {
                "✓✓" if is_read && !theme.has_colour() => "✔✔",
                key => key,
            };
            Line::from(vec![Span::styled(key, style), Span::raw(text)])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).scroll((top.min(help::top_max(screen)), 0)), area);
}

/// A field with its prompt; the cursor stands in it.
fn field(frame: &mut Frame<'_>, theme: &Theme, area: Rect, field: &Field) {
    let columns = area.width.saturating_sub(2);
    frame.buffer_mut().set_string(area.x, area.y, "›", theme.accent());
    let (lines, (line, column)) = field.layout(usize::from(columns));
    let text = lines.get(line).map_or("", String::as_str);
    frame.buffer_mut().set_string(area.x + 2, area.y, text, theme.plain());
    let right = u16::try_from(column).unwrap_or(0);
    frame.set_cursor_position(Position::new(area.x + 2 + right, area.y));
}

fn new_chat(frame: &mut Frame<'_>, theme: &Theme, field: &Field, problem: Option<&str>) {
    let area = window(frame, theme, "New chat", 52, 5);
    let row = |y: u16, height: u16| Rect { y: area.y + y, height, ..area }.intersection(area);
    self::field(frame, theme, row(1, 1), field);
    let (text, style) = match problem {
        Some(problem) => (problem, theme.trouble()),
        None => ("type the handle of the person and press Enter", theme.faint()),
    };
    frame.render_widget(Paragraph::new(text).style(style).wrap(Wrap { trim: true }), row(3, 2));
}

fn search(frame: &mut Frame<'_>, model: &Model, theme: &Theme, search: &Search) {
    let screen = frame.area();
    let area =
        window(frame, theme, "Search", screen.width.saturating_sub(12), screen.height * 2 / 3);
    field(frame, theme, Rect { height: 1, ..area }, &search.field);
    let list = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    if search.hits.is_empty() {
        let text = match (search.field.is_blank(), search.answered == search.field.text()) {
            (true, _) => "type what you remember of it",
            (false, true) => "nothing found",
            (false, false) => "…",
        };
        frame.render_widget(Paragraph::new(text).style(theme.faint()), list);
        return;
    }
    let rows = usize::from(list.height);
    let first = (search.selected + 1).saturating_sub(rows);
    for (index, y) in (first..search.hits.len()).zip(list.y..list.bottom()) {
        if let Some(item) = search.hits.get(index) {
            let is_selected = index == search.selected;
            hit(frame, model, theme, item, Rect { y, height: 1, ..list }, is_selected);
        }
    }
}

fn hit(
    frame: &mut Frame<'_>,
    model: &Model,
    theme: &Theme,
    item: &HistoryItem,
    area: Rect,
    is_selected: bool,
) {
    let at = model.time.short(item.sent_at_ms, model.now_ms);
    let direction = if item.is_outgoing() { "to" } else { "from" };
    let head = format!("{at:>8}  {direction:>4} {:<12} ", fitted(&item.with.to_string(), 12));
    let text = one_line(item.text.as_deref().unwrap_or_default()).into_owned();
    let left = usize::from(area.width).saturating_sub(width(&head));
    let (head_style, text_style) = match is_selected {
        true => (theme.found(), theme.found()),
        false => (theme.faint(), theme.plain()),
    };
    let line = Line::from(vec![
        Span::styled(head, head_style),
        Span::styled(fitted(&text, left).into_owned(), text_style),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

/// The digits beside the code if the screen is wide, above it if it is tall, else alone.
fn safety(
    frame: &mut Frame<'_>,
    model: &Model,
    theme: &Theme,
    with: &ChatId,
    number: Option<&SafetyNumber>,
) {
    let screen = frame.area();
    let title = format!("Safety number with {with}");
    let code = number.and_then(|number| qr::lines(&number.qr)).unwrap_or_default();
    let words = words(model, theme, with, number);
    let code_rows = u16::try_from(code.len()).unwrap_or(u16::MAX);
    let code_columns =
        u16::try_from(code.first().map_or(0, |line| width(line))).unwrap_or(u16::MAX);
    let (words_columns, words_rows) = (30, 14);
    let room = (screen.width.saturating_sub(4), screen.height.saturating_sub(2));
    if code_rows > 0 && words_columns + 2 + code_columns <= room.0 && code_rows <= room.1 {
        let rows = code_rows.max(words_rows);
        let area = window(frame, theme, &title, words_columns + 2 + code_columns, rows);
        let left = Rect { width: words_columns.min(area.width), ..area };
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), left);
        let x = area.x + words_columns + 2;
        draw_code(frame, theme, &code, Rect { x, width: code_columns, ..area });
    } else if code_rows > 0 && code_columns <= room.0 && words_rows + code_rows <= room.1 {
        let area =
            window(frame, theme, &title, code_columns.max(words_columns), words_rows + code_rows);
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
        let y = area.y + words_rows;
        draw_code(frame, theme, &code, Rect { y, height: code_rows, ..area });
    } else {
        let area = window(frame, theme, &title, words_columns, words_rows + 2);
        let mut words = words;
        if code_rows > 0 {
            words.push(Line::default());
            words.push(Line::styled("enlarge the window to see the QR code", theme.faint()));
        }
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
    }
}

fn words<'a>(
    model: &Model,
    theme: &Theme,
    with: &ChatId,
    number: Option<&SafetyNumber>,
) -> Vec<Line<'a>> {
    let Some(number) = number else { return vec![Line::styled("…", theme.faint())] };
    let mut lines = vec![Line::default()];
    lines.extend(
        digit_lines(&number.digits).into_iter().map(|line| Line::styled(line, theme.strong())),
    );
    lines.push(Line::default());
    let chat = model.chats.get(with);
    if let Some(notice) = chat.and_then(|chat| chat.notice.as_ref()) {
        lines.push(Line::styled(one_line(notice).into_owned(), theme.warning()));
        lines.push(Line::default());
    }
    if chat.is_some_and(|chat| chat.verified) {
        lines.push(Line::styled("◆ verified", theme.good()));
        lines.push(Line::default());
        lines.push(Line::styled("v takes it back", theme.faint()));
    } else {
        lines
            .push(Line::from(format!("Compare with what {with} sees, face to face or on a call.")));
        lines.push(Line::default());
        lines.push(Line::styled("v: they are the same", theme.accent()));
    }
    lines
}

fn draw_code(frame: &mut Frame<'_>, theme: &Theme, code: &[String], area: Rect) {
    let area = area.intersection(frame.area());
    for (line, y) in code.iter().zip(area.y..area.bottom()) {
        frame.buffer_mut().set_stringn(area.x, y, line, usize::from(area.width), theme.code());
    }
}
