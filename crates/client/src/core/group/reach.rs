//! How far what this account said in groups has come: which members have it and which have read it, as
//! far as their receipts say, or how many, as the server counts. Longer than the outbox keeps the message
//! itself, since people read later than their devices receive.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Handle, MessageId};
use godwit_seal::{Place, RowError};
use godwit_wire::v1;
use serde::{Deserialize, Serialize};

use super::Groups;
use super::following::group_of;
use crate::core::Core;
use crate::core::now::Now;
use crate::core::outbox::Kind;
use crate::core::output::{Row, Table, Write};
use crate::core::receiving::STRANGER;
use crate::core::vault::Vault;
use crate::{MessageState, Reach, Recipient};

/// Messages of which it is kept how far they have come, 4,096: 16 to each of 256 groups. With two sets of
/// 31 accounts they are 600 B each, 2.4 MB of memory. For one more the oldest goes; what is known of it
/// stays in the history and does not change any more.
const SENT_MAX: usize = 4_096;

/// How long, 30 days: so long a mailbox keeps it, and the server who has it.
const SENT_AGE_MAX_MS: u64 = 30 * 24 * 3_600_000;

/// A device of ours and the counter under which its message travels.
pub(super) type SentId = (u32, u64);

/// A message of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) group: GroupId,
    /// Who was a member then is meant, and nobody else.
    pub(super) epoch: u64,
    /// The counter of its id.
    shown: u64,
    /// How many others were members.
    of: u32,
    at_ms: u64,
    pub(super) counted: Counted,
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Counted {
    /// Each device has a copy: the accounts that have it, and those that have read it.
    Here { has: BTreeSet<u64>, read: BTreeSet<u64> },
    /// The server gave one body to all, and says how many.
    There { has: u32, read: u32 },
}

impl Sent {
    fn reach(&self) -> Reach {
        let count = |accounts: &BTreeSet<u64>| u32::try_from(accounts.len()).unwrap_or(u32::MAX);
        let (has, read) = match &self.counted {
            // Whoever has read it has it.
            Counted::Here { has, read } => (count(&(has | read)), count(read)),
            Counted::There { has, read } => (*has, *read),
        };
        Reach { delivered: has.min(self.of), read: read.min(self.of), of: self.of }
    }

    /// How far it has come at one of those whom it is for, as far as that is known here.
    fn state_at(&self, account: AccountId) -> Option<MessageState> {
        let Counted::Here { has, read } = &self.counted else { return None };
        Some(if read.contains(&account.0) {
            MessageState::Read
        } else if has.contains(&account.0) {
            MessageState::Delivered
        } else {
            MessageState::Accepted
        })
    }
}

/// A receipt: everything that one of our devices sent, up to a counter.
#[derive(Debug, Clone, Copy)]
struct Receipt {
    by: AccountId,
    origin: u32,
    up_to: u64,
    /// It was read, and in this group alone; else it arrived.
    read_in: Option<GroupId>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Reaches {
    sent: BTreeMap<SentId, Sent>,
    /// Those of which receipts are counted here and not everybody has read them.
    open: BTreeSet<SentId>,
    changed: BTreeSet<SentId>,
}

impl Reaches {
    pub(super) fn get(&self, id: SentId) -> Option<&Sent> {
        self.sent.get(&id)
    }

    /// Under which counter a message travels, by that of its id.
    pub(super) fn find(&self, id: MessageId) -> Option<(SentId, &Sent)> {
        let device = id.device.number.0;
        let mut of_device = self.sent.range((device, id.counter)..=(device, u64::MAX));
        of_device.find(|(_, sent)| sent.shown == id.counter).map(|(id, sent)| (*id, sent))
    }

    fn add(&mut self, id: SentId, sent: Sent) {
        if self.sent.len() >= SENT_MAX && !self.sent.contains_key(&id) {
            let oldest = self.sent.iter().min_by_key(|(_, sent)| sent.at_ms).map(|(id, _)| *id);
            oldest.into_iter().for_each(|oldest| self.remove(oldest));
        }
        if matches!(sent.counted, Counted::Here { .. }) {
            self.open.insert(id);
        }
        self.sent.insert(id, sent);
        self.changed.insert(id);
    }

    pub(super) fn remove(&mut self, id: SentId) {
        if self.sent.remove(&id).is_some() {
            self.open.remove(&id);
            self.changed.insert(id);
        }
    }

