//! What an application sees: messages, chats, states, events.

use std::fmt;
use std::str::FromStr;

use godwit_base::{AccountId, BlobId, DeviceId, GroupId, Handle, IdError, MessageId};
use serde::{Deserialize, Serialize};

use crate::core::Way;
use crate::{Changed, Details, LinkId, LinkingState, Reach};

/// A conversation: with one contact, or in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ChatId {
    /// With one contact. As text its handle.
    Contact(Handle),
    /// In a group. As text `group:` and its id; no handle holds a colon.
    Group(GroupId),
}

/// What the text of a group's chat begins with.
const GROUP_PREFIX: &str = "group:";

impl ChatId {
    /// The contact, if it is a chat with one.
    pub fn contact(&self) -> Option<&Handle> {
        match self {
            Self::Contact(handle) => Some(handle),
            Self::Group(_) => None,
        }
    }

    /// The group, if it is a chat in one.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Contact(_) => None,
            Self::Group(group) => Some(*group),
        }
    }
}

impl From<Handle> for ChatId {
    fn from(handle: Handle) -> Self {
        Self::Contact(handle)
    }
}

impl From<&Handle> for ChatId {
    fn from(handle: &Handle) -> Self {
        Self::Contact(handle.clone())
    }
}

impl From<&Self> for ChatId {
    fn from(chat: &Self) -> Self {
        chat.clone()
    }
}

impl From<GroupId> for ChatId {
    fn from(group: GroupId) -> Self {
        Self::Group(group)
    }
}

impl PartialEq<Handle> for ChatId {
    fn eq(&self, handle: &Handle) -> bool {
        self.contact() == Some(handle)
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contact(handle) => f.write_str(handle.as_str()),
            Self::Group(group) => write!(f, "{GROUP_PREFIX}{group}"),
        }
    }
}

impl FromStr for ChatId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_prefix(GROUP_PREFIX) {
            Some(group) => group.parse().map(Self::Group),
            None => text.parse().map(Self::Contact),
        }
    }
}

impl TryFrom<String> for ChatId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ChatId> for String {
    fn from(chat: ChatId) -> Self {
        chat.to_string()
    }
}

/// Who this installation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// The name that others write to.
    pub handle: Handle,
    /// The account behind it.
    pub account: AccountId,
    /// This installation.
    pub device: DeviceId,
}

/// How far a message came. The ticks: none, ✓, ✓✓, blue ✓✓.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Durable in this device's outbox; the server has not confirmed it.
    Pending,
    /// Durable on the server for every device of the recipient.
    Accepted,
    /// Committed by the first of the recipient's devices.
    Delivered,
    /// The recipient says that it was read. Of an incoming message: read here.
    Read,
    /// It will not arrive, but perhaps after [`Failure::Unanswered`]; sending again is a new message.
    Failed(Failure),
}

impl MessageState {
    /// The state as one lower-case word: `pending`, `accepted`, `delivered`, `read`, `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether this state is `goal` or further. A failed message reaches nothing but failure.
    pub const fn reached(self, goal: Self) -> bool {
        self.rank() >= goal.rank() && self.is_failed() == goal.is_failed()
    }

