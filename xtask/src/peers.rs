//! `cargo xtask peers`: other people's servers and ours under the same loads, in one table.
//!
//! Each run gets a server of its own on free ports of loopback, with its data in a temporary folder,
//! and ends it by its process id. The loads are `godwit-bench`'s, which speaks the others' protocols
//! too. What one server's acknowledgement is worth beside another's is said under the table.

mod kind;
mod load;
mod server;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::shell::root;
use kind::Kind;
use load::{Bench, Contender, Job, Part, Scale};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Small loads, all servers at once: shows in two minutes that the tool works; its figures mean
    /// nothing.
    #[arg(long)]
    quick: bool,
    /// Folder for the table, the figures and every report. Default: target/peers.
    #[arg(long)]
    out: Option<PathBuf>,
    /// How often everything is run; the table shows medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Only these servers beside ours.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Only these parts of a round.
    #[arg(long, value_enum, value_delimiter = ',')]
    loads: Vec<Part>,
    /// End well although a server could not be installed.
    #[arg(long)]
    allow_missing: bool,
    /// Keep CPUs from going idle, for latencies on virtual machines.
    #[arg(long)]
    keep_awake: bool,
    /// Folder for the servers' data, on the disk to be measured. Default: the temporary one.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder of release builds of godwitd and godwit-bench. Default: built now.
    #[arg(long)]
    binaries: Option<PathBuf>,
}

/// What became of a run.
struct Outcome {
    job: Job,
    round: u8,
    report: Result<Value>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let began = Instant::now();
    let (peers, missing) = install(&args.only);
    let binaries = match &args.binaries {
        Some(binaries) => binaries.canonicalize().context("no such folder of binaries")?,
        None => load::build(&root())?,
    };
    let out = args.out.clone().unwrap_or_else(|| root().join("target/peers"));
    std::fs::create_dir_all(&out)?;
    let mut scratch = tempfile::Builder::new();
    let scratch = scratch.prefix("godwit-peers-");
    let scratch = match &args.data {
        Some(data) => scratch.tempdir_in(data)?,
        None => scratch.tempdir()?,
    };
    let tls = scratch.path().join("tls");
    std::fs::create_dir(&tls)?;
    kind::make_certificates(&tls)?;
    let bench = Bench {
        binaries,
        scratch: scratch.path().to_owned(),
        tls,
        scale: if args.quick { Scale::QUICK } else { Scale::FULL },
        pin: thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1),
        keep_awake: args.keep_awake,
    };
    let kinds: Vec<Kind> = peers.iter().map(|(kind, _)| *kind).collect();
    let mut outcomes = Vec::new();
    for round in 1..=args.rounds {
        outcomes.extend(match args.quick {
            true => all_at_once(&bench, &kinds, &args.loads, round),
            false => one_by_one(&bench, &Job::all(&kinds, &args.loads), round),
        });
    }
    let head = Head { peers: &peers, missing: &missing, quick: args.quick, rounds: args.rounds };
    write(&out, &head, &outcomes)?;
    let failed = outcomes.iter().filter(|outcome| outcome.report.is_err()).count();
    eprintln!("peers: {} runs in {} s", outcomes.len(), began.elapsed().as_secs());
    if failed > 0 {
        bail!("{failed} runs failed; each is named above");
    }
    if !missing.is_empty() && !args.allow_missing {
        bail!("not compared with {}; --allow-missing takes that for an end", missing.join(", "));
    }
    Ok(())
}

/// The servers that are there, with their versions, and the names of those that are not.
fn install(only: &[Kind]) -> (Vec<(Kind, String)>, Vec<&'static str>) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for kind in Kind::ALL.into_iter().filter(|kind| only.is_empty() || only.contains(kind)) {
        match kind.install() {
            Ok(version) => there.push((kind, version)),
            Err(error) => {
                eprintln!("peers: MISSING {}: {error:#}", kind.name());
                missing.push(kind.name());
            }
        }
    }
    (there, missing)
}

/// One run after another: nothing else uses the machine.
fn one_by_one(bench: &Bench, jobs: &[Job], round: u8) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        let began = Instant::now();
        let report = bench.run(*job);
        let place = format!("{}/{} of round {round}", number + 1, jobs.len());
        tell(*job, &report, &place, began.elapsed());
        outcomes.push(Outcome { job: *job, round, report });
    }
    outcomes
}

/// Each server's runs one after another, all servers beside each other.
fn all_at_once(bench: &Bench, peers: &[Kind], parts: &[Part], round: u8) -> Vec<Outcome> {
    let ours = Job::all(&[], parts);
    let theirs = peers.iter().map(|kind| {
        let jobs = Job::all(&[*kind], parts).into_iter();
        jobs.filter(|job| job.contender != Contender::Godwit).collect()
    });
    let lists: Vec<Vec<Job>> = std::iter::once(ours).chain(theirs).collect();
    thread::scope(|scope| {
        let threads: Vec<_> =
            lists.iter().map(|jobs| scope.spawn(move || one_by_one(bench, jobs, round))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

fn tell(job: Job, report: &Result<Value>, place: &str, took: Duration) {
    let (name, took) = (job.name(), took.as_secs());
    match report {
        Ok(_) => eprintln!("peers: {place}: {name} ({took} s)"),
        Err(error) => eprintln!("peers: {place}: FAILED {name} ({took} s): {error:#}"),
    }
}

/// What is said of a whole comparison.
struct Head<'a> {
    peers: &'a [(Kind, String)],
    missing: &'a [&'static str],
    quick: bool,
    rounds: u8,
}

/// Writes `peers.json` and `peers.md`, and prints the latter.
fn write(out: &Path, head: &Head<'_>, outcomes: &[Outcome]) -> Result<()> {
    let runs: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let (report, failure) = match &outcome.report {
                Ok(report) => (Some(report), None),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            json!({
                "server": outcome.job.contender.name(), "load": outcome.job.load.name(),
                "round": outcome.round, "report": report, "failure": failure,
            })
        })
        .collect();
    let versions: serde_json::Map<String, Value> =
        head.peers.iter().map(|(kind, version)| (kind.name().to_owned(), json!(version))).collect();
    let date =
        Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("cannot run date")?;
    let date = String::from_utf8_lossy(&date.stdout).trim().to_owned();
    let all = json!({
        "date": date, "quick": head.quick, "rounds": head.rounds, "versions": versions,
        "missing": head.missing, "runs": runs,
    });
    let markdown = table::markdown(&all);
    std::fs::write(out.join("peers.json"), serde_json::to_string_pretty(&all)?)?;
    std::fs::write(out.join("peers.md"), &markdown)?;
    println!("{markdown}");
    eprintln!("peers: written to {}", out.display());
    Ok(())
}

/// Lets time pass: servers start and end in real time.
fn pause(ms: u64) {
    #[allow(clippy::disallowed_methods, reason = "the pace of looking at another program")]
    thread::sleep(Duration::from_millis(ms));
}
