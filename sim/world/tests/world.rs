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

/// Which check sees a planted fault first, in one of a few seeds of a scenario.
fn seen(plant: Plant, scenario: &str) -> String {
    let scenario = named(scenario).unwrap();
    let found = (1..20).find_map(|seed| play(Case { plant, scenario, ..Case::of(seed) }).failure);
    found.unwrap_or_else(|| panic!("nobody sees {plant:?}")).check
}

#[test]
fn what_was_accepted_and_not_shown_is_seen() {
    assert_eq!(seen(Plant::Loses, "calm"), "sent arrives");
}

#[test]
fn what_is_shown_twice_is_seen() {
    assert_eq!(seen(Plant::Repeats, "calm"), "shown once");
}

#[test]
fn what_is_shown_out_of_order_is_seen() {
    assert_eq!(seen(Plant::Swaps, "calm"), "in order");
}

#[test]
fn what_nobody_said_is_seen() {
    assert_eq!(seen(Plant::Ghost, "calm"), "no ghost");
}

#[test]
fn two_ticks_too_early_are_seen() {
    assert_eq!(seen(Plant::TicksEarly, "calm"), "two ticks after shown");
}

#[test]
fn a_tick_before_the_disk_is_seen() {
    assert_eq!(seen(Plant::LyingDisk, "calm"), "one tick after durable");
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
