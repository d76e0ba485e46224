//! A bundle: the signed keys that open a session with one device of a verified list.

use godwit_base::DeviceNumber;
use godwit_base::limits::{ONE_TIME_KEYS_MAX, SIGNED_KEY_BYTES_MAX};
use prost::Message;

use crate::account::verifies;
use crate::device::{DeviceKeys, KeyUpload};
use crate::format;
use crate::list::{DeviceList, Peer};
use crate::suite::{Domain, SUITE, prefix, strip};
use crate::verified::Verified;

/// One device and the key under which to open a session with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub(crate) peer: Peer,
    pub(crate) key: [u8; 32],
    is_fallback: bool,
}

/// Why the keys of a bundle are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a signed key: cut, too long, a field missing.
    #[error("the key bundle is malformed")]
    Malformed,
    /// The device or its keys use only suites that this version does not know.
    #[error("the key bundle uses suite {0}, which this version does not know: update the program")]
    UnknownSuite(u8),
    /// The device is not in the list: fetch the list anew.
    #[error("the device list has no such device")]
    UnknownDevice,
    /// The list was verified too long ago: fetch it anew.
    #[error("the device list of the contact is too old: fetch it again")]
    StaleList,
    /// The device did not sign these keys.
    #[error("the signature of the key bundle is wrong")]
    BadSignature,
    /// The server has neither a one-time nor a fallback key of the device.
    #[error("the device has no keys on the server")]
    NoKeys,
}

impl Bundle {
    /// Checks the keys that the server gave for device `number`. Empty slices mean none. The
    /// fallback is used only if there is no one-time key; a wrong one-time key is an error, not a
    /// reason to fall back, else a server could choose the weaker key unseen.
    ///
    /// # Errors
    /// A [`BundleError`]; nothing was believed.
    pub fn verify(
        one_time: &[u8],
        fallback: &[u8],
        list: &Verified<DeviceList>,
        number: DeviceNumber,
        now_ms: u64,
    ) -> Result<Verified<Self>, BundleError> {
        if !list.is_fresh(now_ms) {
            return Err(BundleError::StaleList);
        }
        let peer = list.peer(number).ok_or(BundleError::UnknownDevice)?;
        check_suites(list, number)?;
        let (domain, blob) = match (one_time, fallback) {
            ([], []) => return Err(BundleError::NoKeys),
            ([], fallback) => (Domain::FallbackKey, fallback),
            (one_time, _) => (Domain::OneTimeKey, one_time),
        };
        let (_, key) = verified_key(domain, blob, &peer)?;
        Ok(Verified::vouch(Self { peer, key, is_fallback: domain == Domain::FallbackKey }))
    }

    /// The device.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the device's one-time keys had run out. Forward secrecy of the first messages then
    /// begins only when that key is forgotten.
    pub fn is_fallback(&self) -> bool {
        self.is_fallback
    }
}

/// The suites are in the signed list: a server cannot talk two devices down to a weaker one.
fn check_suites(list: &DeviceList, number: DeviceNumber) -> Result<(), BundleError> {
    let suites = list
        .entries()
        .iter()
        .find(|device| device.number == number)
        .map_or(&[][..], |device| device.suites.as_slice());
    match suites.first() {
        Some(_) if suites.contains(&SUITE) => Ok(()),
        Some(other) => Err(BundleError::UnknownSuite(*other)),
        None => Err(BundleError::Malformed),
    }
}

/// The id and the key.
fn verified_key(domain: Domain, blob: &[u8], peer: &Peer) -> Result<(u64, [u8; 32]), BundleError> {
    if blob.len() > SIGNED_KEY_BYTES_MAX {
        return Err(BundleError::Malformed);
    }
    let blob = strip(blob)
        .map_err(|suite| suite.map_or(BundleError::Malformed, BundleError::UnknownSuite))?;
    let signed = format::SignedKey::decode(blob).map_err(|_| BundleError::Malformed)?;
    let key: [u8; 32] = signed.key.as_slice().try_into().map_err(|_| BundleError::Malformed)?;
    let bytes = key_bytes(domain, peer, signed.id, &key, signed.created_at_ms);
    if verifies(&peer.signing_key, &bytes, &signed.signature) {
        Ok((signed.id, key))
    } else {
        Err(BundleError::BadSignature)
    }
}

/// Keys that a device wants to have published, each checked as whoever fetches it will.
pub(crate) fn verified_upload(
    one_time: Vec<Vec<u8>>,
    fallback: Vec<u8>,
    owner: &Peer,
) -> Result<KeyUpload, BundleError> {
    if fallback.is_empty() {
        return Err(BundleError::NoKeys);
    }
    if one_time.len() > ONE_TIME_KEYS_MAX {
        return Err(BundleError::Malformed);
    }
    verified_key(Domain::FallbackKey, &fallback, owner)?;
    let with_id = |signed: Vec<u8>| {
        let (id, _) = verified_key(Domain::OneTimeKey, &signed, owner)?;
        Ok((id, signed))
    };
    let one_time = one_time.into_iter().map(with_id).collect::<Result<_, BundleError>>()?;
    Ok(KeyUpload { one_time, fallback: Some(fallback) })
}

/// A key of `me`, signed for upload.
pub(crate) fn signed_key(
    me: &DeviceKeys,
    domain: Domain,
    id: u64,
    key: &[u8; 32],
    created_at_ms: u64,
) -> Vec<u8> {
    let signature = me.sign(&key_bytes(domain, &me.as_peer(), id, key, created_at_ms)).to_vec();
    prefix(&format::SignedKey { id, key: key.to_vec(), created_at_ms, signature })
}

/// All parts have fixed lengths: rebuilding them from what was parsed is the one encoding.
fn key_bytes(domain: Domain, owner: &Peer, id: u64, key: &[u8; 32], created_at_ms: u64) -> Vec<u8> {
    domain.bytes(&[
        &owner.account.0,
        &owner.number.0.to_be_bytes(),
        &id.to_be_bytes(),
        &created_at_ms.to_be_bytes(),
        key,
    ])
}
