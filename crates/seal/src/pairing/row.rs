//! The pairing as a sealed row.

use godwit_base::{DeviceId, DeviceNumber};
use serde::{Deserialize, Serialize};

use super::{FallbackSession, Pairing, Session};
use crate::account::AccountPublic;
use crate::list::Peer;
use crate::row::{RowError, RowKey};

/// Table name under which pairings are sealed.
const TABLE: &str = "pairing";

#[derive(Serialize)]
struct Row<'a> {
    peer: PeerRow,
    sessions: &'a [Session],
    ordinal: u64,
    fallback_sessions: &'a [FallbackSession],
    repaired_at_ms: Option<u64>,
}

#[derive(Deserialize)]
struct OwnedRow {
    peer: PeerRow,
    sessions: Vec<Session>,
    ordinal: u64,
    fallback_sessions: Vec<FallbackSession>,
    repaired_at_ms: Option<u64>,
}

/// [`Peer`] itself cannot be deserialised: it stands for a device that was verified.
#[derive(Serialize, Deserialize)]
struct PeerRow {
    account: AccountPublic,
    number: DeviceNumber,
    signing_key: [u8; 32],
    dh_key: [u8; 32],
}

impl Pairing {
    /// The pairing as a sealed row, about 1.5 KB with one session.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        let row = Row {
            peer: PeerRow {
                account: self.peer.account,
                number: self.peer.number,
                signing_key: self.peer.signing_key,
                dh_key: self.peer.dh_key,
            },
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
            peer: Peer {
                account: row.peer.account,
                number: row.peer.number,
                signing_key: row.peer.signing_key,
                dh_key: row.peer.dh_key,
            },
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
