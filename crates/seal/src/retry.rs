//! Retry requests and session repair: how two devices find together again, within limits that keep
//! it from becoming an oracle or an amplifier.

use prost::Message;

use crate::account::AccountPublic;
use crate::bundle::Bundle;
use crate::device::DeviceKeys;
use crate::error::SealError;
use crate::format;
use crate::pairing::Pairing;
use crate::suite::{prefix, strip};
use crate::verified::Verified;

/// Times a device asks for one message, and times one message is sent again.
pub const RETRY_MAX: u32 = 3;

/// Shortest time between two new sessions that a peer device's requests may cause, 1 hour: else a
/// hostile server could use up the peer's one-time keys through us.
pub const REPAIR_INTERVAL_MS: u64 = 3600 * 1000;

/// How long a sent message may be asked for, 14 days: the send log keeps it so long at most.
pub const RESEND_AGE_MAX_MS: u64 = 14 * 24 * 3600 * 1000;

/// Longest encoded retry request: suite, a 64-bit and a 32-bit number.
const REQUEST_BYTES_MAX: usize = 32;

/// "I could not open your message": readable by the server, holds no secret and no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRequest {
    /// The counter on the envelope that did not open.
    pub counter: u64,
    /// Which request for this message it is, 1 to [`RETRY_MAX`].
    pub attempt: u32,
}

/// What the send log knows of a message and one of its recipient devices.
#[derive(Debug, Clone, Copy)]
pub struct SentTo {
    /// The account key of the recipient when it was sent.
    pub account_key: AccountPublic,
    /// When it was sent, unix milliseconds.
    pub sent_at_ms: u64,
    /// How often it was sent again to this device.
    pub resends: u32,
}

/// What to do about a retry request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Seal the message anew, with `resend_of`, on the present session: it is newer than the one
    /// the message went out on.
    Resend,
    /// Fetch the device's bundle, [`Pairing::repair`], then seal the message anew.
    RepairThenResend,
    /// Do nothing.
    Refuse(RetryRefusal),
}

/// Why a retry request is not answered. The requester is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryRefusal {
    /// We did not send such a message to this device, or have deleted it.
    NotSent,
    /// The account has another key than when it was sent: never without the user's consent.
    KeyChanged,
    /// Asked or sent too often.
    TooOften,
    /// The message is older than [`RESEND_AGE_MAX_MS`].
    TooOld,
    /// The last repair was less than [`REPAIR_INTERVAL_MS`] ago.
    TooSoon,
}

/// The bytes are no retry request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the retry request is malformed")]
pub struct RetryMalformed;

impl RetryRequest {
    /// The request number `attempt` for a message, or `None` when [`RETRY_MAX`] were sent.
    pub fn new(counter: u64, attempt: u32) -> Option<Self> {
        (1..=RETRY_MAX).contains(&attempt).then_some(Self { counter, attempt })
    }

    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        prefix(&format::RetryRequest { counter: self.counter, attempt: self.attempt })
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`RetryMalformed`] if it is none, or its attempt is not 1 to [`RETRY_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RetryMalformed> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(RetryMalformed);
        }
        let blob = strip(bytes).map_err(|_| RetryMalformed)?;
        let request = format::RetryRequest::decode(blob).map_err(|_| RetryMalformed)?;
        Self::new(request.counter, request.attempt).ok_or(RetryMalformed)
    }
}

impl Pairing {
    /// Decides about a retry request from this pairing's device. `sent` is what the send log knows
    /// of that message and exactly this device; `None` if it knows nothing.
    pub fn on_retry(
        &self,
        request: RetryRequest,
        sent: Option<&SentTo>,
        now_ms: u64,
    ) -> RetryDecision {
        use RetryRefusal::{KeyChanged, NotSent, TooOften, TooOld, TooSoon};
        let Some(sent) = sent else { return RetryDecision::Refuse(NotSent) };
        if sent.account_key != *self.peer().account_key() {
            return RetryDecision::Refuse(KeyChanged);
        }
        if request.attempt > RETRY_MAX || sent.resends >= RETRY_MAX {
            return RetryDecision::Refuse(TooOften);
        }
        if now_ms.saturating_sub(sent.sent_at_ms) > RESEND_AGE_MAX_MS {
            return RetryDecision::Refuse(TooOld);
        }
        if self.sends_on_newer_session_than(request.counter) {
            return RetryDecision::Resend;
        }
        if self.may_repair(now_ms) {
            RetryDecision::RepairThenResend
        } else {
            RetryDecision::Refuse(TooSoon)
        }
    }

    /// Opens a fresh session and sends on it alone: the sessions there are only receive from now.
    ///
    /// # Errors
    /// As [`Pairing::start`]; nothing changed then.
    pub fn repair(
        &mut self,
        me: &DeviceKeys,
        bundle: &Verified<Bundle>,
        now_ms: u64,
    ) -> Result<(), SealError> {
        self.start(me, bundle, now_ms)?;
        self.send_on_newest_only(now_ms);
        Ok(())
    }
}
