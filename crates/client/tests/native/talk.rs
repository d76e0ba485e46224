//! Two people talk over the real server.

use godwit_client::{Client, Error, MessageState};

use crate::stage::{Stage, delivered, handle, soon, take, texts};

#[tokio::test]
async fn hello_gets_every_tick_and_is_found_again() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let id = alice.send(&handle("bob"), "Hello Bob".into()).await.unwrap();
    delivered(&alice, id).await;
    assert_eq!(texts(&take(&bob, 1).await.unwrap()), ["Hello Bob"]);
    assert_eq!(bob.chats().await.unwrap()[0].unread, 1);
    bob.mark_read(&handle("alice")).await.unwrap();
    assert_eq!(bob.chats().await.unwrap()[0].unread, 0);
    let read = soon(alice.wait_for(id, MessageState::Read)).await.unwrap();
    assert_eq!(read, MessageState::Read);
    let found = bob.search("hELLO", 10).await.unwrap();
    assert_eq!(found.iter().map(|item| item.id).collect::<Vec<_>>(), [id]);
    let alices = alice.safety_number(&handle("bob")).await.unwrap();
    let bobs = bob.safety_number(&handle("alice")).await.unwrap();
    assert_eq!(alices.digits, bobs.digits);
}

#[tokio::test]
async fn many_lines_arrive_once_and_in_order_though_the_server_is_killed() {
    let mut stage = Stage::new();
    let alice = stage.joined("alice").await;
    stage.join("bob").await;
    let lines: Vec<String> = (0..600).map(|n| format!("line {n}")).collect();
    let ids = alice.send_all(&handle("bob"), lines.clone()).await.unwrap();
    soon(alice.wait_for(ids[100], MessageState::Accepted)).await.unwrap();
    stage.kill_and_restart();
    let bob = stage.open("bob").await;
    assert_eq!(texts(&take(&bob, lines.len()).await.unwrap()), lines);
    delivered(&alice, ids[599]).await;
}

#[tokio::test]
async fn what_is_sent_without_a_server_goes_out_later_from_another_process_life() {
    let mut stage = Stage::new();
    let alice = stage.joined("alice").await;
    let bob = stage.joined("bob").await;
    stage.kill();
    let id = alice.send(&handle("bob"), "later".into()).await.unwrap();
    assert_eq!(alice.state(id).await.unwrap(), Some(MessageState::Pending));
    alice.close().await;
    stage.kill_and_restart();
    let alice = stage.open("alice").await;
    delivered(&alice, id).await;
    assert_eq!(texts(&take(&bob, 1).await.unwrap()), ["later"]);
}

#[tokio::test]
async fn the_inbox_goes_on_after_what_was_shown() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let bobs = handle("bob");
    let ids = alice.send_all(&bobs, vec!["1".into(), "2".into(), "3".into()]).await.unwrap();
    delivered(&alice, ids[2]).await;
    assert_eq!(texts(&take(&bob, 2).await.unwrap()), ["1", "2"]);
    bob.close().await;
    let bob = stage.open("bob").await;
    assert_eq!(texts(&take(&bob, 1).await.unwrap()), ["3"]);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let mut stage = Stage::new();
    let empty = Client::open(&stage.home("nobody")).await.unwrap_err();
    assert!(matches!(empty, Error::NotJoined { .. }) && empty.to_string().contains("join first"));
    stage.join("alice").await;
    let again = Client::join(&stage.home("alice"), &stage.link, &handle("alicia"), None).await;
    assert!(matches!(again, Err(Error::AlreadyJoined { .. })), "{again:?}");
    let taken = Client::join(&stage.home("second"), &stage.link, &handle("alice"), None).await;
    assert!(matches!(taken, Err(Error::Refused { code: 21, .. })), "{taken:?}");
    let mut other = stage.link.clone();
    other.server_key[0] ^= 1;
    let wrong = Client::join(&stage.home("third"), &other, &handle("carol"), None).await;
    assert!(wrong.is_err(), "a server with another key is not believed");
    stage.kill();
    let away = Client::join(&stage.home("fourth"), &stage.link, &handle("dave"), None).await;
    assert!(matches!(away, Err(Error::Unreachable { .. })), "{away:?}");
}
