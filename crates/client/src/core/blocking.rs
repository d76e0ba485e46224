//! What the user decided about others: blocked, muted. Every device of the account knows it.
//!
//! What a blocked account sends is opened and acknowledged as anybody's, so that its ratchets stay
//! whole and its sender's ticks tell nothing, and then dropped (decision 0100).

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, Handle};
use godwit_seal::RowError;
use serde::{Deserialize, Serialize};

use super::body::SETTINGS_A_MESSAGE;
use super::contact::{account_of_key, put};
use super::now::Now;
use super::output::{Row, Table, Write};
use super::vault::Vault;
use super::{Body, Core};
use crate::{Contact, Error, Event};

/// Most accounts of which something is decided: 10,000 x about 100 B = 1 MB. One of which nothing is
/// left (unblocked and not muted) makes room for another.
pub const SETTINGS_MAX: usize = 10_000;

/// Muted until the user says otherwise.
pub const MUTED_FOREVER_MS: u64 = u64::MAX;

/// How far ahead of this device's clock another device of ours may have decided something: a day. A
/// decision dated later would outlast every one after it.
const AHEAD_MAX_MS: u64 = 24 * 3600 * 1000;

/// What is decided of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContactSetting {
    pub(crate) handle: Handle,
    pub(crate) blocked: bool,
    /// 0: not muted.
    pub(crate) muted_until_ms: u64,
    /// The later one counts.
    pub(crate) set_at_ms: u64,
}

impl ContactSetting {
    fn says_something(&self) -> bool {
        self.blocked || self.muted_until_ms != 0
    }
}

/// All decisions, and which rows changed since they were written.
pub(crate) struct ContactSettings {
    /// How many there may be: [`SETTINGS_MAX`].
    room: usize,
    by_account: BTreeMap<AccountId, ContactSetting>,
    /// How many of them are blocked.
    blocked: usize,
    /// Our other devices are to hear all of it.
    owes_own: bool,
    changed: BTreeSet<AccountId>,
}

impl Default for ContactSettings {
    fn default() -> Self {
        Self {
            room: SETTINGS_MAX,
            by_account: BTreeMap::new(),
            blocked: 0,
            owes_own: false,
            changed: BTreeSet::new(),
        }
    }
}

impl ContactSettings {
    pub(crate) fn get(&self, account: AccountId) -> Option<&ContactSetting> {
        self.by_account.get(&account)
    }

    pub(crate) fn is_blocked(&self, account: AccountId) -> bool {
        self.get(account).is_some_and(|setting| setting.blocked)
    }

    pub(super) fn owe_own_devices(&mut self) {
        self.owes_own = true;
    }

    pub(crate) fn blocks_anybody(&self) -> bool {
        self.blocked > 0
    }

    fn put(&mut self, account: AccountId, setting: ContactSetting) {
        self.blocked += usize::from(setting.blocked);
        let before = self.by_account.insert(account, setting);
        self.blocked -= usize::from(before.is_some_and(|before| before.blocked));
    }

    fn of<'a>(&'a self, handle: &'a Handle) -> impl Iterator<Item = AccountId> + 'a {
        let named = self.by_account.iter().filter(move |(_, setting)| setting.handle == *handle);
        named.map(|(account, _)| *account)
    }

    /// Takes a decision, if it is later than the one there. Whether it was taken.
    fn set(&mut self, account: AccountId, setting: ContactSetting) -> bool {
        let known = self.by_account.get(&account);
        if known.is_some_and(|known| known.set_at_ms >= setting.set_at_ms) {
            return false;
        }
        if known.is_none() && !self.make_room() {
            return false;
        }
        self.put(account, setting);
        self.changed.insert(account);
        true
    }

