//! A server of one file that cuts connections as a test says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use godwit_client::files::Access;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The ticket that it takes, and as it stands in a header.
const TICKET: &[u8] = b"ticket";
const SHOWN: &str = "authorization: bearer dglja2v0";

pub(crate) struct Server {
    address: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    file: Mutex<Vec<u8>>,
    cuts: AtomicU64,
    cut_after: AtomicU64,
    given: AtomicU64,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::<Inner>::default();
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // One after the other: the next begins when the last has written down what came.
                serving.serve(socket).await;
            }
        });
        Self { address, inner }
    }

    pub(crate) fn access(&self) -> Access {
        Access { address: self.address.clone(), ticket: TICKET.into() }
    }

    /// The next connections that carry a body end after so many of its bytes.
    pub(crate) fn cuts(&self, count: u64, after: u64) {
        self.inner.cut_after.store(after, Ordering::SeqCst);
        self.inner.cuts.store(count, Ordering::SeqCst);
    }

    pub(crate) fn cuts_left(&self) -> u64 {
        self.inner.cuts.load(Ordering::SeqCst)
    }

    pub(crate) fn holds(&self, file: &[u8]) {
        *self.inner.file.lock().unwrap() = file.to_vec();
    }

    pub(crate) fn has(&self, file: &[u8]) -> bool {
        *self.inner.file.lock().unwrap() == file
    }

    pub(crate) fn given_bytes(&self) -> u64 {
        self.inner.given.load(Ordering::SeqCst)
    }
}

impl Inner {
    /// Bytes of a body until this connection is cut.
    fn patience(&self) -> usize {
        let one_less = |cuts: u64| cuts.checked_sub(1);
        match self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => usize::try_from(self.cut_after.load(Ordering::SeqCst)).unwrap(),
            Err(_) => usize::MAX,
        }
    }

    async fn serve(&self, mut socket: TcpStream) {
        let mut came = Vec::new();
        let end = loop {
            if let Some(at) = came.windows(4).position(|at| at == b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(socket.read_buf(&mut came).await, Ok(n) if n > 0) {
                return;
            }
        };
        let body = came.split_off(end);
        let head = String::from_utf8(came).unwrap().to_ascii_lowercase();
        let number = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim_end_matches('-').parse::<usize>().ok()).unwrap_or(0)
        };
        let there = self.file.lock().unwrap().len();
        let method = head.split(' ').next().unwrap();
        let answer = match method {
            _ if !head.contains(SHOWN) => "401 Unauthorized\r\ngodwit-refusal: 59".to_owned(),
            "head" => format!("200 OK\r\nupload-offset: {there}"),
            "patch" if number("upload-offset: ") != there => {
                format!("409 Conflict\r\nupload-offset: {there}")
            }
            "patch" => {
                let length = number("content-length: ");
                if !self.take(&mut socket, body, length).await {
                    return;
                }
                format!("204 No Content\r\nupload-offset: {}", self.file.lock().unwrap().len())
            }
            "get" if there == 0 => "404 Not Found\r\ngodwit-refusal: 57".to_owned(),
            "get" => return self.give(&mut socket, number("range: bytes=")).await,
            other => panic!("{other}"),
        };
        let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n");
        let _ = socket.write_all(answer.as_bytes()).await;
    }

    /// Takes a body; false if it was cut.
    async fn take(&self, socket: &mut TcpStream, mut body: Vec<u8>, length: usize) -> bool {
        let wanted = length.min(self.patience());
        while body.len() < wanted {
            if !matches!(socket.read_buf(&mut body).await, Ok(n) if n > 0) {
                break;
            }
        }
        body.truncate(wanted);
        let is_whole = body.len() == length;
        self.file.lock().unwrap().extend_from_slice(&body);
        is_whole
    }

    /// Gives the file from a byte on.
    async fn give(&self, socket: &mut TcpStream, from: usize) {
        let rest = self.file.lock().unwrap()[from..].to_vec();
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            rest.len()
        );
        let given = &rest[..rest.len().min(self.patience())];
        self.given.fetch_add(given.len() as u64, Ordering::SeqCst);
        let _ = socket.write_all(head.as_bytes()).await;
        let _ = socket.write_all(given).await;
    }
}
