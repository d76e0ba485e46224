//! Handshake messages of either side, tickets and frames: nothing forged is accepted.

#![no_main]

use std::sync::LazyLock;

use godwit_link::{
    Initiator, PublicKey, Responder, ServerKeys, StaticKey, Ticket, TicketKeys, Transport,
};
use libfuzzer_sys::fuzz_target;

static DEVICE: LazyLock<StaticKey> = LazyLock::new(|| StaticKey::from_bytes([1; 32]));
static SERVER: LazyLock<ServerKeys> =
    LazyLock::new(|| ServerKeys::new(StaticKey::from_bytes([2; 32]), None));
static TICKETS: LazyLock<TicketKeys> = LazyLock::new(|| TicketKeys::new([3; 32]));

fuzz_target!(|bytes: &[u8]| {
    let server = SERVER.current().public();
    assert!(Responder::ik(&SERVER, server.hint(), bytes).is_err());
    assert!(Responder::resume(&TICKETS, 0, bytes).is_err());
    assert!(begin(&server).finish(bytes).is_err());
    assert!(established(&server).open_in_place(&mut bytes.to_vec()).is_err());
    if let Ok(ticket) = Ticket::from_welcome(bytes) {
        assert_eq!(ticket.to_bytes()[..], *bytes);
        let (_, message) = Initiator::resume(&ticket, b"").unwrap();
        assert!(Responder::resume(&TICKETS, 0, &message).is_err());
    }
});

fn begin(server: &PublicKey) -> Initiator {
    Initiator::ik(&DEVICE, server, b"").unwrap().0
}

fn established(server: &PublicKey) -> Transport {
    let (initiator, message) = Initiator::ik(&DEVICE, server, b"").unwrap();
    let arrival = Responder::ik(&SERVER, server.hint(), &message).unwrap();
    let (answer, _) = arrival.responder.reply(b"").unwrap();
    initiator.finish(&answer).unwrap().transport
}