    /// Whether the message failed.
    pub const fn is_failed(self) -> bool {
        matches!(self, Self::Failed(_))
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Accepted => 1,
            Self::Delivered => 2,
            Self::Read => 3,
            Self::Failed(_) => 4,
        }
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a message failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// Nobody has this handle.
    #[error("nobody has this handle: check its spelling")]
    UnknownAccount,
    /// The recipient's mailbox holds all that it may.
    #[error("the recipient's mailbox is full: send again when they have been online")]
    MailboxFull,
    /// The handle has another identity key and the contact was verified: accept the new key first.
    #[error(
        "this contact was verified and now has another key: compare the safety number, then accept it"
    )]
    KeyChanged,
    /// What the server said about the recipient's keys is not signed by them.
    #[error("the recipient's keys are not signed by them: ask the operator of the server")]
    BadKeys,
    /// The recipient's devices changed faster than the message could be sealed for them.
    #[error("the recipient's devices keep changing: send it again")]
    DevicesChanging,
    /// This account is not in the group, or the group has ended.
    #[error("you are not in this group any more")]
    NotMember,
    /// The server shows a log of the group that contradicts what was seen before.
    #[error(
        "the server shows members different groups: nothing is sent there until that is resolved"
    )]
    GroupFrozen,
    /// Only admins write in the group.
    #[error("only admins write in this group")]
    OnlyAdmins,
    /// The user has blocked the recipient.
    #[error("you have blocked this contact: unblock it first")]
    Blocked,
    /// This device was removed from its account before it sent the message.
    #[error("this device was removed from its account: join anew with another home")]
    Revoked,
    /// This device was removed from its account after it sent the message and before the server answered,
    /// which it no longer does: the message may have arrived. If it did, the account's other devices have
    /// a copy.
    #[error(
        "this device was removed from its account while the message was on its way: your other devices show it if it arrived"
    )]
    Unanswered,
    /// The account began as many conversations as the server allows in a day.
    #[error(
        "you have begun as many new conversations as this server allows in a day: try again tomorrow"
    )]
    TooManyStrangers,
    /// The server refused the message; the number is of its refusal table.
    #[error("the server refused the message (refusal {0})")]
    Refused(u16),
}

/// Why a message has no text to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Note {
    /// It could not be opened; its sender was asked to send it again.
    Waiting,
    /// It could not be opened and will not be sent again.
    Lost,
    /// It is of a kind that this version does not know: update to see it.
    UpdateNeeded,
    /// Its author took it back.
    Deleted,
    /// Whoever sent it set the chat's timer: `details.timer_s` from here on.
    Timer,
}

/// One message of a conversation as this device has stored it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// Order in which this device stored it; grows, never used again.
    pub row: u64,
    /// Which message.
    pub id: MessageId,
    /// The conversation.
    pub with: ChatId,
    /// Who sent it.
    pub from: Handle,
    /// To whom: the contact, the group, or this account.
    pub to: ChatId,
    /// Whether this account sent it, from this device or another of its devices.
    pub outgoing: bool,
    /// The text; none when `note` says why.
    pub text: Option<String>,
    /// Why there is no text.
    pub note: Option<Note>,
    /// When its sender says it was sent, unix milliseconds.
    pub sent_at_ms: u64,
    /// Incoming: when the server stored it. Outgoing: when the server accepted it, if it has.
    /// Server's clock, unix milliseconds.
    pub received_at_ms: Option<u64>,
    /// How far it came.
    pub state: MessageState,
    /// What most messages do not have.
    pub details: Details,
}

impl HistoryItem {
    /// Whether this device's account sent it.
    pub const fn is_outgoing(&self) -> bool {
        self.outgoing
    }
}

/// One line of the list of chats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatSummary {
    /// Which chat.
    pub with: ChatId,
    /// Text of the newest message; none when the chat has none or it cannot be shown.
    pub last_text: Option<String>,
    /// When the newest message was sent, unix milliseconds; 0 when there is none.
    pub last_at_ms: u64,
    /// Incoming messages not marked as read.
    pub unread: u32,
    /// The user compared the safety number.
    pub verified: bool,
    /// Something that the user must know about this contact.
    pub notice: Option<String>,
    /// A group's name, or what the contact calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The contact is blocked.
    #[serde(default)]
    pub blocked: bool,
    /// No notification before this time, unix milliseconds; 0: not muted; the largest number: for ever.
    #[serde(default)]
    pub muted_until_ms: u64,
}

impl ChatSummary {
    /// What the chat is called: a group by its name. Of a contact the handle comes first, since anybody
    /// may call themselves anything.
    pub fn title(&self) -> String {
        match (&self.with, &self.name) {
            (_, None) => self.with.to_string(),
            (ChatId::Group(_), Some(name)) => name.clone(),
            (ChatId::Contact(handle), Some(name)) => format!("{handle} ({name})"),
        }
    }
}

/// Somebody whom this account knows, or of whom something was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The name that the server knows them by.
    pub handle: Handle,
    /// The account behind it.
    pub account: AccountId,
    /// What they call themselves; anybody may call themselves anything.
    pub name: Option<String>,
    /// What they say about themselves.
    pub about: Option<String>,
    /// Size of their picture; 0 if they have told none.
    pub picture_bytes: usize,
    /// The user compared the safety number.
    pub verified: bool,
    /// The user has written to them: they are told this account's profile.
    pub written_to: bool,
    /// Nothing of them is shown and nothing is sent to them.
    pub blocked: bool,
    /// No notification before this time, unix milliseconds; 0: not muted; the largest number: for ever.
    pub muted_until_ms: u64,
}

