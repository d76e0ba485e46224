//! Strangers, handles tried out, and reports.

use godwit_server::cli::{Look, Place, reports};
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use super::person::Person;
use super::world::World;

async fn looks_up(person: &mut Person, handle: &str) -> Result<(), (Refusal, u32)> {
    let request = person.request();
    let who = Some(v1::fetch::Who::Handle(handle.into()));
    let fetch = v1::Fetch { request, who, keys: false, devices: Vec::new() };
    answer(person, fetch.into()).await.map(drop)
}

async fn answer(person: &mut Person, message: ToServer) -> Result<ToClient, (Refusal, u32)> {
    person.link().says(&[message]).await;
    match person.link().hears().await {
        ToClient::Refused(refused) => {
            Err((Refusal::from_number(refused.code).unwrap(), refused.retry_after_ms))
        }
        other => Ok(other),
    }
}

#[tokio::test]
async fn so_many_conversations_are_begun_in_a_day_and_others_go_on() {
    let world = World::with(|setup| setup.config.rate.new_conversations_per_day = 2).await;
    let mut alice = world.joins("alice").await;
    let (bob, carol) = (world.joins("bob").await, world.joins("carol").await);
    let (mut dave, mut erin) = (world.joins("dave").await, world.joins("erin").await);
    for to in [&bob, &carol] {
        let counter = alice.sends("hello").to(to).await;
        alice.sees_tick(counter).await;
    }
    let counter = alice.sends("hello").to(&dave).await;
    let (refusal, wait_ms) = alice.is_refused(counter).await;
    assert_eq!(refusal, Refusal::TooManyStrangers);
    assert!((1..=12 * 3_600_000).contains(&wait_ms), "{wait_ms}");
    // It holds nothing up: whom she has written with, and who writes to her, she can answer.
    let counter = alice.sends("hello again").to(&bob).await;
    alice.sees_tick(counter).await;
    let counter = erin.sends("are you there?").to(&alice).await;
    erin.sees_tick(counter).await;
    alice.receives("are you there?", &erin).await;
    let counter = alice.sends("yes").to(&erin).await;
    alice.sees_tick(counter).await;
    // Dave may still begin one with her.
    let counter = dave.sends("hello?").to(&alice).await;
    dave.sees_tick(counter).await;
    alice.receives("hello?", &dave).await;
    let counter = alice.sends("hello").to(&dave).await;
    alice.sees_tick(counter).await;
}

#[tokio::test]
async fn a_handle_that_nobody_has_costs_twenty() {
    let world = World::with(|setup| setup.config.rate.lookups_per_hour = 41).await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    for _ in 0..41 {
        assert_eq!(looks_up(&mut bob, "alice").await, Ok(()));
    }
    let limited =
        |refused: Result<(), (Refusal, u32)>| matches!(refused, Err((Refusal::RateLimited, 1..)));
    assert!(limited(looks_up(&mut bob, "alice").await));
    for handle in ["nobody", "no-one"] {
        let unknown = Err((Refusal::UnknownAccount, 0));
        assert_eq!(looks_up(&mut alice, handle).await, unknown);
    }
    assert_eq!(looks_up(&mut alice, "bob").await, Ok(()), "41 less 40");
    assert!(limited(looks_up(&mut alice, "bob").await));
}

#[tokio::test]
async fn a_report_is_on_disk_when_it_is_answered_and_rates_bound_it() {
    let world = World::new().await;
    let (mut alice, bob) = (world.joins("alice").await, world.joins("bob").await);
    let report = |request, account| {
        let message = v1::ReportedMessage {
            device: 1,
            counter: 7,
            sent_at_ms: 5,
            text: "send\nmoney".into(),
        };
        ToServer::from(v1::Report {
            request,
            account,
            reason: "spam".into(),
            messages: vec![message],
        })
    };
    let unknown = answer(&mut alice, report(1, 0xabc)).await;
    assert_eq!(unknown, Err((Refusal::UnknownAccount, 0)));
    for request in 2..=10 {
        let taken = answer(&mut alice, report(request, bob.account().0)).await;
        assert_eq!(taken, Ok(v1::ReportTaken { request }.into()));
    }
    let limited = answer(&mut alice, report(11, bob.account().0)).await;
    assert!(matches!(limited, Err((Refusal::RateLimited, 1..))), "{limited:?}");

    let place = Place { data: Some(world.data.path().to_owned()), config: None };
    let listed = reports(&Look { place: place.clone(), json: true }).unwrap();
    assert_eq!(listed.lines().count(), 9);
    let first: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!((&first["handle"], &first["reason"]), (&"bob".into(), &"spam".into()));
    assert_eq!(first["messages"][0]["text"], "send\nmoney");
    assert_eq!(first["by"], format!("{}.1", alice.account()));
    let lines = reports(&Look { place, json: false }).unwrap();
    assert!(lines.contains("send\\nmoney"), "nothing in it can pass for a line: {lines}");
}

#[tokio::test]
async fn who_is_no_device_reports_nobody() {
    let world = World::new().await;
    let bob = world.joins("bob").await;
    let mut eve = Person::new(&world.join, "eve");
    eve.dials().await.unwrap();
    let report = v1::Report { request: 1, account: bob.account().0, ..v1::Report::default() };
    assert_eq!(answer(&mut eve, report.into()).await, Err((Refusal::NotRegistered, 0)));
}
