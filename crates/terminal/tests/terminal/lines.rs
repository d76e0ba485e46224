//! Many messages from standard input.

use crate::stage::{Home, Server};

/// As many lines as the licence that everybody has on their disk, blank ones and long ones too.
fn file() -> String {
    (1..=674)
        .map(|line| match line % 9 {
            0 => "\n".to_owned(),
            4 => format!("{line}: {}\n", "wide 你好 ".repeat(30)),
            _ => format!("{line}: some words of a line that is neither short nor long\n"),
        })
        .collect()
}

fn texts(listened: &[serde_json::Value]) -> String {
    let messages = listened.iter().filter(|line| line["event"] == "message");
    messages.map(|line| format!("{}\n", line["text"].as_str().unwrap())).collect()
}

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    (server, alice, bob)
}

#[test]
fn a_file_arrives_whole_and_in_order_when_they_come_later() {
    let (_server, alice, bob) = stage();
    let file = file();
    let sent = alice.run_with(&["send", "bob", "--lines"], &file).succeeds();
    let mut ids: Vec<&str> = sent.output.lines().collect();
    assert_eq!(ids.len(), 674);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 674);
    let heard = bob.run(&["listen", "--json", "--count", "674"]).succeeds();
    assert!(texts(&heard.json()) == file, "the file changed on its way");
}

#[test]
fn a_file_arrives_whole_while_they_listen_and_the_server_is_killed_in_between() {
    let (server, alice, bob) = stage();
    let file = file();
    let mut listen = bob.start(&["listen", "--json", "--count", "674"]);
    listen.next_event("caught_up");
    let mut send = alice.start(&["send", "bob", "--lines", "--wait", "delivered", "--json"]);
    let (head, tail) = file.split_at(file.len() / 2);
    let cut = head.rfind('\n').unwrap() + 1;
    let mut heard = Vec::new();
    send.write(&file[..cut]);
    while heard.len() < 20 {
        heard.push(listen.next_event("message"));
    }
    let _server = server.restart(|| {
        send.write(&file[cut..head.len()]);
        send.write(tail);
        send.end_input();
    });
    while heard.len() < 674 {
        heard.push(listen.next_event("message"));
    }
    assert!(texts(&heard) == file, "the file changed on its way");
    assert_eq!(listen.code(), Some(0));
    for _ in 0..674 {
        let line = send.next_json();
        assert!(["delivered", "read"].contains(&line["state"].as_str().unwrap()), "{line}");
    }
    assert_eq!(send.code(), Some(0));
}

#[test]
fn slow_lines_are_sent_as_they_come() {
    let (_server, alice, bob) = stage();
    let mut listen = bob.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    let mut send = alice.start(&["send", "bob", "--lines"]);
    for text in ["first", "", "third"] {
        send.write(&format!("{text}\n"));
        send.next();
        assert_eq!(listen.next_event("message")["text"], text);
    }
    send.write("without an end");
    send.end_input();
    send.next();
    assert_eq!(listen.next_event("message")["text"], "without an end");
    assert_eq!(send.code(), Some(0));
}

#[test]
fn a_timeout_says_how_many_are_late() {
    let (_server, alice, _bob) = stage();
    let sent = alice.run_with(
        &["send", "bob", "--lines", "--wait", "delivered", "--timeout", "0.5", "--json"],
        "a\nb\nc\n",
    );
    let sent = sent.fails(3, "3 of 3 messages not delivered in time");
    assert_eq!(sent.json().len(), 3);
}

#[test]
fn refused_lines_are_counted() {
    let (_server, alice, _bob) = stage();
    let sent = alice.run_with(&["send", "nobody", "--lines"], "a\nb\n");
    sent.fails(4, "2 of 2 messages were refused");
}

#[test]
fn a_line_that_cannot_be_sent_is_named_and_those_before_it_arrive() {
    let (_server, alice, bob) = stage();
    let long = "x".repeat(200_000);
    let sent = alice.run_with(&["send", "bob", "--lines"], &format!("one\ntwo\n{long}\nfour\n"));
    let sent = sent.fails(1, "line 3 has 200000 bytes");
    assert_eq!(sent.output.lines().count(), 2);
    let heard = bob.run(&["listen", "--json", "--count", "2"]).succeeds();
    assert_eq!(texts(&heard.json()), "one\ntwo\n");
}

#[test]
fn nothing_to_send_is_done_at_once() {
    let (_server, alice, _bob) = stage();
    assert_eq!(alice.run_with(&["send", "bob", "--lines"], "").succeeds().output, "");
}
