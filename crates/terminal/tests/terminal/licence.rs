//! A file that everybody has, the GNU General Public License 3, sent by lines: long lines, short
//! ones and 121 blank ones. Each line arrives once and in order, with its ticks, whoever is away or
//! killed meanwhile; lines joined again are the file, byte for byte.
//!
//! Kills happen at a printed line, never after a time. Part of the file is held back until the
//! kill, so that each kill is one in the middle.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::stage::{Home, Running, Server, texts};

/// Where Debian and what descends from it keep it.
const LICENCE: &str = "/usr/share/common-licenses/GPL-3";
const LINES: usize = 674;
const COUNT: &str = "674";

/// The licence. On a system that keeps it elsewhere, a text of the same shape, which is said.
fn file() -> String {
    let file = if Path::new(LICENCE).exists() {
        std::fs::read_to_string(LICENCE).unwrap()
    } else {
        eprintln!("{LICENCE} IS MISSING: a made-up text of the same shape is sent instead");
        made_up()
    };
    assert_eq!(file.lines().count(), LINES, "another edition of the licence?");
    assert!(file.ends_with('\n'));
    assert!(file.lines().any(str::is_empty), "no blank line");
    file
}

/// As many lines as the licence has, with blank ones and wide ones.
fn made_up() -> String {
    let line = |number: usize| match number % 6 {
        0 => "\n".to_owned(),
        4 => format!("  {number}. {}\n", "wide 你好 ".repeat(9)),
        _ => format!("{number}: some words of a line that is neither short nor long\n"),
    };
    (1..=LINES).map(line).collect()
}

/// The file cut after so many lines.
fn cut(file: &str, lines: usize) -> (&str, &str) {
    let ends = file.match_indices('\n').nth(lines - 1);
    file.split_at(ends.unwrap().0 + 1)
}

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    (server, alice, bob)
}

/// Bob, all of whose earlier messages have been printed.
fn listening(bob: &Home) -> Running {
    let mut listen = bob.start(&["listen", "--json", "--count", COUNT]);
    listen.next_event("caught_up");
    listen
}

/// Hears messages until there are so many.
fn hear(listen: &mut Running, heard: &mut Vec<Value>, count: usize) {
    while heard.len() < count {
        heard.push(listen.next_event("message"));
    }
}

fn ids(of: &[Value]) -> Vec<&str> {
    let messages = of.iter().filter(|line| line.get("event").is_none_or(|e| e == "message"));
    messages.map(|line| line["id"].as_str().unwrap()).collect()
}

/// What was heard is the file; each id came once, and in the order in which `sent` names them.
#[track_caller]
fn arrived(file: &str, sent: &[&str], heard: &[Value]) {
    assert!(texts(heard) == file, "the file changed on its way");
    assert_eq!(ids(heard), sent);
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), LINES, "an id came twice");
}

/// Alice's history is the file too, and each line of it has reached one of these states.
#[track_caller]
fn remembered(alice: &Home, file: &str, states: &[&str]) {
    let history = alice.run(&["history", "bob", "--json"]).succeeds().json();
    let lines: String =
        history.iter().map(|line| format!("{}\n", line["text"].as_str().unwrap())).collect();
    assert!(lines == file, "the history is not the file");
    for line in &history {
        assert!(states.contains(&line["state"].as_str().unwrap()), "{line}");
    }
}

/// The rest of what `send --json` prints: each line with two ticks, and success.
#[track_caller]
fn all_ticks(mut send: Running) -> Vec<Value> {
    let sent: Vec<Value> = (0..LINES).map(|_| send.next_json()).collect();
    for line in &sent {
        assert_eq!(line["state"], "delivered", "{line}");
    }
    assert_eq!(send.code(), Some(0));
    sent
}

#[test]
fn every_line_arrives_while_bob_listens() {
    let (_server, alice, bob) = stage();
    let file = file();
    let mut listen = listening(&bob);
    let mut send = alice.start(&["send", "bob", "--lines", "--wait", "delivered", "--json"]);
    send.write(&file);
    send.end_input();
    let mut heard = Vec::new();
    hear(&mut listen, &mut heard, LINES);
    assert_eq!(listen.code(), Some(0));
    arrived(&file, &ids(&all_ticks(send)), &heard);
    remembered(&alice, &file, &["delivered"]);
}

