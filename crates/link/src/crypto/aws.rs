//! aws-lc-rs: assembler for X25519 and ChaCha20-Poly1305.

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use zeroize::Zeroizing;

use super::{Forged, KEY_BYTES, TAG_BYTES};
use crate::error::LinkError;

/// A secret as the library wants it; it overwrites its copy when freed.
pub(super) type Secret = Arc<PrivateKey>;

/// The secret made ready, and its public half; nothing when the library has no memory for it.
pub(super) fn prepare(secret: &[u8; KEY_BYTES]) -> Option<(Secret, [u8; KEY_BYTES])> {
    let private = PrivateKey::from_private_key(&X25519, secret).ok()?;
    let public = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
    Some((Arc::new(private), public))
}

pub(super) fn agree(
    secret: &Secret,
    peer: &[u8; KEY_BYTES],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, LinkError> {
    let peer = UnparsedPublicKey::new(&X25519, peer);
    // The library fails for one reason only that a peer can bring about: a shared secret of zeros.
    agreement::agree(secret.as_ref(), peer, LinkError::WeakKey, |shared| {
        let shared = shared.try_into();
        shared.map(Zeroizing::new).map_err(|_| LinkError::Bug { what: "X25519 gave not 32 bytes" })
    })
}

pub(super) fn seal(
    key: &[u8; KEY_BYTES],
    nonce: [u8; 12],
    associated: &[u8],
    in_out: &mut [u8],
) -> Result<[u8; TAG_BYTES], LinkError> {
    let refused = LinkError::Bug { what: "aws-lc refuses to seal" };
    let tag = keyed(key)
        .ok_or(refused)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            in_out,
        )
        .map_err(|_| refused)?;
    tag.as_ref().try_into().map_err(|_| refused)
}

pub(super) fn open(
    key: &[u8; KEY_BYTES],
    nonce: [u8; 12],
    associated: &[u8],
    in_out: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), Forged> {
    keyed(key)
        .ok_or(Forged)?
        .open_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            tag,
            in_out,
        )
        .map(|_| ())
        .map_err(|_| Forged)
}

/// ChaCha20-Poly1305 has no key schedule: making this for each frame costs 30 ns and saves half a
/// kilobyte a link.
fn keyed(key: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}
