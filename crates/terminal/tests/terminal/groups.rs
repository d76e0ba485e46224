//! Groups, with real programs: made, joined, changed and left.

use serde_json::{Value, json};

use crate::stage::{Home, Running, Server};

/// The one object that a command prints.
fn json_of(home: &Home, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let mut printed = home.run(&arguments).succeeds().json();
    assert_eq!(printed.len(), 1, "{arguments:?}: {printed:?}");
    printed.remove(0)
}

#[test]
fn a_group_is_made_joined_by_a_link_changed_and_left() {
    let server = Server::start();
    let (alice, carol) = (server.joined("alice"), server.joined("carol"));
    let _bob = server.joined("bob");

    let made = json_of(&alice, &["group", "create", "Herons", "bob"]);
    let group = made["group"].as_str().unwrap();
    assert_eq!((made.as_object().unwrap().len(), group.len()), (1, 32));
    let shown = json_of(&alice, &["group", "show", group]);
    assert_eq!((&shown["name"], &shown["epoch"]), (&json!("Herons"), &json!(1)));
    assert_eq!(
        (&shown["members"], &shown["admins"]),
        (&json!(["alice", "bob"]), &json!(["alice"]))
    );

    let link = json_of(&alice, &["group", "invite", group])["link"].clone();
    let link = link.as_str().unwrap();
    assert!(link.starts_with("godwit-group:"), "{link}");
    assert_eq!(json_of(&carol, &["group", "join", link])["group"], group);
    let shown = json_of(&carol, &["group", "show", group]);
    assert_eq!((&shown["name"], &shown["epoch"]), (&json!("Herons"), &json!(3)));
    assert_eq!(shown["members"].as_array().unwrap().len(), 3);

    // Alice was away when carol joined: her change is made upon the entry that she had not read.
    alice.run(&["group", "admin", &format!("group:{group}"), "carol"]).succeeds();
    let shown = json_of(&alice, &["group", "show", group]);
    assert_eq!((&shown["admins"], &shown["epoch"]), (&json!(["alice", "carol"]), &json!(4)));
    json_of(&carol, &["group", "remove", group, "bob"]);
    json_of(&carol, &["group", "leave", group]);
    assert!(carol.run(&["group", "list", "--json"]).succeeds().json().is_empty());
    json_of(&alice, &["group", "rename", group, "Egrets"]);
    let listed = json_of(&alice, &["group", "list"]);
    assert_eq!((&listed["name"], &listed["members"]), (&json!("Egrets"), &json!(["alice"])));
}

/// No other command of bob's ran since alice put him into it.
#[test]
fn a_group_is_there_for_whoever_was_put_into_it() {
    let server = Server::start();
    let people = ["alice", "bob", "carol"];
    let homes = people.map(|name| server.joined(name));
    let [alice, bob, carol] = &homes;
    let group = json_of(alice, &["group", "create", "Herons", "bob", "carol"])["group"].clone();
    let group = group.as_str().unwrap();
    let listed = json_of(bob, &["group", "list"]);
    assert_eq!((&listed["group"], &listed["name"]), (&json!(group), &json!("Herons")));
    assert_eq!(listed["members"], json!(people));
    json_of(carol, &["send", &format!("group:{group}"), "hello"]);
    json_of(carol, &["group", "leave", group]);
    assert_eq!(json_of(alice, &["group", "show", group])["members"], json!(["alice", "bob"]));
    let commands: [&[&str]; 2] =
        [&["timer", "GROUP", "1d"], &["poll", "GROUP", "tea?", "yes", "no"]];
    for command in commands {
        let made = json_of(alice, &["group", "create", "Egrets", "bob"]);
        let group = format!("group:{}", made["group"].as_str().unwrap());
        let named = command.iter().map(|word| if *word == "GROUP" { &*group } else { *word });
        bob.run(&named.collect::<Vec<_>>()).succeeds();
    }
}

#[test]
fn what_a_group_does_not_allow_is_refused() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let group = json_of(&alice, &["group", "create", "Herons"])["group"].clone();
    let group = group.as_str().unwrap();
    alice.run(&["group", "add", group, "nobody"]).fails(4, "nobody");
    alice.run(&["group", "add", group, "bob"]).succeeds();
    alice.run(&["group", "add", group, "bob"]).fails(4, "bob is in the group already");
    alice.run(&["group", "remove", group, "bob"]).succeeds();
    alice.run(&["group", "remove", group, "bob"]).fails(4, "bob is not in the group");
    bob.run(&["group", "rename", group, "Egrets"]).fails(4, "you are not in the group");
    let group = json_of(&alice, &["group", "create", "Herons"])["group"].clone();
    let group = group.as_str().unwrap();
    bob.run(&["group", "leave", group]).fails(1, "godwit group list");
    bob.run(&["group", "show", group]).fails(1, "godwit group list");
    let link = json_of(&alice, &["group", "invite", group])["link"].clone();
    json_of(&alice, &["group", "invite", group, "--revoke"]);
    bob.run(&["group", "join", link.as_str().unwrap()]).fails(4, "link");
    let ended = bob.run(&["group", "join", "godwit-group:short"]);
    assert!(ended.code == Some(2) && ended.errors.contains("64 characters"), "{ended:?}");
}

