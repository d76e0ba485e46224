//! From an address to a link that stands.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use godwit_base::JoinLink;
use godwit_link::{Initiator, PublicKey, StaticKey, Ticket};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::v1;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::arrivals::Arrivals;
use super::{Conn, Traffic, receive, websocket};
use crate::error::LoadError;
use crate::loss::{Loss, Losses};

/// Where the server is, and the key that proves it.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// The key in its join link.
    pub key: PublicKey,
    /// What the network on the way loses.
    pub loss: Loss,
}

impl Endpoint {
    /// A server behind a network that loses nothing.
    pub const fn new(address: SocketAddr, key: PublicKey) -> Self {
        Self { address, key, loss: Loss::percent(0) }
    }

    /// Looks the server of a join link up.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the name leads nowhere.
    ///
    /// # Cancel safety
    /// Safe: it changes nothing.
    pub async fn of(link: &JoinLink) -> Result<Self, LoadError> {
        let nowhere = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut found = tokio::net::lookup_host(link.address())
            .await
            .map_err(LoadError::io("looking the server up"))?;
        let address =
            found.next().ok_or_else(nowhere).map_err(LoadError::io("looking the server up"))?;
        Ok(Self::new(address, PublicKey(link.server_key)))
    }
}

/// How to shake hands.
#[derive(Debug, Clone, Copy)]
pub enum Via<'a> {
    /// With both static keys.
    Full,
    /// With a ticket of an earlier connection.
    Resume(&'a Ticket),
}

/// What the connection is like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Road {
    /// Where it comes from; any address if none.
    pub source: Option<Ipv4Addr>,
    /// It is a WebSocket.
    pub web_socket: bool,
    /// The client's system keeps little of what nobody reads.
    pub narrow: bool,
}

/// What the system of a narrow road keeps for a client that does not read.
const NARROW_BYTES: u32 = 16 * 1024;

/// Connects and shakes hands, without a limit on time.
pub(super) async fn open(
    to: Endpoint,
    device: &StaticKey,
    road: Road,
    via: Via<'_>,
) -> Result<Conn, LoadError> {
    let mut losses = Losses::of(to.loss, rand::random());
    if let Some(losses) = &mut losses {
        losses.connecting().await;
    }
    let mut stream = connect(to.address, road).await.map_err(LoadError::io("connecting"))?;
    let (mut inbound, mut arrivals) = (Vec::new(), Arrivals::default());
    let mut web = None;
    if road.web_socket {
        let mut incoming = Box::<websocket::Incoming>::default();
        let ahead = become_web_socket(&mut stream, to).await?;
        incoming.take(&ahead, &mut inbound)?;
        web = Some(incoming);
    }
    let hello = godwit_wire::encode(&v1::Hello {
        version: godwit_wire::VERSION,
        features: 0,
        client: concat!("godwit-bench/", env!("CARGO_PKG_VERSION")).to_owned(),
    });
    let (mode, (initiator, message)) = match via {
        Via::Full => (Mode::Full, Initiator::ik(device, &to.key, &hello)?),
        Via::Resume(ticket) => (Mode::Resume, Initiator::resume(ticket, &hello)?),
    };
    let mut said = Vec::new();
    let preface = ClientPreface { mode, key_hint: to.key.hint(), message: &message };
    preface.encode_into(&mut said)?;
    if let Some(losses) = &mut losses {
        losses.up().await;
    }
    // A server that turns somebody away may have closed before it was written to: what it said is
    // read all the same.
    if web.is_some() {
        let bytes = std::mem::take(&mut said);
        websocket::wrap(&bytes, &mut said);
    }
    let _ = stream.write_all(&said).await;
    let mut traffic = Traffic { up_bytes: said.len() as u64, down_bytes: 0 };
    let parsed = loop {
        match ServerPreface::parse(&inbound)? {
            Some(parsed) => break parsed,
            None => {
                let losses = losses.as_deref_mut();
                let web = web.as_deref_mut();
                let received = receive(&stream, losses, &mut arrivals, web, &mut inbound).await?;
                traffic.down_bytes += received as u64;
            }
        }
    };
    let established = match parsed.preface {
        ServerPreface::Reply(reply) => initiator.finish(reply)?,
        ServerPreface::Refused { code, retry_after_ms } => {
            let (what, code) = ("the handshake", code.into());
            return Err(LoadError::Refused { what, code, retry_after_ms });
        }
    };
    let rest = inbound.split_off(parsed.consumed);
    Ok(Conn {
        stream,
        transport: established.transport,
        inbound: rest,
        plain: Vec::new(),
        outbound: Vec::new(),
        traffic,
        losses,
        arrivals,
        web,
        welcome: godwit_wire::decode(established.payload.as_slice())?,
    })
}

/// Asks for a WebSocket; what came behind the answer.
async fn become_web_socket(stream: &mut TcpStream, to: Endpoint) -> Result<Vec<u8>, LoadError> {
    let request = websocket::request(&to.address.to_string());
    stream.write_all(request.as_bytes()).await.map_err(LoadError::io("asking for a WebSocket"))?;
    let (mut answer, mut arrivals) = (Vec::new(), Arrivals::default());
    loop {
        receive(stream, None, &mut arrivals, None, &mut answer).await?;
        if let Some(end) = websocket::answer_end(&answer)? {
            return Ok(answer.split_off(end));
        }
    }
}

async fn connect(to: SocketAddr, road: Road) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = road.source {
        socket.bind((source, 0).into())?;
    }
    if road.narrow {
        socket.set_recv_buffer_size(NARROW_BYTES)?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
