//! When to come again. Were all who are turned away told the same, they would all come again at the same
//! moment. So each is given a time of its own, as far apart as the server can serve them.

use std::sync::atomic::{AtomicU64, Ordering};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_US: u64 = 1_000;

/// Which times are given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hours {
    /// To the first, and to everybody while hardly anybody is turned away.
    pub(crate) first_ms: u32,
    /// Between two times.
    pub(crate) gap_us: u32,
    /// Nobody is told a later time. More come at the last, which their own random part spreads.
    pub(crate) last_ms: u32,
}

/// The next time that is free.
#[derive(Debug)]
pub(crate) struct Appointments {
    hours: Hours,
    free_at_ns: AtomicU64,
}

impl Appointments {
    /// All are free.
    pub(crate) const fn new(hours: Hours) -> Self {
        Self { hours, free_at_ns: AtomicU64::new(0) }
    }

    /// Gives the next one away, in milliseconds from `now_ns`.
    pub(crate) fn next_ms(&self, now_ns: u64) -> u32 {
        let Hours { first_ms, gap_us, last_ms } = self.hours;
        let first_ns = now_ns.saturating_add(u64::from(first_ms) * NS_PER_MS);
        let last_ns = now_ns.saturating_add(u64::from(last_ms) * NS_PER_MS);
        let time = |free_at_ns: u64| free_at_ns.max(first_ns).min(last_ns);
        let gap_ns = u64::from(gap_us) * NS_PER_US;
        let after = |free_at_ns| Some(time(free_at_ns).saturating_add(gap_ns));
        let (Ok(free_at_ns) | Err(free_at_ns)) =
            self.free_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        let wait_ms = time(free_at_ns).saturating_sub(now_ns).div_ceil(NS_PER_MS);
        u32::try_from(wait_ms).unwrap_or(last_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_time_of_its_own_until_the_last() {
        let hours = Hours { first_ms: 2_000, gap_us: 500, last_ms: 60_000 };
        let appointments = Appointments::new(hours);
        assert_eq!([(); 5].map(|()| appointments.next_ms(0)), [2_000, 2_001, 2_001, 2_002, 2_002]);
        for _ in 5..116_000 {
            appointments.next_ms(0);
        }
        assert_eq!(appointments.next_ms(0), 60_000, "58 s x 2,000");
        assert_eq!(appointments.next_ms(0), 60_000, "and no later");
        let a_second = 1_000 * NS_PER_MS;
        assert_eq!(appointments.next_ms(30 * a_second), 30_001, "half of them have come");
        assert_eq!(appointments.next_ms(100 * a_second), 2_000, "all have");
    }
}
