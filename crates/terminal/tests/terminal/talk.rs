//! Sending, listening, history: the contract that scripts rely on.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::stage::{Home, Server, wait};

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    (server, alice, bob)
}

/// Bob gets a first message of alice, so that he knows her keys.
fn meet(alice: &Home, bob: &Home) {
    alice.run(&["send", "bob", "it is me"]).succeeds();
    bob.run(&["listen", "--json", "--count", "1"]).succeeds();
}

fn is_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts[0].len() == 16 && parts[2].parse::<u64>().is_ok()
}

#[test]
fn send_prints_the_id_and_waits_for_one_tick() {
    let (_server, alice, _bob) = stage();
    let sent = alice.run(&["send", "bob", "hi"]).succeeds();
    assert!(is_id(sent.output.trim()), "{sent:?}");
    assert_eq!(sent.errors, "");
    let sent = alice.run(&["send", "bob", "hi again", "--json"]).succeeds().json();
    assert_eq!(sent.len(), 1);
    assert!(is_id(sent[0]["id"].as_str().unwrap()));
    assert_eq!(sent[0]["state"], "accepted");
}

#[test]
fn listen_prints_what_waited_then_says_so() {
    let (_server, alice, bob) = stage();
    meet(&alice, &bob);
    let mut ids = Vec::new();
    for text in ["one", "two \u{1b}[31m", "three\nlines"] {
        ids.push(alice.run(&["send", "bob", text]).succeeds().output.trim().to_owned());
    }
    let mut listen = bob.start(&["listen", "--json"]);
    for (id, text) in ids.iter().zip(["one", "two \u{1b}[31m", "three\nlines"]) {
        let message = listen.next_json();
        assert_eq!(message["event"], "message");
        assert_eq!(message["id"], id.as_str());
        assert_eq!((&message["from"], &message["to"]), (&"alice".into(), &"bob".into()));
        assert_eq!(message["text"], text);
        assert!(message["sent_at_ms"].as_u64().unwrap() > 1_600_000_000_000, "{message}");
        assert!(message["received_at_ms"].as_u64().unwrap() > 1_600_000_000_000, "{message}");
    }
    listen.next_event("caught_up");
    alice.run(&["send", "bob", "live"]).succeeds();
    assert_eq!(listen.next_event("message")["text"], "live");
    listen.kill();
    // What was printed does not come again.
    alice.run(&["send", "bob", "after"]).succeeds();
    let later = bob.run(&["listen", "--json", "--count", "1"]).succeeds().json();
    let texts: Vec<&Value> =
        later.iter().filter(|line| line["event"] == "message").map(|line| &line["text"]).collect();
    assert_eq!(texts, ["after"]);
}

/// The next state that differs from what a start may show first.
fn next_state(watch: &mut crate::stage::Running, state: &str) -> Value {
    loop {
        let event = watch.next_event("presence");
        assert_eq!(event["who"], "bob");
        if event["state"] == state {
            return event;
        }
    }
}

#[test]
fn presence_is_told_while_it_is_watched_and_only_to_whom_it_is_shown() {
    let (_server, alice, bob) = stage();
    let shown = bob.run(&["settings", "presence", "--json"]).succeeds().json();
    assert_eq!(shown[0]["presence"], "everyone");
    let mut listen = alice.start(&["listen", "--presence", "nobody", "--json"]);
    let warning = listen.next_event("warning");
    assert_eq!((&warning["kind"], &warning["with"]), (&"presence".into(), &"nobody".into()));
    drop(listen);
    let mut watch = alice.start(&["presence", "bob", "--watch", "--json"]);
    let listen = bob.start(&["listen", "--count", "1"]);
    assert_eq!(next_state(&mut watch, "online").get("last_seen_ms"), None);
    bob.run(&["settings", "presence", "nobody"]).succeeds();
    next_state(&mut watch, "unknown");
    bob.run(&["settings", "presence", "contacts"]).succeeds();
    // Alice is no contact of his before he has written.
    bob.run(&["send", "alice", "hi"]).succeeds();
    next_state(&mut watch, "online");
    alice.run(&["send", "bob", "good night"]).succeeds();
    assert_eq!(listen.code(), Some(0));
    let offline = next_state(&mut watch, "offline");
    assert_eq!(offline["last_seen_ms"].as_u64().unwrap() % 60_000, 0);
    let once = alice.run(&["presence", "bob", "--json"]).succeeds().json();
    assert_eq!(once[0]["state"], "offline");
}

