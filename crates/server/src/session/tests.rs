//! The session's bounds, on a pipe instead of a socket.

mod deaf;
mod order;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use godwit_actor::Push;
use godwit_base::{AccountId, DeviceId, ManualClock, Seq};
use godwit_link::{Initiator, Responder, ServerKeys, StaticKey, Transport};
use godwit_store::{Entry, Outcome, Record};
use godwit_wire::frame::{Header, TAG_BYTES, decode_header, encode_header};
use godwit_wire::{ToClient, ToServer, v1};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::inbound::{TURN_BYTES_MAX, TURN_FRAMES_MAX};
use super::*;
use crate::config::Config;
use crate::node::FAILED_LOOKUPS_PER_ADDRESS_PER_HOUR;
use crate::presence::{Moment, Rule};
use crate::{Server, Setup};

const ALICE: DeviceId = DeviceId::new(1, 1);

/// Longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server for its node; its sessions are made by hand.
async fn lab(change: impl FnOnce(&mut Setup)) -> (Server, TempDir) {
    let data = TempDir::new().unwrap();
    let mut config = Config { data: Some(data.path().to_owned()), ..Config::default() };
    config.listen.set_port(0);
    let mut setup = Setup::new(config);
    change(&mut setup);
    (Server::start(setup).await.unwrap(), data)
}

/// A session and the device's end of its link.
fn session(node: &Arc<Node>, pipe_bytes: usize) -> (Session, DuplexStream, Transport) {
    session_from(Ipv4Addr::LOCALHOST.into(), node, pipe_bytes)
}

fn session_from(
    address: IpAddr,
    node: &Arc<Node>,
    pipe_bytes: usize,
) -> (Session, DuplexStream, Transport) {
    let server = StaticKey::generate().unwrap();
    let keys = ServerKeys::new(server.clone(), None);
    let me = StaticKey::generate().unwrap();
    let (initiator, hello) = Initiator::ik(&me, &server.public(), b"").unwrap();
    let arrival = Responder::ik(&keys, server.public().hint(), &hello).unwrap();
    let (reply, established) = arrival.responder.reply(b"").unwrap();
    let client = initiator.finish(&reply).unwrap().transport;
    let (near, far) = duplex(pipe_bytes);
    let socket = Socket::Boxed(Box::new(near));
    let peer = Peer::Device(ALICE);
    let transport = established.transport;
    (Session::new(Arc::clone(node), socket, transport, peer, address, &[]), far, client)
}

fn frame(transport: &mut Transport, message: impl Into<ToServer>) -> Vec<u8> {
    frame_of(transport, &[message.into()])
}

fn frame_of(transport: &mut Transport, messages: &[ToServer]) -> Vec<u8> {
    let mut plain = Vec::new();
    messages.iter().for_each(|message| message.encode_into(&mut plain));
    let mut bytes = Vec::new();
    encode_header(plain.len() + TAG_BYTES, &mut bytes).unwrap();
    transport.seal_into(&plain, &mut bytes).unwrap();
    bytes
}

/// One turn, after which the session waits.
fn turn(session: &mut Session) {
    let turn = Pin::new(session).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(turn, Poll::Pending);
}

/// Turn after turn, in between which the store has its own, until it is so.
async fn turns_until(session: &mut Session, mut is_so: impl FnMut(&Session) -> bool) {
    let turns = async {
        while !is_so(session) {
            turn(session);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, turns).await.unwrap();
}

/// Takes the mailbox and has it drained.
async fn attach(session: &mut Session, far: &mut DuplexStream, client: &mut Transport) {
    far.write_all(&frame(client, v1::Attach {})).await.unwrap();
    turns_until(session, |session| session.feed == Feed::Live).await;
}

/// All that the device has been sent and has not read yet.
async fn hears(far: &mut DuplexStream, client: &mut Transport) -> Vec<&'static str> {
    let mut received = Vec::with_capacity(1 << 16);
    far.read_buf(&mut received).await.unwrap();
    said(&received, client).iter().map(ToClient::name).collect()
}

