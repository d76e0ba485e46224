//! Stories that need a hand inside the server: panics, quarantine, removed devices, silence. The
//! client is the one of `tests/socket`.

mod handover;
mod presence;

#[path = "../tests/socket/disk.rs"]
#[allow(dead_code, reason = "shared with the stories that need no hand inside")]
mod disk;
#[path = "../tests/socket/link.rs"]
#[allow(dead_code, reason = "shared with the stories that need no hand inside")]
mod link;
mod media;
mod overload;
#[path = "../tests/socket/person.rs"]
#[allow(dead_code, reason = "shared with the stories that need no hand inside")]
mod person;
mod upkeep;
mod watchdog;
#[path = "../tests/socket/world.rs"]
#[allow(dead_code, reason = "shared with the stories that need no hand inside")]
mod world;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Wake};

use godwit_actor::Exit;
use godwit_base::{DeviceId, DeviceNumber, ManualClock};
use godwit_store::{DeviceList, FirstKeys, Invite, KeyUpload, Publisher, Store};
use godwit_wire::{Refusal, ToClient, v1};

use crate::Event;
use crate::node::{CLAIMS_PER_HOUR, GROUP_READS_PER_HOUR, RENDEZVOUS_PER_HOUR};
use crate::registry::SHARDS;
use crate::seat::Word;
use crate::session::{Asker, sweep};
use link::NoLink;
use person::Person;
use tokio::sync::Notify;
use world::World;

/// Keys for a device that is new on a list.
fn first_keys(number: u32) -> Vec<FirstKeys> {
    let keys = KeyUpload { one_time: Vec::new(), fallback: Some("first fallback".into()) };
    vec![(DeviceNumber(number), keys)]
}

fn device(person: &Person) -> DeviceId {
    DeviceId { account: person.account(), number: DeviceNumber(1) }
}

impl World {
    /// The session of this device panics in its next turn.
    fn panics(&self, person: &Person) {
        let seat = self.server.node.registry.by_device(device(person)).unwrap();
        seat.tell(Word::Panic);
    }

    /// Waits until who was sent home may come back: not before every session is.
    async fn lets_in_again(&self) {
        self.server.node.watch_draining().wait_for(|draining| !draining).await.unwrap();
    }
}

/// The link is gone without a word.
async fn is_cut_off(person: &mut Person) {
    assert_eq!(person.link().next().await, link::Heard::Closed);
    person.hangs_up();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_session_and_loses_nothing() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let mut bob = world.joins("bob").await;
    let mut victims = Vec::new();
    for n in 0..20 {
        victims.push(world.joins(&format!("victim{n}")).await);
    }
    for (round, victim) in (1..).zip(&mut victims) {
        let counter = alice.sends(&format!("for victim {round}")).to(victim).await;
        alice.sees_tick(counter).await;
        world.panics(victim);
        let counter = alice.sends(&format!("round {round}")).to(&bob).await;
        alice.sees_tick(counter).await;
        bob.receives(&format!("round {round}"), &alice).await;
    }
    for (round, victim) in (1..).zip(&mut victims) {
        while victim.link().next().await != link::Heard::Closed {}
        let waiting = victim.comes_back().await;
        assert_eq!(waiting.len(), 1, "not acknowledged, so it comes again");
        let text = format!("for victim {round}");
        person::is_text(waiting.into_iter().next().unwrap(), &text, &alice);
    }
    assert_eq!(world.server.node.meters.session_panics.get(), 20);
    assert_eq!(world.server.node.registry.live(), 22);
    assert_eq!(world.server.tree().restarts, 0);
}

