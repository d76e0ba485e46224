//! One connection of a load client: the real link and the real messages, but no seal, no storage
//! and no caution. It counts the bytes that go over the wire.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use godwit_base::JoinLink;
use godwit_link::{Initiator, PublicKey, StaticKey, Ticket, Transport};
use godwit_wire::frame::{self, Header, decode_header, encode_header};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{ToClient, ToServer, v1};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::device::Device;
use crate::error::LoadError;

/// Patience for a handshake or an answer. A server in a storm may take its time; one that takes
/// longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// One read of a client.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// The thread's read buffer: an idle connection keeps none of its own.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Where the server is, and the key that proves it.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// The key in its join link.
    pub key: PublicKey,
}

impl Endpoint {
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
        Ok(Self { address, key: PublicKey(link.server_key) })
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

/// Bytes on the wire, prefaces and framing included, TCP/IP not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client.
    pub up_bytes: u64,
    /// To the client.
    pub down_bytes: u64,
}

/// A connection whose link stands.
pub struct Conn {
    stream: TcpStream,
    transport: Transport,
    /// Received and not yet handled: at most one unfinished frame between calls.
    inbound: Vec<u8>,
    /// Messages that go into the next frame.
    plain: Vec<u8>,
    /// Frames that wait to be written.
    outbound: Vec<u8>,
    traffic: Traffic,
    /// What the server said in its handshake message.
    pub welcome: v1::Welcome,
}

