//! What others said in groups and this device has not read, or has read and not told. Their authors are
//! told: of copies by a sealed message, as in a chat between two; of what the server gave to all, through
//! the server, which counts. Our own other devices are told in any case.
//!
//! There is a row only while there is something to read or to tell, so that a reader who keeps up has none.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits::GROUP_READ_MARKS_MAX;
use godwit_base::{AccountId, DeviceId, GroupId};
use godwit_seal::RowError;
use godwit_wire::{Refusal, ToServer, v1};
use serde::{Deserialize, Serialize};

use crate::core::asking::Request;
use crate::core::contact::{device_key, device_of_key};
use crate::core::kinds::{GroupRead, READ_MARKS_MAX, ReadMark};
use crate::core::now::Now;
use crate::core::outbox::{Kind, Target};
use crate::core::output::{Row, Table, Write};
use crate::core::vault::Vault;
use crate::core::{Body, Content, Core, refusal_of};
use crate::{ChatId, Event};

/// Devices in groups of which something is not read or not told, 8,192: eight groups of a thousand in which
/// everybody has written since the user looked. Each takes about 150 B, 1.2 MB of memory. For one more the
/// one that was first goes, and its author is not told.
const UNREAD_MAX: usize = 8_192;

/// Groups of which the server is told at once. With 64 marks of 28 B each they are 7 KB on their way.
const TOLD_AT_ONCE_MAX: usize = 4;

/// A device in a group.
type Place = (GroupId, DeviceId);

/// What one device said in one group. Counters are those under which messages travel; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Unread {
    /// The newest that came as a copy and is not read.
    copy: u64,
    /// The newest that the server gave to all and is not read.
    post: u64,
    /// The counter of the id of the newer of the two.
    shown: u64,
    /// Of those that the server gave to all, the newest that was read, while it has not said that it knows.
    untold: u64,
    /// Since when there is something here, unix milliseconds.
    since_ms: u64,
}

impl Unread {
    const fn is_over(&self) -> bool {
        self.copy == 0 && self.post == 0 && self.untold == 0
    }

    const fn newest(&self) -> u64 {
        if self.copy > self.post { self.copy } else { self.post }
    }
}

/// All of it, and what is on its way to the server.
#[derive(Default)]
pub(super) struct Unreads {
    by_place: BTreeMap<Place, Unread>,
    asked: BTreeMap<GroupId, Vec<(DeviceId, u64)>>,
    changed: BTreeSet<Place>,
}

impl Unreads {
    /// Something came.
    fn came(&mut self, place: Place, counter: u64, shown: u64, is_post: bool, at_ms: u64) {
        if self.by_place.len() >= UNREAD_MAX && !self.by_place.contains_key(&place) {
            let first = self.by_place.iter().min_by_key(|(_, unread)| unread.since_ms);
            if let Some(first) = first.map(|(place, _)| *place) {
                self.by_place.remove(&first);
                self.changed.insert(first);
            }
        }
        let new = Unread { since_ms: at_ms, ..Unread::default() };
        let unread = self.by_place.entry(place).or_insert(new);
        if counter > unread.newest() {
            unread.shown = shown;
        }
        let newest = if is_post { &mut unread.post } else { &mut unread.copy };
        *newest = counter.max(*newest);
        self.changed.insert(place);
    }

    /// What is not read in a group, by device.
    fn of(&self, group: GroupId) -> Vec<(DeviceId, Unread)> {
        let is_unread = |unread: &Unread| unread.newest() > 0;
        self.of_group(group).filter(|(_, unread)| is_unread(unread)).collect()
    }

    fn of_group(&self, group: GroupId) -> impl Iterator<Item = (DeviceId, Unread)> {
        let all = (group, DeviceId::new(0, 0))..=(group, DeviceId::new(u64::MAX, u32::MAX));
        self.by_place.range(all).map(|((_, device), unread)| (*device, *unread))
    }

