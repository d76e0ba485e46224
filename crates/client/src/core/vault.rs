//! Rows sealed at rest: CBOR under the key of the home.

use std::fmt;
use std::sync::Arc;

use godwit_base::MessageId;
use godwit_seal::{RowError, RowKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::output::Table;

/// Name under which bodies of the history are sealed.
const HISTORY: &str = "history";

/// Seals what the core stores. Clones share the key.
#[derive(Debug, Clone)]
pub struct Vault(Arc<RowKey>);

impl Vault {
    /// A vault under this key.
    pub fn new(key: RowKey) -> Self {
        Self(Arc::new(key))
    }

    /// The key, for what the layer below seals itself.
    pub(crate) fn key(&self) -> &RowKey {
        &self.0
    }

    /// Seals a record.
    pub(crate) fn seal<T: Serialize>(
        &self,
        table: Table,
        key: &[u8],
        record: &T,
    ) -> Result<Vec<u8>, RowError> {
        let mut cbor = Zeroizing::new(Vec::with_capacity(256));
        ciborium::into_writer(record, &mut *cbor).map_err(|_| RowError::Damaged)?;
        self.0.seal(table.name(), key, &cbor)
    }

    /// Opens a record.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
        row: &[u8],
    ) -> Result<T, RowError> {
        let cbor = self.0.open(table.name(), key, row)?;
        ciborium::from_reader(cbor.as_slice()).map_err(|_| RowError::Damaged)
    }

    /// Seals the body of a message of the history.
    pub(crate) fn seal_body(&self, id: MessageId, body: &[u8]) -> Result<Vec<u8>, RowError> {
        self.0.seal(HISTORY, id.to_string().as_bytes(), body)
    }

    /// Opens the body of a message of the history.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or is another message's.
    pub fn open_body(&self, id: MessageId, row: &[u8]) -> Result<Zeroizing<Vec<u8>>, RowError> {
        self.0.open(HISTORY, id.to_string().as_bytes(), row)
    }
}

/// Bytes that CBOR writes as bytes. A plain vector would become one number a byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Zeroize for Blob {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}

/// Key material in a row: written as [`Blob`] is, wiped when dropped, never printed. Compared only with what
/// this device wrote itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(crate) struct Secret(Blob);

impl Secret {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Blob(bytes.to_vec()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_opens_in_its_own_place_only() {
        let vault = Vault::new(RowKey::from_bytes(&[7; 32]));
        let record = (Blob(vec![1, 2, 3]), 4_u64);
        let row = vault.seal(Table::Outbox, b"k", &record).unwrap();
        assert_eq!(vault.open(Table::Outbox, b"k", &row), Ok(record));
        for (table, key) in [(Table::Outbox, b"j"), (Table::Waiting, b"k")] {
            assert_eq!(vault.open::<(Blob, u64)>(table, key, &row), Err(RowError::Damaged));
        }
    }

    #[test]
    fn a_secret_is_a_blob_in_its_row_and_is_not_printed() {
        let (mut secret, mut blob) = (Vec::new(), Vec::new());
        ciborium::into_writer(&Secret::of(&[7; 32]), &mut secret).unwrap();
        ciborium::into_writer(&Blob(vec![7; 32]), &mut blob).unwrap();
        assert_eq!(secret, blob, "homes that there are hold blobs");
        let read: Secret = ciborium::from_reader(blob.as_slice()).unwrap();
        assert_eq!((read.bytes(), format!("{read:?}")), ([7; 32].as_slice(), "Secret(..)".into()));
    }

    #[test]
    fn a_blob_costs_its_bytes() {
        let mut cbor = Vec::new();
        ciborium::into_writer(&Blob(vec![0xff; 200]), &mut cbor).unwrap();
        assert_eq!(cbor.len(), 202);
    }
}