#[test]
fn a_community_has_everybody_of_its_groups() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let _carol = server.joined("carol");
    let mut listen = bob.start(&["listen", "--json"]);
    let herons = json_of(&alice, &["group", "create", "Herons", "bob"])["group"].clone();
    let egrets = json_of(&alice, &["group", "create", "Egrets", "carol"])["group"].clone();
    let (herons, egrets) = (herons.as_str().unwrap(), egrets.as_str().unwrap());

    let made = json_of(&alice, &["community", "create", "Waders", herons, egrets]);
    assert_eq!(made.as_object().unwrap().len(), 1);
    let community = made["community"].as_str().unwrap();
    let shown = json_of(&alice, &["community", "show", community]);
    assert_eq!((&shown["name"], &shown["members"]), (&json!("Waders"), &json!(3)));
    let mut groups = [herons, egrets];
    groups.sort_unstable();
    assert_eq!(shown["groups"], json!(groups));
    assert_eq!(json_of(&alice, &["group", "show", community])["only_admins_write"], true);
    assert_eq!(json_of(&alice, &["group", "show", herons])["community"], community);

    while bob.run(&["community", "list", "--json"]).succeeds().json().is_empty() {
        listen.next_event("group"); // he learns of it
    }
    bob.run(&["group", "leave", community]).fails(4, "godwit community leave");
    assert_eq!(json_of(&bob, &["community", "leave", community])["community"], community);
    assert!(bob.run(&["community", "list", "--json"]).succeeds().json().is_empty());
    listen.kill();
    let removed = json_of(&alice, &["community", "remove", community, egrets]);
    assert_eq!(removed["community"], community);
    alice.run(&["community", "remove", community, egrets]).fails(4, "is not in community");
    let shown = json_of(&alice, &["group", "show", community]);
    assert_eq!(shown["members"], json!(["alice"]));
    let added = alice.run(&["community", "add", community, egrets]).succeeds().output;
    assert_eq!(added, format!("{community}\n"));
}

/// The next event that tells what a member did, as who did what.
fn news(listen: &mut Running) -> (Value, Value) {
    loop {
        let event = listen.next_event("group");
        if !event["by"].is_null() {
            assert!(event["at_ms"].as_u64().unwrap() > 0 && event["group"].is_string(), "{event}");
            return (event["by"].clone(), event["changes"].clone());
        }
    }
}

#[test]
fn listen_says_who_came_and_went_and_by_whom() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let (carol, _dave) = (server.joined("carol"), server.joined("dave"));
    let mut listen = bob.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    let group = json_of(&alice, &["group", "create", "Herons", "bob"])["group"].clone();
    let group = group.as_str().unwrap();
    let made = json!([{ "change": "made" }, { "change": "added", "who": "bob" }]);
    assert_eq!(news(&mut listen), (json!("alice"), made));
    // Bob has never heard of dave: the server is asked for the name first.
    let steps: [(&Home, &[&str], &str, Value); 4] = [
        (
            &alice,
            &["group", "add", group, "carol"],
            "alice",
            json!([{ "change": "added", "who": "carol" }]),
        ),
        (
            &alice,
            &["group", "rename", group, "Egrets"],
            "alice",
            json!([{ "change": "renamed", "name": "Egrets" }]),
        ),
        (&carol, &["group", "leave", group], "carol", json!([{ "change": "left" }])),
        (
            &alice,
            &["group", "add", group, "dave"],
            "alice",
            json!([{ "change": "added", "who": "dave" }]),
        ),
    ];
    for (home, command, by, changes) in steps {
        home.run(command).succeeds();
        assert_eq!(news(&mut listen), (json!(by), changes), "{command:?}");
    }
    listen.kill();
    let mut listen = bob.start(&["listen"]);
    while listen.next() != "-- all messages have been received" {}
    alice.run(&["group", "remove", group, "dave"]).succeeds();
    let line = loop {
        let line = listen.next();
        if !line.contains("has changed") {
            break line;
        }
    };
    assert_eq!(line, format!("-- group {group} (Egrets): alice removed dave"));
    alice.run(&["group", "remove", group, "bob"]).succeeds();
    let line = loop {
        let line = listen.next();
        if line.contains("bob") {
            break line;
        }
    };
    assert!(line.ends_with("alice removed bob"), "whoever goes is told: {line}");
}