/// Strangers have a rate by address; loopback, where these stories come from, has none.
#[tokio::test]
async fn an_address_claims_and_opens_rendezvous_so_often_an_hour() {
    let world = World::new().await;
    let node = &world.server.node;
    let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([198, 51, 100, 1]));
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let opens = |address| node.allow_rendezvous(Asker::Address(address));
    for _ in 0..CLAIMS_PER_HOUR {
        assert_eq!(node.allow_claim(one), Ok(()));
    }
    for _ in 0..RENDEZVOUS_PER_HOUR {
        assert_eq!(opens(one), Ok(()));
    }
    let (claim_ms, open_ms) = (node.allow_claim(one).unwrap_err(), opens(one).unwrap_err());
    assert!(claim_ms <= 3_600_000 / CLAIMS_PER_HOUR && claim_ms > open_ms, "{claim_ms} {open_ms}");
    assert!(open_ms > 0, "{open_ms}");
    assert_eq!((node.allow_claim(other), opens(other)), (Ok(()), Ok(())), "another's rate");
    for _ in 0..=RENDEZVOUS_PER_HOUR {
        assert_eq!((node.allow_claim(loopback), opens(loopback)), (Ok(()), Ok(())));
    }
}

/// Of two accounts each has its own rate.
#[tokio::test]
async fn an_account_says_so_often_an_hour_what_it_has_read() {
    let clock = ManualClock::at(1_700_000_000_000);
    let world = World::with(|setup| setup.clock = Arc::new(clock.clone())).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    for _ in 1..GROUP_READS_PER_HOUR {
        assert_eq!(world.server.node.allow_group_read(alice.account()), Ok(()));
    }
    let says = async |by: &mut Person| {
        let request = by.request();
        let marks = vec![v1::PostRead { account: 1, device: 1, up_to: 1 }];
        let read = v1::GroupRead { request, group: vec![9; 16].into(), marks };
        by.link().says(&[read.into()]).await;
        match by.link().hears().await {
            ToClient::GroupReadTaken(taken) if taken.request == request => None,
            ToClient::Refused(refused) if refused.request == request => {
                Some((Refusal::from_number(refused.code), refused.retry_after_ms))
            }
            other => panic!("{other:?}"),
        }
    };
    let each_ms = 3_600_000 / GROUP_READS_PER_HOUR;
    assert_eq!(says(&mut alice).await, None, "the last");
    assert_eq!(says(&mut alice).await, Some((Some(Refusal::RateLimited), each_ms)));
    assert_eq!(says(&mut bob).await, None);
    clock.advance(each_ms.into());
    assert_eq!(says(&mut alice).await, None);
    assert_eq!(says(&mut alice).await, Some((Some(Refusal::RateLimited), each_ms)));
}

#[tokio::test]
async fn three_panics_in_a_minute_and_the_device_waits_outside() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    for _ in 0..2 {
        world.panics(&alice);
        is_cut_off(&mut alice).await;
        alice.comes_back().await;
    }
    world.panics(&alice);
    is_cut_off(&mut alice).await;
    let Err(NoLink::Refused(refusal, wait_ms)) = alice.dials().await else {
        panic!("a quarantined device came in")
    };
    assert_eq!(refusal, Refusal::Quarantined);
    assert!((1..=60_000).contains(&wait_ms), "{wait_ms}");
    bob.comes_back().await;
}

