//! What waits in which mailbox, in RAM: the order of each mailbox over a table that is in global
//! order, and the tallies behind the quotas. Rebuilt by one scan at start.
//!
//! RAM: 8 B a record and up to a quarter more for growth, 16 B a sender in a mailbox, and about 150 B a mailbox
//! that is not empty: less than 38 B a record where ten lie in each mailbox. A test counts them.

use std::collections::{HashMap, VecDeque};

use godwit_base::{AccountId, DeviceId, Seq};

use super::row::Mark;
use super::waiting::Turned;
use crate::Quotas;

/// All mailboxes that hold something.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Boxed: more than half of a table that has just doubled is empty, and an empty place is as wide as a
    /// full one. 25 B are, with the byte of the table's own; 105 B would be.
    mailboxes: HashMap<DeviceId, Box<Mailbox>>,
    /// Mailboxes that this batch filled or emptied.
    turned: Vec<Turned>,
    records: u64,
    bytes: u64,
}

/// What a record weighs in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// A message: it counts against the quotas, and against its sender's share. One whose body is shared
    /// counts like any other: the device has to fetch it all the same.
    Message { from: AccountId, body_bytes: usize },
    /// Something of which there is one.
    Mark(Mark),
}

#[derive(Debug, Default)]
struct Mailbox {
    /// Places of the records, ascending.
    order: VecDeque<Seq>,
    messages: Tally,
    /// What each sending account has here, by account.
    senders: Vec<(AccountId, Tally)>,
    /// Where the record of each mark is, by mark.
    marks: Vec<(Mark, Seq)>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    records: u32,
    bytes: u32,
}