#[test]
fn a_group_has_a_name_that_people_can_read() {
    let server = Server::start();
    let alice = server.joined("alice");
    let group = json_of(&alice, &["group", "create", "Herons"])["group"].clone();
    let group = group.as_str().unwrap();
    for name in ["", "  ", "\t", "\u{200b}"] {
        let commands: [&[&str]; 3] = [
            &["group", "create", name],
            &["group", "rename", group, name],
            &["community", "create", name, group],
        ];
        for command in commands {
            let ended = alice.run(command);
            assert!(
                ended.code == Some(2) && ended.errors.contains("the name is empty"),
                "{ended:?}"
            );
        }
    }
    assert_eq!(json_of(&alice, &["group", "list"])["name"], "Herons");
}

#[test]
fn a_command_waits_for_the_server_as_long_as_it_is_told() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let group = json_of(&alice, &["group", "create", "Herons", "bob"])["group"].clone();
    let group = group.as_str().unwrap();
    bob.run(&["send", "alice", "hi"]).succeeds();
    alice.run(&["listen", "--count", "1"]).succeeds();
    drop(server.stop());
    let commands: [&[&str]; 6] = [
        &["group", "add", group, "carol"],
        &["community", "create", "Waders", group],
        &["report", "bob", "--last", "1", "--yes"],
        &["block", "carol"],
        &["mute", "carol"],
        &["verify", "carol"],
    ];
    for command in commands {
        let ended = alice.run(&[command, &["--timeout", "0.5"]].concat());
        assert_eq!(ended.code, Some(3), "{command:?}: {ended:?}");
        assert!(ended.errors.contains("within 0.5 s"), "{command:?}: {ended:?}");
    }
    assert_eq!(json_of(&alice, &["group", "list", "--timeout", "0.5"])["group"], group);
    // It may have said by then that no server is there.
    let ended = alice.run(&["devices", "revoke", "2", "--timeout", "0.5"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("no other device 2"), "{ended:?}");
}

#[test]
fn the_history_of_who_is_not_known_is_no_empty_one() {
    let server = Server::start();
    let (alice, _bob) = (server.joined("alice"), server.joined("bob"));
    let unknown = format!("group:{}", "0".repeat(32));
    alice.run(&["history", &unknown]).fails(1, "no group");
    alice.run(&["history", &unknown, "--limit", "1"]).fails(1, "no group");
    alice.run(&["history", "nobody"]).fails(1, "nobody called nobody is known here");
    alice.run(&["history", "alice"]).fails(1, "your own handle");
    let group = json_of(&alice, &["group", "create", "Herons"])["group"].clone();
    let group = format!("group:{}", group.as_str().unwrap());
    assert!(alice.run(&["history", &group]).succeeds().output.is_empty());
    alice.run(&["verify", "bob"]).succeeds();
    assert!(alice.run(&["history", "bob"]).succeeds().output.is_empty());
}

#[test]
fn a_group_has_a_picture() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let group = json_of(&alice, &["group", "create", "Herons", "bob"])["group"].clone();
    let group = group.as_str().unwrap();
    let file = |name: &str| format!("{}/{name}", alice.path());
    let (picture, saved, large) = (file("small.png"), file("saved.png"), file("large.png"));
    std::fs::write(&picture, [7; 4_096]).unwrap();
    std::fs::write(&large, [7; 4_097]).unwrap();
    alice.run(&["group", "picture", group, "--out", &saved]).fails(1, "no picture");
    bob.run(&["group", "show", group]).succeeds();
    alice.run(&["group", "picture", group, &picture]).succeeds();
    // What was set while no program of his ran is waited for.
    let seen = file("seen.png");
    bob.run(&["group", "picture", group, "--out", &seen]).succeeds();
    assert_eq!(std::fs::read(&seen).unwrap(), [7; 4_096]);
    alice.run(&["group", "picture", group, "--out", &saved]).succeeds();
    assert_eq!(std::fs::read(&saved).unwrap(), [7; 4_096]);
    alice.run(&["group", "picture", group, "--out", &saved]).fails(1, "exists");
    alice.run(&["group", "picture", group, &large]).fails(2, "4096 bytes");
    alice.run(&["group", "picture", group, "--none"]).succeeds();
    assert_eq!(json_of(&alice, &["group", "show", group])["picture_bytes"], 0);
}

