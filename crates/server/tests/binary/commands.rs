//! The commands beside `serve`.

use tempfile::TempDir;

use super::program::{Program, run, text};

#[test]
fn wrong_usage_is_2_and_anything_else_that_fails_is_1_with_one_line() {
    assert_eq!(run(&["serve", "--port", "1"]).status.code(), Some(2));
    assert_eq!(run(&["dance"]).status.code(), Some(2));
    let data = TempDir::new().unwrap();
    let status = run(&["status", "--data", data.path().to_str().unwrap()]);
    assert_eq!(status.status.code(), Some(1));
    let error = text(&status.stderr);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("no server runs on") && error.contains("godwitd serve"), "{error}");
}

#[test]
fn check_config_names_the_wrong_key_and_prints_a_good_example() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("godwit.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[rate]\nsubmisions_per_s = 5\n").unwrap();
    let wrong = run(&["check-config", path]);
    assert_eq!(wrong.status.code(), Some(1));
    let error = text(&wrong.stderr);
    assert!(error.contains("line 2") && error.contains("`rate.submisions_per_s`"), "{error}");
    assert!(error.contains("did you mean `submissions_per_s`"), "{error}");
    let serve = run(&["serve", "--config", path]);
    assert_eq!(serve.status.code(), Some(1), "a server does not start on it either");
    std::fs::write(&file, run(&["check-config", "--example"]).stdout).unwrap();
    let good = run(&["check-config", path]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert_eq!(run(&["check-config"]).status.code(), Some(2));
}

#[test]
fn the_operator_is_answered_by_the_running_server_and_by_the_files_alone() {
    let data = TempDir::new().unwrap();
    let at = data.path().to_str().unwrap();
    let program = Program::serve(data.path());
    let json = |arguments: &[&str]| -> serde_json::Value {
        let done = run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let status = json(&["status", "--data", at, "--json"]);
    assert_eq!(status["join"], program.ready["join"]);
    assert_eq!(json(&["tree", "--data", at, "--json"])["name"], "root");
    let tree = text(&run(&["tree", "--data", at]).stdout);
    assert!(tree.starts_with("root (rest-for-one)") && tree.contains("─ door"), "{tree}");
    assert!(tree.contains("live 0") && tree.contains("─ watchdog"), "{tree}");
    let nobody = run(&["session", "nobody", "--data", at]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("nobody is called that"), "{}", text(&nobody.stderr));
    assert_eq!(run(&["session", "--data", at]).status.code(), Some(2), "whose?");
    let none = text(&run(&["session", "0123456789abcdef.1", "--data", at]).stdout);
    assert_eq!(none, "device 0123456789abcdef.1\n  no session has its mailbox\n");
    assert_eq!(json(&["invite", "--data", at, "--json"])["join"], program.ready["join"]);
    let rotated = json(&["rotate-key", "--data", at, "--json"]);
    assert_ne!(rotated["join"], program.ready["join"]);
    assert_eq!(json(&["status", "--data", at, "--json"])["join"], rotated["join"], "at once");
    let said = text(&run(&["rotate-key", "--data", at]).stdout);
    assert!(said.contains("in use now") && said.contains("godwit://127.0.0.1:"), "{said}");
    let backup = data.path().join("b1.redb");
    let done = json(&["backup", backup.to_str().unwrap(), "--data", at, "--json"]);
    assert!(done["file_bytes"].as_u64().unwrap() > 0);
    assert!(!run(&["verify", "--data", at]).status.success(), "the server has the store");
    let refused = run(&["compact", "--data", at]);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(error.contains("in use by another process; stop that one first"), "{error}");
    program.signal("TERM");
    assert_eq!(program.ends(), Some(0));
    assert_eq!(json(&["invite", "--data", at, "--json"])["code"].as_str().unwrap().len(), 23);
    let compacted = json(&["compact", "--data", at, "--json"]);
    let bytes = |name: &str| compacted[name].as_u64().unwrap();
    assert!(bytes("before_bytes") >= bytes("after_bytes") && bytes("after_bytes") > 0);
    let said = text(&run(&["compact", "--data", at]).stdout);
    assert!(said.ends_with(&format!(", {} bytes now\n", bytes("after_bytes"))), "{said}");
    assert!(json(&["verify", "--data", at, "--json"])["rows"].as_u64().unwrap() > 0);
    let elsewhere = TempDir::new().unwrap();
    assert!(!run(&["compact", "--data", elsewhere.path().to_str().unwrap()]).status.success());
    assert!(!elsewhere.path().join("store").exists(), "none is made");
    let to = elsewhere.path().to_str().unwrap();
    assert!(run(&["restore", backup.to_str().unwrap(), "--data", to]).status.success());
    let again = run(&["restore", backup.to_str().unwrap(), "--data", to]);
    assert!(text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
    assert!(!json(&["rotate-key", "--data", at, "--json"])["node"].is_null());
    let said = text(&run(&["rotate-key", "--data", at]).stdout);
    assert!(said.contains("from the next start"), "{said}");
    let program = Program::serve(elsewhere.path());
    assert_ne!(program.ready["node"], status["node"], "the key is not in the backup");
}

#[cfg(not(feature = "fail-points"))]
#[test]
fn a_release_has_no_crash_points_and_says_so() {
    let data = TempDir::new().unwrap();
    let at = data.path().to_str().unwrap();
    let mut command = super::program::godwitd(&["serve", "--data", at, "--listen", "127.0.0.1:0"]);
    let refused = command.env("GODWIT_CRASH_AT", "store::synced:1").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("fail-points"));
}
