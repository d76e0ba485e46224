//! Operations: what the server itself and its operator need beside messages.

use std::path::PathBuf;

use bytes::Bytes;

use super::error::{Answer, OpenError};

/// Housekeeping. Nothing here is on the message path.
pub trait Operations: Send + Sync + 'static {
    /// Remembers a small value (server keys, epochs) under a name; at most
    /// [`META_BYTES_MAX`] bytes. Durable before the answer, and taken on a full disk too.
    ///
    /// # Errors
    /// [`StoreError::Limit`](crate::StoreError::Limit) if it is larger. Any [`StoreError`](crate::StoreError). # Cancel safety: may have happened; repeat it.
    fn put_meta(&self, name: &'static str, value: Bytes) -> Answer<()>;

    /// The value under a name.
    ///
    /// # Errors
    /// Any [`StoreError`](crate::StoreError). # Cancel safety: dropping the answer changes nothing.
    fn meta(&self, name: &'static str) -> Answer<Option<Bytes>>;

    /// Drops a bounded slice of what nobody may read any more: records older than the expiry, and
    /// records of removed devices. The server calls it each minute, and at once again while
    /// [`Swept::more`]. Then, when there is no more, room that most of the files' bytes leave unused is given
    /// back to the disk.
    ///
    /// # Errors
    /// Any [`StoreError`](crate::StoreError). # Cancel safety: may have happened; call it again.
    fn sweep(&self) -> Answer<Swept>;

    /// Counts as of the last batch. From memory, never waits.
    fn stats(&self) -> Stats;

    /// Milliseconds for which the writer has been at its present turn, 0 between two: it grows while the disk
    /// does not answer. From memory, never waits, not even for that disk.
    fn busy_ms(&self) -> u64;

    /// Writes a consistent snapshot of everything into a new file, while serving. The file appears
    /// under its name only when it is whole and synced.
    ///
    /// # Errors
    /// [`OpenError`]. # Cancel safety: the backup goes on to its end.
    fn backup(&self, to: PathBuf) -> Answer<BackupReport, OpenError>;

    /// Reads everything and checks every row's checksum and form, while serving.
    ///
    /// # Errors
    /// [`StoreError::Damaged`](crate::StoreError::Damaged) with what was found first.
    /// # Cancel safety: the check goes on to its end.
    fn verify(&self) -> Answer<VerifyReport>;

    /// Reads the next `rows` rows of all there are, 1 at least, and checks their checksums and forms, while
    /// serving: called again and again it goes through everything, and then begins anew.
    ///
    /// # Errors
    /// Any [`StoreError`](crate::StoreError) but that rows are damaged, which is an answer.
    /// # Cancel safety: the slice is read to its end.
    fn scrub(&self, rows: u32) -> Answer<Scrubbed>;

    /// Completes when the writer ends by itself, which only a bug of the engine makes it do: failures
    /// of the disk it outlives. Called again, it first starts a writer anew, which reads everything
    /// from disk; what the ended one held was not settled.
    ///
    /// # Errors
    /// That it ended: always [`StoreError::Unavailable`](crate::StoreError::Unavailable). # Cancel safety: it only waits.
    fn watch_writer(&self) -> Answer<()>;

    /// Settles what was taken, closes the files and ends the threads; blocks until then. Afterwards
    /// everything answers [`Full`](crate::Full) or [`StoreError::Busy`](crate::StoreError::Busy).
    fn close(&self);
}

/// Largest value of [`Operations::put_meta`], bytes: several keys and room.
pub const META_BYTES_MAX: usize = 64 * 1024;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records dropped because nobody fetched them in time.
    pub expired: u32,
    /// Records dropped because their device was removed.
    pub orphaned: u32,
    /// Whether there is more to do now.
    pub more: bool,
    /// The clock leapt forward by more than a day and is not believed yet: nothing expires for a day.
    pub clock_leapt: bool,
}

/// What a slice of the scrubber found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Rows that were read.
    pub rows: u32,
    /// Those of them that are not as they were written; a table that cannot be read counts as one.
    pub damaged: u32,
    /// The first of these.
    pub what: Option<String>,
    /// Everything was read once: the next slice begins anew.
    pub is_whole: bool,
}

/// Counts of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records queued in all mailboxes, receipts included.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Mailboxes with at least one record.
    pub mailboxes: u64,
    /// Accounts.
    pub accounts: u64,
    /// Devices on their accounts' lists.
    pub devices: u64,
    /// Groups that have members.
    pub groups: u64,
    /// Messages to groups whose body is stored once for all who have not fetched it.
    pub posts: u64,
    /// Durable batches since opening.
    pub batches: u64,
    /// Submissions accepted since opening.
    pub accepted: u64,
    /// Submissions recognised as repeats since opening.
    pub repeated: u64,
    /// Records deleted by acknowledgement since opening.
    pub acknowledged: u64,
    /// Records expired since opening.
    pub expired: u64,
    /// Times that a failed write or sync made the engine reopen from disk.
    pub reopened: u64,
    /// Whether submissions are refused because the disk is below its reserve.
    pub disk_full: bool,
    /// Whether the engine works; false between a failure and the reopening that follows.
    pub available: bool,
    /// Bytes that the files take.
    pub file_bytes: u64,
    /// Rows that the scrubber has read since opening.
    pub scrubbed: u64,
    /// Times that it has read everything.
    pub scrubs: u64,
    /// Rows that it found damaged; each counts once a time.
    pub scrub_damaged: u64,
    /// Submissions and acknowledgements that wait for the next batch.
    pub waiting: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactReport {
    /// Bytes of the file before.
    pub before_bytes: u64,
    /// And after.
    pub after_bytes: u64,
}

/// What a verification read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Rows of all tables, all whole.
    pub rows: u64,
    /// Records of mailboxes among them.
    pub records: u64,
}
