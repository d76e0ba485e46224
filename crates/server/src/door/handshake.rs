//! From the first bytes of a client to its session: preface, Noise handshake, welcome.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_link::{Arrival, LinkError, Responder, Transport};
use godwit_store::Standing;
use godwit_wire::preface::{
    CLIENT_HEAD_BYTES, ClientPreface, HANDSHAKE_BYTES_MAX, Mode, Parsed, PrefaceError,
    ServerPreface,
};
use godwit_wire::{Refusal, negotiate, v1};
use std::sync::PoisonError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::appointments::Hours;
use crate::meters::Meters;
use crate::node::Node;
use crate::session::{Peer, Session, Socket, Stranger};

/// A full handshake's first message with its preface is under 256 bytes, so one read takes it.
pub(super) const FIRST_BYTES: usize = 256;

/// No right client sends more before it is answered, early frames of a resumption apart.
const PREFACE_BYTES_MAX: usize = CLIENT_HEAD_BYTES + HANDSHAKE_BYTES_MAX;

/// How long a refused client may take to hear it.
const LINGER: Duration = Duration::from_secs(1);

/// Retry after a fault of ours.
const INTERNAL_MS: u32 = 1_000;
/// Retry when there are too many connections: others have to go first. The times are as far apart as
/// those of the door.
pub(crate) const COME_LATER: Hours = Hours { first_ms: 10_000, gap_us: 500, last_ms: 60_000 };

/// Who stands at the door.
pub(super) struct Visitor {
    pub(super) socket: Socket,
    /// What was read already.
    pub(super) first: Vec<u8>,
    pub(super) address: IpAddr,
}

/// A no before there is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct No(Refusal, u32);

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self(refusal, 0)
    }
}

/// An answered handshake.
struct Answered {
    reply: Vec<u8>,
    transport: Transport,
    peer: Peer,
    consumed: usize,
    mode: Mode,
}

/// The bytes of a refusal.
pub(super) fn refusal(refusal: Refusal, retry_after_ms: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(7);
    // A refusal has no length that could be wrong.
    let _ =
        ServerPreface::Refused { code: refusal.number(), retry_after_ms }.encode_into(&mut bytes);
    bytes
}

/// Does the handshake with a client; its session, if it becomes one, is a task of its own. The
/// caller sets the deadline.
pub(super) async fn admit(node: &Arc<Node>, mut visitor: Visitor) {
    let answer = loop {
        match parse(&visitor.first) {
            Ok(Some(parsed)) => break answer(node, &parsed, visitor.address).await,
            Err(no) => break Err(no.into()),
            Ok(None) => {}
        }
        match visitor.socket.read_buf(&mut visitor.first).await {
            Ok(n) if n > 0 => {}
            _ => return Meters::count(&node.meters.handshakes, "gone"),
        }
    };
    match answer {
        Err(No(no, retry_after_ms)) => {
            Meters::count(&node.meters.handshakes, no.name());
            tracing::debug!(refusal = no.name(), "handshake refused");
            turn_away(visitor.socket, &refusal(no, retry_after_ms)).await;
        }
        Ok(answered) => {
            if visitor.socket.write_all(&answered.reply).await.is_err()
                || visitor.socket.flush().await.is_err()
            {
                return Meters::count(&node.meters.handshakes, "gone");
            }
            let kind = match answered.mode {
                Mode::Full => "full",
                Mode::Resume => "resumed",
            };
            Meters::count(&node.meters.handshakes, kind);
            let early = visitor.first.get(answered.consumed..).unwrap_or_default();
            let Answered { transport, peer, .. } = answered;
            let Visitor { socket, address, .. } = visitor;
            let session = Session::new(Arc::clone(node), socket, transport, peer, address, early);
            tokio::spawn(session);
        }
    }
}

/// Says no, and reads until the client has closed: closing first could throw the answer away.
async fn turn_away(mut socket: Socket, bytes: &[u8]) {
    let _ = timeout(LINGER, async {
        if socket.write_all(bytes).await.is_ok() && socket.shutdown().await.is_ok() {
            let mut rest = [0; 1_024];
            while matches!(socket.read(&mut rest).await, Ok(n) if n > 0) {}
        }
    })
    .await;
}

/// The answer to a whole preface, when it is its turn.
async fn answer(
    node: &Node,
    parsed: &Parsed<ClientPreface<'_>>,
    address: IpAddr,
) -> Result<Answered, No> {
    let mode = parsed.preface.mode;
    if node.is_draining() {
        return Err(No(Refusal::Draining, node.reconnect_after_ms()));
    }
    if node.registry.live() >= node.config.session.connections_max {
        return Err(No(Refusal::Busy, node.come_later.next_ms(node.now_ns())));
    }
    let Some(_turn) = node.line.turn(mode).await else {
        return Err(No(Refusal::Busy, node.come_again.next_ms(node.now_ns())));
    };
    let arrival = knock(node, &parsed.preface)?;
    let (reply, transport, peer) = welcome(node, arrival, address)?;
    let mut bytes = Vec::with_capacity(reply.len() + 3);
    ServerPreface::Reply(&reply)
        .encode_into(&mut bytes)
        .map_err(|_| No(Refusal::Internal, INTERNAL_MS))?;
    Ok(Answered { reply: bytes, transport, peer, consumed: parsed.consumed, mode })
}

