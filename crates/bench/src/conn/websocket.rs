//! A WebSocket as the client's side of a load has it: it says whole binary messages, each with a mask of
//! zeros, and takes the bytes out of what the server says. Where one message ends means nothing.

use crate::error::LoadError;

/// A binary message that is whole, and the same as a part of one.
const BINARY: [u8; 4] = [0x82, 0x02, 0x80, 0x00];

/// Bit of the second byte: a client masks.
const MASKED: u8 = 0x80;

/// A length that follows in two bytes, or in eight.
const IN_TWO_BYTES: u8 = 126;
const IN_EIGHT_BYTES: u8 = 127;

/// The request for one. The key may be any: nobody between the two is to be convinced here.
pub(super) fn request(host: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
}

/// Where the answer to it ends. None if the rest has not come.
///
/// # Errors
/// It is no yes.
pub(super) fn answer_end(answer: &[u8]) -> Result<Option<usize>, LoadError> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(Some(end + 4)),
        false => Err(LoadError::Closed),
    }
}

/// Puts one message with these bytes behind `out`.
pub(super) fn wrap(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(BINARY[0]);
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length), _) if length < IN_TWO_BYTES => out.push(MASKED | length),
        (_, Ok(length)) => {
            out.push(MASKED | IN_TWO_BYTES);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(MASKED | IN_EIGHT_BYTES);
            out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(bytes);
}

/// What the server says, taken apart.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The front of a header of which the rest has not come: 10 bytes at most.
    header: Vec<u8>,
    /// Bytes of the message in progress that have not come.
    left: usize,
}

impl Incoming {
    /// Appends what these bytes carry.
    ///
    /// # Errors
    /// The server closes, or says what a server of ours does not say.
    pub(super) fn take(&mut self, mut raw: &[u8], into: &mut Vec<u8>) -> Result<(), LoadError> {
        while let Some((first, rest)) = raw.split_first() {
            if self.left > 0 {
                let (carried, rest) = raw.split_at(self.left.min(raw.len()));
                into.extend_from_slice(carried);
                self.left -= carried.len();
                raw = rest;
                continue;
            }
            self.header.push(*first);
            raw = rest;
            if let Some(length) = length_of(&self.header)? {
                self.header.clear();
                self.left = length;
            }
        }
        Ok(())
    }
}

/// The length that a header says; none if it is not whole.
fn length_of(header: &[u8]) -> Result<Option<usize>, LoadError> {
    let Some((kind, rest)) = header.split_first() else { return Ok(None) };
    if !BINARY.contains(kind) {
        return Err(LoadError::Closed);
    }
    let long = |bytes: [u8; 8]| {
        usize::try_from(u64::from_be_bytes(bytes)).map(Some).map_err(|_| LoadError::Closed)
    };
    match rest {
        [] | [IN_TWO_BYTES] | [IN_TWO_BYTES, _] => Ok(None),
        [short] if *short < IN_TWO_BYTES => Ok(Some((*short).into())),
        [IN_TWO_BYTES, a, b] => Ok(Some(u16::from_be_bytes([*a, *b]).into())),
        [IN_EIGHT_BYTES, a, b, c, d, e, f, g, h] => long([*a, *b, *c, *d, *e, *f, *g, *h]),
        [IN_EIGHT_BYTES, ..] => Ok(None),
        _ => Err(LoadError::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server says it: without a mask.
    fn said(bytes: &[u8]) -> Vec<u8> {
        let mut wrapped = Vec::new();
        wrap(bytes, &mut wrapped);
        let mask = wrapped.len() - bytes.len() - 4;
        wrapped[1] &= !MASKED;
        wrapped.drain(mask..mask + 4);
        wrapped
    }

    #[test]
    fn what_is_said_is_taken_out_however_it_is_cut() {
        let pieces = [vec![1; 125], vec![2; 126], vec![], vec![3; 65_535], vec![4; 65_536]];
        let all = pieces.iter().flat_map(|piece| said(piece)).collect::<Vec<_>>();
        for cut in [1, 2, 3, 130, 70_000] {
            let (mut incoming, mut taken) = (Incoming::default(), Vec::new());
            all.chunks(cut).for_each(|raw| incoming.take(raw, &mut taken).unwrap());
            assert_eq!(taken, pieces.concat(), "in pieces of {cut}");
        }
    }

    #[test]
    fn a_close_and_what_no_server_of_ours_says_end_it() {
        for wrong in [&[0x88][..], &[0x81], &[0x82, 0x80]] {
            assert!(Incoming::default().take(wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_yes_is_one() {
        assert_eq!(answer_end(b"HTTP/1.1 101 Switching\r\nA: b\r\n").unwrap(), None);
        let yes = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nGW";
        assert_eq!(answer_end(yes).unwrap(), Some(yes.len() - 2));
        assert!(answer_end(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
