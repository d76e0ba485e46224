//! Two people talk.

use godwit_base::limits::DEDUP_WINDOW;
use godwit_client::core::{OUTBOX_MESSAGES_MAX, TEXT_BYTES_MAX};
use godwit_client::{ChatId, Error, Event, Failure, MessageState};
use godwit_wire::Refusal;

use crate::world::{World, handle};

#[test]
fn a_first_message_to_somebody_who_is_away_gets_every_tick() {
    let mut world = World::with(&["alice", "bob"]);
    let bob = world.index("bob");
    world.device("bob").crash();
    world.obey(bob);
    let id = world.send("alice", "bob", "hello");
    assert!(world.texts("bob", "alice").is_empty());
    (0..4).for_each(|_| world.step(0));
    assert_eq!(world.state("alice", id), MessageState::Accepted);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    let now = world.now();
    world.device("bob").core().mark_read(&handle("alice").into(), now);
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Read);
}

#[test]
fn states_are_told_in_order_and_once() {
    let mut world = World::with(&["alice", "bob"]);
    let id = world.send("alice", "bob", "hello");
    world.settle();
    let states = world.device("alice").told.iter().filter_map(|event| match event {
        Event::State { id: told, state, .. } if *told == id => Some(*state),
        _ => None,
    });
    assert_eq!(states.collect::<Vec<_>>(), [MessageState::Accepted, MessageState::Delivered]);
}

#[test]
fn many_lines_keep_their_order_through_the_window() {
    let mut world = World::with(&["alice", "bob"]);
    let lines: Vec<String> = (0..3 * DEDUP_WINDOW + 7).map(|n| format!("line {n}")).collect();
    let now = world.now();
    let ids =
        world.device("alice").core().send([9; 16], &handle("bob").into(), &lines, now).unwrap();
    world.settle();
    assert_eq!(world.texts("bob", "alice"), lines);
    for id in ids {
        assert_eq!(world.state("alice", id), MessageState::Delivered);
    }
}

#[test]
fn a_command_asked_for_twice_sends_once_even_after_a_crash() {
    let mut world = World::with(&["alice", "bob"]);
    let texts = ["one".to_owned(), "two".to_owned()];
    let now = world.now();
    let alice = world.index("alice");
    let first =
        world.devices[alice].core().send([5; 16], &handle("bob").into(), &texts, now).unwrap();
    world.devices[alice].flush(now);
    world.devices[alice].commit(true); // durable, but nobody heard the answer
    world.devices[alice].restart(now);
    let again =
        world.devices[alice].core().send([5; 16], &handle("bob").into(), &texts, now).unwrap();
    assert_eq!(first, again);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "two"]);
}

#[test]
fn several_messages_wait_in_order_while_the_server_is_asked_who_it_is() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    world.server.mischief.fetch_limited = 2;
    for n in 0..5 {
        world.send("alice", "bob", &format!("b{n}"));
        world.send("alice", "carol", &format!("c{n}"));
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["b0", "b1", "b2", "b3", "b4"]);
    assert_eq!(world.texts("carol", "alice"), ["c0", "c1", "c2", "c3", "c4"]);
}

#[test]
fn what_was_refused_for_now_comes_later_and_in_order() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "0");
    world.settle();
    world.server.mischief.busy = 3;
    for n in 1..20 {
        world.send("alice", "bob", &n.to_string());
    }
    world.settle();
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(world.texts("bob", "alice"), expected);
}

/// Found by the model (`docs/model.md`): the client went back to the last of them, and was told for ever that another
/// one comes first.
#[test]
fn several_of_one_failed_batch_are_sent_again_from_the_first() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "0");
    world.settle();
    world.server.mischief.fails = 3;
    for n in 1..5 {
        world.send("alice", "bob", &n.to_string());
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["0", "1", "2", "3", "4"]);
}

/// Its own receipts pile up: nobody is at fault, and nothing fails.
#[test]
fn a_device_told_to_take_its_receipts_first_sends_again_in_order() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "0");
    world.settle();
    world.server.mischief.busy_with = Some(Refusal::ReceiptsWaiting);
    world.server.mischief.busy = 2;
    let first = world.send("alice", "bob", "1");
    world.send("alice", "bob", "2");
    world.settle();
    assert_eq!(world.state("alice", first), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice"), ["0", "1", "2"]);
}

