//! What the watchdog sees of a server whose clock the test moves: nothing here waits for real seconds but the
//! watchdog's own look, four times a second.

use std::sync::Arc;
use std::time::Duration;

use godwit_base::ManualClock;
use godwit_store::Token;
use prometheus_client::metrics::counter::Counter;

use super::disk::TestDisk;
use super::world::World;
use crate::watchdog::Watch;

const UNIX_MS: u64 = 1_700_000_000_000;

/// A server, and its clock.
async fn world(disk: &TestDisk) -> (World, ManualClock) {
    let (clock, disk) = (ManualClock::at(UNIX_MS), disk.clone());
    let set = clock.clone();
    let world = World::with(|setup| {
        setup.clock = Arc::new(set);
        setup.disk = Arc::new(disk);
    });
    (world.await, clock)
}

async fn becomes(counter: &Counter, value: u64) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while counter.get() != value {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{} is not {value}", counter.get());
}

#[tokio::test]
async fn a_turn_is_told_once_when_it_has_lasted_a_second() {
    let (world, clock) = world(&TestDisk::default()).await;
    let node = &world.server.node;
    let mut watch = Watch::default();
    let stuck = || node.meters.stuck_turns.get();
    clock.advance(5_000);
    // This thread is a worker, and its session has left without a trace.
    node.turns.begin(Token(7), node.now_ns());
    clock.advance(999);
    watch.look(node, 1);
    assert_eq!(stuck(), 0);
    // From here on the server's own watchdog sees it too.
    clock.advance(1);
    becomes(&node.meters.stuck_turns, 1).await;
    watch.look(node, 2);
    clock.advance(60_000);
    watch.look(node, 3);
    assert_eq!(stuck(), 2, "each of the two has told of it once");
    node.turns.end();
    watch.look(node, 4);
    node.turns.begin(Token(8), node.now_ns());
    clock.advance(1_000);
    watch.look(node, 5);
    assert!(stuck() >= 3, "another turn");
    node.turns.end();
    world.stops().await;
}

#[tokio::test]
async fn a_store_that_does_not_come_back_is_told_when_it_has_not_for_ten_seconds() {
    let disk = TestDisk::default();
    let (world, clock) = world(&disk).await;
    let node = &world.server.node;
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    clock.advance(5_000);
    disk.stalls();
    let counter = alice.sends("who knows when").to(&bob).await;
    disk.is_waited_for().await;
    let mut watch = Watch::default();
    clock.advance(9_999);
    watch.look(node, 1);
    assert_eq!(node.meters.store_stalls.get(), 0);
    clock.advance(1);
    becomes(&node.meters.store_stalls, 1).await;
    assert_eq!(node.store.busy_ms(), 10_000);
    disk.goes_on();
    alice.sees_tick(counter).await;
    world.stops().await;
}

#[tokio::test]
async fn workers_without_time_are_told_when_no_second_began_for_five() {
    let (world, _clock) = world(&TestDisk::default()).await;
    let node = &world.server.node;
    let mut watch = Watch::default();
    watch.look(node, 1);
    (0..19).for_each(|_| watch.look(node, 1));
    assert_eq!(node.meters.runtime_stalls.get(), 0);
    watch.look(node, 1);
    assert_eq!(node.meters.runtime_stalls.get(), 1);
    (0..19).for_each(|_| watch.look(node, 2));
    watch.look(node, 3);
    assert_eq!(node.meters.runtime_stalls.get(), 1, "another second began");
    world.stops().await;
}
