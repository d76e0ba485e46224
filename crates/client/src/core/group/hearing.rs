//! Hearing what is posted with one body for all: the members' sender keys.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use godwit_seal::{
    Group, GroupHint, GroupShare, HeardKey, OpenError, Peer, Place, RowError, SenderKeyId,
};
use godwit_wire::v1;

use super::Groups;
use super::following::group_of;
use crate::WarningKind;
use crate::core::Core;
use crate::core::now::Now;
use crate::core::output::{Row, Table, Write};
use crate::core::vault::Vault;

/// Keys kept of one device in one group, 4: the present one, and those under which something may still be
/// on its way that was sealed before. A device changes its key at most once a window of messages.
pub(super) const HEARD_EACH_MAX: usize = 4;

/// Keys kept in all, 32,768 x about 700 B = 23 MB. For one more the one longest unused goes; what comes
/// under it is asked for again.
pub(super) const HEARD_MAX: usize = 32_768;

type Name = (GroupId, DeviceId, SenderKeyId);

/// The keys under which others post.
pub(super) struct Heard<K = HeardKey> {
    keys: BTreeMap<Name, (K, u64)>,
    /// Counts uses, so that keys have an order.
    ordinal: u64,
    changed: BTreeSet<Name>,
}

impl<K> Default for Heard<K> {
    fn default() -> Self {
        Self { keys: BTreeMap::new(), ordinal: 0, changed: BTreeSet::new() }
    }
}

impl<K> Heard<K> {
    fn add(&mut self, name: Name, key: K) {
        if self.keys.contains_key(&name) {
            return; // the one that is here opens more, and knows what it opened
        }
        let (group, device, _) = name;
        let of_it = (group, device, SenderKeyId([0; 8]))..=(group, device, SenderKeyId([0xff; 8]));
        if self.keys.range(of_it.clone()).count() >= HEARD_EACH_MAX {
            let oldest = self.keys.range(of_it).min_by_key(|(_, (_, used))| *used);
            self.forget(oldest.map(|(name, _)| *name));
        }
        if self.keys.len() >= HEARD_MAX {
            let oldest = self.keys.iter().min_by_key(|(_, (_, used))| *used);
            self.forget(oldest.map(|(name, _)| *name));
        }
        self.ordinal += 1;
        self.keys.insert(name, (key, self.ordinal));
        self.changed.insert(name);
    }

    fn forget(&mut self, name: Option<Name>) {
        if let Some(name) = name {
            self.keys.remove(&name);
            self.changed.insert(name);
        }
    }

    fn get_mut(&mut self, name: Name) -> Option<&mut K> {
        self.ordinal += 1;
        let (key, used) = self.keys.get_mut(&name)?;
        *used = self.ordinal;
        self.changed.insert(name);
        Some(key)
    }
}

impl Heard {
    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let table = Table::GroupHeard;
        let write = |(group, from, id): Name| {
            let key = HeardKey::row_name(group, from, id);
            Ok(match self.keys.get(&(group, from, id)) {
                Some((heard, _)) => Write::Put { table, key, value: heard.to_row(vault.key())? },
                None => Write::Delete { table, key },
            })
        };
        std::mem::take(&mut self.changed).into_iter().map(write).collect()
    }

    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut heard = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::GroupHeard) {
            let (group, from, id) = name_of(key).ok_or(RowError::Damaged)?;
            let key = HeardKey::from_row(vault.key(), group, from, id, value)?;
            heard.keys.insert((group, from, id), (key, 0));
        }
        Ok(heard)
    }
}

fn name_of(row: &[u8]) -> Option<Name> {
    let (group, rest) = row.split_first_chunk::<16>()?;
    let (account, rest) = rest.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let from = DeviceId {
        account: AccountId(u64::from_be_bytes(*account)),
        number: DeviceNumber(u32::from_be_bytes(*number)),
    };
    Some((GroupId(*group), from, SenderKeyId(rest.try_into().ok()?)))
}

impl Groups {
    /// Where an account may have said something: its groups that this hint fits, at this epoch.
    pub(in crate::core) fn places(
        &self,
        from: AccountId,
        hint: GroupHint,
        epoch: u64,
    ) -> Vec<Place> {
        self.with_hint(hint)
            .filter(|(_, known)| known.group.was_member(from, epoch))
            .filter_map(|(_, known)| known.group.place_at(epoch))
            .collect()
    }

    /// Whether what was said there may be of a group, or an epoch, that is not here yet. If so its log is
    /// asked for.
    pub(in crate::core) fn may_come(&mut self, hint: GroupHint, epoch: u64) -> bool {
        let ahead: Vec<GroupId> = self
            .with_hint(hint)
            .filter(|(_, known)| known.group.epoch() < epoch)
            .map(|(id, _)| id)
            .collect();
        let is_known = self.with_hint(hint).next().is_some();
        for id in &ahead {
            self.is_behind(*id, epoch, None);
        }
        !ahead.is_empty() || !is_known
    }

    fn with_hint(&self, hint: GroupHint) -> impl Iterator<Item = (GroupId, &super::Known)> {
        self.all().filter(move |(id, _)| GroupHint::of(*id) == hint)
    }

    /// Whether an account may write there. What was sealed before the present entry the server judged.
    pub(in crate::core) fn lets_write(&self, from: AccountId, place: Place) -> bool {
        self.get(place.group())
            .is_some_and(|k| k.group.epoch() != place.epoch() || k.group.may_write(from))
    }

