//! Durable state of a Godwit server: mailboxes, directory, prekeys, behind object-safe traits.
//!
//! The map:
//! - [`Store`] is what the server holds (`Arc<dyn Store>`): [`Mailboxes`] for the message path,
//!   [`Directory`], [`Groups`] and [`Prekeys`] beside it, [`Operations`] for the operator. All in `api`.
//! - [`Sink`] is what the store calls back: what is settled, and what is new in which mailbox.
//! - [`Embedded`] is the engine that needs nothing else: one file, one writer thread. Its inside is
//!   mapped at the top of `embedded.rs`, its file in `docs/schema.md`.
//! - [`MediaBook`] is beside all this: which files are kept for whom; [`EmbeddedMedia`] its engine.
//! - `conformance` (a feature) is the suite that every engine passes.
//!
//! Beyond the first sketch of these traits: a receipt names the sending device it is about
//! ([`Entry::Receipt`]'s `origin`), because it goes to all devices of that account; records are
//! handed over by batch and by value (a clone shares the body); answers borrow nothing ([`Answer`]),
//! so that a session can keep them; the caller draws invite codes, so that the store needs no chance.
//!
//! What the traits promise, for every engine:
//! - **durable, then settled**: [`Outcome::Accepted`] is told only after all records of the
//!   submission are synced (M1); either all recipients have it or none.
//! - **acknowledge deletes and files the receipt in one commit** (M2, M5).
//! - **a message id is stored once** (M3): a repeat stores nothing and is settled as
//!   [`Outcome::Repeated`].
//! - **bounded** (M8): a full queue answers [`Full`], a full mailbox [`Outcome::MailboxFull`], a full
//!   disk [`Outcome::DiskFull`]; nothing accepted is dropped.

mod api;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;

pub use api::directory::{
    DeviceList, Directory, FirstKeys, INVITES_MAX, Invite, KeyUpload, ListError, Profile,
    Publisher, RegisterError, Registration, Standing, Who,
};
pub use api::error::{Answer, Full, OpenError, StoreError};
pub use api::groups::{
    GroupChange, GroupError, GroupLog, GroupRoster, GroupSettings, Groups, LogRead, PostRead,
    Reached, Role,
};
pub use api::mailbox::{
    Appended, Entry, GroupPost, Mailboxes, Mismatch, Outcome, Page, Post, PostReach, Recipient,
    Record, SealedCopy, Settled, Sink, Submission, Token,
};
pub use api::media::{
    Blob, Held, Hold, HoldError, MEDIA_FETCHERS_MAX, MEDIA_HOLDERS_MAX, MEDIA_HOLDS_MAX, MediaBook,
    MediaStats, SweptMedia,
};
pub use api::operations::{
    BackupReport, CompactReport, META_BYTES_MAX, Operations, Scrubbed, Stats, Swept, VerifyReport,
};
pub use api::prekeys::{KeysError, Prekeys, TakenKeys};
pub use api::{Quotas, Store};
#[cfg(feature = "driven")]
pub use embedded::Driver;
pub use embedded::{Disk, Embedded, EmbeddedMedia, FileDisk, Options, compact, restore};
