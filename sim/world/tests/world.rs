//! The simulation itself: the same seed is the same case, and each check sees what it is there for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use godwit_sim::case::{Case, play};
use godwit_sim::facts::Plant;
use godwit_sim::plan::{SCENARIOS, named};

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
    let scenario = named("calm").unwrap();
    let fails = |seed| play(Case { plant, scenario, ..Case::of(seed) }).failure;
    (1..20).filter_map(fails).any(|failure| failure.check == check)
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

#[test]
fn a_store_that_does_not_open_is_seen() {
    let scenario = named("crash").unwrap();
    let fails = |seed| play(Case { plant: Plant::Ruins, scenario, ..Case::of(seed) }).failure;
    assert!((1..20).filter_map(fails).any(|failure| failure.check == "starts again"));
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
