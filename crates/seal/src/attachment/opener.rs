//! Opening a file, chunk by chunk.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::layout::Layout;
use super::{
    AttachmentError, Chunks, DIGEST_BYTES, FileKey, HEADER_BYTES, Pointer, TAG_BYTES, prefix_of,
};

/// Turns the sealed form of a file back into the file.
///
/// As long as [`wants`](Self::wants) names a number, [`push`](Self::push) takes that many bytes of the
/// sealed form and gives what they hold, once their tag is right and not before. The file is the one
/// that the pointer names only when [`finish`](Self::finish) says so: keep it under another name
/// until then.
pub struct Opener {
    key: FileKey,
    layout: Layout,
    digest: [u8; DIGEST_BYTES],
    seen: Sha256,
    /// None until the header came.
    chunks: Option<Chunks>,
    /// The first chunk that is opened; everything before it is skipped.
    from: u32,
    next: u32,
}

impl Opener {
    /// For the file of that pointer, from its beginning.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`].
    pub fn new(pointer: &Pointer) -> Result<Self, AttachmentError> {
        Ok(Self {
            key: pointer.key.clone(),
            layout: Layout::new(pointer.plain_bytes)?,
            digest: pointer.digest,
            seen: Sha256::new(),
            chunks: None,
            from: 0,
            next: 0,
        })
    }

    /// The same from a chunk in the middle, for a player or after a break: wants the header first, then
    /// that chunk, which begins at [`Opener::offset_of`] in the sealed form. Each chunk is checked by
    /// its tag as ever, and the end by its mark; the digest of the whole is not, since not all of it
    /// was seen.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`]; [`AttachmentError::WrongPiece`] if the file has no such chunk.
    pub fn at_chunk(pointer: &Pointer, chunk: u32) -> Result<Self, AttachmentError> {
        let opener = Self::new(pointer)?;
        if chunk >= opener.layout.chunks() {
            return Err(AttachmentError::WrongPiece);
        }
        Ok(Self { from: chunk, next: chunk, ..opener })
    }

    /// Where a chunk begins in the sealed form, bytes.
    pub fn offset_of(chunk: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(chunk) * super::PIECE_BYTES_MAX as u64
    }

    /// Bytes of the sealed form that come next; none after the last.
    pub fn wants(&self) -> Option<usize> {
        match self.chunks {
            None => Some(HEADER_BYTES),
            Some(_) => {
                let is_left = self.next < self.layout.chunks();
                is_left.then(|| self.layout.padded_in(self.next) + TAG_BYTES)
            }
        }
    }

    /// Takes the next piece and appends what it holds of the file to `out`; on an error nothing is
    /// appended.
    ///
    /// # Errors
    /// [`AttachmentError::Truncated`] if the piece is shorter than was wanted, which is all there is
    /// then; [`AttachmentError::WrongPiece`] if it is longer; [`AttachmentError::Forged`],
    /// [`AttachmentError::Newer`].
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        match self.wants() {
            Some(wanted) if piece.len() < wanted => return Err(AttachmentError::Truncated),
            Some(wanted) if piece.len() == wanted => {}
            _ => return Err(AttachmentError::WrongPiece),
        }
        match &self.chunks {
            None => self.chunks = Some(Chunks::new(&self.key, prefix_of(piece)?)),
            Some(chunks) => {
                let is_last = self.layout.is_last(self.next);
                let (body, tag) = piece.split_last_chunk().ok_or(AttachmentError::Truncated)?;
                out.reserve(body.len());
                let start = out.len();
                out.extend_from_slice(body);
                let chunk = out.get_mut(start..).unwrap_or_default();
                let opened = chunks.open(self.next, is_last, chunk, tag);
                let opened = opened.and_then(|()| self.without_padding(chunk));
                if opened.is_err() {
                    chunk.zeroize();
                    out.truncate(start);
                }
                let plain_bytes = opened?;
                out.truncate(start + plain_bytes);
                self.next += 1;
            }
        }
        self.seen.update(piece);
        Ok(())
    }

    /// Bytes of the file in an opened chunk. What is behind them must be zeros: there is one sealed
    /// form of a file under a key and a prefix, and no room for anything else in it.
    fn without_padding(&self, chunk: &[u8]) -> Result<usize, AttachmentError> {
        let plain_bytes = self.layout.plain_in(self.next);
        let padding = chunk.get(plain_bytes..).ok_or(AttachmentError::Forged)?;
        match padding.iter().all(|byte| *byte == 0) {
            true => Ok(plain_bytes),
            false => Err(AttachmentError::Forged),
        }
    }

    /// Whether it was the file that the pointer names, all of it.
    ///
    /// # Errors
    /// [`AttachmentError::Truncated`] while something is still wanted; [`AttachmentError::WrongDigest`].
    pub fn finish(self) -> Result<(), AttachmentError> {
        if self.wants().is_some() {
            return Err(AttachmentError::Truncated);
        }
        let seen: [u8; DIGEST_BYTES] = self.seen.finalize().into();
        if self.from == 0 && !bool::from(seen.ct_eq(&self.digest)) {
            return Err(AttachmentError::WrongDigest);
        }
        Ok(())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("next", &self.next).finish_non_exhaustive()
    }
}
