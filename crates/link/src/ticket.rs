//! Resumption tickets. The server keeps no state for them: a ticket is the client's link key and a
//! shared secret, sealed under a key that only the server (all nodes of it) has.

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::crypto::{KEY_BYTES, TAG_BYTES, fill};
use crate::error::LinkError;
use crate::key::PublicKey;

/// Largest ticket that a client keeps, without its secret: room for later formats, and small enough
/// that the resumption fits a handshake message.
pub const TICKET_BYTES_MAX: usize = 512;

/// 192 bits: chosen at random for each ticket without any danger that two are the same.
pub(crate) const NONCE_BYTES: usize = 24;
/// Link key, shared secret, expiry.
const PASS_BYTES: usize = KEY_BYTES + KEY_BYTES + 8;
/// A ticket as this version makes it.
const SEALED_BYTES: usize = NONCE_BYTES + PASS_BYTES + TAG_BYTES;
/// Keeps tickets of different formats apart, and tickets from anything else under the same key.
const ASSOCIATED: &[u8] = b"godwit ticket 1";

const _: () = assert!(SEALED_BYTES <= TICKET_BYTES_MAX);

/// What a client needs to resume: the sealed ticket, which it cannot read, and the secret in it.
#[derive(ZeroizeOnDrop)]
pub struct Ticket {
    psk: [u8; KEY_BYTES],
    sealed: Vec<u8>,
}

impl Ticket {
    /// Takes a ticket as the server's welcome carries it, or as [`to_bytes`](Self::to_bytes) gave it.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] when it is too short or too long.
    pub fn from_welcome(bytes: &[u8]) -> Result<Self, LinkError> {
        let malformed = LinkError::Malformed { bytes: bytes.len() };
        let (psk, sealed) = bytes.split_first_chunk().ok_or(malformed)?;
        if sealed.is_empty() || sealed.len() > TICKET_BYTES_MAX {
            return Err(malformed);
        }
        Ok(Self { psk: *psk, sealed: sealed.to_vec() })
    }

    /// The ticket with its secret, to be kept where nobody else reads.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.psk.as_slice(), &self.sealed].concat())
    }

    pub(crate) fn psk(&self) -> &[u8; KEY_BYTES] {
        &self.psk
    }

    /// What stands before the Noise message: length (2 bytes, big endian) and sealed ticket.
    pub(crate) fn to_prefix(&self) -> Result<Vec<u8>, LinkError> {
        let bug = LinkError::Bug { what: "a ticket longer than its bound" };
        let length = u16::try_from(self.sealed.len()).map_err(|_| bug)?;
        Ok([length.to_be_bytes().as_slice(), &self.sealed].concat())
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({} bytes)", self.sealed.len())
    }
}

/// What a genuine ticket says.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Pass {
    #[zeroize(skip)]
    pub(crate) peer: PublicKey,
    pub(crate) psk: [u8; KEY_BYTES],
}

/// The keys under which a server seals tickets. Two are valid at once; all nodes of a server share
/// them.
#[derive(ZeroizeOnDrop)]
pub struct TicketKeys {
    current: Zeroizing<[u8; KEY_BYTES]>,
    previous: Option<Zeroizing<[u8; KEY_BYTES]>>,
}

impl TicketKeys {
    /// Tickets are sealed under `current`, and opened under nothing else until the first rotation.
    pub fn new(current: [u8; KEY_BYTES]) -> Self {
        Self { current: Zeroizing::new(current), previous: None }
    }

    /// A key that only this process knows: no ticket survives a restart.
    ///
    /// # Errors
    /// [`LinkError::Entropy`] when the machine gives no randomness.
    pub fn generate() -> Result<Self, LinkError> {
        let mut current = Zeroizing::new([0; KEY_BYTES]);
        fill(&mut *current)?;
        Ok(Self { current, previous: None })
    }

    /// Seals under `next` from now on. What was sealed under the key before it still opens; what
    /// was sealed under the one before that no longer does. Rotate as often as a ticket is good for:
    /// then none ends early, and a stolen key tells who resumed for twice that time at most.
    pub fn rotate(&mut self, next: [u8; KEY_BYTES]) {
        let former = std::mem::replace(&mut self.current, Zeroizing::new(next));
        self.previous = Some(former);
    }

    /// A ticket for the owner of `peer`, good until `expires_ms` (unix milliseconds): the shared
    /// secret, then the sealed ticket, both for [`Ticket::from_welcome`]. It goes to the client
    /// inside the encrypted payload of the server's handshake message and nowhere else.
    ///
    /// # Errors
    /// [`LinkError::Entropy`] when the machine gives no randomness.
    pub fn issue(&self, peer: &PublicKey, expires_ms: u64) -> Result<Vec<u8>, LinkError> {
        // Asked once for both: the system's randomness is a call into the kernel.
        let mut random = Zeroizing::new([0; KEY_BYTES + NONCE_BYTES]);
        fill(&mut *random)?;
        let bug = LinkError::Bug { what: "randomness of another size" };
        let (psk, nonce) = random.split_first_chunk().ok_or(bug)?;
        let pass = Pass { peer: *peer, psk: *psk };
        let sealed = self.seal(&pass, expires_ms, nonce.try_into().map_err(|_| bug)?)?;
        Ok([pass.psk.as_slice(), &sealed].concat())
    }

    /// The sealed ticket: nonce, ciphertext of (link key, secret, expiry), tag.
    pub(crate) fn seal(
        &self,
        pass: &Pass,
        expires_ms: u64,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, LinkError> {
        let mut body = [pass.peer.0.as_slice(), &pass.psk, &expires_ms.to_be_bytes()].concat();
        let tag = XChaCha20Poly1305::new((&*self.current).into())
            .encrypt_inout_detached(nonce.into(), ASSOCIATED, body.as_mut_slice().into())
            .map_err(|_| LinkError::Bug { what: "a ticket could not be sealed" })?;
        Ok([nonce.as_slice(), &body, &tag].concat())
    }

    /// Reads a sealed ticket.
    pub(crate) fn open(&self, sealed: &[u8], now_ms: u64) -> Result<Pass, LinkError> {
        let pass = std::iter::once(&self.current)
            .chain(&self.previous)
            .find_map(|key| open_under(key, sealed))
            .ok_or(LinkError::TicketInvalid)?;
        let (peer, rest) = pass.split_first_chunk().ok_or(LinkError::TicketInvalid)?;
        let (psk, expires_ms) = rest.split_first_chunk().ok_or(LinkError::TicketInvalid)?;
        let expires_ms = expires_ms.try_into().map_err(|_| LinkError::TicketInvalid)?;
        if u64::from_be_bytes(expires_ms) <= now_ms {
            return Err(LinkError::TicketExpired);
        }
        Ok(Pass { peer: PublicKey(*peer), psk: *psk })
    }
}

fn open_under(key: &[u8; KEY_BYTES], sealed: &[u8]) -> Option<Zeroizing<[u8; PASS_BYTES]>> {
    let sealed: &[u8; SEALED_BYTES] = sealed.try_into().ok()?;
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (pass, tag) = rest.split_first_chunk::<PASS_BYTES>()?;
    let tag: &[u8; TAG_BYTES] = tag.try_into().ok()?;
    let mut pass = Zeroizing::new(*pass);
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), ASSOCIATED, pass.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(pass)
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
