//! A file as a message names it.

use std::fmt;

use godwit_base::BlobId;
use godwit_seal::{FileKey, Pointer};
use serde::{Deserialize, Serialize};

/// Longest kind of a file, bytes: the longest in use, of an office document, has 73.
pub const MIME_BYTES_MAX: usize = 128;

/// Longest name of a file, bytes: what file systems take.
pub const NAME_BYTES_MAX: usize = 255;

/// Largest small picture, bytes: a side of 160 pixels in fair quality.
pub const THUMBNAIL_BYTES_MAX: usize = 4_096;

/// Steps of a waveform, one byte each: as many as a terminal has columns to draw it in.
pub const WAVEFORM_STEPS_MAX: usize = 64;

/// Longest text with a file, bytes. With the longest file, 4.7 KB, mentions and a quote, 1.8 KB, it
/// stays below the longest text alone.
pub const CAPTION_BYTES_MAX: usize = 40_000;

/// What to show of a file before it is fetched. All of it is its sender's word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaInfo {
    /// Its name; what of it is safe as a name on this machine is for the reader to judge.
    pub name: String,
    /// Its kind, such as `image/jpeg`.
    pub mime: String,
    /// Its length.
    pub bytes: u64,
    /// Of a picture, pixels; 0 if not known.
    pub width: u32,
    /// Of a picture, pixels; 0 if not known.
    pub height: u32,
    /// Of a recording; 0 if not known.
    pub duration_ms: u32,
    /// A small JPEG, or nothing.
    pub thumbnail: Vec<u8>,
    /// Loudness over time, 0 to 255 each step, or nothing.
    pub waveform: Vec<u8>,
    /// A voice note.
    pub voice: bool,
}

/// A file with what fetches and opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// Its name on the server.
    pub blob: BlobId,
    /// What opens it.
    pub key: FileKey,
    /// Length of its sealed form.
    pub sealed_bytes: u64,
    /// What to show.
    pub info: MediaInfo,
}

impl Media {
    /// What the opener needs.
    pub fn pointer(&self) -> Pointer {
        let (digest, plain_bytes) = (self.blob.0, self.info.bytes);
        Pointer { digest, plain_bytes, key: self.key.clone() }
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("bytes", &self.info.bytes).finish_non_exhaustive()
    }
}
