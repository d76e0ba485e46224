//! One connection of a load client: the real link and the real messages, but no seal, no storage
//! and no caution. It counts the bytes that go over the wire.

mod arrivals;
mod dial;
mod websocket;

use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use godwit_link::{StaticKey, Transport};
use godwit_wire::frame::{self, Header, decode_header, encode_header};
use godwit_wire::{ToClient, ToServer, v1};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::device::Device;
use crate::error::LoadError;
use crate::loss::{Loss, Losses, SEGMENT_BYTES};

use arrivals::Arrivals;
pub use arrivals::now;
pub use dial::{Endpoint, Road, Via};

/// Patience for a handshake or an answer. A server in a storm may take its time; one that takes
/// longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// One read of a client.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// The thread's read buffer: an idle connection keeps none of its own.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
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
    /// None on a network that loses nothing.
    losses: Option<Box<Losses>>,
    arrivals: Arrivals,
    /// On a WebSocket, what has come of one.
    web: Option<Box<websocket::Incoming>>,
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
        Self::open_by(to, device, Road { source, ..Road::default() }, via).await
    }

    /// The same by a road of its own kind.
    ///
    /// # Errors
    /// As [`Self::open`].
    ///
    /// # Cancel safety
    /// As [`Self::open`].
    pub async fn open_by(
        to: Endpoint,
        device: &StaticKey,
        road: Road,
        via: Via<'_>,
    ) -> Result<Self, LoadError> {
        let opening = dial::open(to, device, road, via);
        let late = LoadError::TimedOut { what: "handshake", seconds: PATIENCE.as_secs() };
        timeout(PATIENCE, opening).await.map_err(|_| late)?
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
        self.wrap_from(self.outbound.len() - 1);
    }

    /// On a WebSocket, makes a message of what is to be said from there on.
    fn wrap_from(&mut self, start: usize) {
        if self.web.is_some() {
            let bytes = self.outbound.split_off(start);
            websocket::wrap(&bytes, &mut self.outbound);
        }
    }

    fn seal(&mut self) -> Result<(), LoadError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let start = self.outbound.len();
        encode_header(self.plain.len() + frame::TAG_BYTES, &mut self.outbound)?;
        self.transport.seal_into(&self.plain, &mut self.outbound)?;
        self.plain.clear();
        self.wrap_from(start);
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
        self.write_down_to(0).await
    }

    /// Writes half of everything said so far: if it is one frame, the server gets the first half of that.
    /// The rest goes with the next [`Self::flush`].
    ///
    /// # Errors
    /// As [`Self::flush`].
    ///
    /// # Cancel safety
    /// Less than half may have been written.
    pub async fn flush_half(&mut self) -> Result<(), LoadError> {
        self.seal()?;
        self.write_down_to(self.outbound.len() / 2).await
    }

    /// Writes until no more than `rest` is left.
    async fn write_down_to(&mut self, rest: usize) -> Result<(), LoadError> {
        while self.outbound.len() > rest {
            let mut piece = self.outbound.get(..self.outbound.len() - rest).unwrap_or_default();
            if let Some(losses) = &mut self.losses {
                losses.up().await;
                piece = piece.get(..SEGMENT_BYTES).unwrap_or(piece);
            }
            let written = self.stream.write(piece).await.map_err(LoadError::io("writing"))?;
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
            let losses = self.losses.as_deref_mut();
            let web = self.web.as_deref_mut();
            let received =
                receive(&self.stream, losses, &mut self.arrivals, web, &mut self.inbound).await?;
            self.traffic.down_bytes += received as u64;
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
                    Some(Err((code, retry_after_ms))) => {
                        return Err(LoadError::Refused { what, code, retry_after_ms });
                    }
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

    /// Takes the device's mailbox and acknowledges what is in it. How many records that were.
    ///
    /// # Errors
    /// As [`Self::ask`].
    ///
    /// # Cancel safety
    /// As [`Self::ask`].
    pub async fn attach(&mut self) -> Result<u64, LoadError> {
        self.take_mailbox(|_| {}).await
    }

    /// The same; `each` sees the messages.
    ///
    /// # Errors
    /// As [`Self::ask`].
    ///
    /// # Cancel safety
    /// As [`Self::ask`].
    pub async fn take_mailbox(
        &mut self,
        mut each: impl FnMut(&v1::Deliver),
    ) -> Result<u64, LoadError> {
        let (mut records, mut newest) = (0, None);
        let caught_up = |message| {
            let seq = match message {
                ToClient::CaughtUp(_) => return Some(()),
                ToClient::Deliver(deliver) => {
                    each(&deliver);
                    deliver.seq
                }
                ToClient::Receipt(receipt) => receipt.seq,
                _ => return None,
            };
            (records, newest) = (records + 1, Some(seq));
            None
        };
        self.ask("attach", &ToServer::Attach(v1::Attach {}), caught_up).await?;
        if let Some(up_to) = newest {
            self.say(&ToServer::Ack(v1::Ack { up_to }))?;
            self.flush().await?;
        }
        Ok(records)
    }

    /// From now on its network loses so much: see [`crate::loss`]. While a segment to the server is late
    /// the device hears nothing either.
    pub fn lose(&mut self, loss: Loss) {
        self.losses = Losses::of(loss, rand::random());
    }

    /// From now on the kernel notes when it has what [`Self::hear`] then reads.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the socket refuses the option.
    pub fn note_arrivals(&mut self) -> Result<(), LoadError> {
        self.arrivals.keep(&self.stream).map_err(LoadError::io("asking for times of arrival"))
    }

    /// When the kernel had the last of what was heard, on the clock of [`now`].
    pub fn arrived(&self) -> Option<Duration> {
        self.arrivals.newest()
    }

    /// Ends the connection at once, without leaving its port waiting for a minute: a load makes
    /// more connections than there are ports.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the socket refuses the option.
    pub fn hang_up(self) -> Result<(), LoadError> {
        self.reset_when_dropped()
    }

    /// From now on the connection ends so however it ends.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the socket refuses the option.
    pub fn reset_when_dropped(&self) -> Result<(), LoadError> {
        self.stream.set_zero_linger().map_err(LoadError::io("hanging up"))
    }

    /// Is quiet for so many seconds from now on, or for as long as the server allows.
    ///
    /// # Errors
    /// [`LoadError`] when the connection breaks.
    ///
    /// # Cancel safety
    /// Safe: what was not written goes with the next flush.
    pub async fn quiet_for(&mut self, seconds: u32) -> Result<(), LoadError> {
        let seconds = seconds.min(self.welcome.keepalive_max_s.max(self.welcome.keepalive_s));
        self.welcome.keepalive_s = seconds;
        self.say(&v1::KeepaliveInterval { seconds }.into())?;
        self.flush().await
    }

    /// Keeps the connection, with a sign of life at `first` and after each `gap` from then on, until it
    /// breaks. What it hears goes nowhere.
    ///
    /// # Errors
    /// Why it broke: it does not end otherwise.
    ///
    /// # Cancel safety
    /// Safe: a sign of life that was not written goes with the next one.
    pub async fn keep(
        &mut self,
        first: Instant,
        gap: Duration,
    ) -> Result<std::convert::Infallible, LoadError> {
        self.keep_hearing(first, gap, drop).await
    }

    /// The same; `each` gets what it hears.
    ///
    /// # Errors
    /// As [`Self::keep`].
    ///
    /// # Cancel safety
    /// As [`Self::keep`].
    pub async fn keep_hearing(
        &mut self,
        first: Instant,
        gap: Duration,
        mut each: impl FnMut(ToClient),
    ) -> Result<std::convert::Infallible, LoadError> {
        let mut due = first;
        loop {
            let quiet = tokio::select! {
                heard = self.hear(&mut each) => heard.map(|()| false)?,
                () = sleep_until(due) => true,
            };
            if quiet {
                self.say_nothing();
                self.flush().await?;
                due += gap;
            }
        }
    }

    /// Bytes on the wire so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }
}

/// The number of a refusal or a goodbye, and when to come again.
fn refusal_of(message: &ToClient) -> Option<(u32, u32)> {
    match message {
        ToClient::Refused(refused) => Some((refused.code, refused.retry_after_ms)),
        ToClient::Goodbye(goodbye) => Some((goodbye.code, goodbye.reconnect_after_ms)),
        _ => None,
    }
}

/// Appends what has come, at least one byte; with losses one segment at most.
async fn receive(
    stream: &TcpStream,
    mut losses: Option<&mut Losses>,
    arrivals: &mut Arrivals,
    mut web: Option<&mut websocket::Incoming>,
    inbound: &mut Vec<u8>,
) -> Result<usize, LoadError> {
    loop {
        stream.readable().await.map_err(LoadError::io("reading"))?;
        let mut most = READ_BYTES;
        if let Some(losses) = &mut losses {
            losses.down().await;
            most = SEGMENT_BYTES;
        }
        let read = READ.with_borrow_mut(|buffer| {
            let room = buffer.get_mut(..most).unwrap_or_default();
            arrivals.read(stream, room).map(|length| {
                let raw = buffer.get(..length).unwrap_or_default();
                let taken = match &mut web {
                    Some(web) => web.take(raw, inbound),
                    None => {
                        inbound.extend_from_slice(raw);
                        Ok(())
                    }
                };
                taken.map(|()| length)
            })
        });
        match read {
            Ok(Ok(0)) => return Err(LoadError::Closed),
            Ok(taken) => return taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(source) => return Err(LoadError::Io { what: "reading", source }),
        }
    }
}
