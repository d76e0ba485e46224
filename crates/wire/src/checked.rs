//! Every message of the schema with its limits: decoding that checks first.

use bytes::{Buf, Bytes};
use prost::Message;

use crate::malformed::{Fault, Malformed};
use crate::shape::{self, Shape};
use crate::v1;

/// A message of the schema. Only this crate's table of limits makes one.
pub trait Checked: Message + Default + sealed::Limits {}

pub(crate) mod sealed {
    use crate::shape::Shape;

    /// The limits of a message.
    pub trait Limits {
        /// Its entry in the table.
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside names the table")]
        const SHAPE: &'static Shape;
    }

    /// Bytes that lie in one piece.
    pub trait Piece {
        /// Takes the first `length` bytes off; `length` is at most what is left.
        #[doc(hidden)]
        fn split(&mut self, length: usize) -> Self;
    }
}

/// Decrypted bytes in one piece: a slice, or [`Bytes`].
///
/// From `Bytes` the fields of a message are slices that share the buffer, so one small body keeps a
/// whole big frame alive. From a slice each gets its own bytes, of exact size.
pub trait Plaintext: Buf + sealed::Piece {}

impl Plaintext for &[u8] {}

impl sealed::Piece for &[u8] {
    fn split(&mut self, length: usize) -> Self {
        self.split_off(..length.min(self.len())).unwrap_or_default()
    }
}

impl Plaintext for Bytes {}

impl sealed::Piece for Bytes {
    fn split(&mut self, length: usize) -> Self {
        self.split_to(length.min(self.len()))
    }
}

/// Reads one message, such as the [`v1::Hello`] in a handshake's payload.
///
/// # Errors
/// [`Malformed`] before anything is allocated, if a limit is broken or the bytes are no such message.
pub fn decode<M: Checked>(bytes: impl Plaintext) -> Result<M, Malformed> {
    let shape = M::SHAPE;
    shape::check(shape, bytes.chunk())?;
    M::decode(bytes).map_err(|_| Malformed::new(shape.name, "?", Fault::Undecodable))
}

/// Writes one message.
pub fn encode<M: Checked>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

macro_rules! checked {
    ($($message:ident: $shape:ident,)*) => {
        $(
            impl sealed::Limits for v1::$message {
                #[expect(private_interfaces, reason = "sealed: nobody outside names the table")]
                const SHAPE: &'static Shape = &shape::$shape;
            }
            impl Checked for v1::$message {}
        )*

        /// Each entry of the table with the decoder of its message.
        #[cfg(test)]
        pub(crate) const ALL: &[(&Shape, fn(&[u8]) -> Result<(), Malformed>)] =
            &[$((&shape::$shape, |bytes| decode::<v1::$message>(bytes).map(drop)),)*];
    };
}

checked! {
    Hello: HELLO,
    Welcome: WELCOME,
    Attach: ATTACH,
    KeepaliveInterval: KEEPALIVE_INTERVAL,
    Submit: SUBMIT,
    Recipient: RECIPIENT,
    SealedCopy: SEALED_COPY,
    Ack: ACK,
    Register: REGISTER,
    DeviceListUpload: DEVICE_LIST_UPLOAD,
    DeviceRow: DEVICE_ROW,
    KeyUpload: KEY_UPLOAD,
    OneTimeKey: ONE_TIME_KEY,
    Registered: REGISTERED,
    Fetch: FETCH,
    Bundles: BUNDLES,
    DeviceBundle: DEVICE_BUNDLE,
    PublishKeys: PUBLISH_KEYS,
    KeysPublished: KEYS_PUBLISHED,
    PublishDeviceList: PUBLISH_DEVICE_LIST,
    FirstKeys: FIRST_KEYS,
    DeviceListPublished: DEVICE_LIST_PUBLISHED,
    MediaGrantRequest: MEDIA_GRANT_REQUEST,
    MediaGrant: MEDIA_GRANT,
    MediaFetched: MEDIA_FETCHED,
    MediaNoted: MEDIA_NOTED,
    Relay: RELAY,
    Relayed: RELAYED,
    Claim: CLAIM,
    TermsRequest: TERMS_REQUEST,
    Terms: TERMS,
    Accepted: ACCEPTED,
    Refused: REFUSED,
    Mismatch: MISMATCH,
    Deliver: DELIVER,
    Receipt: RECEIPT,
    CaughtUp: CAUGHT_UP,
    Goodbye: GOODBYE,
    PresenceSet: PRESENCE_SET,
    PresenceWatch: PRESENCE_WATCH,
    OpenChat: OPEN_CHAT,
    Presence: PRESENCE,
    GroupPost: GROUP_POST,
    GroupChange: GROUP_CHANGE,
    GroupMember: GROUP_MEMBER,
    GroupSettings: GROUP_SETTINGS,
    GroupChanged: GROUP_CHANGED,
    GroupNews: GROUP_NEWS,
    GroupFetch: GROUP_FETCH,
    GroupLog: GROUP_LOG,
    GroupEntry: GROUP_ENTRY,
    GroupRoster: GROUP_ROSTER,
    Roster: ROSTER,
    RosterRow: ROSTER_ROW,
    GroupReceipt: GROUP_RECEIPT,
    PostReach: POST_REACH,
    GroupProgress: GROUP_PROGRESS,
    Progress: PROGRESS,
    Reached: REACHED,
    Report: REPORT,
    ReportedMessage: REPORTED_MESSAGE,
    ReportTaken: REPORT_TAKEN,
    GroupRead: GROUP_READ,
    PostRead: POST_READ,
    GroupReadTaken: GROUP_READ_TAKEN,
}