impl Tally {
    const fn of(body_bytes: usize) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "a body is at most 56 KiB")]
        Self { records: 1, bytes: body_bytes as u32 }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Index {
    /// Records in all mailboxes.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of their bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Mailboxes that are not empty.
    pub(crate) fn mailboxes(&self) -> usize {
        self.mailboxes.len()
    }

    /// Whether one more message of `sender` may be queued for `device`.
    ///
    /// A sending account may have at most as much in a mailbox as is still free in it. A lone sender
    /// thus fills half of it, the next a quarter; whoever floods leaves room for those who do not.
    pub(crate) fn has_room(
        &self,
        device: DeviceId,
        sender: AccountId,
        body_bytes: usize,
        quotas: &Quotas,
    ) -> bool {
        let Some(mailbox) = self.mailboxes.get(&device) else {
            return quotas.records > 0 && body_bytes as u64 <= quotas.bytes;
        };
        let held = mailbox.held_by(sender);
        let free_records = quotas.records.saturating_sub(mailbox.messages.records as usize);
        let free_bytes = quotas.bytes.saturating_sub(u64::from(mailbox.messages.bytes));
        (held.records as usize) < free_records
            && u64::from(held.bytes) + body_bytes as u64 <= free_bytes
    }

    /// Records with a mark that wait for `device`: receipts, and news of groups.
    pub(crate) fn marks(&self, device: DeviceId) -> usize {
        self.mailboxes.get(&device).map_or(0, |mailbox| mailbox.marks.len())
    }

    /// Where the waiting record of `mark` is, if there is one.
    pub(crate) fn mark(&self, device: DeviceId, mark: Mark) -> Option<Seq> {
        let marks = &self.mailboxes.get(&device)?.marks;
        let at = marks.binary_search_by_key(&mark, |(mark, _)| *mark).ok()?;
        marks.get(at).map(|(_, seq)| *seq)
    }

    /// Adds a record; its place is after all that are there.
    pub(crate) fn push(&mut self, seq: Seq, owner: DeviceId, load: Load) {
        let turned = &mut self.turned;
        let mailbox = self.mailboxes.entry(owner).or_insert_with(|| {
            turned.push(Turned { device: owner, holds_something: true });
            // Most mailboxes hold one record for a moment: no room for four.
            Box::new(Mailbox { order: VecDeque::with_capacity(1), ..Mailbox::default() })
        });
        if mailbox.order.len() == mailbox.order.capacity() {
            mailbox.order.reserve_exact(more_room(mailbox.order.len()));
        }
        mailbox.order.push_back(seq);
        self.records += 1;
        match load {
            Load::Message { from, body_bytes } => {
                mailbox.add(from, Tally::of(body_bytes));
                self.bytes += body_bytes as u64;
            }
            Load::Mark(mark) => mailbox.set_mark(mark, seq),
        }
    }

    /// Takes a record out, wherever in its mailbox it is.
    pub(crate) fn remove(&mut self, seq: Seq, owner: DeviceId, load: Load) {
        let Some(mailbox) = self.mailboxes.get_mut(&owner) else { return };
        let Ok(at) = mailbox.order.binary_search(&seq) else { return };
        mailbox.order.remove(at);
        self.records -= 1;
        match load {
            Load::Message { from, body_bytes } => {
                mailbox.take(from, Tally::of(body_bytes));
                self.bytes -= body_bytes as u64;
            }
            Load::Mark(mark) => mailbox.forget_mark(mark, seq),
        }
        if mailbox.order.is_empty() {
            self.mailboxes.remove(&owner);
            self.turned.push(Turned { device: owner, holds_something: false });
        }
    }

    /// The oldest record of a mailbox, if it is not after `up_to`.
    pub(crate) fn oldest(&self, device: DeviceId, up_to: Seq) -> Option<Seq> {
        self.mailboxes.get(&device)?.order.front().copied().filter(|seq| *seq <= up_to)
    }

    /// At most `max` places after `after`, and whether there are more.
    pub(crate) fn after(&self, device: DeviceId, after: Seq, max: usize) -> (Vec<Seq>, bool) {
        let Some(mailbox) = self.mailboxes.get(&device) else { return (Vec::new(), false) };
        let start = mailbox.order.partition_point(|seq| *seq <= after);
        let left = mailbox.order.len() - start;
        (mailbox.order.range(start..).take(max).copied().collect(), left > max)
    }

    /// The mailboxes that were filled or emptied since this was last asked, in order.
    pub(crate) fn take_turned(&mut self) -> std::vec::Drain<'_, Turned> {
        self.turned.drain(..)
    }

    /// The same for nobody: whoever asks is told of all mailboxes. After a start that is one for each.
    pub(crate) fn forget_turned(&mut self) {
        self.turned = Vec::new();
    }

    /// Whose mailboxes hold something.
    pub(crate) fn owners(&self) -> impl Iterator<Item = DeviceId> {
        self.mailboxes.keys().copied()
    }

    /// Forgets a mailbox; its records are still in the table and are given back, in order.
    pub(crate) fn forget(&mut self, device: DeviceId) -> VecDeque<Seq> {
        let Some(mailbox) = self.mailboxes.remove(&device) else { return VecDeque::new() };
        self.turned.push(Turned { device, holds_something: false });
        self.records -= mailbox.order.len() as u64;
        self.bytes -= u64::from(mailbox.messages.bytes);
        mailbox.order
    }
}

/// How many more places a list of `len` gets when it is full: a fifth of it lies empty at most, where
/// doubling leaves a half. Millions of them stand here.
const fn more_room(len: usize) -> usize {
    1 + len / 4
}

impl Mailbox {
    fn held_by(&self, sender: AccountId) -> Tally {
        let at = self.senders.binary_search_by_key(&sender, |(account, _)| *account);
        at.ok().and_then(|at| self.senders.get(at)).map_or(Tally::default(), |(_, tally)| *tally)
    }

    fn add(&mut self, sender: AccountId, tally: Tally) {
        self.messages = self.messages.plus(tally);
        match self.senders.binary_search_by_key(&sender, |(account, _)| *account) {
            Ok(at) => self.senders[at].1 = self.senders[at].1.plus(tally),
            Err(at) => {
                if self.senders.len() == self.senders.capacity() {
                    self.senders.reserve_exact(more_room(self.senders.len()));
                }
                self.senders.insert(at, (sender, tally));
            }
        }
    }

