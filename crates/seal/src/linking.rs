//! Linking a new device: how a device without an account and a device that holds the account key
//! come to one device list, through a relay that neither trusts.
//!
//! The new device makes a [`LinkOffer`] and shows its [`LinkCode`]; a person carries it to the present
//! device. That one makes a [`LinkApproval`] and says who it is (message 1). The new device answers
//! with its keys and its consent and becomes a [`LinkJoining`]; the present one has a
//! [`LinkCandidate`] then. Both show [`CheckDigits`]; when the person says that they are the same, the
//! present device signs the next device list and sends it (message 2), and the new device has
//! [`Linked`]. The account key never leaves the present device.
//!
//! The code holds the new device's HPKE key, so whoever sees the code last minute can pretend to be
//! the present device, and whoever shows a code of his own can pretend to be the new one. The check
//! digits tell. They cannot be ground out: the rendezvous commits the new device to a nonce before it
//! knows the other's key, and the other chooses that key before it sees the nonce.
//!
//! Each step consumes the state before it: a code is good for one attempt, and after an error both
//! begin again.

mod code;
mod new;
mod present;
#[cfg(test)]
mod tests;

use vodozemac::hpke::HpkeSenderChannel;

use crate::bundle::BundleError;
use crate::list::ListError;
use crate::suite::Domain;

pub use code::{LinkCode, RENDEZVOUS_BYTES};
pub use new::{LinkJoining, LinkOffer, Linked};
pub use present::{LinkApproval, LinkCandidate, Present};

/// The `info` of the HPKE channel.
const HPKE_INFO: &str = "godwit/link/1";

/// Bytes of the nonce that the rendezvous commits to.
const NONCE_BYTES: usize = 32;

/// Why two devices were not linked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Not a code at all.
    #[error("this is no link code: it begins with godwit-link:")]
    NotACode,
    /// A character is wrong or missing.
    #[error("the link code has a mistake in it: copy it again, whole")]
    CodeMistyped,
    /// A newer program made the code.
    #[error(
        "the link code is of version {0}, which this version does not know: update the program"
    )]
    CodeNewer(u8),
    /// What came was not sealed by the other side for this code, or was changed, swapped or repeated
    /// on the way.
    #[error("a message of linking does not open: begin again with a new code")]
    NotSealedForUs,
    /// It opens, and is not what the format says.
    #[error("a message of linking is malformed: update both programs")]
    Malformed,
    /// The two devices know different servers.
    #[error("the two devices are on different servers")]
    OtherServer,
    /// The new device shows another nonce than its code committed to: somebody tries to make the
    /// check digits come out right.
    #[error("the new device does not stand by its code: somebody may be in between; begin again")]
    NotCommitted,
    /// The person at the present device said no.
    #[error(
        "the other device said no; if the digits were not the same, somebody may be in between"
    )]
    Refused,
    /// A device list in it is not believed.
    #[error("the device list is not right: {0}")]
    List(#[from] ListError),
    /// Its first keys are not signed by it, or missing.
    #[error("the keys of the new device are not right: {0}")]
    Keys(#[from] BundleError),
    /// The number for the new device does not follow the list.
    #[error("the number for the new device is not the next one")]
    WrongNumber,
    /// The signed list does not hold exactly the devices from before and this one.
    #[error("the new device list does not hold exactly this device more")]
    WrongDevices,
    /// The account has as many devices as it may have.
    #[error("the account has 8 devices already: revoke one first")]
    AccountFull,
    /// The account's list changed while the two were being linked.
    #[error("the device list changed meanwhile: begin again with a new code")]
    ListMoved,
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: try again")]
    Entropy,
}

/// Six digits that both devices show; a person compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckDigits(u32);

impl CheckDigits {
    fn of(code_key: &[u8; 32], sender_key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Self {
        let hash = Domain::LinkCheck.hash(&[code_key, sender_key, nonce]);
        let first = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self(u32::try_from(first % 1_000_000).unwrap_or_default())
    }
}

impl std::fmt::Display for CheckDigits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// The rendezvous that stands for this key and nonce.
fn commitment(code_key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> [u8; RENDEZVOUS_BYTES] {
    let hash = Domain::LinkRendezvous.hash(&[code_key, nonce]);
    hash.first_chunk().copied().unwrap_or_default()
}

fn sender() -> HpkeSenderChannel {
    HpkeSenderChannel::with_info(HPKE_INFO)
}

fn array(bytes: &[u8]) -> Result<[u8; 32], LinkError> {
    bytes.try_into().map_err(|_| LinkError::Malformed)
}
