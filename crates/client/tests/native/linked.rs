//! A home that is linked has what was said before.

use godwit_client::{
    Act, Client, Event, EventStream, HistoryItem, HistoryProgress, NewcomerEvent, Reaction, Since,
};
use tokio::sync::mpsc;

use crate::stage::{Stage, delivered, handle, soon, take, texts};

/// Links the home `new` to the account whose main device is `main`. Returns what it told of the history
/// meanwhile.
async fn link(stage: &Stage, main: &Client, new: &str, with_history: bool) -> Vec<HistoryProgress> {
    let (codes, mut code) = mpsc::unbounded_channel();
    let (tells, mut told) = mpsc::unbounded_channel();
    let (home, link) = (stage.home(new), stage.link.clone());
    let newcomer = tokio::spawn(async move {
        let tell = |event| match event {
            NewcomerEvent::Code(code) => codes.send(code).unwrap(),
            NewcomerEvent::History(progress) => tells.send(progress).unwrap(),
            _ => {}
        };
        Client::link(&home, &link, tell).await
    });
    main.approve_link(&soon(code.recv()).await.unwrap()).await.unwrap();
    soon(main.linking_digits()).await.unwrap();
    main.confirm_link(with_history).await.unwrap();
    soon(main.linked()).await.unwrap();
    soon(newcomer).await.unwrap().unwrap();
    std::iter::from_fn(|| told.try_recv().ok()).collect()
}

/// What both devices must show, in order: all but the number of the row.
async fn story(of: &Client, with: &str) -> Vec<HistoryItem> {
    let mut items = of.history(&handle(with), None, 500).await.unwrap();
    items.iter_mut().for_each(|item| item.row = 0);
    items
}

/// What is told of the history after `told`, until there is no more.
async fn progress(
    mut told: Vec<HistoryProgress>,
    events: &mut EventStream,
) -> Vec<HistoryProgress> {
    while !told.last().is_some_and(|last: &HistoryProgress| last.done) {
        match soon(events.next()).await.unwrap() {
            Event::History(progress) => told.push(progress),
            Event::Lagged(dropped) => assert_eq!(dropped, 0),
            _ => {}
        }
    }
    told
}

/// Lets bob say something that comes to the tablet after whatever lies in its mailbox.
async fn is_drained(bob: &Client, tablet: &Client, text: &str) {
    bob.send(&handle("alice"), text.to_owned()).await.unwrap();
    assert_eq!(texts(&take(tablet, 1).await.unwrap()), [text], "and nothing old is news");
}

#[tokio::test]
async fn a_linked_home_shows_the_same_chats_and_tells_of_nothing_old() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let lines: Vec<String> = (0..200).map(|n| format!("line {n} {}", "x".repeat(300))).collect();
    let ids = alice.send_all(&handle("bob"), lines).await.unwrap();
    delivered(&alice, ids[199]).await;
    let answer = bob.send(&handle("alice"), "all of that?".into()).await.unwrap();
    take(&alice, 1).await.unwrap();
    bob.act(ids[7], Act::Reaction("+".into())).await.unwrap();
    alice.act(ids[8], Act::Edit("line eight".into())).await.unwrap();
    alice.act(ids[9], Act::Deletion).await.unwrap();
    bob.mark_read(&handle("alice")).await.unwrap();
    let marker = bob.send(&handle("alice"), "read".into()).await.unwrap();
    delivered(&bob, marker).await;
    delivered(&bob, answer).await;

    let mut events = alice.events(Since::Now);
    let heard = link(&stage, &alice, "tablet", true).await;
    let given = progress(Vec::new(), &mut events).await;
    soon(alice.history_given()).await.unwrap();
    assert_eq!(alice.history_progress().await.unwrap(), None);
    let before = story(&alice, "bob").await;
    alice.close().await;
    let tablet = stage.open("tablet").await;
    let mut events = tablet.events(Since::Now);
    assert_eq!(progress(heard, &mut events).await, given, "the same is told on both sides");
    assert_rises(&given, 202);
    is_drained(&bob, &tablet, "to both").await;
    let mut there = story(&tablet, "bob").await;
    assert_eq!(there.pop().unwrap().text.as_deref(), Some("to both"));
    assert_eq!(there, before);
    let reactions = &there[7].details.reactions;
    assert!(matches!(&reactions[..], [Reaction { .. }]), "{reactions:?}");
}

/// Pack after pack, to all of them.
fn assert_rises(told: &[HistoryProgress], all: u32) {
    let numbers: Vec<u32> = told.iter().map(|one| one.given).collect();
    assert!(numbers.len() > 2 && numbers.is_sorted(), "{numbers:?}");
    assert!(told.iter().all(|one| (one.device, one.of) == (2, all)), "{told:?}");
    assert_eq!(told.iter().filter(|one| one.done).count(), 1);
    assert_eq!(numbers.last(), Some(&all));
}

/// The main device ends in the middle, without a goodbye.
#[tokio::test]
async fn giving_goes_on_after_the_main_device_was_away() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let lines: Vec<String> = (0..300).map(|n| format!("line {n} {}", "x".repeat(900))).collect();
    let ids = alice.send_all(&handle("bob"), lines).await.unwrap();
    delivered(&alice, ids[299]).await;
    link(&stage, &alice, "tablet", true).await;
    drop(alice); // whatever was not given yet is given by the next
    let alice = stage.open("alice").await;
    soon(alice.history_given()).await.unwrap();
    let before = story(&alice, "bob").await;
    alice.close().await;
    let tablet = stage.open("tablet").await;
    is_drained(&bob, &tablet, "to both").await;
    let mut there = story(&tablet, "bob").await;
    there.pop();
    assert_eq!(there, before);
}

#[tokio::test]
async fn who_is_not_to_have_it_begins_empty() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let id = alice.send(&handle("bob"), "before".into()).await.unwrap();
    delivered(&alice, id).await;
    link(&stage, &alice, "tablet", false).await;
    soon(alice.history_given()).await.unwrap();
    let tablet = stage.open("tablet").await;
    is_drained(&bob, &tablet, "after").await;
    assert_eq!(texts(&story(&tablet, "bob").await), ["after"]);
}
