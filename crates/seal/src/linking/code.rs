//! What the new device shows and a person carries over: as text, or as a QR code of that text.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::LinkError;
use crate::suite::Domain;

/// Bytes of a rendezvous: where the two meet on the server.
pub const RENDEZVOUS_BYTES: usize = 16;

/// What every code begins with.
const SCHEME: &str = "godwit-link:";

const VERSION: u8 = 1;

/// Version, rendezvous, key.
const BODY_BYTES: usize = 1 + RENDEZVOUS_BYTES + 32;

/// Against mistakes of typing, not against people.
const CHECK_BYTES: usize = 2;

/// Longest text that is looked at: 80 characters and room for blanks around them.
const TEXT_BYTES_MAX: usize = 256;

/// A code of 80 characters, good for one attempt. Whoever sees it can try to be first, so it is not
/// printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkCode {
    rendezvous: [u8; RENDEZVOUS_BYTES],
    key: [u8; 32],
}

impl LinkCode {
    pub(super) fn new(rendezvous: [u8; RENDEZVOUS_BYTES], key: [u8; 32]) -> Self {
        Self { rendezvous, key }
    }

    /// Where the two meet.
    pub fn rendezvous(&self) -> &[u8; RENDEZVOUS_BYTES] {
        &self.rendezvous
    }

    /// The new device's HPKE key.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The text of the code.
    pub fn text(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.rendezvous);
        bytes.extend_from_slice(&self.key);
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        format!("{SCHEME}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for LinkCode {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let body = text.strip_prefix(SCHEME).ok_or(LinkError::NotACode)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(LinkError::CodeMistyped);
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| LinkError::CodeMistyped)?;
        match bytes.first() {
            Some(&VERSION) => {}
            // A mistake in the first character is told as one, where the rest fits this version.
            Some(&other) if bytes.len() != BODY_BYTES + CHECK_BYTES => {
                return Err(LinkError::CodeNewer(other));
            }
            _ => return Err(LinkError::CodeMistyped),
        }
        let (body, given) = bytes.split_at_checked(BODY_BYTES).ok_or(LinkError::CodeMistyped)?;
        if given != check(body) {
            return Err(LinkError::CodeMistyped);
        }
        let rendezvous = body.get(1..).and_then(<[u8]>::first_chunk);
        match (rendezvous, body.last_chunk()) {
            (Some(rendezvous), Some(key)) => Ok(Self { rendezvous: *rendezvous, key: *key }),
            _ => Err(LinkError::CodeMistyped),
        }
    }
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = Domain::LinkCode.hash(&[body]);
    hash.first_chunk().copied().unwrap_or_default()
}

impl fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> LinkCode {
        LinkCode::new(std::array::from_fn(|at| u8::try_from(at).unwrap()), [0xab; 32])
    }

    #[test]
    fn a_code_is_80_characters_and_reads_back() {
        let text = code().text();
        assert_eq!(text.len(), 80, "{text}");
        assert_eq!(text.parse(), Ok(code()));
        assert_eq!(format!(" {text}\n").parse(), Ok(code()));
    }

    #[test]
    fn every_wrong_character_is_noticed() {
        let text = code().text();
        for at in SCHEME.len()..text.len() {
            let mut typed: Vec<u8> = text.bytes().collect();
            typed[at] = if typed[at] == b'A' { b'B' } else { b'A' };
            let typed = String::from_utf8(typed).unwrap();
            assert_eq!(typed.parse::<LinkCode>(), Err(LinkError::CodeMistyped), "{at}");
        }
        let cut = &text[..text.len() - 1];
        assert_eq!(cut.parse::<LinkCode>(), Err(LinkError::CodeMistyped));
        assert_eq!("hello".parse::<LinkCode>(), Err(LinkError::NotACode));
        assert_eq!(SCHEME.parse::<LinkCode>(), Err(LinkError::CodeMistyped));
    }

    #[test]
    fn a_newer_code_asks_for_an_update_and_a_long_one_is_not_read() {
        let newer = format!("{SCHEME}{}", URL_SAFE_NO_PAD.encode([2; 60]));
        assert_eq!(newer.parse::<LinkCode>(), Err(LinkError::CodeNewer(2)));
        let long = format!("{SCHEME}{}", "A".repeat(TEXT_BYTES_MAX));
        assert_eq!(long.parse::<LinkCode>(), Err(LinkError::CodeMistyped));
    }
}
