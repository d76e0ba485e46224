//! How the sessions end when the server goes down: each hears a goodbye with its own delay, so that
//! they do not all come back in the same instant, and gets time to take what is unsent. If another process
//! takes over, they are frozen instead.

use std::sync::Arc;
use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use godwit_wire::Refusal;
use tokio::time::{Instant, sleep};

use crate::handover::freezer;
use crate::node::Node;
use crate::pulse::Pulse;
use crate::registry::SHARDS;
use crate::seat::Word;

/// Time that peers have to close once everything is sent. One that has not done so by then may lose
/// its goodbye, and comes back by its own delay.
const LINGER: Duration = Duration::from_millis(500);

/// How often the last sessions are counted.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for the order to stop, then sends everybody home. Started again, after a part that sessions
/// lean on was, it lets them in again.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    node.set_draining(false);
    let mut pulse = Pulse::new(&child, "fault::sessions");
    match pulse.until_stopped().await {
        Exit::Stopped => {}
        exit => return exit,
    }
    if node.freezer.is_asked() {
        freezer::freeze(&node).await;
        return Exit::Stopped;
    }
    node.set_draining(true);
    let deadline = Instant::now() + Duration::from_millis(node.config.drain.timeout_ms);
    let seats = (0..SHARDS).flat_map(|shard| node.registry.seats_of(shard));
    let told = seats
        .map(|seat| seat.tell(Word::Close(Refusal::Draining, node.reconnect_after_ms())))
        .count();
    while node.registry.live() > 0 && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    let deadline = deadline.min(Instant::now() + LINGER);
    while node.registry.lingering() > 0 && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    tracing::info!(told, left = node.registry.live(), "sessions drained");
    Exit::Stopped
}