    /// It was read: here, and then the server is to be told or not; or on another device of ours, up to a
    /// counter.
    fn read(&mut self, place: Place, up_to: u64, is_told: bool) {
        let Some(unread) = self.by_place.get_mut(&place) else { return };
        if unread.post <= up_to {
            if is_told {
                unread.untold = unread.untold.max(unread.post);
            }
            unread.post = 0;
        }
        if unread.copy <= up_to {
            unread.copy = 0;
        }
        self.settle(place);
    }

    /// Which groups the server is to be told of next, and of which devices in them.
    fn take_due(&mut self) -> Vec<(GroupId, Vec<(DeviceId, u64)>)> {
        let mut due: BTreeMap<GroupId, Vec<(DeviceId, u64)>> = BTreeMap::new();
        let room = TOLD_AT_ONCE_MAX.saturating_sub(self.asked.len());
        let untold = self.by_place.iter().filter(|(_, unread)| unread.untold > 0);
        for ((group, device), unread) in untold {
            let is_new = !due.contains_key(group);
            if self.asked.contains_key(group) || (is_new && due.len() >= room) {
                continue;
            }
            let marks = due.entry(*group).or_default();
            if marks.len() < GROUP_READ_MARKS_MAX {
                marks.push((*device, unread.untold));
            }
        }
        self.asked.extend(due.clone());
        due.into_iter().collect()
    }

    /// The server knows, or never will. What was read since is told next.
    fn told(&mut self, group: GroupId) {
        for (device, up_to) in self.asked.remove(&group).unwrap_or_default() {
            let place = (group, device);
            if let Some(unread) = self.by_place.get_mut(&place).filter(|u| u.untold <= up_to) {
                unread.untold = 0;
                self.settle(place);
            }
        }
    }

    /// Whether the server is still to be told of something.
    pub(super) fn owe(&self) -> bool {
        self.by_place.values().any(|unread| unread.untold > 0)
    }

    /// Nobody is told any more.
    fn forget_untold(&mut self) {
        let untold = self.by_place.iter().filter(|(_, unread)| unread.untold > 0);
        let untold: Vec<Place> = untold.map(|(place, _)| *place).collect();
        for place in untold {
            if let Some(unread) = self.by_place.get_mut(&place) {
                unread.untold = 0;
            }
            self.settle(place);
        }
    }

    fn settle(&mut self, place: Place) {
        if self.by_place.get(&place).is_some_and(Unread::is_over) {
            self.by_place.remove(&place);
        }
        self.changed.insert(place);
    }

    /// The link is gone, and with it every answer.
    pub(super) fn link_lost(&mut self) {
        self.asked.clear();
    }

    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let table = Table::GroupUnread;
        let write = |place: Place| {
            let key = [place.0.0.as_slice(), &device_key(place.1)].concat();
            Ok(match self.by_place.get(&place) {
                Some(unread) => Write::Put { table, value: vault.seal(table, &key, unread)?, key },
                None => Write::Delete { table, key },
            })
        };
        std::mem::take(&mut self.changed).into_iter().map(write).collect()
    }

    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut unreads = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::GroupUnread) {
            let (group, device) = key.split_first_chunk::<16>().ok_or(RowError::Damaged)?;
            let place = (GroupId(*group), device_of_key(device)?);
            unreads.by_place.insert(place, vault.open(Table::GroupUnread, key, value)?);
        }
        Ok(unreads)
    }
}

/// Something that came and is shown in a group.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Came {
    pub(in crate::core) group: GroupId,
    pub(in crate::core) from: DeviceId,
    /// Under which it travelled when it was sent first.
    pub(in crate::core) counter: u64,
    /// Of its id.
    pub(in crate::core) shown: u64,
    /// The server gave it to all.
    pub(in crate::core) is_post: bool,
    /// When the server stored it, unix milliseconds.
    pub(in crate::core) at_ms: u64,
}

impl Core {
    /// Somebody said something in a group.
    pub(in crate::core) fn is_unread(&mut self, came: Came) {
        let Came { group, from, counter, shown, is_post, at_ms } = came;
        self.groups.unreads.came((group, from), counter, shown, is_post, at_ms);
    }

