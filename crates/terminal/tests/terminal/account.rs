//! Joining, and why not.

use crate::stage::{Home, Server};

#[test]
fn joining_creates_an_account_and_says_what_next() {
    let server = Server::start();
    let home = Home::new();
    let said = home.run(&["join", &server.join, "--as", "alice"]).succeeds().output;
    assert!(said.contains("joined") && said.contains("godwit send"), "{said}");
    let other = Home::new();
    let joined = other.run(&["join", &server.join, "--as", "bob", "--json"]).succeeds().json();
    assert_eq!(joined.len(), 1);
    assert_eq!((&joined[0]["event"], &joined[0]["handle"]), (&"joined".into(), &"bob".into()));
    assert_eq!(joined[0]["account"].as_str().unwrap().len(), 16);
    assert_eq!(joined[0]["device"], 1);
}

#[test]
fn a_taken_handle_is_refused() {
    let server = Server::start();
    server.joined("alice");
    Home::new().run(&["join", &server.join, "--as", "alice"]).fails(4, ":");
}

#[test]
fn a_home_has_one_account() {
    let server = Server::start();
    let home = server.joined("alice");
    home.run(&["join", &server.join, "--as", "alice2"]).fails(1, "already belongs to alice");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = Server::start();
    let (join, address) = (server.join.clone(), server.address.clone());
    drop(server.stop());
    Home::new().run(&["join", &join, "--as", "alice"]).fails(1, &address);
}

fn with_another_key(join: &str) -> String {
    let (head, key) = join.split_once('#').unwrap();
    let other = if key.starts_with('A') { "B" } else { "A" };
    format!("{head}#{other}{}", &key[1..])
}

#[test]
fn a_wrong_server_key_is_found_out() {
    let server = Server::start();
    let wrong = with_another_key(&server.join);
    Home::new().run(&["join", &wrong, "--as", "alice"]).fails(4, "the server has another key");
}

/// The first attempt was refused and left a ticket of that server in the home.
#[test]
fn a_wrong_server_key_is_found_out_by_a_home_that_was_there_before() {
    let server = Server::start();
    server.joined("alice");
    let home = Home::new();
    home.run(&["join", &server.join, "--as", "alice"]).fails(4, ":");
    let wrong = with_another_key(&server.join);
    home.run(&["join", &wrong, "--as", "bob"]).fails(4, "the server has another key");
}

#[test]
fn what_a_home_holds_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let home = server.joined("alice");
    for file in ["godwit.db", "key", "lock"] {
        let path = std::path::Path::new(home.path()).join(file);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
}

#[test]
fn an_invite_opens_a_closed_door() {
    let server = Server::start_with("[admission]\npolicy = \"invite\"\n");
    let home = Home::new();
    home.run(&["join", &server.join, "--as", "alice"]).fails(4, "invite");
    let data = server.data().to_str().unwrap();
    let printed = server.order(&["invite", "--data", data]);
    let code = printed.split_whitespace().find(|word| word.len() >= 8).unwrap().to_owned();
    home.run(&["join", &server.join, "--as", "alice", "--invite", &code]).succeeds();
}

#[test]
fn a_home_put_back_from_a_copy_is_refused_and_the_newest_goes_on() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    alice.run(&["send", "bob", "before the copy"]).succeeds();
    let copy = alice.copy();
    alice.run(&["send", "bob", "after it"]).succeeds();
    copy.run(&["send", "bob", "from the copy"]).fails(4, "older copy of itself");
    copy.run_with(&["send", "bob", "--lines"], "a line\n").fails(4, "older copy of itself");
    let heard = copy.run(&["listen", "--json", "--timeout", "1"]).json();
    let warned = |it: &serde_json::Value| it["event"] == "warning" && it["kind"] == "restored";
    assert!(heard.iter().any(warned), "{heard:?}");
    alice.run(&["send", "bob", "and the newest goes on"]).succeeds();
    let heard = bob.run(&["listen", "--json", "--count", "3"]).succeeds().json();
    let texts: Vec<_> = heard.iter().filter_map(|it| it["text"].as_str()).collect();
    assert_eq!(texts, ["before the copy", "after it", "and the newest goes on"]);
}