#[test]
fn every_line_arrives_when_bob_comes_later() {
    let (_server, alice, bob) = stage();
    let file = file();
    let sent = alice.run_with(&["send", "bob", "--lines"], &file).succeeds();
    remembered(&alice, &file, &["accepted"]);
    let heard = bob.run(&["listen", "--json", "--count", COUNT]).succeeds().json();
    arrived(&file, &sent.output.lines().collect::<Vec<_>>(), &heard);
    // The second tick waits for alice as the lines waited for bob.
    let mut ticks = alice.start(&["listen", "--json"]);
    let told: Vec<String> = (0..LINES)
        .map(|_| {
            let receipt = ticks.next_event("receipt");
            assert_eq!(receipt["state"], "delivered");
            receipt["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(told, sent.output.lines().collect::<Vec<_>>());
    remembered(&alice, &file, &["delivered"]);
}

#[test]
fn every_line_arrives_though_the_server_is_killed_in_the_middle() {
    let (server, alice, bob) = stage();
    let file = file();
    let (head, tail) = cut(&file, 500);
    let mut listen = listening(&bob);
    let mut send = alice.start(&["send", "bob", "--lines", "--wait", "delivered", "--json"]);
    send.write(head);
    let mut heard = Vec::new();
    hear(&mut listen, &mut heard, 100);
    let _server = server.restart(|| {
        send.write(tail);
        send.end_input();
    });
    hear(&mut listen, &mut heard, LINES);
    assert_eq!(listen.code(), Some(0));
    arrived(&file, &ids(&all_ticks(send)), &heard);
    remembered(&alice, &file, &["delivered"]);
}

/// Starts to send, and kills the sender after so many printed ids. Returns all that it had printed.
fn killed_at(alice: &Home, head: &str, printed: usize) -> Vec<String> {
    let mut send = alice.start(&["send", "bob", "--lines"]);
    send.write(head);
    let mut ids: Vec<String> = (0..printed).map(|_| send.next()).collect();
    ids.extend(send.kill());
    ids
}

/// What the outbox had taken when the sender was killed: everything whose id was printed, in the
/// order of the file, and perhaps lines whose id was not printed any more. Returns their ids.
#[track_caller]
fn taken(alice: &Home, head: &str, printed: &[String]) -> Vec<String> {
    let history = alice.run(&["history", "bob", "--json"]).succeeds().json();
    let taken: Vec<String> = ids(&history).into_iter().map(str::to_owned).collect();
    assert_eq!(taken[..printed.len()], *printed, "printed and not in the outbox");
    let lines: String =
        history.iter().map(|line| format!("{}\n", line["text"].as_str().unwrap())).collect();
    assert!(lines == cut(head, taken.len()).0, "the outbox is not the beginning of the file");
    taken
}

/// Sends the lines after the first `from`, as somebody does who looked how far she had come.
fn sends_the_rest(alice: &Home, file: &str, from: usize) -> Vec<String> {
    let rest = cut(file, from).1;
    let sent = alice.run_with(&["send", "bob", "--lines", "--wait", "delivered"], rest).succeeds();
    sent.output.lines().map(str::to_owned).collect()
}

#[test]
fn every_line_arrives_though_the_sender_is_killed_in_the_middle() {
    let (_server, alice, bob) = stage();
    let file = file();
    let (head, _) = cut(&file, 500);
    let mut listen = listening(&bob);
    let printed = killed_at(&alice, head, 100);
    let mut sent = taken(&alice, head, &printed);
    sent.extend(sends_the_rest(&alice, &file, sent.len()));
    let mut heard = Vec::new();
    hear(&mut listen, &mut heard, LINES);
    assert_eq!(listen.code(), Some(0));
    arrived(&file, &sent.iter().map(String::as_str).collect::<Vec<_>>(), &heard);
    remembered(&alice, &file, &["delivered"]);
}

#[test]
fn what_a_killed_sender_had_taken_goes_out_when_her_home_is_opened_again() {
    let (server, alice, bob) = stage();
    let file = file();
    let (head, _) = cut(&file, 500);
    let mut printed = Vec::new();
    // Without a server nothing leaves before the kill: all of it is only in the outbox.
    let _server = server.restart(|| printed = killed_at(&alice, head, 300));
    let mut open = alice.start(&["listen", "--json"]);
    let mut listen = bob.start(&["listen", "--json", "--count", COUNT]);
    let mut heard = Vec::new();
    hear(&mut listen, &mut heard, printed.len());
    assert_eq!(ids(&heard), printed);
    for id in &printed {
        assert_eq!(open.next_event("receipt")["id"], id.as_str());
    }
    let mut sent = taken(&alice, head, &printed);
    sent.extend(sends_the_rest(&alice, &file, sent.len()));
    hear(&mut listen, &mut heard, LINES);
    assert_eq!(listen.code(), Some(0));
    arrived(&file, &sent.iter().map(String::as_str).collect::<Vec<_>>(), &heard);
    remembered(&alice, &file, &["delivered"]);
}
