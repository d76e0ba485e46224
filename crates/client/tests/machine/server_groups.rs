//! Groups in the server in memory: the log, and who the server takes for members.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits::GROUP_RECEIPT_POSTS_MAX;
use godwit_base::{AccountId, DeviceId, DeviceNumber};
use godwit_wire::{Refusal, v1};

use crate::server::{Entry, Server};
use crate::server_accounts::Account;

/// How many entries of a log fit in a frame here.
const ENTRIES_AT_ONCE: usize = 3;

/// A group as the server sees it: entries that it cannot read, and rows that it was told.
#[derive(Default, Clone)]
pub(crate) struct Logged {
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) members: BTreeMap<AccountId, v1::GroupRole>,
    pub(crate) settings: v1::GroupSettings,
}

/// How far the posts of one device to one group have come.
#[derive(Clone, Default)]
pub(crate) struct Reach {
    /// The newest counter that each account has.
    pub(crate) has: BTreeMap<AccountId, u64>,
    /// The newest counter that each account has read.
    pub(crate) read: BTreeMap<AccountId, u64>,
    /// The posts that anybody has, and who.
    posts: BTreeMap<u64, BTreeSet<AccountId>>,
}

impl Reach {
    /// What is told of the posts after `after`, up to `up_to`.
    fn between(&self, after: u64, up_to: u64) -> Vec<v1::PostReach> {
        let count = |n: usize| u32::try_from(n).unwrap();
        let read = |account: &AccountId| self.read.get(account).copied().unwrap_or_default();
        let tell = |(counter, by): (&u64, &BTreeSet<AccountId>)| v1::PostReach {
            counter: *counter,
            accounts: count(by.len()),
            readers: count(by.iter().filter(|account| read(account) >= *counter).count()),
        };
        self.posts.range(after + 1..=up_to).map(tell).collect()
    }
}

/// Something said in a group that was stored: to whom it went, and all that the server has of it.
#[derive(Clone)]
pub(crate) struct Said {
    pub(crate) from: DeviceId,
    pub(crate) counter: u64,
    pub(crate) group: Vec<u8>,
    pub(crate) epoch: u64,
    /// Who belonged to the group.
    pub(crate) members: BTreeSet<AccountId>,
    /// Their devices, but the sender's.
    pub(crate) devices: BTreeSet<DeviceId>,
    /// The one body; empty if each has a copy.
    pub(crate) body: Vec<u8>,
    pub(crate) copies: Vec<(DeviceId, i32, Vec<u8>)>,
}

impl Server {
    pub(crate) fn change_group(&mut self, at: usize, change: &v1::GroupChange) {
        let by = self.device_at(at);
        let request = change.request;
        self.group_requests += 1;
        if self.mischief.groups_limited > 0 {
            self.mischief.groups_limited -= 1;
            return self.refuse(at, 0, request, Refusal::RateLimited, 200);
        }
        let id = change.group.to_vec();
        let group = self.groups.entry(id.clone()).or_default();
        let epoch = usize::try_from(change.epoch).unwrap();
        if group.log.get(epoch - 1).is_some_and(|stored| **stored == *change.signed) {
            return self.confirm(at, change);
        }
        if epoch != group.log.len() + 1 || self.mischief.stale > 0 {
            self.mischief.stale = self.mischief.stale.saturating_sub(1);
            return self.refuse(at, 0, request, Refusal::GroupEpochStale, 0);
        }
        let joins = !group.members.contains_key(&by.account) && epoch > 1;
        if joins {
            use sha2::Digest as _;
            let hash = sha2::Sha256::digest(&change.invite_secret);
            if group.settings.invite_hash.as_ref() != hash.as_slice() {
                return self.refuse(at, 0, request, Refusal::InviteLinkInvalid, 0);
            }
        }
        let mut told: Vec<AccountId> = group.members.keys().copied().collect();
        group.log.push(change.signed.to_vec());
        for row in &change.members {
            let account = AccountId(row.account);
            let _former = match row.role() {
                v1::GroupRole::None => group.members.remove(&account),
                role => group.members.insert(account, role),
            };
            told.push(account);
        }
        if let Some(settings) = &change.settings {
            group.settings = settings.clone();
        }
        let admins = group.members.values().filter(|role| **role == v1::GroupRole::Admin).count();
        assert!(admins > 0 || group.members.is_empty(), "a group without an admin");
        told.sort_unstable();
        told.dedup();
        for account in told {
            for to in self.devices_of(account) {
                if to != by {
                    let (group, epoch) = (id.clone(), change.epoch);
                    self.append(to, Entry::News { group, epoch });
                }
            }
        }
        self.confirm(at, change);
    }

