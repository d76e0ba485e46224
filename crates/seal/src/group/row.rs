//! Groups and their keys as sealed rows.

use godwit_base::{DeviceId, DeviceNumber, GroupId};
use serde::{Deserialize, Serialize};
use vodozemac::megolm::{
    GroupSession, GroupSessionPickle, InboundGroupSession, InboundGroupSessionPickle,
};

use super::heard::HeardKey;
use super::sender::{CONFIG, SenderKey, SenderKeyId};
use super::state::Group;
use crate::account::AccountPublic;
use crate::list::Peer;
use crate::row::{RowError, RowKey};

/// Table names under which groups, sending and receiving keys are sealed.
const GROUP: &str = "group";
const SENDER: &str = "sender_key";
const HEARD: &str = "heard_key";

impl Group {
    /// The group as a sealed row, about 130 bytes a member.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        row_key.seal_value(GROUP, &self.id.0, self)
    }

    /// Reads what [`Group::to_row`] wrote for this group.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or belongs to another group.
    pub fn from_row(row_key: &RowKey, id: GroupId, row: &[u8]) -> Result<Self, RowError> {
        let group: Self = row_key.open_value(GROUP, &id.0, row)?;
        if group.id == id { Ok(group) } else { Err(RowError::Damaged) }
    }
}

#[derive(Serialize, Deserialize)]
struct SenderRow<S> {
    epoch: u64,
    made_at_ms: u64,
    session: S,
}

impl SenderKey {
    /// The key as a sealed row, about 700 bytes.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        #[allow(clippy::disallowed_methods, reason = "the row is the one place that stores it")]
        let session = self.session.pickle();
        let row = SenderRow { epoch: self.epoch, made_at_ms: self.made_at_ms, session };
        row_key.seal_value(SENDER, &self.group.0, &row)
    }

    /// Reads what [`SenderKey::to_row`] wrote for this group.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or belongs to another group.
    pub fn from_row(row_key: &RowKey, group: GroupId, row: &[u8]) -> Result<Self, RowError> {
        let row: SenderRow<GroupSessionPickle> = row_key.open_value(SENDER, &group.0, row)?;
        let session = GroupSession::from_pickle(row.session);
        if session.session_config() != CONFIG {
            return Err(RowError::Damaged);
        }
        Ok(Self { group, epoch: row.epoch, made_at_ms: row.made_at_ms, session })
    }
}

#[derive(Serialize, Deserialize)]
struct HeardRow<S> {
    account: AccountPublic,
    number: DeviceNumber,
    signing_key: [u8; 32],
    dh_key: [u8; 32],
    epoch: u64,
    next: u32,
    opened: [u8; 16],
    session: S,
}

impl HeardKey {
    /// The key as a sealed row, about 900 bytes.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        #[allow(clippy::disallowed_methods, reason = "the row is the one place that stores it")]
        let session = self.session.pickle();
        let row = HeardRow {
            account: self.from.account,
            number: self.from.number,
            signing_key: self.from.signing_key,
            dh_key: self.from.dh_key,
            epoch: self.epoch,
            next: self.next,
            opened: self.opened.to_be_bytes(),
            session,
        };
        row_key.seal_value(HEARD, &Self::row_name(self.group, self.from(), self.id), &row)
    }

    /// Reads what [`HeardKey::to_row`] wrote for this group, device and key.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or belongs to another one.
    pub fn from_row(
        row_key: &RowKey,
        group: GroupId,
        from: DeviceId,
        id: SenderKeyId,
        row: &[u8],
    ) -> Result<Self, RowError> {
        let name = Self::row_name(group, from, id);
        let row: HeardRow<InboundGroupSessionPickle> = row_key.open_value(HEARD, &name, row)?;
        let from = Peer {
            account: row.account,
            number: row.number,
            signing_key: row.signing_key,
            dh_key: row.dh_key,
        };
        let session = InboundGroupSession::from_pickle(row.session);
        let opened = u128::from_be_bytes(row.opened);
        Ok(Self { from, group, epoch: row.epoch, id, session, next: row.next, opened })
    }

    /// The name of a key's row: group, device, key; 36 bytes.
    pub fn row_name(group: GroupId, from: DeviceId, id: SenderKeyId) -> Vec<u8> {
        let (account, number) = (from.account.0.to_be_bytes(), from.number.0.to_be_bytes());
        [group.0.as_slice(), &account, &number, &id.0].concat()
    }
}
