//! Contacts: whose key is pinned, which devices they have, and the ratchets with each.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId, DeviceNumber, Handle};
use godwit_seal::{AccountPublic, DeviceList, Pairing, Peer, RowError, Verified};
use serde::{Deserialize, Serialize};

use super::output::{Row, Table, Write};
use super::pin::{Pin, Pins};
use super::timer::Timer;
use super::vault::Vault;
use super::window::Window;

/// Most contacts with ratchets: 10,000 x about 3 KB = 30 MB of memory. For one more, the ratchets of
/// one that was never verified and that nothing waits for are dropped; what it sends later is asked for
/// again. Its key stays pinned, see `Pins`.
pub const CONTACTS_MAX: usize = 10_000;

/// An account that this one has written with.
pub(crate) struct Contact {
    pub(crate) record: ContactRecord,
    pub(crate) list: Verified<DeviceList>,
    pub(crate) devices: BTreeMap<DeviceNumber, Remote>,
    /// Devices that were removed: what they sent before is opened, nothing is sealed for them.
    former: BTreeMap<DeviceNumber, Former>,
    /// When the server last answered who this is, by the monotonic clock of this process.
    pub(crate) looked_up_at_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContactRecord {
    pub(crate) handle: Handle,
    /// The handle leads to this account now; false once it leads to another.
    pub(crate) current: bool,
    pub(crate) verified: bool,
    /// The handle was a verified contact's and now has this other key: nothing is sent until the
    /// user has decided.
    pub(crate) blocked: bool,
    pub(crate) notice: Option<String>,
    /// Our counter up to which the contact has read.
    pub(crate) read_up_to: u64,
    /// The user was told that the list signed at this time is too old.
    #[serde(default)]
    pub(crate) old_list_told_ms: Option<u64>,
    /// The user was told, and accepted that list all the same.
    #[serde(default)]
    pub(crate) old_list_accepted_ms: Option<u64>,
    /// Of the chat with it.
    #[serde(default)]
    pub(crate) timer: Timer,
    /// What the contact gave us to see its presence.
    #[serde(default)]
    pub(crate) presence_pass: Option<[u8; 16]>,
    /// What we gave the contact to see ours.
    #[serde(default)]
    pub(crate) presence_given: Option<[u8; 16]>,
    /// It had our pass when another one was made: the present one goes to it by itself.
    #[serde(default)]
    pub(crate) pass_owed: bool,
    /// The user has written to them, from this device or another one: they are a contact, and no
    /// stranger who only wrote to us.
    #[serde(default)]
    pub(crate) written_to: bool,
}

/// A device that was removed, until its time is over.
struct Former {
    remote: Remote,
    until_ms: u64,
}

impl Contact {
    /// A device that is, or was, one of the account.
    fn remote(&self, number: DeviceNumber) -> Option<&Remote> {
        let former = || self.former.get(&number).map(|former| &former.remote);
        self.devices.get(&number).or_else(former)
    }

    fn remote_mut(&mut self, number: DeviceNumber) -> Option<&mut Remote> {
        match self.devices.get_mut(&number) {
            Some(remote) => Some(remote),
            None => self.former.get_mut(&number).map(|former| &mut former.remote),
        }
    }

    /// All devices that are, or were, ones of the account, of which something was shown.
    pub(crate) fn heard_of(&self) -> impl Iterator<Item = (DeviceNumber, &Remote)> {
        let former = self.former.iter().map(|(number, former)| (*number, &former.remote));
        self.devices.iter().map(|(number, remote)| (*number, remote)).chain(former)
    }

    /// Gives each device of the list, and each that it names as removed, its ratchets from among
    /// `known`; what stays there belongs to nobody now.
    fn seat(&mut self, own: DeviceId, known: &mut BTreeMap<DeviceNumber, Remote>) {
        let is_other =
            |number: &DeviceNumber| self.list.account() != own.account || *number != own.number;
        let mut remote_of = |peer: Peer| {
            let number = peer.id().number;
            (number, known.remove(&number).unwrap_or_else(|| Remote::new(&peer)))
        };
        let numbers = self.list.numbers().filter(is_other);
        let peers = numbers.filter_map(|number| self.list.peer(number));
        self.devices = peers.map(&mut remote_of).collect();
        let former = self.list.former().filter(|(number, _)| is_other(number));
        self.former = former
            .filter_map(|(number, until_ms)| {
                let (number, remote) = remote_of(self.list.former_peer(number)?);
                Some((number, Former { remote, until_ms }))
            })
            .collect();
    }

