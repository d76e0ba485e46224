//! The pairing as a sealed row.

use godwit_base::DeviceId;
use serde::{Deserialize, Serialize};

use super::{FallbackSession, Pairing, Session};
use crate::list::Peer;
use crate::row::{RowError, RowKey};

/// Table name under which pairings are sealed.
const TABLE: &str = "pairing";

#[derive(Serialize)]
struct Row<'a> {
    peer: &'a Peer,
    sessions: &'a [Session],
    ordinal: u64,
    fallback_sessions: &'a [FallbackSession],
    repaired_at_ms: Option<u64>,
}

#[derive(Deserialize)]
struct OwnedRow {
    peer: Peer,
    sessions: Vec<Session>,
    ordinal: u64,
    fallback_sessions: Vec<FallbackSession>,
    repaired_at_ms: Option<u64>,
}

impl Pairing {
    /// The pairing as a sealed row, about 2 KB a session.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        let row = Row {
            peer: &self.peer,
            sessions: &self.sessions,
            ordinal: self.ordinal,
            fallback_sessions: &self.fallback_sessions,
            repaired_at_ms: self.repaired_at_ms,
        };
        row_key.seal_value(TABLE, &key_of(self.id()), &row)
    }

    /// Reads what [`Pairing::to_row`] wrote for this peer device.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or belongs to another device.
    pub fn from_row(row_key: &RowKey, peer: DeviceId, row: &[u8]) -> Result<Self, RowError> {
        let row: OwnedRow = row_key.open_value(TABLE, &key_of(peer), row)?;
        Ok(Self {
            peer: row.peer,
            sessions: row.sessions,
            ordinal: row.ordinal,
            fallback_sessions: row.fallback_sessions,
            repaired_at_ms: row.repaired_at_ms,
        })
    }
}

fn key_of(device: DeviceId) -> [u8; 12] {
    let mut key = [0; 12];
    let (account, number) = key.split_at_mut(8);
    account.copy_from_slice(&device.account.0.to_be_bytes());
    number.copy_from_slice(&device.number.0.to_be_bytes());
    key
}
