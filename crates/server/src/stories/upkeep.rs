//! What the server does for itself, and what a wrong clock makes of it.

use std::sync::Arc;

#[cfg(feature = "fail-points")]
use godwit_actor::Exit;
use godwit_base::ManualClock;
use godwit_wire::ToClient;

use super::person;
use super::world::World;
use crate::scrubber::{ROUNDS, Scrub};
#[cfg(feature = "fail-points")]
use crate::upkeep;

const DAY_MS: u64 = 24 * 3_600_000;
const NOW_MS: u64 = 1_790_000_000_000;

/// Ahead by more than a year and back by two: what is ticked under any of these times is delivered, in the
/// order in which it was sent.
#[tokio::test]
async fn a_clock_that_leaps_loses_expires_and_reorders_nothing() {
    let clock = ManualClock::at(NOW_MS);
    let world = World::with(|setup| setup.clock = Arc::new(clock.clone())).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    let store = &world.server.node.store;
    for (text, at_ms) in [
        ("before", NOW_MS),
        ("ahead", NOW_MS + 400 * DAY_MS),
        ("back", NOW_MS - 730 * DAY_MS),
        ("zero", 0),
        ("right", NOW_MS + 1),
    ] {
        clock.advance(60_000); // time passes, whatever the wall says: no rate stands in the way
        clock.set(at_ms);
        let counter = alice.sends(text).to(&bob).await;
        alice.sees_tick(counter).await;
        let swept = store.sweep().await.unwrap();
        assert_eq!((swept.expired, swept.orphaned), (0, 0), "{text}");
        assert_eq!(swept.clock_leapt, text == "ahead", "{text}");
        // A new link under that clock, for both.
        alice.hangs_up();
        alice.comes_back().await;
    }
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), 5);
    for (record, text) in waiting.into_iter().zip(["before", "ahead", "back", "zero", "right"]) {
        let deliver = person::is_text(record, text, &alice);
        bob.acknowledges(&deliver).await;
    }
    // Receipts of several acknowledgements may be one.
    let mut delivered = 0;
    while delivered < alice.counter {
        let ToClient::Receipt(receipt) = alice.link().hears().await else { panic!("no receipt") };
        assert!(receipt.up_to > delivered, "{receipt:?}");
        delivered = receipt.up_to;
    }
}

/// All rows are read, slice after slice, and then it rests.
#[tokio::test]
async fn the_store_is_scrubbed_and_then_left_alone() {
    let world = World::new().await;
    world.joins("alice").await;
    let node = &world.server.node;
    let mut scrub = Scrub::default();
    let before = node.store.stats().scrubs;
    while node.store.stats().scrubs == before {
        assert!(!scrub.rests(1));
        scrub.go_on(node, 1).await;
    }
    let stats = node.store.stats();
    assert!(stats.scrubbed > 5 && stats.scrub_damaged == 0, "{stats:?}");
    assert!(scrub.rests(ROUNDS) && !scrub.rests(ROUNDS + 1), "an hour");
}

/// A disk that does not answer must not keep a worker: whoever waits for it is another thread.
#[cfg(feature = "fail-points")]
#[tokio::test]
async fn the_tickets_key_is_renewed_on_no_worker_and_a_panic_there_ends_the_upkeep() {
    use std::sync::Mutex;
    use std::thread::{self, ThreadId};

    let world = World::new().await;
    let node = &world.server.node;
    let worked: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
    let seen = Arc::clone(&worked);
    fail::cfg_callback("server::tickets", move || {
        seen.lock().unwrap().push(thread::current().id());
    })
    .unwrap();
    upkeep::renew_tickets(node).await.unwrap();
    let worked = worked.lock().unwrap().clone();
    assert_eq!(worked.len(), 1);
    assert_ne!(worked[0], thread::current().id(), "the only worker here");
    fail::cfg("server::tickets", "panic").unwrap();
    assert!(matches!(upkeep::renew_tickets(node).await, Err(Exit::Failed(_))));
    fail::remove("server::tickets");
    upkeep::renew_tickets(node).await.unwrap();
}