    fn confirm(&mut self, at: usize, change: &v1::GroupChange) {
        let (request, group, epoch) = (change.request, change.group.clone(), change.epoch);
        if self.mischief.unconfirmed > 0 {
            self.mischief.unconfirmed -= 1;
            return;
        }
        self.say(at, v1::GroupChanged { request, group, epoch });
    }

    pub(crate) fn fetch_group(&mut self, at: usize, fetch: &v1::GroupFetch) {
        self.group_requests += 1;
        if self.mischief.groups_limited > 0 {
            self.mischief.groups_limited -= 1;
            return self.refuse(at, 0, fetch.request, Refusal::RateLimited, 200);
        }
        let shown = self.mischief.shows_log.get(&*fetch.group);
        let Some(group) = shown.or_else(|| self.groups.get(&*fetch.group)) else {
            return self.refuse(at, 0, fetch.request, Refusal::GroupUnknown, 0);
        };
        let mut epoch = group.log.len() as u64;
        if let Some(claimed) = self.mischief.claims_epoch {
            epoch = claimed;
        }
        let after = usize::try_from(fetch.after_epoch).unwrap();
        let entries = group.log.iter().enumerate().skip(after).take(ENTRIES_AT_ONCE);
        let entries = entries
            .map(|(n, signed)| v1::GroupEntry {
                epoch: n as u64 + 1,
                signed: signed.clone().into(),
            })
            .collect();
        let (request, group) = (fetch.request, fetch.group.clone());
        self.say(at, v1::GroupLog { request, group, epoch, entries });
    }

    /// Whether something said in a group may be stored, as the real server decides it.
    pub(crate) fn group_refusal(&mut self, from: DeviceId, submit: &v1::Submit) -> Option<Refusal> {
        let post = submit.group.as_ref()?;
        if self.mischief.stale_posts > 0 {
            self.mischief.stale_posts -= 1;
            return Some(Refusal::GroupEpochStale);
        }
        let Some(group) = self.groups.get(&*post.group) else {
            return Some(Refusal::GroupUnknown);
        };
        let Some(role) = group.members.get(&from.account) else {
            return Some(Refusal::NotMember);
        };
        if post.epoch != group.log.len() as u64 {
            return Some(Refusal::GroupEpochStale);
        }
        if group.settings.only_admins_write && *role != v1::GroupRole::Admin {
            return Some(Refusal::NotAdmin);
        }
        if !post.body.is_empty() {
            assert!(submit.recipients.is_empty(), "one body, or copies");
            let is_right = post.devices_version == self.devices_version(group);
            return (!is_right).then_some(Refusal::GroupListsStale);
        }
        let mut accounts: Vec<u64> = submit.recipients.iter().map(|to| to.account).collect();
        if self.devices_of(from.account) == [from] {
            accounts.push(from.account.0);
        }
        accounts.sort_unstable();
        accounts.dedup();
        let members: Vec<u64> = group.members.keys().map(|account| account.0).collect();
        (accounts != members).then_some(Refusal::Malformed)
    }

    /// Another number after each change of the devices of a member.
    fn devices_version(&self, group: &Logged) -> u64 {
        let of = |account: &AccountId| {
            let numbers = self.accounts.get(account).map(Account::numbers).unwrap_or_default();
            let sum: u64 = numbers.iter().map(|number| 1 << number).sum();
            sum.wrapping_mul(account.0 | 1)
        };
        group.members.keys().map(of).fold(1, u64::wrapping_add)
    }

    pub(crate) fn show_roster(&mut self, at: usize, roster: &v1::GroupRoster) {
        let Some(group) = self.groups.get(&*roster.group) else {
            return self.refuse(at, 0, roster.request, Refusal::GroupUnknown, 0);
        };
        if !group.members.contains_key(&self.device_at(at).account) {
            return self.refuse(at, 0, roster.request, Refusal::NotMember, 0);
        }
        let row = |(account, role): (&AccountId, &v1::GroupRole)| v1::RosterRow {
            account: account.0,
            role: (*role).into(),
            list_version: self.accounts[account].list_version,
        };
        let answer = v1::Roster {
            request: roster.request,
            group: roster.group.clone(),
            epoch: group.log.len() as u64,
            devices_version: self.devices_version(group),
            members: group.members.iter().map(row).collect(),
            settings: Some(group.settings.clone()),
        };
        self.say(at, answer);
    }