/// How this account wants to be shown to its contacts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnProfile {
    /// Empty: none.
    pub name: String,
    /// Empty: none.
    pub about: String,
    /// A JPEG or PNG file; empty: none.
    pub picture: Vec<u8>,
    /// Grows with each change; 0 before the first.
    pub version: u64,
}

/// A message as it is reported to the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Which message, of the one who is reported.
    pub id: MessageId,
    /// When its sender says it was sent, unix milliseconds.
    pub sent_at_ms: u64,
    /// The text; what is beyond the bound of a report is cut off.
    pub text: String,
}

/// A group as this device has verified it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Which.
    pub id: GroupId,
    /// Its name; none until a member has given the secret that it is sealed under.
    pub name: Option<String>,
    /// A small picture, at most 4,096 bytes; empty: none.
    pub picture: Vec<u8>,
    /// The community that it is a group of.
    pub community: Option<GroupId>,
    /// How many changes there were.
    pub epoch: u64,
    /// Who is in it, by account.
    pub members: Vec<GroupMemberInfo>,
    /// Whether only admins write.
    pub only_admins_write: bool,
    /// Whether this account is in it.
    pub is_member: bool,
    /// Whether there is a link by which people may join.
    pub has_link: bool,
    /// Why nothing is sent to it: the server shows a log that contradicts ours.
    pub frozen: Option<String>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMemberInfo {
    /// The account.
    pub account: AccountId,
    /// Its handle, if this device knows it.
    pub handle: Option<Handle>,
    /// Whether it may change the group.
    pub admin: bool,
}

/// What two people compare to know that nobody sits between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyNumber {
    /// 60 decimal digits, the same on both sides.
    pub digits: String,
    /// Content of the QR code.
    pub qr: Vec<u8>,
}

/// Who may see when this account is online, when it last was, and that it types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Nobody; and this account sees nobody.
    Nobody,
    /// Everyone who opens the chat.
    Everyone,
    /// Those to whom this account has written.
    Contacts,
}

impl Visibility {
    /// What holds before the user has chosen.
    pub const DEFAULT: Self = Self::Everyone;

    /// The setting as one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Everyone => "everyone",
            Self::Contacts => "contacts",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Nobody => 0,
            Self::Everyone => 1,
            Self::Contacts => 2,
        }
    }

    /// What is not known shows nothing.
    pub(crate) const fn of_number(number: u32) -> Self {
        match number {
            1 => Self::Everyone,
            2 => Self::Contacts,
            _ => Self::Nobody,
        }
    }
}

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// Not ours to see, or not known.
    Unknown,
    /// Somebody is at one of the account's devices.
    Online,
    /// Nobody is.
    Offline,
}

impl PresenceState {
    /// The state as one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// What may be seen of somebody whose chat is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether somebody is there.
    pub state: PresenceState,
    /// When they last were, if they are not: server's clock, unix milliseconds, down to a whole minute.
    pub last_seen_ms: Option<u64>,
    /// They type to us.
    pub typing: bool,
}

impl Presence {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { state: PresenceState::Unknown, last_seen_ms: None, typing: false };
}

/// The link to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Dialling or shaking hands.
    Connecting,
    /// Attached: messages flow.
    Online,
    /// Not connected.
    Offline {
        /// When the next attempt comes; none when there will be none until the user acts.
        retry_in_ms: Option<u64>,
        /// What happened and what to do.
        reason: String,
    },
}

/// What a [`Event::Warning`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningKind {
    /// A contact has another identity key than before.
    KeyChange,
    /// This machine's clock and the server's differ by more than an hour.
    Clock,
    /// A message could not be opened.
    Undecryptable,
    /// The server said something that does not hold, such as a list with a wrong signature.
    Server,
    /// A contact's device list is too old to show that no device was removed, or this account's own
    /// list was changed elsewhere.
    DeviceList,
    /// Something said about a message (a reaction, an edit, ...) will not arrive.
    NotSent,
    /// This device was removed from its account.
    Revoked,
    /// Another process with the same keys took over the link: this home was copied.
    Displaced,
    /// This home was put back from a copy that is older than what was sent from it.
    Restored,
}

