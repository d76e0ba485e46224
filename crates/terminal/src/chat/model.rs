//! The messenger as a value: what is open, typed and known. [`Model::update`] takes one wake-up and
//! returns what is to be done; nothing here touches a terminal, a clock or the client.

mod chats;
mod chosen;
mod devices;
mod happen;
mod keys;
mod mouse;

use std::collections::HashMap;
use std::path::PathBuf;

use crossterm::event::Event as Input;
use godwit_base::MessageId;
use godwit_client::{
    Act, ChatId, ChatSummary, ConnectionState, DeviceInfo, Error, Event, HistoryItem,
    HistoryProgress, LinkId, LinkingState, Me, MessageState, Presence, Quote, SafetyNumber,
};

pub(crate) use self::chats::Chats;
pub(crate) use self::chosen::Purpose;
pub(crate) use self::devices::{Devices, Step};
use super::bubble::Setting;
use super::conversation::Conversation;
use super::field::Field;
use super::geometry::Geometry;
use crate::time::LocalTime;

/// A chat counts as shown for a minute: said anew with every tick of half of one.
const WATCH_AGAIN_MS: u64 = 25_000;

/// Keys are told so often.
const TYPED_AGAIN_MS: u64 = 2_000;

/// Everything that wakes the messenger.
#[allow(clippy::large_enum_variant, reason = "one is there at a time")]
#[derive(Debug)]
pub(crate) enum Wakeup {
    /// The system asks us to end.
    Stop,
    /// A key, the mouse, a paste, a new size.
    Input(Input),
    /// Something that was to be done is done.
    Done(Outcome),
    /// The client tells.
    Client(Event),
    /// Time passed that the screen shows.
    Tick,
}

/// Something to be done, in order, one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    LoadChats,
    LoadPage {
        with: ChatId,
        place: Place,
    },
    Send {
        to: ChatId,
        text: String,
    },
    /// A text that answers a message.
    Answer {
        to: ChatId,
        text: String,
        reply_to: Quote,
    },
    Act {
        id: MessageId,
        act: Act,
    },
    /// Saves the file of a message; beside everything else.
    Save {
        id: MessageId,
        name: String,
    },
    MarkRead {
        with: ChatId,
    },
    Search {
        text: String,
    },
    LoadSafety {
        with: ChatId,
    },
    SetVerified {
        with: ChatId,
        verified: bool,
    },
    /// The chat is shown; say so from time to time.
    Watch {
        with: ChatId,
    },
    Unwatch {
        with: ChatId,
    },
    /// Somebody types here, or has stopped.
    Types {
        with: ChatId,
        on: bool,
    },
    /// The account's devices, and how far linking is.
    LoadDevices,
    /// Begins to link the device that shows this code.
    ApproveLink {
        code: String,
    },
    /// Both devices show the same digits.
    ConfirmLink {
        link: LinkId,
        with_history: bool,
    },
    CancelLink {
        link: LinkId,
    },
    /// Takes a device off the account; beside everything else.
    Revoke {
        device: u32,
    },
    /// Try to reach the server without waiting any longer.
    DialNow,
    /// Draw every cell again: something else wrote on the terminal.
    Redraw,
}

/// Which messages of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Newest,
    Before(u64),
    After(u64),
    Around(u64),
}

/// What came of an effect.
#[derive(Debug)]
pub(crate) enum Outcome {
    Chats(Result<Vec<ChatSummary>, Error>),
    Saved(Result<PathBuf, Error>),
    Page {
        with: ChatId,
        place: Place,
        page: Result<Vec<HistoryItem>, Error>,
    },
    Sent {
        to: ChatId,
        text: String,
        sent: Result<MessageId, Error>,
    },
    Acted {
        act: Act,
        done: Result<MessageId, Error>,
    },
    MarkedRead(Result<(), Error>),
    Dialled(Result<(), Error>),
    Watched {
        with: ChatId,
        presence: Result<Option<Presence>, Error>,
    },
    /// Whether it was told is nothing to trouble anybody with.
    Told,
    Found {
        text: String,
        hits: Result<Vec<HistoryItem>, Error>,
    },
    Devices {
        list: Result<Vec<DeviceInfo>, Error>,
        linking: Option<(LinkId, LinkingState)>,
    },
    Approved {
        code: String,
        done: Result<(), Error>,
    },
    Confirmed(Result<(), Error>),
    Revoked {
        device: u32,
        done: Result<(), Error>,
    },
    Safety {
        with: ChatId,
        number: Result<SafetyNumber, Error>,
    },
    Verified {
        with: ChatId,
        verified: bool,
        done: Result<(), Error>,
    },
}

