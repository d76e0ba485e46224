//! Prekeys: publish, and take each one-time key once.

use godwit_base::DeviceId;
use godwit_base::limits::{ONE_TIME_KEYS_MAX, SIGNED_KEY_BYTES_MAX};
use redb::ReadableTable;

use super::Batch;
use super::stop::{Step, require, require_room};
use crate::embedded::fault::Fault;
use crate::embedded::roll::RollChange;
use crate::embedded::row::{self, Published};
use crate::embedded::tables::{self, OneTimeKey};
use crate::{KeyUpload, KeysError, TakenKeys};

impl Batch<'_> {
    pub(super) fn publish_keys(
        &mut self,
        device: DeviceId,
        keys: &KeyUpload,
    ) -> Step<u32, KeysError> {
        require(self.state.roster.has(device), KeysError::UnknownDevice)?;
        require(are_within_bounds(keys), KeysError::KeyLimit)?;
        let published = self.published(device)?;
        let left = self.one_time_keys(device, ONE_TIME_KEYS_MAX)?.len();
        let new = keys.one_time.iter().filter(|(id, _)| is_new(*id, &published)).count();
        require(left + new <= ONE_TIME_KEYS_MAX, KeysError::KeyLimit)?;
        let again = new == 0 && keys.fallback.as_ref().is_none_or(|key| published.has(key));
        if again {
            return Ok(count(left));
        }
        require_room(self.terms.disk_full)?;
        Ok(self.add_keys(device, keys)?)
    }

    /// Adds the keys that are new; answers how many one-time keys there are.
    pub(super) fn add_keys(&mut self, device: DeviceId, keys: &KeyUpload) -> Result<u32, Fault> {
        let before = self.published(device)?;
        let mut after = before.clone();
        let mut one_time = self.txn.open_table(tables::ONE_TIME)?;
        for (id, signed) in keys.one_time.iter().filter(|(id, _)| is_new(*id, &before)) {
            let key = tables::one_time_key(device, *id);
            one_time.insert(&key, row::put_plain(&key, signed).as_slice())?;
            after.highest_id = after.highest_id.max(Some(*id));
        }
        drop(one_time);
        after.fallback = keys.fallback.clone().or(after.fallback);
        let key = tables::device_key(device);
        let row = row::put_published(&key, &after);
        self.txn.open_table(tables::DEVICE)?.insert(&key, row.as_slice())?;
        self.changed = true;
        let left = count(self.one_time_keys(device, ONE_TIME_KEYS_MAX)?.len());
        self.out.roll.push(RollChange::OneTimeLeft(device, left));
        Ok(left)
    }

    /// The oldest one-time key goes out and is deleted; the answer waits for the batch (M9).
    pub(super) fn take_keys(
        &mut self,
        device: DeviceId,
        one_time: bool,
    ) -> Step<TakenKeys, KeysError> {
        require(self.state.roster.has(device), KeysError::UnknownDevice)?;
        let fallback = self.published(device)?.fallback;
        let keys =
            if one_time { self.one_time_keys(device, ONE_TIME_KEYS_MAX)? } else { Vec::new() };
        let Some(oldest) = keys.first() else { return Ok(TakenKeys { one_time: None, fallback }) };
        let taken = {
            let mut table = self.txn.open_table(tables::ONE_TIME)?;
            let row = table.remove(oldest)?;
            let row = row.ok_or_else(|| Fault::damaged("a one-time key is gone"))?;
            row::plain(oldest, row.value())?
        };
        self.changed = true;
        self.out.roll.push(RollChange::OneTimeLeft(device, count(keys.len() - 1)));
        Ok(TakenKeys { one_time: Some(taken), fallback })
    }

    /// A removed device's keys go with it.
    pub(super) fn drop_keys(&mut self, device: DeviceId) -> Result<(), Fault> {
        for key in self.one_time_keys(device, ONE_TIME_KEYS_MAX)? {
            self.txn.open_table(tables::ONE_TIME)?.remove(&key)?;
        }
        self.txn.open_table(tables::DEVICE)?.remove(&tables::device_key(device))?;
        self.out.roll.push(RollChange::OneTimeLeft(device, 0));
        Ok(())
    }

    fn published(&self, device: DeviceId) -> Result<Published, Fault> {
        let key = tables::device_key(device);
        let devices = self.txn.open_table(tables::DEVICE)?;
        let row = devices.get(&key)?;
        let published = row.map(|row| row::published(&key, row.value())).transpose()?;
        Ok(published.unwrap_or_default())
    }

    /// The keys of the one-time keys of a device, oldest first, at most `most`.
    fn one_time_keys(&self, device: DeviceId, most: usize) -> Result<Vec<OneTimeKey>, Fault> {
        let (first, last) =
            (tables::one_time_key(device, 0), tables::one_time_key(device, u64::MAX));
        let table = self.txn.open_table(tables::ONE_TIME)?;
        let keys = table.range::<&OneTimeKey>(&first..=&last)?.take(most);
        keys.map(|key| Ok(*key?.0.value())).collect()
    }
}

impl Published {
    fn has(&self, fallback: &bytes::Bytes) -> bool {
        self.fallback.as_ref() == Some(fallback)
    }
}

/// An id at or below the highest ever published is a repeat: perhaps of a key that was taken since.
fn is_new(id: u64, published: &Published) -> bool {
    published.highest_id.is_none_or(|highest| id > highest)
}

/// Bounds of one upload by itself.
pub(super) fn are_within_bounds(keys: &KeyUpload) -> bool {
    keys.one_time.len() <= ONE_TIME_KEYS_MAX
        && keys.one_time.iter().all(|(_, key)| key.len() <= SIGNED_KEY_BYTES_MAX)
        && keys.fallback.as_ref().is_none_or(|key| key.len() <= SIGNED_KEY_BYTES_MAX)
}

#[allow(clippy::cast_possible_truncation, reason = "at most ONE_TIME_KEYS_MAX")]
fn count(keys: usize) -> u32 {
    keys as u32
}
