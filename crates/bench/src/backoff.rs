//! How long a client waits before it dials again, as the protocol says.

use std::time::Duration;

/// Before the second attempt; doubled with each one after.
const FIRST_MS: u64 = 250;

/// No client waits longer of its own accord, the random part aside.
const LAST_MS: u64 = 60_000;

/// Failures after which the wait no longer grows: 250 ms x 2^8 is above a minute.
const STEPS_MAX: u32 = 8;

/// Waits that grow, with a random part of up to a half.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure, at least what the server asked for.
    pub fn next(&mut self, asked_ms: u32) -> Duration {
        let grown_ms = (FIRST_MS << self.failures.min(STEPS_MAX)).min(LAST_MS);
        self.failures += 1;
        let least_ms = grown_ms.max(asked_ms.into());
        Duration::from_millis(least_ms + rand::random_range(0..=least_ms / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_the_server_is_obeyed() {
        let mut backoff = Backoff::default();
        let mut least = FIRST_MS;
        for _ in 0..12 {
            let waited = u64::try_from(backoff.next(0).as_millis()).unwrap();
            assert!((least..=least + least / 2).contains(&waited), "{waited} for {least}");
            least = (2 * least).min(LAST_MS);
        }
        let asked = backoff.next(200_000).as_millis();
        assert!((200_000..=300_000).contains(&asked), "{asked}");
    }
}
