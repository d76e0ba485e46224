//! Several devices of one account, and the account key on paper.

use crate::stage::{Home, Server};

/// Links a new home to the account of `main`, and looks at what both print.
pub(crate) fn links(server: &Server, main: &Home) -> Home {
    links_and_hears(server, main).0
}

/// The same, and what the new device told of the history meanwhile.
fn links_and_hears(server: &Server, main: &Home) -> (Home, Vec<serde_json::Value>) {
    let new = Home::new();
    let mut start = new.start(&["link", "start", &server.join, "--json"]);
    let code = start.next_json();
    assert_eq!((&code["event"], &code["wait_s"]), (&"code".into(), &600.0.into()));
    let code = code["code"].as_str().unwrap().to_owned();
    let approved = main.run(&["link", "approve", &code, "--yes", "--json"]).succeeds();
    assert!(approved.errors.contains("waiting for the new device, 600 s at most"), "{approved:?}");
    let approved = approved.json();
    let check = start.next_json();
    assert_eq!((&check["event"], &check["handle"]), (&"check".into(), &"alice".into()));
    assert_eq!(check["digits"], approved[0]["digits"]);
    assert_eq!((&check["wait_s"], &approved[0]["wait_s"]), (&600.0.into(), &600.0.into()));
    assert_eq!((&approved[1]["event"], &approved[1]["device"]), (&"linked".into(), &2.into()));
    let (last, history) = approved[2..].split_last().unwrap();
    assert_eq!(last["event"], "history_given");
    assert!(history.iter().all(|line| line["event"] == "history" && line["device"] == 2));
    let given = history.iter().map(|line| line["given"].as_u64().unwrap());
    assert!(given.is_sorted(), "{history:?}");
    let last = history.last().unwrap();
    assert_eq!((&last["given"], &last["done"]), (&last["of"], &true.into()));
    let mut heard = Vec::new();
    let linked = loop {
        let line = start.next_json();
        match line["event"] == "history" {
            true => heard.push(line),
            false => break line,
        }
    };
    assert_eq!((&linked["event"], &linked["device"]), (&"linked".into(), &2.into()));
    assert_eq!(start.code(), Some(0));
    (new, heard)
}

/// Texts of the whole chat with a contact, oldest first, as this home has stored it.
fn chat(home: &Home, with: &str) -> Vec<String> {
    let history = home.run(&["history", with, "--json"]).succeeds().json();
    let text = |line: &serde_json::Value| {
        let (from, text) = (line["from"].as_str().unwrap(), line["text"].as_str().unwrap());
        format!("{from}: {text}")
    };
    history.iter().map(text).collect()
}

/// Waits until this home has so many new messages.
fn hears(home: &Home, count: usize) {
    let count = count.to_string();
    home.run(&["listen", "--json", "--count", &count, "--timeout", "60"]).succeeds();
}

#[test]
fn a_linked_home_is_the_same_person_until_it_is_revoked() {
    let server = Server::start();
    let (phone, bob) = (server.joined("alice"), server.joined("bob"));
    phone.run(&["send", "bob", "before"]).succeeds();
    hears(&bob, 1);
    let tablet = links(&server, &phone);
    let devices = phone.run(&["devices", "--json"]).succeeds().json();
    assert_eq!(devices.len(), 2);
    assert_eq!((&devices[0]["this"], &devices[0]["main"]), (&true.into(), &true.into()));
    assert_eq!((&devices[1]["device"], &devices[1]["main"]), (&2.into(), &false.into()));
    let there = tablet.run(&["devices", "--json"]).succeeds().json();
    assert_eq!((&there[0]["main"], &there[1]["main"]), (&true.into(), &false.into()));
    assert_eq!((&there[0]["this"], &there[1]["this"]), (&false.into(), &true.into()));
    tablet.run(&["devices", "revoke", "1"]).fails(1, "only the main device");
    tablet.run(&["devices", "revoke", "2"]).fails(1, "cannot revoke itself: do it on the main");
    phone.run(&["devices", "revoke", "1"]).fails(1, "cannot revoke itself: it is the main one");

    bob.run(&["send", "alice", "to both of you"]).succeeds();
    hears(&phone, 1);
    hears(&tablet, 1);
    phone.run(&["send", "bob", "from the phone"]).succeeds();
    hears(&tablet, 1);
    tablet.run(&["send", "bob", "from the tablet"]).succeeds();
    hears(&phone, 1);
    let all =
        ["alice: before", "bob: to both of you", "alice: from the phone", "alice: from the tablet"];
    assert_eq!(chat(&phone, "bob"), all);
    assert_eq!(chat(&tablet, "bob"), all);
    hears(&bob, 2);
    assert_eq!(chat(&bob, "alice"), all);

    phone.run(&["devices", "revoke", "3"]).fails(1, "no other device 3");
    let revoked = phone.run(&["devices", "revoke", "2", "--json"]).succeeds().json();
    assert_eq!((&revoked[0]["event"], &revoked[0]["device"]), (&"revoked".into(), &2.into()));
    assert_eq!(phone.run(&["devices", "--json"]).succeeds().json().len(), 1);
    bob.run(&["send", "alice", "only one of you"]).succeeds();
    hears(&phone, 1);
    assert_eq!(chat(&phone, "bob").last().unwrap(), "bob: only one of you");
    let late = tablet.run(&["send", "bob", "too late", "--json"]);
    let late = late.fails(4, "removed from its account: join anew").json();
    assert_eq!(late[0]["state"], "failed", "{late:?}");
    let mut listen = tablet.start(&["listen", "--json", "--timeout", "60"]);
    let warning = listen.next_event("warning");
    assert!(warning["text"].as_str().unwrap().contains("removed from its account"), "{warning}");
    drop(listen);
    let listed = tablet.run(&["devices", "--json"]).fails(4, "removed from its account");
    assert_eq!(listed.output, "", "no list that it is not on");
    let after = chat(&tablet, "bob");
    let (last, before) = after.split_last().unwrap();
    assert_eq!((last.as_str(), before), ("alice: too late", &all.map(str::to_owned)[..]));
}

