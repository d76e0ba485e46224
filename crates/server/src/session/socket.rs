//! The socket under a session: TCP as it is, or anything else boxed (a WebSocket, a test's pipe).

use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::sys::socket::setsockopt;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The socket under a session. TCP, which nearly all native clients use, costs no extra allocation.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Boxed(Box<dyn Duplex>),
    /// It was taken away: another session has it.
    Taken,
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
            Self::Boxed(_) | Self::Taken => Ok(()),
        }
    }

    /// Whether [`Socket::part`] can take it.
    pub(super) fn can_part(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Boxed(_) | Self::Taken => false,
        }
    }

    /// Takes the system's socket away, for a session elsewhere.
    ///
    /// # Errors
    /// The system's; or it is one that has none. It is gone then.
    pub(super) fn part(&mut self) -> io::Result<std::net::TcpStream> {
        match std::mem::replace(self, Self::Taken) {
            Self::Tcp(stream) => stream.into_std(),
            Self::Boxed(_) | Self::Taken => Err(io::ErrorKind::Unsupported.into()),
        }
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
            Self::Boxed(stream) => Pin::new(stream).poll_read(cx, buffer),
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
            Self::Boxed(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Boxed(stream) => Pin::new(stream).poll_flush(cx),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Boxed(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}
