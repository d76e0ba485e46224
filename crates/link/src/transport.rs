//! Frames after the handshake: ChaCha20-Poly1305 under two raw keys, one for each direction, with a
//! counter that never goes over the wire.

#[cfg(feature = "driven")]
pub mod ledger;

use std::fmt;

use godwit_base::limits::FRAME_BYTES_MAX;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{Backend, KEY_BYTES};
use crate::error::LinkError;

/// Bytes that sealing adds to a frame.
pub const TAG_BYTES: usize = crate::crypto::TAG_BYTES;

/// Largest plaintext of a frame.
const PLAINTEXT_BYTES_MAX: usize = FRAME_BYTES_MAX - TAG_BYTES;

/// Noise keeps the last counter for itself.
const COUNTER_END: u64 = u64::MAX;

/// Both directions of an established link.
///
/// A server keeps one for each connection, a million of them: 2 x 32 B of keys and 2 x 8 B of
/// counters, nothing else.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Transport {
    seal_key: [u8; KEY_BYTES],
    open_key: [u8; KEY_BYTES],
    sealed: u64,
    opened: u64,
}

const _: () = assert!(size_of::<Transport>() <= 80, "the memory of an idle link is promised");

/// A [`Transport`] as data: what another process needs to go on with the link. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Parted {
    /// Seals what we say.
    pub seal_key: [u8; KEY_BYTES],
    /// Opens what we hear.
    pub open_key: [u8; KEY_BYTES],
    /// Frames sealed so far.
    pub sealed: u64,
    /// Frames opened so far.
    pub opened: u64,
}

impl Transport {
    pub(crate) fn new(seal_key: &[u8; KEY_BYTES], open_key: &[u8; KEY_BYTES]) -> Self {
        Self { seal_key: *seal_key, open_key: *open_key, sealed: 0, opened: 0 }
    }

    /// Takes the link out of this transport, which seals and opens nothing from here on: whoever has the
    /// returned value goes on with the counters, and nobody uses one twice.
    pub fn part(&mut self) -> Parted {
        let (seal_key, open_key) = (self.seal_key, self.open_key);
        let parted = Parted { seal_key, open_key, sealed: self.sealed, opened: self.opened };
        self.zeroize();
        (self.sealed, self.opened) = (COUNTER_END, COUNTER_END);
        parted
    }

    /// The link goes on where it was parted.
    pub fn join(parted: &Parted) -> Self {
        let Parted { seal_key, open_key, sealed, opened } = parted;
        Self { seal_key: *seal_key, open_key: *open_key, sealed: *sealed, opened: *opened }
    }

    /// Appends the sealed `plaintext` to `out`: as many bytes and [`TAG_BYTES`]. The length header
    /// of the frame is the caller's.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`] beyond the largest frame, [`LinkError::Exhausted`] after 2^64 - 1
    /// frames. `out` is then as it was.
    pub fn seal_into(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), LinkError> {
        self.may_seal(plaintext.len())?;
        let start = out.len();
        out.extend_from_slice(plaintext);
        self.seal_tail(out, start)
    }

    /// Seals in place what `out` holds from `start` on, and appends the tag: for callers that write
    /// their messages straight into the send buffer.
    ///
    /// # Errors
    /// As [`seal_into`](Self::seal_into); `out` then still ends in the plaintext.
    pub fn seal_tail(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), LinkError> {
        self.seal_tail_by(Backend::PREFERRED, out, start)
    }

    pub(crate) fn seal_tail_by(
        &mut self,
        backend: Backend,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), LinkError> {
        let bug = LinkError::Bug { what: "the plaintext starts after the end of the buffer" };
        let plaintext = out.get_mut(start..).ok_or(bug)?;
        self.may_seal(plaintext.len())?;
        let tag = backend.seal(&self.seal_key, self.sealed, &[], plaintext)?;
        #[cfg(feature = "driven")]
        ledger::note(&self.seal_key, self.sealed);
        self.sealed += 1;
        out.extend_from_slice(&tag);
        Ok(())
    }

    fn may_seal(&self, bytes: usize) -> Result<(), LinkError> {
        if bytes > PLAINTEXT_BYTES_MAX {
            return Err(LinkError::TooLarge { bytes, bytes_max: PLAINTEXT_BYTES_MAX });
        }
        if self.sealed == COUNTER_END {
            return Err(LinkError::Exhausted);
        }
        Ok(())
    }

    /// Opens a whole frame, without its length header, in place; the plaintext is the first bytes
    /// of `frame`, as many as returned.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] and [`LinkError::NotAuthentic`]: the content of `frame` is then
    /// unspecified and the link must be closed. [`LinkError::Exhausted`] after 2^64 - 1 frames.
    pub fn open_in_place(&mut self, frame: &mut [u8]) -> Result<usize, LinkError> {
        self.open_by(Backend::PREFERRED, frame)
    }

    pub(crate) fn open_by(
        &mut self,
        backend: Backend,
        frame: &mut [u8],
    ) -> Result<usize, LinkError> {
        let malformed = LinkError::Malformed { bytes: frame.len() };
        if frame.len() > FRAME_BYTES_MAX {
            return Err(malformed);
        }
        let (body, tag) = frame.split_last_chunk_mut::<TAG_BYTES>().ok_or(malformed)?;
        if self.opened == COUNTER_END {
            return Err(LinkError::Exhausted);
        }
        backend
            .open(&self.open_key, self.opened, &[], body, tag)
            .map_err(|_| LinkError::NotAuthentic)?;
        self.opened += 1;
        Ok(body.len())
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("sealed", &self.sealed)
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parted")
            .field("sealed", &self.sealed)
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
