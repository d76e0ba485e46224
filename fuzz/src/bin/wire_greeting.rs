//! The payloads of the handshake: hello and welcome.

#![no_main]

use godwit_wire::{Checked, decode, encode, negotiate, v1};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    if let Some(hello) = read::<v1::Hello>(payload) {
        let _ = negotiate(&hello);
    }
    read::<v1::Welcome>(payload);
});

fn read<M: Checked + PartialEq>(payload: &[u8]) -> Option<M> {
    let message: M = decode(payload).ok()?;
    assert!(decode::<M>(&encode(&message)[..]).as_ref() == Ok(&message));
    Some(message)
}
