//! One session never harms another; a device has one; a server that goes down says so.

use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::link::Heard;
use super::world::World;

#[tokio::test]
async fn the_newer_session_of_a_device_displaces_the_older() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let mut older = bob.link.take().unwrap();
    bob.comes_back().await;
    assert_eq!(older.hears_goodbye().await, (Refusal::Displaced, 0));
    let counter = alice.sends("to the newer").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("to the newer", &alice).await;
}

/// What a client said on a link that it has given up may come after it has a new one.
#[tokio::test]
async fn an_older_link_that_attaches_late_displaces_nobody_and_is_closed() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.dials().await.unwrap();
    let mut given_up = bob.link.take().unwrap();
    bob.comes_back().await;
    given_up.says(&[v1::Attach {}.into()]).await;
    assert_eq!(given_up.hears_goodbye().await, (Refusal::Displaced, 0));
    let counter = alice.sends("to the newer").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("to the newer", &alice).await;
}

#[tokio::test]
async fn a_link_without_attach_displaces_nobody() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let attached = bob.link.take().unwrap();
    bob.dials().await.unwrap();
    let idle = bob.link.replace(attached).unwrap();
    let counter = alice.sends("to the attached").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("to the attached", &alice).await;
    drop(idle);
}

#[tokio::test]
async fn who_reads_slowly_stops_nobody_and_misses_nothing() {
    let world = World::with(|setup| {
        setup.config.session.unsent_behind_bytes = 70_000;
    })
    .await;
    let mut alice = world.joins("alice").await;
    let (mut slow, mut quick) = (world.joins("slow").await, world.joins("quick").await);
    // 8 MB for somebody who does not read: far above what the sockets, the inbox and the unsent
    // bytes may hold.
    let text = "z".repeat(40_000);
    for n in 1..=200 {
        let counter = alice.sends(&format!("{n} {text}")).to(&slow).await;
        alice.sees_tick(counter).await;
        if n % 50 == 0 {
            let counter = alice.sends("you there").to(&quick).await;
            alice.sees_tick(counter).await;
            quick.receives("you there", &alice).await;
        }
    }
    for n in 1..=200 {
        slow.receives(&format!("{n} {text}"), &alice).await;
    }
    let counter = alice.sends("live again").to(&slow).await;
    alice.sees_tick(counter).await;
    slow.receives("live again", &alice).await;
}

#[tokio::test]
async fn a_thousand_messages_drain_in_order_while_more_arrive() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    let mut sent = 0;
    while sent < 1_000 {
        let batch: Vec<ToServer> =
            (sent + 1..=sent + 100).map(|n| bob.sealed(n, &format!("line {n}"))).collect();
        alice.link().says(&batch).await;
        for n in sent + 1..=sent + 100 {
            alice.sees_tick(n).await;
        }
        sent += 100;
    }
    bob.dials().await.unwrap();
    bob.link().says(&[v1::Attach {}.into()]).await;
    let more: Vec<ToServer> =
        (1_001..=1_100).map(|n| bob.sealed(n, &format!("line {n}"))).collect();
    alice.link().says(&more).await;
    let mut next = 1;
    let mut caught_up = 0;
    while next <= 1_100 {
        match bob.link().hears().await {
            ToClient::CaughtUp(_) => caught_up += 1,
            ToClient::Deliver(deliver) => {
                assert_eq!(deliver.counter, next);
                next += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    if caught_up == 0 {
        assert!(matches!(bob.link().hears().await, ToClient::CaughtUp(_)));
    }
}

#[tokio::test]
async fn a_server_that_goes_down_says_when_to_come_back() {
    let world = World::with(|setup| setup.config.drain.reconnect_spread_ms = 3_000).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let counter = alice.sends("last words").to(&bob).await;
    let stopped = tokio::spawn(world.stops());
    // Everything that was taken is settled before the goodbye or comes again; nobody just vanishes.
    let mut ticked = false;
    let delay_ms = loop {
        match alice.link().next().await {
            Heard::Message(ToClient::Accepted(accepted)) => {
                ticked = accepted.counter == counter;
            }
            Heard::Message(ToClient::Goodbye(goodbye)) => {
                assert_eq!(goodbye.code, u32::from(Refusal::Draining.number()));
                break goodbye.reconnect_after_ms;
            }
            other => panic!("{other:?}"),
        }
    };
    assert!((1..=3_000).contains(&delay_ms), "{delay_ms}");
    alice.hangs_up();
    assert_eq!(bob.link().hears_goodbye().await.0, Refusal::Draining);
    bob.hangs_up();
    let data = stopped.await.unwrap();
    let world = World::on(data, |_| {}).await;
    (alice.join, bob.join) = (world.join.clone(), world.join.clone());
    alice.comes_back().await;
    if !ticked {
        alice.link().says(&[bob.sealed(counter, "last words")]).await;
        alice.sees_tick(counter).await;
    }
    let mut waiting = bob.comes_back().await;
    if waiting.is_empty() {
        waiting.push(bob.link().hears().await);
    }
    assert_eq!(waiting.len(), 1, "{waiting:?}");
}