/// A submission with so many copies. The store refuses it for good: it knows neither Alice nor the recipient.
fn submission(counter: u64, copies: u32) -> ToServer {
    let body = Bytes::from_static(b"sealed");
    let copies = (1..=copies).map(|device| v1::SealedCopy { device, kind: 0, body: body.clone() });
    let recipient = v1::Recipient { account: 99, list_version: 1, copies: copies.collect() };
    v1::Submit { counter, recipients: vec![recipient], group: None }.into()
}

/// How often this was the refusal.
fn refused(node: &Node, refusal: Refusal) -> u64 {
    let page = node.meters.page(0, &node.store.stats());
    let row = format!("godwit_submissions_refused_total{{kind=\"{}\"}} ", refusal.name());
    page.lines().find_map(|line| line.strip_prefix(&row)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_turn_takes_so_many_frames_and_bytes_and_then_lets_others() {
    let (server, _data) = lab(|_| {}).await;
    let (mut session, mut far, mut client) = session(&server.node, 1 << 20);
    far.write_all(&frame(&mut client, v1::Attach {})).await.unwrap();
    for _ in 0..1_000 {
        far.write_all(&frame(&mut client, v1::Ack { up_to: 1 })).await.unwrap();
    }
    let meters = &server.node.meters;
    let mut turns = 0;
    while meters.acknowledgements.get() < 1_000 {
        let before = (meters.acknowledgements.get(), meters.bytes_in.get());
        let turn = Pin::new(&mut session).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(turn, Poll::Pending);
        let done = meters.acknowledgements.get() - before.0;
        assert!(done <= u64::from(TURN_FRAMES_MAX), "{done} frames in one turn");
        assert!(meters.bytes_in.get() - before.1 <= TURN_BYTES_MAX as u64);
        turns += 1;
    }
    assert_eq!(turns, 1_001_u32.div_ceil(TURN_FRAMES_MAX));
}

#[tokio::test]
async fn what_a_displaced_session_still_reads_is_not_submitted() {
    let (server, _data) = lab(|_| {}).await;
    let (mut older, mut far, mut client) = session(&server.node, 1 << 16);
    attach(&mut older, &mut far, &mut client).await;
    far.write_all(&frame(&mut client, submission(1, 1))).await.unwrap();
    turn(&mut older);
    let submitted = || server.node.meters.submissions.get();
    assert_eq!(submitted(), 1, "before");
    let (mut newer, mut newer_far, mut newer_client) = session(&server.node, 1 << 16);
    attach(&mut newer, &mut newer_far, &mut newer_client).await;
    far.write_all(&frame(&mut client, submission(2, 1))).await.unwrap();
    turn(&mut older);
    assert_eq!(submitted(), 1, "and after");
    newer_far.write_all(&frame(&mut newer_client, submission(2, 1))).await.unwrap();
    turn(&mut newer);
    assert_eq!(submitted(), 2, "by the new link it is");
}

#[tokio::test]
async fn who_cannot_go_to_another_process_hears_a_goodbye() {
    let (server, _data) = lab(|_| {}).await;
    let (mut session, mut far, mut client) = session(&server.node, 1 << 16);
    session.seat.tell(Word::Freeze);
    turn(&mut session);
    assert_eq!(hears(&mut far, &mut client).await, ["Goodbye"]);
    assert_eq!(session.stage, Stage::Lingering);
}

#[tokio::test]
async fn who_never_reads_is_closed_at_the_limit_and_not_before() {
    let limit = 150_000;
    let (server, _data) = lab(|setup| {
        setup.config.session.unsent_behind_bytes = 100_000;
        setup.config.session.unsent_close_bytes = limit;
    })
    .await;
    let (session, mut far, mut client) = session(&server.node, 64);
    let session = tokio::spawn(session);
    // Each answer has more than 20 bytes. Nothing is read, so all of it stays unsent.
    let mut asked = 0;
    while !session.is_finished() {
        asked += 1;
        let question = frame(&mut client, v1::TermsRequest { request: asked });
        if far.write_all(&question).await.is_err() {
            break;
        }
    }
    session.await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert!(received.len() <= 64, "only what the pipe held");
    let page = server.node.meters.page(0, &server.node.store.stats());
    assert!(page.contains("godwit_sessions_closed_total{kind=\"too slow\"} 1"), "{page}");
    let answer_bytes = 30..90;
    let unsent = usize::try_from(asked).unwrap();
    assert!(unsent * answer_bytes.end > limit, "closed after {asked} answers: too early");
    assert!(unsent * answer_bytes.start < 2 * limit, "closed after {asked} answers: too late");
}

/// A socket on which time passes with every read.
struct Slow {
    pipe: DuplexStream,
    clock: ManualClock,
    read_ms: u64,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.clock.advance(self.read_ms);
        Pin::new(&mut self.pipe).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_turn_of_ten_milliseconds_is_left_alone_and_a_longer_one_is_reported() {
    for (read_ms, reported) in [(10, 0), (11, 1)] {
        let clock = ManualClock::at(1_700_000_000_000);
        let (server, _data) = lab(|setup| setup.clock = Arc::new(clock.clone())).await;
        let (mut session, _far, _client) = session(&server.node, 64);
        let (pipe, _far) = duplex(64);
        session.socket = Socket::Boxed(Box::new(Slow { pipe, clock, read_ms }));
        let turn = Pin::new(&mut session).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(turn, Poll::Pending);
        assert_eq!(server.node.meters.slow_turns.get(), reported, "one read of {read_ms} ms");
    }
}

/// Everything that the server said, in order.
fn said(mut bytes: &[u8], transport: &mut Transport) -> Vec<ToClient> {
    let mut said = Vec::new();
    while let Header::Frame { header, body } = decode_header(bytes).unwrap() {
        let mut frame = bytes[header..header + body].to_vec();
        bytes = &bytes[header + body..];
        let length = transport.open_in_place(&mut frame).unwrap();
        said.extend(ToClient::decode_all(&frame[..length]).map(Result::unwrap));
    }
    assert!(bytes.is_empty(), "a frame is incomplete");
    said
}

/// Looks up a handle or an account that nobody has, and says how that was refused.
async fn refusal_of(
    (session, far, client): &mut (Session, DuplexStream, Transport),
    who: v1::fetch::Who,
) -> Option<Refusal> {
    let fetch = v1::Fetch { request: 1, who: Some(who), keys: false, devices: Vec::new() };
    far.write_all(&frame(client, fetch)).await.unwrap();
    let mut bytes = [0; 256];
    let read = tokio::select! {
        () = &mut *session => panic!("the session ended"),
        read = far.read(&mut bytes) => read.unwrap(),
    };
    match said(&bytes[..read], client).as_slice() {
        [ToClient::Refused(refused)] => Refusal::from_number(refused.code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn so_many_handles_are_tried_out_from_one_address_whatever_the_device() {
    let clock = ManualClock::at(1_700_000_000_000);
    let (server, _data) = lab(|setup| {
        setup.clock = Arc::new(clock.clone());
        setup.config.rate.lookups_per_hour = 1_000_000; // the device's own bound is another
    })
    .await;
    let node = &server.node;
    let handle = || v1::fetch::Who::Handle("nobody".into());
    let home = |last| IpAddr::from([192, 0, 2, last]);
    let mut first = session_from(home(1), node, 1 << 10);
    for _ in 1..FAILED_LOOKUPS_PER_ADDRESS_PER_HOUR {
        assert_eq!(refusal_of(&mut first, handle()).await, Some(Refusal::UnknownAccount));
    }
    let mut second = session_from(home(1), node, 1 << 10);
    let mut elsewhere = session_from(home(2), node, 1 << 10);
    let mut here = session(node, 1 << 10);
    assert_eq!(refusal_of(&mut second, handle()).await, Some(Refusal::UnknownAccount), "the last");
    for device in [&mut first, &mut second] {
        assert_eq!(refusal_of(device, handle()).await, Some(Refusal::RateLimited));
        let account = v1::fetch::Who::Account(7);
        assert_eq!(refusal_of(device, account).await, Some(Refusal::UnknownAccount));
    }
    assert_eq!(refusal_of(&mut elsewhere, handle()).await, Some(Refusal::UnknownAccount));
    assert_eq!(refusal_of(&mut here, handle()).await, Some(Refusal::UnknownAccount));
    clock.advance(3_600_000 / u64::from(FAILED_LOOKUPS_PER_ADDRESS_PER_HOUR));
    assert_eq!(refusal_of(&mut second, handle()).await, Some(Refusal::UnknownAccount));
    assert_eq!(refusal_of(&mut first, handle()).await, Some(Refusal::RateLimited));
}

fn record(n: u64) -> Record {
    let body = Bytes::from(vec![0; 100]);
    Record { seq: Seq(n), entry: Entry::Message { from: DeviceId::new(3, 1), counter: n, body } }
}

/// Opens the chat with that account, and is told how it is.
async fn watch(
    account: AccountId,
    session: &mut Session,
    far: &mut DuplexStream,
    client: &mut Transport,
) {
    let visibility = v1::Visibility::Everyone.into();
    let chat = v1::OpenChat { account: account.0, ..v1::OpenChat::default() };
    let set = v1::PresenceSet { here: true, visibility, pass: Bytes::new() };
    far.write_all(&frame(client, set)).await.unwrap();
    far.write_all(&frame(client, v1::PresenceWatch { chats: vec![chat] })).await.unwrap();
    turn(session);
}

#[tokio::test]
async fn under_load_presence_waits_and_then_says_the_newest_and_messages_do_not_wait() {
    const BOB: AccountId = AccountId(2);
    let (server, _data) = lab(|_| {}).await;
    let (node, meters) = (&server.node, &server.node.meters);
    let (mut session, mut far, mut client) = session(node, 256);
    attach(&mut session, &mut far, &mut client).await;
    watch(BOB, &mut session, &mut far, &mut client).await;
    assert_eq!(meters.presences.get(), 1, "what there is to tell at first");
    (1..=10).for_each(|n| assert_eq!(session.seat.hand(record(n)), Push::Pushed));
    turn(&mut session);
    assert!(session.outbound.unsent_bytes() > 0, "more than the device has read");
    let bob = node.registry.enter(0);
    for (s, here) in [(1, true), (2, false), (3, true)] {
        let moment = Moment { s, unix_ms: 60_000 };
        node.presence.set(BOB, &bob, here, Rule::Everyone, moment);
        turn(&mut session);
    }
    assert_eq!(session.seat.hand(record(11)), Push::Pushed);
    turn(&mut session);
    assert_eq!((meters.delivered.get(), meters.presences.get()), (11, 1));
    let mut received = Vec::new();
    while session.outbound.unsent_bytes() > 0 || session.seat.has_marks() {
        far.read_buf(&mut received).await.unwrap();
        turn(&mut session);
    }
    drop(session);
    far.read_to_end(&mut received).await.unwrap();
    let said = said(&received, &mut client);
    let delivered = said.iter().filter(|said| matches!(said, ToClient::Deliver(_))).count();
    assert_eq!(delivered, 11);
    let online = v1::PresenceState::Online.into();
    let news = v1::Presence { account: BOB.0, state: online, last_seen_ms: 0, typing: false };
    assert_eq!(said.last(), Some(&news.into()));
    assert_eq!(meters.presences.get(), 2, "once, for three changes");
}

#[test]
fn every_byte_of_an_idle_session_is_accounted_for() {
    let page = include_str!("../../../../docs/density.md");
    let counts = 2 * size_of::<usize>(); // of an Arc
    let parts = [
        ("the session", size_of::<Session>()),
        ("its socket", size_of::<Socket>()),
        ("its keys and counters", size_of::<Transport>()),
        ("the state of its conversation", size_of::<Machine>()),
        ("what it waits for", size_of::<Jobs>()),
        ("bytes of a half frame", size_of::<Inbound>()),
        ("bytes not sent yet", size_of::<Outbound>()),
        ("its seat", size_of::<Seat>() + counts),
        ("its place by token", size_of::<(u32, Option<Arc<Seat>>)>()),
        ("its place by device", size_of::<(DeviceId, Arc<Seat>)>() + 1),
    ];
    let row = |(part, bytes): &(&str, usize)| format!("| {part} | {bytes} |");
    let grown: Vec<_> = parts.iter().map(row).filter(|row| !page.contains(row)).collect();
    assert!(grown.is_empty(), "docs/density.md says something else than {grown:#?}");
}
