//! Where sessions lie that are data, and how they come to lie there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use godwit_wire::Refusal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::{Carried, NodeRecord, SessionRecord};
use crate::node::Node;
use crate::registry::SHARDS;
use crate::seat::Word;
use crate::session::{Carrier, Session};

/// How long those may take to finish their handshake who stand at the door. Everybody else is served
/// meanwhile; who has not finished dials again.
const ARRIVE_TIME: Duration = Duration::from_secs(2);

/// How long sessions may take to settle what is under way: a sync of a slow disk takes a tenth of it, and a
/// client that awaits an answer gives its link up after 20 s. Who cannot by then is sent home.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// How long those may take to hear their goodbye.
const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// All of it, the first twice, and room for what is between.
pub(crate) const FREEZE_TIME: Duration = Duration::from_secs(10);

const _: () = assert!(
    2 * ARRIVE_TIME.as_millis() + SETTLE_TIME.as_millis() + GOODBYE_TIME.as_millis()
        < FREEZE_TIME.as_millis(),
    "a freeze that is cut short loses sessions"
);

/// How often those are counted who are not frozen yet: a fraction of what the silence may be.
const LOOK: Duration = Duration::from_millis(2);

/// A session as data. Its socket stays open.
pub(crate) struct Frozen {
    /// The links of one device must come back in the order in which they were made.
    pub(crate) ordinal: u32,
    pub(crate) stream: Carrier,
    /// Whole: it is bytes on the road alone, and read where it leaves the road.
    pub(crate) record: Box<Zeroizing<SessionRecord>>,
}

/// Of one node.
#[derive(Debug)]
pub(crate) struct Freezer {
    asked: AtomicBool,
    /// Who is no session by now never is.
    closed: watch::Sender<bool>,
    lie: Mutex<Vec<Frozen>>,
    carried: Mutex<Carried>,
    dropped: AtomicUsize,
    /// When the first was told.
    since: OnceLock<Instant>,
}

impl Default for Freezer {
    fn default() -> Self {
        Self {
            asked: AtomicBool::new(false),
            closed: watch::Sender::new(false),
            lie: Mutex::default(),
            carried: Mutex::default(),
            dropped: AtomicUsize::new(0),
            since: OnceLock::new(),
        }
    }
}

impl Freezer {
    /// When the server goes down, its sessions are to be frozen and not to be sent home.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// The door is closed for good: whoever becomes a session all the same freezes at once.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// A session is data.
    pub(crate) fn lay(&self, frozen: Frozen) {
        self.lie.lock().unwrap_or_else(PoisonError::into_inner).push(frozen);
    }

    /// One that becomes data was in the midst of this.
    pub(crate) fn count(&self, record: &SessionRecord, inbox_is_full: bool) {
        let carried = &mut *self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        carried.count(record, inbox_is_full);
    }

    /// What all of them were in the midst of.
    pub(crate) fn carried(&self) -> Carried {
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, those first whose link was made first.
    pub(crate) fn take(&self, entered: u32) -> Vec<Frozen> {
        let lie = &mut *self.lie.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(lie);
        // The count wraps; the oldest is the one that is furthest behind it.
        all.sort_by_key(|frozen| frozen.ordinal.wrapping_sub(entered));
        all
    }

    /// Sessions that had to be sent home.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    /// When sessions began to be silent.
    pub(crate) fn since(&self) -> std::time::Instant {
        self.since.get().copied().unwrap_or_else(Instant::now).into_std()
    }

    /// What somebody does who stands at the door; none if it did not end before the door was closed for good.
    pub(crate) async fn unless_closed<T>(&self, does: impl Future<Output = T>) -> Option<T> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            done = does => Some(done),
        }
    }
}

/// Freezes all sessions of a node whose door takes nobody any more.
pub(crate) async fn freeze(node: &Arc<Node>) {
    let freezer = &node.freezer;
    let _ = timeout(ARRIVE_TIME, node.crowd.is_gone()).await;
    freezer.closed.send_replace(true);
    // It takes each of them a turn to go.
    let _ = timeout(ARRIVE_TIME, node.crowd.is_gone()).await;
    freezer.since.get_or_init(Instant::now);
    for seat in (0..SHARDS).flat_map(|shard| node.registry.seats_of(shard)) {
        seat.tell(Word::Freeze);
    }
    until_nobody_is_left(node, SETTLE_TIME).await;
    let late = node.registry.live().saturating_sub(node.registry.leaving());
    freezer.dropped.store(late, Ordering::Relaxed);
    if late > 0 {
        for seat in (0..SHARDS).flat_map(|shard| node.registry.seats_of(shard)) {
            seat.tell(Word::Close(Refusal::Draining, node.reconnect_after_ms()));
        }
        until_nobody_is_left(node, GOODBYE_TIME).await;
    }
    tracing::info!(dropped = late, "sessions frozen");
}

/// Those who have said goodbye are no sessions any more that somebody could miss.
async fn until_nobody_is_left(node: &Node, patience: Duration) {
    let deadline = Instant::now() + patience;
    while node.registry.live() > node.registry.leaving() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
}

/// What of a node goes to another process beside its sessions.
pub(crate) fn pack(node: &Node, sessions: usize) -> Zeroizing<NodeRecord> {
    Zeroizing::new(NodeRecord {
        now_ns: node.now_ns(),
        media_key: node.media.ticket_key().to_vec(),
        quarantined: node.quarantine.pack(),
        rendezvous: node.relay.pack(),
        present: node.presence.pack(),
        sessions: sessions as u64,
    })
}

/// All sessions go on, on a node that began from the record. Returns how many did not.
pub(crate) fn thaw(node: &Arc<Node>, record: &NodeRecord, frozen: Vec<Frozen>) -> usize {
    node.quarantine.unpack(&record.quarantined);
    node.relay.unpack(&record.rendezvous);
    node.presence.unpack(&record.present);
    let mut lost = 0;
    let mut sessions = Vec::with_capacity(frozen.len());
    for one in frozen {
        match Session::thaw(node, one) {
            Ok(session) => sessions.push(session),
            Err(error) => {
                lost += 1;
                tracing::warn!(%error, "a session does not go on");
            }
        }
    }
    // Nobody has had a turn: all of them are back before any looks at another.
    node.presence.all_returned(node.moment());
    sessions.iter().for_each(Session::looks_around);
    for session in sessions {
        tokio::spawn(session);
    }
    lost
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").field("ordinal", &self.ordinal).finish_non_exhaustive()
    }
}
