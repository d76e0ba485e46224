//! Linking: a code as a person types it, each message as it comes over the relay, and as the
//! plaintext of a first message that is rightly sealed.

#![no_main]

use std::sync::LazyLock;

use godwit_fuzz::{Forger, NOW_MS};
use godwit_seal::{DeviceList, LinkApproval, LinkCode, LinkError, LinkOffer, Present, Verified};
use libfuzzer_sys::fuzz_target;
use vodozemac::Curve25519PublicKey;
use vodozemac::hpke::HpkeSenderChannel;

const SERVER: [u8; 32] = [3; 32];

static LIST: LazyLock<Verified<DeviceList>> = LazyLock::new(|| Forger::new().list());

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(code) = text.parse::<LinkCode>()
    {
        assert_eq!(code.text().parse(), Ok(code.clone()));
        let _ = begin(&code);
    }
    let offer = LinkOffer::new().unwrap();
    let (approval, _) = begin(offer.code()).unwrap();
    assert_eq!(approval.hear_answer(bytes).unwrap_err(), LinkError::NotSealedForUs);
    let error = offer.hear_card(bytes, &SERVER, &[4; 32], NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::NotSealedForUs);

    let offer = LinkOffer::new().unwrap();
    let (key, rendezvous) = (key_of(&offer.code().text()), *offer.code().rendezvous());
    let sender = HpkeSenderChannel::with_info("godwit/link/1");
    let sealed = sender.establish_channel(key, bytes, &rendezvous).unwrap();
    let _ = offer.hear_card(&sealed.message.to_bytes(), &SERVER, &[4; 32], NOW_MS);
});

fn begin(code: &LinkCode) -> Result<(LinkApproval, Vec<u8>), LinkError> {
    let handle = "alice".parse().unwrap();
    LinkApproval::begin(code, Present { handle: &handle, list: &LIST, server_key: &SERVER })
}

/// The key in a code: bytes 17 to 48 of its base64url.
fn key_of(text: &str) -> Curve25519PublicKey {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = |letter: u8| LETTERS.iter().position(|one| *one == letter).unwrap() as u32;
    let body = text.strip_prefix("godwit-link:").unwrap().as_bytes();
    let bytes: Vec<u8> = body
        .chunks(4)
        .flat_map(|four| {
            let bits = four.iter().fold(0, |bits, letter| bits << 6 | value(*letter));
            [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
        })
        .collect();
    Curve25519PublicKey::from_bytes(bytes[17..49].try_into().unwrap())
}
