//! The other devices of this account. They are a contact like any other, with ratchets of its own,
//! and get a copy of what this device sends and reads.

use godwit_base::limits::DEVICES_MAX;
use godwit_base::{AccountId, DeviceNumber, Handle, JoinLink};
use godwit_seal::{AccountKey, DeviceEntry, KeyUpload};

use super::Core;
use super::body::SentTo;
use super::identity::{FirstKeys, Identity, Seat};
use super::now::Now;
use super::outbox::{Accepted, Outgoing, Target};
use super::vault::Vault;
use crate::Error;

impl Core {
    /// A further device of an account that exists: its main device has put it on the list, and the
    /// server has that list.
    ///
    /// # Errors
    /// [`Error::Storage`] when the machine gives no randomness to seal rows.
    pub fn linked(
        vault: Vault,
        link: &JoinLink,
        handle: &Handle,
        seat: Seat,
        seed: u64,
    ) -> Result<Self, Error> {
        Self::seated(vault, Identity::linked(link, handle, seat), seed)
    }

    /// The main device of an account that exists, which its owner recovered by the account key: it is
    /// on the list, and the server has that list.
    ///
    /// # Errors
    /// [`Error::Storage`] when the machine gives no randomness to seal rows.
    pub fn recovered(
        vault: Vault,
        link: &JoinLink,
        handle: &Handle,
        account_key: AccountKey,
        seat: Seat,
        seed: u64,
    ) -> Result<Self, Error> {
        Self::seated(
            vault,
            Identity::linked(link, handle, seat).with_account_key(account_key),
            seed,
        )
    }

    fn seated(vault: Vault, me: Identity, seed: u64) -> Result<Self, Error> {
        let writes = me.write_all(&vault).map_err(|error| Error::Storage(error.to_string()))?;
        let mut core = Self::with(vault, me, seed);
        core.staged.writes = writes;
        core.know_own_devices();
        Ok(core)
    }

    /// The account's devices as this device knows them.
    pub fn devices(&self) -> Vec<DeviceNumber> {
        self.me.list.numbers().collect()
    }

    /// The number of the next device; none is ever given out twice.
    pub fn next_device(&self) -> DeviceNumber {
        DeviceNumber(self.me.list.highest_number().0.saturating_add(1))
    }

    /// Whether this is the main device: the one that holds the account key.
    pub fn is_main(&self) -> bool {
        self.me.is_main()
    }

    /// Puts another device on the account's list. It is one once the server has the list, and can be
    /// written to by its first keys from then on.
    ///
    /// # Errors
    /// [`Error::NotMain`], [`Error::TooManyDevices`], [`Error::ListBusy`], or [`Error::Storage`] if
    /// the list cannot be signed.
    pub fn add_device(
        &mut self,
        entry: DeviceEntry,
        link_key: [u8; 32],
        first_keys: KeyUpload,
        now: Now,
    ) -> Result<(), Error> {
        let number = entry.number();
        let mut entries = self.me.list.entries().to_vec();
        if entries.len() >= DEVICES_MAX {
            return Err(Error::TooManyDevices { max: DEVICES_MAX });
        }
        entries.push(entry);
        self.change_devices(&entries, now)?;
        self.me.home.links.insert(number.0, link_key);
        self.me.home.first_keys = Some(FirstKeys::new(number, first_keys));
        self.home_changed = true;
        Ok(())
    }

    /// Takes a device off the account's list: its mailbox goes, and nobody seals for it any more.
    ///
    /// # Errors
    /// [`Error::NotMain`], [`Error::NoDevice`], [`Error::OwnDevice`], [`Error::ListBusy`], or
    /// [`Error::Storage`] if the list cannot be signed.
    pub fn remove_device(&mut self, number: DeviceNumber, now: Now) -> Result<(), Error> {
        if number == self.me.device().number {
            return Err(Error::OwnDevice { main: self.is_main() });
        }
        let mut entries = self.me.list.entries().to_vec();
        let before = entries.len();
        entries.retain(|entry| entry.number() != number);
        if entries.len() == before {
            return Err(Error::NoDevice(number.0));
        }
        self.change_devices(&entries, now)
    }

    fn change_devices(&mut self, entries: &[DeviceEntry], now: Now) -> Result<(), Error> {
        if !self.me.is_main() {
            return Err(Error::NotMain);
        }
        if self.me.next.is_some() {
            return Err(Error::ListBusy);
        }
        let signed = self.me.sign_next_of(entries, self.list_ms(now));
        signed.map_err(|error| Error::Storage(error.to_string()))?;
        self.list_changed = true;
        self.listing.offer_now();
        Ok(())
    }

    /// Takes the devices of our own list as those that get copies. Nothing while there is but one.
    pub(super) fn know_own_devices(&mut self) {
        let list = self.me.list.clone();
        let known = self.contacts.get(list.account()).map(|own| own.list.version());
        let is_news = known.is_some_and(|version| version != list.version());
        if is_news || (known.is_none() && list.numbers().count() > 1) {
            let numbers: Vec<DeviceNumber> = list.numbers().collect();
            let before = self.contacts.get(list.account());
            let is_new = |number: &DeviceNumber| {
                *number != self.me.device().number
                    && before.is_none_or(|own| !own.devices.contains_key(number))
            };
            if self.is_main() && numbers.iter().any(is_new) {
                self.me.home.owes_groups = true;
                self.groups.told_own.clear();
                self.home_changed = true;
            }
            self.contacts.learn(&self.me.home.handle.clone(), list);
        }
    }

    /// Whether this is our own account.
    pub(super) fn is_own(&self, account: AccountId) -> bool {
        account == self.me.device().account
    }

    /// Whether something on its way has copies for other devices of ours than there are now. The server will
    /// send it back, and what is sealed now must not pass it (M4), also if nobody is left to copy it to.
    pub(super) fn own_copies_come_back(&self) -> bool {
        let own = self.me.device().account;
        let version = self.contacts.get(own).map(|own| own.list.version());
        version.is_some_and(|version| self.outbox.awaits_answer_of_other_list(own, version))
    }

    /// Our own account, if a message to `account` is copied to other devices of ours.
    pub(super) fn copied_to(&self, message: &Outgoing, account: AccountId) -> Option<AccountId> {
        let own = self.me.device().account;
        let has_others = self.contacts.get(own).is_some_and(|own| !own.devices.is_empty());
        let is_copied = message.kind.is_copied() && account != own && !self.without_copies;
        (is_copied && has_others).then_some(own)
    }

    /// To whom a message went, as our other devices are told.
    pub(super) fn sent_to(&self, account: AccountId) -> Option<SentTo> {
        let handle = self.contacts.get(account)?.record.handle.clone();
        Some(SentTo { account, handle })
    }

    /// The same of a message of the log.
    pub(super) fn logged_to(&self, message: &Outgoing, accepted: &Accepted) -> Option<SentTo> {
        let account = accepted.by.first()?.account_key.id();
        match &message.target {
            Target::Handle(handle) => Some(SentTo { account, handle: handle.clone() }),
            Target::Account(_) | Target::Group(_) => self.sent_to(account),
        }
    }
}
