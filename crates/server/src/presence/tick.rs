//! What waits for the clock: graces that end, and changes that found no room in their second.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use godwit_actor::{ChildContext, Exit};
use tokio::task::yield_now;

use super::{Moment, Presence, SHARDS, Shard, TELLINGS_PER_S};
use crate::node::Node;
use crate::pulse::Pulse;

/// Ticks until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    let mut pulse = Pulse::new(&child, "fault::presence");
    loop {
        tokio::select! {
            biased;
            () = child.stopping() => return Exit::Stopped,
            () = pulse.next() => {}
        }
        // When all devices of a process are lost at once, each waits ten ticks for the end of its grace:
        // 15,000 of them in one go would be some milliseconds before every message.
        for () in node.presence.shards_of_a_tick(node.moment()) {
            yield_now().await;
        }
        if let Err(exit) = pulse.beat().await {
            return exit;
        }
    }
}

impl Presence {
    /// A second begins; with each step one more shard is done. Every shard has its turn to be the first, so
    /// that none always finds the room used up.
    fn shards_of_a_tick(&self, now: Moment) -> impl Iterator<Item = ()> {
        self.room.store(TELLINGS_PER_S, Ordering::Relaxed);
        let first = now.s as usize;
        (first..first + SHARDS).map(move |shard| self.tick_shard(&mut self.shard_at(shard), now))
    }

    /// A whole one.
    #[cfg(test)]
    pub(crate) fn tick(&self, now: Moment) {
        self.shards_of_a_tick(now).for_each(drop);
    }

    fn tick_shard(&self, shard: &mut Shard, now: Moment) {
        for account in std::mem::take(&mut shard.due) {
            let Some(entry) = shard.accounts.get_mut(&account) else { continue };
            entry.due = false;
            let gave_up = entry.gives_up(now.s);
            let (waits, untold) = (entry.waits(), entry.untold);
            if gave_up || untold {
                self.announce(shard, account, now.s);
            }
            if waits {
                shard.put_off(account);
            }
        }
    }
}
