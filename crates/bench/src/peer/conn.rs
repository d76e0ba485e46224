//! One connection to somebody else's server, plain or with TLS.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Event, Protocol, Session};
use crate::conn::Traffic;
use crate::error::LoadError;

/// Patience for a login; some servers need seconds when a crowd comes.
const LOGIN: Duration = Duration::from_secs(20);

/// A login is tried so often, each time after a longer pause.
const TRIES_MAX: u32 = 6;

/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Patience for the server's end of a goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Connections from one source address, far below the 28,000 ports that it has.
const PER_SOURCE: u32 = 4_000;

/// Room for a read: one or two messages.
const READ_BYTES: usize = 2_048;

/// Where the server is, and how to speak to it.
#[derive(Clone)]
pub struct PeerEndpoint {
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection that is logged in.
pub struct PeerConn {
    stream: Box<dyn Stream>,
    session: Box<dyn Session>,
    input: BytesMut,
    out: Vec<u8>,
    events: VecDeque<Event>,
    traffic: Traffic,
}

impl PeerEndpoint {
    /// A server at that address; with a file of certificate authorities it is reached by TLS. No TLS
    /// session is resumed: each login pays for a whole handshake, as ours do.
    ///
    /// # Errors
    /// [`LoadError::Tls`] when the file holds no certificate.
    pub fn new(
        protocol: Protocol,
        address: SocketAddr,
        ca: Option<&Path>,
    ) -> Result<Self, LoadError> {
        let tls = ca.map(connector).transpose()?;
        Ok(Self { address, protocol, tls })
    }

    /// Logs account number `user` in, with several tries.
    ///
    /// # Errors
    /// What ended the last try.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn log_in(&self, user: u32) -> Result<PeerConn, LoadError> {
        let late = || LoadError::TimedOut { what: "login", seconds: LOGIN.as_secs() };
        let mut tries = 1;
        loop {
            match timeout(LOGIN, self.try_log_in(user)).await.map_err(|_| late()).flatten() {
                Err(_) if tries < TRIES_MAX => {
                    sleep(FIRST_PAUSE * 2_u32.pow(tries - 1)).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn try_log_in(&self, user: u32) -> Result<PeerConn, LoadError> {
        let stream = self.dial(user).await.map_err(LoadError::io("connecting"))?;
        let mut conn = PeerConn {
            stream,
            session: self.protocol.session(user),
            input: BytesMut::new(),
            out: Vec::new(),
            events: VecDeque::new(),
            traffic: Traffic::default(),
        };
        conn.session.start(&mut conn.out);
        // What was stored may come before the login itself is confirmed.
        let login = loop {
            conn.flush().await?;
            conn.fill().await?;
            if let Some(place) = conn.events.iter().position(|event| *event == Event::LoggedIn) {
                break place;
            }
        };
        conn.events.remove(login);
        conn.flush().await?;
        Ok(conn)
    }

    async fn dial(&self, user: u32) -> io::Result<Box<dyn Stream>> {
        let socket = TcpSocket::new_v4()?;
        if self.address.ip().is_loopback() {
            // Only loopback answers to any address of 127/8.
            let [_, _, high, low] = (user / PER_SOURCE + 1).to_be_bytes();
            socket.bind((Ipv4Addr::new(127, 2, high, low), 0).into())?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

fn connector(ca: &Path) -> Result<(TlsConnector, ServerName<'static>), LoadError> {
    let tls = |error: &dyn std::fmt::Display| LoadError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| tls(&error))? {
        roots.add(certificate.map_err(|error| tls(&error))?).map_err(|error| tls(&error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| tls(&error))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from("localhost").map_err(|error| tls(&error))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

impl PeerConn {
    /// Queues a message; nothing is written before [`Self::flush`].
    pub fn send(&mut self, to: u32, id: u64, body: &[u8]) {
        self.session.send(to, id, body, &mut self.out);
    }

    /// Queues a receipt.
    pub fn receipt(&mut self, to: u32, id: u64) {
        self.session.receipt(to, id, &mut self.out);
    }

    /// Bytes of the protocol so far, TLS not counted.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// An event that is already here.
    pub fn ready(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Writes everything queued.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the connection is gone.
    ///
    /// # Cancel safety
    /// Safe: what was not written is written by the next flush. Over TLS a record that was begun is
    /// finished by the next flush too.
    pub async fn flush(&mut self) -> Result<(), LoadError> {
        while !self.out.is_empty() {
            let written = self.stream.write(&self.out).await.map_err(LoadError::io("writing"))?;
            self.traffic.up_bytes += written as u64;
            self.out.drain(..written);
        }
        self.stream.flush().await.map_err(LoadError::io("writing"))
    }

    /// Waits for bytes and takes what is whole in them. Call [`Self::flush`] before, and
    /// [`Self::ready`] after.
    ///
    /// # Errors
    /// [`LoadError::Closed`], [`LoadError::Io`], [`LoadError::Peer`].
    ///
    /// # Cancel safety
    /// Safe: it waits only before it reads.
    pub async fn fill(&mut self) -> Result<(), LoadError> {
        self.input.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.input).await.map_err(LoadError::io("reading"))?;
        if read == 0 {
            return Err(LoadError::Closed);
        }
        self.traffic.down_bytes += read as u64;
        self.session.feed(&mut self.input, &mut self.out, &mut self.events)
    }

    /// Says goodbye and waits a little for the server to close.
    ///
    /// # Errors
    /// [`LoadError::Io`] when the connection is gone already.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn close(mut self) -> Result<(), LoadError> {
        self.session.close(&mut self.out);
        self.flush().await?;
        let ended = async { while self.fill().await.is_ok() {} };
        let _ = timeout(GOODBYE, ended).await;
        Ok(())
    }
}
