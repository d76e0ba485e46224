//! The group's secret, which the members share and the server does not: name and picture are sealed
//! under it.

use std::fmt;

use prost::Message;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::entry::SealedProfile;
use super::error::GroupError;
use crate::format;
use crate::padding::{pad, padded_len, unpad};
use crate::row::{ROW_OVERHEAD_BYTES, RowError, RowKey};

/// Longest name of a group, bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 100;

/// Most bytes of a picture: a small one itself, or where a large one lies and its key.
pub const PICTURE_BYTES_MAX: usize = 4_096;

/// Name, picture and framing of 8 bytes, padded by at most 12 %, and what sealing adds.
pub(super) const SEALED_PROFILE_BYTES_MAX: usize =
    (NAME_BYTES_MAX + PICTURE_BYTES_MAX + 8) * 112 / 100 + ROW_OVERHEAD_BYTES;

/// Where profiles and secrets are sealed, for [`RowKey`].
const PROFILE: &str = "group_profile";
const TABLE: &str = "group_secret";

/// Name and picture of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupProfile {
    /// At most [`NAME_BYTES_MAX`].
    pub name: String,
    /// At most [`PICTURE_BYTES_MAX`]; empty: none.
    pub picture: Vec<u8>,
}

/// 32 bytes that the members share. They are wiped when dropped and cannot be printed.
#[derive(ZeroizeOnDrop)]
pub struct GroupSecret {
    #[zeroize(skip)]
    generation: u32,
    key: RowKey,
}

impl GroupSecret {
    /// A new random secret of a generation, from 1.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn generate(generation: u32) -> Result<Self, RowError> {
        Ok(Self { generation, key: RowKey::generate()? })
    }

    /// The secret of these bytes.
    pub fn from_bytes(generation: u32, bytes: &[u8; 32]) -> Self {
        Self { generation, key: RowKey::from_bytes(bytes) }
    }

    /// The bytes.
    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.key.to_bytes()
    }

    /// Which secret of its group it is.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Seals name and picture for the log, padded so that their length says little.
    ///
    /// # Errors
    /// [`GroupError::BadProfile`] if they are too long, [`GroupError::Entropy`].
    pub fn seal_profile(&self, profile: &GroupProfile) -> Result<SealedProfile, GroupError> {
        if profile.name.len() > NAME_BYTES_MAX || profile.picture.len() > PICTURE_BYTES_MAX {
            return Err(GroupError::BadProfile);
        }
        let mut message =
            format::GroupProfile { name: profile.name.clone(), picture: profile.picture.clone() };
        let mut text = Zeroizing::new(Vec::with_capacity(padded_len(message.encoded_len())));
        message.encode_raw(&mut *text);
        message.name.zeroize();
        message.picture.zeroize();
        pad(&mut text);
        let sealed = self.key.seal(PROFILE, &self.generation.to_be_bytes(), &text);
        let sealed = sealed.map_err(|_| GroupError::Entropy)?;
        Ok(SealedProfile { generation: self.generation, sealed })
    }

    /// Name and picture; `None` if they are sealed under another secret, or do not hold.
    pub fn open_profile(&self, profile: &SealedProfile) -> Option<GroupProfile> {
        let place = profile.generation.to_be_bytes();
        let text = self.key.open(PROFILE, &place, &profile.sealed).ok()?;
        let message = format::GroupProfile::decode(unpad(&text)?).ok()?;
        let fits =
            message.name.len() <= NAME_BYTES_MAX && message.picture.len() <= PICTURE_BYTES_MAX;
        fits.then_some(GroupProfile { name: message.name, picture: message.picture })
    }

    /// The secret as a sealed row.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey, key: &[u8]) -> Result<Vec<u8>, RowError> {
        let generation = self.generation.to_be_bytes();
        let plain = Zeroizing::new([generation.as_slice(), self.to_bytes().as_slice()].concat());
        row_key.seal(TABLE, key, &plain)
    }

    /// Reads what [`GroupSecret::to_row`] wrote under the same key.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or moved.
    pub fn from_row(row_key: &RowKey, key: &[u8], row: &[u8]) -> Result<Self, RowError> {
        let plain = row_key.open(TABLE, key, row)?;
        let (generation, bytes) = plain.split_first_chunk::<4>().ok_or(RowError::Damaged)?;
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| RowError::Damaged)?;
        Ok(Self::from_bytes(u32::from_be_bytes(*generation), bytes))
    }
}

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupSecret(generation {})", self.generation)
    }
}
