//! Padding: 0x80, then zeros, up to a length that tells little about the text.

/// Up to this length, one less than a multiple of 64; the cipher below adds 1 to 16 bytes, so that
/// one more byte would cost a whole block.
const SMALL_BYTES_MAX: usize = 255;
const STEP_BYTES: usize = 64;
const MARK: u8 = 0x80;

/// The padded length of `length` bytes: 63, 127, 191, 255, then one below a Padmé length (at most
/// 12 % longer).
pub(crate) fn padded_len(length: usize) -> usize {
    // Room for the mark and for the byte that the cipher adds.
    let needed = length + 2;
    if needed <= SMALL_BYTES_MAX + 1 {
        needed.next_multiple_of(STEP_BYTES) - 1
    } else {
        padme(needed) - 1
    }
}

/// Padmé: keep as many leading bits of the length as its bit length has bits, round up the rest.
/// An observer of n bytes learns O(log log n) bits.
fn padme(length: usize) -> usize {
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    length.next_multiple_of(1 << (exponent - kept))
}

/// Pads in place. The caller's buffer should have room, else the growth leaves a copy behind.
pub(crate) fn pad(text: &mut Vec<u8>) {
    let padded = padded_len(text.len());
    text.push(MARK);
    text.resize(padded, 0);
}

/// The text before the mark, or `None` if there is no mark or the length is not the one that the
/// text must have: a second padding of one text is refused.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    let (text, rest) = padded.split_at_checked(end)?;
    (rest.first() == Some(&MARK) && padded.len() == padded_len(text.len())).then_some(text)
}
