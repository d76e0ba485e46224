//! The Noise handshake state machine is snow's; this module gives it our primitives, and gives its
//! errors our names. Nothing of snow is visible above.

use blake2::{Blake2s256, Digest};
use godwit_base::limits::HANDSHAKE_BYTES_MAX;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use zeroize::{Zeroize, Zeroizing};

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

/// Hands our primitives to snow.
pub(crate) struct Resolver {
    pub(crate) backend: Backend,
    /// The static key pair of this side, so that its public half is not computed again.
    pub(crate) own: Option<KeyPair>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Chance(self.backend)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let agreement = Agreement { backend: self.backend, own: self.own.clone(), pair: None };
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(agreement) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::Blake2s).then(|| Box::<Blake2s>::default() as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let cipher = ChaChaPoly { backend: self.backend, key: Zeroizing::default() };
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(cipher) as _)
    }
}

struct Chance(Backend);

impl Random for Chance {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill(out).map_err(|_| snow::Error::Rng)
    }
}

/// One X25519 key pair, static or ephemeral.
struct Agreement {
    backend: Backend,
    own: Option<KeyPair>,
    pair: Option<KeyPair>,
}

impl Dh for Agreement {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, secret: &[u8]) {
        let own = self.own.take().filter(|own| own.is_of(self.backend, secret));
        // A secret of another length leaves no pair, and `dh` then refuses.
        self.pair = own.or_else(|| {
            secret.try_into().ok().map(|secret| KeyPair::from_secret(self.backend, secret))
        });
    }

    fn generate(&mut self, _: &mut dyn Random) -> Result<(), snow::Error> {
        self.pair = Some(KeyPair::generate(self.backend).map_err(|_| snow::Error::Rng)?);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.pair.as_ref().map_or(&[0; KEY_BYTES], |pair| pair.public())
    }

    fn privkey(&self) -> &[u8] {
        self.pair.as_ref().map_or(&[0; KEY_BYTES], |pair| pair.secret())
    }

    fn dh(&self, peer: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow passes a buffer that would hold the largest key of any curve.
        let peer = peer.first_chunk().ok_or(snow::Error::Dh)?;
        let out = out.first_chunk_mut().ok_or(snow::Error::Dh)?;
        let pair = self.pair.as_ref().ok_or(snow::Error::Dh)?;
        *out = *pair.agree(peer).map_err(|_| snow::Error::Dh)?;
        Ok(())
    }
}

struct ChaChaPoly {
    backend: Backend,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY_BYTES]) {
        *self.key = *key;
    }

    /// Writes nothing when `out` is too small: the peer then refuses what comes.
    fn encrypt(&self, counter: u64, associated: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let Some((body, rest)) = out.split_at_mut_checked(plaintext.len()) else { return 0 };
        let Some(tag_out) = rest.first_chunk_mut::<TAG_BYTES>() else { return 0 };
        body.copy_from_slice(plaintext);
        match self.backend.seal(&self.key, counter, associated, body) {
            Ok(tag) => *tag_out = tag,
            Err(_) => {
                body.zeroize();
                return 0;
            }
        }
        body.len() + TAG_BYTES
    }

    fn decrypt(
        &self,
        counter: u64,
        associated: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (body, tag) = ciphertext.split_last_chunk::<TAG_BYTES>().ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(body);
        self.backend
            .open(&self.key, counter, associated, out, tag)
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(out.len())
    }
}

#[derive(Default)]
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = std::mem::take(&mut self.0).finalize();
        for (to, from) in out.iter_mut().zip(digest) {
            *to = from;
        }
    }
}

#[cfg(test)]
mod tests;
