//! The life of the link.

use godwit_client::core::{LinkOrder, Now};
use godwit_client::{ConnectionState, Error, Event, WarningKind};
use godwit_wire::frame::{Header, decode_header};
use godwit_wire::{Refusal, v1};

use crate::world::World;

fn offline(world: &mut World, of: &str) -> Option<(Option<u64>, String)> {
    world.device(of).told.iter().rev().find_map(|event| match event {
        Event::Connection(ConnectionState::Offline { retry_in_ms, reason }) => {
            Some((*retry_in_ms, reason.clone()))
        }
        _ => None,
    })
}

#[test]
fn a_second_link_resumes_and_a_refused_ticket_falls_back() {
    let mut world = World::with(&["alice"]);
    assert_eq!(world.server.resumed, 0);
    world.cut(0);
    world.settle();
    assert_eq!(world.server.resumed, 1);
    world.server.mischief.no_tickets = true;
    world.cut(0);
    world.settle();
    assert_eq!(world.server.resumed, 1);
    assert!(world.server.connections.contains_key(&0), "by the full handshake");
}

/// The network dies in the middle of the welcome: there is no link yet that keepalives would find dead.
#[test]
fn a_welcome_of_which_the_rest_does_not_come_is_not_waited_for() {
    let mut world = World::with(&["alice"]);
    world.cut(0);
    while !world.server.connections.contains_key(&0) {
        world.pass(50);
        world.drive(0);
        world.obey(0);
    }
    world.drive(0);
    world.carry_up(0, usize::MAX);
    world.carry_down(0, 40);
    world.pass(19_999);
    world.drive(0);
    assert_eq!(world.devices[0].order, None, "it may still come");
    for _ in 0..60 {
        world.pass(50);
        world.drive(0);
    }
    assert_eq!(world.devices[0].order, Some(LinkOrder::Dial));
}

/// A refusal before the link is encrypted is nobody's word: it delays, and no more.
#[test]
fn a_forged_refusal_keeps_nobody_away_for_good() {
    let final_numbers = [Refusal::HandshakeFailed, Refusal::UnknownServerKey, Refusal::BadTicket];
    let numbers = final_numbers.map(Refusal::number).into_iter().chain([60_000]);
    for number in numbers {
        let mut world = World::with(&["alice"]);
        world.server.mischief.forged_refusal = Some((number, 0));
        world.cut(0);
        world.settle();
        let (retry_in_ms, reason) = offline(&mut world, "alice").unwrap();
        assert!((60_000..=90_000).contains(&retry_in_ms.unwrap()), "{number}: {retry_in_ms:?}");
        assert!(!reason.is_empty());
        world.server.mischief.forged_refusal = None;
        world.pass(90_001);
        world.settle();
        assert!(world.server.connections.contains_key(&0), "{number}");
    }
}

#[test]
fn a_forged_delay_is_believed_for_an_hour_at_most() {
    let mut world = World::with(&["alice"]);
    world.server.mischief.forged_refusal = Some((Refusal::Busy.number(), u32::MAX));
    world.cut(0);
    world.settle();
    let (retry_in_ms, _) = offline(&mut world, "alice").unwrap();
    assert!((3_600_000..=5_400_000).contains(&retry_in_ms.unwrap()), "{retry_in_ms:?}");
}

#[test]
fn a_goodbye_is_obeyed_to_the_millisecond_and_with_jitter_above() {
    let mut world = World::with(&["alice"]);
    let code = Refusal::Draining.number().into();
    world.server.say(0, v1::Goodbye { code, reconnect_after_ms: 5_000 });
    world.step(0);
    world.step(0);
    let (retry_in_ms, _) = offline(&mut world, "alice").unwrap();
    assert!((5_000..=7_500).contains(&retry_in_ms.unwrap()), "{retry_in_ms:?}");
    world.pass(4_900);
    world.step(0);
    assert!(!world.server.connections.contains_key(&0), "not before the server's delay");
    world.pass(2_600);
    world.step(0);
    assert!(world.server.connections.contains_key(&0));
}

#[test]
fn a_displaced_device_stays_away_and_says_why() {
    let mut world = World::with(&["alice"]);
    let code = Refusal::Displaced.number().into();
    world.server.say(0, v1::Goodbye { code, reconnect_after_ms: 0 });
    world.settle();
    world.pass(3_600_000);
    world.settle();
    assert!(!world.server.connections.contains_key(&0));
    assert_eq!(world.warnings("alice", WarningKind::Displaced), 1);
    assert_eq!(offline(&mut world, "alice").unwrap().0, None);
}

