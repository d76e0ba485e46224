//! Display names and pictures: ours, and what others told us of theirs.
//!
//! Ours goes to whom the user has written to, from this device or another one, and to nobody who only
//! wrote to us: a stranger learns nothing by writing (decision 0101). It goes after the first message
//! to them and after each change, as an ordinary sealed message that nobody sees in the history.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId};
use godwit_seal::RowError;
use serde::{Deserialize, Serialize};

use super::contact::{Contact, account_of_key, put};
use super::now::Now;
use super::outbox::{Kind, Target};
use super::output::{Row, Table, Write};
use super::vault::{Blob, Vault};
use super::{Body, CONTACTS_MAX, Content, Core};
use crate::{Error, OwnProfile};

/// Longest name: a line of a list of chats, 64 bytes.
pub const DISPLAY_NAME_BYTES_MAX: usize = 64;

/// Longest line about oneself.
pub const ABOUT_BYTES_MAX: usize = 256;

/// Largest picture, 16 KiB: 256 x 256 pixels as JPEG. It goes in one message.
pub const PROFILE_PICTURE_BYTES_MAX: usize = 16 * 1024;

/// Profiles that wait in the outbox at once: after a change 10,000 contacts are told eight at a time,
/// and what people write goes between.
const WAITING_MAX: usize = 8;

/// What files of pictures begin with.
const JPEG: &[u8] = &[0xff, 0xd8, 0xff];
const PNG: &[u8] = &[0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// How an account wants to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) picture: Blob,
    /// 0: never set.
    pub(crate) version: u64,
}

impl Profile {
    /// Whether it keeps its bounds; if not, what is wrong and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        let too_long = |what: &str, bytes: usize, max: usize| {
            (bytes > max).then(|| format!("{what} has {bytes} bytes: at most {max}"))
        };
        let has_controls = |text: &str| text.chars().any(char::is_control);
        let is_picture =
            |bytes: &[u8]| bytes.is_empty() || bytes.starts_with(JPEG) || bytes.starts_with(PNG);
        let fault = too_long("the name", self.name.len(), DISPLAY_NAME_BYTES_MAX)
            .or_else(|| too_long("the text about you", self.about.len(), ABOUT_BYTES_MAX))
            .or_else(|| too_long("the picture", self.picture.0.len(), PROFILE_PICTURE_BYTES_MAX))
            .or_else(|| {
                (has_controls(&self.name) || has_controls(&self.about))
                    .then(|| "a name is one line without control characters".to_owned())
            })
            .or_else(|| {
                (!is_picture(&self.picture.0)).then(|| "a picture is a JPEG or PNG file".to_owned())
            });
        fault.map_or(Ok(()), Err)
    }
}

/// All profiles, and which rows changed since they were written.
#[derive(Default)]
pub(crate) struct Profiles {
    own: Profile,
    own_changed: bool,
    /// By account. A picture takes 16 KiB at most: 10,000 of them would be 160 MB, but only who was
    /// met keeps a row, and few set one; see [`PICTURES_BYTES_MAX`].
    by_account: BTreeMap<AccountId, Profile>,
    pictures_bytes: usize,
    changed: BTreeSet<AccountId>,
    /// Who may have to be told ours.
    due: BTreeSet<AccountId>,
}

