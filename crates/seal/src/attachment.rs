//! Files: sealed in chunks under a key of their own, so that neither side ever holds more than one
//! chunk, and a cut costs one chunk at most (the STREAM construction; docs/protocol.md, "Files").
//!
//! ```text
//! header: version 1 | chunk size 4 | nonce prefix 7       12 bytes, associated data of chunk 0
//! chunk:  64 KiB of the padded file, the last one less    + tag 16
//! nonce:  prefix 7 | number of the chunk 4 | 1 if it is the last, else 0
//! ```
//!
//! The number in the nonce refuses a chunk in another place, the last byte a file that was cut between
//! two chunks, and the key, which is drawn for each file, a chunk of another file. The padding hides
//! the length but for 12 %. [`Sealer`] and [`Opener`] say how many bytes they want next and take just
//! those; where they come from and go to is their caller's affair.

mod layout;
mod opener;
mod sealer;
#[cfg(test)]
mod tests;

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use layout::Layout;
pub use opener::Opener;
pub use sealer::Sealer;

/// Version of the format: the first byte of every sealed file.
const VERSION: u8 = 1;

/// Bytes of the padded file in one chunk. A cut costs half of it on average; at 40 kbit/s it takes
/// 13 s, and the tags cost 0.02 %.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes that a tag adds to each chunk.
const TAG_BYTES: usize = 16;

/// Version, chunk size, nonce prefix.
const HEADER_BYTES: usize = 1 + 4 + PREFIX_BYTES;
const PREFIX_BYTES: usize = 7;

/// The largest piece that goes in or comes out: a whole chunk with its tag.
pub const PIECE_BYTES_MAX: usize = CHUNK_BYTES + TAG_BYTES;

/// The largest file, 1 TiB: 2^24 chunks and an eighth, of the 2^32 that the nonce can number.
pub const ATTACHMENT_BYTES_MAX: u64 = 1 << 40;

/// Bytes of the digest that names a sealed file.
pub const DIGEST_BYTES: usize = 32;

/// The key of one file, 32 random bytes. Wiped when dropped; it cannot be printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`AttachmentError::Entropy`] if the machine gives no randomness.
    pub fn generate() -> Result<Self, AttachmentError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(|_| AttachmentError::Entropy)?;
        Ok(Self(key))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes, for the sealed message that carries them.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.0).into())
    }
}

/// Takes the same time whatever the keys are.
impl PartialEq for FileKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for FileKey {}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// What somebody needs to fetch and to open a file. It travels inside a sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// SHA-256 of the whole sealed file: its name on the server.
    pub digest: [u8; DIGEST_BYTES],
    /// The file's own length; what is sealed is longer.
    pub plain_bytes: u64,
    /// What opens it.
    pub key: FileKey,
}

impl Pointer {
    /// Length of the sealed file.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`] above [`ATTACHMENT_BYTES_MAX`].
    pub fn sealed_bytes(&self) -> Result<u64, AttachmentError> {
        sealed_bytes(self.plain_bytes)
    }
}

/// Length of the sealed form of a file of that length.
///
/// # Errors
/// [`AttachmentError::TooLong`] above [`ATTACHMENT_BYTES_MAX`].
pub fn sealed_bytes(plain_bytes: u64) -> Result<u64, AttachmentError> {
    Layout::new(plain_bytes).map(|layout| layout.sealed_bytes())
}

/// Digests a sealed file as it lies on a disk, piece by piece.
#[derive(Clone, Default)]
pub struct FileDigest(Sha256);

impl FileDigest {
    /// The next bytes of it.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name that the bytes have.
    pub fn finish(self) -> [u8; DIGEST_BYTES] {
        self.0.finalize().into()
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileDigest(..)")
    }
}

/// Why a file was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// Our limit: larger than [`ATTACHMENT_BYTES_MAX`].
    #[error("the file is too large")]
    TooLong,
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: try again")]
    Entropy,
    /// A bug of the caller: another number of bytes than was asked for.
    #[error("another piece of the file was expected")]
    WrongPiece,
    /// The bytes ended before the file did.
    #[error("the file is cut short")]
    Truncated,
    /// A chunk was changed, moved, repeated, left out, or is of another file.
    #[error("the file was changed on the way, or is another one")]
    Forged,
    /// Every chunk opened, and yet the whole is not what the message named.
    #[error("the file is not the one that the message names")]
    WrongDigest,
    /// Sealed in a way that this version does not know.
    #[error("the file is sealed in a way that this version does not know: update the program")]
    Newer,
}

/// Nonce prefix of one file.
type Prefix = [u8; PREFIX_BYTES];

/// The chunk size as the header has it.
const CHUNK_SIZE: [u8; 4] = 0x1_0000_u32.to_be_bytes();
const _: () = assert!(CHUNK_BYTES == 0x1_0000);

fn header(prefix: &Prefix) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts = std::iter::once(&VERSION).chain(&CHUNK_SIZE).chain(prefix);
    header.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    header
}

/// The prefix in a header.
fn prefix_of(header: &[u8]) -> Result<Prefix, AttachmentError> {
    let (version, rest) = header.split_first().ok_or(AttachmentError::Truncated)?;
    let (size, prefix) = rest.split_first_chunk::<4>().ok_or(AttachmentError::Truncated)?;
    let prefix = prefix.try_into().map_err(|_| AttachmentError::Truncated)?;
    match (*version, *size) {
        (VERSION, CHUNK_SIZE) => Ok(prefix),
        (VERSION, _) => Err(AttachmentError::Forged),
        _ => Err(AttachmentError::Newer),
    }
}

/// One file's cipher.
struct Chunks {
    cipher: ChaCha20Poly1305,
    prefix: Prefix,
    header: [u8; HEADER_BYTES],
}

impl Chunks {
    fn new(key: &FileKey, prefix: Prefix) -> Self {
        Self { cipher: key.cipher(), prefix, header: header(&prefix) }
    }

    fn nonce(&self, number: u32, is_last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        let number = number.to_be_bytes();
        let last = [u8::from(is_last)];
        let parts = self.prefix.iter().chain(&number).chain(&last);
        nonce.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        nonce
    }

    fn associated(&self, number: u32) -> &[u8] {
        if number == 0 { &self.header } else { &[] }
    }

    /// Seals in place; returns the tag.
    fn seal(
        &self,
        number: u32,
        is_last: bool,
        chunk: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], AttachmentError> {
        let nonce = self.nonce(number, is_last);
        let tag = self
            .cipher
            .encrypt_inout_detached((&nonce).into(), self.associated(number), chunk.into())
            .map_err(|_| AttachmentError::TooLong)?;
        Ok(tag.into())
    }

    /// Opens in place; on an error the bytes are as good as random.
    fn open(
        &self,
        number: u32,
        is_last: bool,
        chunk: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), AttachmentError> {
        let (nonce, tag) = (self.nonce(number, is_last), Tag::from(*tag));
        self.cipher
            .decrypt_inout_detached((&nonce).into(), self.associated(number), chunk.into(), &tag)
            .map_err(|_| AttachmentError::Forged)
    }
}
