//! The named crash points, each as a panic in the writer: on one side of the sync nothing happened, on
//! the other everything did, and on neither was anybody told. (A process killed at these points is
//! the matter of the crash proof.)

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;

use bytes::Bytes;
use fail::FailScenario;
use godwit_store::conformance::{Ground, Setting, World, block_on};
use godwit_store::{
    Embedded, KeyUpload, KeysError, ListError, Options, Outcome, Sink, Store, StoreError, Who,
};

struct Folder(tempfile::TempDir);

impl Ground for Folder {
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store> {
        let mut options = Options::default();
        options.clock = Arc::new(setting.clock.clone());
        Arc::new(Embedded::open(self.0.path(), options, sink).unwrap())
    }
}

/// One message, one acknowledgement and one key under way when the writer stops at `point`; answers
/// what the message's sender is told when it asks again, and the key that the next taker gets.
fn stopped_at(point: &str) -> (Outcome, Option<Bytes>) {
    let scenario = FailScenario::setup();
    let mut ground = Folder(tempfile::tempdir().unwrap());
    let mut world = World::new(&mut ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 1));
    let (from, to) = (alice.device(1), bob.device(1));
    let key = |id| (id, Bytes::from(format!("key {id}")));
    let keys = KeyUpload { one_time: vec![key(1), key(2), key(3)], fallback: None };
    block_on(world.store().publish_keys(to, keys)).unwrap();

    fail::cfg(point, "1*panic").unwrap();
    let outcome = world.send(from, 1, vec![bob.copies(from, "x")]);
    assert_eq!(outcome, Outcome::Unavailable);
    assert!(world.appended(to).is_empty(), "nobody was told");
    fail::cfg(point, "1*panic").unwrap();
    let taken = block_on(world.store().take_keys(to, true));
    assert_eq!(taken, Err(KeysError::Store(StoreError::Unavailable)));

    fail::remove(point);
    // After two failures in a row the writer pauses for a moment.
    let again = loop {
        match world.send(from, 1, vec![bob.copies(from, "x")]) {
            Outcome::Unavailable => {}
            outcome => break outcome,
        }
    };
    assert_eq!(world.mailbox(to).len(), 1, "once, whatever happened");
    let key = block_on(world.store().take_keys(to, true)).unwrap().one_time;
    scenario.teardown();
    (again, key)
}

#[test]
fn before_the_sync_nothing_happened() {
    let (again, key) = stopped_at("store::appended");
    assert!(matches!(again, Outcome::Accepted { .. }), "{again:?}");
    assert_eq!(key, Some(Bytes::from("key 1")));
}

#[test]
fn after_the_sync_everything_happened() {
    let (again, key) = stopped_at("store::synced");
    assert!(matches!(again, Outcome::Repeated { .. }), "{again:?}");
    assert_eq!(key, Some(Bytes::from("key 2")), "one key is lost, none is given out twice");
}

/// A list without device 2 under way when the writer stops at `point`; answers the version that is
/// stored then and whether the device is gone, which must agree in every part.
fn list_stopped_at(point: &str) -> (u64, bool) {
    let scenario = FailScenario::setup();
    let mut ground = Folder(tempfile::tempdir().unwrap());
    let mut world = World::new(&mut ground);
    let (alice, bob) = (world.person(1, 1), world.person(2, 2));
    let (by, goes) = (bob.device(1), bob.device(2));
    world.text(alice.device(1), 1, &bob);
    let keys = KeyUpload { one_time: vec![(1, Bytes::from("key"))], fallback: None };
    block_on(world.store().publish_keys(goes, keys)).unwrap();

    fail::cfg(point, "1*panic").unwrap();
    let stopped = world.lists(2, by, 2, [1]);
    assert_eq!(stopped, Err(ListError::Store(StoreError::Unavailable)));
    assert_eq!(world.removed(), [], "nobody was told");
    fail::remove(point);
    world.settle_down(); // the writer has read everything anew

    let profile = block_on(world.store().profile(Who::Account(bob.account))).unwrap().unwrap();
    let is_gone = world.store().is_removed(goes);
    assert_eq!(world.mailbox(goes).is_empty(), is_gone);
    assert_eq!(world.store().one_time_left(goes) == 0, is_gone);
    assert_eq!(world.lists(2, by, 2, [1]), Ok(()), "the same bytes again");
    assert!(world.store().is_removed(goes));
    assert!(world.mailbox(goes).is_empty());
    scenario.teardown();
    (profile.list.version, is_gone)
}

#[test]
fn before_the_sync_nobody_left_the_list() {
    assert_eq!(list_stopped_at("store::appended"), (1, false));
}

#[test]
fn after_the_sync_list_and_revocation_are_one() {
    assert_eq!(list_stopped_at("store::synced"), (2, true));
}
