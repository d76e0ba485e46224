//! The tick is a statement about the disk.

use std::sync::Arc;
use std::time::Duration;

use godwit_base::ManualClock;
use godwit_wire::{Refusal, ToClient, v1};
use tokio::time::timeout;

use super::disk::TestDisk;
use super::link::Link;
use super::world::World;

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

async fn world_on(disk: &TestDisk) -> World {
    World::with(|setup| setup.disk = Arc::new(disk.clone())).await
}

#[tokio::test]
async fn no_tick_and_no_delivery_before_the_sync() {
    let disk = TestDisk::default();
    let world = world_on(&disk).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    disk.stalls();
    let counter = alice.sends("hi").to(&bob).await;
    disk.is_waited_for().await;
    // The record is written and its sync waits. The server answers other questions all the while:
    // if the tick were not bound to the sync it would have come before these.
    for _ in 0..3 {
        for person in [&mut alice, &mut bob] {
            let request = person.request();
            person.link().says(&[v1::TermsRequest { request }.into()]).await;
            let answer = person.link().hears().await;
            assert!(matches!(answer, ToClient::Terms(_)), "{answer:?}");
        }
    }
    disk.goes_on();
    alice.sees_tick(counter).await;
    bob.receives("hi", &alice).await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_heals_without_a_restart() {
    let disk = TestDisk::default();
    let world = world_on(&disk).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let first = alice.sends("before").to(&bob).await;
    alice.sees_tick(first).await;
    let before = bob.receives("before", &alice).await;
    disk.has_free(1_024);
    let second = alice.sends("when full").to(&bob).await;
    let (refusal, retry_after_ms) = alice.is_refused(second).await;
    assert_eq!(refusal, Refusal::DiskFull);
    assert!(retry_after_ms > 0);
    // Later messages wait for the refused one, so that order is kept.
    let third = alice.sends("after").to(&bob).await;
    assert_eq!(alice.is_refused(third).await.0, Refusal::AfterRefusal);
    // Acknowledgements free space and go on.
    bob.acknowledges(&before).await;
    alice.sees_delivered(&bob, first).await;
    disk.has_free(u64::MAX);
    for (counter, text) in [(second, "when full"), (third, "after")] {
        let again = bob.sealed(counter, text);
        alice.link().says(&[again]).await;
        alice.sees_tick(counter).await;
        bob.receives(text, &alice).await;
    }
}

/// The disk said no to what it had written. The message is in bob's mailbox, he was never told, and
/// his acknowledgement of the next one would delete it.
#[tokio::test]
async fn what_a_failed_sync_left_on_the_disk_is_delivered_before_what_follows() {
    let disk = TestDisk::default();
    let world = world_on(&disk).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    disk.fails_once();
    let first = alice.sends("one").to(&bob).await;
    assert_eq!(alice.is_refused(first).await.0, Refusal::Unavailable);
    let again = bob.sealed(first, "one");
    alice.link().says(&[again]).await;
    alice.sees_tick(first).await;
    let second = alice.sends("two").to(&bob).await;
    alice.sees_tick(second).await;
    bob.receives("one", &alice).await;
    let last = bob.receives("two", &alice).await;
    bob.acknowledges(&last).await;
    alice.sees_delivered(&bob, second).await;
}

#[tokio::test]
async fn a_clock_wrong_by_a_year_keeps_order_and_loses_nothing() {
    let clock = ManualClock::at(1_800_000_000_000);
    let shown = clock.clone();
    let world = World::with(move |setup| setup.clock = Arc::new(shown)).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    type Leap = fn(&ManualClock);
    let leaps: [(&str, Leap); 4] = [
        ("now", |_| {}),
        ("a year ahead", |clock| clock.advance(YEAR_MS)),
        ("a year back", |clock| clock.set(1_800_000_000_000 - YEAR_MS)),
        ("right again", |clock| clock.set(1_800_000_000_000)),
    ];
    for (text, leap) in leaps {
        leap(&clock);
        let counter = alice.sends(text).to(&bob).await;
        alice.sees_tick(counter).await;
    }
    let waiting = bob.comes_back().await;
    let texts: Vec<_> = waiting
        .iter()
        .map(|message| match message {
            ToClient::Deliver(deliver) => String::from_utf8_lossy(&deliver.body).into_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, leaps.map(|(text, _)| text));
}

#[tokio::test]
async fn a_ticket_from_before_a_leap_of_the_clock_is_refused_and_the_full_handshake_works() {
    let clock = ManualClock::at(1_800_000_000_000);
    let shown = clock.clone();
    let world = World::with(move |setup| setup.clock = Arc::new(shown)).await;
    let mut alice = world.joins("alice").await;
    let ticket = godwit_link::Ticket::from_welcome(&alice.link().welcome.ticket).unwrap();
    assert!(Link::resume(&world.join, &ticket).await.is_ok());
    clock.advance(YEAR_MS);
    let refused = Link::resume(&world.join, &ticket).await.err().unwrap();
    assert_eq!(refused, super::link::NoLink::Refused(Refusal::BadTicket, 0));
    assert!(alice.comes_back().await.is_empty());
}

#[tokio::test]
async fn a_repeated_submission_ticks_again_and_is_shown_once() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let counter = alice.sends("once").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("once", &alice).await;
    alice.comes_back().await;
    let again = bob.sealed(counter, "once");
    alice.link().says(&[again.clone(), again]).await;
    alice.sees_tick(counter).await;
    alice.sees_tick(counter).await;
    let next = alice.sends("next").to(&bob).await;
    alice.sees_tick(next).await;
    bob.receives("next", &alice).await;
}

#[tokio::test]
async fn what_was_ticked_survives_a_server_that_is_dropped_without_a_word() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    let counter = alice.sends("hold on").to(&bob).await;
    alice.sees_tick(counter).await;
    let copy = tempfile::TempDir::new().unwrap();
    // The files as they are at this moment are what a power cut would leave at worst.
    for (from, to) in [("server.key", "server.key"), ("store", "store")] {
        let (from, to) = (world.data.path().join(from), copy.path().join(to));
        copy_all(&from, &to);
    }
    let after = World::on(copy, |_| {}).await;
    bob.join = after.join.clone();
    let waiting = timeout(Duration::from_secs(30), bob.comes_back()).await.unwrap();
    assert_eq!(waiting.len(), 1);
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}
