//! What the core asks of its driver.

use std::fmt;

use godwit_base::{BlobId, DeviceId, DeviceNumber, GroupId, Handle, MessageId};
use godwit_wire::v1;

use super::annotate::Stamp;
use super::transfer::Way;
use crate::{Act, ChatId, Error, Event, HistoryItem, MessageState, Reach};

/// Everything to be done since the last one, in this order: commit all of `writes` in one
/// transaction; then give `send` to the link; then do what `link` says; then hand out `events`.
///
/// While a commit runs the core may be given more input; what comes of it is the next batch. So
/// commits group themselves under load, and nothing leaves before what it depends on is durable.
#[derive(Debug, Default)]
pub struct Batch {
    /// One transaction.
    pub writes: Vec<Write>,
    /// Bytes for the link; drop them if the link they were made for is gone.
    pub send: Vec<u8>,
    /// What to do with the link.
    pub link: Option<LinkOrder>,
    /// Tickets for files that were asked for.
    pub tickets: Vec<Ticket>,
    /// What to tell the application, after what the writes have to tell.
    pub events: Vec<Event>,
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.send.is_empty()
            && self.link.is_none()
            && self.tickets.is_empty()
            && self.events.is_empty()
    }
}

/// What came of the wish for a ticket.
#[derive(Debug)]
pub struct Ticket {
    /// For which file.
    pub blob: BlobId,
    /// Which way.
    pub way: Way,
    /// The ticket, or why there will be none.
    pub answer: Result<v1::MediaGrant, Error>,
}

/// An order about the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOrder {
    /// Open a connection to the server, then call `connected` or `disconnected`.
    Dial,
    /// Close the connection when `send` is out. `disconnected` need not be called.
    Close,
}

/// A table of rows whose content only the core understands. Values come sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// By name: who this device is, with its keys and its counters.
    Me = 1,
    /// By account: a contact.
    Contact = 2,
    /// By account: the contact's device list as it was verified last.
    List = 3,
    /// By device: which of its messages were taken, and how far ours came there.
    Device = 4,
    /// By device: the ratchets.
    Pairing = 5,
    /// By counter: messages that the server has not accepted, or whose repair may be asked for.
    Outbox = 6,
    /// By device and counter: messages that could not be opened and are asked for again.
    Waiting = 7,
    /// By key of the command: which messages it made, so that asking twice sends once.
    Command = 8,
    /// By account: the key of a contact whose ratchets were dropped for want of room.
    Pin = 9,
    /// By key of the command: a file that is to be uploaded before its message goes.
    Upload = 20,
    /// By file: this device has it and the server does not know.
    Fetched = 21,
    /// By group: what its log came to.
    Group = 30,
    /// By group: what this device keeps beside it.
    GroupRecord = 31,
    /// By group: the secret that its members share.
    GroupSecret = 32,
    /// By group: the epoch that the server told of and this device has not fetched.
    GroupBehind = 33,
    /// By group and order: what came before the log entry, or the key, that it needs.
    GroupEarly = 34,
    /// By group: the key under which this device posts.
    GroupSender = 35,
    /// By group: which devices have that key.
    GroupGiven = 36,
    /// By group, device and key: the keys under which others post.
    GroupHeard = 37,
    /// By number of the command: an entry of a group's log that the server has not answered.
    GroupOffered = 38,
    /// By group and device: what others said and this device has not read, or not told that it has.
    GroupUnread = 39,
    /// By device of ours and counter: how far what we said in groups has come.
    GroupSent = 40,
    /// By account: whether it is blocked or muted.
    ContactSetting = 50,
    /// By account: how it wants to be shown; our own too.
    Profile = 51,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Me,
        Self::Contact,
        Self::List,
        Self::Device,
        Self::Pairing,
        Self::Outbox,
        Self::Waiting,
        Self::Command,
        Self::Pin,
        Self::Upload,
        Self::Fetched,
        Self::Group,
        Self::GroupRecord,
        Self::GroupSecret,
        Self::GroupBehind,
        Self::GroupEarly,
        Self::GroupSender,
        Self::GroupGiven,
        Self::GroupHeard,
        Self::GroupOffered,
        Self::GroupUnread,
        Self::GroupSent,
        Self::ContactSetting,
        Self::Profile,
    ];

    /// Its name, which is sealed with each row so that a row moved elsewhere does not open.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::Contact => "contact",
            Self::List => "list",
            Self::Device => "device",
            Self::Pairing => "pairing",
            Self::Outbox => "outbox",
            Self::Waiting => "waiting",
            Self::Command => "command",
            Self::Pin => "pin",
            Self::Upload => "upload",
            Self::Fetched => "fetched",
            Self::Group => "group",
            Self::GroupRecord => "group_record",
            Self::GroupSecret => "group_secret",
            Self::GroupBehind => "group_behind",
            Self::GroupEarly => "group_early",
            Self::GroupSender => "group_sender",
            Self::GroupGiven => "group_given",
            Self::GroupHeard => "group_heard",
            Self::GroupOffered => "group_offered",
            Self::GroupUnread => "group_unread",
            Self::GroupSent => "group_sent",
            Self::ContactSetting => "contact_setting",
            Self::Profile => "profile",
        }
    }
}

