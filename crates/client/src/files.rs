//! Files: sealed into a folder, sent to the server and fetched from it over as many cuts as come, and
//! opened again. Tickets come from elsewhere: the link gives them, see `docs/protocol.md`.
//!
//! A folder holds each file in its sealed form under its name on the server. It bears that name only
//! when it is whole, synced, and has the digest that the name says.
//!
//! Several processes seal and save beside each other, and any of them tidies. Whoever has a part or a note
//! locks it until it has its last name or is gone; a tidy removes only what it has locked itself, and lets
//! go of it afterwards.

#[cfg(test)]
mod tests;
mod transfer;

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use godwit_base::BlobId;
pub use godwit_seal::Pointer;
use godwit_seal::{
    AttachmentError, CHUNK_BYTES, FileDigest, FileKey, Opener, PIECE_BYTES_MAX, Sealer,
};
use zeroize::Zeroizing;

pub use transfer::{Access, Broken};

/// What the name of a file ends in that is being sealed.
const UNSEALED: &str = "unsealed";

/// What the name of a note ends in that says where a file is being opened.
const OPENING: &str = "opening";

/// Longest note that is believed: no path is longer.
const NOTE_BYTES_MAX: u64 = 4_096;

/// What the name of a file ends in that is being opened.
const PART: &str = ".part";

/// Hexadecimal digits of a random name: 8 bytes.
const NAME_DIGITS: usize = 16;

/// Names tried for one file. Each that is lost takes a tidy that finds it between two calls of the system,
/// and a tidy reads the folder once: as many as 16 processes that all tidy at that moment.
const NAMES_MAX: usize = 16;

/// Bytes read at a time while a file is digested.
const READ_BYTES: usize = 256 * 1024;

/// Why a file was not sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Environment: it cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Ours, or the sender's: too large, or not what the message names.
    #[error(transparent)]
    Sealed(#[from] AttachmentError),
}

/// A folder of sealed files.
#[derive(Debug, Clone)]
pub struct Files(PathBuf);

