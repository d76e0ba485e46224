//! What keys do. The help page lists the same.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use godwit_client::Act;

use super::{Effect, Focus, Model, Overlay, Place, Purpose, Search, Status};
use crate::chat::field::Field;
use crate::chat::help;

/// Messages scrolled by a key press on the help page or the mouse wheel, lines.
pub(super) const WHEEL_LINES: usize = 3;

/// Lines of a page of the help: fewer than the smallest screen shows.
const HELP_PAGE_LINES: i16 = 8;

impl Model {
    pub(super) fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let is_leaving = std::mem::take(&mut self.is_leaving);
        self.status = None;
        match (key.code, key.modifiers) {
            (KeyCode::Char('c'), KeyModifiers::CONTROL) => self.leave(is_leaving),
            (KeyCode::Char('q'), KeyModifiers::CONTROL) => self.leave(is_leaving),
            (KeyCode::Char('l'), KeyModifiers::CONTROL) => self.effects.push(Effect::Redraw),
            _ if self.overlay.is_some() => self.overlay_key(key),
            _ if self.common_key(key) => {}
            _ if self.focus == Focus::Chats => self.chats_key(key),
            _ if self.focus == Focus::Messages => self.chosen_key(key),
            _ => self.composer_key(key),
        }
    }

    pub(super) fn paste(&mut self, text: &str) {
        let fits = match &mut self.overlay {
            Some(Overlay::NewChat { field, .. }) => field.insert(text.trim()),
            Some(Overlay::Search(search)) => search.field.insert(&text.replace('\n', " ")),
            Some(Overlay::Devices(_)) => self.paste_code(text),
            Some(_) => true,
            None if self.conversation.is_some() => {
                self.focus = Focus::Composer;
                self.composer.insert(text)
            }
            None => true,
        };
        if !fits {
            self.trouble(&"too much to paste here: send a file's lines with `godwit send --lines`");
        }
        self.search_again();
    }

    fn leave(&mut self, is_leaving: bool) {
        if self.composer.is_blank() || is_leaving {
            self.is_over = true;
        } else {
            self.is_leaving = true;
            self.trouble(&"the text is not sent: Enter sends it, Ctrl+C again leaves");
        }
    }

    /// Keys that mean the same in the list and in the composer; false if this is none of them.
    fn common_key(&mut self, key: KeyEvent) -> bool {
        let alt_or_ctrl = key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::CONTROL);
        match (key.code, key.modifiers) {
            (KeyCode::F(1), _) => self.overlay = Some(Overlay::Help { top: 0 }),
            (KeyCode::Char('n'), KeyModifiers::CONTROL) => self.new_chat(),
            (KeyCode::Char('f'), KeyModifiers::CONTROL) => self.search(),
            (KeyCode::Char('s'), KeyModifiers::CONTROL) => self.safety(),
            (KeyCode::Char('o'), KeyModifiers::CONTROL) => self.choose(),
            (KeyCode::Char('p'), KeyModifiers::CONTROL) => self.show_devices(),
            (KeyCode::Char('r'), KeyModifiers::CONTROL) => self.effects.push(Effect::DialNow),
            (KeyCode::Tab | KeyCode::BackTab, _) => self.switch_focus(),
            (KeyCode::Up, _) if alt_or_ctrl => self.open_neighbour(-1),
            (KeyCode::Down, _) if alt_or_ctrl => self.open_neighbour(1),
            (KeyCode::PageUp, _) => self.scroll(-(self.page_lines())),
            (KeyCode::PageDown, _) => self.scroll(self.page_lines()),
            (KeyCode::Home, KeyModifiers::CONTROL) => self.scroll(isize::MIN),
            (KeyCode::End, KeyModifiers::CONTROL) => self.scroll_to_end(),
            _ => return false,
        }
        true
    }

    fn chats_key(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.chats.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.chats.step(1),
            KeyCode::Home | KeyCode::Char('g') => self.chats.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.chats.step(isize::MAX),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => self.open_selected(),
            KeyCode::Esc if self.conversation.is_some() => self.focus = Focus::Composer,
            KeyCode::Char('n') => self.new_chat(),
            KeyCode::Char('/') => self.search(),
            KeyCode::Char('s') => self.safety(),
            KeyCode::Char('d') => self.show_devices(),
            KeyCode::Char('?') => self.overlay = Some(Overlay::Help { top: 0 }),
            KeyCode::Char('q') => self.leave(false),
            _ => {}
        }
    }

    fn composer_key(&mut self, key: KeyEvent) {
        let has = |modifier| key.modifiers.contains(modifier);
        match key.code {
            KeyCode::Enter if has(KeyModifiers::ALT) || has(KeyModifiers::SHIFT) => {
                self.composer.insert("\n");
            }
            KeyCode::Char('j') if has(KeyModifiers::CONTROL) => {
                self.composer.insert("\n");
            }
            KeyCode::Enter => self.send(),
            KeyCode::Esc if self.purpose.is_some() => self.no_purpose(),
            KeyCode::Esc => self.focus = Focus::Chats,
            KeyCode::Up if !self.composer.up() => self.scroll(-1),
            KeyCode::Down if !self.composer.down() => self.scroll(1),
            KeyCode::Up | KeyCode::Down => {}
            _ => {
                field_key(&mut self.composer, key);
                self.typed();
            }
        }
    }

    fn overlay_key(&mut self, key: KeyEvent) {
        if key.code == KeyCode::Esc
            || (key.code, key.modifiers) == (KeyCode::F(1), KeyModifiers::NONE)
        {
            if !self.leaves_step() {
                self.overlay = None;
                self.read();
            }
            return;
        }
        match &mut self.overlay {
            Some(Overlay::Help { .. }) => match key.code {
                KeyCode::Up | KeyCode::Char('k') => self.scroll_help(-1),
                KeyCode::Down | KeyCode::Char('j') => self.scroll_help(1),
                KeyCode::PageUp => self.scroll_help(-HELP_PAGE_LINES),
                KeyCode::PageDown | KeyCode::Char(' ') => self.scroll_help(HELP_PAGE_LINES),
                _ => self.overlay = None,
            },
            Some(Overlay::NewChat { field, problem }) => {
                if key.code == KeyCode::Enter {
                    self.begin_chat();
                } else if field_key(field, key) {
                    *problem = None;
                }
            }
            Some(Overlay::Search(_)) => self.search_key(key),
            Some(Overlay::Devices(_)) => self.devices_key(key),
            Some(Overlay::Safety { with, number: Some(_) }) if key.code == KeyCode::Char('v') => {
                let with = with.clone();
                let verified = !self.chats.get(&with).is_some_and(|chat| chat.verified);
                self.effects.push(Effect::SetVerified { with, verified });
            }
            _ => {}
        }
    }

    /// Scrolls the help page, and no further than its last line.
    pub(super) fn scroll_help(&mut self, lines: i16) {
        let last = help::top_max(self.size);
        if let Some(Overlay::Help { top }) = &mut self.overlay {
            *top = top.saturating_add_signed(lines).min(last);
        }
    }

    fn begin_chat(&mut self) {
        let Some(Overlay::NewChat { field, problem }) = &mut self.overlay else { return };
        match field.text().trim().trim_start_matches('@').parse() {
            Ok(with) if with == self.me.handle => *problem = Some("that is you".to_owned()),
            Ok(with) => {
                self.overlay = None;
                self.open(&with, Place::Newest);
            }
            Err(error) => *problem = Some(error.to_string()),
        }
    }

    fn search_key(&mut self, key: KeyEvent) {
        let Some(Overlay::Search(search)) = &mut self.overlay else { return };
        match key.code {
            KeyCode::Up => search.selected = search.selected.saturating_sub(1),
            KeyCode::Down => {
                let last = search.hits.len().saturating_sub(1);
                search.selected = (search.selected + 1).min(last);
            }
            KeyCode::Enter => {
                if let Some(hit) = search.hits.get(search.selected) {
                    let (with, row) = (hit.with.clone(), hit.row);
                    self.overlay = None;
                    self.open(&with, Place::Around(row));
                }
            }
            _ => {
                if field_key(&mut search.field, key) {
                    self.search_again();
                }
            }
        }
    }

    /// Asks for what is now in the search field, if it is another text.
    fn search_again(&mut self) {
        let Some(Overlay::Search(search)) = &mut self.overlay else { return };
        let text = search.field.text().to_owned();
        if text.trim().is_empty() {
            *search = Search { field: std::mem::take(&mut search.field), ..Search::default() };
        } else if text != search.answered {
            self.effects.push(Effect::Search { text });
        }
    }

    fn send(&mut self) {
        if self.composer.is_blank() {
            return;
        }
        let Some(open) = &mut self.conversation else { return };
        let to = open.with.clone();
        let was_behind = open.has_newer();
        open.follow();
        let text = self.composer.take().trim_end().to_owned();
        self.effects.push(match self.purpose.take() {
            None => Effect::Send { to, text },
            Some(Purpose::Answer(reply_to)) => Effect::Answer { to, text, reply_to },
            Some(Purpose::Edit(id)) => Effect::Act { id, act: Act::Edit(text) },
        });
        self.typed(); // what was typed is sent
        if was_behind {
            self.load(Place::Newest);
        }
        self.read();
    }

    fn new_chat(&mut self) {
        self.overlay = Some(Overlay::NewChat { field: Field::default(), problem: None });
    }

    fn search(&mut self) {
        self.overlay = Some(Overlay::Search(Search::default()));
    }

    /// The safety number of the open chat, or of the one selected.
    fn safety(&mut self) {
        let open = self.conversation.as_ref().map(|open| &open.with);
        let with = match self.focus {
            Focus::Chats => self.chats.selected_handle().or(open),
            Focus::Messages | Focus::Composer => open,
        };
        match with.cloned() {
            Some(with) => {
                self.effects.push(Effect::LoadSafety { with: with.clone() });
                self.overlay = Some(Overlay::Safety { with, number: None });
            }
            None => self.status = Some(Status::Done("open a chat first: n starts one".to_owned())),
        }
    }

    fn switch_focus(&mut self) {
        self.focus = match self.focus {
            Focus::Chats if self.conversation.is_some() => Focus::Composer,
            _ => Focus::Chats,
        };
        self.read();
    }

    pub(super) fn open_selected(&mut self) {
        if let Some(with) = self.chats.selected_handle().cloned() {
            if self.conversation.as_ref().is_some_and(|open| open.with == with) {
                self.focus = Focus::Composer;
                self.read();
            } else {
                self.open(&with, Place::Newest);
            }
        }
    }

    fn open_neighbour(&mut self, by: isize) {
        if let Some(open) = &self.conversation {
            self.chats.select(&open.with.clone());
        }
        self.chats.step(by);
        self.open_selected();
    }

    fn page_lines(&self) -> isize {
        let rows = self.setting().1.saturating_sub(2).max(1);
        isize::try_from(rows).unwrap_or(1)
    }

    /// Scrolls the conversation by lines, up if negative.
    pub(super) fn scroll(&mut self, lines: isize) {
        let Some(mut open) = self.conversation.take() else { return };
        let (set, rows) = self.setting();
        if lines < 0 {
            open.scroll_up(lines_up(lines), &set, rows);
        } else {
            open.scroll_down(lines.unsigned_abs(), &set);
        }
        self.conversation = Some(open);
        self.read();
    }

    fn scroll_to_end(&mut self) {
        let Some(open) = &mut self.conversation else { return };
        open.follow();
        if open.has_newer() {
            self.load(Place::Newest);
        }
        self.read();
    }
}

