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
use super::{Conn, Traffic, receive};
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

/// Connects and shakes hands, without a limit on time.
pub(super) async fn open(
    to: Endpoint,
    device: &StaticKey,
    source: Option<Ipv4Addr>,
    via: Via<'_>,
) -> Result<Conn, LoadError> {
    let mut losses = Losses::of(to.loss, rand::random());
    if let Some(losses) = &mut losses {
        losses.connecting().await;
    }
    let mut stream = connect(to.address, source).await.map_err(LoadError::io("connecting"))?;
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
    let _ = stream.write_all(&said).await;
    let mut traffic = Traffic { up_bytes: said.len() as u64, down_bytes: 0 };
    let (mut inbound, mut arrivals) = (Vec::new(), Arrivals::default());
    let parsed = loop {
        match ServerPreface::parse(&inbound)? {
            Some(parsed) => break parsed,
            None => {
                let losses = losses.as_deref_mut();
                let received = receive(&stream, losses, &mut arrivals, &mut inbound).await?;
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
        welcome: godwit_wire::decode(established.payload.as_slice())?,
    })
}

async fn connect(to: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
