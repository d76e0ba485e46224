//! Posting with one body for all: this device's sender key for a group, and who has it.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits::DEDUP_WINDOW;
use godwit_base::{AccountId, DeviceId, GroupId};
use godwit_seal::{GroupShare, Place, RowError, SenderKey};
use godwit_wire::{Refusal, ToServer, v1};
use serde::{Deserialize, Serialize};

use super::following::group_of;
use crate::Failure;
use crate::core::asking::Request;
use crate::core::lookup::{Keys, Who};
use crate::core::now::Now;
use crate::core::outbox::{Kind, Outgoing, Posted, Target};
use crate::core::output::{Row, Table, Write};
use crate::core::sending::{Readiness, inner_of};
use crate::core::vault::{Blob, Vault};
use crate::core::{Body, Core, refusal_of};

/// Devices that are given the key in one submission, 64: a copy that opens a session has about 800 B, and
/// a frame holds 65,535.
const GIVEN_AT_ONCE_MAX: usize = 64;

/// This device's posting to one group.
#[derive(Default)]
pub(super) struct Posting {
    key: Option<SenderKey>,
    given: Given,
    /// The server was asked who has which devices.
    is_asked: bool,
    /// What it answered, until the lists that it named are here.
    roster: Option<u64>,
    awaited: BTreeMap<AccountId, u64>,
}

/// Who has the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    devices: BTreeSet<(u64, u32)>,
    /// Of the roster that the devices were counted by.
    devices_version: Option<u64>,
}

const fn plain(device: DeviceId) -> (u64, u32) {
    (device.account.0, device.number.0)
}

impl Given {
    fn lacking(&self, devices: &BTreeSet<DeviceId>) -> Vec<DeviceId> {
        devices.iter().copied().filter(|device| !self.devices.contains(&plain(*device))).collect()
    }

    /// Whether somebody has the key whose device is none any more.
    fn went_too_far(&self, devices: &BTreeSet<DeviceId>) -> bool {
        let is_one =
            |(account, number): &(u64, u32)| devices.contains(&DeviceId::new(*account, *number));
        !self.devices.iter().all(is_one)
    }
}

/// Of all groups.
#[derive(Default)]
pub(super) struct Postings {
    by_group: BTreeMap<GroupId, Posting>,
    changed: BTreeSet<GroupId>,
    changed_given: BTreeSet<GroupId>,
}

impl Postings {
    fn of(&mut self, id: GroupId) -> &mut Posting {
        self.by_group.entry(id).or_default()
    }

    pub(super) fn link_lost(&mut self) {
        for posting in self.by_group.values_mut() {
            posting.is_asked = false;
            posting.roster = None;
            posting.awaited.clear();
        }
    }

    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let mut writes = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let (table, key) = (Table::GroupSender, id.0.to_vec());
            writes.push(match self.by_group.get(&id).and_then(|posting| posting.key.as_ref()) {
                Some(sender) => Write::Put { table, key, value: sender.to_row(vault.key())? },
                None => Write::Delete { table, key },
            });
        }
        for id in std::mem::take(&mut self.changed_given) {
            let (table, key) = (Table::GroupGiven, id.0.to_vec());
            let Some(posting) = self.by_group.get(&id) else { continue };
            let value = vault.seal(table, &key, &posting.given)?;
            writes.push(Write::Put { table, key, value });
        }
        Ok(writes)
    }

    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut postings = Self::default();
        for (table, key, value) in rows {
            let id = || group_of(key).ok_or(RowError::Damaged);
            match table {
                Table::GroupSender => {
                    let id = id()?;
                    postings.of(id).key = Some(SenderKey::from_row(vault.key(), id, value)?);
                }
                Table::GroupGiven => {
                    postings.of(id()?).given = vault.open(*table, key, value)?;
                }
                _ => {}
            }
        }
        Ok(postings)
    }
}

