//! Keys on one message of the conversation: answer, react, edit, delete, star, vote, save its file.

use crossterm::event::{KeyCode, KeyEvent};
use godwit_base::MessageId;
use godwit_client::{Act, HistoryItem, Note, Quote};

use super::{Effect, Focus, Model, Status};
use crate::chat::field::Field;
use crate::text::one_line;

/// Reactions of the keys 1 to 6.
pub(crate) const REACTIONS: [&str; 6] = ["👍", "❤️", "😂", "😮", "😢", "🙏"];

/// What the text being typed will be, if no plain message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The answer to a message.
    Answer(Quote),
    /// Another text for a message of ours.
    Edit(MessageId),
}

impl Purpose {
    /// In a few words, for the line at the lower edge.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Answer(quote) => format!("answers “{}” · Esc: no", one_line(&quote.text)),
            Self::Edit(_) => "edits your message · Enter done · Esc: no".to_owned(),
        }
    }
}

impl Model {
    /// Goes to the newest message, to choose one.
    pub(super) fn choose(&mut self) {
        if self.conversation.as_ref().is_some_and(|open| !open.is_empty()) {
            self.focus = Focus::Messages;
            self.choose_by(0);
        }
    }

    fn choose_by(&mut self, by: isize) {
        let Some(mut open) = self.conversation.take() else { return };
        let (set, rows) = self.setting();
        open.choose(by, &set, rows);
        self.conversation = Some(open);
        self.read();
    }

    /// The keys of the chosen message.
    pub(super) fn chosen_key(&mut self, key: KeyEvent) {
        let was_asked = self.is_deleting.take();
        let chosen = self.conversation.as_ref().and_then(|open| open.chosen()).cloned();
        let Some(item) = chosen else { return self.unchoose() };
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.choose_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.choose_by(1),
            KeyCode::Esc => self.unchoose(),
            KeyCode::Enter | KeyCode::Char('r') => {
                self.begin(Purpose::Answer(item.quote()), None);
            }
            KeyCode::Char('e') => self.edit(&item),
            KeyCode::Char('d') => self.delete(&item, was_asked),
            KeyCode::Char('s') => self.save(&item),
            KeyCode::Char('*') => self.act(&item, Act::Star(!item.details.starred)),
            KeyCode::Char(sign @ '0'..='9') => self.digit(&item, sign),
            _ => {}
        }
    }

    fn unchoose(&mut self) {
        self.focus = Focus::Composer;
        if let Some(open) = &mut self.conversation {
            open.found = None;
        }
    }

    /// Types something that has a purpose; what was typed before goes.
    fn begin(&mut self, purpose: Purpose, text: Option<String>) {
        if let Some(text) = text {
            self.composer = Field::holding(text);
        }
        self.purpose = Some(purpose);
        self.unchoose();
    }

    /// The text is a plain message again.
    pub(super) fn no_purpose(&mut self) {
        if let Some(Purpose::Edit(_)) = self.purpose.take() {
            self.composer = Field::default();
        }
    }

    fn save(&mut self, item: &HistoryItem) {
        match &item.details.media {
            Some(media) => {
                let name = media.name.clone();
                self.status = Some(Status::Done(format!("saving {}", one_line(&name))));
                self.effects.push(Effect::Save { id: item.id, name });
            }
            None => self.trouble(&"this message has no file to save"),
        }
    }

    fn edit(&mut self, item: &HistoryItem) {
        match &item.text {
            Some(text) if item.is_outgoing() && item.details.poll.is_none() => {
                self.begin(Purpose::Edit(item.id), Some(text.clone()));
            }
            _ => self.trouble(&"only a text of yours can be edited"),
        }
    }

    fn delete(&mut self, item: &HistoryItem, was_asked: Option<MessageId>) {
        if !item.is_outgoing() || item.note == Some(Note::Deleted) {
            self.trouble(&"only a message of yours can be deleted");
        } else if was_asked == Some(item.id) {
            self.act(item, Act::Deletion);
        } else {
            self.is_deleting = Some(item.id);
            self.trouble(&"d again deletes it for everybody");
        }
    }

    /// A vote if it is a poll, else a reaction; 0 takes either back.
    fn digit(&mut self, item: &HistoryItem, sign: char) {
        let Some(number) = sign.to_digit(10) else { return };
        let act = match (&item.details.poll, number.checked_sub(1)) {
            (Some(_), None) => Act::Vote(Vec::new()),
            (None, None) => Act::Reaction(String::new()),
            (Some(poll), Some(option)) => {
                let is_mine =
                    |(_, o): &(u32, &godwit_client::PollOption)| o.voters.contains(&self.me.handle);
                let mine = (0..).zip(&poll.options).filter(is_mine).map(|(at, _)| at);
                let mut options: Vec<u32> = mine.filter(|_| poll.several).collect();
                match options.iter().position(|other| *other == option) {
                    Some(at) => drop(options.remove(at)),
                    None => options.push(option),
                }
                Act::Vote(options)
            }
            (None, Some(at)) => {
                let emoji = usize::try_from(at).ok().and_then(|at| REACTIONS.get(at));
                let Some(emoji) = emoji else { return };
                Act::Reaction((*emoji).to_owned())
            }
        };
        self.act(item, act);
    }

    fn act(&mut self, item: &HistoryItem, act: Act) {
        self.effects.push(Effect::Act { id: item.id, act });
        self.status = Some(Status::Done("done".to_owned()));
    }
}