#[tokio::test]
async fn a_device_removed_after_its_welcome_does_nothing_more() {
    let world = World::new().await;
    let mut bob = world.joins("bob").await;
    bob.hangs_up();
    let mut links = Vec::new();
    for _ in 0..2 {
        let welcome = bob.dials().await.unwrap();
        assert_eq!(welcome.standing, i32::from(v1::Standing::Device));
        links.push(bob.link.take().unwrap());
    }
    let store = &world.server.node.store;
    let successor = DeviceList {
        version: 2,
        signed: "list of bob, second".into(),
        devices: vec![(DeviceNumber(2), [9; 32])],
    };
    // By a hand inside: neither link has attached, so nobody could tell their sessions.
    store.replace_list(Publisher::Device(device(&bob)), successor, first_keys(2)).await.unwrap();
    let fetch = v1::Fetch {
        request: 1,
        who: Some(v1::fetch::Who::Account(bob.account().0)),
        keys: true,
        devices: Vec::new(),
    };
    for (mut link, message) in links.into_iter().zip([v1::Attach {}.into(), fetch.into()]) {
        link.says(&[message]).await;
        assert_eq!(link.hears_goodbye().await, (Refusal::DeviceRevoked, 0));
    }
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_closed_and_who_speaks_is_not() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let node = &world.server.node;
    let limit_s = node.config.link.keepalive_s * 5 / 2;
    let sweep_at = |now_s| (0..SHARDS).map(|round| sweep(node, round, now_s)).sum::<usize>();
    node.registry.by_device(device(&alice)).unwrap().heard(1_000);
    node.registry.by_device(device(&bob)).unwrap().heard(1_001);
    assert_eq!(sweep_at(1_000 + limit_s), 0);
    assert!(sweep_at(1_001 + limit_s) > 0);
    let (refusal, reconnect_after_ms) = alice.link().hears_goodbye().await;
    assert_eq!(refusal, Refusal::TooSlow);
    assert!(reconnect_after_ms > 0, "it may come back");
    bob.link().pipe.send(&[0, 0]).await;
    assert_eq!(bob.link().next().await, link::Heard::Keepalive);
}

/// It is closed when it was silent for its own interval and what a pass and a slow network take; what it may
/// choose is bounded.
#[tokio::test]
async fn a_client_may_be_quiet_for_longer_than_the_server_asks() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let node = &world.server.node;
    let grace_s = node.config.link.keepalive_s * 3 / 2;
    let most_s = node.config.link.longest_keepalive_s();
    assert!(most_s > node.config.link.keepalive_s);
    for (peer, seconds) in [(&mut alice, most_s - 1), (&mut bob, u32::MAX)] {
        let message = v1::KeepaliveInterval { seconds }.into();
        peer.link().says(&[message, v1::TermsRequest { request: 7 }.into()]).await;
        peer.link().hears().await;
        node.registry.by_device(device(peer)).unwrap().heard(1_000);
    }
    let sweep_at = |now_s| (0..SHARDS).map(|round| sweep(node, round, now_s)).sum::<usize>();
    assert_eq!(sweep_at(1_000 + most_s - 1 + grace_s), 0);
    assert!(sweep_at(1_000 + most_s + grace_s) > 0);
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::TooSlow);
    bob.link().says(&[v1::TermsRequest { request: 8 }.into()]).await;
    bob.link().hears().await;
    node.registry.by_device(device(&bob)).unwrap().heard(1_000);
    assert!(sweep_at(1_001 + most_s + grace_s) > 0, "Bob's was cut to the longest");
    assert_eq!(bob.link().hears_goodbye().await.0, Refusal::TooSlow);
}

/// A server whose own sweep has no session look for half an hour.
async fn undisturbed() -> World {
    World::with(|setup| setup.config.link.keepalive_s = 3_600).await
}

#[tokio::test]
async fn a_keepalive_wakes_nobody_and_the_sweep_answers_it() {
    let world = undisturbed().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let node = &world.server.node;
    let bytes_in = || node.meters.bytes_in.get();
    // What one question of Alice's takes; the same again after Bob's keepalive, which has come by then.
    let before = bytes_in();
    alice.link().says(&[v1::TermsRequest { request: 1 }.into()]).await;
    alice.link().hears().await;
    let question_bytes = bytes_in() - before;
    bob.link().pipe.send(&[0]).await;
    alice.link().says(&[v1::TermsRequest { request: 2 }.into()]).await;
    alice.link().hears().await;
    assert_eq!(bytes_in() - before, 2 * question_bytes, "Bob's session sleeps on");
    let quiet_s = node.config.link.keepalive_s / 2;
    let sweep_in = |seconds| {
        let now_s = node.now_s() + seconds;
        (0..SHARDS).map(|round| sweep(node, round, now_s)).sum::<usize>()
    };
    assert_eq!(sweep_in(quiet_s + 1), 0, "nobody is silent yet");
    assert_eq!(bob.link().next().await, link::Heard::Keepalive);
    assert_eq!(bytes_in() - before, 2 * question_bytes + 1);
    // Two at once are answered at once.
    bob.link().pipe.send(&[0, 0]).await;
    assert_eq!(bob.link().next().await, link::Heard::Keepalive);
}

