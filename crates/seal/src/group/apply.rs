//! What an entry must satisfy, and what it does.

use godwit_base::limits::GROUP_MEMBERS_MAX;
use godwit_base::{AccountId, DeviceId, GroupId};
use std::collections::BTreeMap;

use super::entry::{self, Author, Change, Entry, Header, NONCE_BYTES, SealedProfile};
use super::error::GroupError;
use super::invite::join_bytes;
use super::state::{Applied, Gone, Group, Member, PAST_EPOCHS_MAX, Past};
use crate::account::AccountPublic;
use crate::device::DeviceKeys;
use crate::list::DeviceList;
use crate::verified::Verified;

impl Group {
    /// Makes a group: signs its first entry by this device. The author is its first member and
    /// admin; `changes` names the others and may set the rest. Returns the entry to publish and the
    /// group after it.
    ///
    /// # Errors
    /// A [`GroupError`] if others would not believe the entry.
    pub fn create(
        me: &DeviceKeys,
        list: &Verified<DeviceList>,
        changes: &[Change],
        now_ms: u64,
    ) -> Result<(Vec<u8>, Self), GroupError> {
        let mut nonce = vec![0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| GroupError::Entropy)?;
        let header =
            Header { group: None, epoch: 1, previous: Vec::new(), nonce, made_at_ms: now_ms };
        let bytes = entry::sign(header, me, list, changes);
        let (group, _) = Self::found(&bytes)?;
        Ok((bytes, group))
    }

    /// Reads the first entry of a group. Whoever was told an id compares it with [`Group::id`].
    ///
    /// # Errors
    /// A [`GroupError`] that says what is wrong.
    pub fn found(bytes: &[u8]) -> Result<(Self, Applied), GroupError> {
        let entry = entry::read(bytes)?;
        if entry.epoch != 1 {
            return Err(GroupError::Gap { have: 0, got: entry.epoch });
        }
        let mut group = Self::empty(entry.own_id);
        group.enrol(entry.author.account, 1)?;
        if let Some(member) = group.members.get_mut(&entry.author.account.id()) {
            member.is_admin = true;
        }
        let applied = group.take(entry)?;
        Ok((group, applied))
    }

    /// Signs the next entry by this device; it is applied when it comes back from the server, not
    /// before.
    ///
    /// # Errors
    /// A [`GroupError`] if others would not believe it.
    pub fn sign(
        &self,
        me: &DeviceKeys,
        list: &Verified<DeviceList>,
        changes: &[Change],
        now_ms: u64,
    ) -> Result<Vec<u8>, GroupError> {
        let header = Header {
            group: Some(self.id),
            epoch: self.epoch.saturating_add(1),
            previous: self.head.to_vec(),
            nonce: Vec::new(),
            made_at_ms: now_ms,
        };
        let bytes = entry::sign(header, me, list, changes);
        self.clone().apply(&bytes)?;
        Ok(bytes)
    }