#[test]
fn who_hides_is_hidden_when_the_command_ends() {
    let (server, alice, bob) = stage();
    bob.run(&["send", "alice", "hi"]).succeeds();
    let mut watch = alice.start(&["presence", "bob", "--watch", "--json"]);
    next_state(&mut watch, "offline");
    let set = bob.run(&["settings", "presence", "nobody", "--json"]).succeeds().json();
    assert_eq!((&set[0]["presence"], &set[0]["told"]), (&"nobody".into(), &true.into()));
    // No other program of his is started.
    next_state(&mut watch, "unknown");
    drop(watch);
    drop(server.stop());
    let set = bob.run(&["settings", "presence", "everyone"]).succeeds().output;
    assert!(set.contains("everyone") && set.contains("not yet in force"), "{set}");
}

#[test]
fn people_read_lines_that_cannot_drive_their_terminal() {
    let (_server, alice, bob) = stage();
    alice.run(&["send", "bob", "red \u{1b}[31malert"]).succeeds();
    let heard = bob.run(&["listen", "--count", "1"]).succeeds().output;
    assert!(heard.ends_with("  alice: red ␛[31malert\n"), "{heard:?}");
}

#[test]
fn receipts_come_back_and_history_knows_each_state() {
    let (_server, alice, bob) = stage();
    let mut listen = alice.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    let id = alice.run(&["send", "bob", "hi"]).succeeds().output.trim().to_owned();
    let state = |home: &Home| {
        let history = home.run(&["history", "bob", "--json"]).succeeds().json();
        assert_eq!(history.len(), 1);
        assert_eq!(history[0]["id"], id.as_str());
        assert_eq!(history[0]["text"], "hi");
        history[0]["state"].clone()
    };
    assert_eq!(state(&alice), "accepted");
    bob.run(&["listen", "--json", "--count", "1"]).succeeds();
    let receipt = listen.next_event("receipt");
    assert_eq!((&receipt["id"], &receipt["by"]), (&Value::from(id.as_str()), &"bob".into()));
    assert_eq!(receipt["state"], "delivered");
    assert!(receipt["at_ms"].as_u64().is_some(), "{receipt}");
    assert_eq!(state(&alice), "delivered");
    // Bob's own history shows it from his side.
    let history = bob.run(&["history", "alice", "--json"]).succeeds().json();
    assert_eq!((&history[0]["from"], &history[0]["to"]), (&"alice".into(), &"bob".into()));
}

/// Whichever command takes it in: messages are printed once by a later listen, and states are stored.
#[test]
fn what_another_command_took_in_is_there_still() {
    let (_server, alice, bob) = stage();
    let id = alice.run(&["send", "bob", "hi"]).succeeds().output.trim().to_owned();
    bob.run(&["group", "list"]).succeeds();
    let history = bob.run(&["history", "alice", "--json"]).succeeds().json();
    assert_eq!(history.len(), 1, "the list took it in");
    let heard = bob.run(&["listen", "--json", "--count", "1"]).succeeds().json();
    assert_eq!(heard.iter().find(|line| line["event"] == "message").unwrap()["text"], "hi");
    alice.run(&["group", "list"]).succeeds();
    let history = alice.run(&["history", "bob", "--json"]).succeeds().json();
    assert_eq!((&history[0]["id"], &history[0]["state"]), (&id.into(), &"delivered".into()));
}