/// One row as it was put, to restore the core from.
pub type Row = (Table, Vec<u8>, Vec<u8>);

/// Most annotations of a chat whose message did not come: more than can be under way while one message
/// is asked for again. The oldest go. 500 x about 300 B = 150 KB of the file.
pub const AHEAD_MAX: u32 = 500;

/// What somebody says about a message, as it is stored.
pub struct Annotation {
    /// Of the history's order.
    pub row: u64,
    /// The chat it was said in.
    pub with: ChatId,
    /// The message.
    pub about: MessageId,
    /// Who says it.
    pub from: Handle,
    /// Its place among those of its kind.
    pub stamp: Stamp,
    /// What it says; not to be stored as it is.
    pub act: Act,
    /// The same, sealed under the id that the stamp names.
    pub sealed: Vec<u8>,
}

/// One step of a transaction. The later ones keep the history and, when they change a row, make the
/// event named with them; those events come before the batch's own, in order.
pub enum Write {
    /// Sets a row.
    Put {
        /// Where.
        table: Table,
        /// Under which key.
        key: Vec<u8>,
        /// Sealed.
        value: Vec<u8>,
    },
    /// Removes a row.
    Delete {
        /// From where.
        table: Table,
        /// Under which key.
        key: Vec<u8>,
    },
    /// Adds a message to the history: [`Event::Message`] with the same item. Nothing, if a message of
    /// this id is there.
    Message {
        /// What to show. Its text is not to be stored: `sealed` holds it.
        item: HistoryItem,
        /// The body, sealed with `Vault::body`.
        sealed: Vec<u8>,
    },
    /// Adds a message from before this device was linked, with what was said about it, unless a message
    /// of this id or row is there. No event.
    Past {
        /// What to show. Its text is not to be stored.
        item: HistoryItem,
        /// The body, sealed with `Vault::body`.
        sealed: Vec<u8>,
        /// What was said about it.
        said: Vec<Annotation>,
    },
    /// Removes a placeholder that is replaced, if it is there. No event.
    Forget {
        /// Of which message.
        id: MessageId,
    },
    /// Gives a message of this device a new state: [`Event::State`]. `at_ms` is stored as
    /// `received_at_ms` when the state is accepted. A state never goes back.
    State {
        /// Our counter.
        counter: u64,
        /// The chat it is in.
        with: ChatId,
        /// The new state.
        state: MessageState,
        /// Since when, unix milliseconds.
        at_ms: u64,
    },
    /// Gives every message that one device of ours sent to a contact up to a counter, if it was
    /// accepted, the state `Delivered` or `Read`: one [`Event::State`] for each that changes, in order.
    Watermark {
        /// The contact.
        with: Handle,
        /// The sending device, by its number in this account.
        origin: DeviceNumber,
        /// Up to and including this counter.
        up_to: u64,
        /// The new state.
        state: MessageState,
        /// Since when, unix milliseconds.
        at_ms: u64,
    },
    /// Keeps what somebody says about a message, one of each kind and person (of an edit or deletion
    /// the author), the one of the highest stamp: [`Event::Changed`], if the message is in the history
    /// and the annotation is news. Nothing, if the message is of another chat, or was deleted. If it
    /// is not there yet, the newest [`AHEAD_MAX`] of a chat are kept, and told of after the message. A
    /// deletion removes the message's body and what else was said about it.
    Annotate(Annotation),
    /// Removes every message whose time is up, with what was said about it: [`Event::Expired`].
    Expire {
        /// The present, unix milliseconds.
        now_ms: u64,
    },
    /// Marks what a device sent to us alone, up to a counter, as read here, and starts the clock of those that
    /// disappear. No event.
    ReadHere {
        /// The sender.
        from: DeviceId,
        /// Up to and including this counter.
        up_to: u64,
        /// When, unix milliseconds.
        at_ms: u64,
    },
    /// Marks everything that others said in a group as read here, and starts the clock of those that
    /// disappear. No event.
    ReadGroup {
        /// The group.
        group: GroupId,
        /// When, unix milliseconds.
        at_ms: u64,
    },
    /// Marks what a device said in a group, up to a counter, as read here, as [`Write::ReadGroup`] does. No
    /// event.
    ReadInGroup {
        /// The group.
        group: GroupId,
        /// The sender.
        from: DeviceId,
        /// Up to and including this counter.
        up_to: u64,
        /// When, unix milliseconds.
        at_ms: u64,
    },
    /// Keeps how many members have a message of this account to a group: [`Event::Reach`]. When all have it,
    /// or have read it, it has the state `Delivered` or `Read`: [`Event::State`] before that.
    Reach {
        /// The message.
        id: MessageId,
        /// The group's chat.
        with: ChatId,
        /// How many, of how many.
        reach: Reach,
        /// Since when, unix milliseconds.
        at_ms: u64,
    },
    /// What the list of chats says about a chat.
    Chat {
        /// Which chat.
        with: ChatId,
        /// The user compared the safety number.
        verified: bool,
        /// What the user must know.
        notice: Option<String>,
    },
}

