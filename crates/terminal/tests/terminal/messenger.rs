//! `godwit chat` as two people use it.

use crate::screen::{Screen, is_here};
use crate::stage::{Home, Server};

fn stage() -> (Server, Home, Home) {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    (server, alice, bob)
}

/// Starts a chat with a handle.
fn begins(screen: &Screen, handle: &str) {
    screen.keys(&["C-n"]);
    screen.shows("New chat");
    screen.types(handle);
    screen.keys(&["Enter"]);
    screen.shows("write a message");
}

#[test]
fn two_people_talk_and_see_the_ticks_change() {
    if !is_here() {
        return;
    }
    let (_server, alice, bob) = stage();
    let a = Screen::open(&alice, 90, 24, &["NO_COLOR=1"]);
    a.shows("● online");
    a.shows("No chats yet");
    begins(&a, "bob");
    a.types("hello bob");
    a.keys(&["M-Enter"]);
    a.types("second line");
    a.keys(&["Enter"]);
    a.shows("hello bob");
    a.ticks("second line", "✓ ");
    let b = Screen::open(&bob, 90, 24, &["NO_COLOR=1"]);
    b.shows("alice · 1 new".trim_start_matches("alice"));
    a.ticks("second line", "✓✓");
    b.keys(&["Enter"]);
    b.shows("▌ hello bob");
    a.ticks("second line", "✔✔");
    b.types("hi alice 你好");
    b.keys(&["Enter"]);
    a.shows("▌ hi alice 你好");
    b.ticks("hi alice 你好", "✔✔");
}

#[test]
fn who_is_online_and_who_types_is_seen_above_the_chat_and_by_scripts() {
    if !is_here() {
        return;
    }
    let (_server, alice, bob) = stage();
    let a = Screen::open(&alice, 90, 24, &["NO_COLOR=1"]);
    begins(&a, "bob");
    let mut listen = bob.start(&["listen", "--json", "--presence", "alice"]);
    a.shows("bob · online");
    a.types("wait, I am wri");
    let mut heard = listen.next_event("presence");
    while heard["typing"] != true {
        heard = listen.next_event("presence");
    }
    assert_eq!((&heard["who"], &heard["state"]), (&"alice".into(), &"online".into()));
    let b = Screen::open(&bob, 90, 24, &["NO_COLOR=1"]);
    begins(&b, "alice");
    b.types("so am I");
    a.shows("bob · typing");
}

#[test]
fn a_pending_message_waits_for_the_server() {
    if !is_here() {
        return;
    }
    let (server, alice, _bob) = stage();
    let a = Screen::open(&alice, 90, 20, &["NO_COLOR=1"]);
    begins(&a, "bob");
    a.types("before");
    a.keys(&["Enter"]);
    a.ticks("before", "✓ ");
    let _server = server.restart(|| {
        a.shows("○ offline");
        a.types("in between");
        a.keys(&["Enter"]);
        a.ticks("in between", "◷ ");
    });
    a.shows("● online");
    a.ticks("in between", "✓ ");
}

#[test]
fn read_ticks_are_blue() {
    if !is_here() {
        return;
    }
    let (_server, alice, bob) = stage();
    let a = Screen::open(&alice, 90, 20, &["TERM=screen-256color"]);
    begins(&a, "bob");
    a.types("look");
    a.keys(&["Enter"]);
    a.ticks("look", "✓ ");
    // Bright blue, number 12 of the sixteen.
    let is_blue =
        || a.colours().lines().any(|line| line.contains("look") && line.contains("5;12m✓✓"));
    assert!(!is_blue(), "{:?}", a.colours());
    let _listen = bob.start(&["listen", "--read"]);
    a.wait("blue ticks", |_| is_blue());
}

#[test]
fn a_paste_keeps_its_lines_and_waits_for_enter() {
    if !is_here() {
        return;
    }
    let (_server, alice, _bob) = stage();
    let a = Screen::open(&alice, 90, 24, &[]);
    begins(&a, "bob");
    a.pastes("pasted one\npasted two");
    a.shows("› pasted one");
    a.shows("  pasted two");
    a.keys(&["Enter"]);
    a.ticks("pasted two", "✓ ");
}

#[test]
fn nobody_there_is_said_where_it_was_typed() {
    if !is_here() {
        return;
    }
    let (_server, alice, _bob) = stage();
    let a = Screen::open(&alice, 100, 20, &[]);
    begins(&a, "nobody");
    a.types("anyone?");
    a.keys(&["Enter"]);
    a.shows("not sent: nobody has this handle");
    a.shows("✗");
}

