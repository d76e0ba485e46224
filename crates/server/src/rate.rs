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

    /// `per_day` a day sustained, and as many at once.
    pub(crate) fn per_day(per_day: u32) -> Self {
        Self::new(24 * 3_600 * NS_PER_S / u64::from(per_day.max(1)), per_day)
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

    /// Takes one at `now_ns`, allowed or not. Returns the milliseconds for which the rate is overdrawn, 0
    /// if one was allowed.
    pub(crate) fn overdraw(&mut self, rate: Rate, now_ns: u64) -> u32 {
        let over_ms = self.take(rate, now_ns).err().unwrap_or(0);
        if over_ms > 0 {
            self.paid_at_ns = self.paid_at_ns.saturating_add(rate.cost_ns);
        }
        over_ms
    }

    /// The time at which all that was used is paid for.
    pub(crate) fn paid_at_ns(self) -> u64 {
        self.paid_at_ns
    }

    /// The meter that had this [`Meter::paid_at_ns`].
    pub(crate) fn paid_at(paid_at_ns: u64) -> Self {
        Self { paid_at_ns }
    }

    /// It was never taken from, and did not come from [`RateTable::begin`].
    pub(crate) fn is_new(&self) -> bool {
        self.paid_at_ns == 0
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
    rows: Mutex<Rows<K>>,
}

#[derive(Debug)]
struct Rows<K> {
    meters: HashMap<K, Meter>,
    /// When the full table may be looked through again: each time costs a millisecond.
    next_look_ns: u64,
}

impl<K: Eq + Hash> RateTable<K> {
    /// An empty table; allocates nothing.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, rows: Mutex::new(Rows { meters: HashMap::new(), next_look_ns: 0 }) }
    }

    /// Takes one for `key` at `now_ns`.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub(crate) fn take(&self, key: K, now_ns: u64) -> Result<(), u32> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if !rows.has_room_for(&key, now_ns) {
            let wait_ms = self.rate.cost_ns.div_ceil(NS_PER_MS);
            return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        }
        rows.meters.entry(key).or_default().take(self.rate, now_ns)
    }

    /// The same, but a newcomer to a full table passes uncounted: for what a flood of keys must not
    /// keep from everybody else.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub(crate) fn take_or_pass(&self, key: K, now_ns: u64) -> Result<(), u32> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if !rows.has_room_for(&key, now_ns) {
            return Ok(());
        }
        rows.meters.entry(key).or_default().take(self.rate, now_ns)
    }

    /// Whether `key` may take one at `now_ns`; takes nothing.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub(crate) fn may_take(&self, key: &K, now_ns: u64) -> Result<(), u32> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut meter = rows.meters.get(key).copied().unwrap_or_default();
        meter.take(self.rate, now_ns)
    }

    /// Takes `count` more for a key that was allowed one: they are owed, and hold the next one back
    /// until they are paid for.
    pub(crate) fn owe(&self, key: K, count: u32, now_ns: u64) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.has_room_for(&key, now_ns) {
            let meter = rows.meters.entry(key).or_default();
            let cost_ns = self.rate.cost_ns.saturating_mul(count.into());
            meter.paid_at_ns = now_ns.max(meter.paid_at_ns).saturating_add(cost_ns);
        }
    }

    /// The meter that `key` goes on with by itself, for what happens too often to ask here each time.
    /// Noted is that it uses all of its burst; so whoever begins again gets what time has given back
    /// and no second burst. In a full table a newcomer gets as much as that: nothing at once.
    pub(crate) fn begin(&self, key: K, now_ns: u64) -> Meter {
        let ahead_ns = self.rate.tolerance_ns.saturating_add(self.rate.cost_ns);
        let used_up = Meter { paid_at_ns: now_ns.saturating_add(ahead_ns) };
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if !rows.has_room_for(&key, now_ns) {
            return used_up;
        }
        let before = rows.meters.insert(key, used_up).unwrap_or_default();
        Meter { paid_at_ns: before.paid_at_ns.max(now_ns).max(1) }
    }

    /// Lets go of meters that say no more than new ones, and of their memory.
    pub(crate) fn forget_fresh(&self, now_ns: u64) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.meters.retain(|_, meter| !meter.is_fresh(now_ns));
        rows.meters.shrink_to_fit();
    }
}

