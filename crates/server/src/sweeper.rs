//! Housekeeping once a second: silent sessions, and rendezvous that are over. It waits for nothing but the
//! clock, so that no slow disk keeps a session that is gone.

use std::sync::Arc;

use godwit_actor::{ChildContext, Exit};

use crate::node::Node;
use crate::pulse::Pulse;
use crate::session;

/// Sweeps until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    let mut pulse = Pulse::new(&child, "fault::sweeper");
    for round in 1.. {
        tokio::select! {
            biased;
            () = child.stopping() => break,
            () = pulse.next() => {}
        }
        node.relay.expire(node.now_ns());
        let silent = session::sweep(&node, round, node.now_s());
        if silent > 0 {
            tracing::debug!(silent, "silent sessions told to close");
        }
        if let Err(exit) = pulse.beat().await {
            return exit;
        }
    }
    Exit::Stopped
}
