//! All windows, and how their changes reach the disk cheaply.
//!
//! Writing a window where it belongs dirties one random page a message as soon as there are many
//! senders. So a batch appends what it accepted to the journal, one row at the table's right edge,
//! and the windows follow later, a slice a batch, in key order, so that neighbours share a page. When
//! a round over all windows is complete, the journal up to its beginning is dropped. At start the
//! windows are read and the journal is applied to them.

use std::collections::BTreeMap;
use std::ops::Bound;

use godwit_base::{DeviceId, Seq};

use super::window::{Verdict, Window};

/// Accepted counters in the journal at which a round begins: 65,536 x 20 B = 1.3 MB to read at start.
pub(crate) const ROUND_ENTRIES: u64 = 65_536;

/// Changed windows written in one batch, at least; with twice what the batch accepted a round ends
/// before the journal has grown by half.
const SLICE_MIN: usize = 512;

/// Windows looked at in one batch, changed or not: 16,384 x about 5 ns = 80 us.
const SLICE_LOOKS: usize = 16_384;

/// Journal rows dropped in one batch: about 100 us.
pub(crate) const TRIM_ROWS: usize = 256;

/// The windows of all sending devices. RAM: about 64 B each.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    map: BTreeMap<DeviceId, Slot>,
    /// Accepted counters in the journal.
    entries: u64,
    phase: Phase,
}

#[derive(Debug, Default)]
struct Slot {
    window: Window,
    /// Changed since it was last written to its own place.
    dirty: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    /// The journal is short.
    #[default]
    Rest,
    /// Windows are being written, in key order; those up to `done` are.
    Round { done: Option<DeviceId>, mark: Seq, entries: u64 },
    /// Journal rows up to `mark` are being dropped; they hold `entries`.
    Trim { mark: Seq, entries: u64 },
}

impl Windows {
    pub(crate) fn verdict(&self, origin: DeviceId, counter: u64) -> Verdict {
        self.map.get(&origin).map_or(Verdict::New, |slot| slot.window.verdict(counter))
    }

    /// Remembers what the present batch accepted and will journal.
    pub(crate) fn accept(&mut self, origin: DeviceId, counter: u64) {
        let slot = self.map.entry(origin).or_default();
        slot.window.accept(counter);
        slot.dirty = true;
        self.entries += 1;
    }

    /// A window as read from its own place.
    pub(crate) fn load(&mut self, device: DeviceId, window: Window) {
        self.map.insert(device, Slot { window, dirty: false });
    }

    /// The highest counter of each device.
    pub(crate) fn highest(&self) -> impl Iterator<Item = (DeviceId, u64)> + use<'_> {
        self.map.iter().map(|(device, slot)| (*device, slot.window.highest()))
    }

    /// A removed device sends no more.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.map.remove(&device);
    }

    /// Windows to write in the batch that accepted `accepted` messages; `last` is the last sequence
    /// used before it. They count as written: a batch that fails ends in a reload.
    pub(crate) fn slice(&mut self, accepted: usize, last: Seq) -> Vec<(DeviceId, Window)> {
        if let Phase::Rest = self.phase
            && self.entries >= ROUND_ENTRIES
        {
            self.phase = Phase::Round { done: None, mark: last, entries: self.entries };
        }
        let Phase::Round { done, mark, entries } = self.phase else { return Vec::new() };
        let from = done.map_or(Bound::Unbounded, Bound::Excluded);
        let most = SLICE_MIN.max(accepted * 2);
        let (mut slice, mut seen) = (Vec::with_capacity(most), None);
        let mut left = self.map.range_mut((from, Bound::Unbounded));
        let mut looks = SLICE_LOOKS;
        self.phase = loop {
            if slice.len() == most || looks == 0 {
                break Phase::Round { done: seen.or(done), mark, entries };
            }
            let Some((device, slot)) = left.next() else {
                break Phase::Trim { mark, entries };
            };
            if std::mem::take(&mut slot.dirty) {
                slice.push((*device, slot.window));
            }
            seen = Some(*device);
            looks -= 1;
        };
        slice
    }

    /// Up to where the journal may be dropped, if it may.
    pub(crate) fn trim_up_to(&self) -> Option<Seq> {
        match self.phase {
            Phase::Trim { mark, .. } => Some(mark),
            Phase::Rest | Phase::Round { .. } => None,
        }
    }

    /// The journal has no rows up to the mark any more.
    pub(crate) fn trimmed(&mut self) {
        if let Phase::Trim { entries, .. } = self.phase {
            self.entries = self.entries.saturating_sub(entries);
            self.phase = Phase::Rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(n: u64) -> DeviceId {
        DeviceId::new(n, 1)
    }

    /// Accepts one message from each of `senders` devices, `ROUND_ENTRIES` in all, less `short`.
    fn journalled(senders: u64, short: u64) -> Windows {
        let mut windows = Windows::default();
        for n in 0..ROUND_ENTRIES - short {
            windows.accept(sender(n % senders), 1 + n / senders);
        }
        windows
    }

    #[test]
    fn a_round_begins_at_its_mark_and_not_one_before() {
        assert!(journalled(100, 1).slice(1, Seq(9)).is_empty());
        assert_eq!(journalled(100, 0).slice(1, Seq(9)).len(), 100);
    }

    #[test]
    fn a_round_writes_each_changed_window_once_and_then_trims_to_its_beginning() {
        let mut windows = journalled(2_000, 0);
        let mut written = Vec::new();
        while windows.trim_up_to().is_none() {
            let slice = windows.slice(1, Seq(7));
            assert!(slice.len() <= SLICE_MIN);
            written.extend(slice);
            // Already written in this round: journalled after its beginning, so the next one's.
            windows.accept(sender(0), 100);
        }
        assert_eq!(written.len(), 2_000);
        assert!(written.is_sorted_by_key(|(device, _)| *device));
        assert_eq!(windows.trim_up_to(), Some(Seq(7)));
        let since = windows.entries - ROUND_ENTRIES;
        windows.trimmed();
        assert_eq!(windows.entries, since);
        assert!(windows.map[&sender(0)].dirty);
    }

    #[test]
    fn a_slice_keeps_pace_with_a_large_batch() {
        assert_eq!(journalled(ROUND_ENTRIES, 0).slice(2_048, Seq(7)).len(), 4_096);
    }
}
