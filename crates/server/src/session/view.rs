//! What the operator sees of a session. It tells by itself, in its next turn: nobody else looks into it.

use godwit_base::Seq;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::protocol::Peer;
use super::turn::Feed;
use super::{Session, Stage};

/// The operator asks. Dropped without an answer, the session has ended.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) answer: oneshot::Sender<View>,
    /// So that questions to sessions that do not answer do not fill their words.
    pub(crate) _one_of_all: OwnedSemaphorePermit,
}

/// A session as it is at the end of a turn.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    stage: &'static str,
    peer: &'static str,
    /// Where it comes from, not as an address: the same for all links from there, and another after each
    /// start of the server. None is this machine.
    address_mark: Option<String>,
    feed: &'static str,
    caught_up: bool,
    /// The newest record that was written to the device on this link.
    last_sent: Seq,
    /// Submissions that the store has not settled.
    in_flight: u16,
    /// Requests that are not answered.
    requests: usize,
    /// What it waits for from the store.
    jobs: usize,
    /// Everything from this counter on is refused until it comes again,
    refused_from: Option<u64>,
    /// which it may in so many milliseconds.
    again_in_ms: Option<u64>,
    unsent_bytes: usize,
    half_read_bytes: usize,
    open_chats: usize,
}

impl Session {
    /// Answers all who asked in this turn.
    pub(super) fn tell(&self, asked: Vec<Asking>, now_ns: u64) {
        for asking in asked {
            // Who asked may have given up.
            let _ = asking.answer.send(self.view(now_ns));
        }
    }

    fn view(&self, now_ns: u64) -> View {
        let refused = self.machine.refused_from(now_ns);
        View {
            stage: match self.stage {
                Stage::Open => "open",
                Stage::Held => "held",
                Stage::Freezing => "freezing",
                Stage::Leaving => "leaving",
                Stage::Lingering => "lingering",
                Stage::Over => "over",
            },
            peer: match self.machine.peer() {
                Peer::Stranger(_) => "stranger",
                Peer::Device(_) => "device",
                Peer::Attached(_) => "attached",
                Peer::Revoked => "revoked",
            },
            address_mark: self.from.map(|mark| mark.to_string()),
            feed: match self.feed {
                Feed::Off => "off",
                Feed::Behind => "behind",
                Feed::Reading => "reading",
                Feed::Live => "live",
            },
            caught_up: self.machine.is_caught_up(),
            last_sent: self.machine.last_sent(),
            in_flight: self.machine.in_flight(),
            requests: self.machine.requests(),
            jobs: self.jobs.len(),
            refused_from: refused.map(|(from, _)| from),
            again_in_ms: refused.map(|(_, ms)| ms),
            unsent_bytes: self.outbound.unsent_bytes(),
            half_read_bytes: self.inbound.rest().len(),
            open_chats: self.looking.as_ref().map_or(0, |looking| looking.open_chats()),
        }
    }
}
