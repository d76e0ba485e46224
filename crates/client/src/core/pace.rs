//! How long this network lets a link be quiet: learned from keepalives that were answered, and from links that
//! died without a word (decision 0143).

use std::collections::VecDeque;

/// Answered keepalives in a row after which a longer interval is tried: one may be luck, and at 240 s three are
/// twelve minutes.
const PROVEN: u32 = 3;

/// Shortest interval that is learned, 20 s: no network is known that forgets a connection sooner, and who is cut off
/// after less quiet has met something else.
const LEAST_MS: u64 = 20_000;

/// A link that is there again on the same network within this time after a silent death was forgotten by the
/// network; otherwise the network itself was away. 1 minute: our own first delays are far below.
const CONFIRM_MS: u64 = 60_000;

/// How long an interval that failed is not tried again: 1 hour, twice as long each time it fails again, a day at
/// most. A connection changes its way through the world about once a day.
const AGAIN_FIRST_MS: u64 = 3_600_000;
const AGAIN_MOST_MS: u64 = 24 * AGAIN_FIRST_MS;

/// Networks that are remembered: home, work, the phone's own, and those of a week of travel.
const NETWORKS_MAX: usize = 8;

/// What one network has taught.
#[derive(Debug, Clone, Copy)]
struct Pace {
    interval_ms: u64,
    /// Answered in a row at this interval.
    answered: u32,
    too_long: Option<TooLong>,
}

/// An interval that failed.
#[derive(Debug, Clone, Copy)]
struct TooLong {
    ms: u64,
    until_ms: u64,
    holds_ms: u64,
}

/// A link that died without a word.
#[derive(Debug, Clone, Copy)]
struct Died {
    network: u64,
    after_ms: u64,
    at_ms: u64,
}

/// The keepalive interval, for each network that was met.
#[derive(Debug)]
pub(super) struct Paces {
    /// The newest at the back. Times are of the monotonic clock.
    known: VecDeque<(u64, Pace)>,
    network: u64,
    /// What the server named, to begin with and at most.
    base_ms: u64,
    longest_ms: u64,
    died: Option<Died>,
    /// A link was closed after less quiet than was proven, and nothing has been proven since.
    closed_early: bool,
}

impl Paces {
    pub(super) const fn new(base_ms: u64) -> Self {
        let known = VecDeque::new();
        Self { known, network: 0, base_ms, longest_ms: base_ms, died: None, closed_early: false }
    }

    /// The next link goes through this network; the driver names it by what tells networks apart for it, or never.
    pub(super) const fn goes_through(&mut self, network: u64) {
        self.network = network;
    }

    /// A server welcomed us and named its interval and the longest. If the last link died without a word just now,
    /// the network was there and had forgotten it.
    pub(super) fn welcomed(&mut self, base_ms: u64, longest_ms: u64, now_ms: u64) {
        (self.base_ms, self.longest_ms) = (base_ms, longest_ms.max(base_ms));
        let pace = self.pace();
        let Some(died) = self.died.take() else { return };
        let is_again = died.network == self.network && now_ms <= died.at_ms + CONFIRM_MS;
        if is_again && died.after_ms >= self.least_ms() {
            let ms = died.after_ms.min(pace.interval_ms);
            let holds_ms = pace.too_long.map_or(AGAIN_FIRST_MS, |last| 2 * last.holds_ms);
            let holds_ms = holds_ms.min(AGAIN_MOST_MS);
            let too_long = Some(TooLong { ms, until_ms: now_ms + holds_ms, holds_ms });
            let interval_ms = (ms * 2 / 3).max(self.least_ms());
            self.learn(Pace { interval_ms, answered: 0, too_long });
        }
    }

    /// Quiet time after which a keepalive goes out.
    pub(super) fn interval_ms(&self) -> u64 {
        self.pace().interval_ms
    }

    /// What the server named to begin with.
    pub(super) const fn base_ms(&self) -> u64 {
        self.base_ms
    }