/// Where keys go when nothing lies on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    Chats,
    /// One message is chosen.
    Messages,
    Composer,
}

/// What lies on top.
#[derive(Debug)]
pub(crate) enum Overlay {
    Help { top: u16 },
    NewChat { field: Field, problem: Option<String> },
    Search(Search),
    Safety { with: ChatId, number: Option<SafetyNumber> },
    Devices(Devices),
}

/// A search in everything stored.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) field: Field,
    pub(crate) hits: Vec<HistoryItem>,
    pub(crate) selected: usize,
    /// The text that `hits` belong to.
    pub(crate) answered: String,
}

/// The line at the lower edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Done(String),
    /// What went wrong and what to do.
    Trouble(String),
}

/// The messenger.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) me: Me,
    pub(crate) time: LocalTime,
    pub(crate) now_ms: u64,
    pub(crate) size: (u16, u16),
    pub(crate) connection: ConnectionState,
    /// When the next attempt to connect comes, if the client said.
    pub(crate) retry_at_ms: Option<u64>,
    pub(crate) chats: Chats,
    pub(crate) conversation: Option<Conversation>,
    /// Of the other side of the open chat, if it may be seen.
    pub(crate) presence: Option<Presence>,
    /// When the chat was last said to be shown, and a key last told.
    watched_at_ms: u64,
    typed_at_ms: u64,
    pub(crate) composer: Field,
    /// What was typed in other chats and not sent. As many as chats were opened.
    drafts: HashMap<ChatId, Field>,
    /// What the composer's text is for.
    pub(crate) purpose: Option<Purpose>,
    pub(crate) focus: Focus,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) status: Option<Status>,
    /// What was said before is on its way to a new device, this one or another.
    pub(crate) history: Option<HistoryProgress>,
    /// Whether somebody looks: what comes is only then marked as read.
    has_attention: bool,
    /// Something came into the open chat and was not marked as read.
    is_unseen: bool,
    /// Ctrl+C was pressed over a text that is not sent.
    is_leaving: bool,
    /// d was pressed once on this message.
    is_deleting: Option<MessageId>,
    /// A page of the open chat is being loaded.
    is_loading: bool,
    /// The server is being asked to take a device off.
    is_revoking: bool,
    pub(crate) is_over: bool,
    effects: Vec<Effect>,
}

impl Model {
    /// The messenger at its start, and what to do first.
    pub(crate) fn new(
        me: Me,
        time: LocalTime,
        now_ms: u64,
        size: (u16, u16),
    ) -> (Self, Vec<Effect>) {
        let model = Self {
            me,
            time,
            now_ms,
            size,
            connection: ConnectionState::Connecting,
            retry_at_ms: None,
            chats: Chats::default(),
            conversation: None,
            presence: None,
            watched_at_ms: 0,
            typed_at_ms: 0,
            composer: Field::default(),
            drafts: HashMap::new(),
            purpose: None,
            focus: Focus::Chats,
            overlay: None,
            status: None,
            history: None,
            has_attention: true,
            is_unseen: false,
            is_leaving: false,
            is_deleting: None,
            is_loading: false,
            is_revoking: false,
            is_over: false,
            effects: Vec::new(),
        };
        (model, vec![Effect::LoadChats])
    }

    /// Takes one wake-up into account and says what is to be done.
    pub(crate) fn update(&mut self, wakeup: Wakeup, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        match wakeup {
            Wakeup::Stop => self.is_over = true,
            Wakeup::Tick => self.watch(),
            Wakeup::Client(event) => self.happened(event),
            Wakeup::Done(outcome) => self.done(outcome),
            Wakeup::Input(input) => self.input(input),
        }
        self.want_pages();
        std::mem::take(&mut self.effects)
    }

