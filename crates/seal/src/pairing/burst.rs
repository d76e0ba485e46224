//! How much was sent on a session that the peer may not have yet.

use serde::{Deserialize, Serialize};

/// Most messages sealed on a session and not acknowledged; then a new session is due. The library
/// opens no message after a gap of 2,000 in its chain: half of that.
pub const BURST_MAX: u32 = 1_000;

/// A mark every so many messages: what is acknowledged is known to within that, at 10 marks.
const MARK_EVERY: u32 = 100;

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Burst {
    sealed: u32,
    acknowledged: u32,
    last_counter: u64,
    marks: Vec<Mark>,
}

/// The message with `counter` was number `sealed` of the burst.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Mark {
    counter: u64,
    sealed: u32,
}

impl Burst {
    pub(super) fn add(&mut self, counter: u64) {
        self.sealed = self.sealed.saturating_add(1);
        self.last_counter = counter;
        if self.sealed.is_multiple_of(MARK_EVERY) {
            self.marks.push(Mark { counter, sealed: self.sealed });
        }
    }

    pub(super) fn delivered(&mut self, up_to: u64) {
        if up_to >= self.last_counter {
            self.restart();
            return;
        }
        self.marks.retain(|mark| {
            let is_delivered = mark.counter <= up_to;
            if is_delivered {
                self.acknowledged = self.acknowledged.max(mark.sealed);
            }
            !is_delivered
        });
    }

    /// The peer answered: our next message starts a new chain.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_full(&self) -> bool {
        self.sealed.saturating_sub(self.acknowledged) >= BURST_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst_of(messages: u32) -> Burst {
        let mut burst = Burst::default();
        // Every third counter: the others went to other people.
        (0..messages).for_each(|n| burst.add(u64::from(n) * 3));
        burst
    }

    #[test]
    fn a_burst_is_full_at_its_bound() {
        assert!(!burst_of(BURST_MAX - 1).is_full());
        assert!(burst_of(BURST_MAX).is_full());
    }

    #[test]
    fn marks_are_bounded_and_acknowledged_in_order() {
        let mut burst = burst_of(BURST_MAX);
        assert_eq!(burst.marks.len(), 10);
        burst.delivered(296);
        assert!(burst.is_full(), "message 100 has counter 297");
        burst.delivered(297);
        assert!(!burst.is_full());
        assert_eq!(burst.marks.len(), 9);
        (0..99).for_each(|n| burst.add(3_000 + n));
        assert!(!burst.is_full());
        burst.add(3_099);
        assert!(burst.is_full());
        burst.delivered(10);
        assert!(burst.is_full(), "an old acknowledgement again changes nothing");
    }

    #[test]
    fn acknowledging_the_last_message_empties_it() {
        let mut burst = burst_of(BURST_MAX);
        burst.delivered((u64::from(BURST_MAX) - 1) * 3);
        assert_eq!((burst.sealed, burst.marks.len()), (0, 0));
    }
}
