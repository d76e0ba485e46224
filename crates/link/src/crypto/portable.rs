//! Pure Rust: runs wherever Rust runs, the browser first of all.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Forged, KEY_BYTES, TAG_BYTES};
use crate::error::LinkError;

pub(super) fn public(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

pub(super) fn agree(
    secret: &[u8; KEY_BYTES],
    peer: &[u8; KEY_BYTES],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, LinkError> {
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*peer));
    if shared.was_contributory() {
        Ok(Zeroizing::new(shared.to_bytes()))
    } else {
        Err(LinkError::WeakKey)
    }
}

pub(super) fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; 12],
    associated: &[u8],
    in_out: &mut [u8],
) -> Result<[u8; TAG_BYTES], LinkError> {
    ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(nonce.into(), associated, in_out.into())
        .map(Into::into)
        .map_err(|_| LinkError::Bug { what: "plaintext beyond 256 GiB" })
}

pub(super) fn open(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; 12],
    associated: &[u8],
    in_out: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), Forged> {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), associated, in_out.into(), tag.into())
        .map_err(|_| Forged)
}
