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

#[tokio::test]
async fn the_store_needs_no_server() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit-bench"));
    command.args("store --backlog 2000 --in-flight 64 --seconds 1 --read-back --json".split(' '));
    let output = command.output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    has(&report, &["messages_per_s", "durable_ms.p50", "durable_ms.p99", "cpu_us_per_message"]);
    assert_eq!(report["refused"], 0);
    assert!(report["messages_per_s"].as_f64() > Some(0.0));
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
