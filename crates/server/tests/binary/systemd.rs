//! What systemd does and hears, played by the test.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::person::Person;
use super::program::{Program, run, text};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The next word in which there is this, at the beginning of a line.
fn hears(systemd: &UnixDatagram, what: &str) -> String {
    loop {
        let mut word = [0; 512];
        let n = systemd.recv(&mut word).expect("systemd is told");
        let word = text(&word[..n]);
        if word.lines().any(|line| line.starts_with(what)) {
            return word;
        }
    }
}

/// The next word that tells of the main process: its id, and whether it is ready.
fn hears_of_main(systemd: &UnixDatagram) -> (u64, bool) {
    let word = hears(systemd, "MAINPID=");
    let pid = word.lines().find_map(|line| line.strip_prefix("MAINPID=")).expect("a process");
    (pid.parse().unwrap(), word.lines().any(|line| line == "READY=1"))
}

#[tokio::test]
async fn the_port_comes_from_systemd_and_the_new_main_process_is_told() {
    let data = TempDir::new().unwrap();
    let at = data.path().to_str().unwrap();
    let told = data.path().join("notify.sock");
    let systemd = UnixDatagram::bind(&told).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    // The first descriptor that is passed is 3, to the process with the id that is named.
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_godwitd"), "serve", "--data", at, "--json"])
        .env("NOTIFY_SOCKET", &told)
        .env("WATCHDOG_USEC", "60000000")
        .stdin(Stdio::from(OwnedFd::from(port)));
    let program = Program::spawn(command);
    assert_eq!(program.join.address(), address.to_string());
    assert_eq!(hears_of_main(&systemd), (program.id(), true));
    hears(&systemd, "WATCHDOG=1");
    let mut alice = Person::new(&program.join, "alice");
    alice.dials().await.unwrap();
    alice.registers().await.unwrap();
    let done = run(&["upgrade", "--data", at, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let new = report["new_pid"].as_u64().unwrap();
    assert_eq!(hears_of_main(&systemd), (new, true));
    assert_eq!(program.ends(), Some(0), "by then systemd knows the new one");
    // All that the old one said comes before what the new one says.
    hears(&systemd, "WATCHDOG=1");
    alice.attaches().await;
    let stopped = Command::new("kill").arg(new.to_string()).status().unwrap();
    assert!(stopped.success());
    hears(&systemd, "STOPPING=1");
}

#[test]
fn the_units_are_what_systemd_takes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd");
    let mut command = Command::new("systemd-analyze");
    command.arg("verify");
    for unit in ["godwitd.service", "godwitd.socket"] {
        command.arg(format!("{folder}/{unit}"));
    }
    let Ok(done) = command.output() else { return }; // no systemd on this machine
    let said = text(&done.stderr);
    // The program is not installed where it is to be.
    let wrong = said.lines().filter(|line| !line.contains("/usr/local/bin/godwitd is not exec"));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&str>::new());
}
