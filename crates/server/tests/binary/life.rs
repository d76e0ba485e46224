//! Up, down, and up again.

use std::io::Read;

use godwit_wire::Refusal;
use tempfile::TempDir;

use super::person::Person;
use super::program::{Program, godwitd, run, text};

pub(crate) async fn joins(program: &Program, handle: &str) -> Person {
    let mut person = Person::new(&program.join, handle);
    person.dials().await.unwrap();
    person.registers().await.unwrap();
    person.attaches().await;
    person
}

#[tokio::test]
async fn the_first_line_is_the_ready_event_and_the_port_is_real() {
    let data = TempDir::new().unwrap();
    let mut program = Program::serve(data.path());
    assert_eq!(program.ready["event"], "ready");
    assert_eq!(program.ready["http"], format!("http://{}", program.join.address()));
    assert_eq!(program.ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(program.ready["node"].as_str().unwrap().len(), 8);
    assert_ne!(program.join.port, 0);
    let mut alice = joins(&program, "alice").await;
    program.signal("TERM");
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::Draining);
    alice.hangs_up();
    let mut rest = String::new();
    program.out.read_to_string(&mut rest).unwrap();
    for line in rest.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    assert_eq!(program.ends(), Some(0));
}

#[tokio::test]
async fn what_was_ticked_survives_kill_9() {
    let data = TempDir::new().unwrap();
    let program = Program::serve(data.path());
    let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
    bob.hangs_up();
    let mut ticked = 0;
    for n in 1..=50 {
        let counter = alice.sends(&format!("line {n}")).to(&bob).await;
        alice.sees_tick(counter).await;
        ticked = n;
    }
    program.signal("KILL");
    assert_eq!(program.ends(), None, "ended by the signal");
    let program = Program::serve(data.path());
    bob.join = program.join.clone();
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), ticked);
    for (n, message) in (1..).zip(waiting) {
        super::person::is_text(message, &format!("line {n}"), &alice);
    }
}

#[test]
fn without_arguments_the_data_is_the_users_own() {
    let home = TempDir::new().unwrap();
    let mut command = godwitd(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("XDG_DATA_HOME", home.path());
    let program = Program::spawn(command);
    assert!(home.path().join("godwit/server.key").exists());
    drop(program);
    let mut command = godwitd(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("HOME", home.path());
    drop(Program::spawn(command));
    assert!(home.path().join(".local/share/godwit/server.key").exists());
    let homeless = run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(homeless.status.code(), Some(1));
    assert!(text(&homeless.stderr).contains("--data DIR"));
}

#[test]
fn two_servers_never_share_a_folder_or_a_port() {
    let (data, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = Program::serve(data.path());
    let again = run(&["serve", "--data", data.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("in use by another process"), "{}", text(&again.stderr));
    let address = program.join.address();
    let same = run(&["serve", "--data", other.path().to_str().unwrap(), "--listen", &address]);
    assert_eq!(same.status.code(), Some(1));
    let error = text(&same.stderr);
    assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
    assert!(error.contains("--listen"), "{error}");
    assert_eq!(error.lines().filter(|line| line.starts_with("godwitd: ")).count(), 1, "{error}");
}

#[test]
fn a_part_that_never_comes_up_ends_the_server_and_is_named() {
    let data = TempDir::new().unwrap();
    // Where the admin socket is made before it gets its name: a folder, which nothing replaces.
    std::fs::create_dir(data.path().join("admin.new")).unwrap();
    let ended = run(&["serve", "--data", data.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.status.code(), Some(1));
    let error = text(&ended.stderr);
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("godwitd: ") && last.contains("admin failed"), "{error}");
    assert!(last.contains("5 restarts in 60 s were not enough"), "{error}");
}

#[test]
fn a_person_reads_what_to_type_next() {
    let data = TempDir::new().unwrap();
    let mut command = godwitd(&["serve", "--listen", "127.0.0.1:0", "--data"]);
    let child = command
        .arg(data.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut child = child.unwrap();
    let mut seen = String::new();
    let mut out = child.stdout.take().unwrap();
    while !seen.contains("Ctrl-C") {
        let mut bytes = [0; 4_096];
        let n = out.read(&mut bytes).unwrap();
        assert!(n > 0, "{seen}");
        seen.push_str(&text(&bytes[..n]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.contains("Join link   godwit://127.0.0.1:"), "{seen}");
    assert!(seen.contains("--as alice"), "{seen}");
}
