//! A home that is linked has what was said before.

use godwit_client::{
    Act, Client, Error, Event, EventStream, HistoryItem, HistoryProgress, LinkId, LinkingState,
    NewcomerEvent, Reaction, Since,
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
    let link = main.approve_link(&soon(code.recv()).await.unwrap()).await.unwrap();
    soon(main.linking_digits(link)).await.unwrap();
    main.confirm_link(link, with_history).await.unwrap();
    soon(main.linked(link)).await.unwrap();
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

/// A new device that shows its code and then its digits.
struct Newcomer {
    code: String,
    digits: mpsc::UnboundedReceiver<String>,
    linked: tokio::task::JoinHandle<Result<u32, Error>>,
}

impl Newcomer {
    async fn shows(stage: &Stage, name: &str) -> Self {
        let (codes, mut code) = mpsc::unbounded_channel();
        let (shown, digits) = mpsc::unbounded_channel();
        let (home, link) = (stage.home(name), stage.link.clone());
        let linked = tokio::spawn(async move {
            let tell = |event| match event {
                NewcomerEvent::Code(code) => codes.send(code).unwrap(),
                NewcomerEvent::Check { digits, .. } => shown.send(digits).unwrap(),
                _ => {}
            };
            Client::link(&home, &link, tell).await.map(|joined| joined.device.number.0)
        });
        Self { code: soon(code.recv()).await.unwrap(), digits, linked }
    }

    /// Is linked by this program of the main device.
    async fn linked_by(mut self, main: &Client) -> u32 {
        let link = main.approve_link(&self.code).await.unwrap();
        let (digits, _) = soon(main.linking_digits(link)).await.unwrap();
        assert_eq!(soon(self.digits.recv()).await.unwrap(), digits);
        main.confirm_link(link, false).await.unwrap();
        let device = soon(main.linked(link)).await.unwrap();
        assert_eq!(soon(self.linked).await.unwrap().unwrap(), device);
        device
    }
}

/// Two programs of one home each want to link a device: neither is ever shown the digits of the other's.
#[tokio::test]
async fn one_device_is_linked_at_a_time() {
    let stage = Stage::new();
    let alice = stage.joined("alice").await;
    let again = stage.open("alice").await;
    let mut first = Newcomer::shows(&stage, "tablet").await;
    let second = Newcomer::shows(&stage, "desk").await;
    let link = alice.approve_link(&first.code).await.unwrap();
    assert_eq!(again.approve_link(&second.code).await, Err(Error::LinkingBusy));
    let other = LinkId::of_code(&second.code).unwrap();
    let (digits, _) = soon(alice.linking_digits(link)).await.unwrap();
    assert_eq!(soon(first.digits.recv()).await.unwrap(), digits);
    // Nothing that is said of the second touches the first.
    assert!(matches!(again.linking_digits(other).await, Err(Error::Linking(_))));
    assert!(matches!(again.confirm_link(other, false).await, Err(Error::Linking(_))));
    again.cancel_link(other).await.unwrap();
    assert_eq!(again.approve_link(&second.code).await, Err(Error::LinkingBusy));
    assert_eq!(alice.approve_link(&first.code).await, Ok(link), "begun already");
    alice.confirm_link(link, false).await.unwrap();
    let device = soon(alice.linked(link)).await.unwrap();
    assert_eq!(soon(first.linked).await.unwrap().unwrap(), device);
    assert_eq!(second.linked_by(&again).await, device + 1);
}

/// The digits differ, or the user has changed their mind: the new device does not wait ten minutes.
#[tokio::test]
async fn a_no_ends_the_new_device_at_once() {
    let stage = Stage::new();
    let alice = stage.joined("alice").await;
    let mut new = Newcomer::shows(&stage, "tablet").await;
    let link = alice.approve_link(&new.code).await.unwrap();
    soon(alice.linking_digits(link)).await.unwrap();
    soon(new.digits.recv()).await.unwrap();
    alice.cancel_link(link).await.unwrap();
    alice.close().await; // as a command does that was told no: the word still goes out
    let Err(Error::Linking(reason)) = soon(new.linked).await.unwrap() else { panic!("linked") };
    assert!(reason.contains("said no"), "{reason}");
}

/// The program that began a linking ends before anybody has compared digits.
#[tokio::test]
async fn a_linking_whose_program_is_gone_is_given_up() {
    let stage = Stage::new();
    let alice = stage.joined("alice").await;
    let again = stage.open("alice").await;
    let (first, second) =
        (Newcomer::shows(&stage, "tablet").await, Newcomer::shows(&stage, "desk").await);
    let link = again.approve_link(&first.code).await.unwrap();
    let mut events = alice.events(Since::Now);
    assert_eq!(alice.approve_link(&second.code).await, Err(Error::LinkingBusy));
    drop(again);
    let failed = |event: &Event| match event {
        Event::Linking { link: own, state: LinkingState::Failed { .. } } => *own == link,
        _ => false,
    };
    while !failed(&soon(events.next()).await.unwrap()) {}
    assert_eq!(second.linked_by(&alice).await, 2);
    first.linked.abort();
}
