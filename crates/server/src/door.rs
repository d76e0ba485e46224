//! The door: one port for everything. Accepts connections, at most so many unfinished at a time; the
//! first bytes tell who comes in: `GW` is a client, anything else is HTTP.

mod crowd;
mod handshake;
mod http;
mod line;
mod page;
mod prefixed;
mod queue;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_actor::{ChildContext, Exit};
use godwit_wire::Refusal;
use socket2::{Domain, Protocol, Socket as Socket2, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::appointments::Hours;
use crate::config::Config;
use crate::fault;
use crate::meters::Meters;
use crate::node::Node;
use crate::pulse::Pulse;
use crate::session::Socket;
pub(crate) use crowd::Crowd;
use crowd::{Full, Place};
use handshake::Visitor;

pub(crate) use handshake::COME_LATER;
pub(crate) use line::Line;

/// Connections accepted before other tasks of the worker have their turn.
const ACCEPTS_A_TURN: u32 = 64;

/// How long the door waits for a free place before it refuses: a storm of honest clients passes at
/// thousands a second, so after so long the places are taken by something else.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Pause after the system refused to accept, for example because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When those may come again who were turned away: 2,000 a second, a third of the full handshakes that
/// one core does in a second, so that those who come on time find room beside everybody else. A minute
/// is how long clients wait by themselves at most; 116,000 have times of their own until then.
pub(crate) const COME_AGAIN: Hours = Hours { first_ms: 2_000, gap_us: 500, last_ms: 60_000 };

/// What a client has usually said when its turn to be turned away comes: a preface.
const SAID_BYTES: usize = 512;

/// Binds the port; it is listened on from here on, and connections wait until [`run`] accepts them.
///
/// # Errors
/// Whatever the system says, an address in use above all.
pub(crate) fn bind(config: &Config) -> io::Result<TcpListener> {
    let address = config.listen;
    let socket = Socket2::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server takes its port again while old connections are still fading.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(queue::BACKLOG)?;
    queue::tell_if_short(config.session.connections_max);
    TcpListener::from_std(socket.into())
}

/// Accepts until told to stop.
pub(crate) async fn run(child: ChildContext, node: Arc<Node>, listener: Arc<TcpListener>) -> Exit {
    let crowd = &node.crowd;
    let mut pulse = Pulse::new(&child, "fault::door");
    let mut crowded = false;
    let mut accepted = 0_u32;
    loop {
        let connection = tokio::select! {
            biased;
            () = child.stopping() => return Exit::Stopped,
            () = pulse.next() => match pulse.beat().await {
                Ok(()) => continue,
                Err(exit) => return exit,
            },
            connection = listener.accept() => connection,
        };
        match connection {
            Ok((stream, address)) => {
                let patience = if crowded { Duration::ZERO } else { PLACE_WAIT };
                let place = crowd.enter(address.ip(), patience).await;
                match place {
                    Ok(place) => {
                        crowded = false;
                        let node = Arc::clone(&node);
                        tokio::spawn(async move {
                            let entered = enter(Arc::clone(&node), stream, address, place);
                            node.freezer.unless_closed(entered).await;
                        });
                    }
                    Err(full) => {
                        crowded |= full == Full::Door;
                        turn_away(&node, &stream, full);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        accepted = accepted.wrapping_add(1);
        if accepted.is_multiple_of(ACCEPTS_A_TURN) {
            tokio::task::yield_now().await;
        }
    }
}

/// The cheapest refusal: no task, seven bytes if they fit at once.
fn turn_away(node: &Node, stream: &TcpStream, full: Full) {
    Meters::count(&node.meters.connections, "turned away");
    // Closed with unread bytes, a connection is reset, and the refusal may be thrown away with it.
    let _ = stream.try_read(&mut [0; SAID_BYTES]);
    let retry_after_ms = match full {
        Full::Door => node.come_again.next_ms(node.now_ns()),
        // No other's times are moved by one address that dials without end.
        Full::Address => COME_AGAIN.first_ms,
    };
    // What does not fit is lost: the peer sees a closed connection and comes back all the same.
    let _ = stream.try_write(&handshake::refusal(Refusal::Busy, retry_after_ms));
}

/// A native client that comes by something else than the port, until it is a session or refused; within the
/// deadline.
#[cfg(feature = "driven")]
pub(crate) async fn enter_by(node: Arc<Node>, socket: Socket, address: std::net::IpAddr) {
    Meters::count(&node.meters.connections, "native");
    let deadline = Duration::from_millis(node.config.session.handshake_timeout_ms);
    let Ok(_place) = node.crowd.enter(address, PLACE_WAIT).await else {
        return Meters::count(&node.meters.connections, "turned away");
    };
    let first = Vec::with_capacity(handshake::FIRST_BYTES);
    let admitted = handshake::admit(&node, Visitor { socket, first, address });
    let entered = node.freezer.unless_closed(timeout(deadline, Box::pin(admitted)));
    if let Some(Err(_)) = entered.await {
        Meters::count(&node.meters.handshakes, "too late");
    }
}

/// Counts a connection that ends by a panic, whose task takes nobody along.
struct CountsPanic<'a>(&'a Node);

impl Drop for CountsPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            Meters::count(&self.0.meters.handshakes, "panicked");
        }
    }
}

/// A connection until it is a session, an answered request, or refused; within the deadline.
async fn enter(node: Arc<Node>, mut stream: TcpStream, address: SocketAddr, place: Place) {
    let _counts = CountsPanic(&node);
    // Frames are gathered already; the system must not wait for more.
    let _ = stream.set_nodelay(true);
    let deadline = Duration::from_millis(node.config.session.handshake_timeout_ms);
    let entered = timeout(deadline, async {
        let mut first = Vec::with_capacity(handshake::FIRST_BYTES);
        if fault::meet("fault::connection").await.is_err() {
            return None;
        }
        while first.len() < 2 {
            if !matches!(stream.read_buf(&mut first).await, Ok(n) if n > 0) {
                return None;
            }
        }
        if !first.starts_with(b"GW") {
            return Some((stream, first, place));
        }
        Meters::count(&node.meters.connections, "native");
        let visitor = Visitor { socket: Socket::Tcp(stream), first, address: address.ip() };
        Box::pin(handshake::admit(&node, visitor)).await;
        None
    });
    match entered.await {
        Err(_) => Meters::count(&node.meters.handshakes, "too late"),
        Ok(None) => {}
        // Its deadline is its own: a file takes as long as it takes.
        Ok(Some((stream, first, place))) => {
            Meters::count(&node.meters.connections, "http");
            Box::pin(http::serve(&node, stream, first, address, place)).await;
        }
    }
}