    /// Opens a chat, new or known.
    pub(crate) fn open(&mut self, with: &ChatId, place: Place) {
        self.no_purpose();
        if let Some(old) = self.conversation.take() {
            self.effects.push(Effect::Unwatch { with: old.with.clone() });
            let draft = std::mem::take(&mut self.composer);
            if draft.is_blank() {
                self.drafts.remove(&old.with);
            } else {
                self.drafts.insert(old.with, draft);
            }
        }
        self.composer = self.drafts.remove(with).unwrap_or_default();
        self.chats.select(with);
        self.conversation = Some(Conversation::new(with.clone()));
        self.is_unseen = false;
        self.focus = Focus::Composer;
        (self.presence, self.watched_at_ms, self.typed_at_ms) = (None, 0, 0);
        self.watch();
        self.load(place);
    }

    /// Says that the open chat is shown, so that presence of the other side is told.
    fn watch(&mut self) {
        let is_due = self.watched_at_ms.saturating_add(WATCH_AGAIN_MS) <= self.now_ms;
        if let Some(open) = self.conversation.as_ref().filter(|_| is_due && self.has_attention) {
            self.watched_at_ms = self.now_ms;
            self.effects.push(Effect::Watch { with: open.with.clone() });
        }
    }

    /// A key was pressed in the composer. The other side sees it for six seconds.
    fn typed(&mut self) {
        let Some(open) = &self.conversation else { return };
        let on = !self.composer.is_blank();
        let was_on = self.typed_at_ms > 0;
        let is_due = self.typed_at_ms.saturating_add(TYPED_AGAIN_MS) <= self.now_ms;
        if (on && is_due) || (!on && was_on) {
            self.typed_at_ms = if on { self.now_ms } else { 0 };
            self.effects.push(Effect::Types { with: open.with.clone(), on });
        }
    }

    /// Where everything is on the screen now.
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::of(self)
    }

    /// How the open conversation is laid out, and on how many rows.
    pub(crate) fn setting(&self) -> (Setting<'_>, usize) {
        let area = self.geometry().messages;
        let set = Setting {
            time: &self.time,
            now_ms: self.now_ms,
            columns: usize::from(area.width),
            first_new: None,
        };
        (set, usize::from(area.height))
    }

    /// The list's line about the open chat.
    pub(crate) fn open_chat(&self) -> Option<&ChatSummary> {
        let with = &self.conversation.as_ref()?.with;
        self.chats.get(with)
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Key(key) => self.key(key),
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Paste(text) => self.paste(&text),
            Input::Resize(columns, rows) => self.size = (columns, rows),
            Input::FocusLost => self.has_attention = false,
            Input::FocusGained => {
                self.has_attention = true;
                self.read();
            }
        }
    }

    /// Loads messages of the open chat.
    fn load(&mut self, place: Place) {
        if let Some(conversation) = &self.conversation {
            self.is_loading = true;
            let with = conversation.with.clone();
            self.effects.push(Effect::LoadPage { with, place });
        }
    }

    /// Loads what the reader is coming near to.
    fn want_pages(&mut self) {
        let Some(conversation) = self.conversation.as_ref().filter(|_| !self.is_loading) else {
            return;
        };
        let (set, rows) = self.setting();
        if let Some(row) = conversation.wants_older(&set, rows) {
            self.load(Place::Before(row));
        } else if let Some(row) = conversation.wants_newer() {
            self.load(Place::After(row));
        }
    }

    /// Marks the open chat as read, if somebody looks at its newest message.
    fn read(&mut self) {
        let is_seen =
            self.has_attention && self.overlay.is_none() && self.geometry().has_conversation;
        let Some(conversation) = self.conversation.as_ref().filter(|c| is_seen && c.is_at_end())
        else {
            return;
        };
        let with = conversation.with.clone();
        let is_unread = self.chats.get(&with).is_some_and(|chat| chat.unread > 0);
        if std::mem::take(&mut self.is_unseen) || is_unread {
            self.chats.mark_read(&with);
            self.effects.push(Effect::MarkRead { with });
        }
    }

    fn trouble(&mut self, what: &impl ToString) {
        self.status = Some(Status::Trouble(what.to_string()));
    }
}

#[cfg(test)]
mod tests;