    /// Lets go of one that says nothing any more, if another has no room else.
    fn make_room(&mut self) -> bool {
        if self.by_account.len() < self.room {
            return true;
        }
        let empty = self.by_account.iter().filter(|(_, setting)| !setting.says_something());
        let oldest =
            empty.min_by_key(|(_, setting)| setting.set_at_ms).map(|(account, _)| *account);
        let Some(oldest) = oldest else { return false };
        self.by_account.remove(&oldest);
        self.changed.insert(oldest);
        true
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let changed = std::mem::take(&mut self.changed);
        let write = |account: AccountId| {
            let key = account.0.to_be_bytes();
            Ok(match self.by_account.get(&account) {
                Some(setting) => put(
                    Table::ContactSetting,
                    &key,
                    vault.seal(Table::ContactSetting, &key, setting)?,
                ),
                None => Write::Delete { table: Table::ContactSetting, key: key.to_vec() },
            })
        };
        changed.into_iter().map(write).collect()
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut settings = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::ContactSetting) {
            let setting = vault.open(Table::ContactSetting, key, value)?;
            settings.put(account_of_key(key)?, setting);
        }
        Ok(settings)
    }
}

impl Core {
    /// Blocks an account or lifts that: while it is blocked nothing of it is shown and nothing is sent
    /// to it, and it does not see when this account is online. It is not told, and its messages have their
    /// two ticks.
    ///
    /// # Errors
    /// [`Error::NoContact`] when nobody of that handle is known, [`Error::ToYourself`],
    /// [`Error::TooManySettings`].
    pub fn set_blocked(&mut self, with: &Handle, blocked: bool, now: Now) -> Result<(), Error> {
        let was_blocked = self.is_handle_blocked(with);
        self.decide(with, |setting| setting.blocked = blocked, now)?;
        if blocked && !was_blocked {
            for account in self.contacts.accounts_of(with) {
                self.shut_out(account, now)?;
            }
        }
        Ok(())
    }

    /// Mutes an account until a time of the wall clock, [`MUTED_FOREVER_MS`], or 0 for not at all: a
    /// mark for whoever makes notifications, nothing else.
    ///
    /// # Errors
    /// As [`set_blocked`](Self::set_blocked).
    pub fn set_muted(&mut self, with: &Handle, until_ms: u64, now: Now) -> Result<(), Error> {
        self.decide(with, |setting| setting.muted_until_ms = until_ms, now)
    }

    /// Whom this account knows, and what was decided of others, by handle.
    pub fn people(&self) -> Vec<Contact> {
        let known = self.contacts.by_id().map(|(account, _)| account);
        let decided = self.decided.by_account.keys().copied();
        let accounts: BTreeSet<AccountId> =
            known.chain(decided).filter(|account| !self.is_own(*account)).collect();
        let mut people: Vec<Contact> =
            accounts.into_iter().filter_map(|account| self.person(account)).collect();
        people.sort_by(|a, b| a.handle.as_str().cmp(b.handle.as_str()));
        people
    }

    /// One of [`people`](Self::people).
    pub(super) fn person(&self, account: AccountId) -> Option<Contact> {
        let contact = self.contacts.get(account);
        let setting = self.decided.get(account);
        let profile = self.profiles.of(account);
        let handle = contact
            .map(|contact| contact.record.handle.clone())
            .or_else(|| setting.map(|setting| setting.handle.clone()))?;
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Some(Contact {
            handle,
            account,
            name: profile.and_then(|profile| filled(&profile.name)),
            about: profile.and_then(|profile| filled(&profile.about)),
            picture_bytes: profile.map_or(0, |profile| profile.picture.0.len()),
            verified: contact.is_some_and(|contact| contact.record.verified),
            written_to: contact.is_some_and(|contact| contact.record.written_to),
            blocked: setting.is_some_and(|setting| setting.blocked),
            muted_until_ms: setting.map_or(0, |setting| setting.muted_until_ms),
        })
    }

    /// Whether the account is blocked.
    pub(super) fn is_blocked(&self, account: AccountId) -> bool {
        self.decided.is_blocked(account)
    }

    /// Whether whoever the handle leads to, or led to, is blocked.
    pub(super) fn is_handle_blocked(&self, handle: &Handle) -> bool {
        self.decided.of(handle).any(|account| self.is_blocked(account))
    }

