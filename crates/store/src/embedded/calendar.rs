//! Whether the clock may be believed when records are to expire.
//!
//! A clock that is wrong by a year would drop every record at once. So a leap forward of more than a
//! day is believed only after the clock has gone on from there for a day; until then nothing expires,
//! which costs a store that was switched off for a while one day more of old records.

/// One day, milliseconds: the leap that is not believed at once, and how long it is doubted.
pub(crate) const LEAP_MS: u64 = 24 * 60 * 60 * 1_000;

/// What the sweeps saw of the clock.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calendar {
    /// The newest reading that was believed, unix milliseconds; 0 before the first.
    seen_ms: u64,
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt {
    first_ms: u64,
    latest_ms: u64,
}

impl Calendar {
    /// As it was when `seen_ms` was the newest reading believed.
    pub(crate) fn seen(seen_ms: u64) -> Self {
        Self { seen_ms, doubt: None }
    }

    /// The newest reading believed.
    pub(crate) fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// Whether the clock's reading is to be believed.
    pub(crate) fn believes(&mut self, now_ms: u64) -> bool {
        let leapt = self.seen_ms > 0 && now_ms > self.seen_ms.saturating_add(LEAP_MS);
        self.doubt = match self.doubt {
            _ if !leapt => None,
            Some(doubt) if doubt.is_steady(now_ms) => {
                let doubt = Doubt { latest_ms: now_ms.max(doubt.latest_ms), ..doubt };
                (doubt.latest_ms - doubt.first_ms < LEAP_MS).then_some(doubt)
            }
            _ => Some(Doubt { first_ms: now_ms, latest_ms: now_ms }),
        };
        if self.doubt.is_none() {
            self.seen_ms = self.seen_ms.max(now_ms);
        }
        self.doubt.is_none()
    }
}

impl Doubt {
    /// The clock went on from where it leapt to, without leaping again.
    fn is_steady(&self, now_ms: u64) -> bool {
        now_ms >= self.first_ms && now_ms <= self.latest_ms.saturating_add(LEAP_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const YEAR: u64 = 365 * LEAP_MS;

    #[test]
    fn a_day_is_believed_and_a_millisecond_more_is_not() {
        assert!(Calendar::seen(NOW).believes(NOW + LEAP_MS));
        assert!(!Calendar::seen(NOW).believes(NOW + LEAP_MS + 1));
        assert!(Calendar::seen(0).believes(NOW), "a new store has seen nothing");
    }

    #[test]
    fn a_leap_is_believed_after_a_steady_day() {
        let mut calendar = Calendar::seen(NOW);
        let hours = |n: u64| NOW + YEAR + n * LEAP_MS / 24;
        assert!((0..24).all(|n| !calendar.believes(hours(n))));
        assert!(calendar.believes(hours(24)));
        assert_eq!(calendar.seen_ms(), hours(24));
    }

    #[test]
    fn a_clock_set_right_again_leaves_no_trace() {
        let mut calendar = Calendar::seen(NOW);
        assert!(!calendar.believes(NOW + YEAR));
        assert!(calendar.believes(NOW + 1));
        assert_eq!(calendar, Calendar::seen(NOW + 1));
        assert!(calendar.believes(NOW - YEAR), "a clock behind expires nothing anyway");
        assert_eq!(calendar, Calendar::seen(NOW + 1));
    }

    #[test]
    fn a_second_leap_starts_the_doubt_again() {
        let mut calendar = Calendar::seen(NOW);
        assert!(!calendar.believes(NOW + YEAR));
        assert!(!calendar.believes(NOW + 2 * YEAR));
        assert!(!calendar.believes(NOW + 2 * YEAR + LEAP_MS - 1));
        assert!(calendar.believes(NOW + 2 * YEAR + LEAP_MS));
    }
}
