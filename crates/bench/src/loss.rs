//! What lost packets are to whoever speaks TCP: a stall, never a hole. There is one model of it, for the
//! [`proxy`](crate::proxy) before real clients and for the connections of the loads themselves.
//!
//! A segment that is lost is sent again after the retransmission time, and after twice as long when that one
//! is lost too. What is behind it on its connection and way waits; the other way does not.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

/// Bytes of one segment on the line: what fits into a packet of 1,500 with its headers.
pub const SEGMENT_BYTES: usize = 1_448;

/// The least that TCP waits before it sends again, as Linux does. A lone small segment has no others behind
/// it whose acknowledgements would tell of the loss earlier.
const RETRANSMISSION_MS: u64 = 200;

/// What it waits for an answer to the first packet of a connection, when it knows no round trip (RFC 6298).
const CONNECTING_MS: u64 = 1_000;

/// Times that one segment is lost at most, as often as Linux repeats the first packet of a connection: at 7 %
/// one of 121 million would be lost more often. 200 ms x (2^6 - 1) are 12.6 s, of the first packet 63 s.
const TIMES_MAX: u32 = 6;

/// Parts of a hundred that may be lost; with more nothing works.
pub const PERCENT_MAX: u8 = 50;

/// How many are lost, and how late they are then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Of a thousand segments.
    pub per_mille: u64,
    /// Until a lost one is sent again, for the first time.
    pub retransmission_ms: u64,
}

/// What became of one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stall {
    /// It was lost so often.
    pub times: u32,
    /// It is so late.
    pub late: Duration,
}

impl Loss {
    /// So many of a hundred, on a way so short that TCP waits the least that it ever does.
    pub const fn percent(percent: u8) -> Self {
        Self { per_mille: percent as u64 * 10, retransmission_ms: RETRANSMISSION_MS }
    }

    /// Draws the fate of the next segment.
    pub fn draw(self, chance: &mut Chance) -> Stall {
        let mut stall = Stall::default();
        while stall.times < TIMES_MAX && chance.next() % 1_000 < self.per_mille {
            stall.late += Duration::from_millis(self.retransmission_ms << stall.times);
            stall.times += 1;
        }
        stall
    }

    /// Of the two packets that open a connection. The client repeats its own, whichever was lost.
    fn draw_connecting(self, chance: &mut Chance) -> Duration {
        let arrives = 1_000 - self.per_mille.min(1_000);
        let either =
            Self { per_mille: 1_000 - arrives * arrives / 1_000, retransmission_ms: CONNECTING_MS };
        either.draw(chance).late
    }
}

/// A seeded sequence of numbers (SplitMix64): whether a segment is lost must not depend on anything else.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The losses of one connection, as its client feels them on both ways.
#[derive(Debug)]
pub struct Losses {
    loss: Loss,
    chance: Chance,
    up: Way,
    down: Way,
}

/// When the segment that is under way gets through; none is before it was drawn.
#[derive(Debug, Default)]
struct Way(Option<Instant>);

impl Losses {
    /// Of a new connection; none without losses.
    pub fn of(loss: Loss, seed: u64) -> Option<Box<Self>> {
        let fresh = || Self { loss, chance: Chance::new(seed), up: Way(None), down: Way(None) };
        (loss.per_mille > 0).then(|| Box::new(fresh()))
    }

    /// Waits for what the opening of the connection takes longer.
    ///
    /// # Cancel safety
    /// The next call draws anew.
    pub async fn connecting(&mut self) {
        let late = self.loss.draw_connecting(&mut self.chance);
        if !late.is_zero() {
            sleep(late).await;
        }
    }

    /// Waits until a segment to the server may go.
    ///
    /// # Cancel safety
    /// Safe: the segment's fate stays as it was drawn.
    pub async fn up(&mut self) {
        self.up.passes(self.loss, &mut self.chance).await;
    }

    /// Waits until a segment that the server has sent gets through.
    ///
    /// # Cancel safety
    /// Safe: the segment's fate stays as it was drawn.
    pub async fn down(&mut self) {
        self.down.passes(self.loss, &mut self.chance).await;
    }
}

impl Way {
    async fn passes(&mut self, loss: Loss, chance: &mut Chance) {
        let now = Instant::now();
        let through = *self.0.get_or_insert_with(|| now + loss.draw(chance).late);
        if through > now {
            sleep_until(through).await;
        }
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these segments were lost so often.
    fn lost_times(loss: Loss, segments: usize) -> [usize; TIMES_MAX as usize + 1] {
        let (mut chance, mut counts) = (Chance::new(7), [0; TIMES_MAX as usize + 1]);
        for _ in 0..segments {
            let stall = loss.draw(&mut chance);
            let late_ms = loss.retransmission_ms * ((1 << stall.times) - 1);
            assert_eq!(stall.late, Duration::from_millis(late_ms), "{stall:?}");
            counts[stall.times as usize] += 1;
        }
        counts
    }

    #[test]
    fn seven_of_a_hundred_are_late_by_200_ms_and_of_these_seven_by_600() {
        let [none, once, twice, thrice, ..] = lost_times(Loss::percent(7), 100_000);
        for (counted, share) in [(none, 0.93), (once, 0.0651), (twice, 0.004_557)] {
            let found = counted as f64 / 100_000.0;
            assert!((found / share - 1.0).abs() < 0.1, "{found}, should be {share}");
        }
        assert!(thrice > 0 && thrice < twice);
    }

    #[test]
    fn nothing_is_lost_without_losses_and_nothing_for_ever() {
        assert!(Losses::of(Loss::percent(0), 7).is_none());
        assert_eq!(lost_times(Loss::percent(0), 1_000)[0], 1_000);
        let all = Loss { per_mille: 1_000, retransmission_ms: 200 };
        assert_eq!(lost_times(all, 1_000)[TIMES_MAX as usize], 1_000);
        assert_eq!(all.draw(&mut Chance::new(7)).late, Duration::from_millis(12_600));
    }

    #[test]
    fn a_connection_is_late_by_a_second_when_one_of_its_two_packets_is_lost() {
        let mut chance = Chance::new(7);
        let lates = (0..100_000).map(|_| Loss::percent(50).draw_connecting(&mut chance));
        let (mut in_time, mut once) = (0, 0);
        for late in lates {
            in_time += usize::from(late.is_zero());
            once += usize::from(late == Duration::from_secs(1));
        }
        // A quarter of all get both through at first, and a quarter of the rest then.
        assert!((24_000..26_000).contains(&in_time), "{in_time}");
        assert!((18_000..19_500).contains(&once), "{once}");
    }

    #[test]
    fn the_same_seed_loses_the_same_segments() {
        let lost = |seed| {
            let mut chance = Chance::new(seed);
            [(); 64].map(|()| Loss::percent(20).draw(&mut chance).times)
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    /// A segment that was waited for in vain is not drawn again, and the other way does not wait for it.
    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_waits_on_later_for_the_same_segment() {
        let all = Loss { per_mille: 1_000, retransmission_ms: 200 };
        let mut losses = Losses::of(all, 7).unwrap();
        let began = Instant::now();
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_secs(4), losses.down()).await;
            assert!(waited.is_err(), "12.6 s are not over");
        }
        losses.down().await;
        let late = began.elapsed();
        assert!((12_600..12_610).contains(&late.as_millis()), "{late:?}");
        losses.loss.per_mille = 0;
        losses.up().await;
        assert_eq!(began.elapsed(), late, "nobody waits when nothing is lost");
    }
}