    /// Whether two accounts are in one of the groups.
    pub(in crate::core) fn have_both(&self, one: AccountId, other: AccountId) -> bool {
        let is_in = |group: &Group, account| group.member(account).is_some();
        self.all().any(|(_, known)| is_in(&known.group, one) && is_in(&known.group, other))
    }

    /// Whether more records would find no room to wait in.
    pub(in crate::core) fn holds_all_it_may(&self) -> bool {
        self.early.is_full()
    }
}

impl Core {
    /// Takes a sender key that a member gives us.
    pub(super) fn hear_key(&mut self, share: &GroupShare, from: &Peer, now: Now) {
        let id = share.group();
        let Some(known) = self.groups.get(id) else { return };
        if let Ok(key) = HeardKey::accept(share, from, &known.group) {
            self.groups.heard.add((key.group(), key.from(), key.id()), key);
            self.take_early(id, Some(from.id()), now);
        }
    }

    /// A message that the server gave to all.
    pub(in crate::core) fn hear(&mut self, from: DeviceId, record: &v1::Deliver, now: Now) {
        let waits = group_of(&record.group).is_some_and(|id| self.groups.early.holds(id, from));
        if let (true, Some(id)) = (waits, group_of(&record.group)) {
            return self.keep_early(GroupHint::of(id), record);
        }
        self.hear_now(from, record, now);
    }

    fn hear_now(&mut self, from: DeviceId, record: &v1::Deliver, now: Now) {
        let Some(id) = group_of(&record.group) else {
            return self.did_not_open(from, record, OpenError::Malformed, now);
        };
        let hint = GroupHint::of(id);
        let Some(known) = self.groups.get(id).filter(|k| k.group.epoch() >= record.epoch) else {
            self.groups.is_behind(id, record.epoch, None);
            return self.keep_early(hint, record);
        };
        if !known.group.was_member(from.account, record.epoch) {
            return self.hear_nobody(Some(id), from);
        }
        let place = known.group.place_at(record.epoch);
        let peer = self.peer_of(from);
        let (Some(place), Some(peer)) = (place, peer) else {
            return self.did_not_open(from, record, OpenError::KeyGone, now);
        };
        let Some(key_id) = SenderKeyId::of_message(&record.body) else {
            return self.did_not_open(from, record, OpenError::Malformed, now);
        };
        let Some(key) = self.groups.heard.get_mut((id, from, key_id)) else {
            return self.keep_early(hint, record);
        };
        match key.open(&peer, &place, record.counter, &record.body) {
            Ok(inner) => self.on_opened(from, record, &inner, Some(place), now),
            Err(error) => self.did_not_open(from, record, error, now),
        }
    }

    /// What waited is looked at again.
    pub(super) fn take_again(&mut self, from: DeviceId, record: &v1::Deliver, now: Now) {
        if self.contacts.remote(from).is_none() {
            return; // their list does not name this device any more
        }
        match v1::CopyKind::try_from(record.kind) {
            Ok(v1::CopyKind::Group) => self.hear(from, record, now),
            Ok(kind) => self.open(from, record, kind == v1::CopyKind::Opening, now),
            Err(_) => {}
        }
    }

    /// The server hands over something of who is not in the group.
    pub(in crate::core) fn hear_nobody(&mut self, id: Option<GroupId>, from: DeviceId) {
        let Some(id) = id else { return };
        let with = self.contacts.get(from.account).map(|contact| contact.record.handle.clone());
        let text = format!(
            "the server handed over a message to group {id} of somebody who may not write there \
             (account {}): it is not shown",
            from.account
        );
        self.warn(WarningKind::Server, with, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(group: usize, device: u32, key: u64) -> Name {
        let group = GroupId((group as u128).to_be_bytes());
        (group, DeviceId::new(1, device), SenderKeyId(key.to_be_bytes()))
    }

    #[test]
    fn of_a_device_in_a_group_so_many_keys_are_kept_and_the_longest_unused_goes() {
        let mut heard = Heard::default();
        let others = [name(1, 2, 1), name(2, 1, 1)];
        others.iter().for_each(|name| heard.add(*name, ()));
        let most = HEARD_EACH_MAX as u64;
        (1..=most).for_each(|key| heard.add(name(1, 1, key), ()));
        assert_eq!(heard.keys.len(), others.len() + HEARD_EACH_MAX);
        heard.get_mut(name(1, 1, 1)).unwrap();
        heard.changed.clear();
        heard.add(name(1, 1, most + 1), ());
        assert_eq!(heard.keys.len(), others.len() + HEARD_EACH_MAX);
        assert!(!heard.keys.contains_key(&name(1, 1, 2)) && heard.changed.contains(&name(1, 1, 2)));
        assert!(others.iter().all(|name| heard.keys.contains_key(name)));
    }

    #[test]
    fn in_all_so_many_keys_are_kept_and_the_longest_unused_goes() {
        let mut heard = Heard::default();
        (0..HEARD_MAX).for_each(|group| heard.add(name(group, 1, 1), ()));
        assert_eq!(heard.keys.len(), HEARD_MAX);
        heard.get_mut(name(0, 1, 1)).unwrap();
        heard.add(name(0, 1, 1), ());
        assert_eq!(heard.keys.len(), HEARD_MAX, "what is here already needs no room");
        heard.add(name(HEARD_MAX, 1, 1), ());
        assert_eq!(heard.keys.len(), HEARD_MAX);
        let has = |group| heard.keys.contains_key(&name(group, 1, 1));
        assert_eq!((has(0), has(1), has(HEARD_MAX)), (true, false, true));
    }
}
