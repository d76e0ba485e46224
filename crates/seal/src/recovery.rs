//! The account key as 24 words on paper: BIP 39, English, the 32 bytes of the key itself. Whoever has
//! them is the account.

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use crate::account::AccountKey;

/// Words of a recovery key: 256 bits and 8 of a checksum, 11 a word.
pub const RECOVERY_WORDS: usize = 24;

/// Longest input that is looked at: 24 words of at most 8 letters, and room for what people put
/// between them.
const TEXT_BYTES_MAX: usize = 1_024;

/// Why words are no recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// Some are missing, or there are too many.
    #[error("a recovery key has 24 words, not {0}")]
    Count(usize),
    /// The word at this place, from 1, is not in the list.
    #[error("word {0} is not one of the words of recovery keys")]
    Unknown(usize),
    /// The words are right one by one and not together.
    #[error("the words do not fit together: one is wrong, or two are swapped")]
    Checksum,
}

impl AccountKey {
    /// The key as words, one blank between two.
    ///
    /// They are as secret as the key.
    pub fn to_words(&self) -> Zeroizing<String> {
        let mut words = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
        // 32 bytes are always a right length.
        if let Ok(mnemonic) = Mnemonic::from_entropy(self.to_seed().as_ref()) {
            for word in mnemonic.words() {
                if !words.is_empty() {
                    words.push(' ');
                }
                words.push_str(word);
            }
        }
        words
    }

    /// The key of these words; case, line ends and numbers before the words do not matter.
    ///
    /// # Errors
    /// [`WordsError`] says which word to look at.
    pub fn from_words(text: &str) -> Result<Self, WordsError> {
        let cut = text.char_indices().nth(TEXT_BYTES_MAX).map_or(text.len(), |(at, _)| at);
        let lower = Zeroizing::new(text.get(..cut).unwrap_or_default().to_lowercase());
        let is_word = |word: &&str| word.chars().any(char::is_alphabetic);
        let words: Vec<&str> = lower
            .split(|between: char| !between.is_alphabetic())
            .filter(is_word)
            .take(RECOVERY_WORDS + 1)
            .collect();
        if words.len() != RECOVERY_WORDS {
            return Err(WordsError::Count(words.len()));
        }
        let joined = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined).map_err(
            |error| match error {
                bip39::Error::UnknownWord(at) => WordsError::Unknown(at.saturating_add(1)),
                _ => WordsError::Checksum,
            },
        )?;
        let (entropy, length) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let seed: &[u8; 32] = entropy
            .get(..length)
            .and_then(|seed| seed.try_into().ok())
            .ok_or(WordsError::Count(words.len()))?;
        Ok(Self::from_seed(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP 39's own test vectors for 256 bits, from its reference implementation.
    const VECTORS: [(u8, &str); 2] = [
        (
            0x00,
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                abandon abandon abandon art",
        ),
        (
            0xff,
            "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo \
                zoo zoo zoo vote",
        ),
    ];

    #[test]
    fn words_are_those_of_the_standard() {
        for (byte, words) in VECTORS {
            let key = AccountKey::from_seed(&[byte; 32]);
            assert_eq!(*key.to_words(), words);
            assert_eq!(AccountKey::from_words(words).unwrap().to_seed(), key.to_seed());
        }
    }

    #[test]
    fn words_are_read_as_people_write_them() {
        let key = AccountKey::generate();
        let words = key.to_words();
        let numbered: String = words
            .split(' ')
            .enumerate()
            .map(|(at, word)| format!("{:2}. {}\r\n", at + 1, word.to_uppercase()))
            .collect();
        assert_eq!(AccountKey::from_words(&numbered).unwrap().public(), key.public());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (_, words) = VECTORS[0];
        let error = |text: &str| AccountKey::from_words(text).map(|_| ()).unwrap_err();
        assert_eq!(error(""), WordsError::Count(0));
        assert_eq!(error(words.trim_end_matches(" art")), WordsError::Count(23));
        assert_eq!(error(&format!("{words} art")), WordsError::Count(25));
        assert_eq!(error(&words.replacen("abandon art", "godwit art", 1)), WordsError::Unknown(23));
        assert_eq!(error(&words.replace("art", "zoo")), WordsError::Checksum);
        assert_eq!(error(&"x ".repeat(100_000)), WordsError::Count(25));
    }
}