    pub(crate) fn note_said(&mut self, from: DeviceId, submit: &v1::Submit, post: &v1::GroupPost) {
        let of_account = |to: &v1::Recipient| {
            let account = to.account;
            let copies = to.copies.iter();
            let copy = |copy: &v1::SealedCopy| {
                (DeviceId::new(account, copy.device), copy.kind, copy.body.to_vec())
            };
            copies.map(copy).collect::<Vec<_>>()
        };
        self.said.push(Said {
            from,
            counter: submit.counter,
            group: post.group.to_vec(),
            epoch: post.epoch,
            members: self.groups[&*post.group].members.keys().copied().collect(),
            devices: self.audience_of(from, post),
            body: post.body.to_vec(),
            copies: submit.recipients.iter().flat_map(of_account).collect(),
        });
    }

    /// The devices of the members now, but the sender's.
    fn audience_of(&self, from: DeviceId, post: &v1::GroupPost) -> BTreeSet<DeviceId> {
        let members = self.groups[&*post.group].members.keys();
        members.flat_map(|account| self.devices_of(*account)).filter(|to| *to != from).collect()
    }

    /// Gives the one body to every device of every member.
    pub(crate) fn store_post(&mut self, from: DeviceId, counter: u64, post: &v1::GroupPost) {
        if post.body.is_empty() {
            return;
        }
        for to in self.audience_of(from, post) {
            let (group, epoch, body) = (post.group.to_vec(), post.epoch, post.body.to_vec());
            self.append(to, Entry::Post { from, counter, group, epoch, body });
        }
    }

    /// A device has posts: those who posted are told how many have them.
    pub(crate) fn note_had(&mut self, by: DeviceId, had: Vec<(Vec<u8>, DeviceId, u64)>) {
        for (group, from, counter) in had {
            if by.account == from.account {
                continue;
            }
            let reach = self.reached.entry((group.clone(), from)).or_default();
            let highest = reach.has.entry(by.account).or_default();
            if counter > *highest {
                *highest = counter;
                reach.posts.entry(counter).or_default().insert(by.account);
                self.tell_reach(&group, from, counter - 1, counter);
            }
        }
    }

    /// An account has read posts: no more of them than it has, and nothing of who is not counted.
    pub(crate) fn take_read(&mut self, at: usize, read: &v1::GroupRead) {
        let (by, request) = (self.device_at(at), read.request);
        self.group_reads.push((by, read.clone()));
        if self.mischief.reads_limited > 0 {
            self.mischief.reads_limited -= 1;
            return self.refuse(at, 0, request, Refusal::RateLimited, 200);
        }
        let group = read.group.to_vec();
        for mark in &read.marks {
            let from = DeviceId::new(mark.account, mark.device);
            let Some(reach) = self.reached.get_mut(&(group.clone(), from)) else { continue };
            let Some(has) = reach.has.get(&by.account) else { continue };
            let up_to = mark.up_to.min(*has);
            let before = reach.read.get(&by.account).copied().unwrap_or_default();
            if up_to > before {
                reach.read.insert(by.account, up_to);
                self.tell_reach(&group, from, before, up_to);
            }
        }
        if self.mischief.reads_unanswered > 0 {
            self.mischief.reads_unanswered -= 1;
            return;
        }
        self.say(at, v1::GroupReadTaken { request });
    }

    /// Who has what a device of the asking account posted.
    pub(crate) fn show_progress(&mut self, at: usize, ask: &v1::GroupProgress) {
        let origin =
            DeviceId { account: self.device_at(at).account, number: DeviceNumber(ask.origin) };
        let reach = self.reached.get(&(ask.group.to_vec(), origin));
        let rows = reach.into_iter().flat_map(|reach| {
            reach.has.iter().map(|(account, up_to)| v1::Reached {
                account: account.0,
                up_to: *up_to,
                read_up_to: reach.read.get(account).copied().unwrap_or_default(),
            })
        });
        let reached = rows.filter(|row| row.up_to >= ask.counter).collect();
        self.say(at, v1::Progress { request: ask.request, reached });
    }

    /// Tells the devices of an author of the posts between. The real server has one record wait at most,
    /// and tells of the newest.
    fn tell_reach(&mut self, group: &[u8], from: DeviceId, after: u64, up_to: u64) {
        let posts = self.reached[&(group.to_vec(), from)].between(after, up_to);
        for posts in posts.chunks(GROUP_RECEIPT_POSTS_MAX) {
            for to in self.devices_of(from.account) {
                let (group, posts) = (group.to_vec(), posts.to_vec());
                self.append(to, Entry::Reach { group, origin: from.number.0, posts });
            }
        }
    }

    fn devices_of(&self, account: AccountId) -> Vec<DeviceId> {
        let numbers = self.accounts.get(&account).map(Account::numbers).unwrap_or_default();
        numbers.into_iter().map(|n| DeviceId { account, number: DeviceNumber(n) }).collect()
    }
}
