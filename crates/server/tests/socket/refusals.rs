//! Every no that a well-behaved client may hear, with its number.

use std::sync::Arc;

use godwit_base::{AccountId, ManualClock};
use godwit_link::StaticKey;
use godwit_server::config::Policy;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::person::Person;
use super::world::World;

/// What the server says to one message that is a request.
async fn answer(person: &mut Person, message: impl Into<ToServer>) -> Result<ToClient, Refusal> {
    person.link().says(&[message.into()]).await;
    match person.link().hears().await {
        ToClient::Refused(refused) => Err(Refusal::from_number(refused.code).unwrap()),
        other => Ok(other),
    }
}

async fn fetch(person: &mut Person, handle: &str, keys: bool) -> Result<v1::Bundles, Refusal> {
    let request = person.request();
    let who = Some(v1::fetch::Who::Handle(handle.into()));
    let fetch = v1::Fetch { request, who, keys, devices: Vec::new() };
    answer(person, fetch).await.map(|message| match message {
        ToClient::Bundles(bundles) => {
            assert_eq!(bundles.request, request);
            bundles
        }
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn a_stranger_may_register_and_ask_for_the_terms_and_nothing_else() {
    let world = World::new().await;
    let bob = world.joins("bob").await;
    let mut eve = Person::new(&world.join, "eve");
    let welcome = eve.dials().await.unwrap();
    assert_eq!(welcome.standing, i32::from(v1::Standing::Stranger));
    let terms = answer(&mut eve, v1::TermsRequest { request: 1 }).await.unwrap();
    let ToClient::Terms(terms) = terms else { panic!("{terms:?}") };
    assert_eq!(terms.admission, i32::from(v1::Admission::Open));
    assert_eq!(fetch(&mut eve, "bob", true).await, Err(Refusal::NotRegistered));
    let keys = v1::PublishKeys { request: 9, keys: Some(v1::KeyUpload::default()) };
    assert_eq!(answer(&mut eve, keys).await, Err(Refusal::NotRegistered));
    let counter = eve.sends("psst").to(&bob).await;
    assert_eq!(eve.is_refused(counter).await, (Refusal::NotRegistered, 0));
    eve.link().says(&[v1::Attach {}.into()]).await;
    assert_eq!(eve.link().hears_goodbye().await.0, Refusal::NotRegistered);
}

#[tokio::test]
async fn a_device_attaches_before_it_submits_or_acknowledges() {
    let world = World::new().await;
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    let welcome = alice.dials().await.unwrap();
    assert_eq!(welcome.standing, i32::from(v1::Standing::Device));
    assert_eq!((welcome.account, welcome.device), (alice.account().0, 1));
    let counter = alice.sends("too soon").to(&bob).await;
    assert_eq!(alice.is_refused(counter).await, (Refusal::NotAttached, 0));
    alice.link().says(&[v1::Ack { up_to: 1 }.into()]).await;
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::NotAttached);
}

#[tokio::test]
async fn a_handle_is_one_persons() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let mut other = Person::new(&world.join, "alice");
    other.dials().await.unwrap();
    assert_eq!(other.registers().await, Err(Refusal::HandleTaken));
    other.handle = "Alice".into();
    assert_eq!(other.registers().await, Err(Refusal::HandleInvalid));
    other.handle = "alice2".into();
    let mut stolen = other.registration();
    stolen.account_key = bytes::Bytes::copy_from_slice(&alice.account_key);
    assert_eq!(other.registers_as(stolen).await, Err(Refusal::AccountTaken));
    let mut unproven = other.registration();
    let key = StaticKey::generate().unwrap().public().0;
    unproven.list.as_mut().unwrap().devices[0].link_key = bytes::Bytes::copy_from_slice(&key);
    assert_eq!(other.registers_as(unproven).await, Err(Refusal::Malformed));
    let mut keyless = other.registration();
    keyless.keys.as_mut().unwrap().fallback.clear();
    assert_eq!(other.registers_as(keyless).await, Err(Refusal::Malformed));
    assert_eq!(other.registers().await.unwrap().account, other.account().0);
    assert_eq!(alice.registers().await, Err(Refusal::AlreadyRegistered));
}

#[tokio::test]
async fn an_unknown_handle_and_an_unknown_account_are_said_to_be_so() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    assert_eq!(fetch(&mut alice, "nobody", true).await, Err(Refusal::UnknownAccount));
    assert_eq!(fetch(&mut alice, "No Body!", true).await, Err(Refusal::UnknownAccount));
    let ghost = Person::new(&world.join, "ghost");
    let counter = alice.sends("anybody?").to(&ghost).await;
    assert_eq!(alice.is_refused(counter).await, (Refusal::UnknownAccount, 0));
    // A final refusal holds nobody up.
    let bob = world.joins("bob").await;
    let counter = alice.sends("bob?").to(&bob).await;
    alice.sees_tick(counter).await;
}