impl Core {
    /// Seals a message for all at once; first whatever that needs.
    pub(super) fn post_ready(
        &mut self,
        counter: u64,
        place: Place,
        devices: &BTreeSet<DeviceId>,
        now: Now,
    ) -> Readiness {
        let id = place.group();
        if !self.knows_devices(id) || self.outbox.gives_key(id) {
            return Readiness::NotYet;
        }
        let now_ms = self.wall_ms(now);
        let Some(known) = self.groups.get(id) else { return Readiness::NotYet };
        let is_due = |key: &SenderKey| key.is_due(&known.group, now_ms);
        let of = u32::try_from(known.group.member_count().saturating_sub(1)).unwrap_or(u32::MAX);
        let posting = self.groups.postings.by_group.get(&id);
        let key = posting.and_then(|posting| posting.key.as_ref());
        let is_stale = posting.is_some_and(|posting| posting.given.went_too_far(devices));
        if key.is_none_or(is_due) || is_stale {
            let posting = self.groups.postings.of(id);
            posting.key = Some(SenderKey::create(&place, now_ms));
            posting.given.devices.clear();
            self.groups.postings.changed.insert(id);
            self.groups.postings.changed_given.insert(id);
        }
        let version = self.groups.postings.of(id).given.devices_version;
        if version.is_some_and(|version| self.outbox.awaits_answer_of_other_devices(id, version)) {
            return Readiness::NotYet; // what was sealed before comes back, and must not be passed (M4)
        }
        let lacking = self.groups.postings.of(id).given.lacking(devices);
        if !lacking.is_empty() {
            self.give_key(place, &lacking, now);
            return Readiness::NotYet;
        }
        let Some(message) = self.outbox.get(counter) else { return Readiness::NotYet };
        let inner = inner_of(counter, message, message.body.0.clone());
        self.groups.postings.changed.insert(id);
        let posting = self.groups.postings.of(id);
        let (Some(key), Some(devices_version)) = (&mut posting.key, posting.given.devices_version)
        else {
            return Readiness::NotYet;
        };
        let Ok(body) = key.seal(&self.me.keys, &place, &inner) else {
            return Readiness::Failed(Failure::BadKeys);
        };
        if let Some(message) = self.outbox.get_mut(counter) {
            let (epoch, body) = (place.epoch(), Blob(body));
            message.post = Some(Posted { epoch, devices_version, body, of });
        }
        Readiness::Sealed
    }

    /// Whether the devices of all members are known as the server has them; if not, it is asked.
    fn knows_devices(&mut self, id: GroupId) -> bool {
        let own = self.me.device().account;
        let own_version = self.me.list.version();
        let (contacts, lookups) = (&self.contacts, &self.lookups);
        let posting = self.groups.postings.of(id);
        if posting.given.devices_version.is_some() {
            return true;
        }
        if let Some(version) = posting.roster {
            // A list that the server names and does not give is not waited for.
            posting.awaited.retain(|account, version| {
                let here = match *account == own {
                    true => own_version,
                    false => contacts.get(*account).map_or(0, |contact| contact.list.version()),
                };
                here < *version && lookups.is_open(&Who::Account(*account))
            });
            if !posting.awaited.is_empty() {
                return false;
            }
            posting.roster = None;
            posting.given.devices_version = Some(version);
            self.groups.postings.changed_given.insert(id);
            return true;
        }
        if !posting.is_asked && self.groups.paused_until_ms.is_none() {
            self.groups.postings.of(id).is_asked = true;
            let request = self.next_request(Request::GroupRoster(id));
            let group = id.0.to_vec().into();
            self.staged.messages.push(ToServer::GroupRoster(v1::GroupRoster { request, group }));
        }
        false
    }

    /// The server says which list each member has. Who a member is, it does not say: the log does.
    pub(in crate::core) fn on_roster(&mut self, roster: &v1::Roster) {
        let Some(Request::GroupRoster(id)) = self.requests.remove(&roster.request) else { return };
        self.groups.postings.of(id).is_asked = false;
        let Some(known) = self.groups.get(id).filter(|_| group_of(&roster.group) == Some(id))
        else {
            return;
        };
        if roster.epoch > known.group.epoch() {
            return self.groups.is_behind(id, roster.epoch, None);
        }
        let own = self.me.device().account;
        let here = |account: AccountId| match account == own {
            true => self.me.list.version(),
            false => self.contacts.get(account).map_or(0, |contact| contact.list.version()),
        };
        let awaited: BTreeMap<AccountId, u64> = roster
            .members
            .iter()
            .map(|row| (AccountId(row.account), row.list_version))
            .filter(|(account, _)| known.group.member(*account).is_some())
            .filter(|(account, version)| here(*account) < *version)
            .collect();
        for account in awaited.keys() {
            self.lookups.want(Who::Account(*account), Keys::None);
        }
        let posting = self.groups.postings.of(id);
        posting.roster = Some(roster.devices_version);
        posting.awaited = awaited;
    }

