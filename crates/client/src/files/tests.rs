//! What happens between the steps of those who seal, save and tidy beside each other.

use std::cell::{Cell, RefCell};

use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, Files) {
    let folder = TempDir::new().unwrap();
    let files = Files::at(&folder.path().join("media")).unwrap();
    (folder, files)
}

fn is_locked(path: &Path) -> bool {
    matches!(File::open(path).unwrap().try_lock(), Err(TryLockError::WouldBlock))
}

fn names(files: &Files) -> Vec<PathBuf> {
    fs::read_dir(&files.0).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_tidy_between_creating_and_locking_costs_a_name_and_nothing_else() {
    for ending in [UNSEALED, OPENING] {
        let (_folder, files) = folder();
        let tried = Cell::new(0);
        let made = files.create(ending, |_| {
            if tried.replace(tried.get() + 1) == 0 {
                files.tidy().unwrap();
            }
        });
        let made = made.unwrap();
        assert_eq!((tried.get(), names(&files)), (2, vec![made.path.clone()]));
        assert!(is_locked(&made.path));
        files.tidy().unwrap();
        assert!(made.path.exists());
    }
}

#[test]
fn a_tidy_that_has_locked_and_not_removed_yet_costs_a_name_and_nothing_else() {
    let (_folder, files) = folder();
    let tidying = RefCell::new(Vec::new());
    let made = files.create(OPENING, |path| {
        if tidying.borrow().is_empty() {
            let lock = File::open(path).unwrap();
            lock.try_lock().unwrap();
            tidying.borrow_mut().push((path.to_owned(), lock));
        }
    });
    let made = made.unwrap();
    let tidied = tidying.take();
    assert!(tidied.iter().all(|(path, _)| *path != made.path));
    drop(tidied);
    files.tidy().unwrap();
    assert_eq!(names(&files), [made.path]);
}

#[test]
fn names_are_tried_as_often_as_is_said() {
    for (lost, is_made) in [(NAMES_MAX - 1, true), (NAMES_MAX, false)] {
        let (_folder, files) = folder();
        let tried = Cell::new(0);
        let made = files.create(UNSEALED, |_| {
            if tried.replace(tried.get() + 1) < lost {
                files.tidy().unwrap();
            }
        });
        assert_eq!((made.is_ok(), tried.get()), (is_made, NAMES_MAX), "{made:?}");
    }
}

#[test]
fn what_is_removed_is_locked_until_it_is_gone() {
    let (_folder, files) = folder();
    for ending in [UNSEALED, OPENING] {
        let left = files.0.join(format!("0123456789abcdef.{ending}"));
        fs::write(&left, b"").unwrap();
        let seen = Cell::new(false);
        remove_left(&left, || seen.set(is_locked(&left)));
        assert!(seen.get() && !left.exists(), "{ending}");
    }
}

#[test]
fn a_tidy_between_sealing_and_naming_takes_nothing() {
    let (folder, files) = folder();
    let from = folder.path().join("from");
    fs::write(&from, b"a photo").unwrap();
    let mut part = files.create(UNSEALED, |_| {}).unwrap();
    let pointer = seal_into(&from, &mut part, |_| {}).unwrap();
    files.tidy().unwrap();
    files.keep(&part.path, BlobId(pointer.digest)).unwrap();
    files.tidy().unwrap();
    assert_eq!(names(&files), [files.whole(BlobId(pointer.digest))]);
}

#[test]
fn a_folder_that_takes_no_note_is_no_fault() {
    let (folder, files) = folder();
    assert!(files.note(&folder.path().join("part")).is_some());
    fs::remove_dir_all(&files.0).unwrap();
    assert!(files.note(&folder.path().join("part")).is_none());
}

#[test]
fn a_note_that_was_cut_short_removes_nothing() {
    let (folder, files) = folder();
    let part = folder.path().join(".0123456789abcdef.photo.jpg.part");
    let other = folder.path().join(".0123456789abcdef.photo.jpg");
    let note = files.0.join("0123456789abcdef.opening");
    for (named, is_removed) in [(&other, false), (&part, true)] {
        fs::write(named, b"half").unwrap();
        fs::write(&note, named.as_os_str().as_bytes()).unwrap();
        files.tidy().unwrap();
        assert_eq!((named.exists(), note.exists()), (!is_removed, false), "{named:?}");
    }
    let no = ["/a/b", "/a/.0123456789abcde.x.part", "/a/.0123456789abcdeg.x.part", "", "/"];
    assert!(no.iter().all(|path| !is_part(Path::new(path))));
    assert!(!is_part(Path::new(".0123456789abcdef.x.part")), "from where");
    assert!(is_part(Path::new("/a/.0123456789abcdef.x.part")));
}
