//! What is said about messages, on the command line.

use serde_json::{Value, json};

use crate::stage::{Home, Server};

fn stage() -> (Server, Home, Home, String) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let id = alice.run(&["send", "bob", "hi @bob"]).succeeds().output.trim().to_owned();
    bob.run(&["listen", "--count", "1"]).succeeds();
    (server, alice, bob, id)
}

/// One message as a home shows it.
fn shown(home: &Home, id: &str) -> Value {
    home.run(&["show", id, "--json"]).succeeds().json().remove(0)
}

#[test]
fn both_sides_show_what_is_said_about_a_message_and_listen_tells_it() {
    let (_server, alice, bob, id) = stage();
    let mut listen = alice.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    bob.run(&["react", &id, "👍"]).succeeds();
    let reaction = listen.next_event("reaction");
    assert_eq!((&reaction["id"], &reaction["from"]), (&json!(id), &json!("bob")));
    assert_eq!(reaction["emoji"], "👍");
    let answer = bob.run(&["send", "alice", "hello", "--reply", &id]).succeeds().output;
    let answer = answer.trim();
    let heard = listen.next_event("message");
    assert_eq!((&heard["reply_to"], &heard["quote"]), (&json!(id), &json!("hi @bob")));
    bob.run(&["edit", answer, "hello you"]).succeeds();
    let edit = listen.next_event("edit");
    assert_eq!((&edit["id"], &edit["text"]), (&json!(answer), &json!("hello you")));
    let shown_there = shown(&alice, answer);
    assert_eq!((&shown_there["text"], &shown_there["edited"]), (&json!("hello you"), &json!(true)));
    bob.run(&["delete", answer]).succeeds();
    assert_eq!(listen.next_event("deletion")["id"], answer);
    let history = alice.run(&["history", "bob", "--json"]).succeeds().json();
    assert_eq!(history[0]["reactions"], json!([{ "from": "bob", "emoji": "👍" }]));
    assert_eq!(history[0]["mentions"], json!([{ "handle": "bob", "start": 3, "bytes": 4 }]));
    assert_eq!((&history[1]["deleted"], history[1].get("text")), (&json!(true), None));
    listen.kill();

    alice.run(&["star", &id]).succeeds();
    assert_eq!(shown(&alice, &format!("godwit:message/{id}"))["starred"], true);
    alice.run(&["unstar", &id]).succeeds();
    assert_eq!(shown(&alice, &id).get("starred"), None);
    bob.run(&["edit", &id, "not mine"]).fails(1, "only its author");
    let ended = bob.run(&["react", &id, "two words"]);
    assert!(ended.code == Some(2) && ended.errors.contains("one emoji"), "{ended:?}");
    bob.run(&["delete", "00000000000000aa.1.42"]).fails(1, "no message");
}

/// No other command of bob's ran since alice sent it.
#[test]
fn a_message_is_there_for_the_first_command_that_names_it() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let commands: [&[&str]; 6] = [
        &["show", "ID"],
        &["info", "ID"],
        &["star", "ID"],
        &["react", "ID", "👍"],
        &["forward", "ID", "alice"],
        &["send", "alice", "yes", "--reply", "ID"],
    ];
    for command in commands {
        let id = alice.run(&["send", "bob", "can you see this?"]).succeeds().output;
        let named = command.iter().map(|word| if *word == "ID" { id.trim() } else { *word });
        bob.run(&named.collect::<Vec<_>>()).succeeds();
    }
    bob.run(&["show", "00000000000000aa.1.42"]).fails(1, "no message");
}

#[test]
fn forwards_polls_and_where_a_message_is() {
    let (_server, alice, bob, id) = stage();
    let forward = bob.run(&["forward", &id, "alice"]).succeeds().output;
    assert_eq!(shown(&bob, forward.trim())["forwarded"], true);
    let poll = alice.run(&["poll", "bob", "what?", "tea", "coffee"]).succeeds().output;
    let poll = poll.trim();
    bob.run(&["listen", "--count", "1"]).succeeds();
    bob.run(&["vote", poll, "2"]).succeeds();
    bob.run(&["vote", poll, "1", "2"]).fails(1, "takes one only");
    bob.run(&["vote", poll, "9"]).fails(1, "2 answers");
    bob.run(&["vote", &id, "1"]).fails(1, "cannot be done");
    bob.run(&["forward", poll, "alice"]).fails(1, "ask again in the other chat");
    alice.run(&["vote", poll, "1"]).succeeds();
    let votes = |home: &Home| shown(home, poll)["poll"]["options"].clone();
    let expected = json!([
        { "text": "tea", "votes": 1, "voters": ["alice"] },
        { "text": "coffee", "votes": 1, "voters": ["bob"] },
    ]);
    let mut listen = alice.start(&["listen", "--json"]);
    assert_eq!(listen.next_event("vote")["options"], json!([2]));
    listen.kill();
    assert_eq!(votes(&alice), expected);
    let info = alice.run(&["info", poll, "--json"]).succeeds().json().remove(0);
    let recipient = &info["recipients"][0];
    assert_eq!((&recipient["handle"], &recipient["state"]), (&json!("bob"), &json!("delivered")));
    assert_eq!(recipient["devices"], json!([{ "device": 1, "delivered": true }]));
    alice.run(&["poll", "bob", "what?", "tea"]).fails(1, "2 to 12");
}

#[test]
fn timers_and_receipts_are_set_for_both_sides() {
    let (_server, alice, bob, id) = stage();
    alice.run(&["timer", "bob", "1d"]).succeeds();
    let sent = alice.run(&["send", "bob", "gone tomorrow"]).succeeds().output;
    let timed = shown(&alice, sent.trim());
    assert_eq!(timed["timer_s"], 86_400);
    let lasts = timed["expires_at_ms"].as_u64().zip(timed["sent_at_ms"].as_u64());
    assert_eq!(lasts.map(|(until, from)| until - from), Some(86_400_000));
    let heard = bob.run(&["listen", "--json", "--count", "2", "--read"]).succeeds().json();
    let messages: Vec<&Value> = heard.iter().filter(|line| line["event"] == "message").collect();
    assert_eq!((&messages[0]["note"], &messages[0]["timer_s"]), (&json!("timer"), &json!(86_400)));
    assert!(shown(&bob, sent.trim())["expires_at_ms"].is_u64());
    let settings = bob.run(&["settings", "--json"]).succeeds().json().remove(0);
    assert_eq!(settings["receipts"], "on");
    assert_eq!(settings["timers"], json!([{ "with": "alice", "timer_s": 86_400 }]));
    bob.run(&["timer", "alice", "off"]).succeeds();
    bob.run(&["timer", "alice", "5s"]).fails(1, "10 seconds");
    bob.run(&["settings", "receipts", "off"]).succeeds();
    let settings = bob.run(&["settings", "--json"]).succeeds().json().remove(0);
    assert_eq!(settings, json!({ "receipts": "off", "presence": "everyone", "timers": [] }));
    assert_eq!(shown(&bob, &id)["text"], "hi @bob");
}
