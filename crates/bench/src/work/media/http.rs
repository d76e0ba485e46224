//! As much of HTTP as one request needs.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PIECE_BYTES;
use crate::error::LoadError;

/// Patience for an answer: the server digests a gigabyte before it answers.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of an answer's head at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// One connection with one request.
pub(super) struct Http {
    stream: TcpStream,
    /// Came with the head.
    rest: Vec<u8>,
}

/// What matters of an answer.
pub(super) struct Head {
    pub(super) status: u16,
    /// Number of the refusal, 0 without one.
    pub(super) refusal: u32,
    /// How far an upload is, 0 if that is not said.
    pub(super) offset: u64,
}

impl Http {
    pub(super) async fn begin(
        to: SocketAddr,
        head: &str,
        ticket: &[u8],
    ) -> Result<Self, LoadError> {
        let stream = TcpStream::connect(to).await.map_err(LoadError::io("connecting"))?;
        let mut http = Self { stream, rest: Vec::new() };
        let ticket = URL_SAFE_NO_PAD.encode(ticket);
        http.write(format!("{head}Authorization: Bearer {ticket}\r\n\r\n").as_bytes()).await?;
        Ok(http)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        self.stream.write_all(bytes).await.map_err(LoadError::io("sending a file"))
    }

    pub(super) async fn head(&mut self) -> Result<Head, LoadError> {
        let late = LoadError::TimedOut { what: "answer about a file", seconds: PATIENCE.as_secs() };
        timeout(PATIENCE, self.read_head()).await.map_err(|_| late)?
    }

    async fn read_head(&mut self) -> Result<Head, LoadError> {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|at| at == b"\r\n\r\n") {
                break at;
            }
            let read = self.stream.read_buf(&mut self.rest).await;
            if read.map_err(LoadError::io("fetching a file"))? == 0
                || self.rest.len() > HEAD_BYTES_MAX
            {
                return Err(LoadError::Closed);
            }
        };
        let body = self.rest.split_off(end + 4);
        let head = String::from_utf8_lossy(&self.rest).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let number = |name: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(name));
            found.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let refusal = u32::try_from(number("godwit-refusal: ")).unwrap_or(0);
        let offset: u64 = number("upload-offset: ");
        self.rest = body;
        Ok(Head { status, refusal, offset })
    }

    /// Some bytes of the body, `wanted` at most.
    pub(super) async fn read(&mut self, wanted: u64) -> Result<Vec<u8>, LoadError> {
        let wanted = usize::try_from(wanted).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if !self.rest.is_empty() {
            let rest = self.rest.split_off(wanted.min(self.rest.len()));
            return Ok(std::mem::replace(&mut self.rest, rest));
        }
        let mut piece = vec![0; wanted];
        let n = self.stream.read(&mut piece).await.map_err(LoadError::io("fetching a file"))?;
        if n == 0 {
            return Err(LoadError::io("fetching a file")(io::ErrorKind::UnexpectedEof.into()));
        }
        piece.truncate(n);
        Ok(piece)
    }
}
