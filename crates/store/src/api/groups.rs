//! Groups: who is in them, in one order for all. What an entry means is for the members to verify; the
//! store works with the rows beside it, as with device lists.

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};

use super::error::{Answer, StoreError};

/// The membership logs. Posting to a group is [`Mailboxes::submit`](crate::Mailboxes::submit).
pub trait Groups: Send + Sync + 'static {
    /// Adds the next entry to a group's log, which is the present epoch from then on; entry 1 creates
    /// the group. In the same commit every device of every member, and of who left by it, but `by`
    /// itself, gets [`Entry::GroupNews`](crate::Entry::GroupNews). The very same entry again from the
    /// same account succeeds and changes nothing.
    ///
    /// An admin may do everything; a member may take itself out; anybody else may come in as a plain
    /// member by the secret of the link.
    ///
    /// # Errors
    /// See [`GroupError`]. # Cancel safety: repeat the same entry to learn the outcome.
    fn change_group(&self, by: DeviceId, change: GroupChange) -> Answer<(), GroupError>;

    /// Entries after `after`, oldest first: at most `max_entries`, and `max_bytes` of them, but one if
    /// there is any. For members, for who left up to the entry by which it did, and for who knows the
    /// link, whose secret has the hash `shows`. Costs a disk read, not the writer.
    ///
    /// # Errors
    /// See [`GroupError`]. # Cancel safety: dropping the answer changes nothing.
    fn group_log(&self, read: LogRead) -> Answer<GroupLog, GroupError>;

    /// Who is in a group, for one of them.
    ///
    /// # Errors
    /// See [`GroupError`]. # Cancel safety: dropping the answer changes nothing.
    fn group_roster(&self, by: AccountId, group: GroupId) -> Answer<GroupRoster, GroupError>;

    /// Which accounts have what device `origin` of `by` posted to the group under `counter` or later,
    /// and up to which counter, by account. Nothing is known of what nobody acknowledged, or of what
    /// was last acknowledged longer ago than records live. Costs a disk read, not the writer.
    ///
    /// # Errors
    /// Any [`StoreError`]. # Cancel safety: dropping the answer changes nothing.
    fn group_progress(
        &self,
        by: AccountId,
        group: GroupId,
        origin: DeviceNumber,
        counter: u64,
    ) -> Answer<Vec<Reached>>;

    /// Account `by` has read what devices posted to the group, up to a counter each. It counts as far as a
    /// device of `by` has acknowledged what the device posted, never goes back, and never counts for the
    /// account's own posts; what it says of who posted nothing that it has is passed over. The author is
    /// told as of acknowledgements, by [`Entry::GroupReceipt`](crate::Entry::GroupReceipt).
    ///
    /// # Errors
    /// [`StoreError::Busy`] also while acknowledgements before it are not all done. # Cancel safety: repeat
    /// it to learn the outcome; the same again changes nothing.
    fn note_read(&self, by: AccountId, group: GroupId, marks: Vec<PostRead>) -> Answer<()>;

    /// Members of a group; 0 if there is no such group. From memory, never waits.
    fn group_size(&self, group: GroupId) -> u32;
}

/// An account that has something that was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The account.
    pub account: AccountId,
    /// The newest counter that one of its devices has.
    pub up_to: u64,
    /// The newest counter that it says to have read; 0 if it says nothing.
    pub read_up_to: u64,
}

/// What was read of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostRead {
    /// The device that posted.
    pub author: DeviceId,
    /// The newest counter that was read.
    pub up_to: u64,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Write, unless only admins may, and leave.
    Member,
    /// Everything.
    Admin,
}

/// What holds for a whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupSettings {
    /// Whether posts of others are refused.
    pub only_admins_write: bool,
    /// Hash of the secret by which anybody may come in, if there is such a link.
    pub invite_hash: Option<[u8; 32]>,
}

/// One entry of a membership log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChange {
    /// The group.
    pub group: GroupId,
    /// Number of the entry, from 1.
    pub epoch: u64,
    /// As its author signed it; opaque here. At most `GROUP_ENTRY_BYTES_MAX`.
    pub signed: Bytes,
    /// Who has which role from then on, or none; each account once.
    pub members: Vec<(AccountId, Option<Role>)>,
    /// New settings, or the present ones stay.
    pub settings: Option<GroupSettings>,
    /// Hash of the secret that was shown.
    pub shows: Option<[u8; 32]>,
}

/// A question for entries of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRead {
    /// Who asks.
    pub by: AccountId,
    /// The group.
    pub group: GroupId,
    /// The newest entry that is known.
    pub after: u64,
    /// Hash of the secret that was shown.
    pub shows: Option<[u8; 32]>,
    /// Most entries.
    pub max_entries: usize,
    /// Most bytes of entries.
    pub max_bytes: usize,
}

/// Entries of a membership log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupLog {
    /// The newest entry that whoever asks may read.
    pub epoch: u64,
    /// Number and signed form of each, in order.
    pub entries: Vec<(u64, Bytes)>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRoster {
    /// The present epoch.
    pub epoch: u64,
    /// Another one after each change of the devices of a member; within an epoch it only grows.
    pub devices_version: u64,
    /// Role and device list version of each, by account.
    pub members: Vec<(AccountId, Role, u64)>,
    /// What holds for all.
    pub settings: GroupSettings,
}

/// Why a group was not changed or read. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// No such group, or it has ended.
    #[error("there is no such group")]
    Unknown,
    /// The epoch is not the one after the present one, and the entry is not stored.
    #[error("the group has changed")]
    Stale,
    /// The account is not in the group.
    #[error("the account is not in the group")]
    NotMember,
    /// Only an admin may do this.
    #[error("only admins may do this")]
    NotAdmin,
    /// More members than may be.
    #[error("the group is full")]
    Full,
    /// The secret that was shown is not that of the present link.
    #[error("the link is not valid")]
    LinkInvalid,
    /// The log holds its maximum.
    #[error("the group has been changed too often")]
    LogFull,
    /// Out of bounds, an account twice or unknown, or nobody left who is admin.
    #[error("this change cannot stand")]
    Invalid,
    /// An account would be in too many groups.
    #[error("an account is in too many groups")]
    TooManyGroups,
    /// The device that brings it is not on its account's list.
    #[error("the device is not on its account's list")]
    NotListed,
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}
