//! What belongs to a message beside its text: what it answers, what people say about it.

use godwit_base::{DeviceId, Handle, MessageId};
use serde::{Deserialize, Serialize};

use crate::{ChatId, HistoryItem, MediaInfo, MessageState, Note};

/// Everything about a message that most messages do not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// What it answers.
    pub reply_to: Option<Quote>,
    /// It was said in another chat before.
    pub forwarded: bool,
    /// Who is named in the text, in the order in which the sender named them.
    pub mentions: Vec<Mention>,
    /// The text is not the first one.
    pub edited: bool,
    /// One for each person, by handle.
    pub reactions: Vec<Reaction>,
    /// The user keeps it among the starred ones.
    pub starred: bool,
    /// Seconds from sending, or from reading, until it disappears; 0 is never.
    pub timer_s: u32,
    /// When it disappears, unix milliseconds; none before its clock runs.
    pub expires_at_ms: Option<u64>,
    /// A poll; its question is the message's text.
    pub poll: Option<Poll>,
    /// The file that it names; it is fetched by the message's id.
    pub media: Option<Box<MediaInfo>>,
    /// A message of this account to a group: how many have it; none while nobody is known to.
    pub reach: Option<Reach>,
}

/// How far a message to a group has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// So many members have it, each on one device at least.
    pub delivered: u32,
    /// So many have read it, as far as they say so.
    pub read: u32,
    /// Of so many others that there were when it was sent.
    pub of: u32,
}

impl Reach {
    /// What it makes of the message's state: delivered, or read, once all have, or have read, it. For
    /// drivers, which keep the state in the row that a core's write names.
    pub const fn state(self) -> Option<MessageState> {
        match self {
            Self { of: 0, .. } => None,
            Self { read, of, .. } if read >= of => Some(MessageState::Read),
            Self { delivered, of, .. } if delivered >= of => Some(MessageState::Delivered),
            _ => None,
        }
    }
}

/// What is said beside a text when it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// What it answers, and how that begins.
    pub reply_to: Option<Quote>,
    /// It was said in another chat before.
    pub forwarded: bool,
    /// Who is named in the text.
    pub mentions: Vec<Mention>,
}

/// The message that another one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Which message.
    pub id: MessageId,
    /// How it begins, for who does not have it. Its answerer says so: look at the message itself.
    pub text: String,
}

/// Somebody is named in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Who.
    pub handle: Handle,
    /// First byte of the name in the text.
    pub start: u32,
    /// Its length in bytes.
    pub bytes: u32,
}

/// What somebody thinks of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Who.
    pub from: Handle,
    /// In one sign.
    pub emoji: String,
}

/// A question with answers to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// The question.
    pub question: String,
    /// The answers, with who chose them.
    pub options: Vec<PollOption>,
    /// Whether a voter may choose more than one.
    pub several: bool,
}

/// One answer of a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollOption {
    /// The answer.
    pub text: String,
    /// Who chose it, by handle.
    pub voters: Vec<Handle>,
}

/// What a person says or does about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// Reacts to it with one sign; empty takes the reaction back.
    Reaction(String),
    /// Its author gives it another text.
    Edit(String),
    /// Its author takes it back everywhere.
    Deletion,
    /// Chooses answers of a poll, by their place from 0; none takes the vote back.
    Vote(Vec<u32>),
    /// Stars it, or no longer. Only our own devices know of it.
    Star(bool),
}

/// Somebody did something about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Order in which this device stored it, among the rows of messages; never below the message's.
    pub row: u64,
    /// Which message it is about.
    pub id: MessageId,
    /// The chat it is in.
    pub with: ChatId,
    /// Who did it.
    pub from: Handle,
    /// When, as its sender says, unix milliseconds.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

/// Something that came: a message, or what somebody did about one.
#[allow(
    clippy::large_enum_variant,
    reason = "messages are most of them; a box for each would be the dearer half"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrived {
    /// A message.
    Message(HistoryItem),
    /// Something about a message that came before it.
    Changed(Changed),
}

