//! The home's files fail.

use godwit_client::{Error, MessageState};
use rusqlite::Connection;

use crate::stage::{Stage, handle, soon};

/// Somebody holds the database until the commit gives up, and the client is closed meanwhile.
#[tokio::test]
async fn a_commit_that_fails_while_the_client_closes_is_told() {
    let mut stage = Stage::new();
    stage.join("alice").await;
    // Without a server nothing but the message below is written.
    stage.kill();
    let alice = stage.open("alice").await;
    let database = Connection::open(stage.home("alice").join("godwit.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let bob = handle("bob");
    let closes = async {
        // Answered in order: the message is in a commit when this is.
        soon(alice.history(&bob, None, 1)).await.unwrap();
        alice.clone().close().await;
    };
    let (sent, ()) = tokio::join!(alice.send(&bob, "hi".into()), closes);
    assert!(matches!(sent, Err(Error::Storage(_))), "{sent:?}");
    drop(database);
    let alice = stage.open("alice").await;
    soon(alice.send(&bob, "again".into())).await.unwrap();
}

/// The files fail when the server's answer is to be written.
#[tokio::test]
async fn who_waits_for_a_message_is_told_that_the_files_fail() {
    let mut stage = Stage::new();
    let alice = stage.joined("alice").await;
    stage.join("bob").await;
    stage.kill();
    let bob = handle("bob");
    let id = alice.send(&bob, "hi".into()).await.unwrap();
    let database = Connection::open(stage.home("alice").join("godwit.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let wait = alice.wait_for(id, MessageState::Accepted);
    let (waited, _) = tokio::join!(soon(wait), alice.send(&bob, "cannot be written".into()));
    assert!(matches!(waited, Err(Error::Storage(_))), "{waited:?}");
}
