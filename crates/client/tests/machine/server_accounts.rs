//! Accounts in the server in memory: their device lists, and the keys that their devices publish.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId, DeviceNumber, Handle};
use godwit_wire::{Refusal, v1};

use crate::server::Server;

/// An account and its devices, by number.
pub(crate) struct Account {
    pub(crate) handle: Handle,
    key: Vec<u8>,
    pub(crate) list_version: u64,
    pub(crate) signed_list: Vec<u8>,
    /// The list that was published last, if another one is shown.
    withheld: Option<(u64, Vec<u8>)>,
    /// Version, list and devices before the last change.
    before: Option<(u64, Vec<u8>, Vec<u32>)>,
    pub(crate) devices: BTreeMap<u32, Published>,
}

/// What the server knows of a device.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) link_key: Vec<u8>,
    one_time: BTreeMap<u64, Vec<u8>>,
    /// Those up to this were published once, and are not taken again (M9).
    one_time_up_to: u64,
    pub(crate) fallback: Vec<u8>,
}

impl Account {
    pub(crate) fn loses_one_time_keys(&mut self) {
        self.devices.values_mut().for_each(|device| device.one_time.clear());
    }
}

impl Server {
    pub(crate) fn holder_of(&self, link_key: &[u8]) -> Option<DeviceId> {
        self.accounts.iter().find_map(|(account, known)| {
            let found = known.devices.iter().find(|(_, device)| device.link_key == link_key);
            found.map(|(number, _)| DeviceId { account: *account, number: DeviceNumber(*number) })
        })
    }

    pub(crate) fn register(&mut self, at: usize, register: v1::Register) {
        let key: [u8; 32] = register.account_key.as_ref().try_into().unwrap();
        let id = AccountId::of_key(&key);
        let handle: Handle = register.handle.parse().unwrap();
        if self.accounts.iter().any(|(other, a)| *other != id && a.handle == handle) {
            return self.refuse(at, 0, register.request, Refusal::HandleTaken, 0);
        }
        let list = register.list.unwrap();
        let link_key = list.devices[0].link_key.to_vec();
        let mut first = Published { link_key, ..Published::default() };
        first.take(register.keys.unwrap());
        let account = Account {
            handle,
            key: key.to_vec(),
            list_version: list.version,
            signed_list: list.signed.to_vec(),
            withheld: None,
            before: None,
            devices: BTreeMap::from([(1, first)]),
        };
        self.accounts.insert(id, account);
        let device = DeviceId { account: id, number: DeviceNumber(1) };
        self.mailboxes.entry(device).or_default();
        self.connections.get_mut(&at).unwrap().device = Some(device);
        self.say(at, v1::Registered { request: register.request, account: id.0, device: 1 });
    }

    pub(crate) fn publish_keys(&mut self, at: usize, publish: v1::PublishKeys) {
        let device = self.device_at(at);
        let published = self.published(device).unwrap();
        published.take(publish.keys.unwrap());
        let one_time_left = u32::try_from(published.one_time.len()).unwrap();
        let request = publish.request;
        self.say(at, v1::KeysPublished { request, one_time_left });
    }

    pub(crate) fn publish_list(&mut self, at: usize, publish: v1::PublishDeviceList) {
        let request = publish.request;
        let list = publish.list.unwrap();
        let by = self.device_at(at);
        let id = by.account;
        let offered = (list.version, list.signed.to_vec());
        self.lists.push(offered.clone());
        if let Some((left, refusal, retry_after_ms)) = &mut self.mischief.list_refused
            && *left > 0
        {
            *left -= 1;
            let (refusal, retry_after_ms) = (*refusal, *retry_after_ms);
            return self.refuse(at, 0, request, refusal, retry_after_ms);
        }
        let is_frozen = self.mischief.freezes.contains(&id);
        let account = self.accounts.get_mut(&id).unwrap();
        for row in &list.devices {
            if let Some(known) = account.devices.get(&row.number) {
                assert_eq!(known.link_key, row.link_key, "the row is the device's");
            }
        }
        let shown = (account.list_version, account.signed_list.clone());
        let stored = account.withheld.clone().unwrap_or(shown);
        if offered != stored {
            if offered.0 <= stored.0 {
                return self.refuse(at, 0, request, Refusal::ListStale, 0);
            }
            if offered.0 > stored.0 + 1 {
                return self.refuse(at, 0, request, Refusal::ListNotNext, 0);
            }
            let keys_of = |number| publish.first_keys.iter().find(|keys| keys.device == number);
            let can_be_reached = |row: &v1::DeviceRow| {
                let keys = keys_of(row.number).and_then(|keys| keys.keys.as_ref());
                account.devices.contains_key(&row.number)
                    || keys.is_some_and(|keys| !keys.fallback.is_empty())
            };
            if !list.devices.iter().all(can_be_reached) {
                return self.refuse(at, 0, request, Refusal::ListInvalid, 0);
            }
            account.before = Some((stored.0, stored.1, account.numbers()));
            account.withheld = Some(offered);
            if !is_frozen {
                account.thaw();
                self.take_rows(id, &list.devices, publish.first_keys);
            }
        }
        self.say(at, v1::DeviceListPublished { request, version: list.version });
    }

