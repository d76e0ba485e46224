//! The connection to the server: bytes in, bytes out, nothing else.

use std::future::pending;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A dial that takes longer has failed, 10 s.
const DIAL: Duration = Duration::from_secs(10);

/// Bytes read at once: a whole frame of the largest size.
const READ_BYTES: usize = 64 * 1024;

type Dialling = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// At most one connection, or the attempt at one.
#[derive(Default)]
pub(crate) struct Socket {
    stage: Stage,
    /// What is still to be written. Bounded by what the core sends: 128 messages in flight of
    /// 56 KiB at most, and small things.
    out: Vec<u8>,
    written: usize,
    read: Vec<u8>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Closed,
    Dialling(Dialling),
    Open(TcpStream),
}

/// What happened on the connection.
pub(crate) enum Happened {
    Connected,
    /// That many bytes can be taken with [`Socket::received`].
    Received(usize),
    /// It could not be made, or it ended.
    Ended(String),
}

impl Socket {
    /// Forgets any connection and begins another.
    pub(crate) fn dial(&mut self, host: &str, port: u16) {
        // IPv6 addresses stand in brackets in the join link, and without them in a socket address.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        self.close();
        self.stage = Stage::Dialling(Box::pin(async move {
            let connect = TcpStream::connect((host, port));
            let stream = tokio::time::timeout(DIAL, connect)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            Ok(stream)
        }));
    }

    /// Ends the connection; what is not written is dropped.
    pub(crate) fn close(&mut self) {
        self.stage = Stage::Closed;
        self.out.clear();
        self.written = 0;
    }

    /// What tells this network from another: the address that this machine has in it; 0 if there is no connection.
    pub(crate) fn network(&self) -> u64 {
        let Stage::Open(stream) = &self.stage else { return 0 };
        let mut hasher = DefaultHasher::new();
        stream.local_addr().map(|address| address.ip()).ok().hash(&mut hasher);
        hasher.finish()
    }

    /// Bytes to be written when the connection takes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if matches!(self.stage, Stage::Open(_)) {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Waits until the connection has taken all that there is to write, or has broken. Reads nothing.
    ///
    /// # Cancel safety
    /// Safe: what was not written is written the next time.
    pub(crate) async fn drain(&mut self) {
        while let Stage::Open(stream) = &mut self.stage {
            let unwritten = self.out.get(self.written..).unwrap_or_default();
            if unwritten.is_empty() {
                return;
            }
            match stream.write(unwritten).await {
                Ok(written) => self.wrote(written),
                Err(_) => self.close(),
            }
        }
    }

    /// The bytes of the last [`Happened::Received`].
    pub(crate) fn received(&self, count: usize) -> &[u8] {
        self.read.get(..count).unwrap_or_default()
    }

    /// Waits until something happens; writes what there is to write meanwhile. Does not read while
    /// `reads` is false.
    ///
    /// # Cancel safety
    /// Safe: bytes are taken or given only in the step that returns or loops.
    pub(crate) async fn next(&mut self, reads: bool) -> Happened {
        loop {
            let stream = match &mut self.stage {
                Stage::Closed => return pending().await,
                Stage::Dialling(dialling) => match dialling.await {
                    Ok(stream) => {
                        self.stage = Stage::Open(stream);
                        return Happened::Connected;
                    }
                    Err(error) => return self.end(&error),
                },
                Stage::Open(stream) => stream,
            };
            self.read.resize(READ_BYTES, 0);
            let (mut read_half, mut write_half) = stream.split();
            let unwritten = self.out.get(self.written..).unwrap_or_default();
            let step = tokio::select! {
                biased;
                // Writing first: acknowledgements free the other side.
                written = write_half.write(unwritten), if !unwritten.is_empty() => Err(written),
                read = read_half.read(&mut self.read), if reads => Ok(read),
                else => return pending().await,
            };
            match step {
                Err(Ok(written)) => self.wrote(written),
                Ok(Ok(count)) if count > 0 => return Happened::Received(count),
                Ok(Ok(_)) => return self.end(&io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) | Err(Err(error)) => return self.end(&error),
            }
        }
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.out.len() {
            self.out.clear();
            self.written = 0;
        }
    }

    fn end(&mut self, error: &io::Error) -> Happened {
        self.close();
        Happened::Ended(in_words(error))
    }
}

/// What happened, as people say it. The system's words are kept for what is rare.
fn in_words(error: &io::Error) -> String {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkDown, NetworkUnreachable, TimedOut, UnexpectedEof,
    };
    match error.kind() {
        UnexpectedEof => "the server closed the connection".to_owned(),
        TimedOut => "no answer".to_owned(),
        ConnectionRefused => "no server listens there".to_owned(),
        ConnectionReset | ConnectionAborted | BrokenPipe => "the connection broke".to_owned(),
        NetworkUnreachable | NetworkDown => "no network".to_owned(),
        HostUnreachable => "no way to the server".to_owned(),
        // The look-up of a name has no kind of its own.
        _ if error.to_string().starts_with("failed to lookup address") => {
            "the server's name is not found".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_troubles_are_said_without_the_systems_numbers() {
        for (number, words) in [
            (111, "no server listens there"),
            (104, "the connection broke"),
            (101, "no network"),
            (113, "no way to the server"),
            (110, "no answer"),
        ] {
            assert_eq!(in_words(&io::Error::from_raw_os_error(number)), words);
        }
        assert!(in_words(&io::Error::from_raw_os_error(13)).contains("denied"));
    }

    /// Nobody answers: there is nothing to wait for but that the bytes are gone.
    #[tokio::test]
    async fn draining_ends_when_all_is_written_or_the_connection_is_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut socket = Socket::default();
        socket.drain().await;
        socket.dial("127.0.0.1", listener.local_addr().unwrap().port());
        assert!(matches!(socket.next(true).await, Happened::Connected));
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut got = vec![0; 4 * READ_BYTES];
        socket.send(&vec![7; got.len()]);
        let ((), read) = tokio::join!(socket.drain(), peer.read_exact(&mut got));
        assert!(read.is_ok() && got.iter().all(|byte| *byte == 7));
        socket.send(&vec![7; 64 * 1024 * 1024]);
        drop(peer);
        socket.drain().await;
        assert!(matches!(socket.stage, Stage::Closed));
    }

    #[tokio::test]
    async fn a_port_without_a_server_is_said_in_words() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut socket = Socket::default();
        socket.dial("127.0.0.1", port);
        let Happened::Ended(reason) = socket.next(true).await else { panic!("connected") };
        assert_eq!(reason, "no server listens there");
    }
}
