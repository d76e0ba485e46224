//! Backup while serving, and restore.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use godwit_store::conformance::{Ground, Setting, World, block_on};
use godwit_store::{
    Embedded, KeyUpload, OpenError, Options, Outcome, Sink, Store, TakenKeys, restore,
};

struct Folder<'a>(&'a Path);

impl Ground for Folder<'_> {
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store> {
        let mut options = Options::default();
        options.clock = Arc::new(setting.clock.clone());
        Arc::new(Embedded::open(self.0, options, sink).unwrap())
    }
}

/// Everything accepted before the backup is in it, whole submissions or none of those under way, and
/// the store goes on meanwhile.
#[test]
fn a_backup_is_a_consistent_snapshot_taken_while_serving() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (root.path().join("first"), root.path().join("second"));
    let backup = root.path().join("backup.redb");
    let mut ground = Folder(&first);
    let mut world = World::new(&mut ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    let from = alice.device(1);
    let keys = KeyUpload {
        one_time: vec![(1, Bytes::from("one")), (2, Bytes::from("two"))],
        fallback: Some(Bytes::from("fallback")),
    };
    block_on(world.store().publish_keys(bob.device(1), keys)).unwrap();
    for counter in 1..=500 {
        world.text(from, counter, &bob);
    }
    world.acknowledge_all(bob.device(2));
    let written = world.store().backup(backup.clone());
    for counter in 501..=600 {
        world.text(from, counter, &bob);
    }
    let report = block_on(written).unwrap();
    assert_eq!(report.file_bytes, backup.metadata().unwrap().len());
    assert!(report.rows > 500);
    assert_eq!(world.mailbox(bob.device(1)).len(), 600);
    world.store().close();

    let restored = restore(&backup, &second).unwrap();
    assert_eq!(restored.rows, report.rows);
    let mut ground = Folder(&second);
    let mut world = World::new(&mut ground);
    let [one, two] = [1, 2].map(|number| world.mailbox(bob.device(number)).len());
    assert!((500..=600).contains(&one), "{one}");
    assert_eq!(one, two + 500, "every submission is there for both devices or for none");
    assert_eq!(world.mailbox(from).len(), 1, "the receipt");
    let resent = world.send(from, 500, vec![bob.copies(from, "x")]);
    assert!(matches!(resent, Outcome::Repeated { .. }));
    block_on(world.store().verify()).unwrap();
}

/// M9: a key given out after the backup must not be given out again; the fallback key stays.
#[test]
fn a_restored_store_has_no_one_time_keys() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (root.path().join("first"), root.path().join("second"));
    let backup = root.path().join("backup.redb");
    let mut ground = Folder(&first);
    let world = World::new(&mut ground);
    let bob = world.person(2, 1).device(1);
    let upload = |id, key| KeyUpload {
        one_time: vec![(id, Bytes::from(key))],
        fallback: Some(Bytes::from("fallback")),
    };
    block_on(world.store().publish_keys(bob, upload(1, "taken later"))).unwrap();
    block_on(world.store().backup(backup.clone())).unwrap();
    let taken = block_on(world.store().take_keys(bob, true)).unwrap();
    assert_eq!(taken.one_time, Some(Bytes::from("taken later")));

    restore(&backup, &second).unwrap();
    let mut ground = Folder(&second);
    let world = World::new(&mut ground);
    assert_eq!(world.store().one_time_left(bob), 0);
    let taken = block_on(world.store().take_keys(bob, true)).unwrap();
    let expected = TakenKeys { one_time: None, fallback: Some(Bytes::from("fallback")) };
    assert_eq!(taken, expected);
    assert_eq!(block_on(world.store().publish_keys(bob, upload(2, "new"))), Ok(1));
}

/// Neither overwrites anything, and a failure leaves nothing behind.
#[test]
fn backup_and_restore_overwrite_nothing_and_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (root.path().join("first"), root.path().join("second"));
    let backup = root.path().join("backup.redb");
    let mut ground = Folder(&first);
    let world = World::new(&mut ground);
    world.person(1, 1);
    block_on(world.store().backup(backup.clone())).unwrap();
    let again = block_on(world.store().backup(backup.clone()));
    assert!(matches!(again, Err(OpenError::Exists(_))), "{again:?}");
    let nowhere = block_on(world.store().backup(root.path().join("no/such/folder")));
    assert!(matches!(nowhere, Err(OpenError::Io { .. })), "{nowhere:?}");
    let over = restore(&backup, &first);
    assert!(matches!(over, Err(OpenError::Exists(_))), "{over:?}");
    let missing = restore(&root.path().join("missing"), &second);
    assert!(matches!(missing, Err(OpenError::Io { .. })), "{missing:?}");

    let mut damaged = std::fs::read(&backup).unwrap();
    let middle = damaged.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    damaged[middle..].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&backup, damaged).unwrap();
    let refused = restore(&backup, &second);
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(&second).unwrap().count(), 0);
    let names = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().contains("partial")).count(), 0);
}
