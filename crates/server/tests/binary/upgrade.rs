//! Another process takes over while people talk.

use std::process::Output;

use godwit_wire::Refusal;
use tempfile::TempDir;

use super::life::joins;
use super::person::Person;
use super::program::{Program, godwitd, run, text};

pub(crate) fn upgrades(data: &TempDir, more: &[&str]) -> Output {
    let line = ["upgrade", "--data", data.path().to_str().unwrap(), "--json"];
    run(&[&line, more].concat())
}

pub(crate) fn report(done: &Output) -> serde_json::Value {
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{} {}", text(&done.stdout), text(&done.stderr)))
}

/// The process that serves at last, killed when dropped.
pub(crate) struct Last(pub(crate) u64);

impl Last {
    pub(crate) fn signal(&self, name: &str) {
        let id = self.0.to_string();
        std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

#[tokio::test]
async fn a_conversation_goes_from_process_to_process() {
    let data = TempDir::new().unwrap();
    let program = Program::serve(data.path());
    let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
    let mut pid = program.id();
    let mut last = None;
    for round in 0..3 {
        alice.writes_to(&mut bob, &format!("before {round}")).await;
        let half = bob.sealed(alice.counter + 1, "in two halves");
        alice.counter += 1;
        let half = alice.link().frame(&[half]);
        alice.link().pipe.send(&half[..7]).await;
        let done = upgrades(&data, &[]);
        let report = report(&done);
        assert_eq!(done.status.code(), Some(0), "{report}");
        assert_eq!((&report["ok"], &report["old_pid"]), (&true.into(), &pid.into()));
        assert_eq!((&report["sessions"], &report["dropped"]), (&2.into(), &0.into()));
        pid = report["new_pid"].as_u64().unwrap();
        last = Some(Last(pid));
        assert!(text(&done.stderr).contains("2 sessions are frozen"), "{}", text(&done.stderr));
        alice.link().pipe.send(&half[7..]).await;
        alice.sees_tick(alice.counter).await;
        let deliver = bob.receives("in two halves", &alice).await;
        bob.acknowledges(&deliver).await;
        alice.sees_delivered(&bob, alice.counter).await;
    }
    assert_eq!(program.ends(), Some(0), "the first one ended in order");
    let status = run(&["status", "--data", data.path().to_str().unwrap(), "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["sessions"], 2);
    let mut carol = Person::new(&alice.join, "carol");
    carol.dials().await.unwrap();
    carol.registers().await.unwrap();
    let last = last.unwrap(); // not for the moment of a signal: dropped it is killed
    last.signal("TERM");
    assert_eq!(bob.link().hears_goodbye().await.0, Refusal::Draining);
}

#[tokio::test]
async fn a_signal_asks_for_it_too() {
    let data = TempDir::new().unwrap();
    let mut program = Program::serve(data.path());
    let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
    program.signal("USR2");
    // The new process says that it is ready on the same output.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut program.out, &mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["join"], program.ready["join"]);
    assert_eq!(program.ends(), Some(0));
    alice.writes_to(&mut bob, "after").await;
    let report = report(&upgrades(&data, &[]));
    drop(Last(report["new_pid"].as_u64().unwrap()));
}

#[tokio::test]
async fn what_is_no_godwitd_is_refused_and_nothing_happens() {
    let data = TempDir::new().unwrap();
    let program = Program::serve(data.path());
    let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
    let none = data.path().join("none").to_str().unwrap().to_owned();
    let key = data.path().join("server.key").to_str().unwrap().to_owned();
    for (binary, why) in [
        (none.as_str(), "No such file"),
        (key.as_str(), "it is no program"),
        ("/bin/cat", "it is not godwitd"),
    ] {
        let done = upgrades(&data, &["--binary", binary]);
        assert_eq!(done.status.code(), Some(1));
        let error = text(&done.stderr);
        assert!(error.contains(why) && error.contains("goes on as it was"), "{error}");
        assert_eq!(report(&done)["ok"], false);
    }
    alice.writes_to(&mut bob, "nothing happened").await;
    let elsewhere = TempDir::new().unwrap();
    let done = upgrades(&elsewhere, &[]);
    assert!(text(&done.stderr).contains("no server runs on"), "{}", text(&done.stderr));
}

#[test]
fn nobody_takes_over_by_hand() {
    let data = TempDir::new().unwrap();
    let at = data.path().to_str().unwrap();
    let mut command = godwitd(&["serve", "--data", at, "--take-over"]);
    let refused = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("godwitd upgrade"), "{}", text(&refused.stderr));
}
