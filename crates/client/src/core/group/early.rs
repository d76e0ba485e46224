//! What came before the log entry, or the key, that it needs: kept with the rows of this device, so that
//! the mailbox goes on and nothing is lost, and looked at again in the order in which it came; behind what
//! of the same group the inbox holds because its sender is to be learned.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use godwit_seal::{GroupHint, OpenError, RowError};
use godwit_wire::v1;
use serde::{Deserialize, Serialize};

use super::following::group_of;
use crate::WarningKind;
use crate::core::Core;
use crate::core::now::Now;
use crate::core::output::{Row, Table, Write};
use crate::core::vault::{Blob, Vault};

/// Most things that wait, 2,048: a key of each member of a large group, and as many messages. With one
/// more the mailbox waits on the server instead.
pub(super) const EARLY_MAX: usize = 2_048;

/// Most bytes of them, 8 MB.
pub(super) const EARLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a hint.
const HINT_BYTES: usize = 3;

/// Its group by the hint, since a copy says no more, and its place in the order.
type Place = ([u8; HINT_BYTES], u64);

/// Something that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Early {
    account: u64,
    device: u32,
    what: What,
    /// It was there already when this was looked at last.
    #[serde(skip)]
    is_old: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum What {
    /// A key, or the group's secret, that a pairwise message brought.
    Share(Blob),
    Record {
        counter: u64,
        seq: u64,
        kind: i32,
        body: Blob,
        group: Blob,
        epoch: u64,
    },
}

impl Early {
    fn from(&self) -> DeviceId {
        DeviceId { account: AccountId(self.account), number: DeviceNumber(self.device) }
    }

    /// Its place in the mailbox; before all others if it is a key.
    const fn seq(&self) -> u64 {
        match &self.what {
            What::Share(_) => 0,
            What::Record { seq, .. } => *seq,
        }
    }

    fn bytes(&self) -> usize {
        match &self.what {
            What::Share(share) => share.0.len(),
            What::Record { body, .. } => body.0.len(),
        }
    }

    fn record(&self) -> Option<v1::Deliver> {
        let What::Record { counter, seq, kind, body, group, epoch } = &self.what else {
            return None;
        };
        Some(v1::Deliver {
            seq: *seq,
            account: self.account,
            device: self.device,
            counter: *counter,
            kind: *kind,
            body: body.0.clone().into(),
            group: group.0.clone().into(),
            epoch: *epoch,
        })
    }
}

/// All of it, by group and in order.
#[derive(Default)]
pub(super) struct Waiting {
    by_place: BTreeMap<Place, Early>,
    bytes: usize,
    last: u64,
    changed: BTreeSet<Place>,
}

impl Waiting {
    pub(super) fn is_full(&self) -> bool {
        self.by_place.len() >= EARLY_MAX || self.bytes >= EARLY_BYTES_MAX
    }

    fn keep(&mut self, hint: GroupHint, early: Early) {
        self.last += 1;
        let place = (hint.0, self.last);
        self.bytes += early.bytes();
        self.by_place.insert(place, early);
        self.changed.insert(place);
    }

    /// Takes what waits for a group and is meant, in the order of the mailbox: what had waited there for
    /// its sender to be learned came here later.
    fn take(&mut self, hint: GroupHint, is_meant: impl Fn(&Early) -> bool) -> Vec<Early> {
        let all = (hint.0, 0)..=(hint.0, u64::MAX);
        let taken = self.by_place.extract_if(all, |_, early| is_meant(early));
        let mut taken: Vec<(Place, Early)> = taken.collect();
        for (place, early) in &taken {
            self.bytes = self.bytes.saturating_sub(early.bytes());
            self.changed.insert(*place);
        }
        taken.sort_by_key(|(_, early)| early.seq());
        taken.into_iter().map(|(_, early)| early).collect()
    }

    fn has_any_of(&self, hint: GroupHint) -> bool {
        self.by_place.range((hint.0, 0)..=(hint.0, u64::MAX)).next().is_some()
    }

    /// Whether a message of this device to the group waits: what it says later waits too.
    pub(super) fn holds(&self, group: GroupId, from: DeviceId) -> bool {
        let hint = GroupHint::of(group).0;
        self.by_place.range((hint, 0)..=(hint, u64::MAX)).any(|(_, early)| {
            let is_it = |of: &Blob| of.0 == group.0;
            early.from() == from
                && matches!(&early.what, What::Record { group: of, .. } if is_it(of))
        })
    }

