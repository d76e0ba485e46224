//! Cases that are drawn from a seed and run again exactly from it: the same happenings, and the same keys,
//! ids and orders.
//!
//! `GODWIT_SEED=0x2a` runs that case alone, and `GODWIT_TRANSCRIPT=1` prints what happens in it, a line for
//! each thing. `GODWIT_CHAOS_CASES=5000` runs so many drawn cases. Everyday runs make failures smaller; these
//! do so if `GODWIT_SHRINK=400` allows that many attempts.

use std::any::type_name_of_val;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use godwit_chance::seeded;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use sha2::{Digest as _, Sha256};

/// Attempts to make a failure smaller in everyday runs.
const SHRINKS: u32 = 400;

/// What happened in a case, as a number: equal if and only if all bytes that moved, and all that the
/// applications were told, were the same and in the same order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// Hash of what was before, and of the next.
    hash: [u8; 32],
    entries: u64,
}

impl std::fmt::Display for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.hash.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " of {} entries", self.entries)
    }
}

thread_local! {
    /// Of the case that this thread runs.
    static TRANSCRIPT: Cell<Transcript> = const { Cell::new(Transcript { hash: [0; 32], entries: 0 }) };
}

/// Something happened: what and to whom, and its bytes.
pub(crate) fn note(what: std::fmt::Arguments<'_>, bytes: &[u8]) {
    let before = TRANSCRIPT.get();
    let what = what.to_string();
    let hash = Sha256::new_with_prefix(before.hash)
        .chain_update(what.len().to_be_bytes())
        .chain_update(&what)
        .chain_update(bytes);
    let now = Transcript { hash: hash.finalize().into(), entries: before.entries + 1 };
    TRANSCRIPT.set(now);
    if number("GODWIT_TRANSCRIPT").is_some() {
        println!("{what}: {} bytes, {now}", bytes.len());
    }
}

/// Runs `case` for the seeds from 1 to `fixed`, which are the same in every run, and for so many `drawn` ones.
/// Both what `strategy` draws and the keys come from the seed.
///
/// # Panics
/// With the seed, and how to run the case again, when `case` panics.
pub(crate) fn cases<S: Strategy<Value: Send>>(
    fixed: u64,
    drawn: u64,
    strategy: &S,
    case: impl Fn(S::Value) + Sync,
) {
    let draw = |_| getrandom::u64().unwrap();
    let (only, many) = (number("GODWIT_SEED"), number("GODWIT_CHAOS_CASES"));
    let seeds: Vec<u64> = match (only, many) {
        (Some(seed), _) => vec![seed],
        (None, Some(many)) => (0..many).map(draw).collect(),
        (None, None) => (1..=fixed).chain((0..drawn).map(draw)).collect(),
    };
    let everyday = if only.is_none() && many.is_none() { u64::from(SHRINKS) } else { 0 };
    let shrinks = u32::try_from(number("GODWIT_SHRINK").unwrap_or(everyday)).unwrap();
    for seed in seeds {
        println!("seed {seed:#x}");
        match run(seed, shrinks, strategy, &case) {
            Ok(transcript) => println!("seed {seed:#x} is well, transcript {transcript}"),
            Err(why) => panic!("{why}\nagain: {}", command(seed, type_name_of_val(&case))),
        }
    }
}

/// Runs one case. Returns what happened in it, or why it failed.
fn run<S: Strategy<Value: Send>>(
    seed: u64,
    shrinks: u32,
    strategy: &S,
    case: &(impl Fn(S::Value) + Sync),
) -> Result<Transcript, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    // The seed is kept, not what came of it: a file of regressions has no place for the keys.
    let config = ProptestConfig {
        max_shrink_iters: shrinks,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let drawn = strategy.new_tree(&mut runner).unwrap();
    let first = RefCell::new(None);
    let ran = runner.run_one(drawn, |value| {
        let (transcript, result) = played(seed, || case(value));
        first.borrow_mut().get_or_insert(transcript);
        result.map_err(TestCaseError::fail)
    });
    let transcript = first.take().unwrap_or_default();
    match ran {
        Ok(_) => Ok(transcript),
        Err(TestError::Fail(why, smallest)) => Err(format!(
            "seed {seed:#x} fails, transcript {transcript}; smallest known to fail, with {why}:\n{smallest:?}"
        )),
        Err(error) => Err(format!("seed {seed:#x}: {error}")),
    }
}

/// Runs `case` with the chance of `seed`. Returns what happened, and what it panicked with if it did.
fn played(seed: u64, case: impl FnOnce() + Send) -> (Transcript, Result<(), String>) {
    let ran = seeded(seed, || {
        let result = catch_unwind(AssertUnwindSafe(case)).map_err(|payload| {
            let text = payload.downcast_ref::<String>().cloned();
            text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default()
        });
        (TRANSCRIPT.get(), result)
    });
    ran.unwrap()
}

/// The command that runs the case of `seed` again, in the test function where `closure` is.
fn command(seed: u64, closure: &str) -> String {
    let test = closure.split("::").skip(1).filter(|part| !part.starts_with('{'));
    let test = test.collect::<Vec<_>>().join("::");
    format!(
        "GODWIT_SEED={seed:#x} cargo nextest run --workspace --all-features --test machine -E 'test(={test})'"
    )
}

/// The number in an environment variable, decimal or after `0x` hexadecimal.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::{chaos, group_model};

    /// What happens in the first case of a model.
    fn group(seed: u64) -> Transcript {
        run(seed, 0, &group_model::happenings(100..150), &|all| group_model::run(3, 3, all))
            .unwrap()
    }

    fn talk(seed: u64) -> Transcript {
        run(seed, 0, &chaos::happenings(), &chaos::run).unwrap()
    }

    #[test]
    fn the_same_seed_is_the_same_case() {
        for what_happens in [group, talk] {
            let first = what_happens(1);
            assert!(first.entries > 100, "{first}");
            assert_eq!(what_happens(1), first);
            assert_ne!(what_happens(2), first);
        }
    }

    /// The same happenings with other keys are another case.
    #[test]
    fn keys_come_from_the_seed() {
        let of = |seed| played(seed, || chaos::run(Vec::new())).0;
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_failure_says_how_to_run_it_again() {
        let strategy = prop::collection::vec(any::<u8>(), 10..20);
        let fails = |all: Vec<u8>| assert!(all.len() < 12, "{} of them", all.len());
        let seed = (1..).find(|seed| run(*seed, 0, &strategy, &fails).is_err()).unwrap();
        let (why, again) = (run(seed, 0, &strategy, &fails), run(seed, 0, &strategy, &fails));
        assert_eq!(why, again);
        assert!(why.unwrap_err().starts_with(&format!("seed {seed:#x} fails, transcript ")));
        let smaller = run(seed, SHRINKS, &strategy, &fails).unwrap_err();
        assert!(smaller.contains("12 of them"), "{smaller}");
        let told = catch_unwind(AssertUnwindSafe(|| cases(seed, 0, &strategy, fails))).unwrap_err();
        let told = told.downcast_ref::<String>().unwrap();
        let test = "replay::tests::a_failure_says_how_to_run_it_again";
        let command = format!("GODWIT_SEED={seed:#x} cargo nextest run");
        assert!(told.contains(&command) && told.contains(&format!("test(={test})")), "{told}");
    }
}
