//! `cargo xtask sim`: plays seeds, and says which ones fail and how to play them again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use godwit_sim::case::{Case, Outcome, play};
use godwit_sim::plan::{SCENARIOS, named};
use indicatif::{ProgressBar, ProgressStyle};

/// Failures after which nothing more is begun: more say nothing new.
const FAILURES_MAX: usize = 20;

/// Seeds that failed once, with what it was: they are played in every run.
const REGRESSIONS: &str = include_str!("../regressions.txt");

#[derive(Parser)]
#[command(name = "godwit-sim", about = "The real server and clients in a simulated world")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// This seed alone, twice, with everything that happens if --show is given too.
    #[arg(long)]
    seed: Option<u64>,
    /// The first of the seeds.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This scenario alone; else each seed has one.
    #[arg(long)]
    scenario: Option<String>,
    /// Cases at once; 0: one a core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Print everything that happens.
    #[arg(long)]
    show: bool,
    /// Print the server's log too, of this level and above.
    #[arg(long)]
    log: Option<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(level) = &args.log {
        tracing_subscriber::fmt().with_env_filter(level).init();
    } else {
        // Whoever catches a panic, it is counted (`case`), and a check tells of it.
        std::panic::set_hook(Box::new(|_| {}));
    }
    if let Some(name) = &args.scenario {
        let names = || SCENARIOS.map(|s| format!("{}: {}", s.name, s.about)).join("\n");
        named(name)
            .with_context(|| format!("no scenario is named {name}; there are\n{}", names()))?;
    }
    match args.seed {
        Some(seed) => one(&args, seed),
        None => many(&args),
    }
}

fn case(args: &Args, seed: u64) -> Case {
    let mut case = Case::of(seed);
    if let Some(scenario) = args.scenario.as_deref().and_then(named) {
        case.scenario = scenario;
    }
    case
}

/// Plays one seed, and a second time to see that it is the same.
fn one(args: &Args, seed: u64) -> Result<()> {
    let case = case(args, seed);
    let first = play(Case { shown: args.show, ..case });
    let second = play(case);
    println!("seed {seed}, {}: {}", case.scenario.name, line(&first));
    if first.transcript != second.transcript {
        bail!("the second time it was {}: not deterministic", second.transcript);
    }
    match first.failure {
        None => Ok(()),
        Some(failure) => bail!("{failure}"),
    }
}

fn line(outcome: &Outcome) -> String {
    format!(
        "{}, {} messages, {} s simulated",
        outcome.transcript,
        outcome.messages,
        outcome.simulated_ms / 1_000
    )
}

/// What many seeds came to.
#[derive(Default)]
struct Tally {
    failures: BTreeMap<u64, String>,
    messages: usize,
    hand_overs: usize,
    simulated_ms: u64,
}

fn many(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = if args.jobs == 0 { cores } else { args.jobs };
    let drawn = (args.first..args.first + args.seeds).map(|seed| case(args, seed));
    let cases: Vec<Case> = regressions()?.into_iter().chain(drawn).collect();
    let bar = ProgressBar::new(cases.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left, {msg}",
    )?);
    let (next, tally, began) = (AtomicU64::new(0), Mutex::new(Tally::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&cases, &next, &tally, &bar));
        }
    });
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let tally = tally.into_inner().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let an_hour = bar.position() as f64 / seconds * 3_600.0;
    println!(
        "{} seeds, {} messages, {} hand-overs, {} h simulated, in {seconds:.0} s: {an_hour:.0} seeds an hour",
        bar.position(),
        tally.messages,
        tally.hand_overs,
        tally.simulated_ms / 3_600_000,
    );
    if tally.failures.is_empty() {
        return Ok(());
    }
    for failure in tally.failures.values() {
        println!("{failure}");
    }
    bail!("{} seeds failed, at commit {}", tally.failures.len(), commit());
}

fn work(cases: &[Case], next: &AtomicU64, tally: &Mutex<Tally>, bar: &ProgressBar) {
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(case) = usize::try_from(at).ok().and_then(|at| cases.get(at)).copied() else {
            return;
        };
        let seed = case.seed;
        let outcome = play(case);
        bar.inc(1);
        let Ok(mut tally) = tally.lock() else { return };
        tally.messages += outcome.messages;
        tally.hand_overs += outcome.hand_overs;
        tally.simulated_ms += outcome.simulated_ms;
        if let Some(failure) = outcome.failure {
            let name = case.scenario.name;
            let text = format!(
                "seed {seed} ({name}) fails: {failure}\n  again: cargo xtask sim --seed {seed} --scenario {name}"
            );
            bar.suspend(|| eprintln!("{text}"));
            tally.failures.insert(seed, text);
            bar.set_message(format!("{} failed", tally.failures.len()));
            if tally.failures.len() >= FAILURES_MAX {
                next.store(u64::MAX / 2, Ordering::Relaxed);
            }
        }
    }
}

/// The cases of the file: seed and scenario in a line, with a comment behind `#`.
fn regressions() -> Result<Vec<Case>> {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let cases = lines.filter(|line| !line.is_empty()).map(|line| {
        let wrong = || format!("{line} in regressions.txt is no seed with a scenario");
        let (seed, name) = line.split_once(' ').with_context(wrong)?;
        let scenario = named(name.trim()).with_context(wrong)?;
        Ok(Case { scenario, ..Case::of(seed.parse().with_context(wrong)?) })
    });
    cases.collect()
}

/// Which commit this is, for whoever plays the seed again.
fn commit() -> String {
    let asked = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    asked.map_or_else(
        |_| "unknown".to_owned(),
        |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
    )
}
