use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameSocket};

use super::*;
use crate::session::Socket;

const BINARY: OpCode = OpCode::Data(Data::Binary);
const MORE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(Control::Ping);
const PONG: OpCode = OpCode::Control(Control::Pong);
const CLOSE: OpCode = OpCode::Control(Control::Close);

/// A connection whose every byte the test counts out.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<u8>,
    ended: bool,
    /// Bytes that the system still takes, and those that it took.
    room: usize,
    taken: Vec<u8>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.incoming.is_empty() && !self.ended {
            return Poll::Pending;
        }
        let n = self.incoming.len().min(buffer.remaining());
        buffer.put_slice(&self.incoming.drain(..n).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.room == 0 {
            return Poll::Pending;
        }
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let n = all.len().min(self.room);
        self.room -= n;
        self.taken.extend(&all[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        unreachable!("the client closes first")
    }
}

/// Whether somebody was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One poll; whether it is to be polled again is told too.
fn polls<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> (Poll<T>, bool) {
    let woken = Arc::new(Woken::default());
    let polled = poll(&mut Context::from_waker(&Arc::clone(&woken).into()));
    (polled, woken.0.load(Ordering::Relaxed))
}

type Server = WebSocket<Wire>;

/// A server that has so much room to say something.
fn server(room: usize) -> Server {
    WebSocket::new(Wire { room, ..Wire::default() }, Bytes::new())
}

/// All that can be read now, by so many bytes, and whether that was the end.
fn read(server: &mut Server, size: usize) -> io::Result<(Vec<u8>, bool)> {
    let (mut heard, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        let mut room = ReadBuf::new(&mut buffer);
        let (polled, again) = polls(|cx| Pin::new(&mut *server).poll_read(cx, &mut room));
        match polled {
            Poll::Ready(Ok(())) if room.filled().is_empty() => return Ok((heard, true)),
            Poll::Ready(Ok(())) => heard.extend_from_slice(room.filled()),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending if again => {}
            Poll::Pending => return Ok((heard, false)),
        }
    }
}

/// Says what the socket takes; returns how much that is.
fn write(server: &mut Server, mut bytes: &[u8]) -> usize {
    let all = bytes.len();
    while !bytes.is_empty() {
        match polls(|cx| Pin::new(&mut *server).poll_write(cx, bytes)).0 {
            Poll::Ready(n) => bytes = &bytes[n.unwrap()..],
            Poll::Pending => break,
        }
    }
    let _ = polls(|cx| Pin::new(server).poll_flush(cx));
    all - bytes.len()
}

fn hears(server: &mut Server, bytes: &[u8]) -> Vec<u8> {
    server.stream.incoming.extend(bytes);
    read(server, 64 * 1_024).unwrap().0
}

/// Into another process.
fn moved(server: Server) -> Server {
    let (stream, carried) = server.part();
    WebSocket::join(stream, &carried).unwrap()
}

/// A frame as a client sends it.
fn frame(kind: OpCode, payload: &[u8], is_last: bool) -> Vec<u8> {
    let mut frame = Frame::message(payload.to_vec(), BINARY, is_last);
    frame.header_mut().opcode = kind;
    frame.header_mut().mask = Some([0x11, 0xa2, 0x33, 0xc4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

/// All that a client may send, and what its messages carry.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    // A length in more bytes than it needs, which no right client sends and every server understands.
    let long = [&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0][..], b"eight"].concat();
    let raw = [
        frame(BINARY, b"GW", true),
        frame(PING, b"first", true),
        frame(BINARY, b"in th", false),
        frame(PING, b"between", true),
        frame(MORE, b"", false),
        frame(MORE, b"ree pie", false),
        frame(PONG, b"nobody asked", true),
        frame(MORE, b"ces", true),
        frame(BINARY, &pattern(300), true),
        frame(BINARY, b"", true),
        frame(PING, &pattern(125), true),
        long,
        frame(PING, b"", true),
        frame(BINARY, b"last", true),
        frame(CLOSE, b"\x03\xe8bye", true),
    ];
    let carried = [b"GWin three pieces", &pattern(300)[..], b"eightlast"].concat();
    (raw.concat(), carried)
}

/// The frames that a client was sent, by the parser of others: what messages carry, and answers.
fn sent(taken: &[u8]) -> (Vec<u8>, Vec<(OpCode, Vec<u8>)>) {
    let mut frames = FrameSocket::new(Cursor::new(taken.to_vec()));
    let (mut carried, mut answers) = (Vec::new(), Vec::new());
    while let Some(frame) = frames.read(None).unwrap() {
        assert!(frame.header().is_final && frame.header().mask.is_none());
        match frame.header().opcode {
            BINARY => carried.extend_from_slice(frame.payload()),
            answer => answers.push((answer, frame.payload().to_vec())),
        }
    }
    let (stream, rest) = frames.into_inner();
    assert!(rest.is_empty() && stream.position() == taken.len() as u64, "half a frame");
    (carried, answers)
}

/// That the pings of a conversation were answered: not each, but in order, and the last before the end.
fn are_answered(answers: &[(OpCode, Vec<u8>)]) {
    let pings = [b"first".to_vec(), b"between".to_vec(), pattern(125), vec![]];
    let mut pings = pings.into_iter();
    let (end, pongs) = answers.split_last().unwrap();
    assert_eq!(*end, (CLOSE, b"\x03\xe8".to_vec()));
    for (kind, payload) in pongs {
        assert_eq!(*kind, PONG);
        assert!(pings.any(|ping| ping == *payload), "{answers:?}");
    }
}

#[test]
fn parted_after_any_byte_it_reads_the_same() {
    let (raw, carried) = conversation();
    for cut in 0..=raw.len() {
        for size in [1, 3, 64, 64 * 1_024] {
            let mut server = server(usize::MAX);
            let (before, after) = raw.split_at(cut);
            server.stream.incoming.extend(before);
            let mut heard = read(&mut server, size).unwrap().0;
            let mut server = moved(server);
            server.stream.incoming.extend(after);
            let (rest, is_over) = read(&mut server, size).unwrap();
            heard.extend(rest);
            assert!(is_over && heard == carried, "cut at {cut}, read by {size}");
            are_answered(&sent(&server.stream.taken).1);
        }
    }
}

#[test]
fn parted_before_it_has_looked_at_what_was_read_it_reads_the_same() {
    let (raw, carried) = conversation();
    for cut in 0..=raw.len() {
        let (ahead, after) = raw.split_at(cut);
        let stream = Wire { room: usize::MAX, incoming: after.to_vec().into(), ..Wire::default() };
        let mut server = moved(WebSocket::new(stream, ahead.to_vec().into()));
        let mut one = [0];
        let mut first = ReadBuf::new(&mut one);
        // Four bytes of a header, or one of a message: some of what was read, and not all.
        let _ = polls(|cx| Pin::new(&mut server).poll_read(cx, &mut first));
        let mut heard = first.filled().to_vec();
        heard.extend(read(&mut moved(server), 64 * 1_024).unwrap().0);
        assert!(heard == carried, "cut at {cut}");
    }
}

#[test]
fn parted_after_every_byte_it_reads_and_says_the_same() {
    let (raw, carried) = conversation();
    let says = pattern(1_000);
    let mut server = server(0);
    let (mut heard, mut said) = (Vec::new(), 0);
    for byte in raw {
        server.stream.room = 3;
        // The last bytes of the client end it; what is said must be said before.
        heard.extend(hears(&mut server, &[byte]));
        if !server.frames.has_closed {
            said += write(&mut server, &says[said..]);
        }
        server = moved(server);
    }
    server.stream.room = usize::MAX;
    assert!(read(&mut server, 64).unwrap().1 && heard == carried);
    let (carried, answers) = sent(&server.stream.taken);
    assert!(said > 100, "{said}");
    assert_eq!(carried, says[..said]);
    are_answered(&answers);
}

#[test]
fn parted_with_any_byte_unsent_it_says_the_same() {
    let says = pattern(700);
    // What comes meanwhile is answered behind the message that has begun.
    let ping = frame(PING, b"there?", true);
    let said = |room, moves: fn(Server) -> Server| {
        let mut server = server(room);
        let first = write(&mut server, &says[..400]);
        hears(&mut server, &ping);
        let mut server = moves(server);
        let (next, wakes) = polls(|cx| Pin::new(&mut server).poll_write(cx, &says[first..first]));
        assert!(!wakes && (next.is_pending() || server.unsent.is_empty()));
        server.stream.room = usize::MAX;
        assert_eq!(write(&mut server, &says[first..]), says.len() - first);
        server.stream.taken
    };
    let whole = said(usize::MAX, |server| server);
    let answer = vec![(PONG, b"there?".to_vec())];
    assert_eq!(sent(&whole), (says.clone(), answer.clone()));
    for room in 0..=whole.len() {
        let moved = said(room, moved);
        assert_eq!(moved, said(room, |server| server), "{room} bytes taken before");
        assert_eq!(sent(&moved), (says.clone(), answer.clone()), "{room} bytes taken before");
    }
}

#[test]
fn a_message_to_the_client_has_a_bound() {
    let mut server = server(0);
    let says = pattern(MESSAGE_BYTES_MAX + 1);
    assert_eq!(write(&mut server, &says), 0, "nothing is taken of it before the system does");
    server.stream.room = 1;
    assert_eq!(write(&mut server, &says), MESSAGE_BYTES_MAX);
    assert_eq!(server.unsent.len(), MESSAGE_BYTES_MAX + 3, "its header has four bytes");
    assert_eq!(write(&mut server, &says[..1]), 0, "the one before is not with the system");
    server.stream.room = MESSAGE_BYTES_MAX + 3;
    assert_eq!(write(&mut server, &says[..1]), 0);
    assert_eq!((server.unsent.len(), server.unsent.capacity()), (0, 0));
    server.stream.room = usize::MAX;
    assert_eq!(write(&mut server, &says[MESSAGE_BYTES_MAX..]), 1);
    assert_eq!(sent(&server.stream.taken), (says, vec![]));
}

#[test]
fn headers_are_those_that_others_write() {
    for bytes in [1, 125, 126, 255, 256, 1_000, MESSAGE_BYTES_MAX] {
        let mut whole = Vec::new();
        Frame::message(pattern(bytes), BINARY, true).format(&mut whole).unwrap();
        let (header, header_bytes) = header(bytes);
        assert_eq!(header[..header_bytes], whole[..whole.len() - bytes], "{bytes}");
    }
}

#[test]
fn a_long_message_is_never_gathered() {
    let mut server = server(usize::MAX);
    let says = pattern(200_000);
    let raw = frame(BINARY, &says, true);
    let mut heard = Vec::new();
    for part in raw.chunks(7_001) {
        heard.extend(hears(&mut server, part));
        server = moved(server);
        assert!(server.ahead.len() < 14 && server.frames.begun.capacity() == 0);
    }
    assert!(heard == says);
    assert_eq!(server.part().1, [1], "and an idle one is nothing but a version");
}

#[test]
fn only_the_latest_ping_waits_for_its_answer() {
    let mut server = server(1);
    for number in 0..1_000_u32 {
        hears(&mut server, &frame(PING, &number.to_be_bytes(), true));
        assert!(server.unsent.len() + server.frames.answer.len() <= 2 * 6, "{number}");
    }
    server.stream.room = usize::MAX;
    read(&mut server, 1).unwrap();
    let pongs = [0_u32, 999].map(|number| (PONG, number.to_be_bytes().to_vec()));
    assert_eq!(sent(&server.stream.taken).1, pongs, "one had begun, and the latest");
}

#[test]
fn who_sends_nothing_but_frames_takes_turns_with_others() {
    let mut server = server(usize::MAX);
    let empty = frame(BINARY, b"", true);
    let said = [vec![empty; 3].concat(), frame(BINARY, b"x", true)].concat();
    let pieces = said.len() - 1; // with a buffer of one byte
    server.stream.incoming.extend(said);
    let mut turns = 0;
    loop {
        let mut one = [0];
        let mut room = ReadBuf::new(&mut one);
        match polls(|cx| Pin::new(&mut server).poll_read(cx, &mut room)) {
            (Poll::Pending, woken) => assert!(woken, "nobody would come back"),
            (Poll::Ready(_), _) => break assert_eq!(room.filled(), b"x"),
        }
        turns += 1;
    }
    assert_eq!(turns, pieces / EMPTY_READS_MAX as usize);
}

#[test]
fn what_no_right_client_sends_ends_it() {
    let mut unmasked = Vec::new();
    Frame::message(&b"x"[..], BINARY, true).format(&mut unmasked).unwrap();
    let mut compressed = frame(BINARY, b"x", true);
    compressed[0] |= 0x40;
    let length = |first: u8| {
        [&[0x82, 0xff, first, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], b"x"]
            .concat()
    };
    let begun = frame(BINARY, b"x", false);
    let control = |length: u8| [&[0x89, 0x80 | length, 0, 0, 0, 0][..], &pattern(126)].concat();
    for (raw, is_right) in [
        (frame(BINARY, b"x", true), true),
        (unmasked, false),
        (compressed, false),
        (frame(OpCode::Data(Data::Text), b"x", true), false),
        (frame(OpCode::Data(Data::Reserved(3)), b"x", true), false),
        (frame(OpCode::Control(Control::Reserved(11)), b"x", true), false),
        (length(0x7f), true),
        (length(0x80), false),
        (frame(MORE, b"x", true), false),
        ([&begun[..], &frame(MORE, b"x", true)].concat(), true),
        ([&begun[..], &begun].concat(), false),
        ([&begun[..], &frame(BINARY, b"x", true)].concat(), false),
        (frame(PING, b"x", false), false),
        (control(125)[..131].to_vec(), true),
        (control(126), false),
        (frame(CLOSE, b"", true), true),
        (frame(CLOSE, b"\x03", true), false),
        (frame(CLOSE, b"\x03\xe8", true), true),
    ] {
        for size in [1, 64 * 1_024] {
            let mut server = server(usize::MAX);
            server.stream.incoming.extend(&raw);
            let read = read(&mut server, size);
            assert_eq!(read.is_ok(), is_right, "{raw:x?} read by {size}: {read:?}");
            let kind = read.err().map(|error| error.kind());
            assert!(kind.is_none_or(|kind| kind == io::ErrorKind::InvalidData));
        }
    }
}

#[test]
fn who_closes_is_answered_once_and_heard_no_more() {
    let mut server = server(usize::MAX);
    let close = frame(CLOSE, b"\x0b\xb8why", true);
    let raw = [frame(BINARY, b"x", true), close.clone(), frame(BINARY, b"y", true), close];
    server.stream.incoming.extend(raw.concat());
    assert_eq!(read(&mut server, 64).unwrap(), (b"x".to_vec(), true));
    let mut server = moved(server);
    assert_eq!(hears(&mut server, &frame(BINARY, b"z", true)), b"");
    let (refused, _) = polls(|cx| Pin::new(&mut server).poll_write(cx, b"more"));
    assert!(
        matches!(refused, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe)
    );
    assert!(polls(|cx| Pin::new(&mut server).poll_shutdown(cx)).0.is_ready());
    assert_eq!(sent(&server.stream.taken).1, [(CLOSE, b"\x0b\xb8".to_vec())]);
}

#[test]
fn the_server_closes_behind_what_it_said_and_answers_no_more() {
    let mut server = server(5);
    assert_eq!(write(&mut server, b"goodbye"), 7);
    assert!(polls(|cx| Pin::new(&mut server).poll_shutdown(cx)).0.is_pending());
    let mut server = moved(server);
    server.stream.room = usize::MAX;
    let late = [frame(PING, b"late", true), frame(BINARY, b"x", true)].concat();
    assert_eq!(hears(&mut server, &late), b"x", "who lingers still reads");
    for _ in 0..2 {
        assert!(polls(|cx| Pin::new(&mut server).poll_shutdown(cx)).0.is_ready());
    }
    server.stream.incoming.extend(frame(CLOSE, b"", true));
    assert!(read(&mut server, 64).unwrap().1);
    assert_eq!(sent(&server.stream.taken), (b"goodbye".to_vec(), vec![(CLOSE, vec![])]));
}

/// Written once, read by every later version.
const GOLDEN: &str = "01 0a03898b11 1005 1a0433c411a2 2001 2a020164 3001 3801";

#[test]
fn carried_bytes_are_read_by_every_later_version() {
    let golden: Vec<u8> = GOLDEN
        .split_whitespace()
        .flat_map(|part| part.as_bytes().chunks(2))
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 16).unwrap())
        .collect();
    let joined = WebSocket::join(Wire::default(), &golden).unwrap();
    assert_eq!(joined.ahead, [0x89, 0x8b, 0x11][..]);
    assert_eq!(joined.unsent, [1, 100]);
    let frames = Frames {
        left: 5,
        mask: [0x33, 0xc4, 0x11, 0xa2],
        in_message: true,
        has_closed: true,
        is_over: true,
        ..Frames::default()
    };
    assert_eq!(joined.frames, frames);
    assert_eq!(joined.part().1, golden);
    let refused = |carried: &[u8]| WebSocket::join(Wire::default(), carried).err();
    assert_eq!(refused(&[]), Some(CarriedError::Malformed));
    assert_eq!(refused(&[2]), Some(CarriedError::Version(2)));
    assert_eq!(refused(&golden[..4]), Some(CarriedError::Malformed), "cut");
    assert_eq!(refused(&[1, 0x10, 5]), Some(CarriedError::Malformed), "a frame without mask");
    assert_eq!(refused(&[1]), None);
}