/// A home is put back from a copy taken before `since` messages were sent, and `queued` are sent in
/// it before it is online.
fn put_back(since: usize, queued: usize) -> World {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "before the copy");
    world.settle();
    let copied = world.device("alice").copy();
    for n in 1..=since {
        world.send("alice", "bob", &format!("after it {n}"));
    }
    world.settle();
    world.device("alice").put_back(copied);
    world.obey(0);
    let now = world.now();
    world.device("alice").restart(now);
    for n in 1..=queued {
        world.send("alice", "bob", &format!("in the copy {n}"));
    }
    world.settle();
    world
}

#[test]
fn a_home_put_back_from_a_copy_sends_nothing_and_says_so() {
    // Fewer queued than sent since, as many, and more: the counters of the copy pass the server's.
    for (since, queued) in [(1, 0), (3, 1), (3, 3), (3, 4), (1, 50)] {
        let mut world = put_back(since, queued);
        let story = format!("{since} since the copy, {queued} queued in it");
        assert_eq!(world.texts("bob", "alice").len(), 1 + since, "{story}");
        assert_eq!(world.server.submitted.len(), 1 + since, "{story}");
        assert_eq!(world.warnings("alice", WarningKind::Restored), 1, "{story}");
        let (retry_in_ms, reason) = offline(&mut world, "alice").unwrap();
        assert_eq!(retry_in_ms, None, "{story}");
        assert!(reason.contains("older copy"), "{reason}");
        // It stays so whatever is sent in it, in this life and the next.
        world.send("alice", "bob", "one more");
        world.device("alice").crash();
        world.settle();
        assert_eq!(world.server.submitted.len(), 1 + since, "{story}");
        assert_eq!(world.warnings("alice", WarningKind::Restored), 2, "{story}");
    }
}

#[test]
fn what_waits_for_the_copy_stays_on_the_server_for_the_newest() {
    let mut world = put_back(1, 0);
    world.send("bob", "alice", "to the newest of you");
    world.settle();
    assert!(world.texts("alice", "bob").is_empty());
    let alice = world.devices[0].core().device();
    assert!(!world.server.mailboxes[&alice].is_empty());
}

#[test]
fn a_copy_as_new_as_what_was_sent_carries_on() {
    let mut world = put_back(0, 2);
    assert_eq!(world.texts("bob", "alice").len(), 3);
    assert_eq!(world.warnings("alice", WarningKind::Restored), 0);
}

#[test]
fn a_server_that_forgot_the_device_is_not_asked_again() {
    let mut world = World::with(&["alice"]);
    world.server.accounts.clear();
    world.cut(0);
    world.settle();
    assert!(offline(&mut world, "alice").unwrap().1.contains("does not know this device"));
    assert_eq!(world.device("alice").core().deadline().map(|ms| ms > 0), Some(true));
    world.pass(600_000);
    assert_eq!(world.device("alice").order, None);
}

#[test]
fn quiet_is_filled_with_one_byte_and_too_much_of_it_ends_the_link() {
    let mut world = World::with(&["alice"]);
    let due_ms = world.device("alice").core().deadline().unwrap();
    world.pass(due_ms - world.mono_ms - 1);
    world.drive(0);
    assert!(world.devices[0].to_server.is_empty());
    world.pass(1);
    world.drive(0);
    assert_eq!(world.devices[0].to_server, [0]);
    // The server does not answer for one and a half of its own intervals.
    world.pass(45_000 - 1);
    world.drive(0);
    assert_eq!(world.devices[0].order, None);
    world.pass(1);
    world.drive(0);
    assert_eq!(world.devices[0].order, Some(LinkOrder::Close));
    assert_eq!(offline(&mut world, "alice").unwrap().1, "the server went silent");
}

/// Whatever goes out or comes in says that somebody is there: a byte beside it, or soon after it, would say it again.
#[test]
fn who_has_just_said_or_heard_something_sends_no_keepalive_of_its_own() {
    let mut world = World::with(&["alice"]);
    let due_ms = world.device("alice").core().deadline().unwrap();
    world.pass(due_ms - world.mono_ms);
    world.device("alice").core().set_here(false);
    world.drive(0);
    let said = std::mem::take(&mut world.devices[0].to_server);
    let Ok(Header::Frame { header, body }) = decode_header(&said) else { panic!("{said:?}") };
    assert_eq!(said.len(), header + body, "one frame, in the moment in which a keepalive was due");
    world.pass(14_999);
    world.drive(0);
    assert!(world.devices[0].to_server.is_empty(), "nothing came for less than 45 s");

    let mut world = World::with(&["alice"]);
    let account = world.account("alice").0;
    let due_ms = world.device("alice").core().deadline().unwrap();
    world.pass(due_ms - world.mono_ms - 1);
    world.server.say(0, v1::Presence { account, ..v1::Presence::default() });
    world.carry_down(0, usize::MAX);
    world.pass(1);
    world.drive(0);
    assert!(world.devices[0].to_server.is_empty(), "something came a millisecond ago");
    assert!(world.device("alice").core().deadline().unwrap() > world.mono_ms);
}