#[tokio::test]
async fn the_last_byte_of_a_frame_may_come_alone() {
    let world = undisturbed().await;
    let mut alice = world.joins("alice").await;
    let bytes_in = || world.server.node.meters.bytes_in.get();
    for (request, cut) in [(1, 1), (2, 2), (3, 1)] {
        let frame = alice.link().frame(&[v1::TermsRequest { request }.into()]);
        let (head, tail) = frame.split_at(frame.len() - cut);
        let before = bytes_in();
        alice.link().pipe.send(head).await;
        while bytes_in() - before < head.len() as u64 {
            tokio::task::yield_now().await; // until the session has taken the rest
        }
        for byte in tail {
            alice.link().pipe.send(&[*byte]).await;
        }
        let ToClient::Terms(terms) = alice.link().hears().await else { panic!() };
        assert_eq!(terms.request, request);
    }
}

/// Whoever waits for an answer of the store panics in the writer's own thread, which ends by it.
#[derive(Default)]
struct Poison(Notify);

impl Wake for Poison {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
        panic!("a test asked the store's writer to panic");
    }
}

/// Ends the writer's thread, once there is one.
async fn kills_writer(store: &dyn Store) {
    let poison = Arc::new(Poison::default());
    let waker = Arc::clone(&poison).into();
    let invite = Invite { code: "poisoned".to_owned(), uses_left: 1, expires_ms: u64::MAX };
    let mut answer = store.put_invite(invite.clone());
    while answer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        // The disk was faster than this line: once more.
        answer = store.put_invite(invite.clone());
        tokio::task::yield_now().await;
    }
    poison.0.notified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_ends_is_started_again_and_nothing_is_lost() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let counter = alice.sends("before").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("before", &alice).await;
    kills_writer(world.server.node.store.as_ref()).await;
    for person in [&mut alice, &mut bob] {
        assert_eq!(person.link().hears_goodbye().await.0, Refusal::Draining);
        person.hangs_up();
    }
    world.lets_in_again().await;
    alice.comes_back().await;
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), 1, "not acknowledged, so it comes again");
    let counter = alice.sends("after").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("after", &alice).await;
    let tree = world.server.tree();
    assert_eq!((tree.children[0].name.as_str(), tree.children[0].restarts), ("store", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_never_stays_up_ends_the_server_which_says_why() {
    let mut world = World::new().await;
    let store = Arc::clone(&world.server.node.store);
    let killer = tokio::spawn(async move {
        loop {
            kills_writer(store.as_ref()).await;
        }
    });
    let Event::Ended(exit) = world.server.next().await else { panic!("nobody asked for it") };
    killer.abort();
    let Exit::Failed(why) = exit else { panic!("{exit}") };
    assert!(why.starts_with("store failed: the store's writer ended"), "{why}");
    assert!(why.ends_with("3 restarts in 60 s were not enough"), "{why}");
}

#[tokio::test]
async fn who_waits_at_a_rendezvous_hears_that_it_is_over() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let waits = |request, sequence| v1::Relay {
        request,
        rendezvous: bytes::Bytes::from_static(&[7; 16]),
        side: v1::RelaySide::Present.into(),
        sequence,
        body: bytes::Bytes::new(),
    };
    // Answers come as they are ready; the terms come after the request that waits.
    let terms = v1::TermsRequest { request: 2 };
    alice.link().says(&[waits(1, 1).into(), terms.into()]).await;
    assert!(matches!(alice.link().hears().await, ToClient::Terms(_)));
    let node = &world.server.node;
    node.relay.expire(node.now_ns() + crate::relay::RENDEZVOUS_NS);
    let ToClient::Refused(refused) = alice.link().hears().await else { panic!() };
    let expired = u32::from(Refusal::RelayExpired.number());
    assert_eq!((refused.request, refused.code), (1, expired));
}
