//! Directory: accounts, their device lists, link keys and invites. Off the message path.

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, Handle};

use super::error::{Answer, StoreError};

/// Who exists, and which link key is whom.
pub trait Directory: Send + Sync + 'static {
    /// Who holds this link key. From memory, never waits.
    fn standing(&self, link_key: &[u8; 32]) -> Standing;

    /// Whether the device was on its account's list and is not any more. From memory, never waits:
    /// for a session that began before its device was removed.
    fn is_removed(&self, device: DeviceId) -> bool;

    /// Creates an account with its first device list and keys, all or nothing. The very same
    /// registration again succeeds and changes nothing (and costs no invite).
    ///
    /// # Errors
    /// See [`RegisterError`]. # Cancel safety: repeat the same registration to learn the outcome.
    fn register(&self, registration: Registration) -> Answer<(), RegisterError>;

    /// Who is behind a handle or account id. Costs a disk read, not the writer.
    ///
    /// # Errors
    /// Any [`StoreError`]. # Cancel safety: dropping the answer changes nothing.
    fn profile(&self, who: Who) -> Answer<Option<Profile>>;

    /// Replaces the device list of the account of `by` by the next version. Who brings it is a device
    /// of the present list; or its owner, by a device of the new one. Devices that left it are revoked in the same commit: their mailboxes and keys go,
    /// their link keys are remembered as revoked and never accepted again; once that is durable
    /// [`Sink::removed`](crate::Sink::removed) is told. The very same list again succeeds and changes
    /// nothing. The signature is for the clients to verify.
    ///
    /// If no device stays on the list, nobody can tell the new ones of the account's groups: they find
    /// [`Entry::GroupNews`](crate::Entry::GroupNews) of each in their mailboxes.
    ///
    /// Each device that comes with the list has its `first_keys` from that commit on, a fallback key
    /// among them: who is listed can be written to. Keys of other devices are passed over.
    ///
    /// # Errors
    /// See [`ListError`]. # Cancel safety: repeat the same list to learn the outcome.
    fn replace_list(
        &self,
        by: Publisher,
        list: DeviceList,
        first_keys: Vec<FirstKeys>,
    ) -> Answer<(), ListError>;

    /// Creates an invite, or replaces the one with the same code. The caller draws the code. If there
    /// are [`INVITES_MAX`], those that are used up or expired go first.
    ///
    /// # Errors
    /// [`StoreError::Limit`] if there are too many or the code is not 1 to 64 bytes. Any [`StoreError`]. # Cancel safety: may have happened; repeat it.
    fn put_invite(&self, invite: Invite) -> Answer<()>;

    /// All invites, used up and expired ones too, ordered by code; at most [`INVITES_MAX`] exist.
    ///
    /// # Errors
    /// Any [`StoreError`]. # Cancel safety: dropping the answer changes nothing.
    fn invites(&self) -> Answer<Vec<Invite>>;
}

/// Invites that may exist at once: 1,000 x about 100 B; each may be good for many registrations.
pub const INVITES_MAX: usize = 1_000;

/// Who holds a link key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A device on its account's list.
    Device(DeviceId),
    /// A device that was removed from its list.
    Revoked(DeviceId),
    /// Nobody known: may register.
    Stranger,
}

/// A new account. The store checks uniqueness and bounds; signatures are for the clients to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The account identity key; the account id is [`AccountId::of_key`] of it.
    pub account_key: [u8; 32],
    /// The wished handle.
    pub handle: Handle,
    /// An invite code, if the client has one. Used only if `require_invite`.
    pub invite: Option<String>,
    /// Whether registration needs an invite.
    pub require_invite: bool,
    /// The first device list: at least one device.
    pub list: DeviceList,
    /// The device that registers, on the list, and owner of `keys`.
    pub device: DeviceNumber,
    /// Its first keys.
    pub keys: KeyUpload,
}

/// The devices of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    /// From 1; the next list has one more.
    pub version: u64,
    /// As the account's owner signed it; opaque here. At most `SIGNED_LIST_BYTES_MAX`.
    pub signed: Bytes,
    /// Number and link key of each, 1 to `DEVICES_MAX`, numbers ascending from 1 and never reused.
    pub devices: Vec<(DeviceNumber, [u8; 32])>,
}

/// Who brings a device list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publisher {
    /// A device of the present list.
    Device(DeviceId),
    /// A device of the new list, which showed that its owner has the account's key.
    Owner(DeviceId),
}

impl Publisher {
    /// The device, present or new.
    pub fn device(self) -> DeviceId {
        match self {
            Self::Device(device) | Self::Owner(device) => device,
        }
    }
}

/// Keys that a device publishes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyUpload {
    /// (id, signed key). Ids grow: one at or below the highest id that this device ever published is
    /// a repeat and changes nothing, so that a key once taken can never come back (M9).
    pub one_time: Vec<(u64, Bytes)>,
    /// The new fallback key, or keep the present one.
    pub fallback: Option<Bytes>,
}

/// The keys of a device that is new on a list.
pub type FirstKeys = (DeviceNumber, KeyUpload);

/// Whom to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By what people call it.
    Handle(Handle),
    /// By its id.
    Account(AccountId),
}

/// An account as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its id.
    pub account: AccountId,
    /// Its handle.
    pub handle: Handle,
    /// The account identity key.
    pub account_key: [u8; 32],
    /// Its present device list.
    pub list: DeviceList,
}

/// Something that lets strangers register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The secret, 1 to 64 bytes.
    pub code: String,
    /// Registrations it is still good for.
    pub uses_left: u32,
    /// Unix milliseconds from which it is void.
    pub expires_ms: u64,
}

/// Why an account was not created. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another account has this handle.
    #[error("the handle is taken")]
    HandleTaken,
    /// Another registration has this account id.
    #[error("the account exists already")]
    AccountTaken,
    /// A link key of the list belongs, or belonged, to a device.
    #[error("the link key is in use")]
    LinkKeyTaken,
    /// An invite is needed and none was given.
    #[error("an invite is required")]
    InviteRequired,
    /// The invite is unknown, used up or expired.
    #[error("the invite is not valid")]
    InviteInvalid,
    /// The list is empty, out of order or too long, or does not hold the device.
    #[error("the device list is malformed")]
    ListMalformed,
    /// More one-time keys than may be kept, or a key too large.
    #[error("too many one-time keys or a key too large")]
    KeyLimit,
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a device list was not replaced. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// No such account.
    #[error("no such account")]
    UnknownAccount,
    /// The device that brings it is not on the list that it has to be on.
    #[error("the device is not on its account's list")]
    NotListed,
    /// The version is not above the present one, and the list is not the present one.
    #[error("another device list of this version or a later one is stored")]
    Stale,
    /// The version is more than one above the present one.
    #[error("a version is missing before this device list")]
    NotNext,
    /// A new device has a number that was used before.
    #[error("device numbers are never reused")]
    NumberReused,
    /// A link key belongs, or belonged, to another device, or a device's key was changed.
    #[error("the link key is in use")]
    LinkKeyTaken,
    /// The list is empty, out of order or too long.
    #[error("the device list is malformed")]
    ListMalformed,
    /// A new device comes without a fallback key, or with too many keys or too large ones.
    #[error("the keys of a new device are missing or too large")]
    KeysMissing,
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}
