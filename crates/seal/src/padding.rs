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
        let padded = padme(needed as u64);
        usize::try_from(padded).unwrap_or(usize::MAX) - 1
    }
}

/// Padmé: keep as many leading bits of the length as its bit length has bits, round up the rest.
/// An observer of n bytes learns O(log log n) bits.
/// Nothing below 2 has one.
pub(crate) fn padme(length: u64) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_step_by_64_and_then_by_padme() {
        let steps = [
            (0, 63),
            (62, 63),
            (63, 127),
            (126, 127),
            (127, 191),
            (190, 191),
            (191, 255),
            (254, 255),
            (255, 271),
            (270, 271),
            (271, 287),
            (1_000, 1_023),
            (1_023, 1_087),
            (49_000, 49_151),
        ];
        for (length, padded) in steps {
            assert_eq!(padded_len(length), padded, "{length}");
        }
    }

    #[test]
    fn every_length_round_trips_and_grows_little() {
        for length in 0..5_000 {
            let text = vec![0; length]; // zeros, which the padding is made of too
            let mut padded = text.clone();
            pad(&mut padded);
            assert_eq!(unpad(&padded), Some(text.as_slice()));
            assert!(padded.len() <= (length + 2).max(230) * 112 / 100, "{length}");
            assert_eq!(padded.len() % 16, 15, "the cipher adds one byte only");
        }
    }

    #[test]
    fn what_was_not_padded_so_is_refused() {
        let mut padded = b"text".to_vec();
        pad(&mut padded);
        assert_eq!(unpad(&padded), Some(b"text".as_slice()));
        assert_eq!(unpad(&[]), None);
        assert_eq!(unpad(&[0; 63]), None, "no mark");
        assert_eq!(unpad(&padded[..62]), None, "too short");
        assert_eq!(unpad(&[padded.as_slice(), &[0; 64]].concat()), None, "padded further");
        padded[4] = 0x81;
        assert_eq!(unpad(&padded), None, "another mark");
    }
}