#[tokio::test]
async fn keys_are_given_once_and_then_the_fallback() {
    let world = World::with(|setup| {
        setup.config.rate.key_fetches_per_account_per_hour = 2;
    })
    .await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let looked = fetch(&mut alice, "bob", false).await.unwrap();
    assert_eq!(looked.account, bob.account().0);
    assert_eq!(looked.signed_list, "list of bob");
    assert!(looked.devices.is_empty(), "nothing is taken without being asked for");
    let one_time = |bundles: v1::Bundles| {
        assert_eq!(bundles.devices[0].fallback, "fallback");
        String::from_utf8_lossy(&bundles.devices[0].one_time).into_owned()
    };
    let first = one_time(fetch(&mut alice, "bob", true).await.unwrap());
    let second = one_time(fetch(&mut alice, "bob", true).await.unwrap());
    assert!(!first.is_empty() && !second.is_empty() && first != second, "{first} {second}");
    assert_eq!(one_time(fetch(&mut alice, "bob", true).await.unwrap()), "", "beyond the rate");
    let mut carol = world.joins("carol").await;
    let third = one_time(fetch(&mut carol, "bob", true).await.unwrap());
    assert!(!third.is_empty(), "somebody else's rate");
    bob.dials().await.unwrap();
    bob.link().says(&[v1::Attach {}.into()]).await;
    assert_eq!(bob.link().hears().await, v1::CaughtUp { one_time_left: 0 }.into());
    let key = v1::OneTimeKey { id: 9, signed: "key 9".into() };
    let keys = Some(v1::KeyUpload { one_time: vec![key], fallback: bytes::Bytes::new() });
    let published = answer(&mut bob, v1::PublishKeys { request: 5, keys }).await;
    assert_eq!(published, Ok(v1::KeysPublished { request: 5, one_time_left: 1 }.into()));
}

#[tokio::test]
async fn a_stale_device_list_is_refused_with_the_right_one() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let ToServer::Submit(mut stale) = bob.sealed(1, "hi") else { unreachable!() };
    stale.recipients[0].copies[0].device = 2;
    alice.link().says(&[stale.into()]).await;
    let message = alice.link().hears().await;
    let ToClient::Refused(refused) = message else { panic!("{message:?}") };
    assert_eq!(refused.code, u32::from(Refusal::DeviceMismatch.number()));
    let [mismatch] = refused.mismatches.as_slice() else { panic!("{refused:?}") };
    assert_eq!(AccountId(mismatch.account), bob.account());
    assert_eq!(mismatch.signed_list, "list of bob");
    assert_eq!((&mismatch.missing, &mismatch.extra), (&vec![1], &vec![2]));
    let again = bob.sealed(1, "hi");
    alice.link().says(&[again]).await;
    alice.sees_tick(1).await;
    bob.receives("hi", &alice).await;
}

#[tokio::test]
async fn a_full_mailbox_is_told_to_its_sender_and_loses_nothing() {
    let world = World::with(|setup| setup.config.mailbox.records_max = 8).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    let mut accepted = Vec::new();
    let full = loop {
        let text = format!("line {}", accepted.len());
        let counter = alice.sends(&text).to(&bob).await;
        match alice.link().hears().await {
            ToClient::Accepted(_) => accepted.push(text),
            ToClient::Refused(refused) => {
                assert_eq!(refused.counter, counter);
                break Refusal::from_number(refused.code).unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert!(accepted.len() <= 8);
    };
    assert_eq!(full, Refusal::MailboxFull);
    assert!(!accepted.is_empty());
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), accepted.len());
    let Some(ToClient::Deliver(last)) = waiting.last().cloned() else { panic!("{waiting:?}") };
    bob.acknowledges(&last).await;
    alice.sees_delivered(&bob, last.counter).await;
    let counter = alice.sends("room again").to(&bob).await;
    alice.sees_tick(counter).await;
}

