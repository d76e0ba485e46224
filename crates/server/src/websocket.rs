//! A WebSocket as a byte stream: binary messages carry the very same bytes as TCP would, and where
//! one message ends means nothing. So no message is ever gathered, and its whole state is a page that
//! another process can go on with (decision 0157).

mod carried;
mod frames;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use carried::CarriedError;
use frames::{Frames, header};

/// Payload of a message to the client. What the system does not take of one is kept here, so a slow client
/// costs so much more than on TCP; a header is 4 bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1_024;

/// Reads that carry nothing, of pings or empty messages, before others have their turn: 256 KiB with a
/// session's buffer.
const EMPTY_READS_MAX: u32 = 4;

/// What RFC 6455 adds to a client's key before it is hashed.
const ACCEPTS: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The server's end of a WebSocket.
pub(crate) struct WebSocket<S> {
    stream: S,
    /// Raw bytes that were read already; they come before those of the stream.
    ahead: Bytes,
    frames: Frames,
    /// Frames that the system has not taken, the first of them perhaps in part. One message at most, and
    /// one answer.
    unsent: Vec<u8>,
}

/// The answer to the key in a client's request.
pub(crate) fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPTS].concat()))
}

impl<S> WebSocket<S> {
    /// On a connection that was upgraded; `ahead` was read of it already, behind the request.
    pub(crate) fn new(stream: S, ahead: Bytes) -> Self {
        Self { stream, ahead, frames: Frames::default(), unsent: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Writes what is unsent, then the answer if there is one.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.unsent.is_empty() {
                self.unsent = std::mem::take(&mut self.frames.answer);
                if self.unsent.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent))?;
            self.unsent.drain(..accepted(n)?);
        }
    }

    /// Raw bytes; none is the end.
    fn poll_raw(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut bytes = ReadBuf::new(bytes);
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut bytes))?;
        } else {
            let n = self.ahead.len().min(bytes.remaining());
            bytes.put_slice(&self.ahead.split_to(n));
        }
        Poll::Ready(Ok(bytes.filled().len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    /// Reads into the caller's buffer and leaves there what is the caller's, so that an idle connection has
    /// none.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..EMPTY_READS_MAX {
            if let Poll::Ready(Err(error)) = self.poll_unsent(cx) {
                return Poll::Ready(Err(error));
            }
            if self.frames.is_over {
                return Poll::Ready(Ok(()));
            }
            let room = buffer.initialize_unfilled();
            let n = ready!(self.poll_raw(cx, room))?;
            let raw = room.get_mut(..n).unwrap_or_default();
            let carries = self.frames.take(raw).map_err(violated)?;
            if n == 0 || carries > 0 {
                buffer.advance(carries);
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    /// Takes a message only once the one before is with the system, so that what waits here is one
    /// message and the session sees how slow its peer is.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        if self.frames.has_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = bytes.get(..MESSAGE_BYTES_MAX).unwrap_or(bytes);
        let (header, header_bytes) = header(bytes.len());
        let header = header.get(..header_bytes).unwrap_or_default();
        let message = [IoSlice::new(header), IoSlice::new(bytes)];
        let n = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &message))?;
        self.unsent = header.iter().chain(bytes).skip(accepted(n)?).copied().collect();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says the last frame. The connection stays: who has heard it answers and closes.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.close();
        self.poll_flush(cx)
    }
}

fn accepted(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) }
}

fn violated(violation: frames::Violation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, violation)
}