    /// What was sent after a whole interval of quiet was answered. Returns whether the interval is longer now.
    pub(super) fn answered(&mut self, now_ms: u64) -> bool {
        self.closed_early = false;
        let mut pace = self.pace();
        pace.answered += 1;
        if pace.too_long.is_some_and(|last| pace.interval_ms >= last.ms) {
            pace.too_long = None;
        }
        let longer_ms = (pace.interval_ms * 3 / 2).min(self.longest_ms);
        let fails =
            pace.too_long.is_some_and(|last| longer_ms >= last.ms && now_ms < last.until_ms);
        let grows = pace.answered >= PROVEN && longer_ms > pace.interval_ms && !fails;
        if grows {
            pace = Pace { interval_ms: longer_ms, answered: 0, ..pace };
        }
        self.learn(pace);
        grows
    }

    /// The link died without a word after so much quiet.
    pub(super) const fn died(&mut self, after_ms: u64, at_ms: u64) {
        self.died = Some(Died { network: self.network, after_ms, at_ms });
    }

    /// The link was closed from afar after so much quiet, as some networks do with what they forget, and as a server
    /// does that was killed. A server's fault it is up to what it named; and once, up to what was proven.
    pub(super) fn closed(&mut self, after_ms: u64, at_ms: u64) {
        if after_ms <= self.base_ms {
            return;
        }
        let is_proven = after_ms * 3 / 2 <= self.interval_ms();
        if !is_proven || std::mem::replace(&mut self.closed_early, true) {
            self.died(after_ms, at_ms);
        }
    }

    /// Of this network, within what the server allows.
    fn pace(&self) -> Pace {
        let known = self.known.iter().find(|(network, _)| *network == self.network);
        let new = Pace { interval_ms: self.base_ms, answered: 0, too_long: None };
        let mut pace = known.map_or(new, |(_, pace)| *pace);
        pace.interval_ms = pace.interval_ms.clamp(self.least_ms(), self.longest_ms);
        pace
    }

    /// A server may ask for less than what is learned.
    fn least_ms(&self) -> u64 {
        LEAST_MS.min(self.base_ms)
    }

