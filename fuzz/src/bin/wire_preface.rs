//! The bytes before the link, from either side, however they are cut.

#![no_main]

use godwit_wire::preface::{ClientPreface, ServerPreface};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|buf: &[u8]| {
    if let Ok(Some(parsed)) = ClientPreface::parse(buf) {
        let mut written = Vec::new();
        parsed.preface.encode_into(&mut written).unwrap();
        assert_eq!(written, buf[..parsed.consumed]);
        assert_eq!(ClientPreface::parse(&buf[..parsed.consumed - 1]), Ok(None));
    }
    if let Ok(Some(parsed)) = ServerPreface::parse(buf) {
        let mut written = Vec::new();
        parsed.preface.encode_into(&mut written).unwrap();
        assert_eq!(written, buf[..parsed.consumed]);
        assert_eq!(ServerPreface::parse(&buf[..parsed.consumed - 1]), Ok(None));
    }
});
