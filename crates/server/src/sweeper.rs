//! Housekeeping once a second: silent sessions, rendezvous that are over, and from time to time expired
//! records and files, and the key of the resumption tickets.

use std::sync::Arc;
use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use godwit_store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::media;
use crate::node::Node;
use crate::session;

const ROUND: Duration = Duration::from_secs(1);

/// Rounds between two looks for what has grown old: records, the key of tickets, rates.
const AGE_ROUNDS: usize = 60;

/// Sweeps until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    tokio::spawn(media::tidy(Arc::clone(&node)));
    sweep(child, node, true).await
}

/// Sweeps until told to stop; the files too, if they are to be.
pub(crate) async fn sweep(child: ChildContext, node: Arc<Node>, with_files: bool) -> Exit {
    let mut clock = interval(ROUND);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 1.. {
        tokio::select! {
            biased;
            () = child.stopping() => break,
            _ = clock.tick() => {}
        }
        node.relay.expire(node.now_ns());
        let silent = session::sweep(&node, round, node.now_s());
        if silent > 0 {
            tracing::debug!(silent, "silent sessions told to close");
        }
        if round % AGE_ROUNDS == 0 {
            node.renew_tickets();
            node.forget_rates();
            expire(&child, &node).await;
            if with_files {
                media::sweep(&node).await;
            }
        }
    }
    Exit::Stopped
}

/// Drops what is expired, slice by slice, so that nobody waits behind it for long.
async fn expire(child: &ChildContext, node: &Node) {
    while !child.is_stopping() {
        match node.store.sweep().await {
            Ok(swept) => {
                if swept.expired + swept.orphaned > 0 {
                    tracing::info!(swept.expired, swept.orphaned, "records dropped");
                }
                if swept.clock_leapt {
                    tracing::warn!(
                        "the clock leapt forward by more than a day; nothing expires until it has stood for one"
                    );
                }
                if !swept.more {
                    return;
                }
            }
            Err(StoreError::Damaged(what)) => {
                return tracing::error!(
                    what,
                    "store damaged; stop the server and restore a backup"
                );
            }
            Err(error) => return tracing::warn!(%error, "no sweep of the store"),
        }
    }
}