impl fmt::Debug for Write {
    /// Names without content: what people say stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { table, value, .. } => write!(f, "Put({table:?}, {} B)", value.len()),
            Self::Delete { table, .. } => write!(f, "Delete({table:?})"),
            Self::Message { item, .. } => write!(f, "Message({})", item.id),
            Self::Past { item, .. } => write!(f, "Past({})", item.id),
            Self::Forget { id } => write!(f, "Forget({id})"),
            Self::State { counter, state, .. } => write!(f, "State({counter}, {state})"),
            Self::Watermark { up_to, state, .. } => write!(f, "Watermark({up_to}, {state})"),
            Self::Annotate(said) => write!(f, "Annotate({}, {})", said.about, said.act.kind()),
            Self::Expire { now_ms } => write!(f, "Expire({now_ms})"),
            Self::ReadHere { from, up_to, .. } => write!(f, "ReadHere({from}, {up_to})"),
            Self::ReadGroup { group, .. } => write!(f, "ReadGroup({group})"),
            Self::ReadInGroup { group, from, up_to, .. } => {
                write!(f, "ReadInGroup({group}, {from}, {up_to})")
            }
            Self::Reach { id, reach, .. } => {
                write!(f, "Reach({id}, {} and {} of {})", reach.delivered, reach.read, reach.of)
            }
            Self::Chat { verified, .. } => write!(f, "Chat(verified: {verified})"),
        }
    }
}

/// The rows that these writes put, as a restart reads them.
#[cfg(test)]
pub(crate) fn rows_put(writes: Vec<Write>) -> Vec<Row> {
    let put = |write| match write {
        Write::Put { table, key, value } => Some((table, key, value)),
        _ => None,
    };
    writes.into_iter().filter_map(put).collect()
}