#[test]
fn the_key_is_answered_as_the_standard_says() {
    let accepted = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455, 1.3");
}

async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Bytes both ways.
const MUCH: usize = 4 << 20;

#[tokio::test]
async fn a_client_of_others_notices_nothing_of_a_thousand_moves() {
    let (near, far) = connection().await;
    let client = tokio::spawn(async move {
        let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let (mut says, mut hears) = client.split();
        let speaker = tokio::spawn(async move {
            let all = pattern(MUCH);
            let mut rest = &all[..];
            for size in [1, 125, 126, 4_000, 65_535, 65_536, 100_000].into_iter().cycle() {
                let (part, later) = rest.split_at(size.min(rest.len()));
                says.send(Message::binary(part.to_vec())).await.unwrap();
                says.send(Message::Ping(Bytes::from(size.to_string()))).await.unwrap();
                rest = later;
                if rest.is_empty() {
                    return says;
                }
            }
            unreachable!("it goes round")
        });
        let mut heard = Vec::with_capacity(MUCH);
        while heard.len() < MUCH {
            match hears.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => heard.extend(bytes),
                Message::Pong(_) => {}
                other => panic!("{other}"),
            }
        }
        speaker.await.unwrap().send(Message::Close(None)).await.unwrap();
        heard
    });
    let mut server = Socket::Web(Box::new(WebSocket::new(far, Bytes::new())));
    let (mut buffer, mut moves) = (vec![0; 3_000], 0);
    loop {
        let n = server.read(&mut buffer).await.unwrap();
        if n == 0 {
            break;
        }
        server.write_all(&buffer[..n]).await.unwrap(); // unsent bytes may stay
        let (stream, carried) = server.part().unwrap();
        server = Socket::join(stream, &carried).unwrap();
        moves += 1;
    }
    assert!(client.await.unwrap() == pattern(MUCH));
    assert!(moves > 1_000, "{moves}");
}

#[tokio::test]
async fn tcp_carries_nothing_and_a_pipe_goes_nowhere() {
    let (mut near, far) = connection().await;
    near.write_all(b"waits").await.unwrap();
    let (stream, carried) = Socket::Tcp(far).part().unwrap();
    assert!(carried.is_empty());
    let mut socket = Socket::join(stream, &carried).unwrap();
    assert!(matches!(socket, Socket::Tcp(_)));
    let mut heard = [0; 5];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"waits");
    let mut pipe = Socket::Boxed(Box::new(tokio::io::duplex(8).0));
    assert_eq!(pipe.part().unwrap_err().kind(), io::ErrorKind::Unsupported);
}
