//! What an idle connection takes from the allocator, to the byte: docs/density.md says how much, and of what.
//!
//! A process of its own, because its allocator counts. The clients are in it too, so they own no memory of
//! the heap: sockets of the standard library, and keys in a list that was made before.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_base::JoinLink;
use godwit_link::{Initiator, PublicKey, StaticKey, Transport};
use godwit_server::config::Config;
use godwit_server::{Server, Setup};
use godwit_wire::frame::{self, Header, decode_header, encode_header};
use godwit_wire::preface::{ClientPreface, Mode, ServerPreface};
use godwit_wire::{ToClient, ToServer, v1};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Two sockets each, in a process that may be allowed 1,024 files.
const CONNECTIONS: usize = 400;

/// Longer than any answer takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// When the server looks for the first time for what has grown old: in the sweeper's 60th round, and never
/// earlier, for the first one begins when it starts and a late one moves all later ones.
const FIRST_LOOK: Duration = Duration::from_secs(59);

/// Measurings one of which no look disturbs: it spoils the one that it falls into, and the next, before
/// which tables that it emptied are not full again. The next look is a minute later.
const MEASURINGS_MAX: usize = 3;

/// What a browser asks for a WebSocket.
const UPGRADE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Bytes that are allocated now.
fn allocated() -> isize {
    let stats = ALLOCATOR.stats();
    let signed = |bytes: usize| isize::try_from(bytes).unwrap();
    signed(stats.bytes_allocated) - signed(stats.bytes_deallocated)
}

/// How a device comes in.
#[derive(Debug, Clone, Copy)]
enum Door {
    Tcp,
    WebSocket,
}

/// A connection by either door.
struct Pipe {
    stream: TcpStream,
    door: Door,
    /// Bytes of the WebSocket's message in progress that were not read.
    left: usize,
}

impl Pipe {
    fn dials(join: &JoinLink, door: Door) -> Self {
        let stream = TcpStream::connect(join.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut pipe = Self { stream, door, left: 0 };
        if let Door::WebSocket = door {
            pipe.stream.write_all(UPGRADE).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(pipe.raw());
            }
            assert!(answer.starts_with(b"HTTP/1.1 101 "));
        }
        pipe
    }

    fn raw(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// In one message; the mask is zero.
    fn says(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let message = match self.door {
            Door::Tcp => bytes.to_vec(),
            Door::WebSocket => [&[0x82, 0x80 | 126], &length[..], &[0; 4], bytes].concat(),
        };
        self.stream.write_all(&message).unwrap(); // at once: small writes would wait for each other
    }

    fn byte(&mut self) -> u8 {
        if let Door::WebSocket = self.door {
            if self.left == 0 {
                assert_eq!(self.raw(), 0x82, "a binary message");
                self.left = match self.raw() {
                    126 => usize::from(u16::from_be_bytes([self.raw(), self.raw()])),
                    length => usize::from(length),
                };
            }
            self.left -= 1;
        }
        self.raw()
    }

    /// Until the server has closed it too.
    fn leaves(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0);
    }
}

/// A device's end of a link.
struct Client {
    pipe: Pipe,
    transport: Transport,
}

impl Client {
    fn dials(join: &JoinLink, key: &StaticKey, door: Door) -> Self {
        let mut pipe = Pipe::dials(join, door);
        let server = PublicKey(join.server_key);
        let hello = v1::Hello { version: 1, features: 0, client: "density/1".into() };
        let (initiator, message) =
            Initiator::ik(key, &server, &godwit_wire::encode(&hello)).unwrap();
        let mut first = Vec::new();
        let preface =
            ClientPreface { mode: Mode::Full, key_hint: server.hint(), message: &message };
        preface.encode_into(&mut first).unwrap();
        pipe.says(&first);
        let mut received = Vec::new();
        let reply = loop {
            match ServerPreface::parse(&received).unwrap() {
                Some(parsed) => break parsed.preface,
                None => received.push(pipe.byte()),
            }
        };
        let ServerPreface::Reply(reply) = reply else { panic!("refused") };
        Self { transport: initiator.finish(reply).unwrap().transport, pipe }
    }

    fn says(&mut self, message: impl Into<ToServer>) {
        let (mut plain, mut said) = (Vec::new(), Vec::new());
        message.into().encode_into(&mut plain);
        encode_header(plain.len() + frame::TAG_BYTES, &mut said).unwrap();
        self.transport.seal_into(&plain, &mut said).unwrap();
        self.pipe.says(&said);
    }