/// The preface at the start of what came; `None`: read more.
fn parse(first: &[u8]) -> Result<Option<Parsed<ClientPreface<'_>>>, Refusal> {
    match ClientPreface::parse(first) {
        Ok(Some(parsed)) => Ok(Some(parsed)),
        Ok(None) if first.len() < PREFACE_BYTES_MAX => Ok(None),
        Err(PrefaceError::Version(_)) => Err(Refusal::UnsupportedVersion),
        Ok(None) | Err(_) => Err(Refusal::Malformed),
    }
}

fn knock(node: &Node, preface: &ClientPreface<'_>) -> Result<Arrival, No> {
    let arrival = match preface.mode {
        Mode::Full => Responder::ik(&node.identity().keys, preface.key_hint, preface.message),
        Mode::Resume => {
            let tickets = node.tickets.read().unwrap_or_else(PoisonError::into_inner);
            Responder::resume(&tickets, node.clock.unix_ms(), preface.message)
        }
    };
    arrival.map_err(no_of)
}

fn no_of(error: LinkError) -> No {
    match error {
        LinkError::UnknownServerKey => Refusal::UnknownServerKey.into(),
        LinkError::TicketInvalid | LinkError::TicketExpired => Refusal::BadTicket.into(),
        LinkError::Malformed { .. } | LinkError::NotAuthentic | LinkError::WeakKey => {
            Refusal::HandshakeFailed.into()
        }
        _ => {
            tracing::error!(%error, "handshake could not be answered");
            No(Refusal::Internal, INTERNAL_MS)
        }
    }
}

/// Looks up who it is and answers. Changes no state: the client's message may be a repetition by
/// somebody else, until a frame of the link opens.
fn welcome(
    node: &Node,
    arrival: Arrival,
    address: IpAddr,
) -> Result<(Vec<u8>, Transport, Peer), No> {
    let Arrival { responder, peer: link_key, payload } = arrival;
    let hello: v1::Hello =
        godwit_wire::decode(payload.as_slice()).map_err(|_| Refusal::Malformed)?;
    let spoken = negotiate(&hello)?;
    let (standing, device, peer) = match node.store.standing(&link_key.0) {
        Standing::Device(device) => {
            if let Some(wait_ms) = node.quarantine.wait_ms(device, node.now_ms()) {
                return Err(No(Refusal::Quarantined, wait_ms));
            }
            (v1::Standing::Device, Some(device), Peer::Device(device))
        }
        Standing::Revoked(device) => (v1::Standing::Revoked, Some(device), Peer::Revoked),
        Standing::Stranger => {
            let stranger = Box::new(Stranger::new(link_key.0, address));
            (v1::Standing::Stranger, None, Peer::Stranger(stranger))
        }
    };
    let (ticket, ticket_expires_ms) = node.ticket(&link_key).unwrap_or_default();
    let welcome = v1::Welcome {
        version: spoken.version,
        features: spoken.features,
        standing: standing.into(),
        account: device.map_or(0, |device| device.account.0),
        device: device.map_or(0, |device| device.number.0),
        time_ms: node.clock.unix_ms(),
        keepalive_s: node.config.link.keepalive_s,
        keepalive_max_s: node.config.link.longest_keepalive_s(),
        ticket: ticket.into(),
        ticket_expires_ms,
        highest_counter: device.map_or(0, |device| node.store.highest_counter(device)),
    };
    let (reply, established) = responder.reply(&godwit_wire::encode(&welcome)).map_err(no_of)?;
    Ok((reply, established.transport, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_preface_is_waited_for_and_no_longer_one_begins() {
        let message = [7; HANDSHAKE_BYTES_MAX];
        let preface = ClientPreface { mode: Mode::Full, key_hint: [1; 4], message: &message };
        let mut bytes = Vec::new();
        preface.encode_into(&mut bytes).unwrap();
        assert_eq!(bytes.len(), PREFACE_BYTES_MAX);
        assert!(parse(&bytes[..PREFACE_BYTES_MAX - 1]).unwrap().is_none(), "one byte is missing");
        assert_eq!(parse(&bytes).unwrap().unwrap().consumed, PREFACE_BYTES_MAX);
        let one_more = u16::try_from(HANDSHAKE_BYTES_MAX + 1).unwrap().to_be_bytes();
        bytes[CLIENT_HEAD_BYTES - 2..CLIENT_HEAD_BYTES].copy_from_slice(&one_more);
        let no = parse(&bytes[..CLIENT_HEAD_BYTES]).map(|parsed| parsed.is_some());
        assert_eq!(no, Err(Refusal::Malformed), "at once, from the length");
    }
}
