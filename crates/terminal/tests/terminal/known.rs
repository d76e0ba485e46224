//! Chats, search, safety numbers.

use crate::stage::{Home, Server};

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    for text in ["the first", "the second", "something else"] {
        alice.run(&["send", "bob", text]).succeeds();
    }
    bob.run(&["listen", "--json", "--count", "3"]).succeeds();
    (server, alice, bob)
}

#[test]
fn chats_show_the_newest_text_and_what_is_unread() {
    let (_server, alice, bob) = stage();
    let chats = bob.run(&["chats", "--json"]).succeeds().json();
    assert_eq!(chats.len(), 1);
    assert_eq!((&chats[0]["with"], &chats[0]["unread"]), (&"alice".into(), &3.into()));
    assert_eq!(chats[0]["last_text"], "something else");
    let lines = bob.run(&["chats"]).succeeds().output;
    assert!(lines.starts_with("alice") && lines.contains("(3)"), "{lines}");
    assert_eq!(alice.run(&["chats", "--json"]).succeeds().json()[0]["unread"], 0);
}

#[test]
fn history_prints_all_or_the_newest() {
    let (_server, alice, _bob) = stage();
    let texts = |arguments: &[&str]| -> Vec<String> {
        let history = alice.run(arguments).succeeds().json();
        history.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&["history", "bob", "--json"]), ["the first", "the second", "something else"]);
    let two = texts(&["history", "bob", "--json", "--limit", "2"]);
    assert_eq!(two, ["the second", "something else"]);
    assert_eq!(texts(&["history", "bob", "--json", "--limit", "0"]), [""; 0]);
    let people = alice.run(&["history", "bob"]).succeeds().output;
    assert!(
        people.lines().all(|line| line.contains("  alice: ") && line.contains('✓')),
        "{people}"
    );
}

#[test]
fn search_finds_newest_first() {
    let (_server, alice, _bob) = stage();
    let hits = alice.run(&["search", "THE", "--json"]).succeeds().json();
    let texts: Vec<&str> = hits.iter().map(|hit| hit["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["the second", "the first"]);
    assert_eq!(alice.run(&["search", "absent", "--json"]).succeeds().output, "");
    assert_eq!(alice.run(&["search", "the", "--limit", "1"]).succeeds().output.lines().count(), 1);
}

#[test]
fn both_sides_see_the_same_safety_number() {
    let (_server, alice, bob) = stage();
    let number = |home: &Home, with: &str| {
        let line = home.run(&["verify", with, "--json"]).succeeds().json().remove(0);
        assert_eq!(line["verified"], false);
        line["safety_number"].as_str().unwrap().to_owned()
    };
    let ours = number(&alice, "bob");
    assert_eq!(ours, number(&bob, "alice"));
    assert!(ours.len() == 60 && ours.bytes().all(|byte| byte.is_ascii_digit()), "{ours}");
    let shown = alice.run(&["verify", "bob"]).succeeds().output;
    let groups = ours.as_bytes().chunks(5).map(|group| std::str::from_utf8(group).unwrap());
    for group in groups {
        assert!(shown.contains(group), "{group} in {shown}");
    }
    assert!(shown.contains("████") && shown.contains("godwit verify bob --confirm"), "{shown}");
}

#[test]
fn a_comparison_is_remembered_and_can_be_taken_back() {
    let (_server, alice, _bob) = stage();
    let verified = |arguments: &[&str]| {
        let line = alice.run(arguments).succeeds().json().remove(0);
        line["verified"].as_bool().unwrap()
    };
    assert!(verified(&["verify", "bob", "--json", "--confirm"]));
    assert!(verified(&["verify", "bob", "--json"]));
    assert!(alice.run(&["chats"]).succeeds().output.contains("verified"));
    assert!(!verified(&["verify", "bob", "--json", "--forget"]));
}
