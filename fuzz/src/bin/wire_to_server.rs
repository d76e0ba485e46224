//! The plaintext of a frame, as the server reads it.

#![no_main]

use bytes::Bytes;
use godwit_wire::ToServer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plaintext: &[u8]| {
    let copied: Vec<_> = ToServer::decode_all(plaintext).collect();
    let shared: Vec<_> = ToServer::decode_all(Bytes::copy_from_slice(plaintext)).collect();
    assert_eq!(copied, shared);
    for message in copied.into_iter().flatten() {
        let mut written = Vec::new();
        message.encode_into(&mut written);
        assert_eq!(written.len(), message.encoded_len());
        let again: Vec<_> = ToServer::decode_all(&written[..]).collect();
        assert_eq!(again, [Ok(message)]);
    }
});