    fn take(&mut self, sender: AccountId, tally: Tally) {
        self.messages = self.messages.minus(tally);
        if let Ok(at) = self.senders.binary_search_by_key(&sender, |(account, _)| *account) {
            self.senders[at].1 = self.senders[at].1.minus(tally);
            if self.senders[at].1.records == 0 {
                self.senders.remove(at);
            }
        }
    }

    fn set_mark(&mut self, mark: Mark, seq: Seq) {
        match self.marks.binary_search_by_key(&mark, |(mark, _)| *mark) {
            Ok(at) => self.marks[at].1 = seq,
            Err(at) => self.marks.insert(at, (mark, seq)),
        }
    }

    fn forget_mark(&mut self, mark: Mark, seq: Seq) {
        if let Ok(at) = self.marks.binary_search_by_key(&mark, |(mark, _)| *mark)
            && self.marks[at].1 == seq
        {
            self.marks.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_base::DeviceNumber;

    const BOB: DeviceId = DeviceId::new(2, 1);

    /// Bytes a record where ten lie in each mailbox, of eight senders. The goal is 40; 2 are left for the
    /// cache of pages, which is 1.7 B for each of ten million.
    const RECORD_BYTES_MAX: usize = 38;

    fn message(account: u64, body_bytes: usize) -> Load {
        Load::Message { from: AccountId(account), body_bytes }
    }

    fn quotas(records: usize, bytes: u64) -> Quotas {
        Quotas { records, bytes, ..Quotas::default() }
    }

    /// Bytes that the index has from the allocator, but for what tells of turned mailboxes.
    fn allocated(index: &Index) -> usize {
        // A table is a power of two wide, and seven eighths of it may be full.
        let places = (index.mailboxes.capacity() * 8 / 7).next_power_of_two();
        let table = places * (size_of::<(DeviceId, Box<Mailbox>)>() + 1);
        let lists = index.mailboxes.values().map(|mailbox| {
            size_of::<Mailbox>()
                + mailbox.order.capacity() * size_of::<Seq>()
                + mailbox.senders.capacity() * size_of::<(AccountId, Tally)>()
                + mailbox.marks.capacity() * size_of::<(Mark, Seq)>()
        });
        table + lists.sum::<usize>()
    }

    #[test]
    fn a_record_among_ten_takes_its_bytes_at_most() {
        // One mailbox more than fits: the table has just doubled, which is when it is emptiest.
        let mailboxes = 8_192 * 7 / 8 + 1;
        let mut index = Index::default();
        for record in 0..10 {
            for number in 0..mailboxes {
                let device = DeviceId::new(number, 1);
                let seq = Seq(record * mailboxes + number);
                index.push(seq, device, message(record % 8, 200));
            }
        }
        assert!(index.mailboxes.capacity() as u64 > mailboxes * 15 / 8, "it has just doubled");
        let bytes = allocated(&index);
        let records = usize::try_from(index.records()).unwrap();
        assert!(bytes <= records * RECORD_BYTES_MAX, "{bytes} for {records}");
    }

    #[test]
    fn an_empty_place_in_the_table_is_narrow() {
        assert_eq!(size_of::<(DeviceId, Box<Mailbox>)>(), 24);
        assert_eq!(size_of::<Mailbox>(), 88);
        assert_eq!(size_of::<(AccountId, Tally)>(), 16);
    }

    /// Pushes messages of `sender` until there is no room.
    fn fill(index: &mut Index, seq: &mut u64, sender: u64, bytes: usize, quotas: &Quotas) -> usize {
        let mut pushed = 0;
        while index.has_room(BOB, AccountId(sender), bytes, quotas) {
            *seq += 1;
            index.push(Seq(*seq), BOB, message(sender, bytes));
            pushed += 1;
        }
        pushed
    }

    #[test]
    fn a_list_has_a_quarter_more_places_than_it_needs_at_most() {
        let mut index = Index::default();
        for seq in 1..=1_000 {
            index.push(Seq(seq), BOB, message(seq, 5));
            let mailbox = &index.mailboxes[&BOB];
            let most = usize::try_from(seq + seq / 4).unwrap();
            let places = mailbox.order.capacity().max(mailbox.senders.capacity());
            assert!(places <= most.max(2), "{places} places for {seq}");
        }
    }

    #[test]
    fn a_sender_has_at_most_what_is_left_free() {
        let (mut index, mut seq) = (Index::default(), 0);
        let quotas = quotas(8, u64::MAX);
        let filled: Vec<usize> =
            (1..=5).map(|sender| fill(&mut index, &mut seq, sender, 1, &quotas)).collect();
        assert_eq!(filled, [4, 2, 1, 1, 0], "half, a quarter, the rest, and full");
    }

    #[test]
    fn bytes_are_shared_by_the_same_rule() {
        let (mut index, mut seq) = (Index::default(), 0);
        let quotas = quotas(1_000, 80);
        let filled: Vec<usize> =
            (1..=4).map(|sender| fill(&mut index, &mut seq, sender, 10, &quotas)).collect();
        assert_eq!(filled, [4, 2, 1, 1]);
        assert_eq!(index.bytes(), 80);
        assert!(!index.has_room(BOB, AccountId(9), 1, &quotas));
        assert!(index.has_room(BOB, AccountId(9), 0, &quotas));
    }

    #[test]
    fn a_quota_of_one_holds_one() {
        let (mut index, mut seq) = (Index::default(), 0);
        assert_eq!(fill(&mut index, &mut seq, 1, 10, &quotas(1, 10)), 1);
        assert!(!Index::default().has_room(BOB, AccountId(1), 11, &quotas(1, 10)));
        assert!(!Index::default().has_room(BOB, AccountId(1), 0, &quotas(0, 10)));
    }

    #[test]
    fn what_goes_in_and_out_leaves_nothing() {
        let mut index = Index::default();
        let mark = Mark::Receipt { by: DeviceId::new(3, 1), origin: DeviceNumber(1) };
        index.push(Seq(1), BOB, message(1, 5));
        index.push(Seq(2), BOB, Load::Mark(mark));
        index.push(Seq(3), BOB, message(9, 5));
        assert_eq!(index.mark(BOB, mark), Some(Seq(2)));
        assert_eq!(index.after(BOB, Seq(1), 1), (vec![Seq(2)], true));
        assert_eq!(index.after(BOB, Seq(2), 1), (vec![Seq(3)], false));
        index.remove(Seq(2), BOB, Load::Mark(mark));
        assert_eq!(index.mark(BOB, mark), None);
        assert_eq!(index.oldest(BOB, Seq(0)), None);
        assert_eq!(index.oldest(BOB, Seq(9)), Some(Seq(1)));
        index.remove(Seq(1), BOB, message(1, 5));
        index.remove(Seq(3), BOB, message(9, 5));
        index.remove(Seq(3), BOB, message(9, 5));
        assert_eq!((index.records(), index.bytes(), index.mailboxes()), (0, 0, 0));
        let turned = |holds_something| Turned { device: BOB, holds_something };
        assert_eq!(index.take_turned().collect::<Vec<_>>(), [turned(true), turned(false)]);
        index.push(Seq(4), BOB, message(1, 5));
        assert_eq!(index.owners().collect::<Vec<_>>(), [BOB]);
        index.forget(BOB);
        assert_eq!(index.take_turned().collect::<Vec<_>>(), [turned(true), turned(false)]);
        index.push(Seq(5), BOB, message(1, 5));
        index.forget_turned();
        assert_eq!((index.take_turned().count(), index.turned.capacity()), (0, 0));
    }
}