    /// Hears one message, which comes in a frame of its own.
    fn hears(&mut self) -> ToClient {
        let mut head = Vec::new();
        let body = loop {
            match decode_header(&head).unwrap() {
                Header::Frame { body, .. } => break body,
                Header::Incomplete => head.push(self.pipe.byte()),
                Header::Keepalive { .. } => head.clear(),
            }
        };
        let mut sealed: Vec<u8> = (0..body).map(|_| self.pipe.byte()).collect();
        let length = self.transport.open_in_place(&mut sealed).unwrap();
        ToClient::decode_all(&sealed[..length]).next().unwrap().unwrap()
    }

    /// Attached, and everything that it had to do is done.
    fn attaches(&mut self) {
        self.says(v1::Attach {});
        assert!(matches!(self.hears(), ToClient::CaughtUp(_)));
    }

    fn leaves(self) {
        self.pipe.leaves();
    }
}

fn registration(number: usize, key: &StaticKey) -> v1::Register {
    let row = v1::DeviceRow { number: 1, link_key: Bytes::copy_from_slice(&key.public().0) };
    let signed = Bytes::from_static(b"signed");
    v1::Register {
        request: 1,
        handle: format!("idle{number}"),
        invite: String::new(),
        account_key: Bytes::copy_from_slice(&*StaticKey::generate().unwrap().to_bytes()),
        list: Some(v1::DeviceListUpload { version: 1, devices: vec![row], signed: signed.clone() }),
        keys: Some(v1::KeyUpload {
            one_time: vec![v1::OneTimeKey { id: 1, signed: signed.clone() }],
            fallback: signed,
        }),
    }
}

#[test]
fn an_idle_connection_takes_what_the_page_says_and_not_a_byte_more() {
    let data = tempfile::TempDir::new().unwrap();
    let mut config = Config { data: Some(data.path().to_owned()), ..Config::default() };
    config.listen.set_port(0);
    config.link.keepalive_s = 3_600; // nobody is looked after meanwhile
    // One worker, so that what it was given before is done when it answers. Threads that wait for the disk
    // own memory too: those there are stay.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_keep_alive(Duration::from_secs(3_600));
    let runtime = builder.enable_all().build().unwrap();
    let started = Instant::now();
    let server = runtime.block_on(Server::start(Setup::new(config))).unwrap();
    let join: JoinLink = server.ready().join.parse().unwrap();

    let keys: Vec<_> = (0..=CONNECTIONS).map(|_| StaticKey::generate().unwrap()).collect();
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let (own, others) = keys.split_first().unwrap();
    let mut probe = Client::dials(&join, own, Door::Tcp);
    probe.says(registration(CONNECTIONS, own));
    assert!(matches!(probe.hears(), ToClient::Registered(_)));
    probe.attaches();
    // At first tables and buffers grow, which stay when those who needed them have gone.
    for (number, key) in others.iter().enumerate() {
        let mut client = Client::dials(&join, key, Door::Tcp);
        client.says(registration(number, key));
        assert!(matches!(client.hears(), ToClient::Registered(_)));
        client.attaches();
        clients.push(client);
    }
    let page = include_str!("../../../docs/density.md");
    for (door, row) in [(Door::Tcp, "all of it"), (Door::WebSocket, "on a WebSocket")] {
        if let Door::WebSocket = door {
            measures(&join, others, door, &mut clients, &mut probe); // they grow by this door too
        }
        for measuring in 1.. {
            let each = measures(&join, others, door, &mut clients, &mut probe);
            if page.contains(&format!("| allocated, {row} | {each} |")) {
                break;
            }
            // Only a look for what has grown old excuses another figure, and only as often as there is one.
            let is_disturbed = started.elapsed() >= FIRST_LOOK && measuring < MEASURINGS_MAX;
            assert!(is_disturbed, "an idle {door:?} takes {each} bytes now: docs/density.md");
        }
    }
    drop((clients, probe));
    assert!(runtime.block_on(server.stop()).is_normal());
}

/// Has everybody leave and come back, and says what each of them took.
fn measures(
    join: &JoinLink,
    keys: &[StaticKey],
    door: Door,
    clients: &mut Vec<Client>,
    probe: &mut Client,
) -> f64 {
    clients.drain(..).for_each(Client::leaves);
    asks(probe);
    let before = allocated();
    for key in keys {
        let mut client = Client::dials(join, key, door);
        client.attaches();
        clients.push(client);
    }
    asks(probe);
    (allocated() - before) as f64 / CONNECTIONS as f64
}

/// Whatever the server's one worker had to do before this is done.
fn asks(probe: &mut Client) {
    probe.says(v1::TermsRequest { request: 2 });
    assert!(matches!(probe.hears(), ToClient::Terms(_)));
}