/// Most bytes of others' pictures, 32 MB of memory: 2,000 of the largest. Beyond it a profile is kept
/// without its picture.
const PICTURES_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Profiles {
    pub(crate) fn of(&self, account: AccountId) -> Option<&Profile> {
        self.by_account.get(&account)
    }

    /// Whether nobody has to be told ours.
    pub(super) fn is_told(&self) -> bool {
        self.due.is_empty()
    }

    /// Takes a later version. Whether it is one.
    fn take(&mut self, account: AccountId, mut profile: Profile) -> bool {
        let known = self.by_account.get(&account);
        if known.is_some_and(|known| known.version >= profile.version) {
            return false;
        }
        let before = known.map_or(0, |known| known.picture.0.len());
        let others = self.pictures_bytes.saturating_sub(before);
        if others + profile.picture.0.len() > PICTURES_BYTES_MAX {
            profile.picture = Blob::default();
        }
        self.pictures_bytes = others + profile.picture.0.len();
        self.by_account.insert(account, profile);
        self.changed.insert(account);
        true
    }

    /// Lets go of profiles of whom nothing else is known, when there are as many as contacts may be.
    fn make_room(&mut self, is_known: impl Fn(AccountId) -> bool) {
        if self.by_account.len() < CONTACTS_MAX {
            return;
        }
        for (account, profile) in self.by_account.extract_if(.., |account, _| !is_known(*account)) {
            self.pictures_bytes = self.pictures_bytes.saturating_sub(profile.picture.0.len());
            self.changed.insert(account);
        }
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(
        &mut self,
        own: AccountId,
        vault: &Vault,
    ) -> Result<Vec<Write>, RowError> {
        let mut changed = std::mem::take(&mut self.changed);
        if std::mem::take(&mut self.own_changed) {
            changed.insert(own);
        }
        let write = |account: AccountId| {
            let key = account.0.to_be_bytes();
            let profile =
                if account == own { Some(&self.own) } else { self.by_account.get(&account) };
            Ok(match profile {
                Some(profile) => {
                    put(Table::Profile, &key, vault.seal(Table::Profile, &key, profile)?)
                }
                None => Write::Delete { table: Table::Profile, key: key.to_vec() },
            })
        };
        changed.into_iter().map(write).collect()
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, own: AccountId, rows: &[Row]) -> Result<Self, RowError> {
        let mut profiles = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::Profile) {
            let (account, profile): (_, Profile) =
                (account_of_key(key)?, vault.open(Table::Profile, key, value)?);
            if account == own {
                profiles.own = profile;
            } else {
                profiles.pictures_bytes += profile.picture.0.len();
                profiles.by_account.insert(account, profile);
            }
        }
        Ok(profiles)
    }
}

impl Core {
    /// How this account wants to be shown.
    pub fn profile(&self) -> OwnProfile {
        let Profile { name, about, picture, version } = self.profiles.own.clone();
        OwnProfile { name, about, picture: picture.0, version }
    }

    /// The picture of an account, if it has told us one.
    pub fn picture_of(&self, with: &godwit_base::Handle) -> Option<Vec<u8>> {
        let account = self.contacts.account_of(with)?;
        let picture = &self.profiles.of(account)?.picture.0;
        Some(picture.clone()).filter(|picture| !picture.is_empty())
    }

    /// Changes what is given of this account's profile, all or nothing; an empty one takes it away.
    /// The picture is a JPEG or PNG file.
    ///
    /// # Errors
    /// [`Error::BadProfile`] beyond its bounds.
    pub fn set_profile(
        &mut self,
        name: Option<&str>,
        about: Option<&str>,
        picture: Option<&[u8]>,
        now: Now,
    ) -> Result<(), Error> {
        let mut profile = self.profiles.own.clone();
        if let Some(name) = name {
            name.clone_into(&mut profile.name);
        }
        if let Some(about) = about {
            about.clone_into(&mut profile.about);
        }
        if let Some(picture) = picture {
            profile.picture = Blob(picture.to_vec());
        }
        profile.check().map_err(Error::BadProfile)?;
        // Later than the one before, whatever the clock says; later than another device's, mostly.
        profile.version = self.wall_ms(now).max(profile.version.saturating_add(1));
        self.profiles.own = profile;
        self.profiles.own_changed = true;
        self.look_for_untold();
        Ok(())
    }

    /// Notes everybody who does not have our profile: after a change and after a restart.
    pub(super) fn look_for_untold(&mut self) {
        let untold =
            self.contacts.by_id().filter(|(account, contact)| self.is_untold(*account, contact));
        let untold: BTreeSet<AccountId> = untold.map(|(account, _)| account).collect();
        self.profiles.due = untold;
    }

    fn is_untold(&self, account: AccountId, contact: &Contact) -> bool {
        let version = self.profiles.own.version;
        let may_know = self.is_own(account) || contact.record.written_to;
        let lacks = || contact.devices.values().any(|d| d.record.profile_told < version);
        may_know && !self.is_blocked(account) && lacks()
    }

    /// A message to these accounts was sealed. Whom the user writes to becomes a contact.
    pub(super) fn wrote(&mut self, counter: u64, accounts: &[AccountId]) {
        if self.outbox.get(counter).is_none_or(|message| message.kind != Kind::Shown) {
            return;
        }
        for account in accounts {
            self.is_written_to(*account);
            self.profiles.due.insert(*account);
        }
    }

    /// Perhaps that account lacks our profile.
    pub(super) fn owes_profile(&mut self, account: AccountId) {
        self.profiles.due.insert(account);
    }

