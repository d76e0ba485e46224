//! Text from other people, made safe and measurable for a terminal.
//!
//! A terminal obeys control characters: a message must never move the cursor, change the title or
//! reverse the line it stands in.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

/// Somebody by handle and by what they call themselves. The handle comes first: anybody may call
/// themselves anything.
pub(crate) fn named(handle: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{handle} ({})", one_line(name)),
        None => handle.to_owned(),
    }
}

/// The text with every character that would drive the terminal replaced by one that shows it:
/// control characters by their pictures (U+2400 block), marks that reorder a line by U+FFFD. Line
/// ends stay; a tab becomes four spaces, so that its width is known.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_unsafe(c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push('\n'),
            '\t' => safe.push_str("    "),
            '\r' => {}
            '\u{7f}' => safe.push('\u{2421}'),
            '\0'..='\u{1f}' => safe.extend(char::from_u32(0x2400 + u32::from(c))),
            c if is_unsafe(c) => safe.push(char::REPLACEMENT_CHARACTER),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// [`printable`], on one line: line ends become spaces.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    match printable(text) {
        safe if safe.contains('\n') => Cow::Owned(safe.replace('\n', " ")),
        safe => safe,
    }
}

/// A number with a comma between each three digits.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Whether it would drive the terminal.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        // Line and paragraph separators, and the marks that embed, override or isolate direction.
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that the text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to at most `columns`, with `…` in place of what was cut.
pub(crate) fn fitted(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (head, _) = split_at_width(text, columns.saturating_sub(1));
    Cow::Owned(if columns == 0 { String::new() } else { format!("{head}…") })
}

/// Splits before the first grapheme that does not fit into `columns`.
pub(crate) fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    use unicode_segmentation::UnicodeSegmentation;
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += width(grapheme);
        if used > columns {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// Breaks text into lines of at most `columns`, between words where it can, within a word where
/// it must. Line ends in the text stay line ends; spaces at a break are dropped. Never empty.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<&str> {
    let columns = columns.max(2); // the widest grapheme must fit
    let mut lines = Vec::new();
    for mut rest in text.split('\n') {
        loop {
            let (head, tail) = split_at_width(rest, columns);
            if tail.is_empty() {
                lines.push(head);
                break;
            }
            let (line, next) = break_between_words(rest, head);
            lines.push(line);
            rest = next;
        }
    }
    lines
}

/// `head` is the part of `rest` that fits; something follows. Returns the line and what is left.
fn break_between_words<'a>(rest: &'a str, head: &'a str) -> (&'a str, &'a str) {
    let tail = rest.get(head.len()..).unwrap_or_default();
    if tail.starts_with(' ') || head.ends_with(' ') && !head.trim().is_empty() {
        return (head.trim_end_matches(' '), tail.strip_prefix(' ').unwrap_or(tail));
    }
    match head.rfind(' ').map(|space| head.split_at(space)) {
        Some((line, _)) if !line.trim().is_empty() => {
            (line.trim_end_matches(' '), rest.get(line.len() + 1..).unwrap_or_default())
        }
        // One grapheme wider than the screen still makes progress.
        _ if head.is_empty() => split_at_width(rest, 2),
        _ => (head, tail),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_by_threes() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        assert_eq!(printable("plain, ålice 你好 👍\nsecond"), "plain, ålice 你好 👍\nsecond");
        assert_eq!(printable("\u{1b}[2Jgone\u{7}"), "␛[2Jgone␇");
        assert_eq!(printable("a\tb\r\n\u{7f}\u{9b}31m"), "a    b\n␡\u{fffd}31m");
        assert_eq!(printable("evil\u{202e}txt.exe"), "evil\u{fffd}txt.exe");
        assert_eq!(one_line("a\nb\u{2028}c"), "a b\u{fffd}c");
    }

    #[test]
    fn fitting_counts_columns_not_bytes() {
        assert_eq!(fitted("hello", 5), "hello");
        assert_eq!(fitted("hello", 4), "hel…");
        assert_eq!(fitted("你好吗", 6), "你好吗");
        assert_eq!(fitted("你好吗", 5), "你好…");
        assert_eq!(fitted("你好吗", 4), "你…");
        assert_eq!(fitted("hello", 0), "");
    }

    #[test]
    fn lines_break_between_words_and_inside_long_ones() {
        assert_eq!(wrapped("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrapped("the quickest", 9), ["the", "quickest"]);
        assert_eq!(wrapped("one  two", 5), ["one", "two"]);
        assert_eq!(wrapped("    indented", 8), ["    inde", "nted"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("a\n\nb", 4), ["a", "", "b"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("你好吗", 4), ["你好", "吗"]);
        assert_eq!(wrapped("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 2).len(), 2);
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_word_and_never_overflows(text in "[a-c你👍 \n]{0,60}", columns in 2usize..12) {
            let lines = wrapped(&text, columns);
            for line in &lines {
                prop_assert!(width(line) <= columns, "{line:?} in {columns}");
            }
            let kept = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(kept(&lines.join(" ")), kept(&text));
        }

        #[test]
        fn printable_text_has_no_control_characters(text in any::<String>()) {
            let safe = printable(&text);
            let has_unsafe = safe.chars().any(|c| c != '\n' && is_unsafe(c));
            prop_assert!(!has_unsafe);
        }
    }
}
