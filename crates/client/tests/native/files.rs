//! The home's files fail.

use godwit_client::Error;
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
