//! The socket under a session: TCP as it is, a WebSocket, or anything else boxed (a test's pipe).

use std::io::{self, Read as _};
use std::net::TcpStream as StdTcpStream;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::sys::socket::setsockopt;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::websocket::{CarriedError, WebSocket};

/// A byte stream both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The socket under a session. TCP, which nearly all native clients use, costs no extra allocation.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Web(Box<WebSocket<TcpStream>>),
    #[cfg_attr(not(test), expect(dead_code, reason = "pipes are for tests"))]
    Boxed(Box<dyn Duplex>),
    /// A pipe that can go to another server in this process.
    #[cfg(feature = "driven")]
    Pipe(Box<dyn Duplex>),
    /// It was taken away: another session has it.
    Taken,
}

/// What is left of a socket that was taken apart, besides bytes.
pub(crate) enum Carrier {
    /// The system's socket.
    System(StdTcpStream),
    #[cfg(feature = "driven")]
    Pipe(Box<dyn Duplex>),
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Carrier").field(&self.fd()).finish()
    }
}

impl Carrier {
    /// What goes to another process.
    ///
    /// # Errors
    /// It is a pipe of this one.
    pub(crate) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::System(stream) => Ok(stream.as_fd()),
            #[cfg(feature = "driven")]
            Self::Pipe(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Why a socket did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotJoined {
    #[error("the system did not take its socket: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Carried(#[from] CarriedError),
}

/// How many bytes must wait before the system calls a socket readable. Its end is always told.
#[derive(Clone)]
struct ReceiveLowWater;

nix::setsockopt_impl!(
    ReceiveLowWater,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize,
    nix::sys::socket::sockopt::SetUsize
);

impl Socket {
    /// From now on fewer than so many bytes wake nobody; [`Socket::take_quietly`] has them. Only TCP
    /// does that: anything else wakes its session as before.
    ///
    /// # Errors
    /// The socket is gone.
    pub(super) fn wake_at(&self, bytes: usize) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => Ok(setsockopt(stream, ReceiveLowWater, &bytes)?),
            Self::Web(_) | Self::Boxed(_) | Self::Taken => Ok(()),
            #[cfg(feature = "driven")]
            Self::Pipe(_) => Ok(()),
        }
    }

    /// Whether [`Socket::part`] can take it.
    pub(super) fn can_part(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Web(_) => true,
            #[cfg(feature = "driven")]
            Self::Pipe(_) => true,
            Self::Boxed(_) | Self::Taken => false,
        }
    }

    /// Takes the system's socket away, for a session elsewhere, with the bytes that belong to it beyond those
    /// that the system has: nothing of the stream is in both or in neither, at whatever moment. On TCP there
    /// are none, and that is how [`Socket::join`] knows it. An idle WebSocket has one, and a busy one at most
    /// what was read behind its request and a message to its client, 16 KiB each. None is a secret. What a
    /// session has itself, half a frame of the link or bytes that it could not write, is not among them.
    ///
    /// # Errors
    /// The system's; or it is one that has none. It is gone then.
    pub(crate) fn part(&mut self) -> io::Result<(Carrier, Vec<u8>)> {
        let (stream, carried) = match std::mem::replace(self, Self::Taken) {
            Self::Tcp(stream) => (stream, Vec::new()),
            Self::Web(socket) => socket.part(),
            #[cfg(feature = "driven")]
            Self::Pipe(pipe) => return Ok((Carrier::Pipe(pipe), Vec::new())),
            Self::Boxed(_) | Self::Taken => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok((Carrier::System(stream.into_std()?), carried))
    }

    /// Puts together what [`Socket::part`] took apart. What the system was told of the connection, its
    /// low-water mark above all, holds on; what is unsent goes out with the next flush.
    ///
    /// # Errors
    /// The system's; or the carried bytes are of a newer program, or damaged.
    pub(crate) fn join(carrier: Carrier, carried: &[u8]) -> Result<Self, NotJoined> {
        let stream = match carrier {
            Carrier::System(stream) => stream,
            #[cfg(feature = "driven")]
            Carrier::Pipe(pipe) => return Ok(Self::Pipe(pipe)),
        };
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        if carried.is_empty() {
            return Ok(Self::Tcp(stream));
        }
        Ok(Self::Web(Box::new(WebSocket::join(stream, carried)?)))
    }

    /// Reads what is there though it woke nobody; `Ok(0)` is the end. None if nothing is there.
    pub(super) fn take_quietly(&self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let Self::Tcp(stream) = self else { return None };
        match (&*SockRef::from(stream)).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            read => Some(read),
        }
    }

    /// Reads what is there; `Ok(0)` is the end. Pending registers the task.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(self).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Web(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Boxed(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "driven")]
            Self::Pipe(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Web(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Boxed(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "driven")]
            Self::Pipe(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Web(socket) => Pin::new(socket).poll_flush(cx),
            Self::Boxed(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "driven")]
            Self::Pipe(stream) => Pin::new(stream).poll_flush(cx),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Web(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Boxed(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "driven")]
            Self::Pipe(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}