    /// Marks what others said in a group as read. Its authors are told, unless the user does not want that
    /// or has blocked them; our own other devices are.
    pub(in crate::core) fn read_group(&mut self, id: GroupId, now: Now) {
        let at_ms = self.wall_ms(now);
        self.staged.writes.push(Write::ReadGroup { group: id, at_ms });
        let unread = self.groups.unreads.of(id);
        let mut marks = Vec::new();
        for of_account in unread.chunk_by(|(a, _), (b, _)| a.account == b.account) {
            if !self.outbox.has_room_for_own() {
                break; // the rest is told of when the group is read again
            }
            let Some(account) = of_account.first().map(|(device, _)| device.account) else {
                continue;
            };
            let tells = self.sends_receipts() && !self.is_blocked(account);
            let copies = of_account.iter().filter(|(_, unread)| unread.copy > 0);
            let copies: Vec<ReadMark> =
                copies.map(|(device, unread)| mark(*device, unread.copy, unread)).collect();
            if tells && !copies.is_empty() {
                self.say_read(account, id, &copies, now);
            }
            for (device, unread) in of_account {
                marks.push(mark(*device, unread.newest(), unread));
                self.groups.unreads.read((id, *device), u64::MAX, tells);
            }
        }
        if !marks.is_empty() {
            self.say_read(self.me.device().account, id, &marks, now);
        }
    }

    /// Tells an author, or our own other devices, what was read. What has not gone out yet says the newer.
    fn say_read(&mut self, to: AccountId, group: GroupId, marks: &[ReadMark], now: Now) {
        let mut rest = marks.to_vec();
        if let Some((counter, mut read)) = self.unsealed_group_read(to, group) {
            rest.retain(|mark| !take_in(&mut read, *mark));
            if let Some(message) = self.outbox.get_mut(counter) {
                message.body.0 = Body::group_read(&read);
            }
        }
        for marks in rest.chunks(READ_MARKS_MAX) {
            let body = Body::group_read(&GroupRead { group, marks: marks.to_vec() });
            if self.is_own(to) {
                self.say_to_own(body, self.wall_ms(now));
            } else {
                self.say_to(to, Kind::Quiet, body, now);
            }
        }
    }

    fn unsealed_group_read(&self, to: AccountId, group: GroupId) -> Option<(u64, GroupRead)> {
        let to = Target::Account(to);
        let unsealed = self.outbox.pending().filter(|(_, message)| {
            message.target == to
                && matches!(message.kind, Kind::Quiet | Kind::About)
                && !message.is_sealed()
        });
        let mut reads =
            unsealed.filter_map(|(counter, message)| match Body::decode(&message.body.0).content {
                Content::GroupRead(read) if read.group == group => Some((counter, read)),
                _ => None,
            });
        reads.next()
    }

    /// A member, or another device of ours, says what was read.
    pub(in crate::core) fn on_group_read(&mut self, from: DeviceId, read: &GroupRead, now: Now) {
        if self.is_own(from.account) {
            return self.read_in_group_elsewhere(read, now);
        }
        if !self.sends_receipts() {
            return; // who does not tell is not told
        }
        let at_ms = self.wall_ms(now);
        let own = self.me.device().account;
        for mark in read.marks.iter().filter(|mark| mark.device.account == own) {
            self.copies_read(read.group, from.account, mark.device.number, mark.up_to, at_ms);
        }
    }

    fn read_in_group_elsewhere(&mut self, read: &GroupRead, now: Now) {
        let (group, at_ms) = (read.group, self.wall_ms(now));
        for mark in &read.marks {
            let (from, up_to) = (mark.device, mark.shown);
            self.staged.writes.push(Write::ReadInGroup { group, from, up_to, at_ms });
            self.groups.unreads.read((group, from), mark.up_to, false);
        }
        self.say(Event::ReadElsewhere { with: ChatId::Group(group) });
    }