impl Files {
    /// Makes the folder if need be, for its owner alone. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError::Disk`].
    pub fn at(folder: &Path) -> Result<Self, FileError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|cause| disk(folder, cause))?;
        Ok(Self(folder.to_owned()))
    }

    /// Where a whole file lies, if it does.
    pub fn whole(&self, blob: BlobId) -> PathBuf {
        self.0.join(blob.to_string())
    }

    fn part(&self, blob: BlobId) -> PathBuf {
        self.0.join(format!("{blob}.part"))
    }

    /// Seals a file into the folder; `moved` hears how many of its bytes are done. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError`]; nothing is left behind.
    pub fn seal(&self, path: &Path, moved: impl Fn(u64)) -> Result<Pointer, FileError> {
        let mut part = self.create(UNSEALED, |_| {})?;
        let sealed = seal_into(path, &mut part, moved)
            .and_then(|pointer| self.keep(&part.path, BlobId(pointer.digest)).map(|()| pointer));
        if sealed.is_err() {
            let _ = fs::remove_file(&part.path);
        }
        drop(part); // not before it has its name: a tidy would take it
        sealed
    }

    /// Opens a whole file into `out`, which appears when all of it is right. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError`]; `out` is as it was.
    pub fn open(
        &self,
        pointer: &Pointer,
        out: &Path,
        moved: impl Fn(u64),
    ) -> Result<(), FileError> {
        let mut name = OsString::from(format!(".{}.", random_name()?));
        name.push(out.file_name().unwrap_or_default());
        name.push(PART);
        let part = out.with_file_name(name);
        let note = self.note(&part);
        let opened = open_into(&self.whole(BlobId(pointer.digest)), pointer, &part, moved)
            .and_then(|()| fs::rename(&part, out).map_err(|cause| disk(out, cause)));
        if opened.is_err() {
            let _ = fs::remove_file(&part);
        }
        if let Some(note) = note {
            let _ = fs::remove_file(&note.path);
        }
        opened
    }

    /// Sends a whole file of this folder; `moved` hears how many bytes the server has. Goes on where an
    /// earlier try ended, and over cuts by itself.
    ///
    /// # Errors
    /// [`Broken`]: another ticket is needed, or the server says no.
    ///
    /// # Cancel safety
    /// Safe: the server keeps what came.
    pub async fn send(
        &self,
        access: &Access,
        blob: BlobId,
        moved: impl Fn(u64) + Clone + Send + 'static,
    ) -> Result<(), Broken> {
        transfer::send(access, &self.whole(blob), moved).await
    }

    /// Fetches a file of `bytes` bytes into this folder; `moved` hears how many are there. Goes on where
    /// an earlier try ended, and over cuts by itself. A file with another digest is thrown away.
    ///
    /// # Errors
    /// [`Broken`]: another ticket is needed, the server says no, or it gave another file.
    ///
    /// # Cancel safety
    /// Safe: what came stays.
    pub async fn fetch(
        &self,
        access: &Access,
        blob: BlobId,
        bytes: u64,
        moved: impl Fn(u64),
    ) -> Result<(), Broken> {
        let part = self.part(blob);
        transfer::fetch(access, &part, bytes, moved).await?;
        let files = self.clone();
        let checked = tokio::task::spawn_blocking(move || {
            if digest(&part).map_err(Broken::Disk)? != blob {
                let _ = fs::remove_file(&part);
                return Err(Broken::Forged);
            }
            files.keep(&part, blob).map_err(|error| Broken::Disk(io::Error::other(error)))
        });
        checked.await.map_err(|error| Broken::Disk(io::Error::other(error)))?
    }

    /// Writes down where a file is being opened, so that what a killed process leaves there is found. None
    /// if this folder takes no note, because its disk is full for example: `out` may lie on another.
    fn note(&self, part: &Path) -> Option<Locked> {
        let part = std::path::absolute(part).ok()?;
        let mut note = self.create(OPENING, |_| {}).ok()?;
        if note.file.write_all(part.as_os_str().as_bytes()).is_err() {
            let _ = fs::remove_file(&note.path);
            return None;
        }
        Some(note)
    }

    /// Makes an empty file under a name that nobody has, and locks it; `created` hears of each name before
    /// it is locked. A tidy that finds it before that takes it for left behind: then another name is tried.
    fn create(&self, ending: &str, mut created: impl FnMut(&Path)) -> Result<Locked, FileError> {
        for _ in 0..NAMES_MAX {
            let path = self.0.join(format!("{}.{ending}", random_name()?));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(|cause| disk(&path, cause))?;
            created(&path);
            match file.try_lock() {
                // A tidy removes before it lets go: what is there now stays.
                Ok(()) if path.exists() => return Ok(Locked { path, file }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(cause)) => {
                    let _ = fs::remove_file(&path);
                    return Err(disk(&path, cause));
                }
            }
        }
        Err(disk(&self.0, io::ErrorKind::WouldBlock.into()))
    }

    /// Removes what processes that were killed have left half sealed or half opened. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError::Disk`].
    pub fn tidy(&self) -> Result<(), FileError> {
        for entry in fs::read_dir(&self.0).map_err(|cause| disk(&self.0, cause))? {
            let Ok(path) = entry.map(|entry| entry.path()) else { continue };
            remove_left(&path, || {});
        }
        Ok(())
    }

    /// Gives a whole and synced file its name.
    fn keep(&self, part: &Path, blob: BlobId) -> Result<(), FileError> {
        let named = fs::rename(part, self.whole(blob));
        let named = named.and_then(|()| File::open(&self.0)?.sync_all());
        named.map_err(|cause| disk(&self.0, cause))
    }
}

/// A file that no tidy takes while this lives.
#[derive(Debug)]
struct Locked {
    path: PathBuf,
    file: File,
}

