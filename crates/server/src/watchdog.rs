//! The watchdog: what nobody on a worker could notice, because it would wait for that worker. A thread of its
//! own looks four times a second whether turns of sessions end, whether any worker has time for anybody, and
//! whether the store's writer comes back. It can only tell: nothing ends a thread from outside. A session
//! whose turn took long and ended is told by itself. While some worker has time for it systemd hears that, and ends
//! the process if it does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use tokio::sync::oneshot;

use crate::node::Node;
use crate::pulse::Pulse;
use crate::systemd;
use crate::turns::AtWork;

/// Between two looks: what is told after a second is told at most a quarter later. A look reads two words for
/// each worker.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_MS: u64 = 250;

/// A turn that lasts so long is told while it lasts: a thousand times what a whole turn's budget takes, and
/// so long the sessions of its worker have waited.
pub(crate) const TURN_MS: u64 = 1_000;

/// No worker had time for a task that is due each second. Shorter, and a machine that is busy with something
/// else would be told of.
const RUNTIME_MS: u64 = 5_000;

/// The store's writer is in one batch. A batch takes milliseconds, on a worn disk a second.
const STORE_MS: u64 = 10_000;

/// Looks until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>) -> Exit {
    let seconds = Arc::new(AtomicU64::new(0));
    // Let go of when this ends, however it does: then the thread ends too.
    let (_looks, told) = channel::<()>();
    let (lives, mut ended) = oneshot::channel::<()>();
    let (watched, counted) = (Arc::clone(&node), Arc::clone(&seconds));
    let thread = Builder::new().name("godwitd-watch".into()).spawn(move || {
        let _lives = lives;
        look_on(&watched, &counted, &told);
    });
    if let Err(error) = thread {
        return Exit::failed(format_args!("no thread to watch from: {error}"));
    }
    let mut pulse = Pulse::new(&child, "fault::watchdog");
    loop {
        tokio::select! {
            biased;
            () = child.stopping() => return Exit::Stopped,
            _ = &mut ended => return Exit::failed("the thread that watches has ended"),
            () = pulse.next() => {}
        }
        seconds.fetch_add(1, Ordering::Relaxed);
        if let Err(exit) = pulse.beat().await {
            return exit;
        }
        systemd::lives();
    }
}

fn look_on(node: &Node, seconds: &AtomicU64, told: &Receiver<()>) {
    let mut watch = Watch::default();
    while told.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        watch.look(node, seconds.load(Ordering::Relaxed));
    }
}

/// What was seen and told so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// By desk, those that are at work: when the turn began, and what was told of it.
    turns: HashMap<usize, (u64, Alarm)>,
    second: u64,
    /// Looks since another second began. Counted, not measured: who stopped the whole process for a while
    /// stopped the looks too.
    looks: u64,
    runtime: Alarm,
    store: Alarm,
}

impl Watch {
    pub(crate) fn look(&mut self, node: &Node, second: u64) {
        self.look_at_turns(node);
        self.look_at_workers(node, second);
        let busy_ms = node.store.busy_ms();
        if let Some(ring) = self.store.rings(busy_ms, STORE_MS) {
            if ring == Ring::First {
                node.meters.store_stalls.inc();
            }
            tracing::error!(busy_ms, "the store's writer does not come back; look at the disk");
        }
    }

    fn look_at_turns(&mut self, node: &Node) {
        let at_work: Vec<AtWork> = node.turns.at_work().collect();
        self.turns.retain(|desk, (began_ns, _)| {
            at_work.iter().any(|turn| turn.desk == *desk && turn.began_ns == *began_ns)
        });
        let now_ns = node.now_ns();
        for AtWork { desk, token, began_ns } in at_work {
            let (_, alarm) = self.turns.entry(desk).or_insert((began_ns, Alarm::default()));
            let running_ms = now_ns.saturating_sub(began_ns) / 1_000_000;
            if let Some(ring) = alarm.rings(running_ms, TURN_MS) {
                if ring == Ring::First {
                    node.meters.stuck_turns.inc();
                }
                let device = node.registry.device_of(token);
                tracing::error!(?device, token = token.0, running_ms, "turn does not end");
            }
        }
    }

    fn look_at_workers(&mut self, node: &Node, second: u64) {
        let is_new = std::mem::replace(&mut self.second, second) != second;
        self.looks = if is_new { 0 } else { self.looks.saturating_add(1) };
        let silent_ms = self.looks.saturating_mul(LOOK_MS);
        if let Some(ring) = self.runtime.rings(silent_ms, RUNTIME_MS) {
            if ring == Ring::First {
                node.meters.runtime_stalls.inc();
            }
            tracing::error!(silent_ms, "no worker has time for anybody");
        }
    }
}

/// When something that lasts is told: once, and again each time that it has lasted ten times as long.
#[derive(Debug, Default)]
struct Alarm {
    /// 0: nothing was told.
    next_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ring {
    First,
    Again,
}

impl Alarm {
    /// Whether it is to be told that it has lasted so long.
    fn rings(&mut self, lasted_ms: u64, first_ms: u64) -> Option<Ring> {
        if lasted_ms < first_ms {
            self.next_ms = 0;
            return None;
        }
        let ring = if self.next_ms == 0 { Ring::First } else { Ring::Again };
        if lasted_ms < self.next_ms {
            return None;
        }
        self.next_ms = self.next_ms.max(first_ms).saturating_mul(10);
        Some(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_in_time_and_then_ten_times_more_rarely() {
        let mut alarm = Alarm::default();
        let told = |alarm: &mut Alarm, ms| alarm.rings(ms, 1_000);
        assert_eq!(told(&mut alarm, 999), None);
        assert_eq!(told(&mut alarm, 1_000), Some(Ring::First));
        assert_eq!(told(&mut alarm, 9_999), None);
        assert_eq!(told(&mut alarm, 10_000), Some(Ring::Again));
        assert_eq!(told(&mut alarm, 99_999), None);
        assert_eq!(told(&mut alarm, 100_000), Some(Ring::Again));
        assert_eq!(told(&mut alarm, 0), None);
        assert_eq!(told(&mut alarm, 50_000), Some(Ring::First), "another one");
    }
}
