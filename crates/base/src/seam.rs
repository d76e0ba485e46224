//! Time as a seam: the parts take a [`Clock`] and never ask the machine themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// Where the parts learn the time.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock, unix milliseconds. It may jump, backwards too.
    fn unix_ms(&self) -> u64;

    /// Nanoseconds since some moment in the past, the same for as long as the process lives; never
    /// goes back. For spans of time.
    fn monotonic_ns(&self) -> u64;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic_ns(&self) -> u64 {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(FIRST.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is set; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug, Default)]
struct Hands {
    unix_ms: AtomicU64,
    monotonic_ns: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `unix_ms`.
    pub fn at(unix_ms: u64) -> Self {
        Self(Arc::new(Hands { unix_ms: AtomicU64::new(unix_ms), ..Hands::default() }))
    }

    /// Sets the wall clock, forwards or back; no time passes.
    pub fn set(&self, unix_ms: u64) {
        self.0.unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn advance(&self, ms: u64) {
        self.0.unix_ms.fetch_add(ms, Ordering::Relaxed);
        self.0.monotonic_ns.fetch_add(ms.saturating_mul(1_000_000), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.0.unix_ms.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.monotonic_ns.load(Ordering::Relaxed)
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn unix_ms(&self) -> u64 {
        (**self).unix_ms()
    }

    fn monotonic_ns(&self) -> u64 {
        (**self).monotonic_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_lets_no_time_pass() {
        let clock = ManualClock::at(5_000);
        clock.advance(7);
        clock.set(0);
        assert_eq!((clock.unix_ms(), clock.monotonic_ns()), (0, 7_000_000));
    }
}
