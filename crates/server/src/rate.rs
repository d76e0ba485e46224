//! Rates: how often something may happen, in eight bytes each, and bounded tables of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// Entries of one table. An address or a pair of devices with its meter is under 100 B: 6.5 MB.
const TABLE_ENTRIES_MAX: usize = 65_536;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Nanoseconds that one costs.
    cost_ns: u64,
    /// How far costs may run ahead of the time.
    tolerance_ns: u64,
}

impl Rate {
    /// `per_s` a second sustained, `burst` at once.
    pub(crate) fn per_second(per_s: u32, burst: u32) -> Self {
        Self::new(NS_PER_S / u64::from(per_s.max(1)), burst)
    }

    /// `per_hour` an hour sustained, and as many at once.
    pub(crate) fn per_hour(per_hour: u32) -> Self {
        Self::new(3_600 * NS_PER_S / u64::from(per_hour.max(1)), per_hour)
    }

    fn new(cost_ns: u64, burst: u32) -> Self {
        let cost_ns = cost_ns.max(1);
        Self { cost_ns, tolerance_ns: cost_ns.saturating_mul(u64::from(burst.max(1)) - 1) }
    }
}

/// What was used of a [`Rate`]: the time at which all of it would be paid for (the generic cell
/// rate algorithm, the same as a token bucket without the bucket).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    paid_at_ns: u64,
}

impl Meter {
    /// Takes one at `now_ns`.
    ///
    /// # Errors
    /// The rate is used up; the value is the milliseconds after which one more is allowed.
    pub(crate) fn take(&mut self, rate: Rate, now_ns: u64) -> Result<(), u32> {
        self.take_many(1, rate, now_ns)
    }

    /// Takes `count` at `now_ns`, if at least one is allowed: what is more is owed, and holds the next
    /// one back until it is paid for.
    ///
    /// # Errors
    /// As [`Meter::take`]; nothing is taken then.
    pub(crate) fn take_many(&mut self, count: u32, rate: Rate, now_ns: u64) -> Result<(), u32> {
        let ahead_ns = self.paid_at_ns.saturating_sub(now_ns);
        match ahead_ns.checked_sub(rate.tolerance_ns) {
            None | Some(0) => {
                let cost_ns = rate.cost_ns.saturating_mul(count.into());
                self.paid_at_ns = now_ns.max(self.paid_at_ns).saturating_add(cost_ns);
                Ok(())
            }
            Some(wait_ns) => Err(u32::try_from(wait_ns.div_ceil(NS_PER_MS)).unwrap_or(u32::MAX)),
        }
    }

    /// Nothing of the rate is used: the meter says no more than a new one.
    fn is_fresh(&self, now_ns: u64) -> bool {
        self.paid_at_ns <= now_ns
    }
}

/// One meter for each of many keys. Full, it forgets those that are fresh; full of used ones, it
/// refuses new keys, so that a flood of addresses cannot buy anybody a fresh rate.
#[derive(Debug)]
pub(crate) struct RateTable<K> {
    rate: Rate,
    meters: Mutex<HashMap<K, Meter>>,
}

impl<K: Eq + Hash> RateTable<K> {
    /// An empty table; allocates nothing.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, meters: Mutex::new(HashMap::new()) }
    }

    /// Takes one for `key` at `now_ns`.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub(crate) fn take(&self, key: K, now_ns: u64) -> Result<(), u32> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.len() >= TABLE_ENTRIES_MAX && !meters.contains_key(&key) {
            meters.retain(|_, meter| !meter.is_fresh(now_ns));
            if meters.len() >= TABLE_ENTRIES_MAX {
                let wait_ms = self.rate.cost_ns.div_ceil(NS_PER_MS);
                return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
            }
        }
        meters.entry(key).or_default().take(self.rate, now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let (rate, mut meter) = (Rate::per_second(10, 3), Meter::default());
        let start = 5 * NS_PER_S;
        for _ in 0..3 {
            assert_eq!(meter.take(rate, start), Ok(()));
        }
        assert_eq!(meter.take(rate, start), Err(100));
        assert_eq!(meter.take(rate, start + 99 * NS_PER_MS), Err(1));
        assert_eq!(meter.take(rate, start + 100 * NS_PER_MS), Ok(()));
        assert_eq!(meter.take(rate, start + 100 * NS_PER_MS), Err(100));
    }

    #[test]
    fn many_are_owed_until_they_are_paid_for() {
        let (rate, mut meter, start) = (Rate::per_second(10, 5), Meter::default(), NS_PER_S);
        assert_eq!(meter.take_many(8, rate, start), Ok(()), "one was allowed");
        assert_eq!(meter.take(rate, start), Err(400));
        assert_eq!(meter.take_many(1_000, rate, start + 399 * NS_PER_MS), Err(1));
        assert_eq!(meter.take(rate, start + 400 * NS_PER_MS), Ok(()), "a refusal takes nothing");
    }

    #[test]
    fn an_hour_gives_as_many_as_it_says() {
        let (rate, mut meter) = (Rate::per_hour(2), Meter::default());
        let hour = 3_600 * NS_PER_S;
        assert_eq!(meter.take(rate, hour), Ok(()));
        assert_eq!(meter.take(rate, hour), Ok(()));
        assert_eq!(meter.take(rate, hour), Err(30 * 60 * 1_000));
        assert_eq!(meter.take(rate, hour + hour / 2), Ok(()));
    }

    #[test]
    fn a_full_table_forgets_the_fresh_and_refuses_the_rest() {
        let table = RateTable::new(Rate::per_second(1, 1));
        for key in 0..TABLE_ENTRIES_MAX {
            assert_eq!(table.take(key, 0), Ok(()));
        }
        assert!(table.take(TABLE_ENTRIES_MAX, 0).is_err(), "full of used meters");
        assert!(table.take(0, 0).is_err(), "a known key has its own meter");
        assert_eq!(table.take(TABLE_ENTRIES_MAX, 2 * NS_PER_S), Ok(()), "all others are fresh");
    }
}
