//! HTTP on the same port: the WebSocket, files, health, metrics, and a page for people. One request a
//! connection; nothing here is on the message path.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::crowd::Place;
use super::handshake::{self, FIRST_BYTES, Visitor};
use super::page;
use super::prefixed::Prefixed;
use crate::config::MetricsFor;
use crate::media::http::{self as media, Body, Moved};
use crate::meters::Meters;
use crate::node::Node;
use crate::session::Socket;
use crate::websocket::{WebSocket, accept_key};

/// Request line and headers.
const HEAD_BYTES_MAX: usize = 16 * 1_024;

/// How long a transfer of a file may stand still.
const STALL: Duration = Duration::from_secs(60);

type Answer = Response<Body>;

/// The right to stand at the door, until somebody takes it along.
type Standing = Mutex<Option<Place>>;

/// Serves one request, within the deadline for handshakes; a file as long as it moves. A WebSocket goes
/// on in a task of its own.
pub(super) async fn serve(
    node: &Arc<Node>,
    stream: TcpStream,
    first: Vec<u8>,
    address: SocketAddr,
    place: Place,
) {
    let standing = Standing::new(Some(place));
    let moved = Arc::new(Moved::default());
    let stream = Prefixed { first: first.into(), stream };
    let service = service_fn(|request| {
        let (standing, moved) = (&standing, &moved);
        async move { Ok::<_, Infallible>(answer(node, request, address, standing, moved).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(served);
    let mut patience = Duration::from_millis(node.config.session.handshake_timeout_ms);
    let mut moved_before = 0;
    loop {
        tokio::select! {
            biased;
            served = &mut served => {
                if let Err(error) = served {
                    tracing::debug!(%error, "http connection failed");
                }
                return;
            }
            () = sleep(patience) => {
                let moved_now = moved.bytes();
                let goes_on = moved.is_busy() || moved_now > moved_before;
                if !moved.is_transfer() || (patience == STALL && !goes_on) {
                    return Meters::count(&node.meters.handshakes, "too late");
                }
                (patience, moved_before) = (STALL, moved_now);
            }
        }
    }
}

async fn answer(
    node: &Arc<Node>,
    request: Request<Incoming>,
    address: SocketAddr,
    standing: &Standing,
    moved: &Arc<Moved>,
) -> Answer {
    let leave = || standing.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (request.method(), request.uri().path()) {
        (_, media::PATH) => media::serve(node, request, moved, || drop(leave())).await,
        (&Method::GET, "/ws") => upgrade(node, request, address, leave()),
        (&Method::GET, "/health") => health(node),
        (&Method::GET, "/metrics") => metrics(node, address),
        (&Method::GET, "/") => text(StatusCode::OK, "text/html; charset=utf-8", page::page(node)),
        (_, "/" | "/ws" | "/health" | "/metrics") => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n")
        }
        _ => plain(StatusCode::NOT_FOUND, "there is nothing here; try /\n"),
    }
}

fn health(node: &Node) -> Answer {
    let stats = node.store.stats();
    let (status, state) = match () {
        () if node.is_draining() => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        () if !stats.available => (StatusCode::SERVICE_UNAVAILABLE, "store unavailable"),
        () if stats.disk_full => (StatusCode::SERVICE_UNAVAILABLE, "disk full"),
        () => (StatusCode::OK, "ok"),
    };
    let body = serde_json::json!({
        "status": state,
        "version": env!("CARGO_PKG_VERSION"),
        "sessions": node.registry.live(),
    });
    text(status, "application/json", format!("{body}\n"))
}

fn metrics(node: &Node, address: SocketAddr) -> Answer {
    let allowed = match node.config.http.metrics {
        MetricsFor::Loopback => address.ip().to_canonical().is_loopback(),
        MetricsFor::Anyone => true,
        MetricsFor::Nobody => false,
    };
    if !allowed {
        return plain(StatusCode::FORBIDDEN, "not for this address; see http.metrics\n");
    }
    node.meters.look(node.media.stats());
    let page = node.meters.page(node.registry.live(), &node.store.stats());
    text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", page)
}

/// Changes the connection into a WebSocket that carries the link.
fn upgrade(
    node: &Arc<Node>,
    request: Request<Incoming>,
    address: SocketAddr,
    place: Option<Place>,
) -> Answer {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| accept_key(key.as_bytes()));
    let accept = key.and_then(|key| HeaderValue::try_from(key).ok());
    let (Some(accept), true) = (accept, is_websocket(headers)) else {
        return plain(StatusCode::UPGRADE_REQUIRED, "this address takes WebSockets, version 13\n");
    };
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let deadline = Duration::from_millis(node.config.session.handshake_timeout_ms);
        let admitted = timeout(deadline, async {
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            Meters::count(&node.meters.connections, "websocket");
            let Some(socket) = web_socket(upgraded) else { return };
            let first = Vec::with_capacity(FIRST_BYTES);
            handshake::admit(&node, Visitor { socket, first, address: address.ip() }).await;
        });
        let admitted = node.freezer.unless_closed(admitted).await;
        if admitted.is_some_and(|admitted| admitted.is_err()) {
            Meters::count(&node.meters.handshakes, "too late");
        }
        drop(place);
    });
    let mut answer = plain(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

/// The connection itself, with what was read of it behind the request.
fn web_socket(upgraded: Upgraded) -> Option<Socket> {
    let Ok(parts) = upgraded.downcast::<TokioIo<Prefixed<TcpStream>>>() else {
        tracing::error!("an upgraded connection is not the one that was served");
        return None;
    };
    let Prefixed { first, stream } = parts.io.into_inner();
    let ahead = Bytes::from([parts.read_buf, first].concat());
    Some(Socket::Web(Box::new(WebSocket::new(stream, ahead))))
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let says = |name, word: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    says(CONNECTION, "upgrade") && says(UPGRADE, "websocket") && says(SEC_WEBSOCKET_VERSION, "13")
}

fn plain(status: StatusCode, body: &'static str) -> Answer {
    text(status, "text/plain; charset=utf-8", body.to_owned())
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    // Not the server's option of the same effect: that would overwrite the header of an upgrade.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    );
    answer
}
