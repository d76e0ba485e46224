//! Keys of contacts whose ratchets were dropped for want of room: whoever comes back is known, and
//! another key behind the same handle is told.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, Handle};
use godwit_seal::{AccountPublic, RowError};
use serde::{Deserialize, Serialize};

use super::contact::{account_of_key, put};
use super::output::{Row, Table, Write};
use super::vault::Vault;

/// Most pins: 100,000 x about 150 bytes = 15 MB. For one more, the pin of whoever exchanged the fewest
/// messages goes, and the user is told.
pub(crate) const PINS_MAX: usize = 100_000;

/// What is left of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    pub(crate) handle: Handle,
    /// The handle led to this account, and has led to no other since.
    pub(crate) current: bool,
    pub(crate) account_key: AccountPublic,
    /// How many were exchanged.
    pub(crate) messages: u64,
}

/// All pins, and which rows changed since they were written.
pub(crate) struct Pins {
    /// How many there may be: [`PINS_MAX`].
    room: usize,
    by_account: BTreeMap<AccountId, Pin>,
    changed: BTreeSet<AccountId>,
}

impl Default for Pins {
    fn default() -> Self {
        Self { room: PINS_MAX, by_account: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl Pins {
    pub(crate) fn get(&self, account: AccountId) -> Option<&Pin> {
        self.by_account.get(&account)
    }

    /// The accounts pinned under this handle.
    pub(crate) fn of(&self, handle: &Handle) -> impl Iterator<Item = AccountId> {
        self.by_account
            .iter()
            .filter(move |(_, pin)| pin.handle == *handle)
            .map(|(account, _)| *account)
    }

    /// Keeps a pin. Gives the handle of another that had to go.
    pub(crate) fn add(&mut self, pin: Pin) -> Option<Handle> {
        let account = pin.account_key.id();
        let gone = self.least().filter(|_| self.by_account.len() >= self.room);
        let gone = gone.and_then(|least| self.take(least));
        self.by_account.insert(account, pin);
        self.changed.insert(account);
        gone.map(|pin| pin.handle)
    }

    fn least(&self) -> Option<AccountId> {
        let least = self.by_account.iter().min_by_key(|(_, pin)| pin.messages);
        least.map(|(account, _)| *account)
    }

    /// The account is a contact again.
    pub(crate) fn take(&mut self, account: AccountId) -> Option<Pin> {
        let pin = self.by_account.remove(&account)?;
        self.changed.insert(account);
        Some(pin)
    }

    /// The handle leads to somebody else now.
    pub(crate) fn lead_elsewhere(&mut self, handle: &Handle) {
        let led = |(account, pin): (&AccountId, &mut Pin)| {
            let is_led = pin.current && pin.handle == *handle;
            pin.current &= !is_led;
            is_led.then_some(*account)
        };
        self.changed.extend(self.by_account.iter_mut().filter_map(led));
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let changed = std::mem::take(&mut self.changed);
        let write = |account: AccountId| {
            let key = account.0.to_be_bytes();
            Ok(match self.by_account.get(&account) {
                Some(pin) => put(Table::Pin, &key, vault.seal(Table::Pin, &key, pin)?),
                None => Write::Delete { table: Table::Pin, key: key.to_vec() },
            })
        };
        changed.into_iter().map(write).collect()
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut pins = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::Pin) {
            let pin = vault.open(Table::Pin, key, value)?;
            pins.by_account.insert(account_of_key(key)?, pin);
        }
        Ok(pins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_with_the_fewest_messages_goes_at_the_bound_and_none_below() {
        assert_eq!(Pins::default().room, PINS_MAX);
        let mut pins = Pins { room: 2, ..Pins::default() };
        let pin = |name: &str, byte: u8, messages: u64| Pin {
            handle: name.parse().unwrap(),
            current: true,
            account_key: AccountPublic([byte; 32]),
            messages,
        };
        assert_eq!(pins.add(pin("alice", 1, 5)), None);
        assert_eq!(pins.add(pin("bob", 2, 1)), None);
        assert_eq!(pins.add(pin("carol", 3, 1)), Some("bob".parse().unwrap()));
        let alice = AccountPublic([1; 32]).id();
        pins.lead_elsewhere(&"carol".parse().unwrap());
        assert!(pins.get(alice).is_some_and(|pin| pin.current), "carol's handle is not hers");
        pins.lead_elsewhere(&"alice".parse().unwrap());
        assert!(pins.get(alice).is_some_and(|pin| !pin.current));
    }
}
