//! kill -9 of the process that owns the home.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use godwit_client::Client;

use crate::stage::{Stage, delivered, handle, soon, take, texts};

/// Names the home to the process that this test starts of itself.
const HOME: &str = "GODWIT_TEST_HOME";
const LINES: usize = 300;

/// The process that is killed: owns the home, sends lines one by one and says so after each.
#[tokio::test]
#[ignore = "the tests below start it as a process of its own"]
async fn as_owner() {
    let home = PathBuf::from(std::env::var_os(HOME).expect("started by a test"));
    let client = Client::open(&home).await.unwrap();
    println!("\nowns");
    for n in 0..LINES {
        client.send(&handle("bob"), n.to_string()).await.unwrap();
        println!("\nsent");
    }
    std::future::pending::<()>().await;
}

struct Process(Child);

impl Process {
    /// Starts it, and kills it after so many lines of what it says.
    fn run_until(home: PathBuf, word: &str, count: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::as_owner", "--ignored", "--nocapture"])
            .env(HOME, home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let said = lines.map(Result::unwrap).filter(|line| line == word).take(count).count();
        assert_eq!(said, count, "the process ended by itself");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn what_was_sent_before_a_kill_arrives_once_and_in_order() {
    let stage = Stage::new();
    stage.join("alice").await;
    let bob = stage.joined("bob").await;
    Process::run_until(stage.home("alice"), "sent", 40).kill();
    let alice = stage.open("alice").await;
    let last = alice.send(&handle("bob"), "the end".into()).await.unwrap();
    delivered(&alice, last).await;
    let stored = alice.history(&handle("bob"), None, 500).await.unwrap();
    let sent = texts(&stored);
    assert!(sent.len() > 40, "each that was said to be sent is there");
    let expected: Vec<String> = (0..sent.len() - 1).map(|n| n.to_string()).collect();
    assert_eq!(sent[..sent.len() - 1], expected);
    assert_eq!(texts(&take(&bob, sent.len()).await.unwrap()), sent);
}

#[tokio::test]
async fn a_served_process_takes_over_from_a_killed_owner() {
    let stage = Stage::new();
    stage.join("alice").await;
    let bob = stage.joined("bob").await;
    let owner = Process::run_until(stage.home("alice"), "owns", 1);
    let served = stage.open("alice").await;
    let before = served.send(&handle("bob"), "before".into()).await.unwrap();
    owner.kill();
    let after = soon(served.send(&handle("bob"), "after".into())).await.unwrap();
    assert!(after.counter > before.counter);
    delivered(&served, after).await;
    let count = served.history(&handle("bob"), None, 500).await.unwrap().len();
    let received = texts(&take(&bob, count).await.unwrap());
    for text in ["before", "after"] {
        assert_eq!(received.iter().filter(|line| *line == text).count(), 1, "{text}");
    }
}
