//! What needs no server: usage, homes, completions, manual pages.

use crate::stage::{Ended, Home, godwit};

#[test]
fn help_and_version_are_no_failures() {
    let help = Ended::of(godwit().arg("--help"), "").succeeds();
    for word in ["join", "send", "listen", "history", "verify", "chat", "completions", "Exit codes"]
    {
        assert!(help.output.contains(word), "{word} is not in:\n{}", help.output);
    }
    let listen = Ended::of(godwit().args(["listen", "--help"]), "").succeeds();
    for word in ["twice", "while it runs", "your other devices sent"] {
        assert!(listen.output.contains(word), "{word} is not in:\n{}", listen.output);
    }
    let send = Ended::of(godwit().args(["send", "--help"]), "").succeeds();
    assert!(send.output.contains("each other member"), "what is waited for:\n{}", send.output);
    let version = Ended::of(godwit().arg("--version"), "").succeeds();
    assert_eq!(version.output, format!("godwit {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let home = Home::new();
    let (long, group) = ("x".repeat(513), "0".repeat(32));
    let wrong: &[&[&str]] = &[
        &[],
        &["fly"],
        &["send", "bob"],
        &["send", "bob", "hi", "--lines"],
        &["send", "bob", "hi", "--wait", "eaten"],
        &["send", "bob", "hi", "--timeout", "soon"],
        &["send", "Bob!", "hi"],
        &["listen", "--count", "-1"],
        &["join", "http://example", "--as", "alice"],
        &["join", "godwit://127.0.0.1:1#short", "--as", "alice"],
        &["completions", "csh"],
        &["settings", "presence", "friends"],
        &["settings", "presence", "--anew"],
        &["react", "00000000000000aa.1.42", "a"],
        &["react", "00000000000000aa.1.42", "👍👍"],
        &["report", "bob", "--last", "0", "--yes", "--reason", &long],
        &["group", "add", &group, "bob", "--timeout", "soon"],
    ];
    for arguments in wrong {
        let ended = home.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.errors.is_empty(), "{arguments:?}");
        assert!(ended.output.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_home_without_an_account_says_to_join() {
    let home = Home::new();
    let commands: &[&[&str]] = &[
        &["send", "bob", "hi"],
        &["listen", "--json"],
        &["history", "bob"],
        &["chats"],
        &["search", "x"],
        &["verify", "bob"],
        &["presence", "bob"],
        &["settings", "presence"],
    ];
    for arguments in commands {
        home.run(arguments).fails(1, "godwit join LINK --as HANDLE");
    }
}

#[test]
fn the_home_is_taken_from_the_environment_too() {
    let home = Home::new();
    let ended = Ended::of(godwit().env("GODWIT_HOME", home.path()).arg("chats"), "");
    ended.fails(1, home.path());
    let data = Home::new();
    let ended = Ended::of(godwit().env("XDG_DATA_HOME", data.path()).arg("chats"), "");
    ended.fails(1, &format!("{}/godwit", data.path()));
    let ended = Ended::of(godwit().env_remove("XDG_DATA_HOME").env_remove("HOME").arg("chats"), "");
    ended.fails(2, "--home DIR");
}

#[test]
fn completions_for_every_shell_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Ended::of(godwit().args(["completions", shell]), "").succeeds().output;
        for word in ["listen", "timeout", "history"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = Ended::of(godwit().arg("man"), "").succeeds().output;
    assert!(page.contains(".TH godwit 1") && page.contains("Exit codes"), "{page}");
    let folder = Home::new();
    Ended::of(godwit().args(["man", folder.path()]), "").succeeds();
    for name in ["godwit", "godwit-send", "godwit-listen", "godwit-chat", "godwit-verify"] {
        let file = format!("{}/{name}.1", folder.path());
        assert!(std::fs::read_to_string(&file).unwrap().contains(".TH"), "{file}");
    }
}

#[test]
fn chat_without_a_terminal_says_what_to_use_instead() {
    // The home is looked at first: it tells what to do first.
    Home::new().run(&["chat"]).fails(1, "godwit join LINK --as HANDLE");
}
