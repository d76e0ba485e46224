//! The messages inside a frame's plaintext, one after another, each as protobuf writes an embedded
//! message: key (number << 3 | 2), length, body.

use prost::encoding::message as embedded;

use crate::checked::{Plaintext, decode};
use crate::malformed::{Fault, Malformed};
use crate::shape::{Reader, Value};
use crate::v1;

/// One direction of the protocol.
trait Direction: Sized {
    /// The message with that number, or `None` if this version does not know the number.
    fn decode_numbered(number: u32, body: impl Plaintext) -> Option<Result<Self, Malformed>>;
}

/// Iterator over the messages of a frame; after an error it ends.
#[derive(Debug)]
pub struct Messages<P, D> {
    rest: P,
    direction: std::marker::PhantomData<fn() -> D>,
}

impl<P: Plaintext, D> Messages<P, D> {
    const fn new(rest: P) -> Self {
        Self { rest, direction: std::marker::PhantomData }
    }

    /// Takes the next message's number and body off the front.
    fn split_next(&mut self) -> Result<(u32, P), Fault> {
        let mut reader = Reader(self.rest.chunk());
        let before = reader.len();
        let (number, Value::Bytes(body)) = reader.field()? else { return Err(Fault::WrongType) };
        let head = before - reader.len() - body.len();
        let length = body.len();
        self.rest.advance(head);
        Ok((number, self.rest.split(length)))
    }
}

impl<P: Plaintext, D: Direction> Iterator for Messages<P, D> {
    type Item = Result<D, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.has_remaining() {
            let decoded = match self.split_next() {
                Ok((number, body)) => D::decode_numbered(number, body),
                Err(fault) => Some(Err(Malformed::new("frame", "?", fault))),
            };
            match decoded {
                None => {} // an unknown number is skipped
                Some(Ok(message)) => return Some(Ok(message)),
                Some(Err(malformed)) => {
                    self.rest.advance(self.rest.remaining());
                    return Some(Err(malformed));
                }
            }
        }
        None
    }
}

macro_rules! direction {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($message:ident) = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant(v1::$message),)*
        }

        impl $name {
            /// The names of all of them in the schema, by number.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($message),)*];

            /// The messages of one plaintext, in order; unknown numbers are skipped.
            ///
            /// Each item is an error if a message breaks the schema or a limit; nothing comes after
            /// it. Limits are checked before anything is allocated.
            pub fn decode_all<P: Plaintext>(plaintext: P) -> Messages<P, Self> {
                Messages::new(plaintext)
            }

            /// Appends the message to a plaintext.
            pub fn encode_into(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(message) => embedded::encode($number, message, out),)*
                }
            }

            /// Bytes that [`Self::encode_into`] appends.
            pub fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$variant(message) => embedded::encoded_len($number, message),)*
                }
            }

            /// Its name in the schema.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($message),)* }
            }
        }

        impl Direction for $name {
            fn decode_numbered(number: u32, body: impl Plaintext) -> Option<Result<Self, Malformed>> {
                match number {
                    $($number => Some(decode(body).map(Self::$variant)),)*
                    _ => None,
                }
            }
        }

        $(
            impl From<v1::$message> for $name {
                fn from(message: v1::$message) -> Self {
                    Self::$variant(message)
                }
            }
        )*
    };
}

direction! {
    /// What a device says.
    ToServer {
        /// Takes the mailbox of this device.
        Attach(Attach) = 1,
        /// Sends one message.
        Submit(Submit) = 2,
        /// Lets records be deleted.
        Ack(Ack) = 3,
        /// Creates the account.
        Register(Register) = 4,
        /// Asks who somebody is, and for keys.
        Fetch(Fetch) = 5,
        /// Tops up the one-time keys.
        PublishKeys(PublishKeys) = 6,
        /// Asks how this server admits and what it keeps.
        Terms(TermsRequest) = 7,
        /// Replaces the account's device list.
        PublishDeviceList(PublishDeviceList) = 8,
        /// Leaves or asks for a message at a rendezvous.
        Relay(Relay) = 9,
        /// Acts for an account by its key.
        Claim(Claim) = 10,
        /// Asks for a ticket to upload or download a file.
        MediaGrant(MediaGrantRequest) = 11,
        /// This device has a file and needs it no more.
        MediaFetched(MediaFetched) = 12,
        /// Says who may see the account, and whether somebody is here.
        PresenceSet(PresenceSet) = 13,
        /// Names the chats that are open.
        PresenceWatch(PresenceWatch) = 14,
        /// Adds an entry to a group's membership log.
        GroupChange(GroupChange) = 15,
        /// Asks for entries of a membership log.
        GroupFetch(GroupFetch) = 16,
        /// Asks who is in a group, and with which device lists.
        GroupRoster(GroupRoster) = 17,
        /// Asks who has a message of this account to a group.
        GroupProgress(GroupProgress) = 18,
        /// Reports an account to the operator.
        Report(Report) = 20,
        /// This account has read posts to a group.
        GroupRead(GroupRead) = 21,
        /// How long this device is quiet at most.
        KeepaliveInterval(KeepaliveInterval) = 22,
    }
}

direction! {
    /// What the server says.
    ToClient {
        /// One tick.
        Accepted(Accepted) = 1,
        /// A no to a message or a request.
        Refused(Refused) = 2,
        /// A message of the mailbox.
        Deliver(Deliver) = 3,
        /// Two ticks.
        Receipt(Receipt) = 4,
        /// The mailbox is drained.
        CaughtUp(CaughtUp) = 5,
        /// Answer to a fetch.
        Bundles(Bundles) = 6,
        /// The account exists.
        Registered(Registered) = 7,
        /// The keys are stored.
        KeysPublished(KeysPublished) = 8,
        /// Answer to the question for terms.
        Terms(Terms) = 9,
        /// The server closes the link.
        Goodbye(Goodbye) = 10,
        /// The device list is stored.
        DeviceListPublished(DeviceListPublished) = 11,
        /// Answer at a rendezvous.
        Relayed(Relayed) = 12,
        /// The ticket for a file.
        MediaGrant(MediaGrant) = 14,
        /// That this device has a file is noted.
        MediaNoted(MediaNoted) = 15,
        /// Whether somebody is online, and types.
        Presence(Presence) = 16,
        /// The entry is stored.
        GroupChanged(GroupChanged) = 18,
        /// A group has a newer entry.
        GroupNews(GroupNews) = 19,
        /// Entries of a membership log.
        GroupLog(GroupLog) = 20,
        /// Who is in a group.
        Roster(Roster) = 21,
        /// How many have what was posted to a group.
        GroupReceipt(GroupReceipt) = 22,
        /// Who has what was posted to a group.
        Progress(Progress) = 23,
        /// The report is stored.
        ReportTaken(ReportTaken) = 24,
        /// What was read is stored.
        GroupReadTaken(GroupReadTaken) = 25,
    }
}
