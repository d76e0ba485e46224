//! The link from outside: a client, a server, and somebody between them who can read, keep, change
//! and repeat all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use godwit_base::limits::HANDSHAKE_BYTES_MAX;
use godwit_link::{
    Arrival, Established, Fault, Initiator, LinkError, PublicKey, Responder, ServerKeys, StaticKey,
    TICKET_BYTES_MAX, Ticket, TicketKeys, Transport,
};
use proptest::prelude::*;

/// What the full handshake adds to the client's payload, and every answer to the server's.
const KNOCK_BYTES: usize = 96;
const ANSWER_BYTES: usize = 48;

struct Server {
    keys: ServerKeys,
    tickets: TicketKeys,
}

impl Server {
    fn start() -> Self {
        let keys = ServerKeys::new(StaticKey::generate().unwrap(), None);
        Self { keys, tickets: TicketKeys::generate().unwrap() }
    }

    fn key(&self) -> PublicKey {
        self.keys.current().public()
    }

    fn hears(&self, knock: &[u8]) -> Result<Arrival, LinkError> {
        Responder::ik(&self.keys, self.key().hint(), knock)
    }

    /// A ticket for `peer`, good until the millisecond 1,000.
    fn ticket(&self, peer: &PublicKey) -> Ticket {
        Ticket::from_welcome(&self.tickets.issue(peer, 1_000).unwrap()).unwrap()
    }
}

fn device() -> StaticKey {
    StaticKey::generate().unwrap()
}

fn carries(from: &mut Transport, to: &mut Transport, text: &[u8]) -> Result<(), LinkError> {
    let mut frame = Vec::new();
    from.seal_into(text, &mut frame)?;
    let length = to.open_in_place(&mut frame)?;
    assert_eq!(&frame[..length], text);
    Ok(())
}

fn talk(mut outside: Established, mut inside: Established) {
    carries(&mut outside.transport, &mut inside.transport, b"from the client").unwrap();
    carries(&mut inside.transport, &mut outside.transport, b"from the server").unwrap();
}

#[test]
fn a_device_dials_and_later_resumes() {
    let (alice, server) = (device(), Server::start());
    let (initiator, knock) = Initiator::ik(&alice, &server.key(), b"hello").unwrap();
    assert_eq!(knock.len(), KNOCK_BYTES + 5);
    let arrival = server.hears(&knock).unwrap();
    assert_eq!(arrival.peer, alice.public());
    assert_eq!(arrival.payload, b"hello");

    let welcome = server.tickets.issue(&arrival.peer, 1_000).unwrap();
    let (answer, inside) = arrival.responder.reply(&welcome).unwrap();
    assert_eq!(answer.len(), ANSWER_BYTES + welcome.len());
    let outside = initiator.finish(&answer).unwrap();
    let ticket = Ticket::from_welcome(&outside.payload).unwrap();
    talk(outside, inside);

    let (initiator, knock) = Initiator::resume(&ticket, b"again").unwrap();
    let arrival = Responder::resume(&server.tickets, 999, &knock).unwrap();
    assert_eq!(arrival.peer, alice.public());
    assert_eq!(arrival.payload, b"again");
    let (answer, inside) = arrival.responder.reply(b"welcome back").unwrap();
    talk(initiator.finish(&answer).unwrap(), inside);
}

#[test]
fn an_old_ticket_sends_the_client_to_the_full_handshake() {
    let mut server = Server::start();
    let (_, knock) = Initiator::resume(&server.ticket(&device().public()), b"").unwrap();
    let refused = |server: &Server, now_ms| {
        Responder::resume(&server.tickets, now_ms, &knock).err().map(|e| (e, e.fault()))
    };
    assert_eq!(refused(&server, 999), None);
    assert_eq!(refused(&server, 1_000), Some((LinkError::TicketExpired, Fault::Outdated)));
    server.tickets.rotate([1; 32]);
    assert_eq!(refused(&server, 999), None);
    server.tickets.rotate([2; 32]);
    assert_eq!(refused(&server, 999), Some((LinkError::TicketInvalid, Fault::Outdated)));
}

