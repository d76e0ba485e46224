//! Several clients on one home: one owns it, the others are served.

use std::os::unix::fs::PermissionsExt;

use godwit_client::{Event, MessageState, Since};

use crate::stage::{Stage, delivered, handle, soon, take, texts};

#[tokio::test]
async fn a_second_client_is_served_by_the_first_and_takes_over_when_it_ends() {
    let stage = Stage::new();
    let bob = stage.joined("bob").await;
    let first = stage.joined("alice").await;
    let second = stage.open("alice").await;
    assert_eq!(first.me(), second.me());
    let socket = std::fs::metadata(stage.home("alice").join("owner.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let to = handle("bob");
    let by_first = first.send(&to, "by the owner".into()).await.unwrap();
    let by_second = second.send(&to, "by the guest".into()).await.unwrap();
    assert!(by_second.counter > by_first.counter, "one outbox");
    delivered(&second, by_first).await;
    delivered(&first, by_second).await;
    first.close().await;
    let alone = soon(second.send(&to, "by the heir".into())).await.unwrap();
    delivered(&second, alone).await;
    let received = texts(&take(&bob, 3).await.unwrap());
    assert_eq!(received, ["by the owner", "by the guest", "by the heir"]);
}

#[tokio::test]
async fn commands_during_a_take_over_are_done_once() {
    let stage = Stage::new();
    let bob = stage.joined("bob").await;
    let first = stage.joined("alice").await;
    let second = stage.open("alice").await;
    let to = handle("bob");
    let sending = tokio::spawn({
        let second = second.clone();
        async move {
            for n in 0..200 {
                second.send(&to, n.to_string()).await.unwrap();
            }
        }
    });
    first.close().await;
    soon(sending).await.unwrap();
    let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(texts(&take(&bob, 200).await.unwrap()), expected);
}

#[tokio::test]
async fn events_reach_every_client_of_the_home() {
    let stage = Stage::new();
    let bob = stage.joined("bob").await;
    let first = stage.joined("alice").await;
    let second = stage.open("alice").await;
    let mut streams = [first.events(Since::Now), second.events(Since::Now)];
    bob.send(&handle("alice"), "to both".into()).await.unwrap();
    for stream in &mut streams {
        loop {
            let event = soon(stream.next()).await.unwrap();
            if let Event::Message(item) = event {
                assert_eq!(item.text.as_deref(), Some("to both"));
                assert_eq!(item.state, MessageState::Delivered);
                break;
            }
        }
    }
}
