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
    let (limit_s, shards) = (silence_max_s(keepalive_s), shards_a_sweep(keepalive_s));
    let mut silent = 0;
    for seat in (0..shards).flat_map(|n| node.registry.seats_of((round * shards + n) % SHARDS)) {
        match seat.silent_s(now_s) {
            quiet_s if quiet_s > limit_s => {
                silent += 1;
                seat.tell(Word::Close(Refusal::TooSlow, RECONNECT_MS));
            }
            // A client speaks up after a whole interval only.
            quiet_s if quiet_s >= keepalive_s / 2 => seat.tell(Word::Look),
            _ => {}
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

/// Two keepalives may be lost, and half an interval for a slow network.
const fn silence_max_s(keepalive_s: u32) -> u32 {
    keepalive_s.saturating_mul(5) / 2
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
}
