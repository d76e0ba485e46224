//! How often a supervisor restarts its children before it gives up, and how long it waits.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// A source of chance for jitter: given `n`, any number from 0 to `n`.
pub type Chance = Box<dyn FnMut(u64) -> u64 + Send>;

/// At most `restarts` within `window`; one more, and the supervisor itself fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartBudget {
    /// Restarts allowed within the window.
    pub restarts: usize,
    /// How long a restart counts.
    pub window: Duration,
}

impl Default for RestartBudget {
    /// 5 in 60 s. With the default back-off five restarts take 1.6 to 3.1 s, so a service that
    /// fails at once every time escalates within seconds instead of flapping for ever.
    fn default() -> Self {
        Self { restarts: 5, window: Duration::from_secs(60) }
    }
}

impl fmt::Display for RestartBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} restarts in {} s were not enough", self.restarts, self.window.as_secs())
    }
}

/// Delay before a restart: `first`, doubled for each failure in a row, at most `max`; of that, a
/// random half is taken off, so that things that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart.
    pub first: Duration,
    /// Never longer than this.
    pub max: Duration,
}

impl Default for Backoff {
    /// 100 ms to 10 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), max: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The delay after `failures` failures in a row (the first is 1).
    pub(crate) fn delay(&self, failures: u32, chance: &mut Chance) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.max);
        let half_us = u64::try_from(full.as_micros() / 2).unwrap_or(u64::MAX);
        full - Duration::from_micros(chance(half_us).min(half_us))
    }
}

/// The restarts that still count; never more than the budget allows.
#[derive(Debug, Default)]
pub(crate) struct Spent(VecDeque<Instant>);

impl Spent {
    /// Takes one restart out of the budget; false when none is left.
    pub(crate) fn take(&mut self, budget: RestartBudget, now: Instant) -> bool {
        while self.0.front().is_some_and(|at| now.duration_since(*at) >= budget.window) {
            self.0.pop_front();
        }
        let left = self.0.len() < budget.restarts;
        if left {
            self.0.push_back(now);
        }
        left
    }
}
