//! Where what lies in a sealed file: follows from the length of the file alone.

use super::{ATTACHMENT_BYTES_MAX, AttachmentError, CHUNK_BYTES, HEADER_BYTES, TAG_BYTES};
use crate::padding::padme;

/// Files below this are padded to it: a note, a thumbnail and a short recording look the same.
const PADDED_BYTES_MIN: u64 = 1_024;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// The lengths of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    plain_bytes: u64,
    padded_bytes: u64,
}

impl Layout {
    pub(super) fn new(plain_bytes: u64) -> Result<Self, AttachmentError> {
        if plain_bytes > ATTACHMENT_BYTES_MAX {
            return Err(AttachmentError::TooLong);
        }
        let padded_bytes = padme(plain_bytes.max(PADDED_BYTES_MIN));
        Ok(Self { plain_bytes, padded_bytes })
    }

    /// At least one; the bound of the file's length keeps it far below 2^32.
    pub(super) fn chunks(self) -> u32 {
        u32::try_from(self.padded_bytes.div_ceil(CHUNK)).unwrap_or(u32::MAX)
    }

    pub(super) fn is_last(self, chunk: u32) -> bool {
        chunk.checked_add(1) == Some(self.chunks())
    }

    /// Bytes of a chunk with its padding, without its tag.
    pub(super) fn padded_in(self, chunk: u32) -> usize {
        within(self.padded_bytes, chunk)
    }

    /// Bytes of the file itself in a chunk; 0 where it is all padding.
    pub(super) fn plain_in(self, chunk: u32) -> usize {
        within(self.plain_bytes, chunk)
    }

    pub(super) fn sealed_bytes(self) -> u64 {
        let tags = u64::from(self.chunks()) * TAG_BYTES as u64;
        HEADER_BYTES as u64 + self.padded_bytes + tags
    }
}

/// What of `bytes` falls into a chunk.
fn within(bytes: u64, chunk: u32) -> usize {
    let rest = bytes.saturating_sub(u64::from(chunk) * CHUNK).min(CHUNK);
    usize::try_from(rest).unwrap_or(CHUNK_BYTES)
}
