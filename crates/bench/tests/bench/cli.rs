//! The program itself, as scripts call it.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::double::{Double, Fault};

/// Runs a load against the double and reads its report.
async fn report(double: &Double, load: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    command.args(load.split(' ')).args(["--json", "--join", &double.link.to_string()]);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{load}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn has(report: &Value, names: &[&str]) {
    for name in names {
        let path = format!("/{}", name.replace('.', "/"));
        assert!(report.pointer(&path).is_some(), "{name} is missing in {report}");
    }
}

#[tokio::test]
async fn idle_holds_its_connections_in_other_processes() {
    let double = Double::start(Fault::None).await;
    let report = report(&double, "idle --connections 250 --seconds 1 --keep-awake").await;
    has(
        &report,
        &[
            "user_bytes_per_connection",
            "kernel_bytes_per_connection",
            "idle_cpu_us_per_connection_s",
        ],
    );
    assert_eq!(report["connections"], 250);
    assert_eq!(report["broken_connections"], 0);
    assert_eq!(report["conditions"]["kept_awake"], true);
    assert_eq!(double.attached(), 250);
}

/// The server is told before it hears nothing, and no more than it allows.
#[tokio::test]
async fn idle_connections_are_quiet_for_as_long_as_was_asked() {
    for (asked, kept) in [("90", 90), ("3600", 240)] {
        let double = Double::start(Fault::None).await;
        let idle = format!("idle --connections 3 --seconds 1 --keepalive {asked}");
        assert_eq!(report(&double, &idle).await["keepalive_s"], kept);
        assert_eq!(double.intervals_s(), [kept; 3]);
    }
}

#[tokio::test]
async fn chat_and_handshake_tell_what_scripts_read() {
    let double = Double::start(Fault::None).await;
    let chat = report(&double, "chat --pairs 2 --window 2 --seconds 1").await;
    has(
        &chat,
        &[
            "messages_per_s",
            "server_cpu_us_per_message",
            "delivery_ms.p50",
            "delivery_ms.p99",
            "accepted_ms.p50",
            "accepted_ms.p99",
            "lost",
            "duplicated",
        ],
    );
    let handshake = report(&double, "handshake --seconds 1 --at-once 2").await;
    has(&handshake, &["full_per_cpu_s", "resumed_per_cpu_s"]);
}

const STORM: &str = "storm --connections 120 --pairs 3 --rate 200 --calm 1";

/// A storm against a server with a fault.
async fn storm(fault: Fault, seconds: u32) -> Value {
    let double = Double::start(fault).await;
    let report = report(&double, &format!("{STORM} --seconds {seconds}")).await;
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(report["broken_connections"], 0, "{report}");
    report
}

#[tokio::test]
async fn in_a_storm_all_come_back_with_their_tickets_while_some_stay() {
    let report = storm(Fault::None, 60).await;
    has(&report, &["all_back_s", "server_cpu_s", "peak_rss_ratio", "failed"]);
    has(&report, &["back_ms.p99", "stayed.delivery_ms_before.p99", "stayed.p99_ratio"]);
    assert!(report["all_back_s"].as_f64().is_some(), "{report}");
    if cfg!(target_os = "linux") {
        let stayed = &report["stayed"];
        assert!(stayed["server_p99_ratio"].as_f64().is_some(), "{report}");
        let [whole, server] = ["delivery_ms_during", "server_ms_during"]
            .map(|name| stayed[name]["p50"].as_f64().unwrap());
        assert!(server > 0.0 && server <= whole, "a part of the whole: {report}");
    }
    for (name, count) in [("attempts", 120), ("resumed", 120), ("full", 0), ("failed", 0)] {
        assert_eq!(report[name], count, "{name} in {report}");
    }
}

#[tokio::test]
async fn who_is_turned_away_comes_again_when_it_was_told_to() {
    let report = storm(Fault::BusyEvery(3), 60).await;
    let refused = report["refused_busy"].as_u64().unwrap();
    assert!(refused >= 40, "every third: {report}");
    assert_eq!(report["attempts"].as_u64().unwrap(), 120 + refused);
    // A ticket is used once: who comes again does so without one.
    assert_eq!(report["full"].as_u64().unwrap(), refused, "{report}");
    assert_eq!(report["failed"], 0);
}

#[tokio::test]
async fn a_ticket_that_is_not_valid_is_followed_by_the_full_handshake() {
    let report = storm(Fault::ForgetTickets, 60).await;
    for (name, count) in [("tickets_refused", 120), ("full", 120), ("failed", 0)] {
        assert_eq!(report[name], count, "{name} in {report}");
    }
}

#[tokio::test]
async fn who_does_not_come_back_in_time_has_failed() {
    let report = storm(Fault::SilentEvery(40), 2).await;
    assert_eq!(report["failed"], 3, "{report}");
    assert!(report["all_back_s"].is_null(), "{report}");
}

#[tokio::test]
async fn a_run_is_kept_and_several_become_a_picture() {
    let double = Double::start(Fault::None).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    for window in [1, 4] {
        let load = format!("chat --pairs 2 --seconds 1 --window {window} --out {out}");
        report(&double, &load).await;
    }
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    let names: Vec<_> = names.iter().map(|file| file.file_name().into_string().unwrap()).collect();
    let expected = ["chat-2.json", "chat-2.md", "chat-2.svg", "chat.json", "chat.md", "chat.svg"];
    assert_eq!(names, expected);
    let mut plot = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    plot.args(["plot", "--x", "window", "--y", "messages_per_s,delivery_ms.p99", "--log-y"]);
    plot.current_dir(&folder).args(["chat.json", "chat-2.json", "--out", "both.svg"]);
    assert!(plot.status().await.unwrap().success());
    let svg = std::fs::read_to_string(folder.path().join("both.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.matches("<circle").count() == 4, "{svg}");
}

#[tokio::test]
async fn the_store_needs_no_server() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    command.args("store --backlog 2000 --in-flight 64 --seconds 1 --read-back --json".split(' '));
    let output = command.output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    has(&report, &["messages_per_s", "durable_ms.p50", "durable_ms.p99", "cpu_us_per_message"]);
    assert_eq!(report["refused"], 0);
    assert!(report["messages_per_s"].as_f64() > Some(0.0));
    for part in ["killed", "spike", "expiry"] {
        assert!(report[part].is_null(), "{part} was not asked for");
    }
}

#[tokio::test]
async fn the_store_tells_how_it_comes_back_from_a_kill() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    command.args("store --backlog 3000 --per-mailbox 10 --killed --seconds 1 --json".split(' '));
    let output = command.output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    has(&report["killed"], &["warm_s", "cold_s"]);
    assert_eq!(
        (&report["killed"]["records"], &report["killed"]["mailboxes"]),
        (&3_000.into(), &300.into())
    );
}

#[tokio::test]
async fn the_store_tells_what_a_spike_leaves_and_what_expiry_costs() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    let load = "store --backlog 3000 --per-mailbox 10 --spike 20000 --expire --seconds 1 --json";
    let output = command.args(load.split(' ')).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    has(&report, &["rss_bytes_per_record", "disk_bytes_per_record", "cache_bytes_max"]);
    has(&report["spike"], &["disk_bytes_before", "disk_bytes_peak", "disk_bytes_drained"]);
    has(&report["spike"], &["disk_bytes_after", "returned_after_s", "durable_ms"]);
    has(&report["spike"], &["disk_bytes_reopened", "reopened_s"]);
    let spike = |name: &str| report["spike"][name].as_u64().unwrap();
    for at in ["disk_bytes_before", "disk_bytes_drained"] {
        assert!(spike(at) <= spike("disk_bytes_peak"), "{report}");
    }
    has(&report["expiry"], &["seconds", "durable_ms.p99", "messages_per_s"]);
    let expired = report["expiry"]["expired"].as_u64().unwrap();
    assert!(expired >= 3_000, "{expired}"); // and what was under way at that moment
    assert_eq!(report["expiry"]["refused"], 0);
}

#[tokio::test]
async fn a_missing_server_is_named_with_what_to_do() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    let output = command.args(["chat", "--server", "/nowhere/godwitd"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/godwitd does not exist; build it with"), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_godwit-bench"))
        .args(["chat", "--pairs", "0"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "wrong usage");
}

#[tokio::test]
async fn more_connections_than_a_process_may_open_files_are_wrong_usage() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    let call = "chat --pairs 9500 --beside 18000";
    let output = command.args(call.split(' ')).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("37000 connections are too many"), "{said}");
}

#[tokio::test]
async fn who_cannot_keep_the_cpus_awake_is_told_what_to_install() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    let call = "chat --keep-awake --server /nowhere/godwitd";
    let output = command.args(call.split(' ')).env("PATH", "/nowhere").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--keep-awake needs chrt, install util-linux"), "{said}");
}
