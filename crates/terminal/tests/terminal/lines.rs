//! Many messages from standard input: what is special about lines. [`licence`](crate::licence) sends
//! a whole file.

use crate::stage::{Ended, GODWIT, Home, Running, Server, texts};

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    (server, alice, bob)
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
fn a_line_that_cannot_be_sent_is_named_at_once_while_the_lines_before_wait() {
    let (server, alice, _bob) = stage();
    let data = server.stop();
    let mut send = alice.command(&["send", "bob", "--lines"]);
    let mut send = Running::with_errors(&mut send);
    send.write("one\n");
    send.next();
    send.write(&format!("{}\n", "x".repeat(200_000)));
    while !send.next_error().contains("line 2 has 200000 bytes") {}
    drop((send.kill(), data));
}

/// As on a full disk: every write beyond the first megabyte of a file fails.
#[test]
fn a_home_that_cannot_be_written_ends_the_command() {
    let (server, alice, _bob) = stage();
    let data = server.stop();
    let lines = format!("{}\n", "x".repeat(40_000)).repeat(100);
    let mut send = std::process::Command::new("sh");
    send.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh", GODWIT, "--home"]);
    send.args([alice.path(), "send", "bob", "--lines"]);
    let ended = Ended::of(&mut send, &lines);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("cannot use the home's files"), "{}", ended.errors);
    drop(data);
}

#[test]
fn nothing_to_send_is_done_at_once() {
    let (_server, alice, _bob) = stage();
    assert_eq!(alice.run_with(&["send", "bob", "--lines"], "").succeeds().output, "");
}
