//! The simulation itself: the same seed is the same case, and each check sees what it is there for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use godwit_base::{DeviceId, MessageId};
use godwit_sim::case::{Case, Failure, play};
use godwit_sim::check::{CHECKS, People};
use godwit_sim::facts::{Fact, Plant};
use godwit_sim::plan::{SCENARIOS, Scenario, named};

#[test]
fn a_seed_is_the_whole_case() {
    let mut transcripts = Vec::new();
    for (seed, scenario) in (1..).zip(&SCENARIOS) {
        let case = Case { scenario, ..Case::of(seed) };
        let (first, second) = (play(case), play(case));
        assert_eq!(first.failure, None, "{} {seed}", scenario.name);
        assert_eq!(first.transcript, second.transcript, "{} {seed}", scenario.name);
        assert!(first.messages > 0, "{}: nobody said anything", scenario.name);
        transcripts.push(first.transcript);
    }
    let first = transcripts.remove(0);
    assert!(!transcripts.contains(&first), "other seeds are other cases");
}

/// Whether a check is the first to see a planted fault, in one of a few calm cases.
fn is_seen(plant: Plant, check: &str) -> bool {
    is_seen_in("calm", plant, check)
}

#[test]
fn what_was_accepted_and_not_shown_is_seen() {
    assert!(is_seen(Plant::Loses, "sent arrives"));
}

#[test]
fn what_is_shown_twice_is_seen() {
    assert!(is_seen(Plant::Repeats, "shown once"));
}

#[test]
fn what_is_shown_out_of_order_is_seen() {
    assert!(is_seen(Plant::Swaps, "in order"));
}

#[test]
fn what_nobody_said_is_seen() {
    assert!(is_seen(Plant::Ghost, "no ghost"));
}

#[test]
fn two_ticks_too_early_are_seen() {
    assert!(is_seen(Plant::TicksEarly, "two ticks after shown"));
}

#[test]
fn a_tick_before_the_disk_is_seen() {
    assert!(is_seen(Plant::LyingDisk, "one tick after durable"));
}

#[test]
fn a_panic_that_is_swallowed_is_seen() {
    assert!(is_seen(Plant::Panics, "no panic"));
}

/// The same among cases of another scenario.
fn is_seen_in(scenario: &str, plant: Plant, check: &str) -> bool {
    let scenario = named(scenario).unwrap();
    let fails = |seed| play(Case { plant, scenario, ..Case::of(seed) }).failure;
    (1..20).filter_map(fails).any(|failure| failure.check == check)
}

#[test]
fn another_text_is_seen() {
    assert!(is_told(Plant::Rewrites, "sent arrives", "was not shown"));
    // What was said is missing, which is told first; that what was not said is there is seen as well.
    let id = MessageId { device: DeviceId::new(7, 1), counter: 1 };
    let people = People { phones: vec![vec![0], vec![1]] };
    let history = |shown: &str| {
        let asked = Fact::Asked { phone: 0, id, to: vec![1], text: "hi".to_owned() };
        let shown = Fact::Shown { phone: 1, id, text: Some(shown.to_owned()) };
        [asked, Fact::Sent { phone: 0, id }, shown]
    };
    let (_, no_ghost) = CHECKS.into_iter().find(|(name, _)| *name == "no ghost").unwrap();
    assert!(no_ghost(&history("ho"), &people).is_err());
    assert!(no_ghost(&history("hi"), &people).is_ok());
}

#[test]
fn what_somebody_else_is_shown_is_seen() {
    assert!(is_told(Plant::Strays, "no ghost", "to whom nobody sent it"));
}

#[test]
fn a_sender_who_is_never_told_is_seen() {
    assert!(is_told(Plant::TicksLost, "sent arrives", "is still"));
}

#[test]
fn what_failed_is_seen() {
    assert!(is_told(Plant::Fails, "sent arrives", "failed"));
}

/// Whether what is wrong is told so, in one of a few calm cases.
fn is_told(plant: Plant, check: &str, what: &str) -> bool {
    let scenario = named("calm").unwrap();
    let fails = |seed| play(Case { plant, scenario, ..Case::of(seed) }).failure;
    let is_it = |failure: Failure| failure.check == check && failure.what.contains(what);
    (1..20).filter_map(fails).any(is_it)
}

#[test]
fn a_world_that_does_not_go_on_is_seen() {
    static SILENT: Scenario = Scenario {
        name: "silent",
        about: "nobody says anything, so nothing is missing",
        people: (2, 2),
        phones: 1,
        group_percent: 0,
        seconds: 1,
        says: 0,
        burst: 0,
        faults: 0,
        kinds: &[],
    };
    let case = |plant| play(Case { plant, scenario: &SILENT, ..Case::of(1) }).failure;
    assert_eq!(case(Plant::Nothing), None);
    assert_eq!(case(Plant::Strands).unwrap().check, "the world goes on");
}

#[test]
fn a_session_that_a_hand_over_loses_is_seen() {
    assert!(is_seen_in("handover", Plant::MoveLoses, "nobody is dropped"));
}

#[test]
fn a_record_that_a_hand_over_damages_is_seen() {
    assert!(is_seen_in("handover", Plant::MoveDamages, "a hand-over is whole"));
}

#[test]
fn a_counter_that_a_hand_over_uses_again_is_seen() {
    assert!(is_seen_in("handover", Plant::MoveTurnsBack, "no counter twice"));
}

#[test]
fn sessions_go_over_and_come_back() {
    let scenario = named("handover").unwrap();
    let count = |seed| play(Case { scenario, ..Case::of(seed) }).hand_overs;
    assert!((1..5).map(count).sum::<usize>() > 4, "hardly a hand-over in a case");
}

#[test]
fn a_store_that_does_not_open_is_seen() {
    assert!(is_seen_in("crash", Plant::Ruins, "starts again"));
}

/// What the lie costs: the server comes back without what it said it had.
#[test]
fn what_a_lying_disk_loses_is_seen() {
    let scenario = named("crash").unwrap();
    let loses = |seed| {
        let case = Case { plant: Plant::LyingDisk, scenario, ..Case::of(seed) };
        play(case).failure.is_some_and(|failure| failure.check != "one tick after durable")
    };
    assert!((1..20).any(loses), "no power cut loses anything");
}
