//! Messages become frames, frames become bytes on the socket. Everything that a turn says goes out
//! in one write; what the socket does not take is kept, boxed, until it does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use godwit_link::{LinkError, Transport};
use godwit_wire::ToClient;
use godwit_wire::frame::{self, PLAINTEXT_BYTES_MAX, TAG_BYTES};

use super::socket::Socket;

/// A frame is closed when its plaintext has grown to this: large enough that tag and length cost
/// less than 0.2 %, small enough that the client has something to do while the rest is coming.
const FRAME_BYTES_WANTED: usize = 16 * 1024;

/// Bytes that the socket has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    unsent: Option<Box<Unsent>>,
}

#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// Bytes at the front that the socket has.
    sent: usize,
}

/// What one turn says: plaintext of the open frame and finished frames, in the worker's buffers.
pub(super) struct Speech<'a> {
    pub(super) plain: &'a mut Vec<u8>,
    pub(super) sealed: &'a mut Vec<u8>,
    pub(super) transport: &'a mut Transport,
}

impl Speech<'_> {
    /// Adds a message.
    ///
    /// # Errors
    /// The link is used up or the message larger than a frame, which is a bug of ours.
    pub(super) fn say(&mut self, message: &ToClient) -> Result<(), LinkError> {
        if self.plain.len() + message.encoded_len() > PLAINTEXT_BYTES_MAX {
            self.close_frame()?;
        }
        message.encode_into(self.plain);
        if self.plain.len() >= FRAME_BYTES_WANTED { self.close_frame() } else { Ok(()) }
    }

    /// Adds a keepalive.
    ///
    /// # Errors
    /// As [`Speech::say`].
    pub(super) fn keepalive(&mut self) -> Result<(), LinkError> {
        self.close_frame()?;
        self.sealed.push(frame::KEEPALIVE);
        Ok(())
    }

    /// Seals what was said since the last frame.
    ///
    /// # Errors
    /// As [`Speech::say`].
    pub(super) fn close_frame(&mut self) -> Result<(), LinkError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let body = self.plain.len() + TAG_BYTES;
        frame::encode_header(body, self.sealed)
            .map_err(|_| LinkError::TooLarge { bytes: body, bytes_max: PLAINTEXT_BYTES_MAX })?;
        let sealed = self.transport.seal_into(self.plain, self.sealed);
        self.plain.clear();
        sealed
    }

    /// Bytes said so far in this turn, sealed or not.
    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.sealed.len()
    }
}

impl Outbound {
    /// Begins with what another process had not sent.
    pub(super) fn starting_with(bytes: Vec<u8>) -> Self {
        let unsent = (!bytes.is_empty()).then(|| Box::new(Unsent { bytes, sent: 0 }));
        Self { unsent }
    }

    /// What waits for the socket.
    pub(super) fn rest(&self) -> &[u8] {
        let rest = self.unsent.as_ref().and_then(|unsent| unsent.bytes.get(unsent.sent..));
        rest.unwrap_or_default()
    }

    /// Bytes that wait for the socket.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.bytes.len() - unsent.sent)
    }

    /// Writes what was kept and then `fresh`; keeps what the socket does not take. Returns the bytes
    /// that it took; if not all, the task is registered.
    pub(super) fn write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        mut fresh: &[u8],
    ) -> io::Result<usize> {
        let mut taken = 0;
        if let Some(unsent) = &mut self.unsent {
            unsent.bytes.extend_from_slice(std::mem::take(&mut fresh));
            while let Some(rest) = unsent.bytes.get(unsent.sent..).filter(|rest| !rest.is_empty()) {
                let Poll::Ready(n) = Pin::new(&mut *socket).poll_write(cx, rest)? else {
                    unsent.compact();
                    return Ok(taken);
                };
                taken += accept(n)?;
                unsent.sent += n;
            }
            self.unsent = None;
        }
        while !fresh.is_empty() {
            let Poll::Ready(n) = Pin::new(&mut *socket).poll_write(cx, fresh)? else {
                self.unsent = Some(Box::new(Unsent { bytes: fresh.to_vec(), sent: 0 }));
                return Ok(taken);
            };
            taken += accept(n)?;
            fresh = fresh.get(n..).unwrap_or_default();
        }
        let _ = Pin::new(socket).poll_flush(cx)?;
        Ok(taken)
    }
}

impl Unsent {
    /// Gives the sent front back once it is more than the rest, so that moving costs each byte once.
    fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

fn accept(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) }
}