    /// Takes what was there already at the last call.
    fn take_old(&mut self) -> Vec<Early> {
        let old =
            self.by_place.extract_if(.., |_, early| std::mem::replace(&mut early.is_old, true));
        let old: Vec<(Place, Early)> = old.collect();
        for (place, early) in &old {
            self.bytes = self.bytes.saturating_sub(early.bytes());
            self.changed.insert(*place);
        }
        old.into_iter().map(|(_, early)| early).collect()
    }

    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let table = Table::GroupEarly;
        let write = |place: Place| {
            let key = [place.0.as_slice(), &place.1.to_be_bytes()].concat();
            Ok(match self.by_place.get(&place) {
                Some(early) => Write::Put { table, value: vault.seal(table, &key, early)?, key },
                None => Write::Delete { table, key },
            })
        };
        std::mem::take(&mut self.changed).into_iter().map(write).collect()
    }

    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut waiting = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::GroupEarly) {
            let (hint, number) = key.split_first_chunk().ok_or(RowError::Damaged)?;
            let number = number.try_into().map_err(|_| RowError::Damaged)?;
            let place = (*hint, u64::from_be_bytes(number));
            let early: Early = vault.open(Table::GroupEarly, key, value)?;
            waiting.bytes += early.bytes();
            waiting.last = waiting.last.max(place.1);
            waiting.by_place.insert(place, early);
        }
        Ok(waiting)
    }
}

impl Core {
    /// Keeps a share until its group's log has come.
    pub(super) fn keep_share(&mut self, group: GroupId, from: DeviceId, bytes: &[u8]) {
        let what = What::Share(Blob(bytes.to_vec()));
        self.keep(GroupHint::of(group), from, what);
    }

    /// Keeps a message until its group's log, or its key, has come.
    pub(in crate::core) fn keep_early(&mut self, hint: GroupHint, record: &v1::Deliver) {
        let from = DeviceId::new(record.account, record.device);
        let what = What::Record {
            counter: record.counter,
            seq: record.seq,
            kind: record.kind,
            body: Blob(record.body.to_vec()),
            group: Blob(record.group.to_vec()),
            epoch: record.epoch,
        };
        self.keep(hint, from, what);
    }

    fn keep(&mut self, hint: GroupHint, from: DeviceId, what: What) {
        let (account, device) = (from.account.0, from.number.0);
        self.groups.early.keep(hint, Early { account, device, what, is_old: false });
    }

    /// The log has come further, or a key of one device came: what waited is looked at again.
    pub(super) fn take_early(&mut self, group: GroupId, of: Option<DeviceId>, now: Now) {
        self.take_early_if(group, now, |early| of.is_none_or(|device| early.from() == device));
    }

    /// What waited behind a held record, which was there in the mailbox, has its turn as far as the next one.
    pub(in crate::core) fn take_early_since(&mut self, group: GroupId, seq: u64, now: Now) {
        self.take_early_if(group, now, |early| early.seq() >= seq);
    }

    /// The mailbox was drained anew: what waited behind a record that was held on the last link has its turn.
    pub(in crate::core) fn take_new_early(&mut self, now: Now) {
        for group in self.groups_with_early() {
            self.take_early_if(group, now, |early| !early.is_old);
        }
    }

    fn groups_with_early(&self) -> Vec<GroupId> {
        let groups = self.groups.all().map(|(id, _)| id);
        groups.filter(|id| self.groups.early.has_any_of(GroupHint::of(*id))).collect()
    }

    /// Where in the mailbox the first held record is that a member of a group sent; of those groups of
    /// which something waits here.
    pub(in crate::core) fn early_behind_held(&self) -> Vec<(GroupId, u64)> {
        let groups = self.groups_with_early().into_iter();
        groups.filter_map(|id| Some((id, self.first_held_of(id)?))).collect()
    }

    fn first_held_of(&self, group: GroupId) -> Option<u64> {
        let known = self.groups.get(group)?;
        self.inbox.first_of(|sender| known.group.member(sender).is_some())
    }

    fn take_early_if(&mut self, group: GroupId, now: Now, is_meant: impl Fn(&Early) -> bool) {
        let held_from = self.first_held_of(group).unwrap_or(u64::MAX);
        let is_due = |early: &Early| early.seq() < held_from && is_meant(early);
        for early in self.groups.early.take(GroupHint::of(group), is_due) {
            let from = early.from();
            match (&early.what, early.record()) {
                (What::Share(share), _) => self.on_share(from, &share.0, now),
                (_, Some(record)) => self.take_again(from, &record, now),
                _ => {}
            }
        }
        self.drain_again(now);
    }