/// Lines that one key may scroll: more than a full window of the tallest messages.
const SCROLL_LINES_MAX: usize = 1_000_000;

fn lines_up(lines: isize) -> usize {
    lines.unsigned_abs().min(SCROLL_LINES_MAX)
}

/// Keys that edit a field; false if the text stayed the same.
pub(super) fn field_key(field: &mut Field, key: KeyEvent) -> bool {
    let before = field.text().len();
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    let by_word = key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('a') if is_control => field.home(),
        KeyCode::Char('e') if is_control => field.end(),
        KeyCode::Char('w') if is_control => field.delete_word_before(),
        KeyCode::Char('u') if is_control => field.delete_line_before(),
        KeyCode::Char('k') if is_control => field.delete_line_after(),
        KeyCode::Char('d') if is_control => field.delete_after(),
        KeyCode::Char('h') if is_control => field.delete_before(),
        KeyCode::Char(c) if !by_word => {
            field.insert(c.encode_utf8(&mut [0; 4]));
        }
        KeyCode::Backspace if by_word => field.delete_word_before(),
        KeyCode::Backspace => field.delete_before(),
        KeyCode::Delete => field.delete_after(),
        KeyCode::Left if by_word => field.word_left(),
        KeyCode::Right if by_word => field.word_right(),
        KeyCode::Left => field.left(),
        KeyCode::Right => field.right(),
        KeyCode::Home => field.home(),
        KeyCode::End => field.end(),
        _ => {}
    }
    field.text().len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_scrolls_so_many_lines_and_no_more() {
        assert_eq!(lines_up(-999_999), SCROLL_LINES_MAX - 1);
        assert_eq!(lines_up(-1_000_000), SCROLL_LINES_MAX);
        assert_eq!(lines_up(-1_000_001), SCROLL_LINES_MAX);
        assert_eq!(lines_up(isize::MIN), SCROLL_LINES_MAX);
    }
}
