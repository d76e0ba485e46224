//! One of the two processes of an upgrade dies midway, at each step.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use godwit_server::crash::{GIVING_POINTS, HANDOVER_POINTS};
use godwit_wire::Refusal;
use tempfile::TempDir;

use super::life::joins;
use super::link::Heard;
use super::person::{Person, is_text};
use super::program::{Program, godwitd, run, text};
use super::upgrade::{Last, report, upgrades};

/// A server of which a process dies there.
fn mortal(data: &TempDir, point: &str) -> Program {
    let at = data.path().to_str().unwrap();
    let mut command = godwitd(&["serve", "--data", at, "--listen", "127.0.0.1:0", "--json"]);
    command.env("GODWIT_CRASH_AT", format!("{point}:1"));
    Program::spawn(command)
}

async fn are_cut_off(people: [&mut Person; 2]) {
    for person in people {
        while person.link().next().await != Heard::Closed {}
    }
}

/// Dies at every step once; before it has the sessions, they go on in the old process.
#[tokio::test]
async fn a_new_process_that_dies_costs_nobody_a_message() {
    for (number, point) in (1..).zip(HANDOVER_POINTS) {
        let data = TempDir::new().unwrap();
        let program = mortal(&data, point);
        let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
        alice.writes_to(&mut bob, "before").await;
        let done = upgrades(&data, &[]);
        assert_eq!(done.status.code(), Some(1), "{point}");
        let error = text(&done.stderr);
        if number <= 4 {
            let goes_on =
                error.contains("all sessions go on") || error.contains("goes on as it was");
            assert!(goes_on, "{point}: {error}");
            alice.writes_to(&mut bob, "after").await;
        } else {
            assert!(error.contains("dial the old server again"), "{point}: {error}");
            are_cut_off([&mut alice, &mut bob]).await;
        }
        bob.comes_back().await;
        alice.comes_back().await;
        let counter = alice.sends("again").to(&bob).await;
        alice.sees_tick(counter).await;
        bob.receives("again", &alice).await;
        program.signal("TERM");
        assert_eq!(program.ends(), Some(0), "{point}");
    }
}

/// `godwitd` that leaves its number, its last words and its exit code in a folder. Its parent dies before it,
/// so nobody else hears them.
struct Watched(TempDir);

impl Watched {
    fn new() -> Self {
        let watched = Self(TempDir::new().unwrap());
        let godwitd = env!("CARGO_BIN_EXE_godwitd");
        let at = watched.0.path().display();
        let script = format!(
            "#!/bin/sh\n\
             [ \"$1\" = --version ] && exec '{godwitd}' --version\n\
             unset GODWIT_CRASH_AT\n\
             sh -c 'echo $$ > {at}/number; exec {godwitd} \"$@\"' sh \"$@\" 2> {at}/words\n\
             echo $? > {at}/code\n"
        );
        fs::write(watched.binary(), script).unwrap();
        fs::set_permissions(watched.binary(), fs::Permissions::from_mode(0o700)).unwrap();
        watched
    }

    fn binary(&self) -> PathBuf {
        self.0.path().join("watched")
    }

    /// What it left under this name.
    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap().trim().to_owned()
    }

    /// The line that is meant for people, among those of its log.
    fn last_words(&self) -> Vec<String> {
        let words = self.left("words");
        words.lines().filter_map(|line| line.strip_prefix("godwitd: ")).map(str::to_owned).collect()
    }
}

/// The old one dies while the command waits.
fn dies_in_an_upgrade(data: &Path, watched: &Watched, point: &str) {
    let at = data.to_str().unwrap();
    let binary = watched.binary();
    let done = run(&["upgrade", "--data", at, "--json", "--binary", binary.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "{point}");
    let report = report(&done);
    let said = report["error"].as_str().unwrap();
    assert_eq!(report["ok"], false, "{point}");
    assert!(said.contains("ended before it answered") && said.contains("godwitd status"), "{said}");
}

/// Nobody serves then: the new one ends by itself, says so, and a restart finds all that was accepted.
#[tokio::test]
async fn when_the_old_process_dies_before_it_said_go_a_restart_has_everything() {
    let (gone, before) = GIVING_POINTS.split_last().unwrap();
    assert_eq!(*gone, "handover::gone");
    for point in before {
        let (data, watched) = (TempDir::new().unwrap(), Watched::new());
        let mut program = mortal(&data, point);
        let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
        let counter = alice.sends("before").to(&bob).await;
        alice.sees_tick(counter).await;
        bob.receives("before", &alice).await;
        dies_in_an_upgrade(data.path(), &watched, point);
        // The last process that writes there has ended.
        program.out.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(program.ends(), None, "{point}: it died there");
        assert_eq!(watched.left("code"), "1", "{point}");
        let words = watched.last_words();
        assert_eq!(words.len(), 1, "{point}: {words:?}");
        assert!(words[0].starts_with("the old server ended before this one could"), "{words:?}");
        assert!(words[0].ends_with("start godwitd again"), "{words:?}");
        are_cut_off([&mut alice, &mut bob]).await;

        let again = Program::serve(data.path());
        (alice.join, bob.join) = (again.join.clone(), again.join.clone());
        let waiting = bob.comes_back().await;
        assert_eq!(waiting.len(), 1, "{point}: {waiting:?}");
        let deliver = is_text(waiting.into_iter().next().unwrap(), "before", &alice);
        // Or the receipt is in her mailbox, and comes with what waits there.
        alice.comes_back().await;
        bob.acknowledges(&deliver).await;
        alice.sees_delivered(&bob, counter).await;
        alice.writes_to(&mut bob, "after").await;
        again.signal("TERM");
        assert_eq!(again.ends(), Some(0), "{point}");
    }
}

/// The new one has all and does not need it.
#[tokio::test]
async fn when_the_old_process_dies_after_it_said_go_the_new_one_serves_all() {
    let (data, watched) = (TempDir::new().unwrap(), Watched::new());
    let mut program = mortal(&data, "handover::gone");
    let (mut alice, mut bob) = (joins(&program, "alice").await, joins(&program, "bob").await);
    let counter = alice.sends("before").to(&bob).await;
    alice.sees_tick(counter).await;
    bob.receives("before", &alice).await;
    dies_in_an_upgrade(data.path(), &watched, "handover::gone");
    let last = Last(watched.left("number").parse().unwrap());
    // On the same links, by whoever serves them: nobody dialled.
    alice.writes_to(&mut bob, "after").await;
    bob.writes_to(&mut alice, "an answer").await;
    let done = upgrades(&data, &["--binary", env!("CARGO_BIN_EXE_godwitd")]);
    let report = report(&done);
    assert_eq!((&report["ok"], &report["sessions"]), (&true.into(), &2.into()), "{report}");
    assert_eq!(report["old_pid"], last.0);
    std::mem::forget(last);
    let last = Last(report["new_pid"].as_u64().unwrap());
    alice.writes_to(&mut bob, "and once more").await;
    last.signal("TERM");
    assert_eq!(bob.link().hears_goodbye().await.0, Refusal::Draining);
    program.out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(watched.left("code"), "0", "it handed over in order: {}", watched.left("words"));
}
