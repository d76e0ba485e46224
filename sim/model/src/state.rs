//! Everything that there is at one moment. What a crash leaves is marked as durable; all the rest is memory.
//!
//! Whatever no step can tell apart is one value: a mailbox is the part of one list that its device has not
//! acknowledged, and what is sent is its number.

use arrayvec::ArrayVec;

use crate::scope::{Budget, Scope};

/// Senders.
pub const SENDERS: usize = 2;
/// Devices of the recipient.
pub const DEVICES: usize = 2;
/// Clients: senders first, then devices.
pub const CLIENTS: usize = SENDERS + DEVICES;
/// Messages of one sender at most: as many as the bits of a [`Set`] in use.
pub const MESSAGES_MAX: usize = 3;
/// Records of the recipient at most: every message, and some more if a fault stores twice.
pub const LOG_MAX: usize = 6;
/// What may wait between two parts. A search in which it is not enough ends with a panic that says so.
const WAITING_MAX: usize = 8;
/// Records that an inbox holds before it is behind. The product's holds 64.
pub const INBOX_MAX: usize = 1;
/// Records of a page. The product's has 256.
pub const PAGE_MAX: usize = 1;
/// Links of a client that the store may know a submission of: the present one, the one before, and all
/// before that, to whom nobody answers.
const AGES: usize = 3;

/// The counter of a message, from 1.
pub type Counter = u8;
/// A place in a mailbox, from 1.
pub type Seq = u8;

/// A set of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Set(u8);

impl Set {
    /// The counters from 1 to `last`.
    pub const fn up_to(last: Counter) -> Self {
        Self((1 << last) - 1)
    }

    /// Whether it has the counter.
    pub const fn has(self, counter: Counter) -> bool {
        counter > 0 && self.0 >> (counter - 1) & 1 == 1
    }

    /// Adds a counter.
    pub const fn add(&mut self, counter: Counter) {
        self.0 |= 1 << (counter - 1);
    }

    /// Takes a counter away.
    pub const fn remove(&mut self, counter: Counter) {
        self.0 &= !(1 << (counter - 1));
    }

    /// What is in this and not in the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of it, ascending.
    pub fn iter(self) -> impl Iterator<Item = Counter> {
        (1..=8).filter(move |counter| self.has(*counter))
    }
}

/// A client: the two senders, then the devices of the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(pub u8);

impl Client {
    /// All of them.
    pub const ALL: [Self; CLIENTS] = [Self(0), Self(1), Self(2), Self(3)];

    /// A sender.
    pub const fn sender(index: u8) -> Self {
        Self(index)
    }

    /// A device of the recipient.
    pub fn of_device(index: usize) -> Self {
        Self::ALL[SENDERS + index]
    }

    /// Its place among the clients.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Which sender it is, if it is one.
    pub const fn as_sender(self) -> Option<usize> {
        if self.index() < SENDERS { Some(self.index()) } else { None }
    }

    /// Which device of the recipient it is, if it is one.
    pub const fn as_device(self) -> Option<usize> {
        self.index().checked_sub(SENDERS)
    }
}

/// One of the links that a client has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    /// Its present one.
    Now,
    /// The one before: the client is gone, and the server may still read what it sent.
    Before,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// The senders' clients.
    pub senders: [Sender; SENDERS],
    /// The recipient's clients.
    pub devices: [Device; DEVICES],
    /// The links of every client, and what the server knows of them.
    pub links: [Link; CLIENTS],
    /// The server's store.
    pub store: Store,
    /// What may still go wrong.
    pub left: Budget,
}

/// A sender's client. A step of it is one commit: what it sends then depends on nothing that is not durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sender {
    /// Messages that its user will write.
    pub to_say: u8,
    /// Durable: messages written to the outbox.
    pub said: Counter,
    /// Durable: one tick.
    pub accepted: Set,
    /// Durable: refused for good.
    pub failed: Set,
    /// Durable: two ticks up to here, as each device of the recipient has told.
    pub delivered: [Counter; DEVICES],
    /// Submitted on this link and not answered.
    pub in_flight: Set,
    /// After a refusal nothing goes out before all answers have come.
    pub settles: bool,
    /// The server refuses everything until it sees this again; 0: none.
    pub awaited: Counter,
    /// The time that the server named is not over.
    pub paused: bool,
    /// It was told to go back to a message, and knows of none.
    pub disagrees: bool,
}

/// A device of the recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Device {
    /// Durable: what is shown of each sender, in this order.
    pub shown: [ArrayVec<Counter, LOG_MAX>; SENDERS],
    /// Received, and in no commit yet.
    pub staged: [ArrayVec<Counter, LOG_MAX>; SENDERS],
    /// The newest record of this link.
    pub seen: Seq,
    /// Acknowledged on this link.
    pub acknowledged: Seq,
}

/// The links of one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Link {
    /// Whether the client takes part.
    pub exists: bool,
    /// The link that the client has.
    pub now: Option<Session>,
    /// The link that it had.
    pub before: Option<Session>,
    /// Which of them has the mailbox: the entry of the registry.
    pub bound: Option<Which>,
}