/// Passes the time until the device says something by itself, through a network that forgets a connection after so
/// much quiet. Returns what interval the server was told.
fn next_keepalive(world: &mut World, forgets_ms: u64) -> Option<u32> {
    let quiet_from_ms = world.mono_ms;
    while world.devices[0].to_server.is_empty() {
        let due_ms = world.device("alice").core().deadline().unwrap();
        world.pass(due_ms.saturating_sub(world.mono_ms));
        world.drive(0);
    }
    if world.mono_ms - quiet_from_ms >= forgets_ms {
        world.server.connections.remove(&0);
        while world.devices[0].order.is_none() {
            world.devices[0].to_server.clear();
            let due_ms = world.device("alice").core().deadline().unwrap();
            world.pass(due_ms.saturating_sub(world.mono_ms));
            world.drive(0);
        }
    }
    world.settle();
    world.server.connections[&0].interval_s
}

#[test]
fn how_quiet_a_network_lets_the_link_be_is_learned() {
    let mut world = World::with(&["alice"]);
    // Less what the settling takes.
    let forgets_ms = 97_000;
    let mut told = Vec::new();
    for _ in 0..20 {
        let interval_s = next_keepalive(&mut world, forgets_ms);
        if told.last() != Some(&interval_s) {
            told.push(interval_s);
        }
    }
    // 30 s, then half as much again each time; 101.25 s was too long, and is not tried again for an hour.
    assert_eq!(told, [None, Some(45), Some(68), Some(102), Some(68)]);
    world.pass(3_600_000);
    world.settle();
    let again: Vec<_> = (0..8).map(|_| next_keepalive(&mut world, u64::MAX)).collect();
    assert!(again.contains(&Some(152)), "{again:?}");
}

/// As some networks do: they answer for a connection that they forgot.
#[test]
fn a_link_that_is_closed_when_it_was_quiet_for_too_long_teaches_as_well() {
    let mut world = World::with(&["alice"]);
    while next_keepalive(&mut world, u64::MAX) != Some(68) {}
    world.pass(60_000);
    world.cut(0);
    world.settle();
    let interval_s = world.server.connections[&0].interval_s.unwrap();
    assert!(
        (40..=42).contains(&interval_s),
        "two thirds of a minute and what the settling took: {interval_s}"
    );
}

#[test]
fn a_machine_that_slept_blames_nobody() {
    let mut world = World::with(&["alice"]);
    while next_keepalive(&mut world, u64::MAX) != Some(68) {}
    world.skew_ms += 600_000;
    world.pass(60_000);
    world.cut(0);
    world.settle();
    assert_eq!(world.server.connections[&0].interval_s, Some(68));
}

/// Whoever only hears says that it is there so early that the server, which looks once in a while, never takes it
/// for gone.
#[test]
fn who_only_hears_says_in_time_that_it_is_there() {
    let mut world = World::with(&["alice"]);
    let spoke_ms = world.mono_ms;
    let account = world.account("alice").0;
    while world.devices[0].to_server.is_empty() {
        world.pass(1_000);
        // Of somebody whom it does not know: nothing to say.
        world.server.say(0, v1::Presence { account, ..v1::Presence::default() });
        world.carry_down(0, usize::MAX);
        world.drive(0);
    }
    let (pass_ms, limit_ms) = (30_000 * 3 / 4, 30_000 * 5 / 2);
    assert_eq!(world.devices[0].to_server, [0]);
    assert!(world.mono_ms - spoke_ms + pass_ms < limit_ms, "{}", world.mono_ms - spoke_ms);
}

/// What this side says is no sign of the other one: it asks, in the way that is answered at once.
#[test]
fn who_speaks_and_hears_nothing_asks_whether_anybody_is_there() {
    let mut world = World::with(&["alice"]);
    let begin_ms = world.mono_ms;
    let (mut asked_ms, mut is_here) = (None, true);
    while world.devices[0].order.is_none() {
        world.pass(5_000);
        is_here = !is_here;
        world.device("alice").core().set_here(is_here);
        world.drive(0);
        let said = std::mem::take(&mut world.devices[0].to_server);
        if said.ends_with(&[0, 0]) && asked_ms.is_none() {
            asked_ms = Some(world.mono_ms - begin_ms);
        }
    }
    assert_eq!(asked_ms, Some(45_000), "the interval, and half of the server's");
    assert_eq!(world.mono_ms - begin_ms, 90_000);
    assert_eq!(world.devices[0].order, Some(LinkOrder::Close));
}

