//! What the tests of several modules need.

use crate::crypto::Backend;

/// Both implementations.
pub(crate) const BACKENDS: [Backend; 2] = [Backend::Portable, Backend::AwsLc];

/// Bytes from hexadecimal digits; `-` is nothing.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text.trim_matches('-').as_bytes();
    assert_eq!(digits.len() % 2, 0, "{text}");
    let value = |digit: u8| char::from(digit).to_digit(16).unwrap();
    digits.chunks(2).map(|two| u8::try_from(value(two[0]) * 16 + value(two[1])).unwrap()).collect()
}

/// The fields of each line that is not a comment.
pub(crate) fn cases(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}
