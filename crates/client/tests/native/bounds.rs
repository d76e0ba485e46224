//! Bounds of the native driver, on both sides.

use futures_util::FutureExt;
use godwit_client::core::FINDS_MAX;
use godwit_client::{ConnectionState, Error, Event, SEND_ALL_BYTES_MAX, Since, Visibility};

use crate::stage::{Stage, delivered, handle, soon};

#[tokio::test]
async fn one_command_takes_so_many_bytes() {
    let stage = Stage::new();
    let alice = stage.joined("alice").await;
    let second = stage.open("alice").await; // the largest command passes between processes too
    let nobody = handle("nobody");
    let mut fits = vec!["x".repeat(40_000); SEND_ALL_BYTES_MAX / 40_000];
    fits.push("x".repeat(SEND_ALL_BYTES_MAX % 40_000));
    for client in [&alice, &second] {
        let ids = soon(client.send_all(&nobody, fits.clone())).await.unwrap();
        assert_eq!(ids.len(), fits.len());
    }
    fits.push("x".into());
    let refused = alice.send_all(&nobody, fits).await;
    let bytes = SEND_ALL_BYTES_MAX + 1;
    assert_eq!(refused, Err(Error::TextsTooLong { bytes, max: SEND_ALL_BYTES_MAX }));
}

#[tokio::test]
async fn a_page_holds_500_messages_and_the_next_has_the_rest() {
    let stage = Stage::new();
    let alice = stage.joined("alice").await;
    let bob = handle("bob");
    let lines: Vec<String> = (0..501).map(|n| n.to_string()).collect();
    alice.send_all(&bob, lines).await.unwrap();
    let newest = alice.history(&bob, None, u32::MAX).await.unwrap();
    assert_eq!((newest.len(), newest[0].text.as_deref()), (500, Some("1")));
    let rest = alice.history(&bob, Some(newest[0].row), u32::MAX).await.unwrap();
    assert_eq!((rest.len(), rest[0].text.as_deref()), (1, Some("0")));
    assert_eq!(alice.search("50", 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_page_ends_when_it_is_full_of_bytes() {
    let stage = Stage::new();
    let alice = stage.joined("alice").await;
    let bob = handle("bob");
    let lines = vec!["x".repeat(40_000); 20];
    alice.send_all(&bob, lines).await.unwrap();
    // 13 x 40,000 is below 512 KiB, 14 x 40,000 above: the 14th ends the page.
    assert_eq!(alice.history(&bob, None, 500).await.unwrap().len(), 14);
}

#[tokio::test]
async fn who_does_not_read_events_is_told_how_many_are_gone_and_loses_no_message() {
    let stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let mut unread = bob.events(Since::Now);
    let lines: Vec<String> = (0..1_200).map(|n| n.to_string()).collect();
    let ids = alice.send_all(&handle("bob"), lines).await.unwrap();
    delivered(&alice, ids[1_199]).await;
    let mut lagged = 0;
    while let Ok(Some(event)) = tokio::time::timeout(std::time::Duration::ZERO, unread.next()).await
    {
        if let Event::Lagged(dropped) = event {
            lagged += dropped;
        }
    }
    assert!(lagged > 0);
    let mut inbox = bob.inbox().unwrap();
    for n in 0..1_200 {
        let arrived = soon(inbox.next()).await.unwrap();
        assert_eq!(arrived.message().unwrap().text, Some(n.to_string()));
    }
}

#[tokio::test]
async fn so_many_wait_for_the_server_to_be_told_and_one_more_does_not() {
    let mut stage = Stage::new();
    let alice = stage.joined("alice").await;
    assert_eq!(soon(alice.told()).await, Ok(true));
    stage.kill();
    let mut connection = alice.connection();
    let is_offline = |state: &ConnectionState| matches!(state, ConnectionState::Offline { .. });
    soon(connection.wait_for(is_offline)).await.unwrap();
    alice.set_visibility(Visibility::Nobody, false).await.unwrap();
    let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(alice.told())).collect();
    for told in &mut waiting {
        assert!(told.as_mut().now_or_never().is_none(), "there is no server");
    }
    assert_eq!(soon(alice.told()).await, Ok(false));
    for told in &mut waiting {
        assert!(told.as_mut().now_or_never().is_none(), "there is no server");
    }
}

/// Those who have gone wait no more.
#[tokio::test]
async fn so_many_wait_for_somebody_to_be_found_and_no_more_at_once() {
    let mut stage = Stage::new();
    let alice = stage.joined("alice").await;
    stage.kill();
    let bob = handle("bob");
    let finds = || (0..FINDS_MAX).map(|_| Box::pin(alice.find(&bob))).collect::<Vec<_>>();
    let mut waiting = finds();
    for find in &mut waiting {
        assert!(find.as_mut().now_or_never().is_none(), "there is no server");
    }
    assert_eq!(soon(alice.find(&bob)).await, Err(Error::TooManyFinds { max: FINDS_MAX }));
    drop(waiting);
    let mut waiting = finds();
    for find in &mut waiting {
        assert!(find.as_mut().now_or_never().is_none(), "there is no server");
    }
    assert_eq!(soon(alice.find(&bob)).await, Err(Error::TooManyFinds { max: FINDS_MAX }));
    for find in &mut waiting {
        assert!(find.as_mut().now_or_never().is_none(), "each has room");
    }
}