#[test]
fn an_answer_that_does_not_come_ends_the_link() {
    let mut world = World::with(&["alice", "bob"]);
    world.send("alice", "bob", "anybody?");
    world.drive(0);
    world.devices[0].to_server.clear(); // lost on the way
    world.pass(19_999);
    world.drive(0);
    assert_eq!(world.devices[0].order, None);
    world.pass(1);
    world.drive(0);
    assert_eq!(world.devices[0].order, Some(LinkOrder::Close));
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["anybody?"]);
}

#[test]
fn garbage_from_the_server_ends_the_link_and_nothing_else() {
    let mut world = World::with(&["alice"]);
    let now = world.now();
    world.devices[0].core().on_bytes(&[0x7f; 300], now);
    world.step(0);
    assert!(offline(&mut world, "alice").unwrap().0.is_some());
    world.settle();
    assert!(world.server.connections.contains_key(&0));
}

#[test]
fn another_server_under_the_same_address_is_not_believed() {
    let mut world = World::with(&["alice"]);
    let other = World::new();
    world.server = other.server;
    world.devices[0].crash();
    let now = world.now();
    world.devices[0].restart(now);
    world.pass(50);
    world.drive(0);
    assert_eq!(world.devices[0].order.take(), Some(LinkOrder::Dial));
    world.devices[0].core().connected(now);
    world.drive(0);
    // A reply that proves nothing: kind 0, 48 bytes.
    let mut reply = vec![0, 0, 48];
    reply.extend([9; 48]);
    world.devices[0].core().on_bytes(&reply, now);
    world.drive(0);
    assert!(offline(&mut world, "alice").unwrap().1.contains("did not prove its key"));
}

#[test]
fn a_deadline_is_always_ahead_or_acted_upon() {
    let mut world = World::with(&["alice"]);
    for _ in 0..200 {
        let mono_ms = world.device("alice").core().deadline().unwrap();
        world.mono_ms = world.mono_ms.max(mono_ms);
        let now: Now = world.now();
        world.device("alice").core().tick(now);
        world.step(0);
        let next = world.device("alice").core().deadline().unwrap();
        assert!(next > world.mono_ms, "a driver that sleeps until {next} would spin");
    }
}

#[test]
fn a_user_who_knows_better_does_not_wait_for_the_next_attempt() {
    let mut world = World::with(&["alice"]);
    for _ in 0..8 {
        world.cut(0);
        world.pass(120_000);
        world.drive(0);
    }
    world.cut(0);
    world.drive(0);
    assert_eq!(world.devices[0].order.take(), Some(LinkOrder::Close));
    world.pass(1);
    world.drive(0);
    assert_eq!(world.devices[0].order, None, "it waits");
    let now = world.now();
    world.devices[0].core().dial_now(now);
    world.pass(0);
    world.drive(0);
    assert_eq!(world.devices[0].order, Some(LinkOrder::Dial));
}

#[test]
fn who_joins_is_told_of_a_refused_link_once_and_not_of_one_for_now() {
    for (refusal, retry_after_ms, is_told) in
        [(Refusal::UnknownServerKey, 0, true), (Refusal::Busy, 500, false)]
    {
        let mut world = World::new();
        world.server.mischief.forged_refusal = Some((refusal.number(), retry_after_ms));
        world.add("alice");
        (0..4).for_each(|_| {
            world.pass(1);
            world.step(0);
        });
        let result = world.devices[0].core().join_result().cloned();
        let told =
            matches!(&result, Some(Err(Error::Refused { code, .. })) if *code == refusal.number());
        assert_eq!(told, is_told, "{result:?}");
    }
}

#[test]
fn a_ticket_is_used_once_though_the_client_dies_before_the_answer() {
    let mut world = World::with(&["alice"]);
    world.cut(0);
    world.pass(90_000);
    let mut steps = 0;
    while world.server.resumed == 0 {
        assert!(
            {
                steps += 1;
                steps
            } < 50,
            "no link is begun"
        );
        world.drive(0);
        world.obey(0);
        world.carry_up(0, usize::MAX);
    }
    world.device("alice").crash();
    world.obey(0);
    world.settle();
    assert!(world.server.connections.contains_key(&0));
    assert_eq!(world.server.resumed, 1, "the next link is by the full handshake");
}
