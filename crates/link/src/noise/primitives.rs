//! Our primitives in the shape that snow wants.

use blake2::{Blake2s256, Digest};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{Backend, KEY_BYTES, KeyPair, TAG_BYTES, fill};

/// Hands our primitives to snow.
pub(super) struct Resolver {
    pub(super) backend: Backend,
    /// The static key pair of this side, so that its public half is not computed again.
    pub(super) own: Option<KeyPair>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Chance))
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

struct Chance;

impl Random for Chance {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        fill(out).map_err(|_| snow::Error::Rng)
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

/// Bytes of a BLAKE2s digest, and of the block that it works on (RFC 7693).
const HASH_BYTES: usize = 32;
const BLOCK_BYTES: usize = 64;

#[derive(Default)]
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        BLOCK_BYTES
    }

    fn hash_len(&self) -> usize {
        HASH_BYTES
    }

    fn reset(&mut self) {
        Digest::reset(&mut self.0);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        put(&self.0.finalize_reset().into(), out);
    }

    /// As snow's own, but each key is taken in once, not once for every output: 10 compressions instead of
    /// 12 for two outputs, 12 instead of 16 for three. A resumption does six of these.
    fn hkdf(
        &mut self,
        chaining_key: &[u8],
        input: &[u8],
        outputs: usize,
        out1: &mut [u8],
        out2: &mut [u8],
        out3: &mut [u8],
    ) {
        let keyed = Keyed::new(&*Keyed::new(chaining_key).of(&[input]));
        let mut last = Zeroizing::new([0; HASH_BYTES]);
        for (number, out) in (1_u8..).zip([out1, out2, out3]).take(outputs) {
            let before = if number == 1 { &[] } else { last.as_slice() };
            last = keyed.of(&[before, &[number]]);
            put(&last, out);
        }
    }
}

/// Writes a digest; snow passes a buffer that would hold the largest of any hash.
fn put(digest: &[u8; HASH_BYTES], out: &mut [u8]) {
    if let Some(out) = out.first_chunk_mut() {
        *out = *digest;
    }
}

/// HMAC-BLAKE2s (RFC 2104) under one key, ready for any number of messages.
struct Keyed {
    inner: Blake2s256,
    outer: Blake2s256,
}

impl Keyed {
    /// Under a key no longer than a block.
    fn new(key: &[u8]) -> Self {
        let [inner, outer] = [0x36, 0x5c].map(|pad| {
            let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Blake2s256::new_with_prefix(block.as_slice())
        });
        Self { inner, outer }
    }

    /// The code of a message that comes in pieces.
    fn of(&self, pieces: &[&[u8]]) -> Zeroizing<[u8; HASH_BYTES]> {
        let mut inner = self.inner.clone();
        pieces.iter().for_each(|piece| inner.update(piece));
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        Zeroizing::new(outer.finalize().into())
    }
}

#[cfg(test)]
mod tests;
