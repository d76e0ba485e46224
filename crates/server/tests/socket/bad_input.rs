//! What no right client sends: each gets its documented answer, and the server stays up.

use bytes::Bytes;
use godwit_base::JoinLink;
use godwit_base::limits::{BODY_BYTES_MAX, FRAME_BYTES_MAX, RECIPIENTS_MAX};
use godwit_link::{PublicKey, StaticKey};
use godwit_wire::preface::Mode;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::link::{Heard, Link, NoLink, Pipe, answer, hello, knock, preface};
use super::person::Person;
use super::world::World;

/// Nobody is worse off: two others join and talk.
async fn all_is_well(world: &World) {
    let name = |n: usize| format!("person{n}");
    let there = world.server.tree().restarts;
    assert_eq!(there, 0);
    let (mut one, mut two) = (world.joins(&name(1)).await, world.joins(&name(2)).await);
    let counter = one.sends("still there?").to(&two).await;
    one.sees_tick(counter).await;
    two.receives("still there?", &one).await;
}

async fn first_bytes(world: &World, bytes: &[u8]) -> NoLink {
    let mut pipe = Pipe::tcp(&world.join).await;
    pipe.send(bytes).await;
    answer(&mut pipe).await.unwrap_err()
}

#[tokio::test]
async fn garbage_before_the_handshake() {
    let world = World::new().await;
    let hint = PublicKey(world.join.server_key).hint();
    for (bytes, refusal) in [
        (&b"GW\x02\x01"[..], Refusal::UnsupportedVersion),
        (b"GW\x01\x07", Refusal::Malformed),
        (b"GW\x01\x01\0\0\0\0\xff\xff", Refusal::Malformed),
        (b"GW\x01\x01\0\0\0\0\0\0", Refusal::Malformed),
        (&preface(Mode::Full, hint, &[7; 96]), Refusal::HandshakeFailed),
        (&preface(Mode::Full, hint, &[7; 1]), Refusal::HandshakeFailed),
        (&preface(Mode::Resume, hint, &[7; 1]), Refusal::HandshakeFailed),
        (&preface(Mode::Resume, hint, &[0; 200]), Refusal::BadTicket),
    ] {
        assert_eq!(first_bytes(&world, bytes).await, NoLink::Refused(refusal, 0), "{bytes:02x?}");
    }
    // Neither GW nor HTTP: the HTTP side closes, with or without a page that says why.
    let mut pipe = Pipe::tcp(&world.join).await;
    pipe.send(&[0xde; 4_096]).await;
    while pipe.receive().await.is_some() {}
    all_is_well(&world).await;
}

#[tokio::test]
async fn a_hello_that_is_none() {
    let world = World::new().await;
    let key = StaticKey::generate().unwrap();
    let never = godwit_wire::encode(&v1::Hello { version: 0, features: 0, client: "x".into() });
    for (payload, refusal) in
        [(&[0xff; 9][..], Refusal::Malformed), (&never, Refusal::UnsupportedVersion)]
    {
        let (_, bytes) = knock(&world.join, &key, payload);
        assert_eq!(first_bytes(&world, &bytes).await, NoLink::Refused(refusal, 0));
    }
    all_is_well(&world).await;
}

#[tokio::test]
async fn another_servers_key() {
    let world = World::new().await;
    let key = StaticKey::generate().unwrap();
    let elsewhere = StaticKey::generate().unwrap().public();
    let join = JoinLink { server_key: elsewhere.0, ..world.join.clone() };
    let refused = Link::dial(&join, &key).await.err().unwrap();
    assert_eq!(refused, NoLink::Refused(Refusal::UnknownServerKey, 0));
    // A key that begins alike is not the key.
    let mut alike = world.join.server_key;
    alike[31] ^= 1;
    let join = JoinLink { server_key: alike, ..world.join.clone() };
    let refused = Link::dial(&join, &key).await.err().unwrap();
    assert_eq!(refused, NoLink::Refused(Refusal::HandshakeFailed, 0));
    all_is_well(&world).await;
}

#[tokio::test]
async fn a_replayed_handshake_changes_nothing() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut pipe = Pipe::tcp(&world.join).await;
    let (initiator, recorded) = knock(&world.join, &alice.link_key, &hello());
    pipe.send(&recorded).await;
    alice.link = Some(Link::finish(pipe, initiator).await.unwrap());
    alice.attaches().await;
    let frame = alice.link().frame(&[bob.sealed(1, "paid 100")]);
    alice.link().pipe.send(&frame).await;
    alice.sees_tick(1).await;
    let deliver = bob.receives("paid 100", &alice).await;
    bob.acknowledges(&deliver).await;
    alice.sees_delivered(&bob, 1).await;
    // Eve recorded all of it and plays it again.
    let mut eve = Pipe::tcp(&world.join).await;
    eve.send(&recorded).await;
    assert!(answer(&mut eve).await.is_ok(), "the server cannot know yet");
    eve.send(&frame).await;
    assert_eq!(eve.receive().await, None, "and hangs up at the first frame");
    // Alice was not displaced, and nothing was stored.
    let counter = {
        alice.counter = 1;
        alice.sends("really").to(&bob).await
    };
    alice.sees_tick(counter).await;
    bob.receives("really", &alice).await;
}

