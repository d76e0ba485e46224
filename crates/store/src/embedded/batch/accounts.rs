//! Accounts: registration and device lists. Every check comes before the first write, because the
//! rest of the batch goes on after a refusal.

use godwit_base::limits::{DEVICES_MAX, SIGNED_LIST_BYTES_MAX};
use godwit_base::{AccountId, DeviceId, DeviceNumber};
use redb::ReadableTable;

use super::Batch;
use super::keys::are_within_bounds;
use super::stop::{Step, require, require_room};
use crate::embedded::fault::Fault;
use crate::embedded::roll::RollChange;
use crate::embedded::row::{self, Account};
use crate::embedded::tables;
use crate::{
    DeviceList, FirstKeys, KeyUpload, ListError, Publisher, RegisterError, Registration, Standing,
};

/// A device of a list and its link key.
type Listed = (DeviceNumber, [u8; 32]);

impl Batch<'_> {
    /// Refusals come in this order so that a stranger without an invite does not learn who is here.
    pub(super) fn register(&mut self, registration: &Registration) -> Step<(), RegisterError> {
        let id = AccountId::of_key(&registration.account_key);
        let list = &registration.list;
        let account = Account {
            account_key: registration.account_key,
            handle: registration.handle.as_str().to_owned(),
            highest_number: list.devices.last().map_or(0, |(number, _)| number.0),
            list: list.clone(),
        };
        if let Some(existing) = self.account(id)? {
            return require(existing == account, RegisterError::AccountTaken);
        }
        let registers = |(number, _): &Listed| *number == registration.device;
        require(is_well_formed(list), RegisterError::ListMalformed)?;
        require(list.devices.iter().any(registers), RegisterError::ListMalformed)?;
        require(are_within_bounds(&registration.keys), RegisterError::KeyLimit)?;
        require_room(self.terms.disk_full)?;
        let invite = self.invite_of(registration)?;
        require(!self.is_handle_taken(&account.handle)?, RegisterError::HandleTaken)?;
        require(self.are_links_free(&list.devices)?, RegisterError::LinkKeyTaken)?;

        if let Some(invite) = invite {
            self.use_up(invite)?;
        }
        let row = row::put_handle(&account.handle, id);
        self.txn.open_table(tables::HANDLE)?.insert(account.handle.as_str(), row.as_slice())?;
        self.set_links(id, &list.devices, false)?;
        self.set_account(id, &account, 0)?;
        self.add_keys(DeviceId { account: id, number: registration.device }, &registration.keys)?;
        Ok(())
    }

    pub(super) fn replace_list(
        &mut self,
        by: Publisher,
        list: &DeviceList,
        first_keys: &[FirstKeys],
    ) -> Step<(), ListError> {
        let id = by.device().account;
        let account = self.account(id)?;
        let Some(account) = account else { return require(false, ListError::UnknownAccount) };
        let old = &account.list;
        let (device, on) = match by {
            Publisher::Device(device) => (device, old),
            Publisher::Owner(device) => (device, list),
        };
        let is_listed = on.devices.iter().any(|(number, _)| *number == device.number);
        require(is_listed, ListError::NotListed)?;
        if old == list {
            return Ok(());
        }
        require(is_well_formed(list), ListError::ListMalformed)?;
        require(list.version > old.version, ListError::Stale)?;
        require(list.version - old.version == 1, ListError::NotNext)?;
        let (kept, new): (Vec<Listed>, Vec<Listed>) =
            list.devices.iter().partition(|(number, _)| old.devices.iter().any(|d| d.0 == *number));
        let is_new = |(number, _): &Listed| number.0 > account.highest_number;
        require(new.iter().all(is_new), ListError::NumberReused)?;
        require(kept.iter().all(|device| old.devices.contains(device)), ListError::LinkKeyTaken)?;
        require(self.are_links_free(&new)?, ListError::LinkKeyTaken)?;
        let keys_of = |(number, _): &Listed| first_keys.iter().find(|keys| keys.0 == *number);
        let first_keys: Option<Vec<&FirstKeys>> = new.iter().map(keys_of).collect();
        let first_keys = first_keys.filter(|all| all.iter().all(|(_, keys)| are_first(keys)));
        let Some(first_keys) = first_keys else { return require(false, ListError::KeysMissing) };
        require_room(self.terms.disk_full)?;

        let is_same_set = old.devices == list.devices;
        let set_version = if is_same_set {
            self.state.roster.get(id).map_or(0, |listed| listed.set_version)
        } else {
            self.set_changed(id, list.version)?
        };
        let stays = |device: &Listed| list.devices.contains(device);
        let gone: Vec<Listed> = old.devices.iter().filter(|d| !stays(d)).copied().collect();
        self.set_links(id, &gone, true)?;
        self.set_links(id, &new, false)?;
        for (number, keys) in first_keys {
            self.add_keys(DeviceId { account: id, number: *number }, keys)?;
        }
        for (number, _) in gone {
            let device = DeviceId { account: id, number };
            self.remove_device(device)?;
            self.out.removed.push(device);
        }
        let highest = list.devices.last().map_or(0, |(number, _)| number.0);
        let highest_number = account.highest_number.max(highest);
        let account = Account { highest_number, list: list.clone(), ..account };
        self.set_account(id, &account, set_version)?;
        if kept.is_empty() {
            self.tell_of_groups(id)?; // nobody else is left who could tell them
        }
        Ok(())
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, Fault> {
        let accounts = self.txn.open_table(tables::ACCOUNT)?;
        let row = accounts.get(id.0)?;
        row.map(|row| row::account(id, row.value())).transpose()
    }

    /// A device came or left with this version: whoever keeps sender keys has to look.
    fn set_changed(&mut self, id: AccountId, version: u64) -> Result<u64, Fault> {
        let row = row::group::put_number(&id.0.to_be_bytes(), version);
        self.txn.open_table(tables::DEVICE_SET)?.insert(id.0, row.as_slice())?;
        Ok(version)
    }

    fn set_account(
        &mut self,
        id: AccountId,
        account: &Account,
        set_version: u64,
    ) -> Result<(), Fault> {
        let row = row::put_account(id, account);
        self.txn.open_table(tables::ACCOUNT)?.insert(id.0, row.as_slice())?;
        self.state.roster.set(id, &account.list, set_version);
        self.changed = true;
        Ok(())
    }

    fn is_handle_taken(&self, handle: &str) -> Result<bool, Fault> {
        Ok(self.txn.open_table(tables::HANDLE)?.get(handle)?.is_some())
    }

    fn are_links_free(&self, devices: &[Listed]) -> Result<bool, Fault> {
        let links = self.txn.open_table(tables::LINK)?;
        for (_, key) in devices {
            if links.get(key)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn set_links(&mut self, id: AccountId, devices: &[Listed], revoked: bool) -> Result<(), Fault> {
        let mut links = self.txn.open_table(tables::LINK)?;
        for (number, key) in devices {
            let device = DeviceId { account: id, number: *number };
            links.insert(key, row::put_link(key, device, revoked).as_slice())?;
            let standing =
                if revoked { Standing::Revoked(device) } else { Standing::Device(device) };
            self.out.roll.push(RollChange::Link(*key, standing));
        }
        Ok(())
    }

    /// Its keys and window go now, its records with the sweep: they may be many.
    fn remove_device(&mut self, device: DeviceId) -> Result<(), Fault> {
        self.state.forget(device);
        self.out.roll.push(RollChange::Removed(device));
        self.drop_keys(device)?;
        self.txn.open_table(tables::WINDOW)?.remove(&tables::device_key(device))?;
        Ok(())
    }
}

/// Whether a device can be written to by these keys, however long it stays away.
fn are_first(keys: &KeyUpload) -> bool {
    keys.fallback.is_some() && are_within_bounds(keys)
}

/// One to eight devices, numbers ascending from 1, each link key once, the signed form not too large.
fn is_well_formed(list: &DeviceList) -> bool {
    let devices = &list.devices;
    (1..=DEVICES_MAX).contains(&devices.len())
        && list.signed.len() <= SIGNED_LIST_BYTES_MAX
        && devices.first().is_some_and(|(number, _)| number.0 > 0)
        && devices.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && devices
            .iter()
            .enumerate()
            .all(|(at, (_, key))| devices.iter().skip(at + 1).all(|(_, other)| other != key))
}
