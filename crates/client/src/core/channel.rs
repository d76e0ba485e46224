//! The link as bytes: preface, handshake, frames. It knows no message's meaning.

use bytes::Bytes;
use godwit_link::{Established, Initiator, LinkError, PublicKey, StaticKey, Ticket, Transport};
use godwit_wire::frame::{self, Header, PLAINTEXT_BYTES_MAX, TAG_BYTES};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{FEATURES, ToClient, ToServer, VERSION, v1};

/// What the server is told about this program.
const CLIENT_NAME: &str = concat!("godwit-client/", env!("CARGO_PKG_VERSION"));

/// What arrived.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// The handshake is done.
    Welcome(v1::Welcome),
    /// The server does not take the handshake; it closes.
    Refused { code: u16, retry_after_ms: u32 },
    /// A message.
    Message(ToClient),
}

/// Why the bytes make no sense: the link must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChannelError {
    /// The key of the join link is no key.
    #[error("the join link's key is unusable: {0}")]
    Key(LinkError),
    /// Not what a godwit server says first.
    #[error("the server does not speak godwit")]
    Preface,
    /// The handshake does not prove the server's key.
    #[error("the server did not prove its key: {0}")]
    Handshake(LinkError),
    /// A frame that does not open.
    #[error("a frame was damaged: {0}")]
    Frame(LinkError),
    /// A frame that is none, or a message beyond its limits.
    #[error("the server sent what is no message")]
    Malformed,
}

/// The two ends of a handshake, from our side.
pub(crate) struct Ends<'a> {
    pub(crate) me: &'a StaticKey,
    pub(crate) server: PublicKey,
    pub(crate) ticket: Option<&'a Ticket>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Channel {
    phase: Phase,
    /// The beginning of a preface or frame: less than one frame and its header.
    partial: Vec<u8>,
}

#[derive(Debug)]
enum Phase {
    /// Boxed: it is ten times what stays afterwards.
    Shaking(Box<Initiator>),
    Up(Transport),
    /// After an error nothing is read any more.
    Broken,
}

impl Channel {
    /// Begins a connection: the handshake with our hello in it; the bytes go out first.
    ///
    /// # Errors
    /// [`ChannelError::Key`].
    pub(crate) fn open(ends: &Ends<'_>) -> Result<(Self, Vec<u8>), ChannelError> {
        let client = CLIENT_NAME.to_owned();
        let hello =
            godwit_wire::encode(&v1::Hello { version: VERSION, features: FEATURES, client });
        let (mode, begun) = match ends.ticket {
            Some(ticket) => (Mode::Resume, Initiator::resume(ticket, &hello)),
            None => (Mode::Full, Initiator::ik(ends.me, &ends.server, &hello)),
        };
        let (initiator, message) = begun.map_err(ChannelError::Key)?;
        let mut first = Vec::new();
        let preface = ClientPreface { mode, key_hint: ends.server.hint(), message: &message };
        preface
            .encode_into(&mut first)
            .map_err(|_| ChannelError::Key(LinkError::Malformed { bytes: message.len() }))?;
        Ok((Self { phase: Phase::Shaking(Box::new(initiator)), partial: Vec::new() }, first))
    }