/// What a device that is to be linked has to show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewcomerEvent {
    /// The code, as text and to be drawn as a QR code; good for ten minutes and one attempt.
    Code(String),
    /// Digits that the main device must show too, and what the account is called that it says it has.
    Check {
        /// Six digits.
        digits: String,
        /// The account's handle.
        handle: Handle,
    },
    /// It is linked, and so much of the history came while it published its keys; the rest comes when it is
    /// opened next.
    History(HistoryProgress),
}

/// How far what was said before a device was linked has come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryProgress {
    /// The number of the new device.
    pub device: u32,
    /// It was given so many messages.
    pub given: u32,
    /// Of so many. Never more than may be given; may grow by what is said meanwhile.
    pub of: u32,
    /// There are no more.
    pub done: bool,
}

/// One device of this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Its number.
    pub device: u32,
    /// Whether it is this one.
    pub this: bool,
    /// Whether it is the main device, which holds the account key.
    pub main: bool,
}

/// What happens, in order. Everything it tells of is already committed.
#[allow(
    clippy::large_enum_variant,
    reason = "messages are most of them; a box for each would be the dearer half"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A message was stored: an incoming one, or one that a command of this home sent.
    Message(HistoryItem),
    /// A message changed its state.
    State {
        /// Which message.
        id: MessageId,
        /// The chat it belongs to.
        with: ChatId,
        /// Who caused it: the contact for `Delivered` and `Read`, ourselves for `Accepted`.
        by: Handle,
        /// The new state.
        state: MessageState,
        /// When, unix milliseconds.
        at_ms: u64,
    },
    /// A message of this account came to more members of a group, or more have read it.
    Reach {
        /// Which message.
        id: MessageId,
        /// The group's chat.
        with: ChatId,
        /// How many.
        reach: Reach,
    },
    /// Another device of this account has read messages of a chat.
    ReadElsewhere {
        /// Which chat.
        with: ChatId,
    },
    /// A group is new, has changed, or its name has come.
    Group {
        /// Which.
        group: GroupId,
        /// What a member did to it, where that is the news.
        #[serde(default)]
        news: Option<crate::GroupNews>,
    },
    /// Somebody did something about a message: reacted to it, edited it, ...
    Changed(Changed),
    /// A message has disappeared, its time was up.
    Expired {
        /// Which message.
        id: MessageId,
        /// The chat it was in.
        with: ChatId,
    },
    /// Somebody whose chat is open came, went, began to type or stopped. Never stored.
    Presence {
        /// Who.
        with: Handle,
        /// What holds now.
        presence: Presence,
    },
    /// Something about a contact is new: its profile, or what was decided of it here or on another
    /// device of this account.
    Contact(Contact),
    /// What became of a report to the operator.
    Reported {
        /// Who was reported.
        with: Handle,
        /// Why the server did not take it, and what to do; none: the operator has it.
        refused: Option<String>,
    },
    /// Everything that waited on the server has been received.
    CaughtUp,
    /// The link changed.
    Connection(ConnectionState),
    /// Something that the user should know.
    Warning {
        /// What it is about.
        kind: WarningKind,
        /// The contact concerned.
        with: Option<Handle>,
        /// What happened and what to do, one line.
        text: String,
    },
    /// Linking another device came further.
    Linking {
        /// Which linking.
        link: LinkId,
        /// How far it is.
        state: LinkingState,
    },
    /// A linked device is given what was said before: told on the main device as it is put into its
    /// outbox, and on the new one as it comes.
    History(HistoryProgress),
    /// The account has other devices than before, or its list was signed anew.
    Devices,
    /// A file is on its way. Told now and then, and at its end.
    Transfer {
        /// Which file.
        blob: BlobId,
        /// Which way.
        way: Way,
        /// Bytes of its sealed form that are there.
        done_bytes: u64,
        /// Bytes of its sealed form.
        bytes: u64,
    },
    /// The application read too slowly: this many events were dropped. Nothing is lost, read the
    /// history again.
    Lagged(u64),
}