    /// The devices are those of the rows now; whoever left is revoked.
    pub(crate) fn take_rows(
        &mut self,
        id: AccountId,
        rows: &[v1::DeviceRow],
        first_keys: Vec<v1::FirstKeys>,
    ) {
        let account = self.accounts.get_mut(&id).unwrap();
        for first in first_keys {
            let new = account.devices.entry(first.device).or_default();
            if new.link_key.is_empty() {
                new.take(first.keys.unwrap());
            }
        }
        for row in rows {
            let known = account.devices.entry(row.number).or_default();
            known.link_key = row.link_key.to_vec();
            let device = DeviceId { account: id, number: DeviceNumber(row.number) };
            self.mailboxes.entry(device).or_default();
        }
        let is_gone = |number: &u32| rows.iter().all(|row| row.number != *number);
        for (number, gone) in account.devices.extract_if(.., |number, _| is_gone(number)) {
            let device = DeviceId { account: id, number: DeviceNumber(number) };
            self.mailboxes.remove(&device);
            self.revoked.insert(gone.link_key, device);
            self.connections.retain(|_, connection| connection.device != Some(device));
        }
    }

    fn published(&mut self, device: DeviceId) -> Option<&mut Published> {
        self.accounts.get_mut(&device.account)?.devices.get_mut(&device.number.0)
    }

    pub(crate) fn fetch(&mut self, at: usize, mut fetch: v1::Fetch) {
        self.fetches += 1;
        let request = fetch.request;
        if self.mischief.fetch_limited > 0 {
            self.mischief.fetch_limited -= 1;
            return self.refuse(at, 0, request, Refusal::RateLimited, 200);
        }
        if let Some(v1::fetch::Who::Account(asked)) = fetch.who
            && self.mischief.hides.contains(&(at, AccountId(asked)))
        {
            return self.refuse(at, 0, request, Refusal::RateLimited, 200);
        }
        if let (1.., code) = self.mischief.fetch_refused {
            self.mischief.fetch_refused.0 -= 1;
            return self.say(at, v1::Refused { request, code, ..Default::default() });
        }
        let found = match fetch.who.take().unwrap() {
            v1::fetch::Who::Handle(handle) => {
                let other = self.mischief.answers_for.as_ref();
                let other = other.filter(|(asked, _)| asked.as_str() == handle).map(|(_, id)| *id);
                if let Some(other) = other {
                    fetch.who = Some(v1::fetch::Who::Account(other.0));
                    return self.fetch(at, fetch);
                }
                self.accounts.iter_mut().find(|(_, a)| a.handle.as_str() == handle)
            }
            v1::fetch::Who::Account(id) => {
                self.accounts.iter_mut().find(|(other, _)| **other == AccountId(id))
            }
        };
        let Some((id, account)) = found else {
            return self.refuse(at, 0, request, Refusal::UnknownAccount, 0);
        };
        let mut devices = Vec::new();
        let is_asked = |number: &u32| fetch.devices.is_empty() || fetch.devices.contains(number);
        let asked = account.devices.iter_mut().filter(|(number, _)| is_asked(number));
        for (number, device) in asked.filter(|_| fetch.keys) {
            let one_time = if self.mischief.no_one_time {
                Vec::new()
            } else {
                device.one_time.pop_first().map(|(_, key)| key).unwrap_or_default()
            };
            devices.push(v1::DeviceBundle {
                number: *number,
                one_time: one_time.into(),
                fallback: device.fallback.clone().into(),
            });
        }
        if self.mischief.bad_bundle {
            let mut fallback = account.devices[&1].fallback.clone();
            *fallback.last_mut().unwrap() ^= 1;
            let one_time = Vec::new().into();
            devices.push(v1::DeviceBundle { number: 1, one_time, fallback: fallback.into() });
        }
        let bundles = v1::Bundles {
            request,
            account: id.0,
            handle: account.handle.to_string(),
            account_key: account.key.clone().into(),
            list_version: account.list_version,
            signed_list: account.signed_list.clone().into(),
            devices,
            kt_proof: Vec::new().into(),
        };
        self.say(at, bundles);
    }