    /// Counts a receipt for those whom it is about. Returns the messages of which it is news.
    fn take(&mut self, receipt: Receipt, is_for: impl Fn(&Sent, AccountId) -> bool) -> Vec<SentId> {
        let Receipt { by, origin, up_to, read_in } = receipt;
        let all = (origin, 0)..=(origin, up_to);
        let covered: Vec<SentId> = self.open.range(all).copied().collect();
        let mut news = Vec::new();
        for id in covered {
            let Some(sent) = self.sent.get_mut(&id) else { continue };
            let is_there = read_in.is_none_or(|group| group == sent.group);
            if !is_there || !is_for(sent, by) {
                continue;
            }
            let before = sent.reach();
            if let Counted::Here { has, read } = &mut sent.counted {
                let accounts = if read_in.is_some() { read } else { has };
                if !accounts.insert(by.0) {
                    continue;
                }
            }
            self.changed.insert(id);
            let reach = sent.reach();
            if reach.read >= reach.of {
                self.open.remove(&id);
            }
            if reach != before {
                news.push(id);
            }
        }
        news
    }

    /// The server says how many; it may say what is older than what it said before. Whether it is news.
    fn counted(&mut self, id: SentId, group: GroupId, accounts: u32, readers: u32) -> bool {
        let Some(sent) = self.sent.get_mut(&id).filter(|sent| sent.group == group) else {
            return false;
        };
        let before = sent.reach();
        let Counted::There { has, read } = &mut sent.counted else { return false };
        (*has, *read) = (accounts.max(*has).max(readers), readers.max(*read));
        let is_news = sent.reach() != before;
        if is_news {
            self.changed.insert(id);
        }
        is_news
    }

    /// The server tells of the newest posts alone. Whoever has, or has read, one of them has the ones before
    /// it too, as long as the members are the same: what is older has come as far as the oldest that is told
    /// of. Returns of which it is news.
    fn counted_before(&mut self, first: SentId) -> Vec<SentId> {
        let Some(told) = self.sent.get(&first) else { return Vec::new() };
        let Counted::There { has: accounts, read: readers } = told.counted else {
            return Vec::new();
        };
        let (group, epoch) = (told.group, told.epoch);
        let before = self.sent.range((first.0, 0)..first).rev();
        let is_one = |sent: &Sent| sent.group == group && sent.epoch == epoch;
        let older = before.filter(|(_, sent)| is_one(sent));
        // One that has come so far stands before others that have.
        let behind = older.take_while(|(_, sent)| match sent.counted {
            Counted::There { has, read } => has < accounts || read < readers,
            Counted::Here { .. } => false,
        });
        let behind: Vec<SentId> = behind.map(|(id, _)| *id).collect();
        behind.into_iter().filter(|id| self.counted(*id, group, accounts, readers)).collect()
    }

    fn tidy(&mut self, now_ms: u64) {
        let is_old = |sent: &Sent| now_ms.saturating_sub(sent.at_ms) >= SENT_AGE_MAX_MS;
        let old = self.sent.iter().filter(|(_, sent)| is_old(sent)).map(|(id, _)| *id);
        let old: Vec<SentId> = old.collect();
        old.into_iter().for_each(|id| self.remove(id));
    }

    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let table = Table::GroupSent;
        let write = |id: SentId| {
            let key = [id.0.to_be_bytes().as_slice(), &id.1.to_be_bytes()].concat();
            Ok(match self.sent.get(&id) {
                Some(sent) => Write::Put { table, value: vault.seal(table, &key, sent)?, key },
                None => Write::Delete { table, key },
            })
        };
        std::mem::take(&mut self.changed).into_iter().map(write).collect()
    }

    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut reaches = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::GroupSent) {
            let (device, counter) = key.split_first_chunk::<4>().ok_or(RowError::Damaged)?;
            let counter = counter.try_into().map_err(|_| RowError::Damaged)?;
            let id = (u32::from_be_bytes(*device), u64::from_be_bytes(counter));
            let sent: Sent = vault.open(Table::GroupSent, key, value)?;
            let reach = sent.reach();
            if matches!(sent.counted, Counted::Here { .. }) && reach.read < reach.of {
                reaches.open.insert(id);
            }
            reaches.sent.insert(id, sent);
        }
        Ok(reaches)
    }
}

