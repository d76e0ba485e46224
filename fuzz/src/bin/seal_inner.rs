//! What a contact may put inside the encryption: padding, binding, parties, counters.

#![no_main]

use std::cell::RefCell;

use godwit_fuzz::{Forger, NOW_MS, Victim, padded};
use godwit_seal::{Envelope, OpenError};
use libfuzzer_sys::fuzz_target;

const COUNTER: u64 = 7;

thread_local! {
    static PEOPLE: RefCell<(Forger, Victim)> = RefCell::new(people());
}

fn people() -> (Forger, Victim) {
    let mut forger = Forger::new();
    let victim = Victim::of(&mut forger);
    (forger, victim)
}

// The first byte says whether the message opens a session, and whether the rest is the plaintext as
// it stands, is to be padded, or also to be bound, or also to name both ends.
fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    PEOPLE.with_borrow_mut(|(forger, victim)| {
        let plaintext = match how >> 1 & 3 {
            0 => Some(bytes.to_vec()),
            1 => padded(bytes),
            2 => padded(&[&victim.binding, bytes].concat()),
            _ => padded(&[&victim.binding, &victim.parties, bytes].concat()),
        };
        let Some(plaintext) = plaintext else { return };
        let opening = how & 1 == 1;
        let copy =
            if opening { victim.opening(forger, &plaintext) } else { victim.settled(&plaintext) };
        if open(victim, opening, &copy) {
            victim.restore();
        }
    });
});

/// Gives a sealed copy to the victim; true if it was opened.
fn open(victim: &mut Victim, opening: bool, bytes: &[u8]) -> bool {
    let Victim { keys, pairing, .. } = victim;
    let peer = pairing.peer().clone();
    match pairing.open(keys, &peer, Envelope { counter: COUNTER, opening, bytes }, NOW_MS) {
        Ok(opened) => {
            assert_eq!(opened.inner.counter, COUNTER);
            true
        }
        Err(error) => {
            let of_the_plaintext = matches!(
                error,
                OpenError::Malformed | OpenError::WrongIdentity | OpenError::WrongCounter
            );
            assert!(of_the_plaintext, "the encryption is right: {error}");
            false
        }
    }
}