    /// Gives up what waited for one to two rounds while the link was up, and no log was on its way and no sender
    /// to be learned: a
    /// message whose key did not come is asked for; of the rest nothing can be made.
    pub(in crate::core) fn give_up_early(&mut self, now: Now) {
        if !self.link.is_caught_up() || !self.groups.behind.is_empty() || !self.inbox.is_empty() {
            return;
        }
        for early in self.groups.early.take_old() {
            let Some(record) = early.record() else { continue };
            let from = early.from();
            let is_known = group_of(&record.group).is_some_and(|id| {
                self.groups.get(id).is_some_and(|known| known.group.epoch() >= record.epoch)
            });
            if is_known && self.contacts.remote(from).is_some() {
                self.did_not_open(from, &record, OpenError::NoSession, now);
            } else {
                let with = self.contacts.get(from.account).map(|c| c.record.handle.clone());
                let text = format!(
                    "a message of account {} to a group cannot be opened: the server has no log that \
                     it belongs to",
                    from.account
                );
                self.warn(WarningKind::Undecryptable, with, text);
            }
        }
        self.drain_again(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::output::rows_put;

    fn early(device: u32, bytes: usize) -> Early {
        let what = What::Share(Blob(vec![0; bytes]));
        Early { account: 1, device, what, is_old: false }
    }

    #[test]
    fn both_sides_of_the_bounds() {
        let mut waiting = Waiting::default();
        let hint = GroupHint([1; 3]);
        (1..EARLY_MAX).for_each(|_| waiting.keep(hint, early(1, 1)));
        assert!(!waiting.is_full());
        waiting.keep(hint, early(2, 1));
        assert!(waiting.is_full());
        assert_eq!(waiting.take(hint, |early| early.device == 2).len(), 1);
        assert!(!waiting.is_full());
        waiting.keep(hint, early(1, EARLY_BYTES_MAX - EARLY_MAX));
        assert!(waiting.bytes < EARLY_BYTES_MAX);
        waiting.take(hint, |_| true);
        waiting.keep(hint, early(1, EARLY_BYTES_MAX - 1));
        assert!(!waiting.is_full());
        waiting.keep(hint, early(1, 1));
        assert!(waiting.is_full());
    }

    #[test]
    fn what_is_taken_comes_in_order_and_after_a_restart_too() {
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let mut waiting = Waiting::default();
        let hint = GroupHint([1; 3]);
        (0..300).for_each(|n| waiting.keep(hint, early(n, 1)));
        waiting.keep(GroupHint([2; 3]), early(0, 1));
        let rows = rows_put(waiting.changes(&vault).unwrap());
        let mut restored = Waiting::restore(&vault, &rows).unwrap();
        let taken = restored.take(hint, |_| true);
        let taken: Vec<u32> = taken.iter().map(|early| early.device).collect();
        assert_eq!(taken, (0..300).collect::<Vec<_>>());
        assert_eq!((restored.by_place.len(), restored.bytes), (1, 1));
    }

    /// The second came to the mailbox before the first, and waited elsewhere.
    #[test]
    fn messages_are_taken_in_the_order_of_the_mailbox_as_far_as_is_said() {
        let mut waiting = Waiting::default();
        let hint = GroupHint([1; 3]);
        for seq in [30, 10, 20, 40] {
            let (kind, body) = (0, Blob(vec![1]));
            let what = What::Record { counter: 1, seq, kind, body, group: Blob(vec![]), epoch: 1 };
            waiting.keep(hint, Early { account: 1, device: 1, what, is_old: false });
        }
        waiting.keep(hint, early(1, 1));
        let mut seqs_below = |seq: u64| -> Vec<u64> {
            waiting.take(hint, |early| early.seq() < seq).iter().map(Early::seq).collect()
        };
        assert_eq!(seqs_below(30), [0, 10, 20], "keys first");
        assert_eq!(seqs_below(40), [30]);
        assert_eq!(seqs_below(41), [40]);
        assert!(!waiting.has_any_of(hint));
    }

    #[test]
    fn what_is_given_up_was_there_a_whole_round() {
        let mut waiting = Waiting::default();
        waiting.keep(GroupHint([1; 3]), early(1, 1));
        assert!(waiting.take_old().is_empty());
        waiting.keep(GroupHint([1; 3]), early(2, 1));
        assert_eq!(waiting.take_old().len(), 1);
        assert_eq!(waiting.take_old().len(), 1);
    }
}
