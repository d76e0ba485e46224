//! Futures that are dropped half-way.

use godwit_client::{Event, MessageState, Since};

use crate::stage::{Stage, handle, soon};

/// Races each future that promises cancel safety against a timer that mostly wins.
#[tokio::test]
async fn what_says_that_it_is_cancel_safe_loses_nothing() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let lines: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let ids = alice.send_all(&handle("bob"), lines.clone()).await.unwrap();
    let mut inbox = bob.inbox().unwrap();
    let mut received = Vec::new();
    let all = async {
        while received.len() < lines.len() {
            tokio::select! {
                biased;
                item = inbox.next() => {
                    let item = item.unwrap();
                    inbox.shown(&item).unwrap();
                    received.push(item.message().unwrap().text.clone().unwrap());
                }
                // One turn of the executor: the future above is dropped wherever it is.
                () = tokio::task::yield_now() => {}
            }
            tokio::select! {
                biased;
                state = alice.wait_for(ids[99], MessageState::Delivered) => drop(state.unwrap()),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    soon(all).await;
    assert_eq!(received, lines);
    let state = soon(alice.wait_for(ids[99], MessageState::Delivered)).await.unwrap();
    assert_eq!(state, MessageState::Delivered);
}

#[tokio::test]
async fn what_a_dropped_call_asked_for_does_not_hide_what_was_stored_since() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let mut events = bob.events(Since::Now);
    let mut inbox = bob.inbox().unwrap();
    tokio::select! {
        biased;
        _ = inbox.next() => panic!("nothing was sent yet"),
        () = async {} => {}
    }
    alice.send(&handle("bob"), "hi".into()).await.unwrap();
    while !matches!(soon(events.next()).await, Some(Event::Message(_))) {}
    let next = soon(inbox.try_next()).await.unwrap();
    assert_eq!(next.unwrap().message().unwrap().text.as_deref(), Some("hi"));
}
