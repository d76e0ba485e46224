//! Who this device is: its keys, its server, its counters.

use godwit_base::{DeviceId, DeviceNumber, Handle, JoinLink};
use godwit_link::{PublicKey, StaticKey};
use godwit_seal::{AccountKey, DeviceKeys, DeviceList, RowError, Side, Verified};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::output::{Row, Table, Write};
use super::vault::{Blob, Vault};

/// Keys of the rows in [`Table::Me`].
mod key {
    pub(super) const ACCOUNT: &[u8] = b"account";
    pub(super) const DEVICE: &[u8] = b"device";
    pub(super) const LIST: &[u8] = b"list";
    pub(super) const HOME: &[u8] = b"home";
    pub(super) const COUNTERS: &[u8] = b"counters";
}

/// Everything that makes this device itself. Without an account on the server yet, `home.joined`
/// is false.
pub(crate) struct Identity {
    account_key: AccountKey,
    pub(crate) keys: DeviceKeys,
    pub(crate) list: Verified<DeviceList>,
    pub(crate) link_key: StaticKey,
    pub(crate) home: HomeRecord,
    pub(crate) counters: Counters,
}

/// Where the account lives.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct HomeRecord {
    pub(crate) handle: Handle,
    pub(crate) joined: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) server_key: [u8; 32],
    link_key: Blob,
    /// A resumption ticket with its secret, and until when it is good (server's clock).
    pub(crate) ticket: Option<(Blob, u64)>,
}

/// The next numbers to give out.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Of a message.
    pub(crate) message: u64,
    /// Of a row of the history.
    pub(crate) row: u64,
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
        let trust = godwit_seal::Trust::FirstUse(account_key.public().id());
        let list = DeviceList::verify(&signed, trust, None, now_ms).map_err(|_| CreateError)?;
        let link_key = StaticKey::generate().map_err(|_| CreateError)?;
        let home = HomeRecord {
            handle: handle.clone(),
            joined: false,
            host: link.host.clone(),
            port: link.port,
            server_key: link.server_key,
            link_key: Blob(link_key.to_bytes().to_vec()),
            ticket: None,
        };
        let counters = Counters { message: 1, row: 1 };
        Ok(Self { account_key, keys, list, link_key, home, counters })
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
            Zeroizing::new(home.link_key.0.as_slice().try_into().map_err(|_| RowError::Damaged)?);
        let account_key =
            AccountKey::from_row(vault.key(), row(key::ACCOUNT).ok_or(RowError::Damaged)?)?;
        let list = row(key::LIST).ok_or(RowError::Damaged)?;
        let counters = row(key::COUNTERS).ok_or(RowError::Damaged)?;
        Ok(Some(Self {
            keys: DeviceKeys::from_row(vault.key(), row(key::DEVICE).ok_or(RowError::Damaged)?)?,
            list: Verified::<DeviceList>::from_row(vault.key(), account_key.public().id(), list)?,
            link_key: StaticKey::from_bytes(*secret),
            counters: vault.open(Table::Me, key::COUNTERS, counters)?,
            account_key,
            home,
        }))
    }

    /// All rows, for a new home.
    pub(crate) fn write_all(&self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        Ok(vec![
            put(key::ACCOUNT, self.account_key.to_row(vault.key())?),
            put(key::LIST, self.list.to_row(vault.key())?),
            self.write_keys(vault)?,
            self.write_home(vault)?,
            self.write_counters(vault)?,
        ])
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
