//! Which counters of a sending device were accepted: the highest and the 127 below it.

use godwit_base::limits::DEDUP_WINDOW;

/// The de-duplication window of one sending device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Window {
    highest: u64,
    /// Bit `i`: counter `highest - i` was accepted. Two halves, because a `u128` would align every
    /// window to 16 bytes and make a map of millions a quarter larger.
    bits: [u64; 2],
}

/// What a window says of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Never accepted.
    New,
    /// Accepted before.
    Repeat,
    /// Below the window: nobody can tell.
    TooOld,
}

impl Window {
    pub(crate) fn new(highest: u64, bits: u128) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the halves of the bits")]
        Self { highest, bits: [(bits >> 64) as u64, bits as u64] }
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    pub(crate) fn bits(&self) -> u128 {
        u128::from(self.bits[0]) << 64 | u128::from(self.bits[1])
    }

    /// What is known of `counter`.
    pub(crate) fn verdict(&self, counter: u64) -> Verdict {
        match self.highest.checked_sub(counter) {
            None => Verdict::New,
            Some(below) if below >= DEDUP_WINDOW => Verdict::TooOld,
            Some(below) if self.bits() >> below & 1 == 1 => Verdict::Repeat,
            Some(_) => Verdict::New,
        }
    }

    /// Remembers `counter`. Harmless to repeat; one below the window changes nothing.
    pub(crate) fn accept(&mut self, counter: u64) {
        let (highest, bits) = match counter.checked_sub(self.highest) {
            Some(above) if above >= DEDUP_WINDOW => (counter, 1),
            Some(above) => (counter, self.bits() << above | 1),
            None if self.highest - counter >= DEDUP_WINDOW => return,
            None => (self.highest, self.bits() | 1 << (self.highest - counter)),
        };
        *self = Self::new(highest, bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_window_has_two_sides() {
        let mut window = Window::default();
        window.accept(1_000);
        assert_eq!(window.verdict(1_000), Verdict::Repeat);
        assert_eq!(window.verdict(1_001), Verdict::New);
        assert_eq!(window.verdict(1_000 - (DEDUP_WINDOW - 1)), Verdict::New);
        assert_eq!(window.verdict(1_000 - DEDUP_WINDOW), Verdict::TooOld);
    }

    #[test]
    fn a_leap_by_the_window_forgets_and_by_one_less_does_not() {
        let mut window = Window::default();
        window.accept(1);
        window.accept(DEDUP_WINDOW);
        assert_eq!(window.verdict(1), Verdict::Repeat);
        window.accept(DEDUP_WINDOW + 1);
        assert_eq!(window.verdict(1), Verdict::TooOld);
        window.accept(u64::MAX);
        assert_eq!(window.verdict(u64::MAX), Verdict::Repeat);
        assert_eq!(window.verdict(DEDUP_WINDOW), Verdict::TooOld);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(counters in prop::collection::vec(1u64..400, 1..200)) {
            let (mut window, mut accepted) = (Window::default(), BTreeSet::new());
            for counter in counters {
                let highest = accepted.last().copied().unwrap_or(0);
                let expected = if highest >= counter + DEDUP_WINDOW {
                    Verdict::TooOld
                } else if accepted.contains(&counter) {
                    Verdict::Repeat
                } else {
                    Verdict::New
                };
                prop_assert_eq!(window.verdict(counter), expected);
                if expected == Verdict::New {
                    window.accept(counter);
                    accepted.insert(counter);
                }
                let kept = Window::new(window.highest(), window.bits());
                prop_assert_eq!(kept, window);
            }
        }
    }
}
