//! The most memory that a server took during a stretch of a run.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::machine::Processes;

/// Between two looks: what lives shorter is nobody's trouble, and a look costs 20 us.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks again and again while it lives.
pub struct Peak {
    most: Rc<Cell<Option<u64>>>,
    looking: JoinHandle<()>,
}

impl Peak {
    /// Begins to look.
    ///
    /// # Panics
    /// Outside a [`tokio::task::LocalSet`].
    pub fn watch(processes: Option<&Processes>) -> Self {
        let now = processes.and_then(Processes::rss_bytes);
        let most = Rc::new(Cell::new(now));
        let (seen, processes) = (Rc::clone(&most), processes.cloned().unwrap_or_default());
        let looking = tokio::task::spawn_local(async move {
            let mut clock = interval(LOOK_EVERY);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                // A process that has ended says nothing; what it said before stands.
                let now = processes.rss_bytes().filter(|bytes| *bytes > 0);
                seen.set(seen.get().max(now));
            }
        });
        Self { most, looking }
    }

    /// The most so far; `None` if the processes are unknown or say nothing.
    pub fn bytes(&self) -> Option<u64> {
        self.most.get().filter(|bytes| *bytes > 0)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    #[cfg(target_os = "linux")]
    async fn memory_that_is_given_back_is_remembered() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let peak = Peak::watch(Some(&Processes::me()));
                let before = peak.bytes().unwrap();
                let large = vec![1_u8; 64 << 20];
                while peak.bytes().unwrap() < before + (48 << 20) {
                    tokio::task::yield_now().await;
                }
                drop(large);
                assert!(peak.bytes().unwrap() >= before + (48 << 20));
                assert_eq!(Peak::watch(None).bytes(), None);
            })
            .await;
    }
}
