//! Who this device is: its keys, its server, its counters.

use std::collections::BTreeMap;

use godwit_base::{DeviceId, DeviceNumber, Handle, JoinLink};
use godwit_link::{PublicKey, StaticKey};
use godwit_seal::{
    AccountKey, DeviceEntry, DeviceKeys, DeviceList, KeyUpload, ListError, RowError, Side, Trust,
    Verified,
};
use godwit_wire::v1;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::to_wire;
use super::output::{Row, Table, Write};
use super::past::{Giving, OWN_ROWS_FROM};
use super::vault::{Blob, Secret, Vault};

/// Keys of the rows in [`Table::Me`].
mod key {
    pub(super) const ACCOUNT: &[u8] = b"account";
    pub(super) const DEVICE: &[u8] = b"device";
    pub(super) const LIST: &[u8] = b"list";
    pub(super) const NEXT: &[u8] = b"next_list";
    pub(super) const HOME: &[u8] = b"home";
    pub(super) const COUNTERS: &[u8] = b"counters";
}

/// Everything that makes this device itself. Without an account on the server yet, `home.joined`
/// is false.
pub(crate) struct Identity {
    /// On the account's main device only: whoever has it says which devices the account has.
    account_key: Option<AccountKey>,
    pub(crate) keys: DeviceKeys,
    /// The account's list as the server has it, to our knowledge.
    pub(crate) list: Verified<DeviceList>,
    /// The version after it, signed here and not yet taken by the server. It is durable before it
    /// is offered, so that the same bytes are offered after a crash.
    pub(crate) next: Option<Verified<DeviceList>>,
    pub(crate) link_key: StaticKey,
    pub(crate) home: HomeRecord,
    pub(crate) counters: Counters,
}

/// What makes a new installation a device of an account that exists: its keys, and the list of the
/// account that names it.
pub struct Seat {
    /// For the end-to-end sessions.
    pub keys: DeviceKeys,
    /// For the link to the server.
    pub link_key: StaticKey,
    /// It holds the device.
    pub list: Verified<DeviceList>,
}

/// Where the account lives.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct HomeRecord {
    pub(crate) handle: Handle,
    pub(crate) joined: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) server_key: [u8; 32],
    link_key: Secret,
    /// A resumption ticket with its secret, and until when it is good (server's clock).
    pub(crate) ticket: Option<(Secret, u64)>,
    /// Number and public link key of the account's other devices. The main device keeps them: the
    /// server wants them beside a list.
    #[serde(default)]
    pub(crate) links: BTreeMap<u32, [u8; 32]>,
    /// Others are not told what was read.
    #[serde(default)]
    pub(crate) without_receipts: bool,
    /// Of the device that this one put on the list last.
    #[serde(default)]
    pub(crate) first_keys: Option<FirstKeys>,
    /// A new device is being given the history.
    #[serde(default)]
    pub(crate) giving: Option<Giving>,
    /// These are given it after that.
    #[serde(default)]
    pub(crate) giving_next: Vec<Giving>,
    /// A new device is still to be told of the groups.
    #[serde(default)]
    pub(crate) owes_groups: bool,
}

/// What a new device gave along so that it can be written to from the list on that has it. Its
/// one-time keys are forgotten once the server has them: no server is to have them twice.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FirstKeys {
    device: u32,
    one_time: Vec<(u64, Blob)>,
    fallback: Option<Blob>,
}

impl FirstKeys {
    pub(crate) fn new(device: DeviceNumber, keys: KeyUpload) -> Self {
        let one_time = keys.one_time.into_iter().map(|(id, signed)| (id, Blob(signed)));
        Self { device: device.0, one_time: one_time.collect(), fallback: keys.fallback.map(Blob) }
    }

    fn upload(&self) -> KeyUpload {
        let one_time = self.one_time.iter().map(|(id, signed)| (*id, signed.0.clone()));
        let fallback = self.fallback.as_ref().map(|key| key.0.clone());
        KeyUpload { one_time: one_time.collect(), fallback }
    }
}

/// The next numbers to give out.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Of a message.
    pub(crate) message: u64,
    /// Of a row of the history.
    pub(crate) row: u64,
    /// Highest time of something whose order counts, unix milliseconds.
    #[serde(default)]
    pub(crate) said_at_ms: u64,
}

impl HomeRecord {
    fn new(link: &JoinLink, handle: &Handle, link_key: &StaticKey, joined: bool) -> Self {
        Self {
            handle: handle.clone(),
            joined,
            host: link.host.clone(),
            port: link.port,
            server_key: link.server_key,
            link_key: Secret::of(link_key.to_bytes().as_slice()),
            ticket: None,
            links: BTreeMap::new(),
            without_receipts: false,
            first_keys: None,
            giving: None,
            giving_next: Vec::new(),
            owes_groups: false,
        }
    }
}

