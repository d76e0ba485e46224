use proptest::prelude::*;

use super::*;
use crate::testing::{BACKENDS, cases, hex};

const X25519: &str = include_str!("../../tests/vectors/wycheproof-x25519.txt");
const CHACHA20_POLY1305: &str =
    include_str!("../../tests/vectors/wycheproof-chacha20-poly1305.txt");

fn key(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

#[test]
fn x25519_agrees_with_wycheproof() {
    let mut counts = (0, 0);
    for case in cases(X25519) {
        let [number, verdict, public, secret, shared] = case[..] else { panic!("{case:?}") };
        for backend in BACKENDS {
            let agreed = KeyPair::from_secret(backend, &key(secret)).agree(&key(public));
            match verdict {
                "weak" => {
                    assert_eq!(agreed, Err(LinkError::WeakKey), "case {number}, {backend:?}");
                    counts.1 += 1;
                }
                _ => {
                    assert_eq!(*agreed.unwrap(), key(shared), "case {number}, {backend:?}");
                    counts.0 += 1;
                }
            }
        }
    }
    assert_eq!(counts, (2 * 487, 2 * 31));
}

#[test]
fn chacha20_poly1305_agrees_with_wycheproof() {
    let mut counts = (0, 0);
    for case in cases(CHACHA20_POLY1305) {
        let [number, verdict, k, nonce, associated, plaintext, ciphertext, tag] = case[..] else {
            panic!("{case:?}")
        };
        let (k, associated, plaintext) = (key(k), hex(associated), hex(plaintext));
        let nonce: [u8; 12] = hex(nonce).try_into().unwrap();
        let tag: [u8; TAG_BYTES] = hex(tag).try_into().unwrap();

        let (mut one, mut two) = (hex(ciphertext), hex(ciphertext));
        let opened = [
            portable::open(&k, &nonce, &associated, &mut one, &tag).is_ok(),
            aws::open(&k, nonce, &associated, &mut two, &tag).is_ok(),
        ];
        assert_eq!(opened, [verdict == "valid"; 2], "case {number}");
        if verdict != "valid" {
            counts.1 += 1;
            continue;
        }
        assert_eq!([&one, &two], [&plaintext; 2], "case {number}");
        assert_eq!(portable::seal(&k, &nonce, &associated, &mut one), Ok(tag), "case {number}");
        assert_eq!(aws::seal(&k, nonce, &associated, &mut two), Ok(tag), "case {number}");
        assert_eq!([one, two], [hex(ciphertext), hex(ciphertext)], "case {number}");
        counts.0 += 1;
    }
    assert_eq!(counts, (256, 60));
}

#[test]
fn the_nonce_is_that_of_noise() {
    assert_eq!(nonce(0x0807_0605_0403_0201), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn chance_differs_from_call_to_call() {
    let mut twice = [[0; 32]; 2];
    twice.iter_mut().for_each(|out| fill(out).unwrap());
    assert_ne!(twice[0], twice[1]);
    assert!(!twice.contains(&[0; 32]));
}

#[test]
fn a_pair_is_recognised_by_its_own_secret_and_backend() {
    let pair = KeyPair::from_secret(Backend::AwsLc, &[1; 32]);
    assert!(pair.is_of(Backend::AwsLc, &[1; 32]));
    assert!(!pair.is_of(Backend::Portable, &[1; 32]));
    assert!(!pair.is_of(Backend::AwsLc, &[2; 32]));
    assert!(!pair.is_of(Backend::AwsLc, &[1; 31]));
}

proptest! {
    #[test]
    fn both_compute_the_same_keys(a: [u8; 32], b: [u8; 32]) {
        let mine = BACKENDS.map(|backend| KeyPair::from_secret(backend, &a));
        let theirs = BACKENDS.map(|backend| KeyPair::from_secret(backend, &b));
        prop_assert_eq!(mine[0].public(), mine[1].public());
        let shared = mine[0].agree(theirs[1].public()).unwrap();
        prop_assert_eq!(&shared, &theirs[1].agree(mine[0].public()).unwrap());
        prop_assert_eq!(&shared, &mine[1].agree(theirs[0].public()).unwrap());
    }

    #[test]
    fn what_one_seals_the_other_opens(
        k: [u8; 32],
        counter: u64,
        associated in prop::collection::vec(any::<u8>(), 0..80),
        plaintext in prop::collection::vec(any::<u8>(), 0..700),
    ) {
        for (seals, opens) in [(BACKENDS[0], BACKENDS[1]), (BACKENDS[1], BACKENDS[0])] {
            let mut body = plaintext.clone();
            let tag = seals.seal(&k, counter, &associated, &mut body).unwrap();
            prop_assert!(opens.open(&k, counter, &associated, &mut body, &tag).is_ok());
            prop_assert_eq!(&body, &plaintext);
        }
    }
}
