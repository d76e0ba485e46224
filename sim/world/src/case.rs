//! One case: a seed, from the beginning of its world to what must hold at the end.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use anyhow::{Result, anyhow};
use fastrand::Rng;
use godwit_link::ledger;

use crate::check;
use crate::facts::{Fact, Plant};
use crate::plan::{self, Scenario};
use crate::replay::{self, Transcript};
use crate::world::World;

/// Everything has arrived within so much time after it healed: a half-dead connection is noticed after some
/// minutes, and the longest pause between two attempts is 90 s.
const PATIENCE_MS: u64 = 1_800_000;

/// And nothing more comes in this time.
const AFTERWARDS_MS: u64 = 5_000;

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub transcript: Transcript,
    /// How long it took, by its own clock.
    pub simulated_ms: u64,
    /// Messages that were sent.
    pub messages: usize,
    /// Hand-overs after which everybody went on, in the new server or in the one before.
    pub hand_overs: usize,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// Why a case failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which check.
    pub check: String,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// How a case is played.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// What it is about.
    pub scenario: &'static Scenario,
    /// A planted fault.
    pub plant: Plant,
    /// Everything is printed.
    pub shown: bool,
}

impl Case {
    /// The case of a seed, of the scenario that it has.
    pub fn of(seed: u64) -> Self {
        Self { seed, scenario: plan::of_seed(seed), plant: Plant::Nothing, shown: false }
    }
}

/// Plays a case in a thread of its own, whose keys and ids come from the seed.
pub fn play(case: Case) -> Outcome {
    count_panics();
    let played = godwit_chance::seeded(case.seed, move || {
        replay::begin(case.shown);
        ledger::begin();
        let mut outcome = Outcome {
            transcript: Transcript::default(),
            simulated_ms: 0,
            messages: 0,
            hand_overs: 0,
            failure: None,
        };
        let ended = catch_unwind(AssertUnwindSafe(|| live(case, &mut outcome)));
        let failed = |check: &str, what| Some(Failure { check: check.to_owned(), what });
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                outcome.failure = match error.downcast::<Failure>() {
                    Ok(failure) => Some(failure),
                    Err(error) => failed("the world goes on", format!("{error:#}")),
                };
            }
            Err(panic) => outcome.failure = failed("no panic", words(&*panic)),
        }
        outcome.transcript = replay::transcript();
        outcome
    });
    played.unwrap_or_else(|panic| Outcome {
        transcript: Transcript::default(),
        simulated_ms: 0,
        messages: 0,
        hand_overs: 0,
        failure: Some(Failure { check: "no panic".to_owned(), what: words(&*panic) }),
    })
}

impl std::error::Error for Failure {}

fn live(case: Case, outcome: &mut Outcome) -> Result<()> {
    let mut rng = Rng::with_seed(case.seed);
    let scenario = case.scenario;
    let people = rng.usize(scenario.people.0..=scenario.people.1);
    let mut world = World::new(scenario, people, rng.fork(), case.plant)?;
    world.plan(plan::draw(scenario, people, &mut rng));
    let ended = live_on(&mut world, scenario);
    if PANICS.get() > 0 {
        world.facts.add(Fact::Panicked);
    }
    let twice = ledger::sealed_twice();
    if twice > 0 {
        world.facts.add(Fact::SealedTwice(twice));
    }
    let is_hand_over = |fact: &&Fact| matches!(fact, Fact::HandedOver { .. });
    outcome.hand_overs = world.facts.all().iter().filter(is_hand_over).count();
    outcome.simulated_ms = world.now_ms();
    let is_sent = |fact: &&Fact| matches!(fact, Fact::Sent { .. });
    outcome.messages = world.facts.all().iter().filter(is_sent).count();
    check::all(world.facts.all(), &world.people)
        .map_err(|broken| Failure { check: broken.check.to_owned(), what: broken.what })?;
    // What was seen says more than that the world could not go on.
    match ended? {
        true => Ok(()),
        false => Err(anyhow!("nobody comes to an end: {}", world.status())),
    }
}

/// Whether everybody comes to an end.
fn live_on(world: &mut World, scenario: &Scenario) -> Result<bool> {
    world.run(scenario.seconds * 1_000)?;
    world.heal();
    let is_done = world.run_until_done(PATIENCE_MS)?;
    if is_done {
        world.run(AFTERWARDS_MS)?;
    }
    Ok(is_done)
}

thread_local! {
    /// Of this case, which is a thread: sessions, the store's writer and the supervisors catch theirs.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// From now on each panic is counted before whoever prints it is told.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let printed = take_hook();
        set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            printed(panic);
        }));
    });
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