impl Counters {
    /// Of a new home.
    const FIRST: Self = Self { message: 1, row: 1, said_at_ms: 0 };
}

impl Identity {
    /// New keys for an account on the server of `link`.
    pub(crate) fn create(
        link: &JoinLink,
        handle: &Handle,
        now_ms: u64,
    ) -> Result<Self, CreateError> {
        let account_key = AccountKey::generate();
        let keys = DeviceKeys::create(&account_key.public(), DeviceNumber(1), now_ms);
        let signed = DeviceList::sign(&account_key, None, &[keys.describe()], now_ms)
            .map_err(|_| CreateError)?;
        let trust = Trust::FirstUse(account_key.public().id());
        let list = DeviceList::verify(&signed, trust, None, now_ms).map_err(|_| CreateError)?;
        let link_key = StaticKey::generate().map_err(|_| CreateError)?;
        let home = HomeRecord::new(link, handle, &link_key, false);
        let counters = Counters::FIRST;
        let account_key = Some(account_key);
        Ok(Self { account_key, keys, list, next: None, link_key, home, counters })
    }

    /// A further device of an account, which its main device has put on `list`.
    pub(crate) fn linked(link: &JoinLink, handle: &Handle, seat: Seat) -> Self {
        let Seat { keys, link_key, list } = seat;
        let home = HomeRecord::new(link, handle, &link_key, true);
        let counters = Counters { row: OWN_ROWS_FROM, ..Counters::FIRST };
        Self { account_key: None, keys, list, next: None, link_key, home, counters }
    }

    /// The same as the account's main device.
    pub(crate) fn with_account_key(self, account_key: AccountKey) -> Self {
        Self { account_key: Some(account_key), counters: Counters::FIRST, ..self }
    }

    /// The account key, on the main device.
    pub(crate) fn account_key(&self) -> Option<&AccountKey> {
        self.account_key.as_ref()
    }

