//! The Noise handshake state machine is snow's; this module gives it our primitives, and gives its
//! errors our names. Nothing of snow is visible above.

mod primitives;

use godwit_base::limits::HANDSHAKE_BYTES_MAX;
use snow::{Builder, HandshakeState};
use zeroize::Zeroize;

use self::primitives::Resolver;

use crate::crypto::{Backend, KEY_BYTES, KeyPair, TAG_BYTES};
use crate::error::LinkError;
use crate::transport::Transport;

/// The full handshake: the client knows the server's key and proves its own.
pub(crate) const IK: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
/// Resumption: both know a secret; one Diffie-Hellman gives new keys that nobody can know later.
pub(crate) const NN_PSK0: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// A handshake under way. `write` and `read` alternate, the initiator writes first.
pub(crate) struct Noise(HandshakeState);

impl Noise {
    /// Builds one side; `complete` adds the keys that the pattern needs and says which side.
    pub(crate) fn build<'a>(
        backend: Backend,
        pattern: &str,
        prologue: &'a [u8],
        own: Option<&'a KeyPair>,
        complete: impl FnOnce(Builder<'a>) -> Result<HandshakeState, snow::Error>,
    ) -> Result<Self, LinkError> {
        let params = pattern.parse().map_err(|_| LinkError::Bug { what: "pattern name" })?;
        let resolver = Resolver { backend, own: own.cloned() };
        let mut builder = Builder::with_resolver(params, Box::new(resolver))
            .prologue(prologue)
            .map_err(|e| named(&e, 0))?;
        if let Some(own) = own {
            builder = builder.local_private_key(own.secret()).map_err(|e| named(&e, 0))?;
        }
        complete(builder).map(Self).map_err(|e| named(&e, 0))
    }

    /// The next message, carrying `payload`.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, LinkError> {
        // Both patterns add at most e (32), an encrypted s (48) and a tag.
        let bytes = payload.len().saturating_add(3 * KEY_BYTES + TAG_BYTES);
        let mut message = vec![0; bytes];
        let written = self.0.write_message(payload, &mut message).map_err(|e| named(&e, bytes))?;
        message.truncate(written);
        Ok(message)
    }

    /// The payload of the peer's message.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, LinkError> {
        let bytes = message.len();
        if bytes > HANDSHAKE_BYTES_MAX {
            return Err(LinkError::Malformed { bytes });
        }
        let mut payload = vec![0; bytes];
        let read = self.0.read_message(message, &mut payload).map_err(|e| named(&e, bytes))?;
        payload.truncate(read);
        Ok(payload)
    }

    /// The initiator's static key, once its message was read.
    pub(crate) fn peer(&self) -> Result<[u8; KEY_BYTES], LinkError> {
        let missing = LinkError::Bug { what: "no static key of the peer" };
        self.0.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(missing)
    }

    /// The keys of the finished handshake. The first half of the split seals what the initiator
    /// says, the second what the responder says.
    pub(crate) fn into_transport(mut self) -> Result<Transport, LinkError> {
        if !self.0.is_handshake_finished() {
            return Err(LinkError::Bug { what: "the handshake is not finished" });
        }
        let (mut first, mut second) = self.0.dangerously_get_raw_split();
        let transport = if self.0.is_initiator() {
            Transport::new(&first, &second)
        } else {
            Transport::new(&second, &first)
        };
        first.zeroize();
        second.zeroize();
        Ok(transport)
    }
}

/// Our name for an error of snow, met with a message of so many bytes.
fn named(error: &snow::Error, bytes: usize) -> LinkError {
    match error {
        snow::Error::Decrypt => LinkError::NotAuthentic,
        snow::Error::Dh => LinkError::WeakKey,
        snow::Error::Input => LinkError::Malformed { bytes },
        snow::Error::Rng => LinkError::Entropy,
        _ => LinkError::Bug { what: "the handshake was used out of order" },
    }
}

#[cfg(test)]
mod tests;