    /// How much would be missed: messages exchanged, then how recently.
    fn weight(&self) -> (u64, u64) {
        let records = || self.devices.values().map(|remote| &remote.record);
        let messages = records().fold(0, |sum: u64, record| sum.saturating_add(record.messages));
        (messages, records().map(|record| record.last_row).max().unwrap_or(0))
    }
}

/// One device of a contact.
pub(crate) struct Remote {
    pub(crate) pairing: Pairing,
    pub(crate) record: RemoteRecord,
}

impl Remote {
    /// Nothing was exchanged with it yet.
    fn new(peer: &Peer) -> Self {
        Self { pairing: Pairing::new(peer), record: RemoteRecord::default() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteRecord {
    pub(crate) window: Window,
    /// Highest counter of a message that was shown.
    pub(crate) shown: u64,
    /// Up to where the device was told that we have read.
    pub(crate) read_told: u64,
    /// Our counter up to which this device has everything.
    pub(crate) delivered_up_to: u64,
    /// The next key bundle opens a session that replaces the ones there.
    pub(crate) repair: bool,
    /// Messages shown of it and sealed for it.
    #[serde(default)]
    pub(crate) messages: u64,
    /// Row of the history of the last one of it.
    #[serde(default)]
    pub(crate) last_row: u64,
    /// The version of our profile that it was told.
    #[serde(default)]
    pub(crate) profile_told: u64,
}

/// All contacts, and which rows changed since they were written.
pub(crate) struct Contacts {
    /// This device. The other devices of its account are a contact like any other.
    own: DeviceId,
    /// How many there may be: [`CONTACTS_MAX`].
    room: usize,
    by_account: BTreeMap<AccountId, Contact>,
    by_handle: BTreeMap<Handle, AccountId>,
    /// Of those who were forgotten.
    pins: Pins,
    changed: BTreeSet<AccountId>,
    changed_lists: BTreeSet<AccountId>,
    changed_devices: BTreeSet<DeviceId>,
    changed_pairings: BTreeSet<DeviceId>,
}

impl Contacts {
    /// No contacts yet.
    pub(crate) fn of(own: DeviceId) -> Self {
        Self {
            own,
            room: CONTACTS_MAX,
            by_account: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            pins: Pins::default(),
            changed: BTreeSet::new(),
            changed_lists: BTreeSet::new(),
            changed_devices: BTreeSet::new(),
            changed_pairings: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, account: AccountId) -> Option<&Contact> {
        self.by_account.get(&account)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Contact> {
        self.by_account.values()
    }

    /// For changing; the contact's own row is written with the next batch.
    pub(crate) fn get_mut(&mut self, account: AccountId) -> Option<&mut Contact> {
        let contact = self.by_account.get_mut(&account)?;
        self.changed.insert(account);
        Some(contact)
    }

    /// The same, with the account of each; our own other devices are one.
    pub(crate) fn by_id(&self) -> impl Iterator<Item = (AccountId, &Contact)> {
        self.by_account.iter().map(|(account, contact)| (*account, contact))
    }

    /// A device, for changing its record alone.
    pub(crate) fn record_mut(&mut self, device: DeviceId) -> Option<&mut RemoteRecord> {
        let remote = self.by_account.get_mut(&device.account)?.remote_mut(device.number)?;
        self.changed_devices.insert(device);
        Some(&mut remote.record)
    }

    /// A device, for using its ratchets.
    pub(crate) fn remote_mut(&mut self, device: DeviceId) -> Option<&mut Remote> {
        let remote = self.by_account.get_mut(&device.account)?.remote_mut(device.number)?;
        self.changed_devices.insert(device);
        self.changed_pairings.insert(device);
        Some(remote)
    }

    pub(crate) fn remote(&self, device: DeviceId) -> Option<&Remote> {
        self.by_account.get(&device.account)?.remote(device.number)
    }

    /// Until when what a removed device sent before is opened; `None` for one that was not removed.
    pub(crate) fn former_until_ms(&self, device: DeviceId) -> Option<u64> {
        let former = self.by_account.get(&device.account)?.former.get(&device.number)?;
        Some(former.until_ms)
    }

    /// Forgets the ratchets of removed devices whose time is over.
    pub(crate) fn sweep_former(&mut self, now_ms: u64) {
        for (account, contact) in &mut self.by_account {
            let over = contact.former.extract_if(.., |_, former| former.until_ms <= now_ms);
            for (number, _) in over {
                let device = DeviceId { account: *account, number };
                self.changed_devices.insert(device);
                self.changed_pairings.insert(device);
            }
        }
    }

    /// The account that a handle leads to now.
    pub(crate) fn account_of(&self, handle: &Handle) -> Option<AccountId> {
        self.by_handle.get(handle).copied()
    }

    /// The contact that a handle leads to now.
    pub(crate) fn by_handle(&self, handle: &Handle) -> Option<&Contact> {
        self.get(self.account_of(handle)?)
    }

    /// All accounts that had this handle, forgotten ones too.
    pub(crate) fn accounts_of(&self, handle: &Handle) -> Vec<AccountId> {
        let named = self.by_account.iter().filter(|(_, c)| c.record.handle == *handle);
        named.map(|(account, _)| *account).chain(self.pins.of(handle)).collect()
    }

    /// The key by which an account is known, if it is.
    pub(crate) fn pinned(&self, account: AccountId) -> Option<&AccountPublic> {
        let contact = self.get(account).map(|contact| contact.list.account_key());
        contact.or_else(|| self.pins.get(account).map(|pin| &pin.account_key))
    }

    /// Whether another contact has room only if one is forgotten.
    pub(crate) fn is_full(&self) -> bool {
        self.by_account.len() >= self.room
    }

    /// Forgets the ratchets of one of those which `may_go`: with whom the fewest messages were
    /// exchanged, and of several the one longest ago. Its key stays pinned; to make room for that the
    /// pin of another may go, who is given.
    pub(crate) fn forget_one(
        &mut self,
        may_go: impl Fn(AccountId, &Contact) -> bool,
    ) -> Option<Handle> {
        let candidates = self.by_account.iter().filter(|(account, contact)| {
            !contact.record.verified
                && !contact.record.blocked
                && **account != self.own.account
                && may_go(**account, contact)
        });
        let (account, _) = candidates.min_by_key(|(_, contact)| contact.weight())?;
        let account = *account;
        let contact = self.by_account.remove(&account)?;
        let (messages, _) = contact.weight();
        for number in contact.devices.into_keys().chain(contact.former.into_keys()) {
            self.changed_devices.insert(DeviceId { account, number });
            self.changed_pairings.insert(DeviceId { account, number });
        }
        self.by_handle.retain(|_, led_to| *led_to != account);
        self.changed.insert(account);
        self.changed_lists.insert(account);
        self.pins.add(Pin {
            handle: contact.record.handle,
            current: contact.record.current,
            account_key: *contact.list.account_key(),
            messages,
        })
    }

    /// Takes a verified list: a new contact, or newer devices of a known one. Ratchets with devices
    /// that were removed are kept to open what they sent before, as long as the list names them;
    /// others go. Of our own account: the other devices.
    pub(crate) fn learn(&mut self, handle: &Handle, list: Verified<DeviceList>) {
        let account = list.account();
        let own = self.own;
        let pin = self.pins.take(account);
        if let Some(pin) = pin.as_ref().filter(|pin| pin.current) {
            self.by_handle.entry(pin.handle.clone()).or_insert(account);
        }
        let (handle, current) =
            pin.map_or_else(|| (handle.clone(), true), |pin| (pin.handle, pin.current));
        let contact = self.by_account.entry(account).or_insert_with(|| Contact {
            record: ContactRecord {
                handle,
                current,
                verified: false,
                blocked: false,
                notice: None,
                read_up_to: 0,
                old_list_told_ms: None,
                old_list_accepted_ms: None,
                timer: Timer::default(),
                presence_pass: None,
                presence_given: None,
                pass_owed: false,
                written_to: false,
            },
            list: list.clone(),
            devices: BTreeMap::new(),
            former: BTreeMap::new(),
            looked_up_at_ms: None,
        });
        contact.list = list;
        let former = std::mem::take(&mut contact.former).into_iter();
        let mut known: BTreeMap<DeviceNumber, Remote> =
            former.map(|(number, former)| (number, former.remote)).collect();
        known.append(&mut contact.devices);
        contact.seat(own, &mut known);
        for number in known.into_keys() {
            let device = DeviceId { account, number };
            self.changed_devices.insert(device);
            self.changed_pairings.insert(device);
        }
        self.changed.insert(account);
        self.changed_lists.insert(account);
    }

    /// The server answered who this is.
    pub(crate) fn was_looked_up(&mut self, account: AccountId, mono_ms: u64) {
        if let Some(contact) = self.by_account.get_mut(&account) {
            contact.looked_up_at_ms = Some(mono_ms);
        }
    }

    /// Makes the handle lead to this account. Returns the account that it led to before.
    pub(crate) fn lead(&mut self, handle: &Handle, account: AccountId) -> Option<AccountId> {
        let before = self.by_handle.insert(handle.clone(), account).filter(|b| *b != account);
        self.pins.lead_elsewhere(handle);
        if let Some(former) = before.and_then(|b| self.get_mut(b)) {
            former.record.current = false;
        }
        before
    }

    /// The server says that there is no such account: the handle must be asked for anew.
    pub(crate) fn lead_nowhere(&mut self, handle: &Handle) {
        let former = self.by_handle.remove(handle);
        if let Some(former) = former.and_then(|account| self.get_mut(account)) {
            former.record.current = false;
        }
    }

    /// A device has everything of ours up to a counter. Whether that is news.
    pub(crate) fn note_delivered(&mut self, device: DeviceId, up_to: u64) -> bool {
        let contact = self.by_account.get_mut(&device.account);
        let Some(remote) = contact.and_then(|c| c.remote_mut(device.number)) else {
            return false;
        };
        // Only this device's count of what is unacknowledged; not worth writing the ratchets for.
        remote.pairing.delivered(up_to);
        let is_news = remote.record.delivered_up_to < up_to;
        if is_news {
            remote.record.delivered_up_to = up_to;
            self.changed_devices.insert(device);
        }
        is_news
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let mut writes = Vec::new();
        for account in std::mem::take(&mut self.changed) {
            let key = account.0.to_be_bytes();
            writes.push(match self.by_account.get(&account) {
                Some(contact) => {
                    put(Table::Contact, &key, vault.seal(Table::Contact, &key, &contact.record)?)
                }
                None => Write::Delete { table: Table::Contact, key: key.to_vec() },
            });
        }
        for account in std::mem::take(&mut self.changed_lists) {
            let key = account.0.to_be_bytes();
            writes.push(match self.by_account.get(&account) {
                Some(contact) => put(Table::List, &key, contact.list.to_row(vault.key())?),
                None => Write::Delete { table: Table::List, key: key.to_vec() },
            });
        }
        for device in std::mem::take(&mut self.changed_devices) {
            let key = device_key(device);
            writes.push(match self.remote(device) {
                Some(remote) => {
                    put(Table::Device, &key, vault.seal(Table::Device, &key, &remote.record)?)
                }
                None => Write::Delete { table: Table::Device, key: key.to_vec() },
            });
        }
        for device in std::mem::take(&mut self.changed_pairings) {
            let key = device_key(device);
            writes.push(match self.remote(device) {
                Some(remote) => put(Table::Pairing, &key, remote.pairing.to_row(vault.key())?),
                None => Write::Delete { table: Table::Pairing, key: key.to_vec() },
            });
        }
        writes.extend(self.pins.changes(vault)?);
        Ok(writes)
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, own: DeviceId, rows: &[Row]) -> Result<Self, RowError> {
        let mut contacts = Self { pins: Pins::restore(vault, rows)?, ..Self::of(own) };
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::List) {
            let account = account_of_key(key)?;
            let list = Verified::<DeviceList>::from_row(vault.key(), account, value)?;
            let record = row(rows, Table::Contact, key).ok_or(RowError::Damaged)?;
            let record: ContactRecord = vault.open(Table::Contact, key, record)?;
            if record.current {
                contacts.by_handle.insert(record.handle.clone(), account);
            }
            let (devices, former) = (BTreeMap::new(), BTreeMap::new());
            let contact = Contact { record, list, devices, former, looked_up_at_ms: None };
            contacts.by_account.insert(account, contact);
        }
        let mut known: BTreeMap<AccountId, BTreeMap<DeviceNumber, Remote>> = BTreeMap::new();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::Device) {
            let device = device_of_key(key)?;
            let contact = contacts.by_account.get(&device.account).ok_or(RowError::Damaged)?;
            let pairing = match row(rows, Table::Pairing, key) {
                Some(row) => Pairing::from_row(vault.key(), device, row)?,
                None => match contact.list.any_peer(device.number) {
                    Some(peer) => Pairing::new(&peer),
                    None => continue,
                },
            };
            let record = vault.open(Table::Device, key, value)?;
            let devices = known.entry(device.account).or_default();
            devices.insert(device.number, Remote { pairing, record });
        }
        for (account, contact) in &mut contacts.by_account {
            contact.seat(own, &mut known.remove(account).unwrap_or_default());
        }
        Ok(contacts)
    }
}

pub(super) fn put(table: Table, key: &[u8], value: Vec<u8>) -> Write {
    Write::Put { table, key: key.to_vec(), value }
}

fn row<'a>(rows: &'a [Row], table: Table, key: &[u8]) -> Option<&'a [u8]> {
    let at = rows.binary_search_by(|(t, k, _)| (*t, k.as_slice()).cmp(&(table, key))).ok()?;
    rows.get(at).map(|(_, _, value)| value.as_slice())
}

/// The key of a device's rows: account, then number, big endian.
pub(crate) fn device_key(device: DeviceId) -> [u8; 12] {
    let mut key = [0; 12];
    let (account, number) = key.split_at_mut(8);
    account.copy_from_slice(&device.account.0.to_be_bytes());
    number.copy_from_slice(&device.number.0.to_be_bytes());
    key
}

pub(crate) fn device_of_key(key: &[u8]) -> Result<DeviceId, RowError> {
    let (account, number) = key.split_at_checked(8).ok_or(RowError::Damaged)?;
    let number: [u8; 4] = number.try_into().map_err(|_| RowError::Damaged)?;
    Ok(DeviceId {
        account: account_of_key(account)?,
        number: DeviceNumber(u32::from_be_bytes(number)),
    })
}

pub(super) fn account_of_key(key: &[u8]) -> Result<AccountId, RowError> {
    let key: [u8; 8] = key.try_into().map_err(|_| RowError::Damaged)?;
    Ok(AccountId(u64::from_be_bytes(key)))
}

/// Whether an account was recovered between these two lists: none of its devices is left that could tell
/// the new ones of anything.
pub(crate) fn is_recovered(before: &Verified<DeviceList>, after: &Verified<DeviceList>) -> bool {
    after.numbers().all(|number| before.numbers().all(|old| old != number))
}

#[cfg(test)]
mod tests {
    use godwit_seal::{AccountKey, DeviceKeys, Trust};

