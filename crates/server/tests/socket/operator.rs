//! What the operator asks over the admin socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use godwit_server::admin::{AskError, Question, ask};
use godwit_wire::Refusal;
use serde_json::Value;

use super::world::World;

/// An answer of the running server.
pub(crate) async fn asks(world: &World, question: Question) -> Result<Value, AskError> {
    let data = world.data.path().to_owned();
    tokio::task::spawn_blocking(move || ask(&data, &question)).await.unwrap()
}

/// An invite code for so many accounts.
pub(crate) async fn invites(world: &World, uses: u32) -> String {
    let made = asks(world, Question::Invite { uses, days: 1 }).await.unwrap();
    made["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn status_and_tree_tell_what_is_there() {
    let world = World::new().await;
    let alice = world.joins("alice").await;
    let status = asks(&world, Question::Status).await.unwrap();
    assert_eq!((&status["sessions"], &status["accounts"]), (&1.into(), &1.into()));
    assert_eq!(status["join"], world.join.to_string());
    let tree = asks(&world, Question::Tree).await.unwrap();
    let names: Vec<&str> = tree["tree"]["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| child["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["store", "sessions", "services"]);
    let counts = &tree["tree"]["children"][1]["counts"];
    assert_eq!((&counts["live"], &counts["attached"]), (&1.into(), &1.into()), "{counts}");
    assert_eq!((&counts["turns_stuck"], &counts["words_waiting"]), (&0.into(), &0.into()));
    let text = tree["text"].as_str().unwrap();
    for part in ["watchdog", "sweeper", "upkeep", "scrubber", "tidier", "presence", "door", "admin"]
    {
        assert!(text.contains(&format!("─ {part}  ")), "{text}");
    }
    assert!(text.contains("live 1, panics caught 0"), "{text}");
    let socket = world.data.path().join("admin.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(alice);
    let data = world.stops().await;
    assert!(matches!(ask(data.path(), &Question::Status), Err(AskError::NotRunning(_))));
}

#[tokio::test]
async fn a_session_tells_how_it_is_whatever_it_is_asked_by() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    alice.sends("hello").to(&bob).await;
    bob.receives("hello", &alice).await; // her tick may come before his session sends it
    let looks = async |id: String| {
        let rows = asks(&world, Question::Session { id }).await?;
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        Ok(rows[0].clone())
    };
    let device = format!("{}.1", bob.account());
    for id in ["bob".to_owned(), bob.account().to_string(), device.clone()] {
        let row = looks(id).await.unwrap();
        assert_eq!(row["device"], device);
        assert!(row["quarantine"].is_null());
        let says = &row["session"]["says"];
        assert_eq!((&says["stage"], &says["peer"]), (&"open".into(), &"attached".into()), "{row}");
        assert_eq!((&says["feed"], &says["caught_up"]), (&"live".into(), &true.into()), "{row}");
        assert!(says["last_sent"].as_u64().unwrap() > 0, "{row}");
        assert!(row["session"]["turn_running_ms"].is_null(), "{row}");
    }
    let token = looks("alice".into()).await.unwrap()["session"]["token"].clone();
    let row = looks(token.as_str().unwrap().to_owned()).await.unwrap();
    assert_eq!(row["device"], format!("{}.1", alice.account()));
    alice.hangs_up();
    while looks("alice".into()).await.unwrap()["session"].is_object() {}
    for (id, why) in [
        (token.as_str().unwrap(), "no such session"),
        ("carol", "nobody is called that"),
        ("Carol", "name a handle"),
    ] {
        let refused: AskError = looks(id.into()).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

/// As many as the server takes at once.
#[tokio::test]
async fn connections_that_ask_nothing_do_not_keep_the_server_from_going_down() {
    let world = World::new().await;
    let mut alice = world.joins("alice").await;
    let socket = world.data.path().join("admin.sock");
    let connect = |_| UnixStream::connect(&socket).unwrap();
    let idle: Vec<_> = (0..16).map(connect).collect();
    let stopping = tokio::spawn(world.stops());
    assert_eq!(alice.link().hears_goodbye().await.0, Refusal::Draining);
    alice.hangs_up();
    let data = stopping.await.unwrap();
    assert!(!socket.exists(), "it went in order");
    drop((idle, data));
}

#[tokio::test]
async fn a_backup_of_a_running_server_holds_what_was_ticked() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.joins("alice").await, world.joins("bob").await);
    bob.hangs_up();
    let counter = alice.sends("keep me").to(&bob).await;
    alice.sees_tick(counter).await;
    let folder = tempfile::TempDir::new().unwrap();
    let to = folder.path().join("backup.redb");
    asks(&world, Question::Backup { to: to.clone() }).await.unwrap();
    let again = asks(&world, Question::Backup { to: to.clone() }).await;
    assert!(matches!(again, Err(AskError::Refused(_))), "a backup is never overwritten");
    world.stops().await;
    let elsewhere = tempfile::TempDir::new().unwrap();
    godwit_store::restore(&to, &elsewhere.path().join("store")).unwrap();
    let world = World::on(elsewhere, |_| {}).await;
    bob.join = world.join.clone();
    let waiting = bob.comes_back().await;
    assert_eq!(waiting.len(), 1);
}

/// The answer to a question that ends at this byte, its line end not counted.
async fn answer_to(world: &World, bytes: usize) -> Value {
    let socket = world.data.path().join("admin.sock");
    let asked = serde_json::to_string(&Question::Status).unwrap();
    let question = format!("{asked:>bytes$}\n");
    let answered = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    });
    answered.await.unwrap()
}

#[tokio::test]
async fn a_question_may_have_16_kib_and_no_more() {
    let world = World::new().await;
    assert!(answer_to(&world, 16 * 1_024).await["ok"].is_object());
    let refused = answer_to(&world, 16 * 1_024 + 1).await;
    assert!(refused["error"].as_str().unwrap().starts_with("not a question"), "{refused}");
}

/// A folder whose path the system does not take as a socket's has a server all the same.
#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_costs_the_admin_socket_alone() {
    const PATH_BYTES_MAX: usize = 100;
    let folder = tempfile::TempDir::new().unwrap();
    let other = folder.path().join("admin.sock").as_os_str().len() + 1;
    for (bytes, has_socket) in [(PATH_BYTES_MAX, true), (PATH_BYTES_MAX + 1, false)] {
        let data = folder.path().join("d".repeat(bytes - other));
        let data_there = data.clone();
        let world = World::with(move |setup| setup.config.data = Some(data_there)).await;
        assert_eq!(data.join("admin.sock").exists(), has_socket, "{bytes}");
        drop(world.joins("alice").await);
        world.stops().await;
    }
}
