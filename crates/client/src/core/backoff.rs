//! How long to wait before dialling again.

/// First delay; doubled with each failure.
const FIRST_MS: u64 = 250;

/// Longest delay of our own accord: a person who opens the lid waits no longer.
const LAST_MS: u64 = 60_000;

/// Failures after which the delay no longer grows: 250 ms x 2^8 = 64 s.
const STEPS_MAX: u32 = 8;

/// Exponential delays with jitter, from a seed: the same seed gives the same delays.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    failures: u32,
    state: u64,
}

impl Backoff {
    /// No failure yet. The driver gives a random seed, so that a fleet does not dial in step.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { failures: 0, state: seed | 1 }
    }

    /// It worked.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: the delay until the next attempt, at least `floor_ms` (what the server asked for)
    /// and up to half as much again.
    pub(crate) fn next_ms(&mut self, floor_ms: u64) -> u64 {
        let grown = (FIRST_MS << self.failures.min(STEPS_MAX)).min(LAST_MS);
        self.failures = self.failures.saturating_add(1);
        let base = grown.max(floor_ms);
        base + self.random() % (base / 2 + 1)
    }

    /// xorshift64*: chance enough to spread clients, never for secrets.
    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_obey_the_server() {
        let mut backoff = Backoff::new(7);
        let mut last = 0;
        for _ in 0..20 {
            last = backoff.next_ms(0);
            assert!((FIRST_MS..=LAST_MS + LAST_MS / 2).contains(&last));
        }
        assert!(last >= LAST_MS);
        let asked = backoff.next_ms(200_000);
        assert!((200_000..=300_000).contains(&asked));
        backoff.reset();
        assert!(backoff.next_ms(0) <= FIRST_MS + FIRST_MS / 2);
    }

    #[test]
    fn two_seeds_do_not_dial_in_step() {
        let (mut a, mut b) = (Backoff::new(1), Backoff::new(2));
        let delays = |backoff: &mut Backoff| (0..5).map(|_| backoff.next_ms(0)).collect::<Vec<_>>();
        assert_ne!(delays(&mut a), delays(&mut b));
    }
}
