//! The help page: every key and every sign, broken into lines that fit the screen.

use crate::text::{width, wrapped};

/// Columns that the page takes if there is room.
pub(crate) const COLUMNS: u16 = 84;

/// Columns of the keys, when they stand beside what they do.
const KEY_COLUMNS: usize = 20;

/// Below this width a key stands above what it does: the longest key and three words.
const BESIDE_COLUMNS: usize = 46;

/// Columns and rows that the frame and its margin take.
const FRAME: (u16, u16) = (4, 2);

/// Stands for the blue ticks.
const READ: &str = "read";

/// Every key, as the model knows them.
const HELP: [(&str, &str); 30] = [
    ("Enter", "send · open the selected chat"),
    ("Alt+Enter, Ctrl+J", "new line"),
    ("Tab", "chats ↔ message"),
    ("Ctrl+↑ Ctrl+↓", "previous, next chat"),
    ("PgUp PgDn", "scroll"),
    ("Ctrl+Home Ctrl+End", "first loaded, newest message"),
    ("Ctrl+N", "new chat"),
    ("Ctrl+F", "search all messages"),
    ("Ctrl+S", "safety number"),
    ("Ctrl+O", "choose a message of the chat"),
    ("Ctrl+P", "your devices: link another, revoke one"),
    ("Ctrl+R", "reach for the server now"),
    ("Esc", "close · back to the chats"),
    ("Ctrl+Q, Ctrl+C", "quit"),
    ("Ctrl+L", "draw the screen again"),
    ("", ""),
    ("in the list", "j k g G move · n new · / search · s safety · d devices · q quit"),
    (
        "on a message",
        "r answer · e edit · d delete · s save file · * star · 1-6 👍 ❤️ 😂 😮 😢 🙏, in a poll vote · 0 none",
    ),
    ("while typing", "Ctrl+A Ctrl+E ends of the line · Ctrl+W Ctrl+U Ctrl+K delete"),
    ("mouse", "click opens a chat, the wheel scrolls; hold Shift to select text"),
    ("", ""),
    ("◷", "waits in the outbox on this device"),
    ("✓", "the server has it on disk"),
    ("✓✓", "it is on their device"),
    (READ, "they have read it"),
    ("✗", "it was not sent; the reason stands below it"),
    ("◆", "you have compared safety numbers with them"),
    ("", ""),
    ("", "Messages are encrypted on this device for theirs;"),
    ("", "compare safety numbers once to know that it is them."),
];

/// One line of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) key: &'static str,
    /// What stands after the key, with the room between.
    pub(crate) text: String,
    /// The key is the sign of what was read.
    pub(crate) is_read: bool,
}

/// The page for a screen of so many columns. No line is wider than its frame.
pub(crate) fn lines(screen_columns: u16) -> Vec<Line> {
    let columns = usize::from(COLUMNS.min(screen_columns.saturating_sub(FRAME.0)));
    HELP.iter().flat_map(|(key, text)| entry(key, text, columns)).collect()
}

/// How far the page can be scrolled.
pub(crate) fn top_max((columns, rows): (u16, u16)) -> u16 {
    let lines = u16::try_from(lines(columns).len()).unwrap_or(u16::MAX);
    lines.saturating_sub(rows.saturating_sub(FRAME.1))
}

fn entry(key: &'static str, text: &'static str, columns: usize) -> Vec<Line> {
    let is_read = key == READ;
    let key = if is_read { "✓✓" } else { key };
    let line = |key: &'static str, text: String| Line { key, text, is_read };
    if columns < BESIDE_COLUMNS {
        let (indent, head) =
            if key.is_empty() { (0, None) } else { (2, Some(line(key, "".into()))) };
        let texts = wrapped(text, columns.saturating_sub(indent)).into_iter();
        let texts = texts.map(|part| line("", format!("{:indent$}{part}", "")));
        return head.into_iter().chain(texts).collect();
    }
    let pad = |key: &str| " ".repeat(KEY_COLUMNS.saturating_sub(width(key)));
    let parts = wrapped(text, columns - KEY_COLUMNS).into_iter().enumerate();
    parts
        .map(|(index, part)| {
            let key = if index == 0 { key } else { "" };
            line(key, format!("{}{part}", pad(key)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_its_frame_and_no_word_is_lost() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let all: Vec<String> = HELP.iter().flat_map(|(_, text)| words(text)).collect();
        for columns in [30, 40, 49, 50, 51, 80, 87, 88, 200] {
            let lines = lines(columns);
            let widest = lines.iter().map(|line| width(line.key) + width(&line.text)).max();
            assert!(widest <= Some(usize::from(COLUMNS.min(columns - FRAME.0))), "{columns}");
            let shown: Vec<String> = lines.iter().flat_map(|line| words(&line.text)).collect();
            assert_eq!(shown, all, "{columns}");
        }
    }

    #[test]
    fn the_page_scrolls_to_its_last_line_and_no_further() {
        let rows = u16::try_from(lines(80).len()).unwrap();
        assert_eq!(top_max((80, rows + FRAME.1)), 0);
        assert_eq!(top_max((80, rows + FRAME.1 - 1)), 1);
    }
}
