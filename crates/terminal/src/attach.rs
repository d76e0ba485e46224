//! What a file is, before it is sent: its kind, a small picture of a picture, the length and loudness
//! of a recording. All of it is found out here alone and told to the recipient sealed.

mod opus;
mod thumbnail;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use godwit_client::{MIME_BYTES_MAX, MediaInfo, NAME_BYTES_MAX};

/// Bytes at a file's beginning that tell its kind.
const HEAD_BYTES: u64 = 8 * 1024;

/// Names that are tried for a file that is saved.
const TRIES_MAX: u32 = 100;

/// Kind of a file that nothing tells anything about.
const UNKNOWN: &str = "application/octet-stream";

/// Kind of an Opus recording.
const OPUS: &str = "audio/ogg; codecs=opus";

/// Looks at a file. `voice`: if it is an Opus recording, it is to be played in the chat.
///
/// # Errors
/// It cannot be read, or is no file.
pub(crate) fn look(path: &Path, voice: bool) -> io::Result<MediaInfo> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut head = Vec::new();
    (&mut file).take(HEAD_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    let mut info = MediaInfo { name: name_of(path), ..MediaInfo::default() };
    if opus::is_opus(&head)
        && let Ok(recording) = opus::read(&mut BufReader::new(&mut file))
    {
        info.mime = OPUS.to_owned();
        info.duration_ms = recording.duration_ms;
        info.waveform = recording.waveform;
        info.voice = voice;
        return Ok(info);
    }
    info.mime = kind_of(&head, &info.name);
    if let Some(picture) = thumbnail::of(file, &info.mime) {
        (info.width, info.height) = (picture.width, picture.height);
        info.thumbnail = picture.jpeg;
    }
    Ok(info)
}

/// By what is inside; where that says nothing, by the end of the name.
fn kind_of(head: &[u8], name: &str) -> String {
    let inside = infer::get(head).map(|kind| kind.mime_type());
    let named = || mime_guess::from_path(name).first_raw();
    let text = || is_text(head).then_some("text/plain");
    let kind = inside.or_else(named).or_else(text);
    kind.filter(|kind| kind.len() <= MIME_BYTES_MAX).unwrap_or(UNKNOWN).to_owned()
}

/// The last part of the path, without what a name should not hold, cut to what a message may say.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut name: String = name.chars().filter(|c| !c.is_control()).collect();
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    name
}

/// A path in a folder for a file that somebody else has named: one part, not hidden, and not there yet.
/// None if all that would be tried are.
pub(crate) fn free_path(folder: &Path, name: &str) -> Option<PathBuf> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last: String = last.chars().filter(|c| !c.is_control()).collect();
    let name = Some(last.trim_start_matches('.').trim()).filter(|name| !name.is_empty());
    let name = Path::new(name.unwrap_or("file"));
    let stem = name.file_stem().unwrap_or_default().to_string_lossy();
    let end = name.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    let numbered = (2..=TRIES_MAX).map(|number| format!("{stem} ({number}){end}").into());
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find_map(|name: PathBuf| {
        let path = folder.join(name);
        path.symlink_metadata().is_err().then_some(path)
    })
}

fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match str::from_utf8(head) {
        Ok(_) => true,
        // The head may end inside a character.
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.is_empty() && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(name: &str, bytes: &[u8]) -> MediaInfo {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        look(&path, true).unwrap()
    }

    #[test]
    fn kinds_are_told_by_what_is_inside() {
        assert_eq!(looked("a.jpg", b"%PDF-1.7\n").mime, "application/pdf");
        assert_eq!(looked("notes", "grüße".as_bytes()).mime, "text/plain");
        assert_eq!(looked("broken.jpg", &[0, 1, 2, 255]).mime, "image/jpeg", "as it is named");
        assert_eq!(looked("empty", b"").mime, UNKNOWN);
        assert_eq!(looked("raw", &[0, 1, 2, 255]).mime, UNKNOWN);
        assert!(!looked("notes", b"text").voice, "no recording, no voice note");
    }

    #[test]
    fn a_recording_is_a_voice_note_and_a_broken_one_is_a_file() {
        let recording = opus::tests::recording();
        let voice = looked("memo.opus", &recording);
        assert_eq!((voice.mime.as_str(), voice.duration_ms, voice.voice), (OPUS, 1_000, true));
        let cut = looked("memo.opus", &recording[..recording.len() - 1]);
        assert_eq!((cut.voice, cut.duration_ms), (false, 0));
    }

    #[test]
    fn names_are_names_and_bounded() {
        assert_eq!(looked("photo.jpg", b"x").name, "photo.jpg");
        let longest = "x".repeat(NAME_BYTES_MAX);
        assert_eq!(name_of(Path::new(&longest)), longest);
        let long = format!("{}ü", "x".repeat(NAME_BYTES_MAX - 1));
        assert_eq!(name_of(Path::new(&long)).len(), NAME_BYTES_MAX - 1);
        assert_eq!(name_of(Path::new("/a/b\u{1b}[31m")), "b[31m");
    }

    #[test]
    fn a_file_is_saved_where_its_sender_cannot_choose() {
        let folder = tempfile::TempDir::new().unwrap();
        let free = |name: &str| {
            let path = free_path(folder.path(), name)?;
            assert_eq!(path.parent(), Some(folder.path()));
            Some(path.file_name()?.to_str()?.to_owned())
        };
        for (name, expected) in [
            ("photo.jpg", "photo.jpg"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("../.bashrc", "bashrc"),
            ("..", "file"),
            ("", "file"),
            ("a\nb\0", "ab"),
        ] {
            assert_eq!(free(name).as_deref(), Some(expected), "{name:?}");
        }
        std::fs::write(folder.path().join("photo.jpg"), b"").unwrap();
        assert_eq!(free("photo.jpg").as_deref(), Some("photo (2).jpg"));
        for number in 2..=TRIES_MAX {
            std::fs::write(folder.path().join(format!("photo ({number}).jpg")), b"").unwrap();
        }
        assert_eq!(free("photo.jpg"), None);
        std::fs::remove_file(folder.path().join(format!("photo ({TRIES_MAX}).jpg"))).unwrap();
        assert!(free("photo.jpg").is_some());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(look(folder.path(), false).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let missing = folder.path().join("missing");
        assert_eq!(look(&missing, false).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
