use proptest::prelude::*;

use super::*;
use crate::testing::BACKENDS;

/// The two ends of a link.
fn pair() -> (Transport, Transport) {
    (Transport::new(&[1; 32], &[2; 32]), Transport::new(&[2; 32], &[1; 32]))
}

fn seal(by: &mut Transport, plaintext: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    by.seal_into(plaintext, &mut frame).unwrap();
    assert_eq!(frame.len(), plaintext.len() + TAG_BYTES);
    frame
}

fn open(by: &mut Transport, frame: &[u8]) -> Result<Vec<u8>, LinkError> {
    let mut frame = frame.to_vec();
    let length = by.open_in_place(&mut frame)?;
    frame.truncate(length);
    Ok(frame)
}

#[test]
fn an_idle_link_keeps_eighty_bytes() {
    assert_eq!(size_of::<Transport>(), 80);
}

#[test]
fn both_directions_carry_frames_independently() {
    let (mut alice, mut server) = pair();
    for round in 0..3_u8 {
        let frame = seal(&mut alice, &[round]);
        assert_eq!(open(&mut server, &frame), Ok(vec![round]));
    }
    let frame = seal(&mut server, b"to alice");
    assert_eq!(open(&mut alice, &frame), Ok(b"to alice".to_vec()));
    let frame = seal(&mut alice, b"");
    assert_eq!(open(&mut server, &frame), Ok(Vec::new()));
}

#[test]
fn a_link_that_was_parted_goes_on_elsewhere_and_not_here() {
    let (mut alice, mut server) = pair();
    let frame = seal(&mut alice, b"before");
    open(&mut server, &frame).unwrap();
    let told = seal(&mut server, b"told");
    let parted = server.part();
    assert_eq!((parted.sealed, parted.opened), (1, 1));
    assert_eq!(server.seal_into(b"a second time", &mut Vec::new()), Err(LinkError::Exhausted));
    let frame = seal(&mut alice, b"after");
    assert_eq!(open(&mut server, &frame), Err(LinkError::Exhausted));
    let mut elsewhere = Transport::join(&parted);
    assert_eq!(open(&mut elsewhere, &frame), Ok(b"after".to_vec()));
    let answer = seal(&mut elsewhere, b"answer");
    assert_eq!(open(&mut alice, &told), Ok(b"told".to_vec()));
    assert_eq!(open(&mut alice, &answer), Ok(b"answer".to_vec()));
}

#[test]
fn a_frame_sent_back_to_its_sender_is_refused() {
    let (mut alice, _) = pair();
    let frame = seal(&mut alice, b"mirror");
    assert_eq!(open(&mut alice, &frame), Err(LinkError::NotAuthentic));
}

#[test]
fn order_is_part_of_the_seal() {
    let (mut alice, mut server) = pair();
    let (first, second) = (seal(&mut alice, b"first"), seal(&mut alice, b"second"));
    assert_eq!(open(&mut server, &second), Err(LinkError::NotAuthentic));
    assert_eq!(open(&mut server, &first), Ok(b"first".to_vec()));
    assert_eq!(open(&mut server, &first), Err(LinkError::NotAuthentic), "a replay");
    assert_eq!(open(&mut server, &second), Ok(b"second".to_vec()));
}

#[test]
fn what_stands_before_the_frame_is_not_touched() {
    let (mut alice, mut server) = pair();
    let mut out = b"header".to_vec();
    alice.seal_into(b"body", &mut out).unwrap();
    assert_eq!(&out[..6], b"header");
    assert_eq!(open(&mut server, &out[6..]), Ok(b"body".to_vec()));

    out.truncate(6);
    out.extend_from_slice(b"written in place");
    alice.seal_tail(&mut out, 6).unwrap();
    assert_eq!(&out[..6], b"header");
    assert_eq!(open(&mut server, &out[6..]), Ok(b"written in place".to_vec()));

    let beyond = out.len() + 1;
    assert!(matches!(alice.seal_tail(&mut out, beyond), Err(LinkError::Bug { .. })));
}

