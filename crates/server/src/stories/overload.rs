//! More than the server takes: who is told what, and that nothing is lost of what was taken.

use std::sync::Arc;

use godwit_base::ManualClock;
use godwit_link::{StaticKey, Ticket};
use godwit_store::{Submission, Token};
use godwit_wire::Refusal;
use tokio::task::JoinSet;

use super::device;
use super::disk::TestDisk;
use super::link::{Link, NoLink};
use super::world::World;
use crate::door::COME_AGAIN;
use crate::session::SUBMIT_AGAIN;

/// Whom no session answers to.
const NOBODY: Token = Token(u64::MAX);

#[tokio::test]
async fn a_full_queue_gives_each_session_a_time_of_its_own_and_loses_nothing() {
    let (disk, clock) = (TestDisk::default(), ManualClock::at(1_800_000_000_000));
    let world = World::with(|setup| {
        setup.disk = Arc::new(disk.clone());
        setup.clock = Arc::new(clock); // it stands still: each next time is later than the one before
    })
    .await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let origin = device(&world.joins("carol").await);
    disk.stalls();
    let held = alice.sends("held").to(&bob).await;
    disk.is_waited_for().await;
    let filling =
        |counter| Submission { origin, counter, recipients: Vec::new(), post: None, token: NOBODY };
    (1..).take_while(|counter| world.server.node.store.submit(filling(*counter)).is_ok()).count();
    let first_ms = SUBMIT_AGAIN.first_ms;
    let late = alice.sends("late").to(&bob).await;
    assert_eq!(alice.is_refused(late).await, (Refusal::Busy, first_ms));
    let from_bob = bob.sends("late too").to(&alice).await;
    assert_eq!(bob.is_refused(from_bob).await, (Refusal::Busy, first_ms + 1));

    disk.goes_on();
    alice.sees_tick(held).await;
    bob.receives("held", &alice).await;
    // The writer tells of a batch before it takes the next: room is there when one more finds it.
    while world.server.node.store.submit(filling(u64::MAX)).is_err() {
        tokio::task::yield_now().await;
    }
    alice.link().says(&[bob.sealed(late, "late")]).await;
    alice.sees_tick(late).await;
    bob.receives("late", &alice).await;
}

#[tokio::test]
async fn when_full_handshakes_wait_a_ticket_still_comes_in() {
    let world = World::with(|setup| setup.config.session.handshakes_max = 4).await;
    let mut alice = world.joins("alice").await;
    let ticket = Ticket::from_welcome(&alice.link().welcome.ticket).unwrap();
    let node = Arc::clone(&world.server.node);
    let stopped = node.line.stop().await;
    let mut dialling = JoinSet::new();
    for _ in 0..4 {
        let (join, key) = (world.join.clone(), StaticKey::generate().unwrap());
        dialling.spawn(async move { Link::dial(&join, &key).await.map(drop) });
    }
    // Three of four places are for them; the others wait, so the one that is answered is the fourth.
    let refused = dialling.join_next().await.unwrap().unwrap().unwrap_err();
    let NoLink::Refused(Refusal::Busy, retry_after_ms) = refused else { panic!("{refused:?}") };
    assert!(retry_after_ms >= COME_AGAIN.first_ms, "{retry_after_ms}");
    let join = world.join.clone();
    let resuming = tokio::spawn(async move { Link::resume(&join, &ticket).await.map(drop) });
    drop(stopped);
    while let Some(dialled) = dialling.join_next().await {
        dialled.unwrap().unwrap();
    }
    resuming.await.unwrap().unwrap();
}