#[test]
fn both_server_keys_are_answered_until_the_older_is_dropped() {
    let (older, newer) = (device(), device());
    let (old_link, new_link) = (older.public(), newer.public());
    let dial = |keys: &ServerKeys, link: &PublicKey| {
        let (initiator, knock) = Initiator::ik(&device(), link, b"").unwrap();
        let arrival = Responder::ik(keys, link.hint(), &knock)?;
        let (answer, inside) = arrival.responder.reply(b"").unwrap();
        talk(initiator.finish(&answer).unwrap(), inside);
        Ok(())
    };
    let rotated = ServerKeys::new(newer.clone(), Some(older));
    assert_eq!(dial(&rotated, &old_link), Ok(()));
    assert_eq!(dial(&rotated, &new_link), Ok(()));
    let later = ServerKeys::new(newer, None);
    assert_eq!(dial(&later, &old_link), Err(LinkError::UnknownServerKey));
    assert_eq!(dial(&later, &new_link), Ok(()));
}

#[test]
fn another_server_can_neither_read_the_knock_nor_answer_it() {
    let (alice, server, impostor) = (device(), Server::start(), Server::start());
    let (initiator, knock) = Initiator::ik(&alice, &server.key(), b"hello").unwrap();
    assert_eq!(impostor.hears(&knock).err(), Some(LinkError::NotAuthentic));

    // The best an impostor can do is to answer a knock of its own.
    let (_, own_knock) = Initiator::ik(&alice, &impostor.key(), b"").unwrap();
    let (answer, _) = impostor.hears(&own_knock).unwrap().responder.reply(b"trust me").unwrap();
    assert_eq!(initiator.finish(&answer).err(), Some(LinkError::NotAuthentic));
}

#[test]
fn a_replayed_knock_gives_the_replayer_nothing() {
    let (alice, server) = (device(), Server::start());
    let (initiator, knock) = Initiator::ik(&alice, &server.key(), b"hello").unwrap();
    let (answer, mut inside) = server.hears(&knock).unwrap().responder.reply(b"one").unwrap();
    let mut outside = initiator.finish(&answer).unwrap();
    let mut recorded = Vec::new();
    outside.transport.seal_into(b"attach", &mut recorded).unwrap();
    inside.transport.open_in_place(&mut recorded.clone()).unwrap();

    // The same knock again: the server cannot tell yet, and answers with fresh keys.
    let arrival = server.hears(&knock).unwrap();
    assert_eq!(arrival.peer, alice.public());
    let (replayed_answer, mut replayed) = arrival.responder.reply(b"one").unwrap();
    assert_ne!(replayed_answer, answer);
    // All that the replayer has, it recorded. None of it opens.
    for bytes in [&recorded, &knock, &answer, &replayed_answer] {
        let opened = replayed.transport.open_in_place(&mut bytes.clone());
        assert_eq!(opened, Err(LinkError::NotAuthentic));
    }
    // Nor does what the server says there open for anybody, Alice included.
    let confused = carries(&mut replayed.transport, &mut outside.transport, b"secret");
    assert_eq!(confused, Err(LinkError::NotAuthentic));
    carries(&mut inside.transport, &mut outside.transport, b"for alice").unwrap();
}