/// The texts of a group's chat, oldest first.
fn texts_of(home: &Home, group: &str) -> Vec<String> {
    let printed = home.run(&["history", group, "--json"]).succeeds().json();
    printed.iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_said_in_a_group_everybody_sees_once_and_who_was_removed_nothing_more() {
    let server = Server::start();
    let people = ["alice", "bob", "carol"];
    let homes = people.map(|name| server.joined(name));
    let [alice, bob, carol] = &homes;
    let made = json_of(alice, &["group", "create", "Herons", "bob", "carol"]);
    let group = format!("group:{}", made["group"].as_str().unwrap());

    let sent = json_of(alice, &["send", &group, "to all"]);
    assert_eq!(sent["state"], "accepted");
    for (home, name) in [(bob, "bob"), (carol, "carol")] {
        let heard = home.run(&["listen", "--json", "--count", "1"]).succeeds().json();
        let message = heard.iter().find(|event| event["event"] == "message").unwrap();
        assert_eq!(message["text"], "to all", "{name}");
        assert_eq!((&message["from"], &message["group"]), (&json!("alice"), &made["group"]));
        assert_eq!(message["to"], group.as_str());
    }
    json_of(bob, &["send", &group, "and back"]);
    carol.run(&["listen", "--json", "--count", "1"]).succeeds();
    assert_eq!(texts_of(carol, &group), ["to all", "and back"]);

    json_of(alice, &["group", "remove", &group, "carol"]);
    json_of(alice, &["send", &group, "without carol"]);
    bob.run(&["listen", "--json", "--count", "1"]).succeeds();
    assert_eq!(texts_of(bob, &group), ["to all", "and back", "without carol"]);
    // She hears that she is out, and nothing of what was said since.
    carol.run(&["send", "alice", "am I out?"]).succeeds();
    assert_eq!(texts_of(carol, &group), ["to all", "and back"]);
    carol.run(&["send", &group, "hello?"]).fails(4, "not in this group");
    let info = json_of(alice, &["info", sent["id"].as_str().unwrap()]);
    let states: Vec<&Value> =
        info["recipients"].as_array().unwrap().iter().map(|to| &to["state"]).collect();
    assert_eq!(states, ["delivered", "delivered"]);
}

#[test]
fn a_message_to_a_group_is_delivered_when_each_other_member_has_it() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let carol = server.joined("carol");
    let made = json_of(&alice, &["group", "create", "Herons", "bob", "carol"]);
    let group = format!("group:{}", made["group"].as_str().unwrap());
    let mut listen = alice.start(&["listen", "--json"]);
    listen.next_event("caught_up");
    let mut send = alice.start(&["send", &group, "hi", "--wait", "delivered", "--json"]);
    bob.run(&["listen", "--count", "1"]).succeeds();
    let first = listen.next_event("reach");
    assert_eq!((&first["delivered"], &first["of"]), (&json!(1), &json!(2)));
    let late = json_of(&alice, &["info", first["id"].as_str().unwrap()]);
    assert_eq!(late["state"], "accepted", "one has it, and not the other");
    carol.run(&["listen", "--count", "1"]).succeeds();
    assert_eq!(send.next_json()["state"], "delivered");
    assert_eq!(send.code(), Some(0));
}

#[test]
fn who_has_read_a_message_to_a_group_is_told_and_named() {
    let server = Server::start();
    let (alice, bob) = (server.joined("alice"), server.joined("bob"));
    let carol = server.joined("carol");
    let made = json_of(&alice, &["group", "create", "Herons", "bob", "carol"]);
    let group = format!("group:{}", made["group"].as_str().unwrap());
    let id = json_of(&alice, &["send", &group, "hi"])["id"].as_str().unwrap().to_owned();
    let mut listen = alice.start(&["listen", "--json"]);
    bob.run(&["listen", "--json", "--count", "1", "--read"]).succeeds();
    carol.run(&["listen", "--json", "--count", "1"]).succeeds();
    loop {
        let reach = listen.next_event("reach");
        assert_eq!((&reach["id"], &reach["of"]), (&json!(id), &json!(2)));
        if (&reach["delivered"], &reach["read"]) == (&json!(2), &json!(1)) {
            break;
        }
    }
    let info = json_of(&alice, &["info", &id]);
    assert_eq!(info["reach"], json!({ "delivered": 2, "read": 1, "of": 2 }));
    let states = |info: &Value| {
        let mut states: Vec<(String, String)> = info["recipients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|to| (to["handle"].to_string(), to["state"].to_string()))
            .collect();
        states.sort();
        states
    };
    let expected = [("\"bob\"", "\"read\""), ("\"carol\"", "\"delivered\"")];
    assert_eq!(states(&info), expected.map(|(who, state)| (who.to_owned(), state.to_owned())));
    let lines = alice.run(&["info", &id]).succeeds().output;
    assert!(lines.contains("read by 1 of 2") && lines.contains("bob  read"), "{lines}");
    listen.kill();
}