#[test]
fn the_largest_frame_passes_and_one_byte_more_does_not() {
    let (mut alice, mut server) = pair();
    let largest = vec![7; PLAINTEXT_BYTES_MAX];
    let frame = seal(&mut alice, &largest);
    assert_eq!(frame.len(), FRAME_BYTES_MAX);
    assert_eq!(open(&mut server, &frame), Ok(largest));

    let mut out = b"kept".to_vec();
    let bytes = PLAINTEXT_BYTES_MAX + 1;
    assert_eq!(
        alice.seal_into(&vec![7; bytes], &mut out),
        Err(LinkError::TooLarge { bytes, bytes_max: PLAINTEXT_BYTES_MAX })
    );
    assert_eq!(out, b"kept");
    let bytes = FRAME_BYTES_MAX + 1;
    assert_eq!(open(&mut server, &vec![0; bytes]), Err(LinkError::Malformed { bytes }));
    let frame = seal(&mut alice, b"a refused plaintext uses up no counter");
    assert!(open(&mut server, &frame).is_ok());
}

#[test]
fn a_frame_holds_at_least_its_tag() {
    let (mut alice, mut server) = pair();
    let bytes = TAG_BYTES - 1;
    assert_eq!(open(&mut server, &vec![0; bytes]), Err(LinkError::Malformed { bytes }));
    assert_eq!(open(&mut server, &[0; TAG_BYTES]), Err(LinkError::NotAuthentic));
    let frame = seal(&mut alice, b"");
    assert_eq!(open(&mut server, &frame), Ok(Vec::new()));
}

#[test]
fn the_last_counter_is_never_used() {
    let (mut alice, mut server) = pair();
    (alice.sealed, server.opened) = (COUNTER_END - 1, COUNTER_END - 1);
    let frame = seal(&mut alice, b"last");
    assert_eq!(open(&mut server, &frame), Ok(b"last".to_vec()));

    let mut out = b"kept".to_vec();
    assert_eq!(alice.seal_into(b"one more", &mut out), Err(LinkError::Exhausted));
    assert_eq!(out, b"kept");
    assert_eq!(open(&mut server, &frame), Err(LinkError::Exhausted));
    let frame = seal(&mut server, b"the other direction still works");
    assert!(open(&mut alice, &frame).is_ok());
}

#[test]
fn secrets_do_not_show() {
    let (alice, _) = pair();
    assert_eq!(format!("{alice:?}"), "Transport { sealed: 0, opened: 0, .. }");
}

proptest! {
    #[test]
    fn any_frames_pass_between_any_implementations(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
    ) {
        for (seals, opens) in [(BACKENDS[0], BACKENDS[1]), (BACKENDS[1], BACKENDS[0])] {
            let (mut alice, mut server) = pair();
            for plaintext in &frames {
                let mut frame = plaintext.clone();
                alice.seal_tail_by(seals, &mut frame, 0).unwrap();
                let length = server.open_by(opens, &mut frame).unwrap();
                prop_assert_eq!(&frame[..length], plaintext.as_slice());
            }
        }
    }

    #[test]
    fn any_damage_is_seen(
        plaintext in prop::collection::vec(any::<u8>(), 0..100),
        at: prop::sample::Index,
        bit in 0..8_u32,
        cut in 1..20_usize,
    ) {
        for backend in BACKENDS {
            let (mut alice, mut server) = pair();
            let frame = seal(&mut alice, &plaintext);
            let mut flipped = frame.clone();
            flipped[at.index(frame.len())] ^= 1 << bit;
            prop_assert_eq!(server.open_by(backend, &mut flipped), Err(LinkError::NotAuthentic));
            let mut short = frame[..frame.len().saturating_sub(cut)].to_vec();
            prop_assert!(server.open_by(backend, &mut short).is_err());
            let mut long = [frame.as_slice(), &[0]].concat();
            prop_assert_eq!(server.open_by(backend, &mut long), Err(LinkError::NotAuthentic));
            prop_assert!(open(&mut server, &frame).is_ok(), "damage must not use up the counter");
        }
    }

    #[test]
    fn any_bytes_are_refused_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (_, mut server) = pair();
        prop_assert!(server.open_in_place(&mut bytes).is_err());
    }
}
