//! What an account key signs so that a link may act for the account.

/// The domain of the signature and the suite byte after it.
const DOMAIN: &[u8; 16] = b"godwit/claim/1\0\x01";

/// The bytes that the account key signs for a link of this key. Whoever hears the signature can do
/// nothing with it: the handshake of every link proves the link's key anew.
pub fn claim_bytes(link_key: &[u8; 32]) -> [u8; 48] {
    let mut bytes = [0; 48];
    let (head, tail) = bytes.split_at_mut(DOMAIN.len());
    head.copy_from_slice(DOMAIN);
    tail.copy_from_slice(link_key);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_domain_suite_and_link_key() {
        let bytes = claim_bytes(&[7; 32]);
        assert_eq!(bytes[..15], *b"godwit/claim/1\0");
        assert_eq!((bytes[15], &bytes[16..]), (1, &[7; 32][..]));
    }
}