    /// The server does not say.
    pub(in crate::core) fn on_roster_refused(
        &mut self,
        id: GroupId,
        refused: &v1::Refused,
        now: Now,
    ) {
        self.groups.postings.of(id).is_asked = false;
        match refusal_of(refused) {
            Some(refusal) if refusal.retryable() => {
                self.groups.pause(refused.retry_after_ms, now.mono_ms);
            }
            refusal => {
                let epoch = self.groups.get(id).map_or(0, |known| known.group.epoch());
                self.groups.is_behind(id, epoch.saturating_add(1), None);
                let failure = failure_of(refusal, refused.code);
                self.fail_posts(id, failure, now);
            }
        }
    }

    fn fail_posts(&mut self, id: GroupId, failure: Failure, now: Now) {
        let is_meant = |message: &Outgoing| message.target == Target::Group(id);
        let unsealed = self.outbox.pending().filter(|(_, message)| !message.is_sealed());
        let stuck: Vec<u64> =
            unsealed.filter(|(_, message)| is_meant(message)).map(|(counter, _)| counter).collect();
        stuck.into_iter().for_each(|counter| self.fail(counter, failure, now));
    }

    /// The devices of a member have changed: the server is asked anew.
    pub(super) fn forget_devices_version(&mut self, id: GroupId) {
        self.groups.postings.of(id).given.devices_version = None;
        self.groups.postings.changed_given.insert(id);
    }

    /// Gives the key to those who lack it, many in a submission. What waits for that must not stand in
    /// its way in the server's window.
    fn give_key(&mut self, place: Place, lacking: &[DeviceId], now: Now) {
        let id = place.group();
        let secret = self.groups.get(id).and_then(|known| known.secret.as_ref());
        let posting = self.groups.postings.by_group.get(&id);
        let Some(key) = posting.and_then(|posting| posting.key.as_ref()) else { return };
        let body = Body::group_key(&GroupShare::of_key(key, &place, secret));
        let mut last = None;
        for accounts in in_parts(lacking) {
            if !self.outbox.has_room_for_own() {
                break; // the rest when these are there
            }
            let counter = self.next_counter();
            let message =
                Outgoing::new(Target::Group(id), Kind::Share, body.clone(), self.wall_ms(now));
            self.outbox.push(counter, Outgoing { accounts, ..message });
            last = Some(counter);
            self.groups.gave_key = true;
        }
        if let Some(last) = last {
            self.let_pass(id, last);
        }
    }

    /// What is said in a group waits for what goes under the counter `last`: it must not keep that out of
    /// the server's window.
    fn let_pass(&mut self, id: GroupId, last: u64) {
        let span = self.outbox.oldest().map_or(0, |oldest| last.saturating_sub(oldest));
        if span >= DEDUP_WINDOW {
            self.move_behind(id);
        }
    }

    /// What is said in a group and was not submitted goes behind all others, under other counters.
    pub(super) fn move_behind(&mut self, id: GroupId) {
        let next = &mut self.me.counters.message;
        self.outbox.move_behind(id, || {
            let counter = *next;
            *next += 1;
            counter
        });
        self.counters_changed = true;
    }

    /// A key is sealed for those it is for who are members still.
    pub(super) fn share_ready(&mut self, counter: u64, id: GroupId, now: Now) -> Readiness {
        let Some(message) = self.outbox.get(counter) else { return Readiness::NotYet };
        let is_member = |account: &AccountId| {
            self.groups.get(id).is_some_and(|k| k.group.member(*account).is_some())
        };
        let mut accounts = message.accounts.clone();
        accounts.retain(is_member);
        let mut is_ready = true;
        let mut without = Vec::new();
        for account in &accounts {
            match self.account_ready(*account, true, now) {
                Readiness::Sealed => {}
                Readiness::NotYet => is_ready = false,
                Readiness::Failed(_) => without.push(*account),
            }
        }
        accounts.retain(|account| !without.contains(account));
        self.key_not_given(id, &without);
        if accounts.is_empty() {
            self.outbox.remove(counter);
            return Readiness::NotYet;
        }
        if let Some(message) = self.outbox.get_mut(counter).filter(|m| m.accounts != accounts) {
            message.accounts.clone_from(&accounts);
        }
        if is_ready { self.seal(counter, &accounts, None) } else { Readiness::NotYet }
    }

    /// The server has the key for the devices of these copies.
    pub(in crate::core) fn key_given(&mut self, id: GroupId, message: &Outgoing) {
        let devices = message.sealed.iter().flat_map(|sealed| {
            let account = sealed.account_key.id().0;
            sealed.copies.iter().map(move |copy| (account, copy.device))
        });
        self.groups.postings.of(id).given.devices.extend(devices);
        self.groups.postings.changed_given.insert(id);
    }