    /// Tells the server what was read of what it gave to all. After the acknowledgements, and when there is
    /// nothing that is not acknowledged: it counts nobody who does not have a message.
    pub(in crate::core) fn tell_reads(&mut self, now: Now) {
        let is_paused = self.groups.paused_until_ms.is_some_and(|until| now.mono_ms < until);
        let has_all = self.inbox.is_empty() && !self.inbox.skips();
        if !self.link.is_caught_up() || is_paused || !has_all {
            return;
        }
        if !self.sends_receipts() {
            return self.groups.unreads.forget_untold();
        }
        for (group, marks) in self.groups.unreads.take_due() {
            let request = self.next_request(Request::GroupRead(group));
            let mark = |(device, up_to): &(DeviceId, u64)| v1::PostRead {
                account: device.account.0,
                device: device.number.0,
                up_to: *up_to,
            };
            let (marks, group) = (marks.iter().map(mark).collect(), group.0.to_vec().into());
            self.staged.messages.push(ToServer::GroupRead(v1::GroupRead { request, group, marks }));
        }
    }

    /// The server knows.
    pub(in crate::core) fn on_read_taken(&mut self, taken: &v1::GroupReadTaken) {
        if let Some(Request::GroupRead(id)) = self.requests.remove(&taken.request) {
            self.groups.unreads.told(id);
        }
    }

    /// The server does not take it: now, or at all.
    pub(in crate::core) fn on_read_refused(
        &mut self,
        id: GroupId,
        refused: &v1::Refused,
        now: Now,
    ) {
        let may_retry = refusal_of(refused).map_or(refused.retry_after_ms > 0, Refusal::retryable);
        if may_retry {
            self.groups.unreads.asked.remove(&id);
            self.groups.pause(refused.retry_after_ms, now.mono_ms);
        } else {
            self.groups.unreads.told(id);
        }
    }
}

/// A mark up to a counter, one of the two that are not read.
const fn mark(device: DeviceId, up_to: u64, unread: &Unread) -> ReadMark {
    let shown = if up_to == unread.newest() { unread.shown } else { up_to };
    ReadMark { device, up_to, shown }
}

