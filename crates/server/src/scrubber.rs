//! Reads the store's rows again and again and looks at their checksums, a slice a second, so that what rots on
//! a disk is found while there are backups that have it whole.

use std::sync::Arc;

use godwit_actor::{ChildContext, Exit};

use crate::node::Node;
use crate::pulse::Pulse;

/// Rows of the store that are scrubbed a second: 10 million take 83 minutes. Each is read and its checksum
/// computed, some microseconds of a reading thread; on a cold disk it may be a page each, 8 MB/s.
const ROWS: u32 = 2_000;

/// Seconds between the beginnings of two scrubs of everything: a small store is not read all day long.
pub(crate) const ROUNDS: usize = 3_600;

/// When the next slice is due.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    /// It rests until this round.
    from: usize,
    /// When the present scrub of everything began.
    begun: Option<usize>,
}

impl Scrub {
    /// Whether everything was read, and it is not time yet to begin anew.
    pub(crate) fn rests(&self, round: usize) -> bool {
        round < self.from
    }

    /// The next slice, unless it rests.
    pub(crate) async fn go_on(&mut self, node: &Node, round: usize) {
        if self.rests(round) {
            return;
        }
        let begun = *self.begun.get_or_insert(round);
        if slice(node).await {
            self.from = begun + ROUNDS;
            self.begun = None;
        }
    }
}

/// One slice; whether it was the last of all rows.
async fn slice(node: &Node) -> bool {
    match node.store.scrub(ROWS).await {
        Ok(found) => {
            if let Some(what) = found.what {
                tracing::error!(
                    what,
                    rows = found.damaged,
                    "the scrubber found damage in the store; stop the server and restore a backup"
                );
            }
            found.is_whole
        }
        // Busy or reopening: the same rows come with the next slice.
        Err(error) => {
            tracing::debug!(%error, "no scrub of the store");
            false
        }
    }
}

/// Scrubs until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    let mut pulse = Pulse::new(&child, "fault::scrubber");
    let mut scrub = Scrub::default();
    for round in 0.. {
        tokio::select! {
            biased;
            () = child.stopping() => break,
            () = pulse.next() => {}
        }
        scrub.go_on(&node, round).await;
        if let Err(exit) = pulse.beat().await {
            return exit;
        }
    }
    Exit::Stopped
}