    /// Reads what [`write_all`](Self::write_all) wrote; `None` when there is nothing.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Option<Self>, RowError> {
        let row = |key: &[u8]| {
            let found = rows.iter().find(|(table, k, _)| *table == Table::Me && k == key);
            found.map(|(_, _, value)| value.as_slice())
        };
        let Some(home) = row(key::HOME) else { return Ok(None) };
        let home: HomeRecord = vault.open(Table::Me, key::HOME, home)?;
        let secret: Zeroizing<[u8; 32]> =
            Zeroizing::new(home.link_key.bytes().try_into().map_err(|_| RowError::Damaged)?);
        let account_key =
            row(key::ACCOUNT).map(|row| AccountKey::from_row(vault.key(), row)).transpose()?;
        let keys = DeviceKeys::from_row(vault.key(), row(key::DEVICE).ok_or(RowError::Damaged)?)?;
        let list = row(key::LIST).ok_or(RowError::Damaged)?;
        let counters = row(key::COUNTERS).ok_or(RowError::Damaged)?;
        let account = keys.id().account;
        let list_of = |row: &[u8]| Verified::<DeviceList>::from_row(vault.key(), account, row);
        Ok(Some(Self {
            keys,
            list: list_of(list)?,
            next: row(key::NEXT).map(list_of).transpose()?,
            link_key: StaticKey::from_bytes(*secret),
            counters: vault.open(Table::Me, key::COUNTERS, counters)?,
            account_key,
            home,
        }))
    }

    /// All rows, for a new home.
    pub(crate) fn write_all(&self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let account = self.account_key.as_ref().map(|account| account.to_row(vault.key()));
        let account = account.transpose()?.map(|row| put(key::ACCOUNT, row));
        Ok(account
            .into_iter()
            .chain([
                put(key::LIST, self.list.to_row(vault.key())?),
                self.write_keys(vault)?,
                self.write_home(vault)?,
                self.write_counters(vault)?,
            ])
            .collect())
    }

    /// Whether this device signs the account's list.
    pub(crate) const fn is_main(&self) -> bool {
        self.account_key.is_some()
    }

    /// The account's lists.
    pub(crate) fn write_lists(&self, vault: &Vault) -> Result<[Write; 2], RowError> {
        let next = match &self.next {
            Some(next) => put(key::NEXT, next.to_row(vault.key())?),
            None => Write::Delete { table: Table::Me, key: key::NEXT.to_vec() },
        };
        Ok([put(key::LIST, self.list.to_row(vault.key())?), next])
    }

    /// Signs the first version anew, before anybody has seen it. Whether it could be.
    pub(crate) fn sign_first(&mut self, now_ms: u64) -> bool {
        let Some(account_key) = &self.account_key else { return false };
        let list = self.signed(account_key, None, self.list.entries(), now_ms);
        let is_signed = self.list.version() == 1 && list.is_ok();
        if let (true, Ok(list)) = (is_signed, list) {
            self.list = list;
        }
        is_signed
    }

    /// Signs the next version, of the same devices. Nothing on a device that is not the main one.
    ///
    /// # Errors
    /// A [`ListError`] if the list cannot be signed.
    pub(crate) fn sign_next(&mut self, now_ms: u64) -> Result<(), ListError> {
        let same = self.list.entries().to_vec();
        self.sign_next_of(&same, now_ms)
    }

    /// The same with these devices.
    ///
    /// # Errors
    /// A [`ListError`] if the list cannot be signed, such as one of too many devices.
    pub(crate) fn sign_next_of(
        &mut self,
        devices: &[DeviceEntry],
        now_ms: u64,
    ) -> Result<(), ListError> {
        if let Some(account_key) = &self.account_key {
            self.next = Some(self.signed(account_key, Some(&self.list), devices, now_ms)?);
        }
        Ok(())
    }

    fn signed(
        &self,
        account_key: &AccountKey,
        previous: Option<&Verified<DeviceList>>,
        devices: &[DeviceEntry],
        now_ms: u64,
    ) -> Result<Verified<DeviceList>, ListError> {
        let signed = DeviceList::sign(account_key, previous, devices, now_ms)?;
        let trust = Trust::Pinned(self.list.account_key());
        DeviceList::verify(&signed, trust, previous, now_ms)
    }

    /// The server has this list. Whether the home record changed with it.
    pub(crate) fn adopt(&mut self, list: Verified<DeviceList>) -> bool {
        self.list = list;
        self.next = None;
        let Some(mut keys) = self.home.first_keys.take() else { return false };
        let had_some = !std::mem::take(&mut keys.one_time).is_empty();
        let is_listed = self.list.numbers().any(|number| number.0 == keys.device);
        self.home.first_keys = is_listed.then_some(keys);
        had_some || !is_listed
    }

    /// The keys that are published with a list: of the device that came last, if it is on it.
    pub(crate) fn first_keys_of(&self, list: &DeviceList) -> Vec<v1::FirstKeys> {
        let keys = self.home.first_keys.iter();
        let listed = keys.filter(|keys| list.numbers().any(|number| number.0 == keys.device));
        let keys_of = |keys: &FirstKeys| v1::FirstKeys {
            device: keys.device,
            keys: Some(to_wire(&keys.upload())),
        };
        listed.map(keys_of).collect()
    }

    /// A list with the rows that the server needs beside it; none if it names a device whose link
    /// key is not known here.
    pub(crate) fn upload_of(&self, list: &DeviceList) -> Option<v1::DeviceListUpload> {
        let row = |number: DeviceNumber| {
            let link_key = if number == self.device().number {
                self.link_key.public().0
            } else {
                *self.home.links.get(&number.0)?
            };
            Some(v1::DeviceRow { number: number.0, link_key: link_key.to_vec().into() })
        };
        Some(v1::DeviceListUpload {
            version: list.version(),
            devices: list.numbers().map(row).collect::<Option<_>>()?,
            signed: list.signed().to_vec().into(),
        })
    }

    pub(crate) fn write_keys(&self, vault: &Vault) -> Result<Write, RowError> {
        Ok(put(key::DEVICE, self.keys.to_row(vault.key())?))
    }

    pub(crate) fn write_home(&self, vault: &Vault) -> Result<Write, RowError> {
        Ok(put(key::HOME, vault.seal(Table::Me, key::HOME, &self.home)?))
    }

    pub(crate) fn write_counters(&self, vault: &Vault) -> Result<Write, RowError> {
        Ok(put(key::COUNTERS, vault.seal(Table::Me, key::COUNTERS, &self.counters)?))
    }

    /// This device's address.
    pub(crate) fn device(&self) -> DeviceId {
        self.keys.id()
    }

    /// The server's key.
    pub(crate) fn server(&self) -> PublicKey {
        PublicKey(self.home.server_key)
    }

    /// Our side of a safety number.
    pub(crate) fn side(&self) -> Side {
        Side { account_key: *self.list.account_key(), list_version: self.list.version() }
    }
}

/// Keys could not be made: the machine gives no randomness.
#[derive(Debug)]
pub(crate) struct CreateError;

fn put(key: &[u8], value: Vec<u8>) -> Write {
    Write::Put { table: Table::Me, key: key.to_vec(), value }
}
