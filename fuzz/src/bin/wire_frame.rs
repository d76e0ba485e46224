//! A stream of frames: headers, keepalives, lengths.

#![no_main]

use godwit_wire::frame::{Header, decode_header, encode_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let mut rest = stream;
    while let Ok(header) = decode_header(rest) {
        rest = match header {
            Header::Incomplete => return,
            Header::Keepalive { consumed } => &rest[consumed..],
            Header::Frame { header, body } => {
                let mut written = Vec::new();
                encode_header(body, &mut written).unwrap();
                assert_eq!(written, rest[..header]);
                rest.get(header + body..).unwrap_or_default()
            }
        };
    }
});