    /// The user has written to that account, from whichever device.
    pub(super) fn is_written_to(&mut self, account: AccountId) {
        let is_news = self.contacts.get(account).is_some_and(|c| !c.record.written_to);
        if is_news && let Some(contact) = self.contacts.get_mut(account) {
            contact.record.written_to = true;
        }
    }

    /// Tells our profile to some who do not have it.
    pub(super) fn tell_profile(&mut self, now: Now) {
        if self.profiles.due.is_empty() {
            return;
        }
        let waiting = self.outbox.pending().filter(|(_, message)| message.kind == Kind::Quiet);
        let mut room = WAITING_MAX.saturating_sub(waiting.count());
        while room > 0 && self.outbox.has_room_for_own() {
            let Some(account) = self.profiles.due.pop_first() else { return };
            let contact = self.contacts.get(account);
            let is_due = |contact| self.is_untold(account, contact) || contact.record.pass_owed;
            if contact.is_some_and(is_due) && !self.is_blocked(account) {
                self.tell_profile_to(account, now);
                room -= 1;
            }
        }
    }

    fn tell_profile_to(&mut self, account: AccountId, now: Now) {
        let body = Body::profile(&self.profiles.own);
        match self.unsealed_profile(account) {
            Some(counter) => {
                if let Some(message) = self.outbox.get_mut(counter) {
                    message.body.0 = body;
                }
            }
            None => self.say_to(account, Kind::Quiet, body, now),
        }
        let version = self.profiles.own.version;
        let numbers: Vec<_> = self
            .contacts
            .get(account)
            .into_iter()
            .flat_map(|c| c.devices.keys().copied())
            .collect();
        for number in numbers {
            if let Some(record) = self.contacts.record_mut(DeviceId { account, number }) {
                record.profile_told = version;
            }
        }
    }

    /// A profile for that account which has not gone out: the new one takes its place.
    fn unsealed_profile(&self, account: AccountId) -> Option<u64> {
        let found = self.outbox.pending().find(|(_, message)| {
            message.kind == Kind::Quiet
                && message.sealed.is_empty()
                && message.target == Target::Account(account)
                && matches!(Body::decode(&message.body.0).content, Content::Profile(_))
        });
        found.map(|(counter, _)| counter)
    }

    /// Somebody says how they want to be shown, or another device of ours says how we do.
    pub(super) fn on_profile(&mut self, account: AccountId, profile: Profile) {
        if self.is_own(account) {
            if profile.version > self.profiles.own.version {
                self.profiles.own = profile;
                self.profiles.own_changed = true;
            }
            return;
        }
        if profile.version == 0 {
            return; // they have none; it only carried something
        }
        let contacts = &self.contacts;
        self.profiles.make_room(|account| contacts.get(account).is_some());
        if self.profiles.take(account, profile) {
            self.tell_person(account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(version: u64, picture: usize) -> Profile {
        Profile { version, picture: Blob(vec![0xff; picture]), ..Profile::default() }
    }

    #[test]
    fn the_later_version_counts() {
        let mut profiles = Profiles::default();
        assert!(profiles.take(AccountId(1), profile(5, 1)));
        assert!(!profiles.take(AccountId(1), profile(5, 2)));
        assert!(!profiles.take(AccountId(1), profile(4, 2)));
        assert!(profiles.take(AccountId(1), profile(6, 3)));
        assert_eq!(profiles.pictures_bytes, 3);
    }

    #[test]
    fn pictures_are_kept_up_to_their_bound_and_profiles_beyond_it() {
        let mut profiles = Profiles::default();
        let most = PICTURES_BYTES_MAX / PROFILE_PICTURE_BYTES_MAX;
        for n in 0..=most as u64 {
            assert!(profiles.take(AccountId(n), profile(1, PROFILE_PICTURE_BYTES_MAX)));
        }
        let bytes = |n: usize| profiles.by_account[&AccountId(n as u64)].picture.0.len();
        assert_eq!((bytes(most - 1), bytes(most)), (PROFILE_PICTURE_BYTES_MAX, 0));
    }

    #[test]
    fn whose_ratchets_are_gone_makes_room() {
        let mut profiles = Profiles::default();
        for n in 0..CONTACTS_MAX as u64 {
            profiles.make_room(|account| account.0 != 3);
            profiles.take(AccountId(n), profile(1, 0));
        }
        assert_eq!(profiles.by_account.len(), CONTACTS_MAX);
        profiles.make_room(|account| account.0 != 3);
        assert_eq!(profiles.by_account.len(), CONTACTS_MAX - 1);
    }
}
