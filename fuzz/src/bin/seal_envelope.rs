//! Sealed copies as they come from the server, of either kind.

#![no_main]

use std::cell::RefCell;

use godwit_fuzz::{Forger, NOW_MS, Victim};
use godwit_seal::Envelope;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static VICTIM: RefCell<Victim> = RefCell::new(Victim::of(&mut Forger::new()));
}

fuzz_target!(|bytes: &[u8]| {
    VICTIM.with_borrow_mut(|Victim { keys, pairing, .. }| {
        let peer = pairing.peer().clone();
        for opening in [false, true] {
            let envelope = Envelope { counter: 1, opening, bytes };
            assert!(pairing.open(keys, &peer, envelope, NOW_MS).is_err(), "nobody sealed this");
        }
        assert_eq!(pairing.session_count(), 1);
    });
});
