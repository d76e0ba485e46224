//! Which messages of one sending device were already taken: the receiver's side of "exactly once".

use godwit_base::limits::DEDUP_WINDOW;
use serde::{Deserialize, Serialize};

/// The highest counter taken and the [`DEDUP_WINDOW`] counters up to it, one bit each.
///
/// A sender never has a message in flight that is a whole window below its newest one, so what
/// lies below the window was taken before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    highest: u64,
    /// Bit i stands for `highest - i`. Two halves: not every store format knows 128-bit numbers.
    high: u64,
    low: u64,
}

const _: () = assert!(DEDUP_WINDOW == 128, "the bits are two words");

impl Window {
    /// Whether this counter was taken.
    pub(crate) fn has(&self, counter: u64) -> bool {
        match self.highest.checked_sub(counter) {
            None => false,
            Some(below) if below >= DEDUP_WINDOW => true,
            Some(below) => self.bits() >> below & 1 == 1,
        }
    }

    /// Takes a counter.
    pub(crate) fn take(&mut self, counter: u64) {
        let bits = match counter.checked_sub(self.highest) {
            Some(above) => self.shifted(above) | 1,
            None => {
                let below = self.highest.saturating_sub(counter);
                if below >= DEDUP_WINDOW {
                    return;
                }
                self.bits() | 1 << below
            }
        };
        self.highest = self.highest.max(counter);
        self.high = (bits >> 64) as u64;
        #[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        let low = bits as u64;
        self.low = low;
    }

    fn bits(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    fn shifted(&self, by: u64) -> u128 {
        u32::try_from(by).ok().and_then(|by| self.bits().checked_shl(by)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_edges() {
        let mut window = Window::default();
        assert!(!window.has(1));
        window.take(200);
        assert!(window.has(200));
        assert!(!window.has(201));
        assert!(!window.has(200 - (DEDUP_WINDOW - 1)));
        assert!(window.has(200 - DEDUP_WINDOW), "below the window counts as taken");
        window.take(u64::MAX);
        assert!(window.has(u64::MAX) && !window.has(u64::MAX - 1) && window.has(200));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(steps in prop::collection::vec(1_u64..400, 0..200)) {
            let mut window = Window::default();
            let mut taken = std::collections::BTreeSet::new();
            for counter in steps {
                let highest = taken.last().copied().unwrap_or(0);
                let expected = taken.contains(&counter) || counter + DEDUP_WINDOW <= highest;
                prop_assert_eq!(window.has(counter), expected);
                window.take(counter);
                if !expected {
                    taken.insert(counter);
                }
            }
        }
    }
}
