//! What is encoded comes back, alone and in company.

use bytes::Bytes;
use godwit_wire::{ToClient, ToServer, decode, encode, v1};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::any;

macro_rules! round_trip {
    ($test:ident, $direction:ident, $any:expr) => {
        proptest! {
            #[test]
            fn $test(messages in vec($any, 0..6)) {
                let mut plaintext = Vec::new();
                for message in &messages {
                    let before = plaintext.len();
                    message.encode_into(&mut plaintext);
                    prop_assert_eq!(plaintext.len() - before, message.encoded_len());
                }
                let copied: Result<Vec<_>, _> = $direction::decode_all(&plaintext[..]).collect();
                prop_assert_eq!(copied.as_ref(), Ok(&messages));
                let shared: Result<Vec<_>, _> =
                    $direction::decode_all(Bytes::from(plaintext)).collect();
                prop_assert_eq!(shared.as_ref(), Ok(&messages));
            }
        }
    };
}

round_trip!(what_a_device_says_arrives, ToServer, any::to_server());
round_trip!(what_the_server_says_arrives, ToClient, any::to_client());

proptest! {
    #[test]
    fn greetings_arrive(hello in any::hello(), welcome in any::welcome()) {
        prop_assert_eq!(decode::<v1::Hello>(&encode(&hello)[..]), Ok(hello));
        prop_assert_eq!(decode::<v1::Welcome>(&encode(&welcome)[..]), Ok(welcome));
    }
}

#[test]
fn a_shared_plaintext_is_not_copied() {
    let mut plaintext = Vec::new();
    ToClient::from(v1::Deliver { body: Bytes::from(vec![7; 100]), ..Default::default() })
        .encode_into(&mut plaintext);
    let plaintext = Bytes::from(plaintext);
    let Some(Ok(ToClient::Deliver(deliver))) = ToClient::decode_all(plaintext.clone()).next()
    else {
        panic!("one message");
    };
    assert!(plaintext.as_ptr_range().contains(&deliver.body.as_ptr()));
}

#[test]
fn nothing_secret_is_printed() {
    let welcome = v1::Welcome { ticket: Bytes::from_static(b"hush-hush"), ..Default::default() };
    let register = v1::Register { invite: "hush-hush".into(), ..Default::default() };
    let invite_secret = Bytes::from_static(b"hush-hush");
    let change = v1::GroupChange { invite_secret: invite_secret.clone(), ..Default::default() };
    let fetch = v1::GroupFetch { invite_secret, ..Default::default() };
    let groups = format!("{change:?} {fetch:?}");
    for printed in [format!("{welcome:?}"), format!("{register:?}"), groups] {
        assert!(!printed.contains("hush"), "{printed}");
    }
}
