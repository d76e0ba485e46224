//! A link as a client has it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use godwit_base::JoinLink;
use godwit_link::{Initiator, PublicKey, StaticKey, Ticket, Transport};
use godwit_wire::frame::{self, Header, decode_header};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{Refusal, ToClient, ToServer, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes both ways, by either door.
pub(crate) enum Pipe {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

impl Pipe {
    pub(crate) async fn tcp(join: &JoinLink) -> Self {
        let stream = TcpStream::connect(join.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::Tcp(stream)
    }

    pub(crate) async fn web_socket(join: &JoinLink) -> Self {
        let stream = TcpStream::connect(join.address()).await.unwrap();
        let url = format!("ws://{}/ws", join.address());
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        Self::WebSocket(Box::new(socket))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes).await, "the server takes no more bytes");
    }

    /// Sends, if the server still takes it.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await.is_ok(),
            Self::WebSocket(socket) => socket.send(Message::binary(bytes.to_vec())).await.is_ok(),
        }
    }

    /// The next bytes; none when the server has closed.
    pub(crate) async fn receive(&mut self) -> Option<Vec<u8>> {
        let received = timeout(PATIENCE, async {
            match self {
                Self::Tcp(stream) => {
                    let mut bytes = vec![0; 64 * 1024];
                    let n = stream.read(&mut bytes).await.unwrap_or(0);
                    bytes.truncate(n);
                    (n > 0).then_some(bytes)
                }
                Self::WebSocket(socket) => loop {
                    match socket.next().await {
                        Some(Ok(Message::Binary(bytes))) => break Some(bytes.to_vec()),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        _ => break None,
                    }
                },
            }
        });
        received.await.expect("the server says nothing and does not close")
    }
}

/// What came on a link.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Message(ToClient),
    Keepalive,
    Closed,
}

/// An established link.
pub(crate) struct Link {
    pub(crate) pipe: Pipe,
    pub(crate) transport: Transport,
    pub(crate) welcome: v1::Welcome,
    received: Vec<u8>,
    heard: VecDeque<ToClient>,
    pub(crate) bytes_sent: usize,
    pub(crate) bytes_received: usize,
}

/// Why there is no link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoLink {
    Refused(Refusal, u32),
    Closed,
}

pub(crate) fn hello() -> Vec<u8> {
    godwit_wire::encode(&v1::Hello { version: 1, features: 0, client: "story/1".into() })
}

/// The first bytes of a client that means the server of `join`.
pub(crate) fn knock(join: &JoinLink, key: &StaticKey, payload: &[u8]) -> (Initiator, Vec<u8>) {
    let server = PublicKey(join.server_key);
    let (initiator, message) = Initiator::ik(key, &server, payload).unwrap();
    (initiator, preface(Mode::Full, server.hint(), &message))
}

pub(crate) fn preface(mode: Mode, key_hint: [u8; 4], message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ClientPreface { mode, key_hint, message }.encode_into(&mut bytes).unwrap();
    bytes
}

/// What the server answers to first bytes.
pub(crate) async fn answer(pipe: &mut Pipe) -> Result<(Vec<u8>, Vec<u8>), NoLink> {
    let mut received = Vec::new();
    loop {
        if let Some(parsed) = ServerPreface::parse(&received).unwrap() {
            return match parsed.preface {
                ServerPreface::Reply(message) => {
                    Ok((message.to_vec(), received[parsed.consumed..].to_vec()))
                }
                ServerPreface::Refused { code, retry_after_ms } => {
                    let refusal = Refusal::from_number(code.into()).expect("a documented number");
                    Err(NoLink::Refused(refusal, retry_after_ms))
                }
            };
        }
        match pipe.receive().await {
            Some(bytes) => received.extend_from_slice(&bytes),
            None => return Err(NoLink::Closed),
        }
    }
}

impl Link {
    pub(crate) async fn dial(join: &JoinLink, key: &StaticKey) -> Result<Self, NoLink> {
        Self::over(Pipe::tcp(join).await, join, key).await
    }

    pub(crate) async fn over(
        mut pipe: Pipe,
        join: &JoinLink,
        key: &StaticKey,
    ) -> Result<Self, NoLink> {
        let (initiator, first) = knock(join, key, &hello());
        pipe.send(&first).await;
        Self::finish(pipe, initiator).await
    }

    pub(crate) async fn resume(join: &JoinLink, ticket: &Ticket) -> Result<Self, NoLink> {
        let mut pipe = Pipe::tcp(join).await;
        let (initiator, message) = Initiator::resume(ticket, &hello()).unwrap();
        let hint = PublicKey(join.server_key).hint();
        pipe.send(&preface(Mode::Resume, hint, &message)).await;
        Self::finish(pipe, initiator).await
    }

    pub(crate) async fn finish(mut pipe: Pipe, initiator: Initiator) -> Result<Self, NoLink> {
        let (message, received) = answer(&mut pipe).await?;
        let established = initiator.finish(&message).unwrap();
        let welcome = godwit_wire::decode(established.payload.as_slice()).unwrap();
        Ok(Self {
            pipe,
            transport: established.transport,
            welcome,
            received,
            heard: VecDeque::new(),
            bytes_sent: 0,
            bytes_received: 0,
        })
    }

    /// One frame of these messages.
    pub(crate) fn frame(&mut self, messages: &[ToServer]) -> Vec<u8> {
        let mut plain = Vec::new();
        for message in messages {
            message.encode_into(&mut plain);
        }
        let mut bytes = Vec::new();
        frame::encode_header(plain.len() + frame::TAG_BYTES, &mut bytes).unwrap();
        self.transport.seal_into(&plain, &mut bytes).unwrap();
        bytes
    }

    pub(crate) async fn says(&mut self, messages: &[ToServer]) {
        let bytes = self.frame(messages);
        self.bytes_sent += bytes.len();
        self.pipe.send(&bytes).await;
    }

    /// The next message, passing over keepalives.
    pub(crate) async fn hears(&mut self) -> ToClient {
        loop {
            match self.next().await {
                Heard::Message(message) => return message,
                Heard::Keepalive => {}
                Heard::Closed => panic!("the server closed"),
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Heard::Message(message);
            }
            match decode_header(&self.received).unwrap() {
                Header::Keepalive { consumed } => {
                    self.received.drain(..consumed);
                    return Heard::Keepalive;
                }
                Header::Frame { header, body } if self.received.len() >= header + body => {
                    let mut frame: Vec<u8> =
                        self.received.drain(..header + body).skip(header).collect();
                    let length = self.transport.open_in_place(&mut frame).unwrap();
                    let messages = ToClient::decode_all(&frame[..length]);
                    self.heard.extend(messages.map(Result::unwrap));
                }
                _ => match self.pipe.receive().await {
                    Some(bytes) => {
                        self.bytes_received += bytes.len();
                        self.received.extend_from_slice(&bytes);
                    }
                    None => return Heard::Closed,
                },
            }
        }
    }

    /// The server says goodbye for this reason and closes.
    pub(crate) async fn hears_goodbye(&mut self) -> (Refusal, u32) {
        loop {
            match self.next().await {
                Heard::Message(ToClient::Goodbye(goodbye)) => {
                    assert_eq!(self.next().await, Heard::Closed);
                    let refusal = Refusal::from_number(goodbye.code).unwrap();
                    return (refusal, goodbye.reconnect_after_ms);
                }
                Heard::Message(_) | Heard::Keepalive => {}
                Heard::Closed => panic!("closed without a goodbye"),
            }
        }
    }
}