impl Groups {
    /// Counts a receipt for who was a member when each message was said.
    fn take_receipt(&mut self, receipt: Receipt) -> Vec<SentId> {
        let by_id = &self.by_id;
        self.reaches.take(receipt, |sent, account| {
            let known = by_id.get(&sent.group);
            known.is_some_and(|known| known.group.was_member(account, sent.epoch))
        })
    }

    /// How many others were members.
    fn others_at(&self, id: GroupId, epoch: u64) -> u32 {
        let members = self.get(id).map_or(0, |known| known.group.members_at(epoch).count());
        u32::try_from(members.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// What is not kept on after its time.
    pub(in crate::core) fn tidy(&mut self, now_ms: u64) {
        self.reaches.tidy(now_ms);
    }
}

impl Core {
    /// A message to a group is sealed.
    pub(super) fn note_sent(&mut self, counter: u64) {
        let Some(message) = self.outbox.get(counter).filter(|m| m.kind == Kind::Shown) else {
            return;
        };
        let (Some(post), Some(group)) = (&message.post, message.group()) else { return };
        let counted = counted_so(!post.body.0.is_empty());
        let (epoch, of, at_ms) = (post.epoch, post.of, message.sent_at_ms);
        let shown = message.shown_as.unwrap_or(counter);
        let id = (self.me.device().number.0, counter);
        self.groups.reaches.add(id, Sent { group, epoch, shown, of, at_ms, counted });
    }

    /// Another device of ours said something in a group.
    pub(in crate::core) fn note_sent_elsewhere(
        &mut self,
        place: Place,
        origin: DeviceNumber,
        counter: u64,
        shown: u64,
        is_post: bool,
        at_ms: u64,
    ) {
        let (group, epoch) = (place.group(), place.epoch());
        let of = self.groups.others_at(group, epoch);
        let counted = counted_so(is_post);
        let sent = Sent { group, epoch, shown, of, at_ms, counted };
        self.groups.reaches.add((origin.0, counter), sent);
    }

    /// It is not under way: it failed, or is sealed anew.
    pub(in crate::core) fn forget_sent(&mut self, counter: u64) {
        self.groups.reaches.remove((self.me.device().number.0, counter));
    }

    /// An account has everything that a device of ours sent to it, up to a counter.
    pub(in crate::core) fn copies_delivered(
        &mut self,
        by: AccountId,
        origin: DeviceNumber,
        up_to: u64,
        at_ms: u64,
    ) {
        if !self.is_own(by) {
            let receipt = Receipt { by, origin: origin.0, up_to, read_in: None };
            self.tell_reach(receipt, at_ms);
        }
    }

    /// An account has read everything that a device of ours sent to a group as copies, up to a counter.
    pub(super) fn copies_read(
        &mut self,
        group: GroupId,
        by: AccountId,
        origin: DeviceNumber,
        up_to: u64,
        at_ms: u64,
    ) {
        let receipt = Receipt { by, origin: origin.0, up_to, read_in: Some(group) };
        self.tell_reach(receipt, at_ms);
    }

    fn tell_reach(&mut self, receipt: Receipt, at_ms: u64) {
        for id in self.groups.take_receipt(receipt) {
            self.write_reach(id, at_ms);
        }
    }

    fn write_reach(&mut self, id: SentId, at_ms: u64) {
        let Some(sent) = self.groups.reaches.get(id) else { return };
        let (device, reach) = (DeviceId::new(self.me.device().account.0, id.0), sent.reach());
        let message = MessageId { device, counter: sent.shown };
        let with = sent.group.into();
        self.staged.writes.push(Write::Reach { id: message, with, reach, at_ms });
    }

    /// How many have, and have read, what a device of ours posted.
    pub(in crate::core) fn on_group_receipt(&mut self, receipt: &v1::GroupReceipt, now: Now) {
        if self.inbox.skips() {
            return;
        }
        self.inbox.saw(receipt.seq);
        let Some(group) = group_of(&receipt.group) else { return };
        let at_ms = self.wall_ms(now);
        for post in &receipt.posts {
            let id = (receipt.origin, post.counter);
            // Who does not tell is not told.
            let readers = if self.sends_receipts() { post.readers } else { 0 };
            if self.groups.reaches.counted(id, group, post.accounts, readers) {
                self.write_reach(id, at_ms);
            }
        }
        let first = receipt.posts.iter().map(|post| post.counter).min().unwrap_or_default();
        for id in self.groups.reaches.counted_before((receipt.origin, first)) {
            self.write_reach(id, at_ms);
        }
    }

    /// To whom a message to a group went, as far as is known here of each; nothing of one that the server
    /// gave to all.
    pub(super) fn members_reached(&self, id: SentId, sent: &Sent) -> Option<Vec<Recipient>> {
        let recipient = |account: AccountId| {
            let state = sent.state_at(account)?;
            Some(Recipient { state, ..self.recipient_of(id, account) })
        };
        self.others_in(sent).map(recipient).collect()
    }

    /// Those whom a message of ours is for.
    pub(super) fn others_in<'a>(&'a self, sent: &'a Sent) -> impl Iterator<Item = AccountId> + 'a {
        let known = self.groups.get(sent.group).into_iter();
        let members = known.flat_map(|known| known.group.members_at(sent.epoch));
        members.filter(|account| !self.is_own(*account))
    }

    /// One of them, with those of its devices for which it was sealed.
    pub(super) fn recipient_of(&self, id: SentId, account: AccountId) -> Recipient {
        let (number, counter) = id;
        let is_here = self.me.device().number.0 == number;
        let logged = self.outbox.logged(counter).filter(|_| is_here);
        let mut by = logged.into_iter().flat_map(|m| &m.accepted).flat_map(|a| &a.by);
        let by = by.find(|by| by.account_key.id() == account);
        let device = |number: &u32| {
            let device = DeviceId::new(account.0, *number);
            let remote = self.contacts.remote(device);
            (device, remote.is_some_and(|r| r.record.delivered_up_to >= counter))
        };
        let devices = by.map_or_else(Vec::new, |by| by.devices.iter().map(device).collect());
        Recipient { handle: self.named(account), state: MessageState::Accepted, devices }
    }

    /// By its handle, or by its number while that is not known.
    pub(super) fn named(&self, account: AccountId) -> Handle {
        let known = self.contacts.get(account).map(|contact| contact.record.handle.clone());
        let unknown = || format!("{STRANGER}{account}").parse().ok();
        known.or_else(unknown).unwrap_or_else(|| self.me.home.handle.clone())
    }
}

const fn counted_so(is_post: bool) -> Counted {
    if is_post {
        Counted::There { has: 0, read: 0 }
    } else {
        Counted::Here { has: BTreeSet::new(), read: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::output::rows_put;

    const GROUP: GroupId = GroupId([1; 16]);

    fn sent(of: u32, is_post: bool) -> Sent {
        Sent { group: GROUP, epoch: 1, shown: 1, of, at_ms: 0, counted: counted_so(is_post) }
    }

    fn arrived(by: u64, up_to: u64) -> Receipt {
        Receipt { by: AccountId(by), origin: 1, up_to, read_in: None }
    }

    fn read(by: u64, up_to: u64) -> Receipt {
        Receipt { read_in: Some(GROUP), ..arrived(by, up_to) }
    }

    /// All but 9 are members.
    fn is_for(_: &Sent, account: AccountId) -> bool {
        account != AccountId(9)
    }

    fn reach(reaches: &Reaches, counter: u64) -> (u32, u32) {
        let reach = reaches.get((1, counter)).unwrap().reach();
        (reach.delivered, reach.read)
    }

    #[test]
    fn each_account_counts_once_for_what_its_receipt_covers() {
        let mut reaches = Reaches::default();
        (1..=3).for_each(|counter| reaches.add((1, counter), sent(2, false)));
        reaches.add((2, 1), sent(2, false));
        assert_eq!(reaches.take(arrived(5, 2), is_for), [(1, 1), (1, 2)]);
        assert!(reaches.take(arrived(5, 2), is_for).is_empty(), "no news");
        assert_eq!(reach(&reaches, 2), (1, 0));
        assert_eq!(reaches.take(read(6, 1), is_for), [(1, 1)]);
        assert_eq!(reach(&reaches, 1), (2, 1), "who has read it has it");
        assert!(reaches.take(arrived(6, 1), is_for).is_empty());
        assert!(reaches.take(read(9, 3), is_for).is_empty(), "not a member then");
        let elsewhere = Receipt { read_in: Some(GroupId([2; 16])), ..read(6, 3) };
        assert!(reaches.take(elsewhere, is_for).is_empty(), "another group");
        assert_eq!(reaches.take(read(5, 1), is_for), [(1, 1)]);
        assert_eq!(reach(&reaches, 1), (2, 2));
        assert!(!reaches.open.contains(&(1, 1)), "all have read it");
        let state = |account| reaches.get((1, 2)).unwrap().state_at(AccountId(account));
        assert_eq!(state(5), Some(MessageState::Delivered));
        assert_eq!(state(6), Some(MessageState::Accepted));
    }

    #[test]
    fn what_the_server_counts_only_grows_and_no_further_than_there_are_members() {
        let mut reaches = Reaches::default();
        reaches.add((1, 1), sent(3, true));
        assert!(reaches.counted((1, 1), GROUP, 2, 1) && reach(&reaches, 1) == (2, 1));
        assert!(!reaches.counted((1, 1), GROUP, 1, 0), "older than what was said before");
        assert!(!reaches.counted((1, 1), GroupId([2; 16]), 3, 3), "another group");
        assert!(!reaches.counted((1, 2), GROUP, 3, 3), "not ours");
        assert!(reaches.counted((1, 1), GROUP, 9, 9) && reach(&reaches, 1) == (3, 3));
        assert!(!reaches.counted((1, 1), GROUP, 10, 10));
        assert!(reaches.take(read(5, 1), is_for).is_empty(), "receipts are the server's affair");
        reaches.add((1, 2), sent(3, false));
        assert!(!reaches.counted((1, 2), GROUP, 3, 3), "counted here");
        assert_eq!(reaches.get((1, 1)).unwrap().state_at(AccountId(5)), None);
    }

    #[test]
    fn what_is_older_than_the_server_tells_of_has_come_as_far() {
        let mut reaches = Reaches::default();
        reaches.add((1, 1), Sent { epoch: 7, ..sent(3, true) });
        reaches.add((1, 2), Sent { group: GroupId([2; 16]), ..sent(3, true) });
        (3..=5).for_each(|counter| reaches.add((1, counter), sent(3, true)));
        reaches.counted((1, 3), GROUP, 3, 0);
        assert!(reaches.counted_before((1, 5)).is_empty(), "nobody has it");
        reaches.counted((1, 5), GROUP, 2, 1);
        assert_eq!(reaches.counted_before((1, 5)), [(1, 4), (1, 3)]);
        assert_eq!((reach(&reaches, 4), reach(&reaches, 3)), ((2, 1), (3, 1)));
        assert_eq!((reach(&reaches, 1), reach(&reaches, 2)), ((0, 0), (0, 0)), "other members");
        assert!(reaches.counted_before((1, 5)).is_empty());
    }

    #[test]
    fn both_sides_of_the_bounds() {
        let mut reaches = Reaches::default();
        for counter in 1..=SENT_MAX as u64 {
            reaches.add((1, counter), Sent { at_ms: counter, ..sent(1, false) });
        }
        assert!(reaches.get((1, 1)).is_some());
        reaches.add((1, 2), Sent { at_ms: 2, ..sent(1, false) });
        assert!(reaches.get((1, 1)).is_some(), "sealed anew");
        reaches.add((1, 9_999), Sent { at_ms: u64::MAX, ..sent(1, false) });
        assert!(reaches.get((1, 1)).is_none() && reaches.get((1, 2)).is_some());
        assert_eq!((reaches.sent.len(), reaches.open.len()), (SENT_MAX, SENT_MAX));
        reaches.tidy(2 + SENT_AGE_MAX_MS - 1);
        assert!(reaches.get((1, 2)).is_some());
        reaches.tidy(2 + SENT_AGE_MAX_MS);
        assert!(reaches.get((1, 2)).is_none() && reaches.get((1, 3)).is_some());
    }

    #[test]
    fn a_restart_finds_what_was_there() {
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let mut reaches = Reaches::default();
        reaches.add((1, 70), Sent { shown: 7, ..sent(1, false) });
        reaches.add((1, 8), sent(2, false));
        reaches.add((1, 9), sent(2, true));
        reaches.take(read(5, 100), is_for);
        reaches.counted((1, 9), GROUP, 1, 1);
        let rows = rows_put(reaches.changes(&vault).unwrap());
        let restored = Reaches::restore(&vault, &rows).unwrap();
        assert_eq!((&restored.sent, &restored.open), (&reaches.sent, &reaches.open));
        assert_eq!(restored.open, BTreeSet::from([(1, 8)]));
        let id = |counter| MessageId { device: DeviceId::new(3, 1), counter };
        assert_eq!(restored.find(id(7)).map(|(id, _)| id), Some((1, 70)), "by its id");
        assert!(restored.find(id(70)).is_none());
    }
}