impl<K: Eq + Hash> Rows<K> {
    fn has_room_for(&mut self, key: &K, now_ns: u64) -> bool {
        if self.meters.len() < TABLE_ENTRIES_MAX || self.meters.contains_key(key) {
            return true;
        }
        if now_ns >= self.next_look_ns {
            self.next_look_ns = now_ns.saturating_add(NS_PER_S);
            self.meters.retain(|_, meter| !meter.is_fresh(now_ns));
        }
        self.meters.len() < TABLE_ENTRIES_MAX
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
    fn what_is_overdrawn_is_owed_as_well() {
        let (rate, mut meter, start) = (Rate::per_second(10, 3), Meter::default(), NS_PER_S);
        let over: Vec<_> = (0..6).map(|_| meter.overdraw(rate, start)).collect();
        assert_eq!(over, [0, 0, 0, 100, 200, 300]);
        assert_eq!(meter.take(rate, start + 399 * NS_PER_MS), Err(1));
        assert_eq!(meter.overdraw(rate, start + 400 * NS_PER_MS), 0);
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

    #[test]
    fn a_newcomer_to_a_full_table_passes_where_it_must() {
        let table = RateTable::new(Rate::per_second(1, 1));
        for key in 0..TABLE_ENTRIES_MAX {
            assert_eq!(table.take_or_pass(key, 0), Ok(()));
        }
        assert!(table.take_or_pass(0, 0).is_err(), "a known key has its own meter");
        assert_eq!(table.take_or_pass(TABLE_ENTRIES_MAX, 0), Ok(()));
        assert_eq!(table.take_or_pass(TABLE_ENTRIES_MAX, 0), Ok(()), "uncounted");
    }

    #[test]
    fn to_ask_takes_nothing() {
        let table = RateTable::new(Rate::per_second(10, 2));
        for _ in 0..5 {
            assert_eq!(table.may_take(&"a", NS_PER_S), Ok(()));
        }
        table.owe("a", 1, NS_PER_S);
        assert_eq!(table.may_take(&"a", NS_PER_S), Ok(()));
        table.owe("a", 1, NS_PER_S);
        assert_eq!(table.may_take(&"a", NS_PER_S), Err(100));
        assert_eq!(table.may_take(&"b", NS_PER_S), Ok(()));
    }

    #[test]
    fn what_is_owed_holds_the_next_one_back() {
        let table = RateTable::new(Rate::per_second(10, 5));
        assert_eq!(table.take("a", NS_PER_S), Ok(()));
        table.owe("a", 3, NS_PER_S);
        assert_eq!(table.take("a", NS_PER_S), Ok(()), "five are allowed");
        assert_eq!(table.take("a", NS_PER_S), Err(100));
        table.owe("a", 10, NS_PER_S);
        assert_eq!(table.take("a", NS_PER_S), Err(1_100));
    }

    #[test]
    fn beginning_again_buys_no_second_burst() {
        let rate = Rate::per_second(10, 3);
        let table = RateTable::new(rate);
        let taken = |key, now_ns| {
            let mut meter = table.begin(key, now_ns);
            assert!(!meter.is_new());
            (0..9).take_while(|_| meter.take(rate, now_ns).is_ok()).count()
        };
        let start = NS_PER_S;
        assert_eq!(taken(1, start), 3, "the burst");
        assert_eq!(taken(1, start), 0, "and no other");
        assert_eq!(taken(2, start), 3, "somebody else's");
        assert_eq!(taken(1, start + 200 * NS_PER_MS), 2, "what time has given back");
        assert_eq!(taken(1, 10 * NS_PER_S), 3);
        for key in 2..=TABLE_ENTRIES_MAX {
            table.begin(key, 10 * NS_PER_S);
        }
        assert_eq!(taken(TABLE_ENTRIES_MAX, 10 * NS_PER_S), 0);
        assert_eq!(taken(0, 10 * NS_PER_S), 0, "a full table knows no newcomer");
        assert_eq!(taken(0, 20 * NS_PER_S), 3);
    }

    #[test]
    fn what_is_fresh_is_let_go_and_what_is_used_is_not() {
        let table = RateTable::new(Rate::per_second(1, 1));
        assert_eq!(table.take("early", 0), Ok(()));
        assert_eq!(table.take("late", NS_PER_S / 2), Ok(()));
        table.forget_fresh(NS_PER_S);
        assert_eq!(table.rows.lock().unwrap().meters.len(), 1);
        assert!(table.take("late", NS_PER_S).is_err());
    }
}