    fn decide(
        &mut self,
        with: &Handle,
        change: impl Fn(&mut ContactSetting),
        now: Now,
    ) -> Result<(), Error> {
        if *with == self.me.home.handle {
            return Err(Error::ToYourself);
        }
        let known = self.contacts.accounts_of(with).into_iter().chain(self.decided.of(with));
        let accounts: BTreeSet<AccountId> = known.collect();
        if accounts.is_empty() {
            return Err(Error::NoContact(with.clone()));
        }
        let mut told = Vec::new();
        for account in accounts {
            let before = self.decided.get(account);
            let mut setting = before.cloned().unwrap_or_else(|| ContactSetting {
                handle: with.clone(),
                blocked: false,
                muted_until_ms: 0,
                set_at_ms: 0,
            });
            change(&mut setting);
            // Later than the one before, whatever the clock says.
            setting.set_at_ms = self.wall_ms(now).max(setting.set_at_ms.saturating_add(1));
            if !self.decided.set(account, setting.clone()) {
                return Err(Error::TooManySettings { max: SETTINGS_MAX });
            }
            told.push((account, setting));
            self.tell_person(account);
        }
        let at_ms = self.wall_ms(now);
        for some in told.chunks(SETTINGS_A_MESSAGE) {
            self.say_to_own(Body::contact_settings(some), at_ms);
        }
        Ok(())
    }

    /// Another device of ours has decided.
    pub(super) fn on_settings(&mut self, settings: Vec<(AccountId, ContactSetting)>, now: Now) {
        let latest_ms = self.wall_ms(now).saturating_add(AHEAD_MAX_MS);
        for (account, mut setting) in settings {
            setting.set_at_ms = setting.set_at_ms.min(latest_ms);
            if !self.is_own(account) && self.decided.set(account, setting) {
                self.tell_person(account);
            }
        }
    }

    pub(super) fn tell_person(&mut self, account: AccountId) {
        if let Some(person) = self.person(account) {
            self.say(Event::Contact(person));
        }
    }

    /// A new device of ours has asked what was decided before it came.
    pub(super) fn tell_own_devices_all(&mut self, now: Now) {
        if !std::mem::take(&mut self.decided.owes_own) {
            return;
        }
        let all: Vec<(AccountId, ContactSetting)> =
            self.decided.by_account.iter().map(|(a, setting)| (*a, setting.clone())).collect();
        let at_ms = self.wall_ms(now);
        for some in all.chunks(SETTINGS_A_MESSAGE) {
            self.say_to_own(Body::contact_settings(some), at_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(blocked: bool, set_at_ms: u64) -> ContactSetting {
        ContactSetting { handle: "bob".parse().unwrap(), blocked, muted_until_ms: 0, set_at_ms }
    }

    #[test]
    fn so_many_are_remembered_and_one_that_says_nothing_makes_room() {
        assert_eq!(ContactSettings::default().room, SETTINGS_MAX);
        let mut settings = ContactSettings { room: 2, ..ContactSettings::default() };
        assert!(settings.set(AccountId(1), setting(true, 1)));
        assert!(settings.set(AccountId(2), setting(true, 1)));
        assert!(!settings.set(AccountId(3), setting(true, 1)), "no room");
        assert!(settings.set(AccountId(1), setting(false, 2)), "a known one needs none");
        assert!(settings.set(AccountId(3), setting(true, 3)));
        assert_eq!(settings.get(AccountId(1)), None);
        assert!(settings.is_blocked(AccountId(2)) && settings.is_blocked(AccountId(3)));
    }

    #[test]
    fn the_later_decision_counts_in_whatever_order_they_come() {
        let mut settings = ContactSettings::default();
        assert!(settings.set(AccountId(1), setting(false, 5)));
        assert!(!settings.set(AccountId(1), setting(true, 4)));
        assert!(!settings.set(AccountId(1), setting(true, 5)));
        assert!(!settings.is_blocked(AccountId(1)));
        assert!(settings.set(AccountId(1), setting(true, 6)) && settings.is_blocked(AccountId(1)));
    }
}
