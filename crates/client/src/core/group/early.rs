//! What came before the log entry, or the key, that it needs: kept with the rows of this device, so that
//! the mailbox goes on and nothing is lost, and looked at again in the order in which it came.

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

    /// Takes what waits for a group, all of it or that of one device, in order.
    fn take(&mut self, hint: GroupHint, of: Option<DeviceId>) -> Vec<Early> {
        let all = (hint.0, 0)..=(hint.0, u64::MAX);
        let is_meant =
            |_: &Place, early: &mut Early| of.is_none_or(|device| early.from() == device);
        let taken: Vec<(Place, Early)> = self.by_place.extract_if(all, is_meant).collect();
        for (place, early) in &taken {
            self.bytes = self.bytes.saturating_sub(early.bytes());
            self.changed.insert(*place);
        }
        taken.into_iter().map(|(_, early)| early).collect()
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
        for early in self.groups.early.take(GroupHint::of(group), of) {
            let from = early.from();
            match (&early.what, early.record()) {
                (What::Share(share), _) => self.on_share(from, &share.0, now),
                (_, Some(record)) => self.take_again(from, &record, now),
                _ => {}
            }
        }
        self.drain_again(now);
    }

    /// Gives up what waited for one to two rounds while the link was up and no log was on its way: a
    /// message whose key did not come is asked for; of the rest nothing can be made.
    pub(in crate::core) fn give_up_early(&mut self, now: Now) {
        if !self.link.is_caught_up() || !self.groups.behind.is_empty() {
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
        assert_eq!(waiting.take(hint, Some(DeviceId::new(1, 2))).len(), 1);
        assert!(!waiting.is_full());
        waiting.keep(hint, early(1, EARLY_BYTES_MAX - EARLY_MAX));
        assert!(waiting.bytes < EARLY_BYTES_MAX);
        waiting.take(hint, None);
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
        let taken: Vec<u32> = restored.take(hint, None).iter().map(|early| early.device).collect();
        assert_eq!(taken, (0..300).collect::<Vec<_>>());
        assert_eq!((restored.by_place.len(), restored.bytes), (1, 1));
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
