//! What can go wrong when a message is sealed or opened.

use crate::group::GroupHint;

/// Why a message was not sealed. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// No session that may send: fetch the peer's bundle and call
    /// [`Pairing::start`](crate::Pairing::start).
    #[error("no session with the device: fetch its keys first")]
    NeedsSession,
    /// The body is longer than [`INNER_BODY_BYTES_MAX`](crate::INNER_BODY_BYTES_MAX).
    #[error("the message is too long: at most 48 KiB")]
    BodyTooLarge,
    /// The sessions belong to other keys than the device has now.
    #[error("the device has other keys than the one these sessions are with")]
    PeerChanged,
    /// The peer's key is one that makes no secret (a low-order point).
    #[error("the device's key is unsafe")]
    UnsafeKey,
}

/// Why a message was not opened. Nothing changed: a copy was tried and thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not a sealed message, or not one in the form that this version demands.
    #[error("the message is malformed")]
    Malformed,
    /// Sealed in a way that this version does not know.
    #[error("the message uses suite {0}, which this version does not know: update the program")]
    UnknownSuite(u8),
    /// It belongs to no session that we have.
    #[error("the message belongs to a session that this device does not have")]
    NoSession,
    /// It opens a session with a one-time key that we do not have: used before, or forgotten.
    #[error("the message was sealed for a key that this device does not have any more")]
    KeyUsed,
    /// Its key was used before, or thrown away as too old. If its counter was seen, it is a repeat.
    #[error("the message was opened before or its key is gone")]
    KeyGone,
    /// More than 2,000 messages of its session are missing before it.
    #[error("too many messages before this one are missing")]
    GapTooBig,
    /// The tag is wrong: changed on the way, or made by nobody we have a session with.
    #[error("the message was changed on the way")]
    Forged,
    /// The identities inside are not those of the envelope: sent for somebody else, or by somebody
    /// else.
    #[error("the message names another sender or recipient than its envelope")]
    WrongIdentity,
    /// The counter inside is not the one on the envelope.
    #[error("the message carries another counter than its envelope")]
    WrongCounter,
    /// The sessions belong to other keys than the device has now.
    #[error("the device has other keys than the one these sessions are with")]
    PeerChanged,
    /// It opens, a second time, a session under a fallback key.
    #[error("the message opens a session that was opened before")]
    Replayed,
    /// The peer opened too many sessions under one fallback key.
    #[error("the device opened too many sessions under one key")]
    TooManySessions,
    /// It was said in a group, or at an epoch of one, that is not here yet: fetch the group's log and
    /// try again.
    #[error("the message was said in a group at epoch {epoch}, which is not here")]
    UnknownPlace {
        /// What it says of the group.
        group: GroupHint,
        /// The epoch.
        epoch: u64,
    },
    /// A key in it makes no secret (a low-order point).
    #[error("the message holds an unsafe key")]
    UnsafeKey,
}

impl OpenError {
    /// Whether to ask the sending device for the message again. Not for what no resend can cure or
    /// an attacker could provoke without end.
    pub const fn wants_retry(&self) -> bool {
        matches!(
            self,
            Self::NoSession | Self::KeyUsed | Self::KeyGone | Self::GapTooBig | Self::Forged
        )
    }
}
