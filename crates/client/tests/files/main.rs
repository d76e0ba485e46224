//! Files over a network that cuts, to a server that may lie. The server here is as much of `/media` as
//! the client speaks to.

#![cfg(feature = "native")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_base::BlobId;
use godwit_client::files::{Access, Broken, FileError, Files, Pointer};
use server::Server;
use tempfile::TempDir;

/// So many bytes that no two chunks are the same.
const BYTES: usize = 24_000_000;

/// A person's folder of sealed files beside the file that is sent, or saved.
struct Home {
    folder: TempDir,
    files: Files,
}

impl Home {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let files = Files::at(&folder.path().join("media")).unwrap();
        Self { folder, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and seals it.
    fn seals(&self, bytes: usize) -> Pointer {
        let path = self.path("photo.raw");
        let word = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let content: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(word).take(bytes).collect();
        std::fs::write(&path, content).unwrap();
        self.files.seal(&path, |_| {}).unwrap()
    }
}

fn blob(pointer: &Pointer) -> BlobId {
    BlobId(pointer.digest)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Files in the folder of sealed ones.
fn names(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path("media")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_file_crosses_with_three_cuts_in_each_direction() {
    let (alice, bob) = (Home::new(), Home::new());
    let server = Server::start().await;
    let pointer = alice.seals(BYTES);
    let bytes = pointer.sealed_bytes().unwrap();
    // Each of the first three connections with a body is cut after a fifth of the file.
    server.cuts(3, bytes / 5);
    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let moved = move |done| {
        seen.fetch_max(done, Ordering::SeqCst);
    };
    alice.files.send(&server.access(), blob(&pointer), moved).await.unwrap();
    assert_eq!(server.cuts_left(), 0);
    assert_eq!(most.load(Ordering::SeqCst), bytes, "progress was told to the end");
    assert!(server.has(&read(&alice.files.whole(blob(&pointer)))));

    server.cuts(3, bytes / 5);
    bob.files.fetch(&server.access(), blob(&pointer), bytes, |_| {}).await.unwrap();
    assert_eq!(server.cuts_left(), 0);
    bob.files.open(&pointer, &bob.path("saved.raw"), |_| {}).unwrap();
    assert!(read(&bob.path("saved.raw")) == read(&alice.path("photo.raw")));
    assert_eq!(names(&bob), [blob(&pointer).to_string()], "nothing half is left");
}

#[tokio::test]
async fn a_fetch_goes_on_after_a_crash_of_the_client() {
    let (alice, bob) = (Home::new(), Home::new());
    let server = Server::start().await;
    let pointer = alice.seals(3_000_000);
    let bytes = pointer.sealed_bytes().unwrap();
    let sealed = read(&alice.files.whole(blob(&pointer)));
    server.holds(&sealed);
    // What a client that was killed has left.
    let part = bob.path("media").join(format!("{}.part", blob(&pointer)));
    std::fs::write(part, &sealed[..2_000_000]).unwrap();
    bob.files.fetch(&server.access(), blob(&pointer), bytes, |_| {}).await.unwrap();
    assert_eq!(server.given_bytes(), bytes - 2_000_000);
    bob.files.open(&pointer, &bob.path("saved.raw"), |_| {}).unwrap();
    assert!(read(&bob.path("saved.raw")) == read(&alice.path("photo.raw")));
}

#[tokio::test]
async fn a_server_that_returns_anothers_file_is_caught() {
    let (alice, bob) = (Home::new(), Home::new());
    let server = Server::start().await;
    let (pointer, other) = (alice.seals(70_000), alice.seals(70_000));
    assert_ne!(pointer.digest, other.digest, "each sealing has a key of its own");
    server.holds(&read(&alice.files.whole(blob(&other))));
    let bytes = pointer.sealed_bytes().unwrap();
    let fetched = bob.files.fetch(&server.access(), blob(&pointer), bytes, |_| {}).await;
    assert!(matches!(fetched, Err(Broken::Forged)), "{fetched:?}");
    assert!(names(&bob).is_empty(), "and it is not kept");
    // Nor would it open, had the client believed it.
    std::fs::write(bob.files.whole(blob(&pointer)), read(&alice.files.whole(blob(&other))))
        .unwrap();
    let opened = bob.files.open(&pointer, &bob.path("saved.raw"), |_| {});
    assert!(matches!(opened, Err(FileError::Sealed(_))), "{opened:?}");
    assert_eq!(std::fs::read_dir(bob.folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[tokio::test]
async fn a_truncated_or_swapped_file_is_not_saved() {
    let alice = Home::new();
    let pointer = alice.seals(300_000);
    let whole = alice.files.whole(blob(&pointer));
    let sealed = read(&whole);
    let mut swapped = sealed.clone();
    let chunk = 65_536 + 16;
    let (first, second) = (12..12 + chunk, 12 + chunk..12 + 2 * chunk);
    swapped[first.clone()].copy_from_slice(&sealed[second.clone()]);
    swapped[second].copy_from_slice(&sealed[first]);
    for wrong in [&sealed[..sealed.len() - 1], &sealed[..12 + chunk], &swapped] {
        std::fs::write(&whole, wrong).unwrap();
        let opened = alice.files.open(&pointer, &alice.path("saved.raw"), |_| {});
        assert!(matches!(opened, Err(FileError::Sealed(_))), "{opened:?}");
        assert!(!alice.path("saved.raw").exists());
    }
    // Every chunk of it is right, and the message names another file.
    let other = Pointer { digest: [7; 32], ..pointer };
    std::fs::write(alice.files.whole(blob(&other)), &sealed).unwrap();
    let opened = alice.files.open(&other, &alice.path("saved.raw"), |_| {});
    assert!(matches!(opened, Err(FileError::Sealed(_))), "{opened:?}");
    assert!(!alice.path("saved.raw").exists());
}

#[tokio::test]
async fn a_no_of_the_server_ends_it_and_a_stale_ticket_asks_for_another() {
    let alice = Home::new();
    let server = Server::start().await;
    let pointer = alice.seals(70_000);
    let bytes = pointer.sealed_bytes().unwrap();
    let gone = alice.files.fetch(&server.access(), blob(&pointer), bytes, |_| {}).await;
    let Err(Broken::Refused(refusal, _)) = gone else { panic!("{gone:?}") };
    assert_eq!(refusal, godwit_wire::Refusal::MediaGone);
    let stale = Access { ticket: "stale".into(), ..server.access() };
    let sent = alice.files.send(&stale, blob(&pointer), |_| {}).await;
    assert!(matches!(sent, Err(Broken::Ticket)), "{sent:?}");
    assert!(!format!("{stale:?}").contains("stale"), "tickets are not printed");
}

#[test]
fn what_a_killed_process_has_half_sealed_is_tidied_up_and_nothing_else() {
    let alice = Home::new();
    let pointer = alice.seals(70_000);
    let left = alice.path("media").join("0123456789abcdef.unsealed");
    std::fs::write(&left, b"half").unwrap();
    let taken = std::fs::File::open(&left).unwrap();
    taken.lock().unwrap();
    alice.files.tidy().unwrap();
    assert!(left.exists(), "somebody seals it");
    drop(taken);
    alice.files.tidy().unwrap();
    assert_eq!(names(&alice), [blob(&pointer).to_string()]);
}

#[test]
fn what_a_killed_process_has_half_opened_is_tidied_up_and_nothing_else() {
    let alice = Home::new();
    let pointer = alice.seals(70_000);
    let notes = || names(&alice).into_iter().filter(|name| name.ends_with(".opening")).count();
    let seen = std::cell::Cell::new(None);
    alice
        .files
        .open(&pointer, &alice.path("saved.raw"), |_| {
            // A tidy beside it takes nothing from whoever opens; its note is what a kill leaves.
            alice.files.tidy().unwrap();
            let part = std::fs::read_dir(alice.folder.path()).unwrap();
            let mut part = part.map(|entry| entry.unwrap().path());
            let part = part.find(|path| path.extension() == Some("part".as_ref())).unwrap();
            seen.set(Some((part, notes())));
        })
        .unwrap();
    assert!(alice.path("saved.raw").exists());
    let (part, noted) = seen.take().unwrap();
    assert_eq!((noted, notes(), part.exists()), (1, 0, false));
    std::fs::write(&part, b"half").unwrap();
    let note = alice.path("media").join("0123456789abcdef.opening");
    std::fs::write(&note, part.to_str().unwrap()).unwrap();
    alice.files.tidy().unwrap();
    assert_eq!((notes(), part.exists()), (0, false));
    assert!(alice.path("saved.raw").exists());
    assert_eq!(names(&alice), [blob(&pointer).to_string()]);
}