    /// These cannot be given the key: the others do not wait for them. They ask for what they cannot open.
    pub(in crate::core) fn key_not_given(&mut self, id: GroupId, accounts: &[AccountId]) {
        for account in accounts {
            let Some(contact) = self.contacts.get(*account) else { continue };
            let devices = contact.devices.keys().map(|number| (account.0, number.0));
            self.groups.postings.of(id).given.devices.extend(devices);
            self.groups.postings.changed_given.insert(id);
        }
    }

    /// Somebody's keys are not to be had: the key goes to the others.
    pub(in crate::core) fn give_key_without(&mut self, account: AccountId) {
        let is_meant = |message: &Outgoing| {
            message.kind == Kind::Share
                && message.accounts.contains(&account)
                && !message.is_sealed()
        };
        let meant = self.outbox.pending().filter(|(_, message)| is_meant(message));
        let meant: Vec<(u64, Target)> =
            meant.map(|(counter, message)| (counter, message.target.clone())).collect();
        for (counter, target) in meant {
            let Target::Group(id) = target else { continue };
            self.key_not_given(id, &[account]);
            if let Some(message) = self.outbox.get_mut(counter) {
                message.accounts.retain(|other| *other != account);
            }
        }
    }

    /// The server refuses a key for one of those it is for and does not say for whom: in two halves, so
    /// that the others get it.
    pub(super) fn give_in_halves(&mut self, counter: u64, id: GroupId) {
        let Some(message) = self.outbox.remove(counter) else { return };
        if message.accounts.len() < 2 {
            return self.key_not_given(id, &message.accounts);
        }
        let (first, second) = message.accounts.split_at(message.accounts.len() / 2);
        for accounts in [first, second] {
            let counter = self.next_counter();
            let accounts = accounts.to_vec();
            let half = Outgoing { accounts, sealed: Vec::new(), rounds: 0, ..message.clone() };
            self.outbox.push(counter, half);
            self.let_pass(id, counter);
        }
    }
}

/// What a refusal means for what is said in a group.
pub(super) fn failure_of(refusal: Option<Refusal>, code: u32) -> Failure {
    match refusal {
        Some(Refusal::NotMember | Refusal::GroupUnknown) => Failure::NotMember,
        Some(Refusal::NotAdmin) => Failure::OnlyAdmins,
        _ => Failure::Refused(u16::try_from(code).unwrap_or(u16::MAX)),
    }
}

/// The accounts of these devices, in parts of so many devices.
fn in_parts(devices: &[DeviceId]) -> Vec<Vec<AccountId>> {
    let mut parts: Vec<(Vec<AccountId>, usize)> = Vec::new();
    for of_account in devices.chunk_by(|a, b| a.account == b.account) {
        let Some(account) = of_account.first().map(|device| device.account) else { continue };
        let count = of_account.len();
        match parts.last_mut().filter(|(_, so_far)| so_far + count <= GIVEN_AT_ONCE_MAX) {
            Some((accounts, so_far)) => {
                accounts.push(account);
                *so_far += count;
            }
            None => parts.push((vec![account], count)),
        }
    }
    parts.into_iter().map(|(accounts, _)| accounts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(accounts: u64, each: u32) -> Vec<DeviceId> {
        let of = |account| (1..=each).map(move |number| DeviceId::new(account, number));
        (1..=accounts).flat_map(of).collect()
    }

    #[test]
    fn a_submission_gives_the_key_to_so_many_devices_and_no_more() {
        assert_eq!(in_parts(&devices(64, 1)).len(), 1);
        assert_eq!(in_parts(&devices(65, 1)).len(), 2);
        let parts = in_parts(&devices(13, 5));
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [12, 1]);
        assert!(in_parts(&[]).is_empty());
    }

    #[test]
    fn a_device_that_is_gone_has_had_the_key() {
        let all: BTreeSet<DeviceId> = devices(2, 2).into_iter().collect();
        let mut given = Given::default();
        assert_eq!((given.lacking(&all).len(), given.went_too_far(&all)), (4, false));
        given.devices = all.iter().map(|device| plain(*device)).collect();
        assert_eq!((given.lacking(&all).len(), given.went_too_far(&all)), (0, false));
        let fewer: BTreeSet<DeviceId> = all.iter().copied().skip(1).collect();
        assert!(given.went_too_far(&fewer));
    }
}