impl Arrived {
    /// The message, if it is one.
    pub const fn message(&self) -> Option<&HistoryItem> {
        match self {
            Self::Message(item) => Some(item),
            Self::Changed(_) => None,
        }
    }

    /// Its place in the order in which this device stored what came.
    pub const fn row(&self) -> u64 {
        match self {
            Self::Message(item) => item.row,
            Self::Changed(changed) => changed.row,
        }
    }
}

/// A message and how far it came at each recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The message.
    pub message: HistoryItem,
    /// To whom it went; empty for what others sent.
    pub recipients: Vec<Recipient>,
    /// Why it is not known to whom, or how far it came there; `recipients` is empty then.
    #[serde(default)]
    pub unknown: Option<String>,
}

/// Those to whom a message to a group went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipients {
    /// The members when it was sent, this account apart.
    pub list: Vec<Recipient>,
    /// Why there is no list.
    pub unknown: Option<String>,
}

/// Somebody to whom a message went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Who.
    pub handle: Handle,
    /// How far it came there.
    pub state: MessageState,
    /// For which of their devices it was sealed, and whether those have it; none once this device
    /// does not know it any more, or if another device of this account sent it.
    pub devices: Vec<(DeviceId, bool)>,
}

/// What is set for this account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Others are told what was read, and this account what they have read.
    pub receipts: bool,
    /// Who may see when this account is online, and that it types.
    pub presence: crate::Visibility,
    /// The chats whose messages disappear, and after how many seconds.
    pub timers: Vec<(ChatId, u32)>,
}

impl HistoryItem {
    /// What it says in one line of a list: its text, or the name of its file.
    pub fn preview(&self) -> Option<&str> {
        let file = self.details.media.as_ref().map(|media| media.name.as_str());
        self.text.as_deref().or(file)
    }

    /// What an answer to it quotes.
    pub fn quote(&self) -> Quote {
        let text = self.preview().unwrap_or_default();
        Quote { id: self.id, text: crate::core::quoted(text).to_owned() }
    }

    /// Takes into account what somebody did about this message. What does not fit it changes nothing.
    pub fn apply(&mut self, changed: &Changed) {
        let Changed { from, act, .. } = changed;
        let is_deleted = self.note == Some(Note::Deleted);
        match act {
            _ if is_deleted => {}
            Act::Reaction(emoji) => {
                self.details.reactions.retain(|reaction| reaction.from != *from);
                if !emoji.is_empty() {
                    let reaction = Reaction { from: from.clone(), emoji: emoji.clone() };
                    self.details.reactions.push(reaction);
                }
                self.details.reactions.sort_by(|a, b| a.from.cmp(&b.from));
            }
            Act::Edit(text) => {
                if self.text.is_some() && self.details.poll.is_none() {
                    self.text = Some(text.clone());
                    self.details.edited = true;
                    self.details.mentions.clear(); // they were ranges of the former text
                }
            }
            Act::Deletion => {
                (self.text, self.note) = (None, Some(Note::Deleted));
                self.details = Details::default();
            }
            Act::Vote(options) => {
                if let Some(poll) = &mut self.details.poll {
                    poll.vote(from, options);
                }
            }
            Act::Star(on) => self.details.starred = *on,
        }
    }
}

impl Poll {
    /// Whether such a vote counts.
    pub fn takes(&self, options: &[u32]) -> bool {
        let is_one =
            |option: &u32| usize::try_from(*option).is_ok_and(|at| at < self.options.len());
        (self.several || options.len() <= 1) && options.iter().all(is_one)
    }

    /// Takes a vote in place of an earlier one of the same person. A vote for an answer that there is
    /// not, or for several where one is asked for, counts for none.
    fn vote(&mut self, from: &Handle, options: &[u32]) {
        let is_valid = self.takes(options);
        for (at, option) in (0_u32..).zip(&mut self.options) {
            option.voters.retain(|voter| voter != from);
            if is_valid && options.contains(&at) {
                option.voters.push(from.clone());
                option.voters.sort();
            }
        }
    }
}
