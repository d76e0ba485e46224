//! Prekeys: the published keys that open sessions with a device while it is away.

use bytes::Bytes;
use godwit_base::DeviceId;

use super::directory::KeyUpload;
use super::error::{Answer, StoreError};

/// One-time and fallback keys of devices.
pub trait Prekeys: Send + Sync + 'static {
    /// Adds one-time keys and replaces the fallback key; answers how many one-time keys are left.
    /// All or nothing; the same upload again changes nothing.
    ///
    /// # Errors
    /// See [`KeysError`]. # Cancel safety: may have happened; repeat it.
    fn publish_keys(&self, device: DeviceId, keys: KeyUpload) -> Answer<u32, KeysError>;

    /// Takes what opens a session with `device`: its fallback key and, if `one_time`, one one-time key
    /// while there is any.
    ///
    /// The one-time key is deleted durably before the answer (M9).
    ///
    /// # Errors
    /// See [`KeysError`]. # Cancel safety: a key taken for an answer that nobody reads is lost, never
    /// given out again.
    fn take_keys(&self, device: DeviceId, one_time: bool) -> Answer<TakenKeys, KeysError>;

    /// One-time keys left for `device`; 0 for an unknown one. From memory, never waits.
    fn one_time_left(&self, device: DeviceId) -> u32;
}

/// What opens a session with a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TakenKeys {
    /// A one-time key, now gone from the store.
    pub one_time: Option<Bytes>,
    /// The fallback key; none if the device never published one.
    pub fallback: Option<Bytes>,
}

/// Why keys were not published or taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// No such device.
    #[error("no such device")]
    UnknownDevice,
    /// More one-time keys than may be kept, or a key too large.
    #[error("too many one-time keys or a key too large")]
    KeyLimit,
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}