/// What the server says to these bytes on an established link of a registered device, and when the device may
/// come back.
async fn after(
    world: &World,
    bytes: impl FnOnce(&mut Link) -> Vec<u8>,
) -> (Link, Option<(Refusal, u32)>) {
    let mut mallory = Person::new(&world.join, &format!("mallory{}", rand_name()));
    mallory.dials().await.unwrap();
    mallory.registers().await.unwrap();
    mallory.attaches().await;
    let mut link = mallory.link.take().unwrap();
    let bytes = bytes(&mut link);
    link.pipe.send(&bytes).await;
    loop {
        match link.next().await {
            Heard::Message(ToClient::Goodbye(goodbye)) => {
                assert_eq!(link.next().await, Heard::Closed);
                let refusal = Refusal::from_number(goodbye.code).unwrap();
                return (link, Some((refusal, goodbye.reconnect_after_ms)));
            }
            Heard::Closed => return (link, None),
            Heard::Message(_) | Heard::Keepalive => {}
        }
    }
}

fn rand_name() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A frame of this plaintext, sealed as it should be.
fn sealed(link: &mut Link, plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    godwit_wire::frame::encode_header(plain.len() + 16, &mut bytes).unwrap();
    link.transport.seal_into(plain, &mut bytes).unwrap();
    bytes
}

fn message(message: impl Into<ToServer>) -> Vec<u8> {
    let mut plain = Vec::new();
    message.into().encode_into(&mut plain);
    plain
}

fn submit(recipients: usize, body: usize) -> Vec<u8> {
    let copy = v1::SealedCopy { device: 1, kind: 0, body: Bytes::from(vec![1; body]) };
    let recipient =
        |account| v1::Recipient { account, list_version: 1, copies: vec![copy.clone()] };
    let recipients = (1..).take(recipients).map(recipient).collect();
    message(v1::Submit { counter: 1, recipients, group: None })
}

#[tokio::test]
async fn frames_that_are_none() {
    let world = World::new().await;
    let too_large = [0x81, 0x80, 0x04]; // one byte above 64 KiB
    assert_eq!(FRAME_BYTES_MAX, 65_535);
    for (bytes, refusal) in [
        (&too_large[..], Some(Refusal::FrameTooLarge)),
        (&[0xff, 0xff, 0xff], Some(Refusal::FrameTooLarge)),
        (&[0x90, 0x00], Some(Refusal::Malformed)), // not the shortest form
        (&[0x05, 1, 2, 3, 4, 5], Some(Refusal::Malformed)), // shorter than a tag
        (&[0x20; 33], None),                       // nobody sealed it
    ] {
        let bytes = bytes.to_vec();
        let shown = format!("{bytes:02x?}");
        let heard = after(&world, |_| bytes).await.1;
        assert_eq!(heard.map(|(refusal, _)| refusal), refusal, "{shown}");
        // Anybody on the way may have written that: a right client whose bytes were changed comes back.
        assert!(heard.is_none_or(|(_, wait_ms)| wait_ms > 0), "{shown}");
    }
    all_is_well(&world).await;
}

#[tokio::test]
async fn messages_that_break_the_schema_or_a_limit() {
    let world = World::new().await;
    let nobody = message(v1::Submit { counter: 1, recipients: vec![], group: None });
    let no_counter = message(v1::Submit { counter: 0, ..v1::Submit::default() });
    let cut_short = submit(1, 100)[..50].to_vec();
    for (plain, refusal) in [
        (vec![0xff; 40], Refusal::Malformed),
        (nobody, Refusal::Malformed),
        (no_counter, Refusal::Malformed),
        (cut_short, Refusal::Malformed),
        (submit(1, BODY_BYTES_MAX + 1), Refusal::BodyTooLarge),
        (submit(RECIPIENTS_MAX + 1, 1), Refusal::TooManyRecipients),
    ] {
        let (_, heard) = after(&world, |link| sealed(link, &plain)).await;
        // It was sealed: whoever says that will say it again.
        assert_eq!(heard, Some((refusal, 0)), "{:02x?}..", &plain[..plain.len().min(20)]);
    }
    all_is_well(&world).await;
}

#[tokio::test]
async fn just_within_the_limits_is_heard() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let text = "x".repeat(BODY_BYTES_MAX);
    let counter = alice.sends(&text).to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives(&text, &alice).await;
    let plain = submit(RECIPIENTS_MAX, 1);
    let bytes = sealed(alice.link(), &plain);
    alice.link().pipe.send(&bytes).await;
    // Counter 1 was accepted above: a repetition, whatever it holds.
    alice.sees_tick(1).await;
    // Numbers of a later version are skipped, and an empty frame says nothing.
    let later = [(99 << 3) | 2, 0x06, 0x01, 0xff].to_vec();
    let later = [vec![0x9a, later[1]], vec![0x01, 0xff]].concat();
    let bytes = [sealed(alice.link(), &later), sealed(alice.link(), &[])].concat();
    alice.link().pipe.send(&bytes).await;
    let counter = alice.sends("on we go").to(&bob).await;
    alice.sees_tick(counter).await;
}
