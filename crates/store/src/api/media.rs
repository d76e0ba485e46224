//! Media: which sealed files the server keeps, for whom, and until when. The bytes themselves lie
//! elsewhere; this is the book about them.

use godwit_base::{AccountId, BlobId, DeviceId};

use super::error::StoreError;

/// The book of files.
///
/// A file is kept for its **holders**, the accounts that uploaded it. Each holder names how many
/// devices will fetch it. It goes when so many different devices said that they have it, or when the
/// time of the last holder is over. A file counts against the quota of each of its holders from the
/// moment they hold it, uploaded or not.
///
/// Every method blocks until the disk is done: call it where waiting is allowed. It is durable when it
/// returns, and happened whole or not at all.
pub trait MediaBook: Send + Sync + 'static {
    /// Holds a file for an account, or holds it on: uploading goes on until `until_ms`, and a file that
    /// is there already is kept until `keep_until_ms`.
    ///
    /// # Errors
    /// [`HoldError`]; nothing changed.
    fn hold(&self, hold: &Hold) -> Result<Held, HoldError>;

    /// What an account holds of a file, if it does.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn held(&self, account: AccountId, blob: BlobId) -> Result<Option<Held>, StoreError>;

    /// The bytes of a file are durable in their place. Returns whether its account still holds it: if
    /// not, nobody will ask for these bytes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn stored(
        &self,
        account: AccountId,
        blob: BlobId,
        keep_until_ms: u64,
    ) -> Result<bool, StoreError>;

    /// A file that is there.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn blob(&self, blob: BlobId) -> Result<Option<Blob>, StoreError>;

    /// A device has the file, verified and durable, and needs it here no more. True if it was the last
    /// one: the file left the book, its bytes are to be deleted.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn fetched(&self, blob: BlobId, device: DeviceId) -> Result<bool, StoreError>;

    /// Drops a bounded slice of what is over at `now_ms`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    fn sweep_media(&self, now_ms: u64) -> Result<SweptMedia, StoreError>;

    /// Counts. From memory, never waits.
    fn media_stats(&self) -> MediaStats;

    /// Closes the book; blocks until then. Afterwards everything answers
    /// [`StoreError::Unavailable`], and it can be opened again though this one lives on.
    fn close_media(&self);
}

/// What an account wants to have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub account: AccountId,
    /// Which file.
    pub blob: BlobId,
    /// Its length.
    pub bytes: u64,
    /// Devices that will fetch it; 0: not known, it stays until it expires. Of two numbers that one
    /// account names for one file the greater counts, and 0 above all. More than
    /// [`MEDIA_FETCHERS_MAX`] are as good as unknown.
    pub fetchers: u32,
    /// Until when it may be uploaded, unix milliseconds.
    pub until_ms: u64,
    /// Until when it is kept if it is there already.
    pub keep_until_ms: u64,
    /// Bytes that the account may hold.
    pub quota_bytes: u64,
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Length of the file.
    pub bytes: u64,
    /// Whether its bytes are there.
    pub is_stored: bool,
    /// Until when it is held, unix milliseconds.
    pub until_ms: u64,
}

/// Why an account cannot hold a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// Our limit: the account holds as many bytes as it may, or [`MEDIA_HOLDS_MAX`] files.
    #[error("the account holds as much as it may")]
    Quota,
    /// Our limit: [`MEDIA_HOLDERS_MAX`] accounts hold the file already.
    #[error("too many accounts hold the file")]
    Holders,
    /// The caller's fault: the file is there and has another length.
    #[error("the file has another length")]
    Length,
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its length.
    pub bytes: u64,
    /// When it goes at the latest, unix milliseconds.
    pub until_ms: u64,
}

/// What a sweep dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweptMedia {
    /// Files that left the book: their bytes are to be deleted.
    pub gone: Vec<BlobId>,
    /// Uploads that were never finished: what came of them is to be deleted.
    pub lapsed: Vec<(AccountId, BlobId)>,
    /// Whether there is more to do now.
    pub more: bool,
    /// The clock leapt forward by more than a day and is not believed yet: nothing expires for a day.
    pub clock_leapt: bool,
}

/// Counts of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediaStats {
    /// Files that are there.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Files that one account holds at once: 136 a day for a month that not all fetch.
pub const MEDIA_HOLDS_MAX: usize = 4_096;

/// Accounts that hold one file. More than one means that a sealed file was passed on as it was.
pub const MEDIA_HOLDERS_MAX: usize = 64;

/// Devices that a holder can name to be waited for: a row notes each of them in 12 bytes.
pub const MEDIA_FETCHERS_MAX: u32 = 256;
