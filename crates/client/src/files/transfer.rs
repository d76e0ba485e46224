//! A sealed file over HTTP, up or down, from where it stopped to its end, over as many cuts as come. It
//! ends early only when another ticket is needed, or when the server says no.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use godwit_wire::Refusal;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, RANGE};
use hyper::{Method, Request, Response, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bytes read from a file, or gathered for it, at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces between the disk and the socket: 256 KB.
const PIECES_MAX: usize = 4;

/// How long nothing may move: two round trips of the worst network and a stall.
const STALL: Duration = Duration::from_secs(60);

/// How long the server may take with a file that it has whole: it reads all of it once more, and may
/// have to bring it to a bucket. 2 GiB at 10 MB/s each are 7 minutes.
const KEEPING: Duration = Duration::from_secs(600);

/// From dialling to the first byte of an answer.
const DIALLING: Duration = Duration::from_secs(20);

/// Where the server is, and what it granted.
#[derive(Clone)]
pub struct Access {
    /// `host:port`.
    pub address: String,
    /// The ticket for this file and this way.
    pub ticket: Bytes,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who has the ticket may use it.
        f.debug_struct("Access").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a transfer ended early. Cuts do not end it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The network: the same ticket goes on. Only inside; a transfer outlasts it.
    #[error("the connection was cut: {0}")]
    Cut(io::Error),
    /// The ticket is not good any more: ask for another over the link.
    #[error("another ticket is needed")]
    Ticket,
    /// The server says no; when a retry may help, if it may.
    #[error("{0}: {advice}", advice = .0.advice())]
    Refused(Refusal, Duration),
    /// What came is not the file that was asked for.
    #[error("the server gave another file than was asked for")]
    Forged,
    /// Environment: this machine's disk.
    #[error("{0}")]
    Disk(io::Error),
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Pauses between two tries that brought nothing: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(30);

/// Uploads that the server found damaged, after which the fault is here.
const DAMAGED_MAX: u32 = 3;

/// Uploads a whole file.
pub(super) async fn send(
    access: &Access,
    file: &Path,
    moved: impl Fn(u64) + Clone + Send + 'static,
) -> Result<(), Broken> {
    let bytes = tokio::fs::metadata(file).await.map_err(Broken::Disk)?.len();
    let mut patience = Patience::default();
    loop {
        let tried = async {
            let there = offset(access).await?;
            if there >= bytes {
                return Ok(there);
            }
            patience.saw(there);
            moved(there);
            upload(access, file, there, moved.clone()).await
        };
        match tried.await {
            Ok(there) if there >= bytes => return Ok(()),
            Ok(there) => patience.saw(there),
            Err(broken) => patience.outlast(broken).await?,
        }
    }
}

/// Fetches a whole file of `bytes` bytes into `part`.
pub(super) async fn fetch(
    access: &Access,
    part: &Path,
    bytes: u64,
    moved: impl Fn(u64),
) -> Result<(), Broken> {
    let mut patience = Patience::default();
    loop {
        let there = tokio::fs::metadata(part).await.map_or(0, |metadata| metadata.len());
        patience.saw(there);
        match download(access, part, bytes, &moved).await {
            Ok(()) => return Ok(()),
            Err(broken) => patience.outlast(broken).await?,
        }
    }
}

/// How long to wait before the next try, and when to stop trying.
#[derive(Debug, Default)]
struct Patience {
    there: u64,
    fruitless: u32,
    damaged: u32,
}

impl Patience {
    fn saw(&mut self, there: u64) {
        if there != self.there {
            (self.there, self.fruitless) = (there, 0);
        }
    }

    /// Waits, if trying again may help; gives the fault back if not.
    async fn outlast(&mut self, broken: Broken) -> Result<(), Broken> {
        let least = match &broken {
            Broken::Cut(_) => Duration::ZERO,
            Broken::Refused(Refusal::MediaDamaged, retry) => {
                self.damaged += 1;
                if self.damaged >= DAMAGED_MAX {
                    return Err(broken);
                }
                *retry
            }
            Broken::Refused(refusal, retry) if refusal.retryable() => *retry,
            _ => return Err(broken),
        };
        let pause = PAUSE_FIRST.saturating_mul(1 << self.fruitless.min(6)).min(PAUSE_LAST);
        self.fruitless += 1;
        // The first try after a cut comes at once: most cuts are over by then.
        let pause = if self.fruitless == 1 { Duration::ZERO } else { pause };
        tokio::time::sleep(pause.max(least)).await;
        Ok(())
    }
}

/// How far an upload is; ends one that still runs.
async fn offset(access: &Access) -> Result<u64, Broken> {
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = access.request(Method::HEAD).body(nothing);
    let request = request.map_err(|error| Broken::Cut(io::Error::other(error)))?;
    let answer = access.send(request, None).await?;
    match answer.status() {
        StatusCode::OK => offset_of(&answer),
        _ => Err(no(&answer)),
    }
}

/// Sends what the server lacks of a file, which begins at `offset`. Returns how far it is now: all of
/// it if that is the file's length, else from where to go on.
///
/// # Cancel safety
/// Safe: the server keeps what came.
async fn upload(
    access: &Access,
    file: &Path,
    offset: u64,
    moved: impl Fn(u64) + Send + 'static,
) -> Result<u64, Broken> {
    let mut file = File::open(file).await.map_err(Broken::Disk)?;
    let bytes = file.metadata().await.map_err(Broken::Disk)?.len();
    file.seek(io::SeekFrom::Start(offset)).await.map_err(Broken::Disk)?;
    let (body, going) = body_of(file, offset, moved);
    let request = access
        .request(Method::PATCH)
        .header("upload-offset", offset)
        .header(CONTENT_LENGTH, bytes.saturating_sub(offset))
        .body(body)
        .map_err(|error| Broken::Cut(io::Error::other(error)))?;
    let answer = access.send(request, Some(going)).await?;
    match answer.status() {
        StatusCode::NO_CONTENT | StatusCode::CONFLICT => offset_of(&answer),
        _ => Err(no(&answer)),
    }
}

/// Fetches what is missing of a file of `bytes` bytes and appends it; synced when this returns.
///
/// # Cancel safety
/// Safe: what came stays.
async fn download(
    access: &Access,
    path: &Path,
    bytes: u64,
    moved: impl Fn(u64),
) -> Result<(), Broken> {
    let file = OpenOptions::new().append(true).create(true).open(path).await;
    let file = file.map_err(Broken::Disk)?;
    let mut there = file.metadata().await.map_err(Broken::Disk)?.len();
    let mut file = BufWriter::with_capacity(PIECES_MAX * PIECE_BYTES, file);
    let mut outcome = Ok(());
    if there < bytes {
        let request = access.request(Method::GET).header(RANGE, format!("bytes={there}-"));
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request =
            request.body(nothing).map_err(|error| Broken::Cut(io::Error::other(error)))?;
        let answer = access.send(request, None).await?;
        match (answer.status(), there) {
            (StatusCode::PARTIAL_CONTENT, _) | (StatusCode::OK, 0) => {}
            _ => return Err(no(&answer)),
        }
        outcome = pour(answer.into_body(), &mut file, &mut there, bytes, moved).await;
    }
    file.flush().await.map_err(Broken::Disk)?;
    file.get_ref().sync_data().await.map_err(Broken::Disk)?;
    outcome?;
    match there == bytes {
        true => Ok(()),
        false => Err(Broken::Cut(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Writes a body behind what is there, and never more than the file has.
async fn pour(
    mut body: Incoming,
    file: &mut BufWriter<File>,
    there: &mut u64,
    bytes: u64,
    moved: impl Fn(u64),
) -> Result<(), Broken> {
    loop {
        let frame = match timeout(STALL, body.frame()).await {
            Err(_) => return Err(Broken::Cut(io::ErrorKind::TimedOut.into())),
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => return Err(Broken::Cut(io::Error::other(error))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(piece) = frame.into_data() else { continue };
        let left = usize::try_from(bytes.saturating_sub(*there)).unwrap_or(usize::MAX);
        let piece = piece.get(..left.min(piece.len())).unwrap_or_default();
        if piece.is_empty() {
            return Ok(());
        }
        file.write_all(piece).await.map_err(Broken::Disk)?;
        *there += piece.len() as u64;
        moved(*there);
    }
}

/// A file as a body, read ahead by a task of its own that ends with the body. The receiver says after
/// each piece that the transfer goes on, and ends with it.
fn body_of(
    mut file: File,
    mut at: u64,
    moved: impl Fn(u64) + Send + 'static,
) -> (Body, mpsc::Receiver<()>) {
    let (pieces, to_send) = mpsc::channel(PIECES_MAX);
    let (alive, going) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).await;
            let count = *read.as_ref().unwrap_or(&0);
            piece.truncate(count);
            let is_over = !matches!(read, Ok(1..));
            let piece = read.map(|_| Frame::data(Bytes::from(piece)));
            if is_over && piece.is_ok() {
                return; // the end of the file
            }
            if pieces.send(piece).await.is_err() || is_over {
                return;
            }
            at += count as u64;
            moved(at);
            // Full: a sign of life is waiting to be read already.
            let _ = alive.try_send(());
        }
    });
    let stream = futures_util::stream::unfold(to_send, |mut to_send| async move {
        to_send.recv().await.map(|piece| (piece, to_send))
    });
    (StreamBody::new(stream).boxed_unsync(), going)
}

impl Access {
    fn request(&self, method: Method) -> hyper::http::request::Builder {
        let ticket = format!("Bearer {}", URL_SAFE_NO_PAD.encode(&self.ticket));
        Request::builder()
            .method(method)
            .uri("/media")
            .header(HOST, &self.address)
            .header(AUTHORIZATION, ticket)
    }

    /// One request on a connection of its own, until its answer begins.
    async fn send(
        &self,
        request: Request<Body>,
        going: Option<mpsc::Receiver<()>>,
    ) -> Result<Response<Incoming>, Broken> {
        let dial = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        };
        let dialled = timeout(DIALLING, dial).await;
        let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (mut sender, connection) = dialled.map_err(Broken::Cut)?;
        // Ends with the answer's body, or with the sender.
        tokio::spawn(connection);
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        let answered = match going {
            None => timeout(STALL, answer).await,
            Some(mut going) => loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break Ok(answer),
                    sign = timeout(STALL, going.recv()) => match sign {
                        Ok(Some(())) => {}
                        // All of it is out, or with the system at least.
                        Ok(None) => break timeout(KEEPING, answer).await,
                        Err(stalled) => break Err(stalled),
                    },
                }
            },
        };
        match answered {
            Err(_) => Err(Broken::Cut(io::ErrorKind::TimedOut.into())),
            Ok(answer) => answer.map_err(|error| Broken::Cut(io::Error::other(error))),
        }
    }
}

fn offset_of(answer: &Response<Incoming>) -> Result<u64, Broken> {
    let offset = answer.headers().get("upload-offset").and_then(|value| value.to_str().ok());
    let garbled = || Broken::Cut(io::ErrorKind::InvalidData.into());
    offset.and_then(|offset| offset.parse().ok()).ok_or_else(garbled)
}

fn no(answer: &Response<Incoming>) -> Broken {
    let number = |name| answer.headers().get(name)?.to_str().ok()?.parse::<u32>().ok();
    let retry = Duration::from_secs(number("retry-after").unwrap_or(0).into());
    match number("godwit-refusal").and_then(Refusal::from_number) {
        Some(Refusal::MediaTicket) => Broken::Ticket,
        Some(refusal) => Broken::Refused(refusal, retry),
        None => Broken::Cut(io::ErrorKind::InvalidData.into()),
    }
}