    /// A server that lies: this device is one of the account, says a list that is one newer.
    pub(crate) fn add_ghost(&mut self, ghost: DeviceId, keys: v1::KeyUpload, signed: Vec<u8>) {
        let account = self.accounts.get_mut(&ghost.account).unwrap();
        let mut device = Published::default();
        device.take(keys);
        account.devices.insert(ghost.number.0, device);
        account.list_version += 1;
        account.signed_list = signed;
        self.mailboxes.entry(ghost).or_default();
    }

    /// The list says what it said, and a device is not there any more.
    pub(crate) fn drop_device(&mut self, device: DeviceId) {
        self.accounts.get_mut(&device.account).unwrap().devices.remove(&device.number.0);
    }

    /// Gives other keys out for a device than it has published.
    pub(crate) fn swap_keys(&mut self, device: DeviceId, keys: v1::KeyUpload) {
        let published = self.published(device).unwrap();
        *published = Published { link_key: published.link_key.clone(), ..Published::default() };
        published.take(keys);
    }

    /// Puts a backup back that was made before the newest device came.
    pub(crate) fn go_back_one_list(&mut self, id: AccountId) {
        let account = self.accounts.get_mut(&id).unwrap();
        let (version, signed, numbers) = account.before.take().unwrap();
        (account.list_version, account.signed_list) = (version, signed);
        account.devices.retain(|number, _| numbers.contains(number));
    }

    /// How many one-time keys of this device are left.
    pub(crate) fn one_time_left_of(&self, device: DeviceId) -> usize {
        self.accounts[&device.account].devices[&device.number.0].one_time.len()
    }

    /// How many one-time keys of this account's first device are left.
    pub(crate) fn one_time_left(&self, account: AccountId) -> usize {
        self.accounts[&account].devices[&1].one_time.len()
    }
}

impl Account {
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.devices.keys().copied().collect()
    }

    /// Shows the list that was published last.
    pub(crate) fn thaw(&mut self) {
        if let Some((version, signed)) = self.withheld.take() {
            (self.list_version, self.signed_list) = (version, signed);
        }
    }

    /// Forgets all one-time keys of the first device but so many.
    pub(crate) fn keep_one_time(&mut self, count: usize) {
        self.devices.get_mut(&1).unwrap().keep_one_time(count);
    }
}

impl Published {
    fn take(&mut self, keys: v1::KeyUpload) {
        let up_to = self.one_time_up_to;
        for key in keys.one_time.into_iter().filter(|key| key.id > up_to) {
            self.one_time_up_to = self.one_time_up_to.max(key.id);
            self.one_time.insert(key.id, key.signed.to_vec());
        }
        if !keys.fallback.is_empty() {
            self.fallback = keys.fallback.to_vec();
        }
    }

    /// Forgets all one-time keys but so many.
    fn keep_one_time(&mut self, count: usize) {
        while self.one_time.len() > count {
            self.one_time.pop_last();
        }
    }
}

/// What is wrong with the copies for an account, as the real server sees it.
pub(crate) fn mismatch(
    known: &Account,
    from: DeviceId,
    recipient: &v1::Recipient,
) -> Option<v1::Mismatch> {
    let is_sender = |number: u32| recipient.account == from.account.0 && number == from.number.0;
    let wanted: BTreeSet<u32> =
        known.devices.keys().copied().filter(|number| !is_sender(*number)).collect();
    let given: BTreeSet<u32> = recipient.copies.iter().map(|copy| copy.device).collect();
    let fits = known.list_version == recipient.list_version && wanted == given;
    (!fits).then(|| v1::Mismatch {
        account: recipient.account,
        list_version: known.list_version,
        signed_list: known.signed_list.clone().into(),
        missing: wanted.difference(&given).copied().collect(),
        extra: given.difference(&wanted).copied().collect(),
    })
}
