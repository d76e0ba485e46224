//! When the kernel had what a client reads. A client that waits for its CPU reads late, and that is not
//! the server's doing.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    kept: bool,
    newest: Option<Duration>,
}

impl Arrivals {
    /// From now on the kernel notes them. It begins a moment later: what comes until then has none.
    pub(super) fn keep(&mut self, stream: &TcpStream) -> io::Result<()> {
        stamped::begin(stream)?;
        self.kept = true;
        Ok(())
    }

    /// Reads what has come, without waiting.
    pub(super) fn read(&mut self, stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        if !self.kept {
            return stream.try_read(room);
        }
        let (length, newest) = stamped::read(stream, room)?;
        self.newest = newest;
        Ok(length)
    }

    /// When the last bytes came that were read: since 1970, on the clock of [`now`].
    pub(super) fn newest(&self) -> Option<Duration> {
        self.newest
    }
}

/// The kernel stamps what arrives with this clock and no other.
#[expect(clippy::disallowed_methods, reason = "compared with the kernel's stamps alone")]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(target_os = "linux")]
mod stamped {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use nix::sys::socket::sockopt::ReceiveTimestampns;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
    use nix::sys::time::TimeSpec;
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    pub(super) fn begin(stream: &TcpStream) -> io::Result<()> {
        Ok(setsockopt(stream, ReceiveTimestampns, &true)?)
    }

    pub(super) fn read(
        stream: &TcpStream,
        room: &mut [u8],
    ) -> io::Result<(usize, Option<Duration>)> {
        stream.try_io(Interest::READABLE, || {
            let mut control = nix::cmsg_space!(TimeSpec);
            let mut pieces = [IoSliceMut::new(room)];
            let (socket, flags) = (stream.as_raw_fd(), MsgFlags::empty());
            let read = recvmsg::<()>(socket, &mut pieces, Some(&mut control), flags)?;
            let newest = read.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(at) => Some(at.into()),
                _ => None,
            });
            Ok((read.bytes, newest))
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod stamped {
    use std::io;
    use std::time::Duration;

    use tokio::net::TcpStream;

    pub(super) fn begin(_: &TcpStream) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn read(
        stream: &TcpStream,
        room: &mut [u8],
    ) -> io::Result<(usize, Option<Duration>)> {
        stream.try_read(room).map(|length| (length, None))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_arrival_lies_between_the_write_and_the_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut arrivals = Arrivals::default();
        let mut room = [0; 8];
        for keep in [false, true] {
            if keep {
                arrivals.keep(&near).unwrap();
            }
            // The kernel begins to stamp in a task of its own.
            let (before, after) = loop {
                let before = now();
                far.write_all(b"12345").await.unwrap();
                near.readable().await.unwrap();
                let after = now();
                assert_eq!(arrivals.read(&near, &mut room).unwrap(), 5);
                if !keep || arrivals.newest().is_some() {
                    break (before, after);
                }
            };
            match arrivals.newest() {
                Some(at) => assert!((before..=after).contains(&at), "{before:?} {at:?} {after:?}"),
                None => assert!(!keep),
            }
            let nothing = arrivals.read(&near, &mut room).map_err(|error| error.kind());
            assert_eq!(nothing, Err(io::ErrorKind::WouldBlock));
        }
    }
}
