//! One port for everything.

use godwit_base::limits::FRAME_BYTES_MAX;
use godwit_link::StaticKey;
use godwit_server::config::MetricsFor;
use godwit_wire::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::link::{Heard, Link, NoLink, Pipe, answer, hello, knock};
use super::person::Person;
use super::world::World;

/// Status line and body of an answer.
async fn get(world: &World, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(world.join.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_web_socket_carries_the_same_bytes() {
    let world = World::new().await;
    let mut bob = world.joins("bob").await;
    let mut alice = Person::new(&world.join, "alice");
    let pipe = Pipe::web_socket(&world.join).await;
    alice.link = Some(Link::over(pipe, &world.join, &alice.link_key).await.unwrap());
    alice.registers().await.unwrap();
    alice.attaches().await;
    alice.writes_to(&mut bob, "from the browser").await;
    // Boundaries of messages mean nothing: one byte each is as good.
    let frame = alice.link().frame(&[bob.sealed(2, "byte by byte")]);
    for byte in frame {
        alice.link().pipe.send(&[byte]).await;
    }
    alice.sees_tick(2).await;
    let long = "y".repeat(50_000);
    alice.link().says(&[bob.sealed(3, &long), bob.sealed(4, "short")]).await;
    alice.sees_tick(3).await;
    alice.sees_tick(4).await;
    bob.receives("byte by byte", &alice).await;
    bob.receives(&long, &alice).await;
    let counter = bob.sends(&long).to(&alice).await;
    bob.receives("short", &alice).await;
    alice.receives(&long, &bob).await;
    bob.sees_tick(counter).await;
}

/// Where one message ends means nothing, so no length is too much: nothing is gathered.
#[tokio::test]
async fn a_web_socket_message_may_be_of_any_length() {
    let world = World::new().await;
    let bob = world.joins("bob").await;
    let mut alice = Person::new(&world.join, "alice");
    let pipe = Pipe::web_socket(&world.join).await;
    alice.link = Some(Link::over(pipe, &world.join, &alice.link_key).await.unwrap());
    alice.registers().await.unwrap();
    alice.attaches().await;
    let long = "y".repeat(50_000);
    let frames: Vec<_> = (1..=20)
        .flat_map(|n| {
            let sealed = bob.sealed(n, &long);
            alice.link().frame(&[sealed])
        })
        .collect();
    assert!(frames.len() > 10 * FRAME_BYTES_MAX);
    alice.link().pipe.send(&frames).await;
    for counter in 1..=20 {
        alice.sees_tick(counter).await;
    }
}

/// What a client sends behind its request, before it is answered, belongs to the link.
#[tokio::test]
async fn a_web_socket_takes_what_came_with_the_request() {
    let world = World::new().await;
    let key = StaticKey::generate().unwrap();
    let (_, first) = knock(&world.join, &key, &hello());
    let length = u16::try_from(first.len()).unwrap().to_be_bytes();
    let message = [&[0x82, 0x80 | 126], &length[..], &[0; 4], &first].concat();
    let request = "GET /ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // In one piece; in two of which the door reads the first; cut inside the header, inside the message.
    for cut in [0, 2, request.len() - 1, request.len() + 3, request.len() + 50] {
        let mut stream = TcpStream::connect(world.join.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let all = [request.as_bytes(), &message].concat();
        stream.write_all(&all[..cut]).await.unwrap();
        stream.write_all(&all[cut..]).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        assert_eq!(stream.read_u8().await.unwrap(), 0x82, "a message, which is the welcome");
    }
}

#[tokio::test]
async fn health_metrics_and_a_page() {
    let world = World::new().await;
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    let counter = alice.sends("count me").to(&bob).await;
    alice.sees_tick(counter).await;
    let (status, body) = get(&world, "/health").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&health["status"], &health["sessions"]), (&"ok".into(), &2.into()));
    let (status, metrics) = get(&world, "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "godwit_sessions_live 2",
        "godwit_submissions_total 1",
        "godwit_handshakes_total{kind=\"full\"} 2",
        "godwit_registrations_total{kind=\"registered\"} 2",
        "godwit_accounts 2",
        "godwit_invariant_violations_total{kind=\"M1\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
    let (status, page) = get(&world, "/").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains(&world.join.to_string()), "{page}");
    assert_eq!(get(&world, "/elsewhere").await.0, "HTTP/1.1 404 Not Found");
    assert_eq!(get(&world, "/ws").await.0, "HTTP/1.1 426 Upgrade Required");
}

/// Request line and headers that end with so many bytes of a header that means nothing.
async fn status_of_head_with(world: &World, padding: usize) -> String {
    let mut stream = TcpStream::connect(world.join.address()).await.unwrap();
    let head =
        format!("GET /health HTTP/1.1\r\nHost: here\r\nPadding: {}\r\n", "x".repeat(padding));
    // The server may answer and close before all of it is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(b"\r\n").await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned()
}

/// The bound is 16 KiB, counted in whole reads.
#[tokio::test]
async fn a_head_may_have_16_kib_and_no_more() {
    let world = World::new().await;
    assert!(status_of_head_with(&world, 15 * 1_024).await.contains(" 200 "));
    let refused = status_of_head_with(&world, 17 * 1_024).await;
    assert!(!refused.contains(" 200 "), "{refused}");
    assert!(status_of_head_with(&world, 0).await.contains(" 200 "));
}

#[tokio::test]
async fn metrics_are_for_whom_the_operator_says() {
    let world = World::with(|setup| setup.config.http.metrics = MetricsFor::Nobody).await;
    assert_eq!(get(&world, "/metrics").await.0, "HTTP/1.1 403 Forbidden");
}

#[tokio::test]
async fn a_visitor_who_says_nothing_is_shown_out() {
    let world = World::with(|setup| setup.config.session.handshake_timeout_ms = 100).await;
    for first in [&b""[..], b"G", b"GW\x01", b"GET / HTTP/1.1\r\n"] {
        let mut pipe = Pipe::tcp(&world.join).await;
        pipe.send(first).await;
        while pipe.receive().await.is_some() {}
    }
    world.joins("alice").await;
}

#[tokio::test]
async fn a_crowd_at_the_door_is_told_to_come_back() {
    let world = World::with(|setup| setup.config.session.handshakes_max = 1).await;
    let staller = Pipe::tcp(&world.join).await;
    // The staller holds the only place. Who comes next is turned away once the door has waited.
    let key = StaticKey::generate().unwrap();
    let refused = loop {
        match Link::dial(&world.join, &key).await {
            Err(NoLink::Refused(refusal, retry_after_ms)) => break (refusal, retry_after_ms),
            Err(NoLink::Closed) | Ok(_) => {}
        }
    };
    assert_eq!(refused.0, Refusal::Busy);
    assert!(refused.1 > 0);
    drop(staller);
    while Link::dial(&world.join, &key).await.is_err() {}
}

#[tokio::test]
async fn so_many_connections_and_no_more() {
    let world = World::with(|setup| setup.config.session.connections_max = 1).await;
    let alice = world.joins("alice").await;
    let key = StaticKey::generate().unwrap();
    let refused = Link::dial(&world.join, &key).await.err().unwrap();
    assert!(matches!(refused, NoLink::Refused(Refusal::Busy, 1..)), "{refused:?}");
    drop(alice);
    while Link::dial(&world.join, &key).await.is_err() {}
}

#[tokio::test]
async fn a_keepalive_is_answered_with_one_byte() {
    // The sweep passes each session every three seconds then.
    let world = World::with(|setup| setup.config.link.keepalive_s = 4).await;
    let mut alice = world.joins("alice").await;
    let link = alice.link();
    let before = link.bytes_received;
    link.pipe.send(&[0]).await;
    assert_eq!(link.next().await, Heard::Keepalive);
    assert_eq!(link.bytes_received - before, 1);
}

#[tokio::test]
async fn a_ticket_resumes_and_only_the_full_handshake_replaces_it_when_it_is_damaged() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let ticket = alice.link().welcome.ticket.to_vec();
    let resumed = godwit_link::Ticket::from_welcome(&ticket).unwrap();
    let link = Link::resume(&world.join, &resumed).await.ok().unwrap();
    assert_eq!((link.welcome.account, link.welcome.device), (alice.account().0, 1));
    alice.link = Some(link);
    assert!(alice.attaches().await.is_empty());
    let mut damaged = ticket;
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = godwit_link::Ticket::from_welcome(&damaged).unwrap();
    let refused = Link::resume(&world.join, &damaged).await.err().unwrap();
    assert_eq!(refused, NoLink::Refused(Refusal::BadTicket, 0));
}

#[tokio::test]
async fn first_bytes_may_come_one_by_one() {
    let world = World::new().await;
    let key = StaticKey::generate().unwrap();
    let mut pipe = Pipe::tcp(&world.join).await;
    let (_, bytes) = knock(&world.join, &key, &hello());
    for byte in bytes {
        pipe.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(answer(&mut pipe).await.is_ok());
}
