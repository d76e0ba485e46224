//! Who is silent for too long is gone; who said only that it is there is answered. No timer a session
//! and no wake-up a keepalive: each session notes the second in which it last heard a byte, and a sweep
//! passes over some shards of the registry each second and has the quiet ones look (decision 0059).

use godwit_wire::Refusal;

use crate::node::Node;
use crate::registry::SHARDS;
use crate::seat::Word;

/// A peer that was silent and is there after all comes back; nothing is lost.
const RECONNECT_MS: u32 = 1_000;

/// Tells the silent sessions of the next shards to close, and the quiet ones to look for a keepalive.
/// Called once a second with a counter. Returns how many were silent.
pub(crate) fn sweep(node: &Node, round: usize, now_s: u32) -> usize {
    let keepalive_s = node.config.link.keepalive_s;
    let shards = shards_a_sweep(keepalive_s);
    let mut silent = 0;
    for seat in (0..shards).flat_map(|n| node.registry.seats_of((round * shards + n) % SHARDS)) {
        let (quiet_s, interval_s) =
            (seat.silent_s(now_s), seat.interval_s().unwrap_or(keepalive_s));
        if quiet_s > silence_max_s(interval_s, keepalive_s) {
            silent += 1;
            seat.tell(Word::Close(Refusal::TooSlow, RECONNECT_MS));
        } else if quiet_s >= looks_after_s(interval_s, keepalive_s) {
            seat.tell(Word::Look);
        }
    }
    silent
}

/// The whole table within three quarters of a keepalive, so that one byte waits in a socket and not
/// two, and the answer comes long before a client gives the link up. 3 of 64 shards at 30 s.
const fn shards_a_sweep(keepalive_s: u32) -> usize {
    let passes_s = keepalive_s as usize * 3 / 4;
    if passes_s == 0 { SHARDS } else { SHARDS.div_ceil(passes_s) }
}

/// A client speaks up after a whole interval only, but the last time it did may have been seen as much
/// later as a pass takes.
const fn looks_after_s(interval_s: u32, keepalive_s: u32) -> u32 {
    let (half, less_a_pass) = (interval_s / 2, interval_s.saturating_sub(keepalive_s));
    if half > less_a_pass { half } else { less_a_pass }
}

/// A pass may take three quarters of `keepalive_s`, and as much again is for a slow network.
const fn silence_max_s(interval_s: u32, keepalive_s: u32) -> u32 {
    interval_s.saturating_add(keepalive_s.saturating_mul(3) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_is_passed_within_three_quarters_of_a_keepalive() {
        for keepalive_s in [2, 4, 5, 29, 30, 31, 90, 3_600] {
            let passes_s = SHARDS.div_ceil(shards_a_sweep(keepalive_s));
            assert!(passes_s * 4 <= keepalive_s as usize * 3, "{keepalive_s}: {passes_s} s");
        }
        assert_eq!(shards_a_sweep(1), SHARDS, "as fast as it goes");
        assert_eq!(shards_a_sweep(30), 3);
        assert_eq!(shards_a_sweep(3_600), 1);
    }

    /// Seen after a pass at the latest, so with what a pass takes the next one is looked for in time.
    #[test]
    fn a_keepalive_is_looked_for_before_it_comes() {
        for interval_s in [1, 10, 30, 45, 60, 67, 240] {
            let seen_late_s = 30 * 3 / 4;
            let (from_s, limit_s) = (looks_after_s(interval_s, 30), silence_max_s(interval_s, 30));
            assert!(from_s <= interval_s.saturating_sub(seen_late_s).max(interval_s / 2));
            assert!(
                from_s + seen_late_s < limit_s,
                "{interval_s}: looked for before it is too late"
            );
        }
        assert_eq!((looks_after_s(30, 30), silence_max_s(30, 30)), (15, 75));
        assert_eq!((looks_after_s(240, 30), silence_max_s(240, 30)), (210, 285));
    }
}
