//! Names of things. Each is its own type: no bare integer crosses a crate's edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::HANDLE_BYTES_MAX;

/// Why a text is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The handle breaks the rules stated in the message.
    #[error(
        "a handle is 2 to 32 characters: a-z first, then a-z, 0-9, '.', '_' or '-'; or '+' and 7 to 15 digits"
    )]
    Handle,
    /// Not `account.device`.
    #[error("a device looks like 0123456789abcdef.1")]
    DeviceId,
    /// Not `account.device.counter`.
    #[error("a message id looks like 0123456789abcdef.1.42")]
    MessageId,
    /// Not 64 hexadecimal digits.
    #[error("the name of a file has 64 hexadecimal digits")]
    Blob,
    /// Not 32 lower-case hexadecimal digits.
    #[error("a group id is 32 lower-case hexadecimal digits")]
    GroupId,
}

/// What people call an account: `alice`, or a phone number in E.164 (`+4512345678`).
///
/// Lower case only, at most [`HANDLE_BYTES_MAX`] bytes, so that two handles never look alike by case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

impl Handle {
    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if is_name(text) || is_phone_number(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Handle)
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    (2..=HANDLE_BYTES_MAX).contains(&text.len())
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

fn is_phone_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

impl TryFrom<String> for Handle {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0)
    }
}

/// An account: the first 8 bytes of the SHA-256 of its identity key, big endian.
///
/// It routes; it proves nothing. What a contact pins is the whole key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub u64);

impl AccountId {
    /// The id that belongs to an account identity key.
    pub fn of_key(account_key: &[u8; 32]) -> Self {
        let digest = Sha256::digest(account_key);
        let (head, _) = digest.split_at(8);
        Self(head.iter().fold(0, |id, byte| (id << 8) | u64::from(*byte)))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A sealed file: the SHA-256 of all its bytes, its name on the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobId(pub [u8; 32]);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Shortened: whoever knows the whole name may fetch the file.
impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}..")
    }
}

impl FromStr for BlobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut id = [0; 32];
        if text.len() != 2 * id.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(IdError::Blob);
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = str::from_utf8(digits).map_err(|_| IdError::Blob)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| IdError::Blob)?;
        }
        Ok(Self(id))
    }
}

/// A device within its account, counted from 1 and never used again after the device is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNumber(pub u32);

/// One installation of an account; owner of one mailbox and of at most one live session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceId {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its number in the account.
    pub number: DeviceNumber,
}

impl DeviceId {
    /// Device `number` of `account`.
    pub const fn new(account: u64, number: u32) -> Self {
        Self { account: AccountId(account), number: DeviceNumber(number) }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.account, self.number.0)
    }
}

impl FromStr for DeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (account, number) = text.split_once('.').ok_or(IdError::DeviceId)?;
        let id = Self::new(
            u64::from_str_radix(account, 16).map_err(|_| IdError::DeviceId)?,
            number.parse().map_err(|_| IdError::DeviceId)?,
        );
        // One text per id: no leading zeros, no upper case, no sign.
        if id.to_string() == text { Ok(id) } else { Err(IdError::DeviceId) }
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A message: the device that sent it and that device's own counter, which never repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The sending device.
    pub device: DeviceId,
    /// From 1, one more for each message of that device.
    pub counter: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.device, self.counter)
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut parts = text.split('.');
        let (Some(account), Some(number), Some(counter), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdError::MessageId);
        };
        let id = Self {
            device: DeviceId::new(
                u64::from_str_radix(account, 16).map_err(|_| IdError::MessageId)?,
                number.parse().map_err(|_| IdError::MessageId)?,
            ),
            counter: counter.parse().map_err(|_| IdError::MessageId)?,
        };
        // One text per id: no leading zeros, no upper case, no sign.
        if id.to_string() == text { Ok(id) } else { Err(IdError::MessageId) }
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A group: the first 16 bytes of a hash of the first entry of its membership log, so that the id
/// says who made it and with whom. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub [u8; 16]);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for GroupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = u128::from_str_radix(text, 16).map_err(|_| IdError::GroupId)?;
        let id = Self(number.to_be_bytes());
        // One text per id: every digit, no upper case, no sign.
        if id.to_string() == text { Ok(id) } else { Err(IdError::GroupId) }
    }
}

impl Serialize for GroupId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Place of a record in the store, ever increasing: unix milliseconds in the upper 44 bits, a
/// counter in the lower 20. Old records are therefore one range at the left edge.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

impl Seq {
    /// Bits that count within a millisecond: 2^20 records per ms is 1,000,000,000 a second.
    pub const COUNTER_BITS: u32 = 20;
    /// Before every record.
    pub const ZERO: Self = Self(0);

    /// The first place of a millisecond.
    pub const fn at_ms(unix_ms: u64) -> Self {
        Self(unix_ms << Self::COUNTER_BITS)
    }

    /// When the record was stored, unix milliseconds.
    pub const fn unix_ms(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next place after this one, at or after `unix_ms`: it grows even if the clock goes back.
    pub const fn next(self, unix_ms: u64) -> Self {
        let by_clock = Self::at_ms(unix_ms);
        let by_count = Self(self.0.saturating_add(1));
        if by_clock.0 > by_count.0 { by_clock } else { by_count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn handles_follow_the_rules_on_both_sides_of_each() {
        for good in ["al", "alice", "a.b_c-9", &"a".repeat(HANDLE_BYTES_MAX), "+1234567"] {
            assert!(good.parse::<Handle>().is_ok(), "{good}");
        }
        let too_long = "a".repeat(HANDLE_BYTES_MAX + 1);
        for bad in
            ["", "a", "Alice", "9lives", "a b", "ålice", &too_long, "+123456", "+12345678901234567"]
        {
            assert_eq!(bad.parse::<Handle>(), Err(IdError::Handle), "{bad}");
        }
    }

    #[test]
    fn account_id_is_the_head_of_the_digest() {
        // SHA-256 of 32 zero bytes starts 66687aadf862bd77.
        assert_eq!(AccountId::of_key(&[0; 32]).to_string(), "66687aadf862bd77");
    }

    #[test]
    fn sequence_grows_when_the_clock_goes_back() {
        let first = Seq::ZERO.next(1_000);
        let second = first.next(900);
        assert!(second > first);
        assert_eq!(second.unix_ms(), 1_000);
        assert_eq!(second.next(2_000), Seq::at_ms(2_000));
    }

    proptest! {
        #[test]
        fn message_ids_survive_text(account: u64, number: u32, counter: u64) {
            let id = MessageId { device: DeviceId::new(account, number), counter };
            prop_assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        }

        #[test]
        fn device_ids_survive_text(account: u64, number: u32) {
            let id = DeviceId::new(account, number);
            prop_assert_eq!(id.to_string().parse::<DeviceId>(), Ok(id));
        }

        #[test]
        fn any_text_as_a_device_is_refused_or_round_trips(text in "[0-9a-fA-F]{15,17}[.][+0-9]{0,11}") {
            if let Ok(id) = text.parse::<DeviceId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn group_ids_survive_text(bytes: [u8; 16]) {
            let id = GroupId(bytes);
            prop_assert_eq!(id.to_string().parse::<GroupId>(), Ok(id));
            prop_assert_eq!(id.to_string().len(), 32);
        }

        #[test]
        fn any_text_as_a_group_id_is_refused_or_round_trips(text in "[0-9a-fA-F+]{30,34}") {
            if let Ok(id) = text.parse::<GroupId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_refused_or_round_trips(text in "[0-9a-f.+]{0,40}") {
            if let Ok(id) = text.parse::<MessageId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
