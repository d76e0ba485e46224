//! `/media`: HEAD tells how far an upload is, PATCH goes on with it, GET gives a file. What is meant is
//! said by the ticket alone, so that no address names a file.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::TryStreamExt;
use godwit_wire::Refusal;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RANGE, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::upload::{self, Taken};
use super::{No, Pass, Way};
use crate::meters::Meters;
use crate::node::Node;

/// What is read and thrown away before a no, and for how long.
const DRAIN_BYTES: usize = 1024 * 1024;
const DRAIN: Duration = Duration::from_secs(1);

/// Where files go.
pub(crate) const PATH: &str = "/media";

/// How many bytes of a file the server has, and from where a piece goes on.
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// How many bytes a file has.
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// Number of the refusal, of the one table of docs/protocol.md.
const GODWIT_REFUSAL: HeaderName = HeaderName::from_static("godwit-refusal");

/// The body of an answer: a text, or a file piece by piece.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

type Answer = Response<Body>;

/// What the connection is about, as far as its deadline is concerned.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// A ticket was shown: it may take as long as it goes on.
    is_transfer: AtomicBool,
    /// The server works on a whole file: nothing can move meanwhile.
    is_busy: AtomicBool,
    bytes: AtomicU64,
}

impl Moved {
    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_busy(&self) {
        self.is_busy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    pub(crate) fn is_transfer(&self) -> bool {
        self.is_transfer.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Answers one request. `admitted` is called once the ticket is believed.
pub(crate) async fn serve(
    node: &Arc<Node>,
    request: Request<Incoming>,
    moved: &Arc<Moved>,
    admitted: impl FnOnce(),
) -> Answer {
    let outcome = match pass(node, request.headers()) {
        Err(no) => Err(no),
        Ok(pass) => {
            moved.is_transfer.store(true, Ordering::Relaxed);
            admitted();
            act(node, request, pass, moved).await
        }
    };
    outcome.unwrap_or_else(|no| {
        Meters::count(&node.meters.media_refused, no.refusal.name());
        refusal(no)
    })
}

/// What the ticket in the head allows.
fn pass(node: &Node, headers: &HeaderMap) -> Result<Pass, No> {
    let invalid = No::of(Refusal::MediaTicket);
    let shown = headers.get(AUTHORIZATION).and_then(|shown| shown.to_str().ok());
    let ticket = shown.and_then(|shown| shown.strip_prefix("Bearer ")).ok_or(invalid)?;
    let ticket = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| invalid)?;
    let pass = node.media.tickets.open(&ticket, node.clock.unix_ms()).ok_or(invalid)?;
    match node.store.is_removed(pass.device) {
        true => Err(No::of(Refusal::DeviceRevoked)),
        false => Ok(pass),
    }
}

async fn act(
    node: &Arc<Node>,
    request: Request<Incoming>,
    pass: Pass,
    moved: &Arc<Moved>,
) -> Result<Answer, No> {
    match (request.method(), pass.way) {
        (&Method::HEAD, Way::Up) => head(node, pass).await,
        (&Method::PATCH, Way::Up) => patch(node, request, pass, moved).await,
        (&Method::GET, Way::Down) => get(node, request.headers(), pass, moved).await,
        (&Method::HEAD | &Method::PATCH | &Method::GET, _) => Err(No::of(Refusal::MediaTicket)),
        _ => Err(No::of(Refusal::Malformed)),
    }
}

async fn head(node: &Arc<Node>, pass: Pass) -> Result<Answer, No> {
    let media = &node.media;
    let account = pass.device.account;
    // Ends an upload that still runs: what its connection brings after this is not counted on.
    let _turn = media.lines.take(account, pass.blob).await.ok_or(No::of(Refusal::Busy))?;
    let held = media.book(move |book| book.held(account, pass.blob)).await??;
    let held = held.ok_or(No::of(Refusal::MediaGone))?;
    let there = match held.is_stored {
        true => held.bytes,
        false => media.spool.bytes_of(account, pass.blob).await?,
    };
    Ok(offset(StatusCode::OK, there, pass))
}

async fn patch(
    node: &Arc<Node>,
    request: Request<Incoming>,
    pass: Pass,
    moved: &Moved,
) -> Result<Answer, No> {
    let _places = node.media.enter(pass.device)?;
    let malformed = No::of(Refusal::Malformed);
    let from = number(request.headers(), &UPLOAD_OFFSET).ok_or(malformed)?;
    let mut body = request.into_body();
    // What is too long is told before anything of it is read.
    let end = body.size_hint().lower().checked_add(from).ok_or(malformed)?;
    let taken = match end > pass.bytes {
        true => Err(malformed),
        false => upload::take(node, pass, from, &mut body, moved).await,
    };
    match taken {
        Ok(Taken::UpTo(there)) => Ok(offset(StatusCode::NO_CONTENT, there, pass)),
        other => {
            drain(&mut body).await;
            match other? {
                Taken::UpTo(there) | Taken::Elsewhere(there) => {
                    Ok(offset(StatusCode::CONFLICT, there, pass))
                }
            }
        }
    }
}

/// Reads on for a moment before a no: a connection that is closed upon unread bytes may take the
/// answer along.
async fn drain(body: &mut Incoming) {
    let mut left = DRAIN_BYTES;
    let read_on = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(DRAIN, read_on).await;
}

async fn get(
    node: &Arc<Node>,
    headers: &HeaderMap,
    pass: Pass,
    moved: &Arc<Moved>,
) -> Result<Answer, No> {
    let media = &node.media;
    let places = media.enter(pass.device)?;
    let found = media.book(move |book| book.blob(pass.blob)).await??;
    let found = found.ok_or(No::of(Refusal::MediaGone))?;
    let Some(range) = range(headers, found.bytes) else {
        let mut answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
        put(&mut answer, CONTENT_RANGE, format!("bytes */{}", found.bytes));
        return Ok(answer);
    };
    let pieces =
        media.depot.read(pass.blob, range.clone()).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => No::of(Refusal::MediaGone),
            _ => error.into(),
        })?;
    Meters::count(&node.meters.downloads, if range.start == 0 { "begun" } else { "resumed" });
    let (moved, node) = (Arc::clone(moved), Arc::clone(node));
    let frames = pieces.map_ok(move |piece| {
        let _until_the_end = &places;
        moved.add(piece.len() as u64);
        node.meters.media_out.inc_by(piece.len() as u64);
        Frame::data(piece)
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    if range != (0..found.bytes) {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = range.end.saturating_sub(1);
        let text = format!("bytes {}-{last}/{}", range.start, found.bytes);
        put(&mut answer, CONTENT_RANGE, text);
    }
    put(&mut answer, CONTENT_LENGTH, range.end.saturating_sub(range.start).to_string());
    put(&mut answer, ACCEPT_RANGES, "bytes".to_owned());
    put(&mut answer, CONTENT_TYPE, "application/octet-stream".to_owned());
    Ok(dress(answer))
}

/// The range that a head asks for, the whole file without one; none if it asks for nothing that is
/// there. Only one range, from a byte on.
fn range(headers: &HeaderMap, bytes: u64) -> Option<Range<u64>> {
    let Some(asked) = headers.get(RANGE) else { return Some(0..bytes) };
    let (start, end) = asked.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = match end {
        "" => bytes,
        last => last.parse::<u64>().ok()?.checked_add(1)?.min(bytes),
    };
    (start < end).then_some(start..end)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn offset(status: StatusCode, there: u64, pass: Pass) -> Answer {
    let mut answer = empty(status);
    put(&mut answer, UPLOAD_OFFSET, there.to_string());
    put(&mut answer, UPLOAD_LENGTH, pass.bytes.to_string());
    answer
}

fn refusal(no: No) -> Answer {
    let mut answer = empty(match no.refusal {
        Refusal::MediaTicket => StatusCode::UNAUTHORIZED,
        Refusal::DeviceRevoked => StatusCode::FORBIDDEN,
        Refusal::MediaGone => StatusCode::NOT_FOUND,
        Refusal::MediaTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::MediaDamaged => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Refusal::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    });
    put(&mut answer, GODWIT_REFUSAL, no.refusal.number().to_string());
    if no.retry_after_ms > 0 {
        put(&mut answer, RETRY_AFTER, no.retry_after_ms.div_ceil(1_000).to_string());
    }
    answer
}

fn empty(status: StatusCode) -> Answer {
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(nothing);
    *answer.status_mut() = status;
    dress(answer)
}

/// What every answer has: one request a connection, and nobody in between keeps a copy.
fn dress(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn put(answer: &mut Answer, name: HeaderName, value: String) {
    // Digits and fixed words: never an invalid value.
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_from_a_byte_on() {
        let asked = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(text));
            range(&headers, 100)
        };
        assert_eq!(range(&HeaderMap::new(), 100), Some(0..100));
        assert_eq!(asked("bytes=0-"), Some(0..100));
        assert_eq!(asked("bytes=99-"), Some(99..100));
        assert_eq!(asked("bytes=100-"), None);
        assert_eq!(asked("bytes=10-19"), Some(10..20));
        assert_eq!(asked("bytes=10-5000"), Some(10..100));
        assert_eq!(asked("bytes=20-10"), None);
        for wrong in ["bytes=-5", "bytes=1-2,4-5", "chunks=1-", "bytes=", "bytes=x-"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
        assert_eq!(asked("bytes=0-18446744073709551615"), None);
    }
}