/// Raises or adds a mark, if there is room.
fn take_in(read: &mut GroupRead, mark: ReadMark) -> bool {
    let is_full = read.marks.len() >= READ_MARKS_MAX;
    match read.marks.iter_mut().find(|there| there.device == mark.device) {
        Some(there) if there.up_to < mark.up_to => *there = mark,
        Some(_) => {}
        None if is_full => return false,
        None => read.marks.push(mark),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::output::rows_put;

    const GROUP: GroupId = GroupId([1; 16]);

    fn device(number: u32) -> DeviceId {
        DeviceId::new(7, number)
    }

    fn n(count: usize) -> u32 {
        u32::try_from(count).unwrap()
    }

    fn place(number: u32) -> Place {
        (GROUP, device(number))
    }

    /// The untold marks that go out next, by device.
    fn due(unreads: &mut Unreads) -> Vec<(u32, u64)> {
        let due = unreads.take_due().into_iter().flat_map(|(_, marks)| marks);
        due.map(|(device, up_to)| (device.number.0, up_to)).collect()
    }

    #[test]
    fn what_is_read_is_told_once_and_what_is_read_meanwhile_next() {
        let mut unreads = Unreads::default();
        unreads.came(place(1), 3, 3, true, 0);
        unreads.came(place(1), 5, 4, true, 0);
        assert_eq!(unreads.of(GROUP)[0].1.newest(), 5);
        assert_eq!(mark(device(1), 5, &unreads.of(GROUP)[0].1).shown, 4);
        assert!(due(&mut unreads).is_empty() && !unreads.owe(), "nobody has read it");
        unreads.read(place(1), u64::MAX, true);
        assert!(unreads.of(GROUP).is_empty());
        assert_eq!(due(&mut unreads), [(1, 5)]);
        assert!(due(&mut unreads).is_empty() && unreads.owe(), "it is on its way");
        unreads.came(place(1), 6, 6, true, 0);
        unreads.read(place(1), u64::MAX, true);
        unreads.told(GROUP);
        assert_eq!(due(&mut unreads), [(1, 6)], "raised, not queued");
        unreads.link_lost();
        assert_eq!(due(&mut unreads), [(1, 6)], "again on the next link");
        unreads.told(GROUP);
        assert!(unreads.by_place.is_empty() && due(&mut unreads).is_empty());
        assert!(!unreads.owe());
    }

    #[test]
    fn another_device_read_up_to_a_counter_and_the_rest_is_unread() {
        let mut unreads = Unreads::default();
        unreads.came(place(1), 3, 3, true, 0);
        unreads.came(place(1), 5, 5, false, 0);
        unreads.read(place(1), 4, false);
        let (_, left) = unreads.of(GROUP)[0];
        assert_eq!((left.copy, left.post, left.untold), (5, 0, 0));
        unreads.read(place(1), 5, false);
        assert!(unreads.by_place.is_empty());
    }

    #[test]
    fn both_sides_of_the_bounds() {
        let mut unreads = Unreads::default();
        for number in 1..=n(UNREAD_MAX) {
            unreads.came(place(number), 1, 1, true, u64::from(number));
        }
        assert_eq!(unreads.of(GROUP).len(), UNREAD_MAX);
        unreads.came(place(1), 2, 2, true, 9);
        assert_eq!(unreads.of(GROUP)[0].1.newest(), 2, "one that is there stays");
        unreads.came(place(n(UNREAD_MAX) + 1), 1, 1, true, u64::MAX);
        assert_eq!(unreads.of(GROUP).len(), UNREAD_MAX);
        assert_eq!(unreads.of(GROUP)[0].0, device(2), "the first has made room");

        let mut unreads = Unreads::default();
        for number in 1..=n(GROUP_READ_MARKS_MAX) + 1 {
            unreads.came(place(number), 1, 1, true, 0);
            unreads.read(place(number), u64::MAX, true);
        }
        assert_eq!(due(&mut unreads).len(), GROUP_READ_MARKS_MAX);
        assert!(due(&mut unreads).is_empty(), "one question a group");
        unreads.told(GROUP);
        assert_eq!(due(&mut unreads).len(), 1);

        let mut unreads = Unreads::default();
        for group in 0..=n(TOLD_AT_ONCE_MAX) {
            let place = (GroupId([group.to_be_bytes()[3]; 16]), device(1));
            unreads.came(place, 1, 1, true, 0);
            unreads.read(place, u64::MAX, true);
        }
        assert_eq!(unreads.take_due().len(), TOLD_AT_ONCE_MAX);
        assert!(unreads.take_due().is_empty());
        unreads.told(GROUP);
        assert_eq!(unreads.take_due().len(), 1);
    }

    #[test]
    fn a_message_that_waits_takes_so_many_marks() {
        let mark = |number| ReadMark { device: device(number), up_to: 1, shown: 1 };
        let mut read = GroupRead { group: GROUP, marks: Vec::new() };
        assert!((1..=n(READ_MARKS_MAX)).all(|number| take_in(&mut read, mark(number))));
        assert!(!take_in(&mut read, mark(0)));
        assert!(
            take_in(&mut read, ReadMark { up_to: 2, ..mark(9) }),
            "one that is there is raised"
        );
        assert!(take_in(&mut read, mark(9)));
        assert_eq!((read.marks.len(), read.marks[8].up_to), (READ_MARKS_MAX, 2));
    }

    #[test]
    fn a_restart_finds_what_was_there() {
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let mut unreads = Unreads::default();
        unreads.came(place(1), 3, 3, true, 4);
        unreads.came(place(2), 4, 4, false, 4);
        unreads.read(place(1), u64::MAX, true);
        let rows = rows_put(unreads.changes(&vault).unwrap());
        let mut restored = Unreads::restore(&vault, &rows).unwrap();
        assert_eq!(restored.by_place, unreads.by_place);
        assert_eq!(due(&mut restored), [(1, 3)]);
        restored.forget_untold();
        let writes = restored.changes(&vault).unwrap();
        assert!(matches!(writes[..], [Write::Delete { .. }]), "{writes:?}");
    }
}