#[test]
fn a_replayed_resumption_gives_the_replayer_nothing() {
    let server = Server::start();
    let ticket = server.ticket(&device().public());
    let (initiator, knock) = Initiator::resume(&ticket, b"").unwrap();
    let arrival = Responder::resume(&server.tickets, 0, &knock).unwrap();
    let (answer, _inside) = arrival.responder.reply(b"").unwrap();
    let mut outside = initiator.finish(&answer).unwrap();
    let mut recorded = Vec::new();
    outside.transport.seal_into(b"attach", &mut recorded).unwrap();

    let arrival = Responder::resume(&server.tickets, 0, &knock).unwrap();
    let (_, mut replayed) = arrival.responder.reply(b"").unwrap();
    assert_eq!(replayed.transport.open_in_place(&mut recorded), Err(LinkError::NotAuthentic));
    let confused = carries(&mut replayed.transport, &mut outside.transport, b"secret");
    assert_eq!(confused, Err(LinkError::NotAuthentic));
}

#[test]
fn a_stolen_ticket_without_its_secret_is_useless() {
    let server = Server::start();
    let mut stolen = server.ticket(&device().public()).to_bytes().to_vec();
    stolen[0] ^= 1;
    let guess = Ticket::from_welcome(&stolen).unwrap();
    let (_, knock) = Initiator::resume(&guess, b"").unwrap();
    let refused = Responder::resume(&server.tickets, 0, &knock).err();
    assert_eq!(refused, Some(LinkError::NotAuthentic));
}

#[test]
fn the_modes_cannot_be_mixed_up() {
    let server = Server::start();
    let (_, full) = Initiator::ik(&device(), &server.key(), b"").unwrap();
    let (_, resumed) = Initiator::resume(&server.ticket(&device().public()), b"").unwrap();
    assert_eq!(server.hears(&resumed).err(), Some(LinkError::NotAuthentic));
    let refused = Responder::resume(&server.tickets, 0, &full).err().map(|e| e.fault());
    assert!(matches!(refused, Some(Fault::Peer | Fault::Outdated)), "{refused:?}");
}

#[test]
fn keys_of_low_order_are_refused() {
    let server = Server::start();
    let nobody = PublicKey([0; 32]);
    assert_eq!(Initiator::ik(&device(), &nobody, b"").err(), Some(LinkError::WeakKey));

    let (_, mut knock) = Initiator::ik(&device(), &server.key(), b"").unwrap();
    knock[..32].fill(0);
    assert_eq!(server.hears(&knock).err(), Some(LinkError::WeakKey));

    let (initiator, knock) = Initiator::ik(&device(), &server.key(), b"").unwrap();
    let (mut answer, _) = server.hears(&knock).unwrap().responder.reply(b"").unwrap();
    answer[..32].fill(0);
    assert_eq!(initiator.finish(&answer).err(), Some(LinkError::WeakKey));
}

#[test]
fn handshake_messages_are_bounded_on_both_sides() {
    let (alice, server) = (device(), Server::start());
    let room = HANDSHAKE_BYTES_MAX - KNOCK_BYTES;
    let too_large =
        LinkError::TooLarge { bytes: HANDSHAKE_BYTES_MAX + 1, bytes_max: HANDSHAKE_BYTES_MAX };
    let dial = |bytes| Initiator::ik(&alice, &server.key(), &vec![0; bytes]);
    let (initiator, knock) = dial(room).unwrap();
    assert_eq!(dial(room + 1).err(), Some(too_large));

    let too_long = vec![0; HANDSHAKE_BYTES_MAX + 1];
    let malformed = LinkError::Malformed { bytes: too_long.len() };
    assert_eq!(server.hears(&too_long).err(), Some(malformed));
    assert_eq!(Responder::resume(&server.tickets, 0, &too_long).err(), Some(malformed));

    let room = HANDSHAKE_BYTES_MAX - ANSWER_BYTES;
    let answer = |bytes| server.hears(&knock).unwrap().responder.reply(&vec![0; bytes]);
    assert_eq!(answer(room + 1).err(), Some(too_large));
    let (largest, _) = answer(room).unwrap();
    assert_eq!(initiator.finish(&largest).unwrap().payload.len(), room);
    let (initiator, _) = dial(0).unwrap();
    assert_eq!(initiator.finish(&too_long).err(), Some(malformed));
}

