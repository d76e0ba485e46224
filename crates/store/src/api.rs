//! The traits that an engine implements and the words they speak.

pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod groups;
pub(crate) mod mailbox;
pub(crate) mod media;
pub(crate) mod operations;
pub(crate) mod prekeys;

use godwit_base::limits;

use directory::Directory;
use groups::Groups;
use mailbox::Mailboxes;
use operations::Operations;
use prekeys::Prekeys;

/// Everything durable that a server needs. The server holds it as `Arc<dyn Store>`.
pub trait Store: Mailboxes + Directory + Groups + Prekeys + Operations {}

impl<T: Mailboxes + Directory + Groups + Prekeys + Operations> Store for T {}

/// What one mailbox may hold and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Messages in a mailbox. Receipts are not counted here: they have [`Quotas::receipts`].
    pub records: usize,
    /// Bytes of bodies in a mailbox.
    pub bytes: u64,
    /// Receipts, and news of groups, in a mailbox. A device that does not fetch its receipts up to here is refused
    /// further submissions ([`Outcome::ReceiptsWaiting`](crate::Outcome::ReceiptsWaiting)).
    pub receipts: usize,
    /// Days after which a record that nobody fetched is dropped.
    pub expiry_days: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            records: limits::MAILBOX_RECORDS_MAX,
            bytes: limits::MAILBOX_BYTES_MAX as u64,
            receipts: limits::MAILBOX_RECORDS_MAX,
            expiry_days: limits::EXPIRY_DAYS,
        }
    }
}