    fn learn(&mut self, pace: Pace) {
        self.known.retain(|(network, _)| *network != self.network);
        if self.known.len() >= NETWORKS_MAX {
            self.known.pop_front();
        }
        self.known.push_back((self.network, pace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE_MS: u64 = 30_000;
    const LONGEST_MS: u64 = 240_000;

    fn welcomed() -> Paces {
        let mut paces = Paces::new(BASE_MS);
        paces.welcomed(BASE_MS, LONGEST_MS, 0);
        paces
    }

    /// Answered until it grows no more; returns the intervals.
    fn grow(paces: &mut Paces, now_ms: u64) -> Vec<u64> {
        let mut steps = vec![paces.interval_ms()];
        for _ in 0..100 {
            if paces.answered(now_ms) {
                steps.push(paces.interval_ms());
            }
        }
        steps
    }

    /// The link died after so much quiet, and is there again after a moment.
    fn forgotten(paces: &mut Paces, after_ms: u64, now_ms: u64) {
        paces.died(after_ms, now_ms);
        paces.welcomed(BASE_MS, LONGEST_MS, now_ms + 1_000);
    }

    #[test]
    fn the_interval_grows_with_what_is_answered_up_to_the_servers_bound() {
        let mut paces = welcomed();
        let steps = grow(&mut paces, 0);
        assert_eq!(steps, [30_000, 45_000, 67_500, 101_250, 151_875, 227_812, 240_000]);
        let mut paces = welcomed();
        assert!(!paces.answered(0) && !paces.answered(0), "{PROVEN} in a row");
        assert!(paces.answered(0));
        paces.welcomed(BASE_MS, 0, 0);
        assert_eq!(paces.interval_ms(), BASE_MS, "a server that allows no more");
    }

    #[test]
    fn what_a_network_forgets_is_not_tried_again_for_an_hour() {
        let mut paces = welcomed();
        grow(&mut paces, 0);
        forgotten(&mut paces, 240_000, 0);
        assert_eq!(paces.interval_ms(), 160_000);
        assert_eq!(grow(&mut paces, AGAIN_FIRST_MS), [160_000], "240 s is the next, and failed");
        forgotten(&mut paces, 101_000, 10_000);
        assert_eq!(grow(&mut paces, 20_000), [67_333, 100_999], "below what failed");
        let until_ms = 11_000 + 2 * AGAIN_FIRST_MS;
        assert_eq!(grow(&mut paces, until_ms - 1), [100_999], "twice as long as the first time");
        assert_eq!(grow(&mut paces, until_ms), [100_999, 151_498, 227_247, 240_000]);
    }

    #[test]
    fn an_interval_that_holds_after_all_clears_its_name_and_a_day_is_the_most() {
        let mut paces = welcomed();
        for n in 0..10 {
            forgotten(&mut paces, 30_000, n * 1_000);
        }
        let pace = paces.pace();
        assert_eq!((pace.interval_ms, pace.too_long.unwrap().holds_ms), (LEAST_MS, AGAIN_MOST_MS));
        assert_eq!(grow(&mut paces, 2 * AGAIN_MOST_MS).last(), Some(&LONGEST_MS));
        assert!(paces.pace().too_long.is_none());
    }

    #[test]
    fn only_a_network_that_was_there_is_blamed() {
        let mut paces = welcomed();
        for (after_ms, away_ms, expected_ms) in [
            (LEAST_MS - 1, 0, BASE_MS),
            (BASE_MS, CONFIRM_MS + 1, BASE_MS),
            (BASE_MS, CONFIRM_MS, LEAST_MS),
        ] {
            paces.died(after_ms, 5);
            paces.welcomed(BASE_MS, LONGEST_MS, 5 + away_ms);
            assert_eq!(paces.interval_ms(), expected_ms, "{after_ms} {away_ms}");
        }
        let mut paces = welcomed();
        paces.died(BASE_MS, 0);
        paces.goes_through(7);
        paces.welcomed(BASE_MS, LONGEST_MS, 1);
        assert_eq!(paces.interval_ms(), BASE_MS, "the device has moved");
    }

    #[test]
    fn a_link_that_is_closed_after_quiet_teaches_but_for_what_a_server_may_have_done() {
        let mut paces = welcomed();
        let close = |paces: &mut Paces, after_ms| {
            paces.closed(after_ms, 0);
            paces.welcomed(BASE_MS, LONGEST_MS, 1);
            paces.interval_ms()
        };
        assert_eq!(close(&mut paces, BASE_MS), BASE_MS, "up to what the server named");
        grow(&mut paces, 0);
        assert_eq!(close(&mut paces, 160_000), LONGEST_MS, "proven: once it is the server's");
        assert_eq!(close(&mut paces, 150_000), 100_000);
        paces.answered(0);
        assert_eq!(close(&mut paces, 66_666), 100_000, "once again");
        assert_eq!(close(&mut paces, 66_668), 44_445, "not proven");
    }

    #[test]
    fn each_network_has_its_own_and_the_oldest_of_too_many_is_forgotten() {
        let mut paces = welcomed();
        for network in 0..=NETWORKS_MAX as u64 {
            paces.goes_through(network);
            assert_eq!(paces.interval_ms(), BASE_MS, "{network} is new");
            grow(&mut paces, 0);
        }
        for network in 1..=NETWORKS_MAX as u64 {
            paces.goes_through(network);
            assert_eq!(paces.interval_ms(), LONGEST_MS, "{network}");
        }
        paces.goes_through(0);
        assert_eq!(paces.interval_ms(), BASE_MS);
    }
}
