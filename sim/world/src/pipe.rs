//! The server's end of a connection, and the hands of the world on it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that the system takes for a peer that does not answer: a socket's buffer.
const WINDOW_BYTES: usize = 64 * 1024;

/// Makes a connection: what the server gets, and what the world keeps.
pub fn pipe() -> (ServerEnd, Hand) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    (ServerEnd(Arc::clone(&shared)), Hand(shared))
}

/// A stream for the server.
pub struct ServerEnd(Arc<Mutex<Shared>>);

/// The world's hand on a connection.
#[derive(Clone)]
pub struct Hand(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    /// Came and was not read.
    inbound: VecDeque<u8>,
    /// Nothing more comes.
    ended: bool,
    /// The connection was reset.
    reset: bool,
    /// Written, not yet taken by the world.
    outbound: Vec<u8>,
    /// Taken by the world, not yet with the peer.
    under_way: usize,
    /// The server says nothing more.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn room(&self) -> usize {
        WINDOW_BYTES.saturating_sub(self.outbound.len() + self.under_way)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hand {
    /// Bytes come in.
    pub fn push(&self, bytes: &[u8]) {
        let mut shared = lock(&self.0);
        shared.inbound.extend(bytes);
        shared.wake();
    }

    /// The peer says nothing more.
    pub fn end(&self) {
        let mut shared = lock(&self.0);
        shared.ended = true;
        shared.wake();
    }

    /// The connection is reset.
    pub fn reset(&self) {
        let mut shared = lock(&self.0);
        shared.reset = true;
        shared.wake();
    }

    /// What the server wrote, and whether it says nothing more.
    pub fn take(&self) -> (Vec<u8>, bool) {
        let mut shared = lock(&self.0);
        let bytes = std::mem::take(&mut shared.outbound);
        shared.under_way += bytes.len();
        (bytes, shared.closed)
    }

    /// So many of the bytes that were taken are with the peer.
    pub fn arrived(&self, count: usize) {
        let mut shared = lock(&self.0);
        shared.under_way = shared.under_way.saturating_sub(count);
        shared.wake();
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if shared.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if shared.inbound.is_empty() {
            if shared.ended {
                return Poll::Ready(Ok(()));
            }
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while buffer.remaining() > 0
            && let Some(byte) = shared.inbound.pop_front()
        {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if shared.reset || shared.closed {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = bytes.len().min(shared.room());
        if count == 0 && !bytes.is_empty() {
            shared.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        shared.outbound.extend(bytes.iter().take(count));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        lock(&self.0).closed = true;
    }
}