/// A session of the server, and the bytes on their way to and from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Session {
    /// What the client has sent and the session has not read.
    pub up: ArrayVec<ToServer, WAITING_MAX>,
    /// What the session has said and the client has not read.
    pub down: ArrayVec<ToClient, WAITING_MAX>,
    /// Where its records come from.
    pub feed: Feed,
    /// The newest record that was said on this link.
    pub last_sent: Seq,
    /// Everything after this is refused until it comes again; 0: nothing.
    pub refused_from: Counter,
    /// What the store decided, not yet told.
    pub words: ArrayVec<Word, WAITING_MAX>,
    /// Records handed over in memory.
    pub inbox: ArrayVec<Record, INBOX_MAX>,
    /// The inbox has dropped something, or the store was opened anew.
    pub behind: bool,
}

/// Where a session's records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Feed {
    /// Not attached.
    #[default]
    Off,
    /// A page is to be read.
    Behind,
    /// A page is being read. Up to here, if a fault has it looked up too early.
    Reading(Seq),
    /// The inbox has all that is new.
    Live,
}

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ToServer {
    /// It takes its mailbox.
    Attach,
    /// A message.
    Submit(Counter),
    /// It has everything up to here.
    Ack(Seq),
}

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ToClient {
    /// One tick.
    Accepted(Counter),
    /// Not now.
    Refused(Counter),
    /// Not before one that was refused.
    AfterRefusal(Counter),
    /// Not this one, for good.
    Full(Counter),
    /// A record of the mailbox.
    Record(Record),
}

/// A record of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// Its place.
    pub seq: Seq,
    /// What it is.
    pub entry: Entry,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// A message of a sender.
    Message {
        /// Who sent it.
        from: u8,
        /// Its number.
        counter: Counter,
    },
    /// A device has everything up to a message.
    Receipt {
        /// Which device.
        by: u8,
        /// Up to here.
        up_to: Counter,
    },
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// It is durable.
    Accepted(Counter),
    /// The batch failed, or it had to wait for one that failed.
    Refused(Counter),
    /// A mailbox has no room for it.
    Full(Counter),
}

/// The server's store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Store {
    /// Durable: every message that was ever stored, in order. Both devices get the same.
    pub log: ArrayVec<(u8, Counter), LOG_MAX>,
    /// Durable: how much of it has left the mailbox of each device.
    pub deleted: [Seq; DEVICES],
    /// Durable: the mailboxes of the senders.
    pub receipts: [ArrayVec<Record, DEVICES>; SENDERS],
    /// Durable: the newest place in each of those.
    pub newest: [Seq; SENDERS],
    /// Durable: what was accepted of each sender.
    pub windows: [Set; SENDERS],
    /// What was refused for good at some time, though it may have been taken later. No part of the product: it is
    /// for the promises alone.
    pub full: [Set; SENDERS],
    /// Submissions that wait for a batch.
    pub queue: ArrayVec<Submission, WAITING_MAX>,
    /// Acknowledgements that wait for a batch; 0: none. A later one covers an earlier one.
    pub acks: [Seq; CLIENTS],
    /// What is written and not synced.
    pub batch: Option<Work>,
    /// For each link of a sender the lowest counter that was refused for now; 0: none.
    pub holds: [[Counter; AGES]; SENDERS],
    /// Receipts that only a later batch files, if a fault has it so.
    pub owed: ArrayVec<(u8, u8, Counter), WAITING_MAX>,
}

/// A submission that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Submission {
    /// Who sent it.
    pub from: u8,
    /// How many links ago: its token.
    pub age: u8,
    /// Its number.
    pub counter: Counter,
}

/// What a batch is made of. Each has one part: of a larger one the parts are several batches in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// A submission.
    Submit(Submission),
    /// A client has everything up to here.
    Acknowledge(Client, Seq),
}

impl State {
    /// The beginning: nothing is said and nobody is connected.
    pub fn first(scope: &Scope) -> Self {
        let sender = |index: usize| Sender { to_say: scope.messages[index], ..Sender::default() };
        let exists = |client: Client| match (client.as_sender(), client.as_device()) {
            (Some(sender), _) => scope.messages[sender] > 0,
            (_, device) => device.is_some_and(|device| device < usize::from(scope.devices)),
        };
        let link = |client| Link { exists: exists(client), ..Link::default() };
        Self {
            senders: [sender(0), sender(1)],
            devices: [Device::default(), Device::default()],
            links: Client::ALL.map(link),
            store: Store::default(),
            left: scope.budget,
        }
    }

    /// A link of a client.
    pub fn session(&self, client: Client, which: Which) -> Option<&Session> {
        let link = &self.links[client.index()];
        match which {
            Which::Now => link.now.as_ref(),
            Which::Before => link.before.as_ref(),
        }
    }

    /// A link of a client, for changing.
    pub fn session_mut(&mut self, client: Client, which: Which) -> Option<&mut Session> {
        let link = &mut self.links[client.index()];
        match which {
            Which::Now => link.now.as_mut(),
            Which::Before => link.before.as_mut(),
        }
    }

    /// Whether there is this device of the recipient.
    pub fn has_device(&self, device: usize) -> bool {
        self.links.get(SENDERS + device).is_some_and(|link| link.exists)
    }

    /// Clients that take part.
    pub fn clients(&self) -> impl Iterator<Item = Client> {
        Client::ALL.into_iter().filter(|client| self.links[client.index()].exists)
    }
}
