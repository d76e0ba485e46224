//! The restore drill: a backup of a busy server, a disk that is lost later, and everybody goes on with the
//! server that is put back. What it ticked in between is sent again by who said it; nothing is shown twice.

use godwit_client::{Client, ConnectionState, MessageState};

use crate::stage::{Stage, delivered, handle, soon, take, texts};

fn lines(name: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{name} {n}")).collect()
}

/// The link is given up, and why.
async fn is_told(client: &Client) -> String {
    let mut connection = client.connection();
    let ended = |state: &ConnectionState| matches!(state, ConnectionState::Offline { retry_in_ms: None, reason } if !reason.is_empty());
    let state = soon(connection.wait_for(ended)).await.unwrap().clone();
    let ConnectionState::Offline { reason, .. } = state else { panic!("{state:?}") };
    reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_server_is_restored_and_nothing_ticked_is_lost_or_shown_twice() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.joined("alice").await, stage.joined("bob").await);
    let (carol, erin) = (stage.joined("carol").await, stage.joined("erin").await);
    let to_bob = handle("bob");
    bob.close().await;

    // The backup is taken while messages come in.
    let first = alice.send_all(&to_bob, lines("early", 0..400)).await.unwrap();
    soon(alice.wait_for(first[50], MessageState::Accepted)).await.unwrap();
    let backup = stage.folder.path().join("backup.redb");
    let taken = stage.orders(&["backup", backup.to_str().unwrap()]);
    let more = alice.send_all(&to_bob, lines("early", 400..500)).await.unwrap();
    let report = tokio::task::spawn_blocking(taken).await.unwrap();
    assert!(report.status.success(), "{report:?}");

    // Since then: Bob takes a part, more is ticked that nobody fetches, a conversation begins with one of
    // Bob's one-time keys, somebody joins.
    let last = alice.send_all(&to_bob, lines("late", 0..30)).await.unwrap();
    for id in [first[399], more[99], last[29]] {
        soon(alice.wait_for(id, MessageState::Accepted)).await.unwrap();
    }
    let bob = stage.open("bob").await;
    let had = take(&bob, 450).await.unwrap();
    assert_eq!(texts(&had), lines("early", 0..450));
    bob.close().await;
    let begun = carol.send(&to_bob, "carol begins".to_owned()).await.unwrap();
    soon(carol.wait_for(begun, MessageState::Accepted)).await.unwrap();
    let dave = stage.joined("dave").await;

    stage.loses_its_disk_and_is_put_back(&backup);
    let bob = stage.open("bob").await;
    delivered(&alice, last[29]).await;
    delivered(&carol, begun).await;
    let new = erin.send(&to_bob, "erin begins".to_owned()).await.unwrap();
    delivered(&erin, new).await;
    let rest = take(&bob, 50 + 30 + 2).await.unwrap();
    let of = |name: &str| -> Vec<String> {
        let items = rest.iter().filter(|item| item.from.as_str() == name);
        items.map(|item| item.text.clone().unwrap()).collect()
    };
    let mut expected = lines("early", 450..500);
    expected.extend(lines("late", 0..30));
    assert_eq!(of("alice"), expected);
    assert_eq!(
        (of("carol"), of("erin")),
        (vec!["carol begins".into()], vec!["erin begins".into()])
    );
    let newest = bob.history(&handle("alice"), None, 500).await.unwrap();
    let shown: Vec<_> = newest.iter().map(|item| item.text.clone().unwrap()).collect();
    let mut sent = lines("early", 30..500);
    sent.extend(lines("late", 0..30));
    assert_eq!(shown, sent, "each once, and nothing that could not be opened");

    // Who is not in the backup is told, and sends nothing into the void.
    let reason = is_told(&dave).await;
    assert!(reason.contains("does not know this device"), "{reason}");
}
