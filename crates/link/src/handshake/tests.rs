//! What needs the inside: the two implementations crossed. The story from outside is in
//! `tests/link.rs`.

use super::*;
use crate::testing::BACKENDS;

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
