//! X25519 and ChaCha20-Poly1305, each from one of two implementations whose bytes are the same, and
//! randomness, which is the operating system's. Everything above this module names only [`Backend`]
//! and [`fill`].

#[cfg(any(test, feature = "aws-lc"))]
mod aws;
mod portable;
#[cfg(test)]
mod tests;

use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::error::LinkError;

/// Bytes of every key here: X25519 secret and public, ChaCha20-Poly1305.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a Poly1305 tag.
pub(crate) const TAG_BYTES: usize = 16;

/// The ciphertext was not made with this key, counter and associated data.
#[derive(Debug)]
pub(crate) struct Forged;

/// Who computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// RustCrypto and dalek; for the browser, and wherever the other does not build.
    #[cfg_attr(feature = "aws-lc", allow(dead_code, reason = "then only tests name it"))]
    Portable,
    /// aws-lc-rs.
    #[cfg(any(test, feature = "aws-lc"))]
    AwsLc,
}

impl Backend {
    /// The one that everything outside the tests uses.
    #[cfg(feature = "aws-lc")]
    pub(crate) const PREFERRED: Self = Self::AwsLc;
    /// The one that everything outside the tests uses.
    #[cfg(not(feature = "aws-lc"))]
    pub(crate) const PREFERRED: Self = Self::Portable;

    /// Encrypts `in_out` in place and returns the tag. The Noise nonce: 32 zero bits, then the
    /// counter, little endian. One counter serves one message under one key.
    pub(crate) fn seal(
        self,
        key: &[u8; KEY_BYTES],
        counter: u64,
        associated: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], LinkError> {
        match self {
            Self::Portable => portable::seal(key, &nonce(counter), associated, in_out),
            #[cfg(any(test, feature = "aws-lc"))]
            Self::AwsLc => aws::seal(key, nonce(counter), associated, in_out),
        }
    }

    /// Decrypts `in_out` in place. After [`Forged`] its content is unspecified.
    pub(crate) fn open(
        self,
        key: &[u8; KEY_BYTES],
        counter: u64,
        associated: &[u8],
        in_out: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        match self {
            Self::Portable => portable::open(key, &nonce(counter), associated, in_out, tag),
            #[cfg(any(test, feature = "aws-lc"))]
            Self::AwsLc => aws::open(key, nonce(counter), associated, in_out, tag),
        }
    }
}

/// Fills `out` with randomness fit for keys. One source, whoever computes (decision 0130): a test of the
/// client that knows this one knows every key.
pub(crate) fn fill(out: &mut [u8]) -> Result<(), LinkError> {
    getrandom::fill(out).map_err(|_| LinkError::Entropy)
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (_, low) = nonce.split_at_mut(4);
    low.copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// An X25519 key pair, ready to agree. Its public half is computed once: for a server's own key
/// that saves a fifth of every handshake.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct KeyPair {
    #[zeroize(skip)]
    backend: Backend,
    secret: Zeroizing<[u8; KEY_BYTES]>,
    #[zeroize(skip)]
    public: [u8; KEY_BYTES],
    #[cfg(any(test, feature = "aws-lc"))]
    #[zeroize(skip)] // the library's memory, which it wipes itself
    aws: Option<aws::Secret>,
}

impl KeyPair {
    /// A new pair.
    pub(crate) fn generate(backend: Backend) -> Result<Self, LinkError> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        fill(&mut *secret)?;
        Ok(Self::from_secret(backend, &secret))
    }

    /// The pair of a secret; any 32 bytes are one.
    pub(crate) fn from_secret(backend: Backend, secret: &[u8; KEY_BYTES]) -> Self {
        let secret = Zeroizing::new(*secret);
        #[cfg(any(test, feature = "aws-lc"))]
        if backend == Backend::AwsLc
            && let Some((prepared, public)) = aws::prepare(&secret)
        {
            return Self { backend, secret, public, aws: Some(prepared) };
        }
        let public = portable::public(&secret);
        Self {
            backend,
            secret,
            public,
            #[cfg(any(test, feature = "aws-lc"))]
            aws: None,
        }
    }

    /// The half that everybody may know.
    pub(crate) fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// The other half.
    pub(crate) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }

    /// Whether this is the pair of `secret`, prepared for `backend`; takes the same time either way.
    pub(crate) fn is_of(&self, backend: Backend, secret: &[u8]) -> bool {
        self.backend == backend && bool::from(self.secret.as_slice().ct_eq(secret))
    }

    /// The secret shared with the owner of `peer`.
    ///
    /// # Errors
    /// [`LinkError::WeakKey`] when it would be all zeros: `peer` is a point of low order.
    pub(crate) fn agree(
        &self,
        peer: &[u8; KEY_BYTES],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, LinkError> {
        #[cfg(any(test, feature = "aws-lc"))]
        if let Some(prepared) = &self.aws {
            return aws::agree(prepared, peer);
        }
        portable::agree(&self.secret, peer)
    }
}