#[tokio::test]
async fn above_its_rate_a_session_waits_and_keeps_its_order() {
    let world = World::with(|setup| {
        setup.config.rate.submissions_per_s = 20;
        setup.config.rate.submissions_burst = 2;
    })
    .await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    let burst: Vec<ToServer> = (1..=4).map(|n| bob.sealed(n, &format!("line {n}"))).collect();
    alice.link().says(&burst).await;
    let mut refused = std::collections::BTreeMap::new();
    let mut ticked = Vec::new();
    for _ in 0..4 {
        match alice.link().hears().await {
            ToClient::Accepted(accepted) => ticked.push(accepted.counter),
            ToClient::Refused(no) => {
                assert!(no.retry_after_ms > 0);
                refused.insert(no.counter, Refusal::from_number(no.code).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ticked, [1, 2]);
    assert_eq!(refused[&3], Refusal::RateLimited);
    assert_eq!(refused[&4], Refusal::AfterRefusal);
    // The client does as it is told: from the first refused one on, in order, until each is ticked.
    for n in 3..=4 {
        loop {
            alice.link().says(&[bob.sealed(n, &format!("line {n}"))]).await;
            match alice.link().hears().await {
                ToClient::Accepted(accepted) => break assert_eq!(accepted.counter, n),
                ToClient::Refused(no) => {
                    let delay = std::time::Duration::from_millis(no.retry_after_ms.into());
                    tokio::time::sleep(delay).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    for n in 1..=4 {
        bob.receives(&format!("line {n}"), &alice).await;
    }
}

/// The clock stands still, so that time gives nothing back.
#[tokio::test]
async fn dialling_anew_buys_no_second_burst() {
    let clock = ManualClock::at(1_800_000_000_000);
    let world = World::with(|setup| {
        setup.clock = Arc::new(clock.clone());
        setup.config.rate.submissions_per_s = 1;
        setup.config.rate.submissions_burst = 2;
    })
    .await;
    clock.advance(1);
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    for _ in 0..2 {
        let counter = alice.sends("hi").to(&bob).await;
        alice.sees_tick(counter).await;
    }
    alice.hangs_up();
    alice.comes_back().await;
    let counter = alice.sends("hi again").to(&bob).await;
    assert_eq!(alice.is_refused(counter).await, (Refusal::RateLimited, 1_000));
    let mut carol = world.joins("carol").await;
    let counter = carol.sends("hi").to(&bob).await;
    carol.sees_tick(counter).await;
}

#[tokio::test]
async fn above_its_rate_a_device_looks_nobody_up() {
    let world = World::with(|setup| setup.config.rate.lookups_per_hour = 2).await;
    let (mut alice, mut carol) = (world.joins("alice").await, world.joins("carol").await);
    for _ in 0..2 {
        assert!(fetch(&mut alice, "carol", false).await.is_ok());
    }
    let who = Some(v1::fetch::Who::Handle("carol".into()));
    let fetch_again = v1::Fetch { request: 7, who, keys: true, devices: Vec::new() };
    alice.link().says(&[fetch_again.into()]).await;
    let message = alice.link().hears().await;
    let ToClient::Refused(no) = message else { panic!("{message:?}") };
    assert_eq!((no.request, no.code), (7, Refusal::RateLimited.number().into()));
    assert!((1..=1_800_000).contains(&no.retry_after_ms), "half an hour each: {no:?}");
    alice.hangs_up();
    alice.comes_back().await;
    assert_eq!(fetch(&mut alice, "carol", false).await, Err(Refusal::RateLimited), "a new link");
    assert!(fetch(&mut carol, "alice", false).await.is_ok(), "somebody else's rate");
}

/// Nothing is deleted, and nobody is told that it arrived, before it was sent.
#[tokio::test]
async fn an_acknowledgement_reaches_as_far_as_what_was_sent() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    let counter = alice.sends("hi").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.dials().await.unwrap();
    bob.link().says(&[v1::Attach {}.into(), v1::Ack { up_to: u64::MAX }.into()]).await;
    bob.receives("hi", &alice).await;
    bob.hangs_up();
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    bob.link().says(&[v1::Ack { up_to: u64::MAX }.into()]).await;
    alice.sees_delivered(&bob, counter).await;
}

#[tokio::test]
async fn a_counter_below_the_window_is_too_old_to_judge() {
    let world = World::new().await;
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    for (counter, good) in [(200, true), (73, true), (72, false)] {
        let message = bob.sealed(counter, "x");
        alice.link().says(&[message]).await;
        if good {
            alice.sees_tick(counter).await;
        } else {
            assert_eq!(alice.is_refused(counter).await, (Refusal::CounterTooOld, 0));
        }
    }
}

#[tokio::test]
async fn an_invite_lets_in_as_many_as_it_says() {
    let world = World::with(|setup| setup.config.admission.policy = Policy::Invite).await;
    let code = super::operator::invites(&world, 1).await;
    let mut alice = Person::new(&world.join, "alice");
    alice.dials().await.unwrap();
    assert_eq!(alice.registers().await, Err(Refusal::InviteRequired));
    let with = |person: &mut Person, code: &str| {
        let mut registration = person.registration();
        registration.invite = code.into();
        registration
    };
    let wrong = with(&mut alice, "23456-23456-23456-23456");
    assert_eq!(alice.registers_as(wrong).await, Err(Refusal::InviteInvalid));
    let right = with(&mut alice, &code);
    assert!(alice.registers_as(right).await.is_ok());
    let mut bob = Person::new(&world.join, "bob");
    bob.dials().await.unwrap();
    let used = with(&mut bob, &code);
    assert_eq!(bob.registers_as(used).await, Err(Refusal::InviteInvalid));
}

#[tokio::test]
async fn a_link_key_is_one_devices() {
    let world = World::new().await;
    let alice = world.joins("alice").await;
    // The same key dials twice as a stranger, and registers on both links.
    let mut first = Person::new(&world.join, "carol");
    let mut second = Person::new(&world.join, "dave");
    second.link_key = first.link_key.clone();
    first.dials().await.unwrap();
    second.dials().await.unwrap();
    assert!(first.registers().await.is_ok());
    assert_eq!(second.registers().await, Err(Refusal::AlreadyRegistered));
    drop(alice);
}
