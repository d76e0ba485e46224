//! A text being typed, with a cursor that moves by what people see as one character.

use unicode_segmentation::UnicodeSegmentation;

use crate::text;

/// Largest text that can be typed or pasted, bytes. More than a message holds, so that the client
/// says so and nothing is cut unseen.
const FIELD_BYTES_MAX: usize = 256 * 1024;

/// A text and a cursor in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Field {
    text: String,
    /// Byte offset, always on the border of a grapheme.
    cursor: usize,
}

impl Field {
    /// A field that holds a text already, the cursor at its end.
    pub(crate) fn holding(text: String) -> Self {
        Self { cursor: text.len(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Empties the field and returns what it held.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts text in at the cursor; false if it would be too much, then nothing changes.
    pub(crate) fn insert(&mut self, text: &str) -> bool {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        if self.text.len() + text.len() > FIELD_BYTES_MAX {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        // What was put in may have joined what follows to one grapheme: go to its border.
        self.cursor = self.border_at_or_after(self.cursor);
        true
    }

    pub(crate) fn delete_before(&mut self) {
        let start = self.before();
        self.remove(start, self.cursor);
    }

    pub(crate) fn delete_after(&mut self) {
        let end = self.after();
        self.remove(self.cursor, end);
    }

    pub(crate) fn delete_word_before(&mut self) {
        let start = self.word_before();
        self.remove(start, self.cursor);
    }

    /// Deletes from the start of the line to the cursor.
    pub(crate) fn delete_line_before(&mut self) {
        let start = self.line_start();
        self.remove(start, self.cursor);
    }

    /// Deletes from the cursor to the end of the line.
    pub(crate) fn delete_line_after(&mut self) {
        let end = self.line_end();
        self.remove(self.cursor, end);
    }

    pub(crate) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(crate) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    pub(crate) fn word_right(&mut self) {
        let rest = self.tail();
        let word = rest.split_word_bound_indices().find(|(_, piece)| !piece.trim().is_empty());
        self.cursor = word.map_or(self.text.len(), |(at, piece)| self.cursor + at + piece.len());
    }

    /// To the start of the line.
    pub(crate) fn home(&mut self) {
        self.cursor = self.line_start();
    }

    /// To the end of the line.
    pub(crate) fn end(&mut self) {
        self.cursor = self.line_end();
    }

    /// One line up; false if the cursor is in the first one.
    pub(crate) fn up(&mut self) -> bool {
        let start = self.line_start();
        let Some(end) = start.checked_sub(1) else { return false };
        let column = text::width(self.slice(start, self.cursor));
        let above = self.slice(0, end).rfind('\n').map_or(0, |at| at + 1);
        self.cursor = above + text::split_at_width(self.slice(above, end), column).0.len();
        true
    }

    /// One line down; false if the cursor is in the last one.
    pub(crate) fn down(&mut self) -> bool {
        let end = self.line_end();
        if end == self.text.len() {
            return false;
        }
        let column = text::width(self.slice(self.line_start(), self.cursor));
        let below = end + 1;
        let until =
            self.slice(below, self.text.len()).find('\n').map_or(self.text.len(), |at| below + at);
        self.cursor = below + text::split_at_width(self.slice(below, until), column).0.len();
        true
    }

    /// The text broken into screen lines of at most `columns`, and where the cursor stands in
    /// them: (line, column). Breaks between words where it can. Nothing is left out but the space at a
    /// break for which there is no column: the cursor has a place before and after it.
    pub(crate) fn layout(&self, columns: usize) -> (Vec<String>, (usize, usize)) {
        // The last column stays free for the cursor.
        let room = columns.max(2) - 1;
        let mut lines = Vec::new();
        let mut place = (0, 0);
        let mut start = 0;
        for paragraph in self.text.split('\n') {
            for (at, end, shown) in broken(paragraph, room) {
                let (from, to) = (start + at, start + end);
                // At a break the cursor stands before what comes next.
                if from <= self.cursor {
                    let before = text::printable(self.slice(from, self.cursor.min(to)));
                    place = (lines.len(), text::width(&before).min(room));
                }
                lines.push(shown);
            }
            start += paragraph.len() + 1;
        }
        (lines, place)
    }

    fn before(&self) -> usize {
        self.slice(0, self.cursor).grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.cursor + self.tail().graphemes(true).next().map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let head = self.slice(0, self.cursor);
        let word = head.split_word_bound_indices().rfind(|(_, piece)| !piece.trim().is_empty());
        word.map_or(0, |(at, _)| at)
    }

    fn line_start(&self) -> usize {
        self.slice(0, self.cursor).rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.tail().find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.text.replace_range(start..end, "");
        // What now stands together may be one grapheme.
        self.cursor = self.border_at_or_after(start);
    }

    fn border_at_or_after(&self, at: usize) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(border, _)| border)
            .find(|border| *border >= at)
            .unwrap_or(self.text.len())
    }

    fn tail(&self) -> &str {
        self.slice(self.cursor, self.text.len())
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// A paragraph in lines of at most `room` columns: first and last byte of each, and how it is shown.
/// At least one; after a break at its very end an empty one.
fn broken(paragraph: &str, room: usize) -> Vec<(usize, usize, String)> {
    let mut lines = Vec::new();
    let (mut start, mut line, mut used) = (0, String::new(), 0);
    // Where the line could be broken: after its last space, in bytes of text and of what is shown.
    let mut after_space = None;
    for (at, grapheme) in paragraph.grapheme_indices(true) {
        let shown = text::printable(grapheme);
        let wide = text::width(&shown);
        let end = at + grapheme.len();
        if used + wide > room && grapheme == " " {
            lines.push((start, end, std::mem::take(&mut line)));
            (start, used, after_space) = (end, 0, None);
            continue;
        }
        if used + wide > room && used > 0 {
            let (at, cut) = after_space.take().unwrap_or((at, line.len()));
            let rest = line.split_off(cut);
            lines.push((start, at, std::mem::replace(&mut line, rest)));
            (start, used) = (at, text::width(&line));
        }
        line.push_str(&shown);
        used += wide;
        if grapheme == " " {
            after_space = Some((end, line.len()));
        }
    }
    lines.push((start, paragraph.len(), line));
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(text: &str) -> Field {
        Field::holding(text.to_owned())
    }

    #[test]
    fn the_cursor_moves_by_what_people_see() {
        let mut f = field("a👩‍👩‍👧e\u{301}");
        f.left();
        assert_eq!(f.cursor, "a👩‍👩‍👧".len());
        f.left();
        assert_eq!(f.cursor, 1);
        f.delete_after();
        assert_eq!(f.text(), "ae\u{301}");
        f.end();
        f.delete_before();
        assert_eq!(f.text(), "a");
    }

    #[test]
    fn words_and_lines_are_deleted_whole() {
        let mut f = field("one two\nthree four");
        f.delete_word_before();
        assert_eq!(f.text(), "one two\nthree ");
        f.delete_line_before();
        assert_eq!(f.text(), "one two\n");
        f.left();
        f.home();
        f.delete_line_after();
        assert_eq!(f.text(), "\n");
        f.delete_word_before();
        assert_eq!(f.text(), "\n");
    }

    #[test]
    fn up_and_down_keep_the_column_and_say_when_they_cannot() {
        let mut f = field("abc\n你好\nabcd");
        assert!(f.up());
        assert_eq!(f.cursor, "abc\n你好".len());
        f.left();
        assert!(f.up());
        assert_eq!(f.cursor, 2);
        assert!(!f.up());
        assert!(f.down() && f.down() && !f.down());
        assert_eq!(f.cursor, "abc\n你好\nab".len());
    }

    #[test]
    fn pasted_line_ends_become_ours_and_too_much_is_refused_whole() {
        let mut f = Field::default();
        assert!(f.insert("a\r\nb\rc"));
        assert_eq!(f.text(), "a\nb\nc");
        assert!(f.insert(&"x".repeat(FIELD_BYTES_MAX - 5)));
        assert!(!f.insert("y"));
        assert_eq!(f.take().len(), FIELD_BYTES_MAX);
        assert_eq!(f, Field::default());
    }

    #[test]
    fn layout_wraps_by_width_and_places_the_cursor() {
        assert_eq!(field("").layout(5), (vec![String::new()], (0, 0)));
        assert_eq!(field("abcd").layout(5), (vec!["abcd".into()], (0, 4)));
        assert_eq!(field("abcde").layout(5), (vec!["abcd".into(), "e".into()], (1, 1)));
        assert_eq!(field("你好吗").layout(5), (vec!["你好".into(), "吗".into()], (1, 2)));
        assert_eq!(field("a\n").layout(5), (vec!["a".into(), String::new()], (1, 0)));
        let mut start = field("ab\ncd");
        start.up();
        start.home();
        assert_eq!(start.layout(5).1, (0, 0));
        assert_eq!(field("a\u{1b}b").layout(9).0, ["a␛b"]);
        assert_eq!(field("to be or").layout(6), (vec!["to be".into(), "or".into()], (1, 2)));
        assert_eq!(field("so true it").layout(6).0, ["so ", "true ", "it"]);
        assert_eq!(field("so true").layout(6), (vec!["so ".into(), "true".into()], (1, 4)));
        assert_eq!(field("to be ").layout(6), (vec!["to be".into(), String::new()], (1, 0)));
        let mut before_the_space = field("to be ");
        before_the_space.left();
        assert_eq!(before_the_space.layout(6).1, (0, 5));
        assert_eq!(field("a wonderful").layout(6).0, ["a ", "wonde", "rful"]);
    }

    proptest! {
        #[test]
        fn any_keys_keep_the_cursor_on_a_border(
            pieces in proptest::collection::vec("[a你\n\u{301}👍\u{200d} ]{1,3}", 0..8),
            keys in proptest::collection::vec(0u8..14, 0..40),
        ) {
            let mut f = Field::default();
            let mut pieces = pieces.into_iter().cycle();
            for key in keys {
                match key {
                    0 => f.left(),
                    1 => f.right(),
                    2 => f.home(),
                    3 => f.end(),
                    4 => f.delete_before(),
                    5 => f.delete_after(),
                    6 => f.delete_word_before(),
                    7 => f.word_left(),
                    8 => f.word_right(),
                    9 => { f.up(); }
                    10 => { f.down(); }
                    11 => f.delete_line_after(),
                    12 => f.delete_line_before(),
                    _ => { f.insert(&pieces.next().unwrap_or_default()); }
                }
                prop_assert!(f.text.is_char_boundary(f.cursor));
                let (lines, (line, column)) = f.layout(6);
                prop_assert!(line < lines.len() && column < 6);
            }
        }
    }
}
