//! Mailboxes: the durable, ordered queue of each device. The message path of the server.

use std::sync::Arc;

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Seq};

use super::error::{Answer, Full, StoreError};

/// The message path. Its two verbs never block and never wait: the one writer decides, and tells the
/// [`Sink`].
pub trait Mailboxes: Send + Sync + 'static {
    /// Stores one message for every device of its recipients, or for none.
    ///
    /// Exactly one [`Settled`] with the submission's token and counter follows, in the order of
    /// submission per sender. The submission is decided whole: window, device lists, quotas.
    ///
    /// # Errors
    /// [`Full`] if the queue is full: nothing was taken and nothing will be settled.
    fn submit(&self, submission: Submission) -> Result<(), Full>;

    /// The highest counter that was accepted from this device; 0 if none was, or it is unknown. From
    /// memory, never waits.
    fn highest_counter(&self, device: DeviceId) -> u64;

    /// Deletes every record of `device` up to and including `up_to`, and files receipts in the same
    /// commit into all mailboxes of the accounts the records came from.
    ///
    /// There is no answer: if it is lost in a crash the records are delivered again and the client
    /// drops them. Name only what was delivered to the device (cumulative, never "all").
    ///
    /// # Errors
    /// [`Full`] if the queue is full: nothing was taken. The next acknowledgement covers this one.
    fn acknowledge(&self, device: DeviceId, up_to: Seq) -> Result<(), Full>;

    /// Reads records of `device` after `after` in order: at most `max_records`, and bodies of at most
    /// `max_bytes` bytes, but at least one record if there is any.
    ///
    /// The page holds what is durable when the store decides the read, and everything that is made
    /// durable later is told to [`Sink::appended`]: a record may come both ways, never neither way. An
    /// empty mailbox touches no disk and waits for none. An unknown device has an empty mailbox.
    ///
    /// # Errors
    /// Any [`StoreError`]. # Cancel safety: dropping the answer changes nothing.
    fn read(
        &self,
        device: DeviceId,
        after: Seq,
        max_records: usize,
        max_bytes: usize,
    ) -> Answer<Page, StoreError>;
}

/// What the store calls back, from its one writer thread: return at once, never block, never call
/// the store's waiting methods from here.
///
/// After each durable batch: first [`Sink::settled`], then [`Sink::appended`], then
/// [`Sink::removed`].
pub trait Sink: Send + Sync + 'static {
    /// These submissions are decided: durable, repeated or refused.
    fn settled(&self, settled: &[Settled]);

    /// These records are durable and new; in order per device. Told for every device: one without a
    /// session is the receiver's business.
    fn appended(&self, appended: &[Appended]);

    /// Any mailbox may hold records that were never told: the file was opened anew after a failed
    /// batch, which may be in it all the same, or a call of this sink failed. Whoever hands records
    /// over in RAM reads the mailbox again before the next one: an acknowledgement covers everything
    /// before it, and would delete what was passed over.
    fn missed(&self);

    /// These devices left their accounts' lists: their mailboxes are gone, nothing they submit is
    /// taken. Told once, and not at all if the store fails right after the commit: whoever serves a
    /// device asks [`Directory::is_removed`](crate::Directory::is_removed) too. Without sessions
    /// there is nothing to do.
    fn removed(&self, _devices: &[DeviceId]) {}
}

/// One message to store.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The sending device.
    pub origin: DeviceId,
    /// The sender's own counter: with `origin` the message id. From 1.
    pub counter: u64,
    /// Who gets it; each account once. Nobody if it is a post with a body.
    pub recipients: Vec<Recipient>,
    /// The group it is for, if it is for one.
    pub post: Option<GroupPost>,
    /// Comes back in [`Settled`].
    pub token: Token,
}

/// A message to a group: with copies for all its members, or with one body for all of their devices but
/// the one that sends.
#[derive(Debug, Clone)]
pub struct GroupPost {
    /// The group.
    pub group: GroupId,
    /// The epoch that it is sealed for.
    pub epoch: u64,
    /// The devices that the body is sealed for; see [`GroupRoster`](crate::GroupRoster).
    pub devices_version: u64,
    /// Opaque; empty if there are copies. At most `BODY_BYTES_MAX`.
    pub body: Bytes,
}

impl GroupPost {
    /// Whether there is one body for all.
    pub fn is_shared(&self) -> bool {
        !self.body.is_empty()
    }
}

/// The copies for one account.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The account.
    pub account: AccountId,
    /// Version of the device list that the copies were sealed for.
    pub list_version: u64,
    /// Exactly one for each device of that list, less the sending device.
    pub copies: Vec<SealedCopy>,
}

