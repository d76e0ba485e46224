//! The bytes before the link, whole, in pieces and wrong.

use godwit_wire::preface::{
    CLIENT_HEAD_BYTES, ClientPreface, HANDSHAKE_BYTES_MAX, MAGIC, Mode, PREFACE_VERSION, Parsed,
    PrefaceError, ServerPreface,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn client_bytes(preface: ClientPreface<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    preface.encode_into(&mut out).unwrap();
    out
}

fn server_bytes(preface: ServerPreface<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    preface.encode_into(&mut out).unwrap();
    out
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Full), Just(Mode::Resume)]
}

proptest! {
    #[test]
    fn a_client_arrives_byte_by_byte(
        mode in mode(),
        key_hint: [u8; 4],
        message in vec(any::<u8>(), 1..=HANDSHAKE_BYTES_MAX),
        after in vec(any::<u8>(), 0..8),
    ) {
        let preface = ClientPreface { mode, key_hint, message: &message };
        let mut bytes = client_bytes(preface);
        let consumed = bytes.len();
        prop_assert_eq!(consumed, CLIENT_HEAD_BYTES + message.len());
        for part in 0..consumed {
            prop_assert_eq!(ClientPreface::parse(&bytes[..part]), Ok(None));
        }
        bytes.extend_from_slice(&after);
        prop_assert_eq!(ClientPreface::parse(&bytes), Ok(Some(Parsed { preface, consumed })));
    }

    #[test]
    fn a_server_answers_byte_by_byte(
        message in vec(any::<u8>(), 1..=HANDSHAKE_BYTES_MAX),
        code: u16,
        retry_after_ms: u32,
        after in vec(any::<u8>(), 0..8),
    ) {
        for preface in [ServerPreface::Reply(&message), ServerPreface::Refused { code, retry_after_ms }] {
            let mut bytes = server_bytes(preface);
            let consumed = bytes.len();
            for part in 0..consumed {
                prop_assert_eq!(ServerPreface::parse(&bytes[..part]), Ok(None));
            }
            bytes.extend_from_slice(&after);
            prop_assert_eq!(ServerPreface::parse(&bytes), Ok(Some(Parsed { preface, consumed })));
        }
    }
}

#[test]
fn the_first_wrong_byte_is_enough() {
    for (bytes, error) in [
        (&b"GET / HTTP/1.1"[..], PrefaceError::NotGodwit),
        (&[0x16, 0x03], PrefaceError::NotGodwit),
        (b"GW\x00", PrefaceError::Version(0)),
        (b"GW\x02", PrefaceError::Version(2)),
        (b"GW\x01\x00", PrefaceError::Kind(0)),
        (b"GW\x01\x03", PrefaceError::Kind(3)),
        (b"GW\x01\x01hint\x00\x00", PrefaceError::Length(0)),
        (b"GW\x01\x01hint\x04\x01", PrefaceError::Length(HANDSHAKE_BYTES_MAX + 1)),
    ] {
        assert_eq!(ClientPreface::parse(bytes), Err(error), "{bytes:02x?}");
    }
    for (bytes, error) in [
        (&[0x02][..], PrefaceError::Kind(2)),
        (&[0x00, 0x00, 0x00], PrefaceError::Length(0)),
        (&[0x00, 0x04, 0x01], PrefaceError::Length(HANDSHAKE_BYTES_MAX + 1)),
    ] {
        assert_eq!(ServerPreface::parse(bytes), Err(error), "{bytes:02x?}");
    }
    assert_eq!(ClientPreface::parse(b"GW\x01\x01hint\x04\x00"), Ok(None), "1,024 bytes may come");
    assert_eq!((MAGIC, PREFACE_VERSION), (*b"GW", 1));
}

#[test]
fn nothing_is_written_beyond_the_limits() {
    for message in [&[][..], &[0; HANDSHAKE_BYTES_MAX + 1]] {
        let mut out = Vec::new();
        let client = ClientPreface { mode: Mode::Full, key_hint: [0; 4], message };
        let expected = Err(PrefaceError::Length(message.len()));
        assert_eq!(client.encode_into(&mut out), expected);
        assert_eq!(ServerPreface::Reply(message).encode_into(&mut out), expected);
        assert!(out.is_empty());
    }
}
