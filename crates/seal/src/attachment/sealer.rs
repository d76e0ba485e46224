//! Sealing a file, chunk by chunk.

use std::fmt;

use sha2::{Digest, Sha256};

use super::layout::Layout;
use super::{
    AttachmentError, Chunks, DIGEST_BYTES, FileKey, HEADER_BYTES, PIECE_BYTES_MAX, PREFIX_BYTES,
    Pointer, TAG_BYTES, prefix_of,
};

/// Turns a file into its sealed form.
///
/// As long as [`wants`](Self::wants) names a number, [`push`](Self::push) takes that many bytes of the
/// file and gives one piece of the sealed form; then [`finish`](Self::finish) gives what opens it.
/// After a crash, [`resume`](Self::resume) goes on behind what was written.
pub struct Sealer {
    key: FileKey,
    layout: Layout,
    plain_bytes: u64,
    chunks: Chunks,
    next: u32,
    digest: Sha256,
    header_is_out: bool,
}

impl Sealer {
    /// For a file of that length, under a key that nothing else was or will be sealed under.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`], [`AttachmentError::Entropy`].
    pub fn new(key: FileKey, plain_bytes: u64) -> Result<Self, AttachmentError> {
        let mut prefix = [0; PREFIX_BYTES];
        getrandom::fill(&mut prefix).map_err(|_| AttachmentError::Entropy)?;
        Self::with_prefix(key, plain_bytes, prefix)
    }

    pub(super) fn with_prefix(
        key: FileKey,
        plain_bytes: u64,
        prefix: [u8; PREFIX_BYTES],
    ) -> Result<Self, AttachmentError> {
        Ok(Self {
            layout: Layout::new(plain_bytes)?,
            plain_bytes,
            chunks: Chunks::new(&key, prefix),
            key,
            next: 0,
            digest: Sha256::new(),
            header_is_out: false,
        })
    }

    /// Goes on with a sealing that was broken off: `first_piece` is the first piece that it gave. Give
    /// each later piece that is whole to [`absorb`](Self::absorb), then the rest of the *same* file to
    /// [`push`](Self::push), from [`resumes_at`](Self::resumes_at) on.
    ///
    /// # Errors
    /// [`AttachmentError::Truncated`] if it is not a whole piece, [`AttachmentError::Forged`] if it is
    /// not of this key and length, [`AttachmentError::Newer`], [`AttachmentError::TooLong`].
    pub fn resume(
        key: FileKey,
        plain_bytes: u64,
        first_piece: &[u8],
    ) -> Result<Self, AttachmentError> {
        let (header, chunk) =
            first_piece.split_at_checked(HEADER_BYTES).ok_or(AttachmentError::Truncated)?;
        let mut sealer = Self::with_prefix(key, plain_bytes, prefix_of(header)?)?;
        sealer.digest.update(header);
        sealer.header_is_out = true;
        sealer.absorb(chunk)?;
        Ok(sealer)
    }

    /// Takes a piece that an earlier sealing of the file gave, after its first.
    ///
    /// # Errors
    /// As [`Sealer::resume`]. The piece was not taken.
    pub fn absorb(&mut self, piece: &[u8]) -> Result<(), AttachmentError> {
        if piece.len() != self.layout.padded_in(self.next) + TAG_BYTES {
            return Err(AttachmentError::Truncated);
        }
        let (body, tag) = piece.split_last_chunk().ok_or(AttachmentError::Truncated)?;
        let mut body = zeroize::Zeroizing::new(body.to_vec());
        self.chunks.open(self.next, self.layout.is_last(self.next), &mut body, tag)?;
        self.digest.update(piece);
        self.next += 1;
        Ok(())
    }

    /// Where in the file the next [`push`](Self::push) goes on, bytes from its beginning.
    pub fn resumes_at(&self) -> u64 {
        (u64::from(self.next) * super::CHUNK_BYTES as u64).min(self.plain_bytes)
    }

    /// Bytes of the file that the next piece takes; 0 for a piece that is all padding, none after the
    /// last.
    pub fn wants(&self) -> Option<usize> {
        (self.next < self.layout.chunks()).then(|| self.layout.plain_in(self.next))
    }

    /// Appends the next piece of the sealed form to `out`; the first has the header before it.
    ///
    /// # Errors
    /// [`AttachmentError::WrongPiece`] for another number of bytes than was wanted.
    pub fn push(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        if self.wants() != Some(plain.len()) {
            return Err(AttachmentError::WrongPiece);
        }
        // At once, so that growing leaves no copy of the file behind.
        out.reserve(HEADER_BYTES + PIECE_BYTES_MAX);
        let start = out.len();
        if !std::mem::replace(&mut self.header_is_out, true) {
            out.extend_from_slice(&self.chunks.header);
        }
        let body = out.len();
        out.extend_from_slice(plain);
        out.resize(body + self.layout.padded_in(self.next), 0);
        let chunk = out.get_mut(body..).unwrap_or_default();
        let tag = self.chunks.seal(self.next, self.layout.is_last(self.next), chunk)?;
        out.extend_from_slice(&tag);
        self.digest.update(out.get(start..).unwrap_or_default());
        self.next += 1;
        Ok(())
    }

    /// What opens the file.
    ///
    /// # Errors
    /// [`AttachmentError::Truncated`] while something is still wanted.
    pub fn finish(self) -> Result<Pointer, AttachmentError> {
        if self.wants().is_some() {
            return Err(AttachmentError::Truncated);
        }
        let digest: [u8; DIGEST_BYTES] = self.digest.finalize().into();
        Ok(Pointer { digest, plain_bytes: self.plain_bytes, key: self.key })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("next", &self.next).finish_non_exhaustive()
    }
}