/// Removes a half sealed file, or a note and the half opened file that it names, unless somebody has it
/// locked; `locked` is told when this has.
fn remove_left(path: &Path, locked: impl FnOnce()) {
    let is_note = path.extension() == Some(OPENING.as_ref());
    if !is_note && path.extension() != Some(UNSEALED.as_ref()) {
        return;
    }
    let Ok(left) = File::open(path) else { return };
    if left.try_lock().is_err() {
        return;
    }
    let mut part = Vec::new();
    if is_note && (&left).take(NOTE_BYTES_MAX).read_to_end(&mut part).is_ok() {
        let part = Path::new(OsStr::from_bytes(&part));
        if is_part(part) {
            let _ = fs::remove_file(part);
        }
    }
    locked();
    let _ = fs::remove_file(path);
    drop(left); // not before it is gone: see `Files::create`
}

/// Whether a file can be one that was being opened. A note that was cut short names another.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let inner = name.strip_prefix(b".").and_then(|name| name.strip_suffix(PART.as_bytes()));
    let Some((digits, rest)) = inner.and_then(|inner| inner.split_at_checked(NAME_DIGITS)) else {
        return false;
    };
    path.is_absolute() && digits.iter().all(u8::is_ascii_hexdigit) && rest.starts_with(b".")
}

fn seal_into(path: &Path, part: &mut Locked, moved: impl Fn(u64)) -> Result<Pointer, FileError> {
    let from_disk = |cause| disk(path, cause);
    let Locked { path: part, file: to } = part;
    let to_disk = |cause| disk(part, cause);
    let mut from = File::open(path).map_err(from_disk)?;
    let bytes = from.metadata().map_err(from_disk)?.len();
    let mut sealer = Sealer::new(FileKey::generate()?, bytes)?;
    let mut plain = Zeroizing::new(vec![0; CHUNK_BYTES]);
    let mut piece = Vec::with_capacity(2 * PIECE_BYTES_MAX);
    while let Some(wanted) = sealer.wants() {
        let chunk = plain.get_mut(..wanted).unwrap_or_default();
        from.read_exact(chunk).map_err(from_disk)?; // a file that shrank meanwhile ends early
        piece.clear();
        sealer.push(chunk, &mut piece)?;
        to.write_all(&piece).map_err(to_disk)?;
        moved(sealer.resumes_at());
    }
    to.sync_all().map_err(to_disk)?;
    Ok(sealer.finish()?)
}

fn open_into(
    whole: &Path,
    pointer: &Pointer,
    part: &Path,
    moved: impl Fn(u64),
) -> Result<(), FileError> {
    let to_disk = |cause| disk(part, cause);
    let mut from = File::open(whole).map_err(|cause| disk(whole, cause))?;
    let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part);
    let mut to = to.map_err(to_disk)?;
    let mut opener = Opener::new(pointer)?;
    let mut piece = vec![0; PIECE_BYTES_MAX];
    let mut plain = Zeroizing::new(Vec::with_capacity(PIECE_BYTES_MAX));
    let mut done = 0;
    while let Some(wanted) = opener.wants() {
        let sealed = piece.get_mut(..wanted).unwrap_or_default();
        from.read_exact(sealed).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => FileError::Sealed(AttachmentError::Truncated),
            _ => disk(whole, cause),
        })?;
        plain.clear();
        opener.push(sealed, &mut plain)?;
        to.write_all(&plain).map_err(to_disk)?;
        done += plain.len() as u64;
        moved(done);
    }
    opener.finish()?;
    to.sync_all().map_err(to_disk)
}

fn random_name() -> Result<String, FileError> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|_| AttachmentError::Entropy)?;
    Ok(format!("{:0NAME_DIGITS$x}", u64::from_be_bytes(name)))
}

/// The name that a file's bytes have. Blocks on the disk.
fn digest(path: &Path) -> io::Result<BlobId> {
    let mut file = File::open(path)?;
    let mut digest = FileDigest::default();
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(BlobId(digest.finish())),
            n => digest.update(piece.get(..n).unwrap_or_default()),
        }
    }
}

fn disk(path: &Path, cause: io::Error) -> FileError {
    FileError::Disk { path: path.to_owned(), cause }
}