#[test]
fn search_finds_an_old_message_and_shows_what_stood_around_it() {
    if !is_here() {
        return;
    }
    let (_server, alice, _bob) = stage();
    let lines: String = (1..=300).map(|line| format!("line {line:03} of many\n")).collect();
    alice.run_with(&["send", "bob", "--lines"], &lines).succeeds();
    let a = Screen::open(&alice, 90, 20, &[]);
    a.shows("line 300");
    a.keys(&["C-f"]);
    a.types("line 042");
    a.shows("to bob");
    a.keys(&["Enter"]);
    a.wait("line 042 and its neighbours", |screen| {
        ["line 041", "line 042", "line 043"].iter().all(|text| screen.contains(text))
    });
    // Down again to the newest, page by page.
    a.keys(&["C-End"]);
    a.shows("line 299");
    a.keys(&["PageUp"]);
    a.wait("older messages", |screen| !screen.contains("line 299"));
}

#[test]
fn the_safety_number_is_shown_and_confirmed() {
    if !is_here() {
        return;
    }
    let (_server, alice, bob) = stage();
    alice.run(&["send", "bob", "hi"]).succeeds();
    let number = alice.run(&["verify", "bob", "--json"]).succeeds().json();
    let digits = number[0]["safety_number"].as_str().unwrap().to_owned();
    let a = Screen::open(&alice, 100, 30, &[]);
    a.shows("hi");
    a.keys(&["Enter", "C-s"]);
    let shown = a.shows("they are the same");
    let first =
        format!("{} {} {} {}", &digits[..5], &digits[5..10], &digits[10..15], &digits[15..20]);
    assert!(shown.contains(&first), "{first} in\n{shown}");
    assert!(shown.contains("████"), "{shown}");
    a.types("v");
    a.shows("bob is verified");
    a.keys(&["Escape"]);
    a.shows("◆ verified");
    drop(bob);
}

#[test]
fn help_mouse_and_window_sizes() {
    if !is_here() {
        return;
    }
    let (_server, alice, _bob) = stage();
    let carol = _server.joined("carol");
    alice.run(&["send", "bob", "for bob"]).succeeds();
    alice.run(&["send", "carol", "for carol"]).succeeds();
    let a = Screen::open(&alice, 90, 24, &[]);
    a.shows("for carol");
    a.keys(&["F1"]);
    a.shows("previous, next chat");
    a.keys(&["Escape"]);
    a.wait("no help", |screen| !screen.contains("previous, next chat"));
    a.clicks(4, 4); // the second chat: two rows each below the header
    a.shows("for bob  ");
    a.resize(40, 12);
    a.wait("the conversation alone", |screen| !screen.contains('│') && screen.contains("for bob"));
    a.wheel_up(10, 5);
    a.resize(12, 4);
    a.shows("enlarge");
    a.resize(120, 40);
    a.shows("│");
    a.keys(&["C-q"]);
    a.shows("left with 0");
    drop(carol);
}

#[test]
fn a_device_is_linked_and_revoked() {
    if !is_here() {
        return;
    }
    let (server, alice, _bob) = stage();
    let lines: String = (0..200).map(|line| format!("line {line}\n")).collect();
    alice.run_with(&["send", "bob", "--lines"], &lines).succeeds();
    let a = Screen::open(&alice, 100, 30, &[]);
    a.shows("line 199");
    let tablet = Home::new();
    let mut start = tablet.start(&["link", "start", &server.join, "--json"]);
    let code = start.next_json()["code"].as_str().unwrap().to_owned();
    a.keys(&["C-p"]);
    a.shows("device 1  main  (this one)");
    a.keys(&["l"]);
    a.shows("paste the code");
    let (begins, wrong) = code.split_at(code.len() - 1);
    a.types(begins);
    a.keys(&["Enter"]);
    a.shows("not linked: ");
    a.pastes(wrong);
    a.keys(&["Enter"]);
    let digits = start.next_json()["digits"].as_str().unwrap().to_owned();
    a.shows(&format!("the new device must show: {digits}"));
    a.keys(&["y"]);
    a.shows("linked: it is device 2");
    a.shows("history: all 200 messages");
    start.next_event("linked"); // after what came of the history meanwhile
    assert_eq!(start.code(), Some(0));
    let t = Screen::open(&tablet, 100, 30, &[]);
    t.shows("line 199");
    a.keys(&["Enter"]);
    a.shows("device 2");
    a.keys(&["j", "r"]);
    a.shows("r again revokes device 2");
    a.keys(&["r"]);
    a.shows("device 2 is revoked");
    a.wait("one device", |screen| !screen.contains("  device 2") && screen.contains("device 1"));
    assert_eq!(alice.run(&["devices", "--json"]).succeeds().json().len(), 1);
}