    /// Takes bytes from the server and hands on what is complete.
    ///
    /// # Errors
    /// [`ChannelError`]: close. What was complete before the bad bytes was already handed on.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        mut arrived: impl FnMut(Arrived),
    ) -> Result<(), ChannelError> {
        self.partial.extend_from_slice(bytes);
        let mut buffer = std::mem::take(&mut self.partial);
        let mut taken = 0;
        let result = loop {
            let Some(rest) = buffer.get_mut(taken..) else { break Ok(()) };
            match self.step(rest, &mut arrived) {
                Ok(0) => break Ok(()),
                Ok(used) => taken += used,
                Err(error) => {
                    self.phase = Phase::Broken;
                    break Err(error);
                }
            }
        };
        buffer.drain(..taken.min(buffer.len()));
        self.partial = buffer;
        result
    }

    /// Takes one preface or frame off the front; returns its length, or 0 if it is not whole.
    fn step(
        &mut self,
        buffer: &mut [u8],
        arrived: &mut impl FnMut(Arrived),
    ) -> Result<usize, ChannelError> {
        match std::mem::replace(&mut self.phase, Phase::Broken) {
            Phase::Shaking(initiator) => self.finish(initiator, buffer, arrived),
            Phase::Up(mut transport) => {
                let used = open_frame(&mut transport, buffer, arrived);
                self.phase = Phase::Up(transport);
                used
            }
            Phase::Broken => Ok(0),
        }
    }

    fn finish(
        &mut self,
        initiator: Box<Initiator>,
        buffer: &[u8],
        arrived: &mut impl FnMut(Arrived),
    ) -> Result<usize, ChannelError> {
        let parsed = ServerPreface::parse(buffer).map_err(|_| ChannelError::Preface)?;
        let Some(parsed) = parsed else {
            self.phase = Phase::Shaking(initiator);
            return Ok(0);
        };
        match parsed.preface {
            ServerPreface::Refused { code, retry_after_ms } => {
                arrived(Arrived::Refused { code, retry_after_ms });
            }
            ServerPreface::Reply(message) => {
                let Established { transport, payload } =
                    initiator.finish(message).map_err(ChannelError::Handshake)?;
                let welcome =
                    godwit_wire::decode(payload.as_slice()).map_err(|_| ChannelError::Malformed)?;
                self.phase = Phase::Up(transport);
                arrived(Arrived::Welcome(welcome));
            }
        }
        Ok(parsed.consumed)
    }

    /// Appends messages as frames, as many messages in each as fit. Before the handshake is done
    /// there is nothing to send in.
    ///
    /// # Errors
    /// Only when the link is used up or a message is larger than a frame, which the limits of the
    /// outbox exclude.
    pub(crate) fn send(
        &mut self,
        messages: &[ToServer],
        out: &mut Vec<u8>,
    ) -> Result<(), LinkError> {
        let Phase::Up(transport) = &mut self.phase else { return Ok(()) };
        let mut plaintext = Vec::new();
        for message in messages {
            if plaintext.len() + message.encoded_len() > PLAINTEXT_BYTES_MAX {
                seal_frame(transport, &mut plaintext, out)?;
            }
            message.encode_into(&mut plaintext);
        }
        seal_frame(transport, &mut plaintext, out)
    }
}

fn seal_frame(
    transport: &mut Transport,
    plaintext: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), LinkError> {
    if plaintext.is_empty() {
        return Ok(());
    }
    let body = plaintext.len() + TAG_BYTES;
    frame::encode_header(body, out).map_err(|_| LinkError::Malformed { bytes: body })?;
    transport.seal_into(plaintext, out)?;
    plaintext.clear();
    Ok(())
}

fn open_frame(
    transport: &mut Transport,
    buffer: &mut [u8],
    arrived: &mut impl FnMut(Arrived),
) -> Result<usize, ChannelError> {
    let (header, body) = match frame::decode_header(buffer) {
        Ok(Header::Incomplete) => return Ok(0),
        Ok(Header::Keepalive { consumed }) => return Ok(consumed),
        Ok(Header::Frame { header, body }) => (header, body),
        Err(_) => return Err(ChannelError::Malformed),
    };
    let Some(sealed) = buffer.get_mut(header..header + body) else { return Ok(0) };
    let length = transport.open_in_place(sealed).map_err(ChannelError::Frame)?;
    let plaintext = sealed.get(..length).unwrap_or_default();
    // One copy of the frame; the bodies in it are slices of that copy.
    for message in ToClient::decode_all(Bytes::copy_from_slice(plaintext)) {
        arrived(Arrived::Message(message.map_err(|_| ChannelError::Malformed)?));
    }
    Ok(header + body)
}