/// Found by `chaos`: the refusal of the first message is here, that of the second still on its way.
#[test]
fn nothing_passes_a_message_whose_refusal_is_still_on_its_way() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "0");
    world.settle();
    let alice = world.index("alice");
    world.server.mischief.busy = 1;
    world.send("alice", "bob", "1");
    world.send("alice", "bob", "2");
    world.drive(alice);
    world.carry_up(alice, usize::MAX);
    let first_frame = 1 + usize::from(world.server.connections[&alice].outgoing[0]);
    world.carry_down(alice, first_frame);
    world.send("alice", "bob", "3");
    world.pass(600); // the server's delay is over
    world.drive(alice);
    world.carry_up(alice, usize::MAX);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["0", "1", "2", "3"]);
}

#[test]
fn a_message_sent_again_is_the_same_bytes() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "0");
    world.settle();
    world.server.submitted.clear();
    world.send("alice", "bob", "once");
    let (alice, now) = (world.index("alice"), world.now());
    world.devices[alice].flush(now);
    world.devices[alice].commit(false);
    world.carry_up(alice, usize::MAX); // the server has it, and its answer is lost
    world.devices[alice].crash();
    world.obey(alice);
    world.settle();
    assert_eq!(world.server.submitted.len(), 2);
    assert_eq!(world.server.submitted[0], world.server.submitted[1]);
    assert_eq!(world.texts("bob", "alice"), ["0", "once"]);
}

#[test]
fn failures_are_final_and_say_why() {
    let mut world = World::with(&["alice", "bob"]);
    let nobody = world.send("alice", "nobody", "?");
    world.send("alice", "bob", "fits");
    world.settle();
    world.server.mischief.full_for.insert(3);
    let full = world.send("alice", "bob", "too much");
    world.send("alice", "bob", "fits again");
    world.settle();
    assert_eq!(world.state("alice", nobody), MessageState::Failed(Failure::UnknownAccount));
    assert_eq!(world.state("alice", full), MessageState::Failed(Failure::MailboxFull));
    assert_eq!(world.texts("bob", "alice"), ["fits", "fits again"]);
}

#[test]
fn a_text_has_both_limits_and_the_outbox_one() {
    let mut world = World::with(&["alice"]);
    let now = world.now();
    let bob = handle("bob");
    let core = world.device("alice").core();
    let mut send =
        |key: u8, texts: &[String]| core.send([key; 16], &ChatId::from(&bob), texts, now);
    assert!(send(1, &[String::new()]).is_ok(), "a blank line of a file is a message");
    let longest = "x".repeat(TEXT_BYTES_MAX);
    assert!(send(2, std::slice::from_ref(&longest)).is_ok());
    let too_long = Error::TextTooLong { bytes: TEXT_BYTES_MAX + 1, max: TEXT_BYTES_MAX };
    assert_eq!(send(3, &["fits".into(), longest + "x"]), Err(too_long));
    let many = vec!["x".to_owned(); OUTBOX_MESSAGES_MAX];
    let full = Error::OutboxFull { max: OUTBOX_MESSAGES_MAX };
    assert_eq!(send(4, &many[1..]), Err(full), "two are there already");
    assert!(send(5, &many[2..]).is_ok());
}

#[test]
fn writing_to_oneself_is_refused() {
    let mut world = World::with(&["alice"]);
    let now = world.now();
    let me = handle("alice");
    let refused = world.device("alice").core().send([1; 16], &(&me).into(), &["x".into()], now);
    assert_eq!(refused, Err(Error::ToYourself));
}

#[test]
fn a_clock_wrong_by_a_year_loses_nothing_and_is_told() {
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    for skew_ms in [YEAR_MS, -YEAR_MS] {
        let mut world = World::new();
        world.skew_ms = skew_ms;
        world.add("alice");
        world.add("bob");
        world.settle();
        let id = world.send("alice", "bob", "what time is it?");
        world.settle();
        assert_eq!(world.texts("bob", "alice"), ["what time is it?"]);
        assert_eq!(world.state("alice", id), MessageState::Delivered);
        assert_eq!(world.warnings("alice", godwit_client::WarningKind::Clock), 1);
        let shown = world.device("bob").history.items.values().next().unwrap().sent_at_ms;
        assert!(shown.abs_diff(crate::world::BEGIN_MS) < 3_600_000, "the server's time is shown");
    }
}

#[test]
fn a_submission_of_20_characters_costs_at_most_220_bytes() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "opening");
    world.settle();
    world.send("bob", "alice", "answer");
    world.settle();
    let (alice, now) = (world.index("alice"), world.now());
    world.send("alice", "bob", "twenty characters ok");
    world.devices[alice].flush(now);
    world.devices[alice].commit(false);
    let bytes = world.devices[alice].to_server.len();
    println!("submit of 20 characters: {bytes} B on the link");
    assert!((1..=220).contains(&bytes), "{bytes}");
}
