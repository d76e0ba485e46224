//! What a server says to a client that has joined, in frames and in any pieces: the first byte says how
//! they are cut. The whole client core takes it; how it was cut must make no difference.

#![no_main]

use std::sync::LazyLock;

use godwit_base::JoinLink;
use godwit_client::core::{Core, LinkOrder, Now, Row, Vault, Write};
use godwit_fuzz::NOW_MS;
use godwit_link::{Responder, ServerKeys, StaticKey, Transport};
use godwit_seal::RowKey;
use godwit_wire::preface::{ClientPreface, ServerPreface};
use godwit_wire::{ToClient, ToServer, frame, v1};
use libfuzzer_sys::fuzz_target;

const NOW: Now = Now { wall_ms: NOW_MS, mono_ms: 0 };

static KEYS: LazyLock<ServerKeys> =
    LazyLock::new(|| ServerKeys::new(StaticKey::from_bytes([2; 32]), None));
static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::new(RowKey::from_bytes(&[3; 32])));

/// A home that has joined.
static HOME: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let server_key = KEYS.current().public().0;
    let link = JoinLink { host: "fuzz".to_owned(), port: 1, server_key };
    let handle = "alice".parse().unwrap();
    let mut core = Core::create(VAULT.clone(), &link, &handle, 1, NOW).unwrap();
    core.join(&link, &handle, None);
    let mut server = Server::meets(&mut core, v1::Standing::Stranger);
    let device = core.device();
    let (account, device) = (device.account.0, device.number.0);
    let registered = v1::Registered { request: 1, account, device };
    let mut plaintext = Vec::new();
    ToClient::from(registered).encode_into(&mut plaintext);
    core.on_bytes(&server.frame(&plaintext), NOW);
    server.rows.extend(core.flush(NOW).unwrap().writes);
    let rows = server.rows.into_iter().filter_map(|write| match write {
        Write::Put { table, key, value } => Some((table, key, value)),
        _ => None,
    });
    let mut latest = std::collections::BTreeMap::new();
    rows.for_each(|(table, key, value)| drop(latest.insert((table, key), value)));
    latest.into_iter().map(|((table, key), value)| (table, key, value)).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((cut, plaintext)) = input.split_first() else { return };
    let plaintext = &plaintext[..plaintext.len().min(frame::PLAINTEXT_BYTES_MAX)];
    let whole = hear(plaintext, usize::MAX);
    assert_eq!(hear(plaintext, usize::from(*cut).max(1)), whole);
});

/// What a client tells and does that hears this frame, then a keepalive, in pieces of so many bytes.
fn hear(plaintext: &[u8], piece: usize) -> (String, Vec<String>, usize, Option<LinkOrder>) {
    let mut core = Core::restore(VAULT.clone(), HOME.clone(), 1).unwrap().unwrap();
    let mut server = Server::meets(&mut core, v1::Standing::Device);
    let mut bytes = server.frame(plaintext);
    bytes.push(frame::KEEPALIVE);
    for piece in bytes.chunks(piece) {
        core.on_bytes(piece, NOW);
    }
    let batch = core.flush(NOW).unwrap();
    // New keys are chance, and so is the size of their row.
    let what = |write: &Write| format!("{write:?}").split(", ").next().unwrap().to_owned();
    let writes = batch.writes.iter().map(what).collect();
    let said = server.reads(&batch.send);
    (format!("{:?}", batch.events), writes, said, batch.link)
}

/// The other end of the link.
struct Server {
    transport: Transport,
    rows: Vec<Write>,
}

impl Server {
    /// Shakes hands with a client and welcomes it so.
    fn meets(core: &mut Core, standing: v1::Standing) -> Self {
        core.start(NOW);
        core.tick(NOW);
        let mut rows = core.flush(NOW).unwrap().writes;
        core.connected(NOW);
        let batch = core.flush(NOW).unwrap();
        rows.extend(batch.writes);
        let parsed = ClientPreface::parse(&batch.send).unwrap().unwrap();
        let preface = parsed.preface;
        let arrival = Responder::ik(&KEYS, preface.key_hint, preface.message).unwrap();
        let device = core.device();
        let welcome = v1::Welcome {
            version: 1,
            standing: standing.into(),
            account: device.account.0,
            device: device.number.0,
            time_ms: NOW_MS,
            keepalive_s: 30,
            ..v1::Welcome::default()
        };
        let welcome = godwit_wire::encode(&welcome);
        let (reply, established) = arrival.responder.reply(&welcome).unwrap();
        let mut bytes = Vec::new();
        ServerPreface::Reply(&reply).encode_into(&mut bytes).unwrap();
        core.on_bytes(&bytes, NOW);
        let batch = core.flush(NOW).unwrap();
        rows.extend(batch.writes);
        let mut server = Self { transport: established.transport, rows };
        let said = server.reads(&batch.send);
        assert!((1..=2).contains(&said), "it attaches or registers, and says who may see it");
        server
    }

    fn frame(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::encode_header(plaintext.len() + frame::TAG_BYTES, &mut bytes).unwrap();
        self.transport.seal_into(plaintext, &mut bytes).unwrap();
        bytes
    }

    /// How many messages the client said.
    fn reads(&mut self, mut bytes: &[u8]) -> usize {
        let mut count = 0;
        while let Ok(frame::Header::Frame { header, body }) = frame::decode_header(bytes) {
            let mut sealed = bytes[header..header + body].to_vec();
            let length = self.transport.open_in_place(&mut sealed).unwrap();
            count += ToServer::decode_all(&sealed[..length]).map(Result::unwrap).count();
            bytes = &bytes[header + body..];
        }
        count
    }
}
