//! Housekeeping once a minute, which may wait for the disk: expired records and files, the key of the
//! resumption tickets, rates that nobody uses any more.

use std::sync::Arc;
use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use godwit_store::StoreError;

use crate::media;
use crate::node::Node;
use crate::pulse::Pulse;

/// Seconds between two looks for what has grown old.
const ROUNDS: usize = 60;

/// It shows that it is alive between two looks, not within one: the first after a long stop drops millions of
/// records, or thousands of files from a bucket. After twice as long without a sign it is started anew.
pub(crate) const BEATS_WITHIN: Duration = Duration::from_secs(1_800);

/// Looks until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    keep(child, node, true).await
}

/// Looks until told to stop; at the files too, if they are to be.
pub(crate) async fn keep(child: ChildContext, node: Arc<Node>, with_files: bool) -> Exit {
    let mut pulse = Pulse::new(&child, "fault::upkeep");
    for round in 1.. {
        tokio::select! {
            biased;
            () = child.stopping() => break,
            () = pulse.next() => {}
        }
        if round % ROUNDS == 0 {
            node.renew_tickets();
            node.forget_rates();
            expire(&child, &node).await;
            if with_files {
                media::sweep(&node).await;
            }
        }
        if let Err(exit) = pulse.beat().await {
            return exit;
        }
    }
    Exit::Stopped
}

/// Once after a start: files of which nothing speaks. It takes as long as it takes, and if it fails the next
/// start does it.
pub(crate) async fn tidy(child: ChildContext, node: Arc<Node>) -> Exit {
    if let Err(exit) = crate::fault::meet("fault::tidier").await {
        return exit;
    }
    tokio::select! {
        biased;
        () = child.stopping() => Exit::Stopped,
        () = media::tidy(node) => Exit::Done,
    }
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
