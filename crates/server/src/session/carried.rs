//! A session as data: how it leaves this process, and how it goes on in another, or in this one if the
//! other does not come up. Both are the same road (decision 0156).

use std::sync::Arc;
use std::time::Duration;

use godwit_link::Transport;
use godwit_wire::{Refusal, v1};
use prost::Message as _;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::inbound::Inbound;
use super::looking::Looking;
use super::outbound::Outbound;
use super::protocol::Machine;
use super::requests::{self, Jobs};
use super::socket::NotJoined;
use super::turn::Feed;
use super::{Over, Session, Socket, Stage};
use crate::handover::{Damaged, Frozen, SessionRecord};
use crate::node::{Mark, Node};
use crate::registry::Bound;
use crate::seat::Word;

/// Why a session did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotThawed {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Socket(#[from] NotJoined),
}

impl Session {
    /// It is to go, and nothing of it is under way: what it submitted is settled and answered (M4: the
    /// counter that it refuses from is made of that), and so is all that it asked. What waits for another
    /// device is asked again elsewhere.
    pub(super) fn can_be_packed(&self) -> bool {
        self.stage == Stage::Freezing
            && self.machine.is_settled()
            && self.machine.requests() == self.jobs.waits().count()
    }

    /// Becomes data, which lies with the others from here on. This session seals nothing more (M11).
    pub(super) fn pack(&mut self) -> Over {
        let mut record = SessionRecord::default();
        self.machine.pack(&mut record);
        record.heard_s = self.seat.heard_s();
        record.interval_s = self.seat.interval_s().unwrap_or(0);
        record.mark = self.from.map_or(0, Mark::number);
        record.dozes = self.dozes;
        record.half_read = self.inbound.rest().to_vec();
        record.unsent = self.outbound.rest().to_vec();
        record.waits = self.jobs.waits().map(v1::Relay::encode_to_vec).collect();
        if let Some(looking) = self.looking.take() {
            record.looking = Some(Box::new(looking.pack(&self.node, &self.seat)));
        }
        let stream = match self.socket.part() {
            Ok((stream, carried)) => {
                record.web_socket = carried;
                stream
            }
            Err(error) => {
                tracing::warn!(%error, "session not frozen");
                return Over::Gone;
            }
        };
        let parted = self.transport.part();
        (record.sealed, record.opened) = (parted.sealed, parted.opened);
        record.seal_key = parted.seal_key.to_vec();
        record.open_key = parted.open_key.to_vec();
        let record = Box::new(Zeroizing::new(record));
        let ordinal = self.seat.ordinal();
        self.node.freezer.count(&record, self.seat.records.has_overflowed());
        self.node.freezer.lay(Frozen { ordinal, stream, record });
        Over::Frozen
    }

    /// Goes on from what was packed. It is not polled yet: first all others are to be there.
    ///
    /// # Errors
    /// [`NotThawed`]: this one does not; its socket is closed.
    pub(crate) fn thaw(node: &Arc<Node>, frozen: Frozen) -> Result<Self, NotThawed> {
        let Frozen { stream, mut record, .. } = frozen;
        let mut machine = Machine::unpack(&record)?;
        let socket = Socket::join(stream, &record.web_socket)?;
        let transport = Transport::join(&record.keys()?);
        let now_s = node.now_s();
        let seat = node.registry.enter(now_s);
        seat.heard(record.heard_s);
        seat.quiet_for(record.interval_s);
        let from = Mark::of_number(record.mark);
        let mut jobs = Jobs::default();
        for relay in record.waits.iter().flat_map(|bytes| v1::Relay::decode(bytes.as_slice())) {
            if let Some(request) = machine.asks_again(relay) {
                jobs.push(requests::start(node, from, request));
            }
        }
        let device = machine.device();
        let mut feed = Feed::Off;
        if let Some(device) = machine.attached() {
            // What was appended since the inbox was left behind is in the mailbox.
            feed = Feed::Behind;
            match node.registry.bind(device, &seat) {
                Bound::Alone => {}
                Bound::Displaces(older) => older.tell(Word::Close(Refusal::Displaced, 0)),
                Bound::TooLate => seat.tell(Word::Close(Refusal::Displaced, 0)),
            }
        }
        // By a list that was published after this session was packed.
        if device.is_some_and(|device| node.store.is_removed(device)) {
            seat.tell(Word::Close(Refusal::DeviceRevoked, 0));
        }
        // A keepalive may have come meanwhile, which by itself wakes nobody.
        seat.tell(Word::Look);
        let looking = device.zip(record.looking.as_ref());
        let looking =
            looking.map(|(device, looking)| Looking::unpack(device, looking, node, &seat));
        let mut session = Self {
            node: Arc::clone(node),
            from,
            socket,
            transport,
            inbound: Inbound::starting_with(&record.half_read),
            outbound: Outbound::starting_with(std::mem::take(&mut record.unsent)),
            machine,
            jobs,
            feed,
            looking: looking.map(Box::new),
            stage: Stage::Open,
            until: None,
            dozes: record.dozes,
            seat,
        };
        // To the second.
        let held_s = record.heard_s.saturating_sub(now_s);
        if held_s > 0 {
            session.lasts(Stage::Held, sleep(Duration::from_secs(held_s.into())));
        }
        Ok(session)
    }

    /// All sessions are there: it looks at those whom its device looks at.
    pub(crate) fn looks_around(&self) {
        if let Some(looking) = &self.looking {
            looking.types_on(&self.node, &self.seat);
        }
    }
}
