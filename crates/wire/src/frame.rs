//! Frames: a length of 1 to 3 bytes, then so many bytes of ciphertext. Length 0 is the keepalive.

use godwit_base::limits::FRAME_BYTES_MAX;

/// Bytes that the encryption adds to each plaintext.
pub const TAG_BYTES: usize = 16;

/// Largest plaintext of a frame.
pub const PLAINTEXT_BYTES_MAX: usize = FRAME_BYTES_MAX - TAG_BYTES;

/// Longest header: 7 bits a byte, so 3 bytes count to 2,097,151.
pub const HEADER_BYTES_MAX: usize = 3;

/// The whole keepalive: one byte, outside the encryption, meaning "still here".
pub const KEEPALIVE: u8 = 0;

/// What stands at the start of a receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The header itself is not yet complete: read more.
    Incomplete,
    /// A keepalive; skip that one byte.
    Keepalive {
        /// Always 1.
        consumed: usize,
    },
    /// A frame, of which some bytes may not have come yet.
    Frame {
        /// Bytes of the header, 1 to 3.
        header: usize,
        /// Bytes of ciphertext after it, tag included: 16 to `FRAME_BYTES_MAX`.
        body: usize,
    },
}

/// A frame that no right peer sends: close the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Above `FRAME_BYTES_MAX`.
    #[error("the frame is larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    /// Too short to hold a tag.
    #[error("the frame is shorter than its tag of {TAG_BYTES} bytes")]
    TooShort,
    /// A length written with more bytes than it needs: one length, one form.
    #[error("the frame's length is not in its shortest form")]
    NotMinimal,
}

/// Reads the header at the start of `buf`; looks at 3 bytes at most.
///
/// # Errors
/// [`FrameError`] as soon as the bytes seen allow no right frame.
pub fn decode_header(buf: &[u8]) -> Result<Header, FrameError> {
    let mut body = 0;
    for (index, &byte) in buf.iter().take(HEADER_BYTES_MAX).enumerate() {
        body |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 != 0 {
            continue;
        }
        return match (index, byte) {
            (0, KEEPALIVE) => Ok(Header::Keepalive { consumed: 1 }),
            (_, 0) => Err(FrameError::NotMinimal),
            _ => check(body).map(|()| Header::Frame { header: index + 1, body }),
        };
    }
    if buf.len() < HEADER_BYTES_MAX { Ok(Header::Incomplete) } else { Err(FrameError::TooLarge) }
}

/// Appends the header of a frame whose ciphertext, tag included, has `body` bytes.
///
/// # Errors
/// [`FrameError::TooLarge`] and [`FrameError::TooShort`]; nothing is appended then.
pub fn encode_header(body: usize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    check(body)?;
    let mut rest = body;
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "7 bits")]
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return Ok(());
        }
        out.push(low | 0x80);
    }
}

/// Bytes that the header of such a frame takes.
pub const fn header_len(body: usize) -> usize {
    match body {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => HEADER_BYTES_MAX,
    }
}

const fn check(body: usize) -> Result<(), FrameError> {
    match body {
        0..TAG_BYTES => Err(FrameError::TooShort),
        TAG_BYTES..=FRAME_BYTES_MAX => Ok(()),
        _ => Err(FrameError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header_of(body: usize) -> Vec<u8> {
        let mut out = Vec::new();
        encode_header(body, &mut out).unwrap();
        out
    }

    #[test]
    fn both_sides_of_every_length() {
        for (body, header) in [
            (TAG_BYTES, &[0x10][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (FRAME_BYTES_MAX, &[0xff, 0xff, 0x03]),
        ] {
            assert_eq!(header_of(body), header);
            assert_eq!(header_len(body), header.len());
            assert_eq!(decode_header(header), Ok(Header::Frame { header: header.len(), body }));
        }
        let mut out = Vec::new();
        assert_eq!(encode_header(TAG_BYTES - 1, &mut out), Err(FrameError::TooShort));
        assert_eq!(encode_header(FRAME_BYTES_MAX + 1, &mut out), Err(FrameError::TooLarge));
        assert!(out.is_empty());
        assert_eq!(decode_header(&[0x0f]), Err(FrameError::TooShort));
        assert_eq!(decode_header(&[0x80, 0x80, 0x04]), Err(FrameError::TooLarge)); // 65,536
    }

    #[test]
    fn a_keepalive_is_one_byte() {
        assert_eq!(decode_header(&[KEEPALIVE, 0xff]), Ok(Header::Keepalive { consumed: 1 }));
    }

    #[test]
    fn a_length_has_one_form_only() {
        for long in [&[0x80, 0x00][..], &[0x90, 0x00], &[0x80, 0x80, 0x00], &[0xff, 0xff, 0x00]] {
            assert_eq!(decode_header(long), Err(FrameError::NotMinimal), "{long:02x?}");
        }
    }

    #[test]
    fn a_fourth_byte_is_never_waited_for() {
        for part in [&[][..], &[0x80], &[0xff, 0xff]] {
            assert_eq!(decode_header(part), Ok(Header::Incomplete));
        }
        assert_eq!(decode_header(&[0x80, 0x80, 0x80]), Err(FrameError::TooLarge));
    }

    proptest! {
        #[test]
        fn every_length_comes_back(body in TAG_BYTES..=FRAME_BYTES_MAX) {
            let bytes = header_of(body);
            prop_assert_eq!(bytes.len(), header_len(body));
            prop_assert_eq!(decode_header(&bytes), Ok(Header::Frame { header: bytes.len(), body }));
        }

        #[test]
        fn what_decodes_is_what_would_be_encoded(bytes: [u8; 4]) {
            if let Ok(Header::Frame { header, body }) = decode_header(&bytes) {
                prop_assert_eq!(&bytes[..header], &header_of(body)[..]);
            }
        }
    }
}
