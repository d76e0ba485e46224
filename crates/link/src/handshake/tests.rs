//! What needs the inside: the two implementations crossed, and bytes fixed by fixed keys. The story
//! from outside is in `tests/link.rs`.

use serde::Deserialize;

use super::*;
use crate::testing::{BACKENDS, hex};
use crate::ticket::{NONCE_BYTES, Pass};

/// One frame each way.
fn talk(client: &mut Transport, server: &mut Transport, by: [Backend; 2]) {
    let mut frame = b"to the server".to_vec();
    client.seal_tail_by(by[0], &mut frame, 0).unwrap();
    let length = server.open_by(by[1], &mut frame).unwrap();
    assert_eq!(&frame[..length], b"to the server");
    let mut frame = b"to the client".to_vec();
    server.seal_tail_by(by[1], &mut frame, 0).unwrap();
    let length = client.open_by(by[0], &mut frame).unwrap();
    assert_eq!(&frame[..length], b"to the client");
}

fn pairs() -> impl Iterator<Item = [Backend; 2]> {
    BACKENDS.into_iter().flat_map(|client| BACKENDS.map(|server| [client, server]))
}

#[test]
fn the_implementations_shake_hands_with_each_other() {
    for by in pairs() {
        let (me, server) = (StaticKey::generate().unwrap(), StaticKey::generate().unwrap());
        let keys = ServerKeys::new(server, None);
        let dialled = keys.current().public();
        let (initiator, knock) = Initiator::ik_by(by[0], &me, &dialled, b"hello").unwrap();
        let arrival = Responder::ik_by(by[1], &keys, dialled.hint(), &knock).unwrap();
        assert_eq!((arrival.peer, arrival.payload.as_slice()), (me.public(), &b"hello"[..]));
        let (answer, mut inside) = arrival.responder.reply(b"welcome").unwrap();
        let mut outside = initiator.finish(&answer).unwrap();
        assert_eq!(outside.payload, b"welcome");
        talk(&mut outside.transport, &mut inside.transport, by);
    }
}

#[test]
fn the_implementations_resume_with_each_other() {
    for by in pairs() {
        let (tickets, me) = (TicketKeys::generate().unwrap(), PublicKey([7; 32]));
        let ticket = Ticket::from_welcome(&tickets.issue(&me, 1_000).unwrap()).unwrap();
        let (initiator, knock) = Initiator::resume_by(by[0], &ticket, b"again").unwrap();
        let arrival = Responder::resume_by(by[1], &tickets, 0, &knock).unwrap();
        assert_eq!((arrival.peer, arrival.payload.as_slice()), (me, &b"again"[..]));
        let (answer, mut inside) = arrival.responder.reply(b"welcome back").unwrap();
        let mut outside = initiator.finish(&answer).unwrap();
        assert_eq!(outside.payload, b"welcome back");
        talk(&mut outside.transport, &mut inside.transport, by);
    }
}

#[derive(Deserialize)]
struct Golden {
    server_secret: String,
    device_secret: String,
    psk: String,
    client_ephemeral: String,
    server_ephemeral: String,
    hello: String,
    welcome: String,
    full: Conversation,
    resume: Conversation,
}

#[derive(Deserialize)]
struct Conversation {
    message_1: String,
    message_2: String,
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    from: String,
    plaintext: String,
    sealed: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/vectors/godwit.json")).unwrap()
}

fn key(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

impl Conversation {
    /// Both sides of the handshake say exactly these bytes, and so do both transports.
    fn holds(&self, golden: &Golden, mut client: Noise, mut server: Noise) {
        assert_eq!(client.write(&hex(&golden.hello)).unwrap(), hex(&self.message_1));
        assert_eq!(server.read(&hex(&self.message_1)).unwrap(), hex(&golden.hello));
        assert_eq!(server.write(&hex(&golden.welcome)).unwrap(), hex(&self.message_2));
        assert_eq!(client.read(&hex(&self.message_2)).unwrap(), hex(&golden.welcome));
        let mut client = client.into_transport().unwrap();
        let mut server = server.into_transport().unwrap();
        for frame in &self.frames {
            let (from, to) = match frame.from.as_str() {
                "client" => (&mut client, &mut server),
                _ => (&mut server, &mut client),
            };
            let mut bytes = Vec::new();
            from.seal_into(&hex(&frame.plaintext), &mut bytes).unwrap();
            assert_eq!(bytes, hex(&frame.sealed));
            let length = to.open_in_place(&mut bytes).unwrap();
            assert_eq!(bytes[..length], hex(&frame.plaintext));
        }
    }
}

#[test]
fn the_full_handshake_is_byte_for_byte_that_of_another_implementation() {
    let golden = golden();
    let [e_client, e_server] =
        [&golden.client_ephemeral, &golden.server_ephemeral].map(|text| hex(text));
    let device = StaticKey::from_bytes(key(&golden.device_secret));
    let server = StaticKey::from_bytes(key(&golden.server_secret));
    let public = server.public();
    let by = Backend::PREFERRED;
    let client = Noise::build(by, IK, PROLOGUE_IK, Some(device.pair()), |builder| {
        builder
            .fixed_ephemeral_key_for_testing_only(&e_client)
            .remote_public_key(&public.0)?
            .build_initiator()
    });
    let answers = Noise::build(by, IK, PROLOGUE_IK, Some(server.pair()), |builder| {
        builder.fixed_ephemeral_key_for_testing_only(&e_server).build_responder()
    });
    golden.full.holds(&golden, client.unwrap(), answers.unwrap());

    let keys = ServerKeys::new(server, None);
    let arrival = Responder::ik(&keys, public.hint(), &hex(&golden.full.message_1)).unwrap();
    assert_eq!((arrival.peer, arrival.payload), (device.public(), hex(&golden.hello)));
}

#[test]
fn resumption_is_byte_for_byte_that_of_another_implementation() {
    let golden = golden();
    let [e_client, e_server] =
        [&golden.client_ephemeral, &golden.server_ephemeral].map(|text| hex(text));
    let psk = key(&golden.psk);
    let by = Backend::PREFERRED;
    let client = Noise::build(by, NN_PSK0, PROLOGUE_RESUME, None, |builder| {
        builder.fixed_ephemeral_key_for_testing_only(&e_client).psk(0, &psk)?.build_initiator()
    });
    let server = Noise::build(by, NN_PSK0, PROLOGUE_RESUME, None, |builder| {
        builder.fixed_ephemeral_key_for_testing_only(&e_server).psk(0, &psk)?.build_responder()
    });
    golden.resume.holds(&golden, client.unwrap(), server.unwrap());

    let (tickets, peer) = (TicketKeys::new([1; 32]), PublicKey([5; 32]));
    let sealed = tickets.seal(&Pass { peer, psk }, 1_000, &[2; NONCE_BYTES]).unwrap();
    let knock = [&[0, 112], sealed.as_slice(), &hex(&golden.resume.message_1)].concat();
    let arrival = Responder::resume(&tickets, 0, &knock).unwrap();
    assert_eq!((arrival.peer, arrival.payload), (peer, hex(&golden.hello)));
}