/// One device's copy; the body is opaque to the store.
#[derive(Debug, Clone)]
pub struct SealedCopy {
    /// The device, within the recipient's account.
    pub device: DeviceNumber,
    /// What its mailbox will hold, at most `RECORD_BODY_BYTES_MAX`.
    pub body: Bytes,
}

/// Whatever the caller wants back with the outcome, typically its key of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// A decided submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The submission's token.
    pub token: Token,
    /// The submission's counter.
    pub counter: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a submission. Everything but the first two stored nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Durable for every recipient device.
    Accepted {
        /// When it was stored, unix milliseconds.
        at_ms: u64,
    },
    /// Was accepted before and is durable; nothing was stored now.
    Repeated {
        /// Now, unix milliseconds: when the first one was stored is not remembered.
        at_ms: u64,
    },
    /// Sealed for other devices than these accounts have. Seal again, same counter.
    Mismatch(Vec<Mismatch>),
    /// No such recipient.
    UnknownAccount(AccountId),
    /// This device's mailbox is full, or its sender has its fair share of it already.
    MailboxFull(DeviceId),
    /// The sender has let too many receipts pile up in its own mailbox. A retry helps once it has
    /// fetched them.
    ReceiptsWaiting,
    /// Older than the de-duplication window: it cannot be told whether it was accepted.
    CounterTooOld,
    /// The sending device is not (or no longer) on its account's list.
    Revoked,
    /// There is no such group.
    GroupUnknown,
    /// The sender's account is not in the group.
    NotMember,
    /// The group has another epoch.
    GroupStale,
    /// Only admins write in the group.
    NotAdmin,
    /// Devices of members have changed since the sender last looked.
    GroupListsStale,
    /// Copies for a group that are not for exactly its members, an account named twice, no recipients, counter 0, or a bound of `godwit_base::limits` broken.
    Malformed,
    /// The disk is below its reserve. A retry helps.
    DiskFull,
    /// A write or sync failed. A retry helps, and tells whether it was stored after all.
    Unavailable,
}

/// One recipient's true device list beside what was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The account.
    pub account: AccountId,
    /// Version of its present list.
    pub list_version: u64,
    /// The present list as its owner signed it.
    pub signed: Bytes,
    /// Devices of the list without a copy.
    pub missing: Vec<DeviceNumber>,
    /// Copies for devices that are not on the list (or named twice).
    pub extra: Vec<DeviceNumber>,
}

/// A record of a mailbox. Cloning shares the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place: grows along the mailbox; holds the time at which it was stored.
    pub seq: Seq,
    /// What it is.
    pub entry: Entry,
}

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A sealed message.
    Message {
        /// The sending device.
        from: DeviceId,
        /// The sender's counter.
        counter: u64,
        /// As submitted.
        body: Bytes,
    },
    /// A watermark: device `by` has everything that device `origin` of this mailbox's account had
    /// accepted for it with a counter up to `up_to`. It replaces older ones of the same `by` and
    /// `origin`, and is never itself receipted.
    Receipt {
        /// Whose messages: a device of the mailbox's own account, not always the mailbox's own.
        origin: DeviceNumber,
        /// The device that acknowledged.
        by: DeviceId,
        /// The newest counter it has.
        up_to: u64,
    },
    /// A message to a group whose body all mailboxes share, on disk and here.
    Post(Arc<Post>),
    /// A group has a newer entry in its log. It replaces older ones of that group.
    GroupNews {
        /// The group.
        group: GroupId,
        /// The number of the newest entry.
        epoch: u64,
        /// Posts passed this mailbox by, because it was full.
        missed: bool,
    },
    /// Posts of device `origin` of this mailbox's account have come further. There is one for each group
    /// and origin, and it tells of everything up to when it is read.
    GroupReceipt {
        /// The group.
        group: GroupId,
        /// Whose posts: a device of the mailbox's own account.
        origin: DeviceNumber,
        /// The newest posts.
        posts: Vec<PostReach>,
    },
}

/// How far one post has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostReach {
    /// Its counter.
    pub counter: u64,
    /// How many other accounts have it.
    pub accounts: u32,
    /// How many of these say that they have read it.
    pub readers: u32,
}

/// A message to a group, once for all who get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The sending device.
    pub from: DeviceId,
    /// The sender's counter.
    pub counter: u64,
    /// The group.
    pub group: GroupId,
    /// Its epoch when the post was accepted.
    pub epoch: u64,
    /// As submitted.
    pub body: Bytes,
}

/// A record that is new in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox.
    pub device: DeviceId,
    /// The record.
    pub record: Record,
}

/// Records of a mailbox, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In order of [`Record::seq`].
    pub records: Vec<Record>,
    /// Whether the mailbox held more after these. `false` on an empty page means drained.
    pub more: bool,
}