impl Conn {
    /// Connects from `source` (any address if none) and shakes hands.
    ///
    /// # Errors
    /// [`LoadError`]; [`LoadError::Refused`] when the server refuses the handshake.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn open(
        to: Endpoint,
        device: &StaticKey,
        source: Option<Ipv4Addr>,
        via: Via<'_>,
    ) -> Result<Self, LoadError> {
        let opening = Self::open_unhurried(to, device, source, via);
        let late = LoadError::TimedOut { what: "handshake", seconds: PATIENCE.as_secs() };
        timeout(PATIENCE, opening).await.map_err(|_| late)?
    }

    async fn open_unhurried(
        to: Endpoint,
        device: &StaticKey,
        source: Option<Ipv4Addr>,
        via: Via<'_>,
    ) -> Result<Self, LoadError> {
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
        let mut outbound = Vec::new();
        let preface = ClientPreface { mode, key_hint: to.key.hint(), message: &message };
        preface.encode_into(&mut outbound)?;
        stream.write_all(&outbound).await.map_err(LoadError::io("shaking hands"))?;
        let mut traffic = Traffic { up_bytes: outbound.len() as u64, down_bytes: 0 };
        let mut inbound = Vec::new();
        let (established, consumed) = loop {
            match ServerPreface::parse(&inbound)? {
                None => traffic.down_bytes += receive(&stream, &mut inbound).await? as u64,
                Some(parsed) => match parsed.preface {
                    ServerPreface::Reply(reply) => {
                        break (initiator.finish(reply)?, parsed.consumed);
                    }
                    ServerPreface::Refused { code, .. } => {
                        let code = u32::from(code);
                        return Err(LoadError::Refused { what: "the handshake", code });
                    }
                },
            }
        };
        inbound.drain(..consumed);
        inbound.shrink_to_fit();
        let welcome = godwit_wire::decode(established.payload.as_slice())?;
        let transport = established.transport;
        let (plain, outbound) = (Vec::new(), Vec::new());
        Ok(Self { stream, transport, inbound, plain, outbound, traffic, welcome })
    }

    /// Puts a message into the next frame; nothing is written before [`Self::flush`].
    ///
    /// # Errors
    /// [`LoadError::Link`] when a frame that is full cannot be sealed.
    pub fn say(&mut self, message: &ToServer) -> Result<(), LoadError> {
        if self.plain.len() + message.encoded_len() > frame::PLAINTEXT_BYTES_MAX {
            self.seal()?;
        }
        message.encode_into(&mut self.plain);
        Ok(())
    }

    /// Puts a keepalive among the frames.
    pub fn say_nothing(&mut self) {
        self.outbound.push(frame::KEEPALIVE);
    }

    fn seal(&mut self) -> Result<(), LoadError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        encode_header(self.plain.len() + frame::TAG_BYTES, &mut self.outbound)?;
        self.transport.seal_into(&self.plain, &mut self.outbound)?;
        self.plain.clear();
        Ok(())
    }

    /// Writes everything said so far: one frame if it fits.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the connection is gone.
    ///
    /// # Cancel safety
    /// Safe: what was not written is written by the next flush.
    pub async fn flush(&mut self) -> Result<(), LoadError> {
        self.seal()?;
        while !self.outbound.is_empty() {
            let written =
                self.stream.write(&self.outbound).await.map_err(LoadError::io("writing"))?;
            self.traffic.up_bytes += written as u64;
            self.outbound.drain(..written);
        }
        Ok(())
    }

    /// Waits for bytes and gives every message that is whole by then to `each`, in order; that may
    /// be none.
    ///
    /// # Errors
    /// [`LoadError::Closed`] when the server ended the connection, else what is wrong with its bytes.
    ///
    /// # Cancel safety
    /// Safe: it waits for readiness only, and handles what it reads in the same poll.
    pub async fn hear(&mut self, mut each: impl FnMut(ToClient)) -> Result<(), LoadError> {
        if self.inbound.is_empty() || !self.take_frames(&mut each)? {
            self.traffic.down_bytes += receive(&self.stream, &mut self.inbound).await? as u64;
            self.take_frames(&mut each)?;
        }
        Ok(())
    }

    /// Handles the whole frames at the front; whether there were any.
    fn take_frames(&mut self, each: &mut impl FnMut(ToClient)) -> Result<bool, LoadError> {
        let mut done = 0;
        loop {
            let rest = self.inbound.get_mut(done..).unwrap_or_default();
            match decode_header(rest)? {
                Header::Incomplete => break,
                Header::Keepalive { consumed } => done += consumed,
                Header::Frame { header, body } => {
                    let Some(sealed) = rest.get_mut(header..header + body) else { break };
                    let length = self.transport.open_in_place(sealed)?;
                    for message in ToClient::decode_all(sealed.get(..length).unwrap_or_default()) {
                        each(message?);
                    }
                    done += header + body;
                }
            }
        }
        self.inbound.drain(..done);
        Ok(done > 0)
    }

    /// Says one thing and waits for the first message that `wanted` takes; others are dropped.
    ///
    /// # Errors
    /// [`LoadError::Refused`] when the server says no, [`LoadError::TimedOut`] when it says nothing.
    ///
    /// # Cancel safety
    /// The answer of a dropped call would be taken for the next one's: drop the connection too.
    pub async fn ask<T>(
        &mut self,
        what: &'static str,
        question: &ToServer,
        mut wanted: impl FnMut(ToClient) -> Option<T>,
    ) -> Result<T, LoadError> {
        self.say(question)?;
        self.flush().await?;
        let answer = async {
            loop {
                let mut heard = None;
                self.hear(|message| {
                    let refused = refusal_of(&message);
                    let answer = refused.map(Err).or_else(|| wanted(message).map(Ok));
                    heard = heard.take().or(answer);
                })
                .await?;
                match heard {
                    None => {}
                    Some(Ok(answer)) => return Ok(answer),
                    Some(Err(code)) => return Err(LoadError::Refused { what, code }),
                }
            }
        };
        let late = LoadError::TimedOut { what, seconds: PATIENCE.as_secs() };
        timeout(PATIENCE, answer).await.map_err(|_| late)?
    }

    /// Creates the device's account over this link.
    ///
    /// # Errors
    /// As [`Self::ask`].
    ///
    /// # Cancel safety
    /// As [`Self::ask`].
    pub async fn register(&mut self, device: &Device) -> Result<(), LoadError> {
        let question = ToServer::Register(device.registration(1));
        let registered = |m| matches!(m, ToClient::Registered(_)).then_some(());
        self.ask("registration", &question, registered).await
    }

    /// Takes the device's mailbox, which is expected to be empty.
    ///
    /// # Errors
    /// As [`Self::ask`].
    ///
    /// # Cancel safety
    /// As [`Self::ask`].
    pub async fn attach(&mut self) -> Result<(), LoadError> {
        let caught_up = |m| matches!(m, ToClient::CaughtUp(_)).then_some(());
        self.ask("attach", &ToServer::Attach(v1::Attach {}), caught_up).await
    }

    /// Ends the connection at once, without leaving its port waiting for a minute: a load makes
    /// more connections than there are ports.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the socket refuses the option.
    pub fn hang_up(self) -> Result<(), LoadError> {
        self.stream.set_zero_linger().map_err(LoadError::io("hanging up"))
    }

    /// Bytes on the wire so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }
}

/// The number of a refusal or a goodbye.
fn refusal_of(message: &ToClient) -> Option<u32> {
    match message {
        ToClient::Refused(refused) => Some(refused.code),
        ToClient::Goodbye(goodbye) => Some(goodbye.code),
        _ => None,
    }
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

/// Appends what has come, at least one byte.
async fn receive(stream: &TcpStream, inbound: &mut Vec<u8>) -> Result<usize, LoadError> {
    loop {
        stream.readable().await.map_err(LoadError::io("reading"))?;
        let read = READ.with_borrow_mut(|buffer| {
            stream.try_read(buffer).inspect(|&length| {
                inbound.extend_from_slice(buffer.get(..length).unwrap_or_default());
            })
        });
        match read {
            Ok(0) => return Err(LoadError::Closed),
            Ok(length) => return Ok(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(source) => return Err(LoadError::Io { what: "reading", source }),
        }
    }
}
