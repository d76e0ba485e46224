//! Who is silent for too long is gone. No timer a session: each notes the second in which it last
//! heard a byte, and a sweep passes over two shards of the registry each second.

use godwit_wire::Refusal;

use crate::node::Node;
use crate::registry::SHARDS;
use crate::seat::Word;

/// Shards of one sweep: the whole table in 32 s.
const SHARDS_A_SWEEP: usize = 2;

/// A peer that was silent and is there after all comes back; nothing is lost.
const RECONNECT_MS: u32 = 1_000;

/// Tells the silent sessions of the next two shards to close. Called once a second with a counter.
/// Returns how many were silent.
pub(crate) fn sweep(node: &Node, round: usize, now_s: u32) -> usize {
    let limit_s = silence_max_s(node.config.link.keepalive_s);
    let first = round * SHARDS_A_SWEEP;
    (first..first + SHARDS_A_SWEEP)
        .flat_map(|shard| node.registry.seats_of(shard % SHARDS))
        .filter(|seat| seat.silent_s(now_s) > limit_s)
        .map(|seat| seat.tell(Word::Close(Refusal::TooSlow, RECONNECT_MS)))
        .count()
}

/// Two keepalives may be lost, and half an interval for a slow network.
const fn silence_max_s(keepalive_s: u32) -> u32 {
    keepalive_s.saturating_mul(5) / 2
}
