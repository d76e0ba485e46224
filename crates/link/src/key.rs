//! Static keys: who a device is to the server, and which server it is.

use std::fmt;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::crypto::{Backend, KEY_BYTES, KeyPair};
use crate::error::LinkError;

/// The public half of a [`StaticKey`], as it stands in the join link and in device lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl PublicKey {
    /// The first four bytes: what a client names before the handshake, so that a server with two
    /// valid keys knows which one is meant.
    pub fn hint(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:08x}..)", u32::from_be_bytes(self.hint()))
    }
}

/// A long-lived X25519 key pair. The secret half is overwritten when dropped and cannot be printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct StaticKey(KeyPair);

impl StaticKey {
    /// A new key.
    ///
    /// # Errors
    /// [`LinkError::Entropy`] when the machine gives no randomness.
    pub fn generate() -> Result<Self, LinkError> {
        KeyPair::generate(Backend::PREFERRED).map(Self)
    }

    /// The key whose secret half was stored; any 32 bytes are one.
    pub fn from_bytes(secret: [u8; KEY_BYTES]) -> Self {
        Self(KeyPair::from_secret(Backend::PREFERRED, &Zeroizing::new(secret)))
    }

    /// The secret half, to be stored where nobody else reads.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(*self.0.secret())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.public())
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// The keys that a server answers for. Two are valid at once, so that join links with the previous
/// key go on working while new ones are handed out.
#[derive(Debug, Clone)]
pub struct ServerKeys {
    current: StaticKey,
    previous: Option<StaticKey>,
}

impl ServerKeys {
    /// `current` goes into new join links; `previous` is still answered.
    pub fn new(current: StaticKey, previous: Option<StaticKey>) -> Self {
        Self { current, previous }
    }

    /// The key for new join links.
    pub fn current(&self) -> &StaticKey {
        &self.current
    }

    /// The key that a client means.
    pub fn by_hint(&self, hint: [u8; 4]) -> Option<&StaticKey> {
        std::iter::once(&self.current).chain(&self.previous).find(|key| key.public().hint() == hint)
    }
}