    /// Takes the next entry. An entry is judged by the log before it alone, so that all members come
    /// to the same group whenever they read it.
    ///
    /// # Errors
    /// A [`GroupError`] that says what is wrong; the group is as it was.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Applied, GroupError> {
        let entry = entry::read(bytes)?;
        self.check_follows(&entry)?;
        let mut next = self.clone();
        next.remember();
        let applied = next.take(entry)?;
        *self = next;
        Ok(applied)
    }

    fn empty(id: GroupId) -> Self {
        Self {
            id,
            epoch: 0,
            head: [0; 32],
            members: BTreeMap::new(),
            next_ordinal: 0,
            only_admins_write: false,
            profile: None,
            invite: None,
            community: None,
            secret_epoch: 0,
            departure_epoch: 0,
            past: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn check_follows(&self, entry: &Entry) -> Result<(), GroupError> {
        let (have, got) = (self.epoch, entry.epoch);
        let id = entry.group.unwrap_or(entry.own_id);
        if id != self.id {
            return Err(GroupError::WrongGroup);
        }
        if got <= have {
            return Err(match self.place_at(got) {
                Some(place) if place.head != entry.hash => GroupError::Fork(got),
                _ => GroupError::Replayed { have, got },
            });
        }
        if got != have.saturating_add(1) {
            return Err(GroupError::Gap { have, got });
        }
        if entry.previous != self.head {
            return Err(GroupError::Fork(got));
        }
        Ok(())
    }

    /// Puts the present epoch among the past ones.
    fn remember(&mut self) {
        self.past.push(Past { epoch: self.epoch, head: self.head });
        let excess = self.past.len().saturating_sub(PAST_EPOCHS_MAX);
        self.past.drain(..excess);
        let oldest = self.past.first().map_or(self.epoch, |past| past.epoch);
        self.gone.retain(|gone| gone.until > oldest);
    }

    fn take(&mut self, entry: Entry) -> Result<Applied, GroupError> {
        if self.is_closed() {
            return Err(GroupError::Closed);
        }
        self.check_author(&entry)?;
        (self.epoch, self.head) = (entry.epoch, entry.hash);
        for change in &entry.changes {
            self.change(change, &entry.author)?;
        }
        let author = entry.author.account.id();
        if let Some(member) = self.members.get_mut(&author) {
            member.list_version = entry.author.list_version;
        }
        let successor = self.crown_successor();
        let author = DeviceId { account: author, number: entry.author.number };
        let (epoch, made_at_ms) = (entry.epoch, entry.made_at_ms);
        Ok(Applied { epoch, author, made_at_ms, changes: entry.changes, successor })
    }

    /// An admin may do anything but join; a member may leave, or say nothing by its newest list; a
    /// stranger may join.
    fn check_author(&self, entry: &Entry) -> Result<(), GroupError> {
        let account = entry.author.account.id();
        let joins = matches!(entry.changes.as_slice(), [Change::Join(_)]);
        let Some(member) = self.members.get(&account) else {
            return if joins { Ok(()) } else { Err(GroupError::NotAMember(account)) };
        };
        if member.key != entry.author.account {
            return Err(GroupError::NotAMember(account));
        }
        if entry.author.list_version < member.list_version {
            return Err(GroupError::OldAuthorList);
        }
        match entry.changes.as_slice() {
            [] => Ok(()),
            _ if joins => Err(GroupError::AlreadyMember(account)),
            [Change::Remove(gone)] if *gone == account => Ok(()),
            _ if member.is_admin => Ok(()),
            _ => Err(GroupError::NotAdmin),
        }
    }

    fn change(&mut self, change: &Change, author: &Author) -> Result<(), GroupError> {
        match change {
            Change::Add(key) => self.enrol(*key, self.epoch),
            Change::Remove(account) => self.remove(*account, author.account.id()),
            Change::Promote(account) => self.set_admin(*account, true),
            Change::Demote(account) => self.set_admin(*account, false),
            Change::OnlyAdminsWrite(only) => replace(&mut self.only_admins_write, *only),
            Change::Profile(profile) => self.set_profile(profile),
            Change::Invite(offer) => replace(&mut self.invite, offer.clone()),
            Change::Community(group) => replace(&mut self.community, *group),
            Change::Join(proof) => self.join(author.account, proof),
        }
    }

    fn enrol(&mut self, key: AccountPublic, since: u64) -> Result<(), GroupError> {
        let account = key.id();
        if self.members.contains_key(&account) {
            return Err(GroupError::AlreadyMember(account));
        }
        if self.members.len() >= GROUP_MEMBERS_MAX {
            return Err(GroupError::Full);
        }
        let ordinal = self.next_ordinal;
        self.next_ordinal = ordinal.saturating_add(1);
        let member = Member { key, since, ordinal, is_admin: false, list_version: 0 };
        self.members.insert(account, member);
        Ok(())
    }

    /// Who was removed has seen the link, so that the link goes too.
    fn remove(&mut self, account: AccountId, author: AccountId) -> Result<(), GroupError> {
        let member = self.members.remove(&account).ok_or(GroupError::NotAMember(account))?;
        self.gone.push(Gone { account, since: member.since, until: self.epoch });
        self.departure_epoch = self.epoch;
        if account != author {
            self.invite = None;
        }
        Ok(())
    }

    fn set_admin(&mut self, account: AccountId, is_admin: bool) -> Result<(), GroupError> {
        let member = self.members.get_mut(&account).ok_or(GroupError::NotAMember(account))?;
        replace(&mut member.is_admin, is_admin)
    }

    fn set_profile(&mut self, profile: &SealedProfile) -> Result<(), GroupError> {
        let present = self.secret_generation();
        if profile.generation == 0
            || !(present..=present.saturating_add(1)).contains(&profile.generation)
        {
            return Err(GroupError::BadProfile);
        }
        if profile.generation > present {
            self.secret_epoch = self.epoch;
        }
        replace(&mut self.profile, Some(profile.clone()))
    }

    fn join(&mut self, key: AccountPublic, proof: &[u8; 64]) -> Result<(), GroupError> {
        let invite = self.invite.as_ref().ok_or(GroupError::NotInvited)?;
        let link = AccountPublic(invite.key);
        if !link.verifies(&join_bytes(self.id, &key), proof) {
            return Err(GroupError::NotInvited);
        }
        self.enrol(key, self.epoch)
    }

    /// A group with members has an admin: without one, the member who has been there longest.
    fn crown_successor(&mut self) -> Option<AccountId> {
        if self.members.values().any(Member::is_admin) {
            return None;
        }
        let (account, member) = self.members.iter_mut().min_by_key(|(_, m)| m.ordinal)?;
        member.is_admin = true;
        Some(*account)
    }
}

/// Sets a value that must be another than before: what changes nothing is a mistake or a race, and
/// is refused at each member alike.
fn replace<T: PartialEq>(place: &mut T, value: T) -> Result<(), GroupError> {
    if *place == value {
        return Err(GroupError::NothingChanges);
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceNumber;

    use super::*;
    use crate::account::AccountKey;
    use crate::list::Trust;

    /// An account's id is 8 bytes of its key's hash, so that two keys with one id can be found.
    #[test]
    fn a_member_is_its_key_and_not_its_id() {
        let account = AccountKey::generate();
        let me = DeviceKeys::create(&account.public(), DeviceNumber(1), 1);
        let signed = DeviceList::sign(&account, None, &[me.describe()], 1).unwrap();
        let id = account.public().id();
        let list = DeviceList::verify(&signed, Trust::FirstUse(id), None, 1).unwrap();
        let (_, mut group) = Group::create(&me, &list, &[], 1).unwrap();
        let only_admins = [Change::OnlyAdminsWrite(true)];
        assert!(group.sign(&me, &list, &only_admins, 1).is_ok());
        group.members.get_mut(&id).unwrap().key = AccountKey::generate().public();
        let signed = group.sign(&me, &list, &only_admins, 1);
        assert_eq!(signed, Err(GroupError::NotAMember(id)));
    }
}