#[test]
fn listen_with_read_makes_the_ticks_blue() {
    let (_server, alice, bob) = stage();
    let mut send = alice.start(&["send", "bob", "look", "--wait", "read", "--json"]);
    let mut listen = bob.start(&["listen", "--json", "--read"]);
    assert_eq!(listen.next_event("message")["text"], "look");
    assert_eq!(send.next_json()["state"], "read");
    assert_eq!(send.code(), Some(0));
    let history = alice.run(&["history", "bob", "--json"]).succeeds().json();
    assert_eq!(history[0]["state"], "read");
}

#[test]
fn waiting_longer_than_the_timeout_is_exit_code_3_and_loses_nothing() {
    let (server, alice, bob) = stage();
    // Bob is away: accepted, not delivered.
    let sent =
        alice.run(&["send", "bob", "one", "--wait", "delivered", "--timeout", "0.3", "--json"]);
    let sent = sent.fails(3, "safe on the server").json();
    assert_eq!(sent[0]["state"], "accepted");
    // The server is away: it stays in the outbox.
    let server = server.restart(|| {
        let sent = alice.run(&["send", "bob", "two", "--timeout", "0.3", "--json"]);
        assert_eq!(sent.code, Some(3), "{sent:?}");
        assert!(sent.errors.contains("stays in the outbox"), "{sent:?}");
        assert_eq!(sent.json()[0]["state"], "pending");
    });
    alice.run(&["send", "bob", "three"]).succeeds();
    let heard = bob.run(&["listen", "--json", "--count", "3"]).succeeds().json();
    let texts: Vec<&Value> =
        heard.iter().filter(|line| line["event"] == "message").map(|line| &line["text"]).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    drop(server);
}

#[test]
fn nobody_there_is_a_refusal() {
    let (_server, alice, _bob) = stage();
    let sent = alice.run(&["send", "nobody", "hi", "--json"]);
    let sent = sent.fails(4, "nobody has this handle").json();
    assert_eq!(sent.last().unwrap()["state"], "failed");
    assert!(sent.last().unwrap()["reason"].as_str().unwrap().contains("handle"));
}

#[test]
fn an_empty_text_is_wrong_usage_and_sends_nothing() {
    let (_server, alice, _bob) = stage();
    alice.run(&["send", "bob", ""]).fails(2, "empty");
    assert_eq!(alice.run(&["history", "bob", "--json"]).output, "");
}

#[test]
fn listen_ends_by_time() {
    let (_server, alice, bob) = stage();
    bob.run(&["listen", "--json", "--timeout", "0.2"]).succeeds();
    alice.run(&["send", "bob", "only one"]).succeeds();
    bob.run(&["listen", "--json", "--count", "2", "--timeout", "5"]).fails(3, "1 of 2 messages");
}

#[test]
fn a_lost_server_is_a_warning_and_not_the_end() {
    let (server, alice, bob) = stage();
    let mut listen = bob.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    let _server = server.restart(|| {
        let warning = listen.next_event("warning");
        assert_eq!(warning["kind"], "offline");
        assert!(!warning["text"].as_str().unwrap().is_empty());
    });
    assert_eq!(listen.next_event("warning")["kind"], "online");
    alice.run(&["send", "bob", "back"]).succeeds();
    assert_eq!(listen.next_event("message")["text"], "back");
}

#[test]
fn a_reader_who_leaves_ends_listening_quietly_and_at_once() {
    let (_server, alice, bob) = stage();
    alice.run(&["send", "bob", "one"]).succeeds();
    let mut listen = bob.command(&["listen", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(listen.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"one\"")));
    drop(lines);
    // The pipe is closed now, as `head -1` closes it; no other line comes.
    assert_eq!(wait(&mut listen).code(), Some(0));
}

#[test]
fn several_commands_on_one_home_at_once() {
    let (_server, alice, bob) = stage();
    let mut listen = bob.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    let mut answer = alice.start(&["listen", "--json"]);
    answer.next_event("caught_up");
    bob.run(&["send", "alice", "while listening"]).succeeds();
    assert_eq!(answer.next_event("message")["text"], "while listening");
    alice.run(&["send", "bob", "as well"]).succeeds();
    assert_eq!(listen.next_event("message")["text"], "as well");
}
