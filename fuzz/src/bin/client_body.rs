//! What a contact says, after it was opened: `godwit.body.v1`.

#![no_main]

use godwit_client::core::{TEXT_BYTES_MAX, text_of_body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let text = text_of_body(body);
    assert!(text.as_ref().is_none_or(|text| text.len() <= TEXT_BYTES_MAX));
    // A field that nobody knows yet changes nothing of a body that is one.
    if text.is_some() {
        let later = [body, &[0xa2, 0x06, 0x01, 0x00]].concat(); // field 100, one byte
        assert_eq!(text_of_body(&later), text);
    }
});
