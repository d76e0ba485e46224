//! The second hand of a part of the tree: it shows that the part is alive, and is what parts that do something
//! once a second go by.

use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::fault;

/// How often a part shows that it is alive. A timer each costs nothing that can be measured.
const BEAT: Duration = Duration::from_secs(1);

/// A part that has not done so twice in a row is ended and started anew, after 10 s: four signs missed each
/// time, which takes more than a busy machine, and short enough that nobody's keepalive is lost by it.
pub(crate) const BEATS_WITHIN: Duration = Duration::from_secs(5);

/// The same for a part that waits for the disk between two signs: the upkeep's first look after a long stop drops
/// millions of records, or thousands of files from a bucket. After twice as long it is started anew.
pub(crate) const DISK_WITHIN: Duration = Duration::from_secs(1_800);

/// The second hand.
pub(crate) struct Pulse {
    child: ChildContext,
    clock: Interval,
    /// Where a test has this part go wrong.
    point: &'static str,
}

impl Pulse {
    pub(crate) fn new(child: &ChildContext, point: &'static str) -> Self {
        let mut clock = interval(BEAT);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { child: child.clone(), clock, point }
    }

    /// Waits for the next second; the first is at once.
    ///
    /// # Cancel safety
    /// Safe: a second that was not waited for to its end comes again.
    pub(crate) async fn next(&mut self) {
        self.clock.tick().await;
    }

    /// Shows that the part is alive until it is told to stop, for one that only waits.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(crate) async fn until_stopped(&mut self) -> Exit {
        let child = self.child.clone();
        loop {
            tokio::select! {
                biased;
                () = child.stopping() => return Exit::Stopped,
                () = self.next() => if let Err(exit) = self.beat().await {
                    return exit;
                },
            }
        }
    }

    /// Shows that the part is alive.
    ///
    /// # Errors
    /// A test wants it to end.
    ///
    /// # Cancel safety
    /// Safe: it waits only if a test wants it to.
    pub(crate) async fn beat(&self) -> Result<(), Exit> {
        fault::meet(self.point).await?;
        self.child.beat();
        Ok(())
    }
}