#[test]
fn a_new_device_tells_how_far_its_history_is() {
    let server = Server::start();
    let (phone, _bob) = (server.joined("alice"), server.joined("bob"));
    let lines: String = (0..200).map(|line| format!("line {line}\n")).collect();
    phone.run_with(&["send", "bob", "--lines"], &lines).succeeds();
    let (tablet, mut history) = links_and_hears(&server, &phone);
    let mut listen = tablet.start(&["listen", "--json", "--timeout", "60"]);
    while history.last().is_none_or(|line| line["done"] != true) {
        history.push(listen.next_event("history"));
    }
    assert!(history.len() > 2, "{history:?}");
    assert!(history.iter().all(|line| line["of"] == 200 && line["device"] == 2), "{history:?}");
    assert_eq!(history.last().unwrap()["given"], 200);
    drop(listen);
    assert_eq!(chat(&tablet, "bob").len(), 200);
}

#[test]
fn a_wrong_code_is_refused_by_what_is_wrong_with_it() {
    let server = Server::start();
    let alice = server.joined("alice");
    alice.run(&["link", "approve", "hello", "--yes"]).fails(1, "no link code");
    let mistyped = format!("godwit-link:{}", "A".repeat(68));
    alice.run(&["link", "approve", &mistyped, "--yes"]).fails(1, "mistake");
    let new = Home::new();
    let mut start = new.start(&["link", "start", &server.join, "--json"]);
    let code = start.next_json()["code"].as_str().unwrap().to_owned();
    alice.run(&["link", "approve", &code]).fails(2, "--yes");
    drop(start);
    new.run(&["link", "start", &server.join, "--timeout", "0.2"]).fails(3, "nobody has linked");
    alice.run(&["link", "start", &server.join]).fails(1, "already belongs to alice");
}

#[test]
fn a_recovered_account_is_in_its_groups() {
    let server = Server::start();
    let (lost, bob) = (server.joined("alice"), server.joined("bob"));
    let made = lost.run(&["group", "create", "Herons", "bob", "--json"]).succeeds().json();
    let id = made[0]["group"].as_str().unwrap().to_owned();
    let group = format!("group:{id}");
    lost.run(&["send", &group, "before"]).succeeds();
    hears(&bob, 1);
    let words = lost.run(&["recovery", "show", "--yes", "--json"]).succeeds().json();
    let words = words[0]["words"].as_str().unwrap().to_owned();
    drop(lost);

    let found = Home::new();
    found.run_with(&["recover", &server.join], &words).succeeds();
    let listed = found.run(&["group", "list", "--json"]).succeeds().json();
    assert_eq!((listed.len(), &listed[0]["group"]), (1, &id.clone().into()));
    assert_eq!(listed[0]["members"], serde_json::json!(["alice", "bob"]));
    found.run(&["send", &group, "I am back"]).succeeds();
    hears(&bob, 1);
    bob.run(&["send", &group, "welcome"]).succeeds();
    hears(&found, 1);
    assert_eq!(chat(&bob, &group), ["alice: before", "alice: I am back", "bob: welcome"]);
    assert_eq!(chat(&found, &group), ["alice: I am back", "bob: welcome"]);
    // The group's name is sealed: bob, who has its secret, gives it.
    let shown = found.run(&["group", "show", &id, "--json"]).succeeds().json();
    assert_eq!(shown[0]["name"], "Herons");
    found.run(&["group", "rename", &id, "Egrets"]).succeeds();
}

#[test]
fn the_account_key_on_paper_brings_the_account_back() {
    let server = Server::start();
    let (lost, bob) = (server.joined("alice"), server.joined("bob"));
    lost.run(&["send", "bob", "before"]).succeeds();
    hears(&bob, 1);
    lost.run(&["recovery", "show"]).fails(2, "--yes");
    let words = lost.run(&["recovery", "show", "--yes", "--json"]).succeeds().json();
    let words = words[0]["words"].as_str().unwrap().to_owned();
    assert_eq!(words.split(' ').count(), 24);

    let found = Home::new();
    let wrong = words.replace(' ', "-").replacen('-', " x ", 1);
    found.run_with(&["recover", &server.join], &wrong).fails(1, "24 words, not 25");
    let recovered = found.run_with(&["recover", &server.join, "--json"], &words).succeeds();
    let recovered = recovered.json().remove(0);
    assert_eq!((&recovered["event"], &recovered["device"]), (&"recovered".into(), &2.into()));
    bob.run(&["send", "alice", "are you back?"]).succeeds();
    hears(&found, 1);
    found.run(&["send", "bob", "I am"]).succeeds();
    hears(&bob, 1);
    let all = ["alice: before", "bob: are you back?", "alice: I am"];
    assert_eq!(chat(&bob, "alice"), all);
    assert_eq!(found.run(&["devices", "--json"]).succeeds().json().len(), 1);
    let mut listen = lost.start(&["listen", "--json", "--timeout", "60"]);
    let warning = listen.next_event("warning");
    assert!(warning["text"].as_str().unwrap().contains("removed from its account"), "{warning}");
}