#[test]
fn the_largest_ticket_leaves_room_for_a_hello() {
    let ticket = Ticket::from_welcome(&vec![1; 32 + TICKET_BYTES_MAX]).unwrap();
    assert!(Initiator::resume(&ticket, &[0; 128]).is_ok());
}

#[test]
fn a_static_key_survives_storage_and_does_not_show() {
    let key = device();
    let again = StaticKey::from_bytes(*key.to_bytes());
    assert_eq!(again.public(), key.public());
    let shown = format!("{key:?}");
    let short = format!("PublicKey({:08x}..)", u32::from_be_bytes(key.public().hint()));
    assert_eq!(shown, format!("StaticKey {{ public: {short}, .. }}"));

    // RFC 7748, section 6.1: Alice's keys.
    let secret = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66,
        0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9,
        0x2c, 0x2a,
    ];
    assert_eq!(StaticKey::from_bytes(secret).public().hint(), [0x85, 0x20, 0xf0, 0x09]);
}

#[test]
fn a_welcome_does_not_show() {
    let (alice, server) = (device(), Server::start());
    let (initiator, knock) = Initiator::ik(&alice, &server.key(), b"").unwrap();
    assert_eq!(format!("{initiator:?}"), "Initiator");
    let (answer, _) = server.hears(&knock).unwrap().responder.reply(b"ticket").unwrap();
    let established = initiator.finish(&answer).unwrap();
    assert_eq!(established.payload, b"ticket");
    let shown = format!("{established:?}");
    assert!(!shown.contains("116") && !shown.contains("ticket"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_changed_byte_of_a_handshake_is_seen(at: prop::sample::Index, bit in 0..8_u32) {
        let (alice, server) = (device(), Server::start());
        let (initiator, knock) = Initiator::ik(&alice, &server.key(), b"hello").unwrap();
        let flip = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes
        };
        // X25519 ignores the top bit of a public key, but the transcript does not.
        let changed = flip(&knock);
        prop_assert!(server.hears(&changed).is_err());
        let (answer, _) = server.hears(&knock).unwrap().responder.reply(b"welcome").unwrap();
        let changed = flip(&answer);
        prop_assert!(initiator.finish(&changed).is_err());

        let (_, knock) = Initiator::resume(&server.ticket(&alice.public()), b"hello").unwrap();
        let changed = flip(&knock);
        prop_assert!(Responder::resume(&server.tickets, 0, &changed).is_err());
    }

    #[test]
    fn any_cut_of_a_handshake_is_refused(at: prop::sample::Index) {
        let (alice, server) = (device(), Server::start());
        let (initiator, knock) = Initiator::ik(&alice, &server.key(), b"hello").unwrap();
        prop_assert!(server.hears(&knock[..at.index(knock.len())]).is_err());
        let (answer, _) = server.hears(&knock).unwrap().responder.reply(b"welcome").unwrap();
        prop_assert!(initiator.finish(&answer[..at.index(answer.len())]).is_err());
        let (_, knock) = Initiator::resume(&server.ticket(&alice.public()), b"hello").unwrap();
        let cut = &knock[..at.index(knock.len())];
        prop_assert!(Responder::resume(&server.tickets, 0, cut).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..HANDSHAKE_BYTES_MAX + 8),
    ) {
        let server = Server::start();
        prop_assert!(server.hears(&bytes).is_err());
        prop_assert!(Responder::resume(&server.tickets, 0, &bytes).is_err());
        let (initiator, _) = Initiator::ik(&device(), &server.key(), b"").unwrap();
        prop_assert!(initiator.finish(&bytes).is_err());
        if let Ok(ticket) = Ticket::from_welcome(&bytes) {
            prop_assert_eq!(ticket.to_bytes().to_vec(), bytes);
            prop_assert!(Initiator::resume(&ticket, b"").is_ok());
        }
    }
}
