//! Names, pictures, blocks, mutes and reports.

use crate::stage::{Home, Server};

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    (server, alice, bob)
}

#[test]
fn a_name_and_a_picture_reach_whom_one_writes_to() {
    let (_server, alice, bob) = stage();
    let picture = std::path::Path::new(alice.path()).join("me.png");
    std::fs::write(&picture, b"\x89PNG\r\n\x1a\nrest").unwrap();
    let picture = picture.to_str().unwrap();
    alice.run(&["profile", "set", "--name", "Alice A.", "--picture", picture]).succeeds();
    let own = alice.run(&["profile", "show", "--json"]).succeeds().json();
    assert_eq!((&own[0]["name"], &own[0]["picture_bytes"]), (&"Alice A.".into(), &12.into()));
    alice.run(&["send", "bob", "hello"]).succeeds();
    // The profile goes out beside the message, with this or any later command.
    let mut listen = bob.start(&["listen", "--json"]);
    alice.run(&["send", "bob", "more", "--wait", "delivered"]).succeeds();
    let contact = listen.next_event("contact");
    assert_eq!((&contact["with"], &contact["name"]), (&"alice".into(), &"Alice A.".into()));
    drop(listen);
    let history = bob.run(&["history", "alice", "--json"]).succeeds().json();
    assert_eq!(history.len(), 2, "a profile is no message: {history:?}");
    assert_eq!(history[0]["name"], "Alice A.");
    assert_eq!(bob.run(&["chats", "--json"]).succeeds().json()[0]["name"], "Alice A.");
    let lines = bob.run(&["contacts"]).succeeds().output;
    assert!(lines.starts_with("alice (Alice A.)"), "{lines}");
    alice.run(&["profile", "set", "--name", &"n".repeat(65)]).fails(2, "64");
    assert_eq!(alice.run(&["profile", "set"]).code, Some(2));
}

#[test]
fn a_changed_name_is_sent_before_the_command_ends() {
    let (server, alice, bob) = stage();
    alice.run(&["send", "bob", "hello"]).succeeds();
    let mut listen = bob.start(&["listen", "--json"]);
    listen.next_event("message");
    let set = alice.run(&["profile", "set", "--name", "Alice B.", "--json"]).succeeds().json();
    assert_eq!((&set[0]["name"], &set[0]["told"]), (&"Alice B.".into(), &true.into()));
    // No other program of hers is started.
    while listen.next_event("contact")["name"] != "Alice B." {}
    drop(server.stop());
    let set = alice.run(&["profile", "set", "--name", "Alice C."]).succeeds().output;
    assert!(set.contains("Alice C.") && set.contains("not everybody was sent it yet"), "{set}");
}

#[test]
fn what_a_blocked_contact_sends_is_not_shown_and_nothing_is_sent_to_them() {
    let (_server, alice, bob) = stage();
    alice.run(&["send", "bob", "hello"]).succeeds();
    bob.run(&["listen", "--json", "--count", "1"]).succeeds();
    bob.run(&["mute", "alice", "8h"]).succeeds();
    let blocked = bob.run(&["block", "alice", "--json"]).succeeds().json();
    assert_eq!(blocked[0]["blocked"], true);
    bob.run(&["send", "alice", "no"]).fails(4, "unblock");
    let listen = bob.start(&["listen", "--json"]);
    alice.run(&["send", "bob", "do you see me?", "--wait", "delivered"]).succeeds();
    drop(listen);
    let chats = bob.run(&["chats", "--json"]).succeeds().json();
    assert_eq!((&chats[0]["last_text"], &chats[0]["blocked"]), (&"hello".into(), &true.into()));
    assert!(chats[0]["muted_until_ms"].as_u64().unwrap() > 0);
    bob.run(&["unblock", "alice"]).succeeds();
    bob.run(&["unmute", "alice"]).succeeds();
    alice.run(&["send", "bob", "and now?"]).succeeds();
    let heard = bob.run(&["listen", "--json", "--count", "1"]).succeeds().json();
    assert!(heard.iter().any(|line| line["text"] == "and now?"), "{heard:?}");
}

/// Alice has met neither bob nor anybody else.
#[test]
fn whoever_was_never_met_is_looked_up_and_nobody_is_a_refusal() {
    let (server, alice, _bob) = stage();
    let commands: [&[&str]; 9] = [
        &["block", "WHO"],
        &["unblock", "WHO"],
        &["mute", "WHO", "8h"],
        &["unmute", "WHO"],
        &["verify", "WHO", "--confirm"],
        &["report", "WHO", "--last", "0", "--reason", "spam", "--yes"],
        &["presence", "WHO"],
        &["presence", "WHO", "--watch"],
        &["timer", "WHO", "1d"],
    ];
    let named = |command: &[&'static str], who: &'static str| -> Vec<&'static str> {
        command.iter().map(|word| if *word == "WHO" { who } else { *word }).collect()
    };
    for command in commands {
        alice.run(&named(command, "nobody")).fails(4, "nobody has this handle");
        alice.run(&named(command, "alice")).fails(1, "your own handle");
        if !command.contains(&"--watch") {
            // A home of its own: no command before it has met anybody.
            let home = server.joined(&format!("new-{}", command[0]));
            home.run(&named(command, "bob")).succeeds();
        }
    }
    let new = server.joined("carol");
    let verified = new.run(&["verify", "bob", "--confirm", "--json"]).succeeds().json();
    assert_eq!(verified[0]["verified"], true);
    // What is known needs no server.
    drop(server.stop());
    new.run(&["block", "bob"]).succeeds();
    new.run(&["verify", "bob"]).succeeds();
    let late = new.run(&["presence", "bob", "--timeout", "0.5"]);
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(!late.errors.contains("outbox"), "nothing was sent: {late:?}");
}

#[test]
fn a_report_is_meant_and_then_the_operator_can_read_it() {
    let (server, alice, bob) = stage();
    for text in ["first", "second", "third"] {
        alice.run(&["send", "bob", text]).succeeds();
    }
    bob.run(&["listen", "--json", "--count", "3"]).succeeds();
    bob.run(&["report", "alice", "--last", "2"]).fails(2, "the operator of the server can read");
    let report = ["report", "alice", "--last", "2", "--reason", "spam", "--yes", "--json"];
    let done = bob.run(&report).succeeds().json();
    assert_eq!(done[0]["messages"], 2);
    let data = server.data().to_str().unwrap();
    let listed = server.order(&["reports", "--json", "--data", data]);
    let report: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&report["handle"], &report["reason"]), (&"alice".into(), &"spam".into()));
    let line = server.order(&["reports", "--data", data]);
    let at: Vec<&str> = line.lines().next().unwrap().split(' ').collect();
    assert_eq!((at[0], at[4]), ("alice", "at"));
    assert!(at[5].contains('T') && at[5].ends_with("Z:"), "a time that people can read: {line}");
    let texts: Vec<_> = report["messages"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["second", "third"]);
}
