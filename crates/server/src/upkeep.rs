//! Housekeeping once a minute, which may wait for the disk: expired records and files, the key of the
//! resumption tickets, rates that nobody uses any more.

use std::sync::Arc;

use godwit_actor::{ChildContext, Exit};
use godwit_store::StoreError;

use crate::media;
use crate::node::Node;
use crate::pulse::Pulse;

/// Seconds between two looks for what has grown old.
const ROUNDS: usize = 60;

/// Looks until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    keep(child, node, Disk::OnThreads).await
}

/// Who waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// Threads that are there for it.
    OnThreads,
    /// A simulation has one thread, which waits; it has no files.
    #[cfg_attr(not(feature = "driven"), allow(dead_code, reason = "nobody drives"))]
    Driven,
}

/// Looks until told to stop.
pub(crate) async fn keep(child: ChildContext, node: Arc<Node>, disk: Disk) -> Exit {
    let mut pulse = Pulse::new(&child, "fault::upkeep");
    for round in 1.. {
        tokio::select! {
            biased;
            () = child.stopping() => break,
            () = pulse.next() => {}
        }
        if round % ROUNDS == 0 {
            match disk {
                Disk::OnThreads => {
                    if let Err(exit) = renew_tickets(&node).await {
                        return exit;
                    }
                }
                Disk::Driven => node.renew_tickets(),
            }
            node.forget_rates();
            expire(&child, &node).await;
            match disk {
                Disk::OnThreads => media::sweep(&node).await,
                Disk::Driven => {}
            }
        }
        if let Err(exit) = pulse.beat().await {
            return exit;
        }
    }
    Exit::Stopped
}

/// Changes the tickets' key if it is due, on a thread that may wait for the disk.
///
/// # Errors
/// It panicked there.
pub(crate) async fn renew_tickets(node: &Arc<Node>) -> Result<(), Exit> {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || node.renew_tickets()).await.map_err(Exit::failed)
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