    use super::*;
    use crate::core::output::rows_put;

    fn contacts_for(room: usize) -> Contacts {
        Contacts { room, ..Contacts::of(DeviceId::new(0, 1)) }
    }

    /// Somebody with one device whose list was verified.
    fn learn(contacts: &mut Contacts, name: &str) -> AccountId {
        let account_key = AccountKey::generate();
        let keys = DeviceKeys::create(&account_key.public(), DeviceNumber(1), 1);
        let signed = DeviceList::sign(&account_key, None, &[keys.describe()], 1).unwrap();
        let account = account_key.public().id();
        let list = DeviceList::verify(&signed, Trust::FirstUse(account), None, 1).unwrap();
        let handle: Handle = name.parse().unwrap();
        contacts.learn(&handle, list);
        contacts.lead(&handle, account);
        account
    }

    fn has_sent(contacts: &mut Contacts, account: AccountId, messages: u64, last_row: u64) {
        let device = DeviceId { account, number: DeviceNumber(1) };
        let record = contacts.record_mut(device).unwrap();
        (record.messages, record.last_row) = (messages, last_row);
        // Whoever counts from a million has not written a million messages.
        record.shown = 1_000_000 / messages;
    }

    #[test]
    fn there_is_room_below_the_bound_and_none_at_it() {
        assert_eq!(Contacts::of(DeviceId::new(0, 1)).room, CONTACTS_MAX);
        let mut contacts = contacts_for(2);
        learn(&mut contacts, "alice");
        assert!(!contacts.is_full());
        learn(&mut contacts, "bob");
        assert!(contacts.is_full());
        contacts.forget_one(|_, _| true);
        assert!(!contacts.is_full());
    }

