//! Who is held back is held back elsewhere too: by a refusal that is not answered yet, or because it is deaf
//! to refusals.

use std::sync::Arc;

use godwit_base::ManualClock;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::{NOON_MS, device, records};
use crate::admin::{Question, ask};
use crate::seat::IN_FLIGHT_MAX;
use crate::stories::disk::TestDisk;
use crate::stories::world::World;

/// A server whose clock stands a second after its start, with a rate of one copy a second.
async fn strict_world() -> (World, ManualClock) {
    let clock = ManualClock::at(NOON_MS);
    let shown = clock.clone();
    let world = World::with(move |setup| {
        setup.clock = Arc::new(shown);
        setup.config.rate.submissions_per_s = 1;
        setup.config.rate.submissions_burst = 1;
        setup.config.link.keepalive_s = 3_600;
    })
    .await;
    clock.advance(1_000);
    (world, clock)
}

/// The store forgets which links it holds; the counter that the session refuses from does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_of_a_failed_batch_are_told_before_and_what_follows_is_refused_after() {
    let disk = TestDisk::default();
    let world = World::with(|setup| setup.disk = Arc::new(disk.clone())).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    disk.stalls();
    let before = world.server.node.meters.bytes_in.get();
    let texts = ["one", "two", "three"];
    let first = alice.link().bytes_sent;
    for text in texts {
        alice.sends(text).to(&bob).await;
        disk.is_waited_for().await;
    }
    world.has_heard(before + (alice.link().bytes_sent - first) as u64).await;
    let node = Arc::clone(&world.server.node);
    let freezing = tokio::spawn(world.freezes());
    while !node.freezer.is_closed() {
        tokio::task::yield_now().await;
    }
    disk.fails_once();
    disk.goes_on();
    let (frozen, thawing) = freezing.await.unwrap();
    assert_eq!((frozen.sessions.len(), frozen.dropped), (2, 0));
    let from: Vec<_> = records(&frozen).map(|record| record.refused_from).collect();
    assert!(from.contains(&1), "{from:?}");
    let _world = thawing.thaws(frozen).await;
    assert_eq!(alice.is_refused(1).await.0, Refusal::Unavailable);
    for counter in [2, 3] {
        let (refusal, _) = alice.is_refused(counter).await;
        assert!(matches!(refusal, Refusal::Unavailable | Refusal::AfterRefusal), "{refusal:?}");
    }
    // Each again, the first one last: it is waited for.
    for (counter, text) in [(2, "two"), (3, "three")] {
        let early = bob.sealed(counter, text);
        alice.link().says(&[early]).await;
        assert_eq!(alice.is_refused(counter).await.0, Refusal::AfterRefusal);
    }
    for (counter, text) in (1..).zip(texts) {
        let again = bob.sealed(counter, text);
        alice.link().says(&[again]).await;
        alice.sees_tick(counter).await;
        bob.receives(text, &alice).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_refused_for_now_waits_for_the_same_counter() {
    let (world, clock) = strict_world().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    alice.sends("one").to(&bob).await;
    alice.sees_tick(1).await;
    bob.receives("one", &alice).await;
    alice.sends("two").to(&bob).await;
    let (refusal, retry_ms) = alice.is_refused(2).await;
    assert_eq!(refusal, Refusal::RateLimited);
    let world = world.goes_over().await;
    clock.advance(u64::from(retry_ms) / 2);
    let third = bob.sealed(3, "three");
    alice.link().says(&[third]).await;
    let (refusal, left_ms) = alice.is_refused(3).await;
    assert_eq!(refusal, Refusal::AfterRefusal);
    assert_eq!(left_ms, retry_ms - retry_ms / 2, "what is left of it");
    let _world = world.goes_over().await;
    for (counter, text) in [(2, "two"), (3, "three")] {
        clock.advance(1_000);
        let again = bob.sealed(counter, text);
        alice.link().says(&[again]).await;
        alice.sees_tick(counter).await;
        bob.receives(text, &alice).await;
    }
}

/// What a session says of its stage.
async fn stage(world: &World, handle: &'static str) -> String {
    let data = world.data.path().to_owned();
    let asks = move || ask(&data, &Question::Session { id: handle.to_owned() }).unwrap();
    let rows = tokio::task::spawn_blocking(asks).await.unwrap();
    rows.pointer("/0/session/says/stage").unwrap().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_read_is_not_read_elsewhere_either_until_its_time() {
    const COPIES: u32 = 4;
    const LONGER_S: u32 = 600;
    let (world, clock) = strict_world().await;
    let mut alice = world.joins("alice").await;
    let mut others = Vec::new();
    for number in 0..COPIES {
        others.push(world.joins(&format!("bob{number}")).await);
    }
    // The first one owes for four seconds. Then one refusal more than nobody is blamed for.
    let recipients = others.iter().map(|bob| match bob.sealed(1, "for all") {
        ToServer::Submit(submit) => submit.recipients[0].clone(),
        other => panic!("{other:?}"),
    });
    let first = v1::Submit { counter: 1, recipients: recipients.collect(), group: None };
    alice.link().says(&[first.into()]).await;
    for counter in 2..=2 * u64::from(IN_FLIGHT_MAX) + 2 {
        let deaf = others[0].sealed(counter, "deaf");
        alice.link().says(&[deaf]).await;
    }
    let node = Arc::clone(&world.server.node);
    while node.meters.holds.get() == 0 {
        tokio::task::yield_now().await;
    }
    alice.link().says(&[v1::TermsRequest { request: 1 }.into()]).await;
    let (mut frozen, thawing) = world.freezes().await;
    let now_s = node.now_s();
    let mut all = frozen.sessions.iter_mut().map(|one| &mut **one.record);
    let held = all.find(|record| record.heard_s > now_s).unwrap();
    assert_eq!(held.heard_s, now_s + COPIES);
    // As if it were held so long that no machine is slow enough to miss it.
    held.heard_s = now_s + LONGER_S;
    let world = thawing.thaws(frozen).await;
    assert_eq!(stage(&world, "alice").await, "held");
    assert_eq!(stage(&world, "bob0").await, "open");
    let seat = world.server.node.registry.by_device(device(&alice)).unwrap();
    assert_eq!(seat.heard_s(), now_s + LONGER_S, "the sweep does not take it for silent");
    drop(seat);
    // Her time passes, and wherever she comes next she is read at once.
    clock.advance(u64::from(LONGER_S) * 1_000);
    let world = world.goes_over().await;
    while !matches!(alice.link().hears().await, ToClient::Terms(_)) {}
    assert_eq!(stage(&world, "alice").await, "open");
}
