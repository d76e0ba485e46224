//! The examples do what they say, against the real server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use godwit_client::MessageState;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::stage::{Stage, handle, soon, take, texts};

/// Examples stand in a folder beside that of the test programs.
fn example(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().and_then(Path::parent).unwrap();
    let path = folder.join("examples").join(name);
    assert!(path.exists(), "build it first: cargo build -p godwit-client --example {name}");
    path
}

#[tokio::test]
async fn the_sender_joins_and_its_text_is_answered_by_the_bot() {
    let stage = Stage::new();
    stage.join("bot").await;
    let mut bot = Command::new(example("echo_bot"))
        .arg(stage.home("bot"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(bot.stdout.take().unwrap()).lines();
    assert_eq!(soon(said.next_line()).await.unwrap().unwrap(), "bot listens");

    let sender = Command::new(example("sender"))
        .arg(stage.home("alice"))
        .args(["bot", "is anybody there?", &stage.link.to_string(), "alice"])
        .output();
    let sender = soon(sender).await.unwrap();
    let printed = String::from_utf8(sender.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    let [joined, sent] = lines.as_slice() else { panic!("{printed}") };
    assert!(joined.starts_with("joined as alice, account "), "{printed}");
    assert!(sent.ends_with(" delivered") || sent.ends_with(" read"), "{printed}");

    let alice = stage.open("alice").await;
    assert_eq!(texts(&take(&alice, 1).await.unwrap()), ["is anybody there?"]);
    let id = alice.history(&handle("bot"), None, 9).await.unwrap()[0].id;
    let state = soon(alice.wait_for(id, MessageState::Read)).await.unwrap();
    assert_eq!(state, MessageState::Read, "the bot marks what it has answered");
}
