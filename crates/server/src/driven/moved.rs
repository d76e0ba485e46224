//! What goes from one driven server to the next: the same records as between two processes, through bytes.
//! Their sockets are pipes of this one.

use std::sync::Arc;

use prost::Message as _;
use zeroize::Zeroizing;

use crate::handover::{Damaged, Frozen, NodeRecord, SessionRecord, freezer};
use crate::media::TicketBoxKey;
use crate::node::Node;
use crate::session::Carrier;

/// All sessions of a server, as data. Dropped, their connections end.
pub struct Moved {
    record: Zeroizing<NodeRecord>,
    sessions: Vec<Packed>,
    dropped: usize,
}

/// One session as it is on the road.
struct Packed {
    ordinal: u32,
    stream: Carrier,
    bytes: Zeroizing<Vec<u8>>,
}

impl Packed {
    fn of(frozen: Frozen) -> Self {
        let Frozen { ordinal, stream, record } = frozen;
        Self { ordinal, stream, bytes: record.sealed_bytes() }
    }

    fn unpack(self) -> Result<Frozen, Damaged> {
        let Self { ordinal, stream, bytes } = self;
        Ok(Frozen { ordinal, stream, record: Box::new(SessionRecord::read(&bytes)?) })
    }
}

impl Moved {
    pub(super) fn of(node: &Node) -> Self {
        let sessions = node.freezer.take(node.registry.entered());
        let sessions: Vec<_> = sessions.into_iter().map(Packed::of).collect();
        let record = Zeroizing::new(freezer::pack(node, sessions.len()).encode_to_vec());
        let record = Zeroizing::new(NodeRecord::decode(record.as_slice()).unwrap_or_default());
        Self { record, sessions, dropped: node.freezer.dropped() }
    }

    /// How many there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions that had to be sent home before.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether all of it can be read by whoever takes it over.
    pub fn is_whole(&self) -> bool {
        self.sessions.iter().all(|one| SessionRecord::read(&one.bytes).is_ok())
    }

    /// Plants a fault: one of them is lost on the way, and nobody is told.
    pub fn lose_one(&mut self) {
        self.sessions.pop();
    }

    /// Plants a fault: the last byte of one of them is lost on the way.
    pub fn damage_one(&mut self) {
        if let Some(one) = self.sessions.last_mut() {
            one.bytes.pop();
        }
    }

    /// Plants a fault: each goes on one frame before where it stood.
    pub fn turn_back(&mut self) {
        for one in &mut self.sessions {
            if let Ok(mut record) = SessionRecord::read(&one.bytes) {
                record.sealed = record.sealed.saturating_sub(1);
                one.bytes = record.sealed_bytes();
            }
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.record.now_ns
    }

    pub(super) fn media_key(&self) -> Option<TicketBoxKey> {
        self.record.media_key.as_slice().try_into().ok().map(TicketBoxKey::new)
    }

    /// All go on there. Returns how many do not.
    pub(super) fn thaw(self, node: &Arc<Node>) -> usize {
        let all = self.sessions.len();
        let whole: Vec<_> = self.sessions.into_iter().flat_map(Packed::unpack).collect();
        all - whole.len() + freezer::thaw(node, &self.record, whole)
    }
}