    #[test]
    fn with_whom_least_was_exchanged_goes_and_who_was_verified_or_is_written_to_stays() {
        let mut contacts = contacts_for(5);
        let [alice, bob, carol, dave, erin] =
            ["alice", "bob", "carol", "dave", "erin"].map(|name| learn(&mut contacts, name));
        let exchanged = [(alice, 1, 9), (bob, 2, 9), (carol, 4, 6), (dave, 3, 7), (erin, 3, 8)];
        for (account, messages, row) in exchanged {
            has_sent(&mut contacts, account, messages, row);
        }
        contacts.get_mut(alice).unwrap().record.verified = true;
        contacts.forget_one(|account, _| account != bob);
        assert!(contacts.get(dave).is_none(), "the least, longest ago, of those that may go");
        assert_eq!(contacts.account_of(&"dave".parse().unwrap()), None);
        contacts.get_mut(carol).unwrap().record.blocked = true;
        contacts.forget_one(|account, _| account != bob);
        assert!([alice, bob, carol].iter().all(|account| contacts.get(*account).is_some()));
    }

    #[test]
    fn who_was_forgotten_is_known_again_by_the_same_key() {
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let mut contacts = contacts_for(1);
        let alice = learn(&mut contacts, "alice");
        let list = contacts.get(alice).unwrap().list.clone();
        let key = *list.account_key();
        contacts.forget_one(|_, _| true);
        let rows = rows_put(contacts.changes(&vault).unwrap());
        let mut contacts = Contacts::restore(&vault, DeviceId::new(0, 1), &rows).unwrap();
        let handle: Handle = "alice".parse().unwrap();
        assert_eq!(contacts.pinned(alice), Some(&key));
        assert_eq!(contacts.accounts_of(&handle), [alice]);
        assert_eq!(contacts.account_of(&handle), None, "she must be asked for anew");
        contacts.learn(&handle, list);
        assert_eq!(contacts.account_of(&handle), Some(alice), "the handle leads to her as before");
        assert_eq!(contacts.accounts_of(&handle), [alice], "once");
        contacts.forget_one(|_, _| true);
        let other = learn(&mut contacts, "alice");
        assert_eq!(contacts.accounts_of(&handle).len(), 2, "the change of key is seen");
        contacts.forget_one(|_, _| true);
        assert_ne!(other, alice);
    }

    #[test]
    fn who_was_forgotten_leaves_no_row_but_the_pin() {
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let mut contacts = contacts_for(1);
        learn(&mut contacts, "alice");
        let puts = contacts.changes(&vault).unwrap();
        contacts.forget_one(|_, _| true);
        let deletes = contacts.changes(&vault).unwrap();
        let places = |writes: &[Write]| -> BTreeSet<(Table, Vec<u8>)> {
            let place = |write: &Write| match write {
                Write::Put { table, key, .. } | Write::Delete { table, key } => {
                    (*table, key.clone())
                }
                other => panic!("{other:?}"),
            };
            writes.iter().map(place).collect()
        };
        let is_gone = |write: &Write| match write {
            Write::Put { table, .. } => *table == Table::Pin,
            _ => true,
        };
        assert!(deletes.iter().all(is_gone), "{deletes:?}");
        assert!(!puts.is_empty() && places(&puts).is_subset(&places(&deletes)));
    }
}
