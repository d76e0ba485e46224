//! `cargo xtask peers`: other people's servers and ours under the same loads, in one table.
//!
//! Each run gets a server of its own on free ports of loopback, with its data in a temporary folder,
//! and ends it by its process id. The loads are `godwit-bench`'s, which speaks the others' protocols
//! too. What one server's acknowledgement is worth beside another's is said under the table. Each run
//! is on disk when it is over: a comparison takes an hour, and may be cut and gone on with.

mod folder;
mod kind;
mod load;
mod server;
mod table;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::shell::root;
use folder::Folder;
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
    /// Go on with the runs that the folder has: those that failed and those that are not there. With the
    /// same builds and flags only.
    #[arg(long)]
    resume: bool,
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

/// What became of the runs of this call.
#[derive(Default)]
struct Told {
    ran: usize,
    failed: usize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let began = Instant::now();
    let out = args.out.clone().unwrap_or_else(|| root().join("target/peers"));
    let mut folder = Folder::open(&out, args.quick, args.resume)?;
    let (peers, missing) = install(&args.only);
    folder.meet(&peers, &missing);
    let binaries = match &args.binaries {
        Some(binaries) => binaries.canonicalize().context("no such folder of binaries")?,
        None => load::build(&root())?,
    };
    let pin = thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
    folder.agree(terms(args, &binaries, pin)?)?;
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
        pin,
        keep_awake: args.keep_awake,
    };
    let kinds: Vec<Kind> = peers.iter().map(|(kind, _)| *kind).collect();
    let runs = Runs { measure: |job| bench.run(job), folder: Mutex::new(folder) };
    let mut told = Told::default();
    for round in 1..=args.rounds {
        let of_round = match args.quick {
            true => runs.all_at_once(&kinds, &args.loads, round)?,
            false => runs.one_by_one(&Job::all(&kinds, &args.loads), round)?,
        };
        told = told.and(&of_round);
    }
    let folder = runs.folder.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{}", folder.tabulate()?);
    let (ran, all, took) = (told.ran, folder.len(), began.elapsed().as_secs());
    eprintln!("peers: {ran} runs in {took} s; {all} are in {}", out.display());
    if told.failed > 0 {
        bail!("{} runs failed; each is named above", told.failed);
    }
    if !missing.is_empty() && !args.allow_missing {
        bail!("not compared with {}; --allow-missing takes that for an end", missing.join(", "));
    }
    Ok(())
}

/// What all figures of one table have in common: flags that change them, and the builds of our own programs.
fn terms(args: &Args, binaries: &Path, pin: bool) -> Result<Value> {
    let data = args.data.as_ref().map(|data| data.canonicalize()).transpose();
    Ok(serde_json::json!({
        "keep_awake": args.keep_awake,
        "data": data.context("no such folder for the data")?,
        "pin": pin,
        "godwitd": digest(&binaries.join("godwitd"))?,
        "godwit-bench": digest(&binaries.join("godwit-bench"))?,
    }))
}

/// SHA-256 of a file, as hexadecimal digits.
fn digest(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
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

/// How runs are made, and where they are kept.
struct Runs<M> {
    measure: M,
    folder: Mutex<Folder>,
}

impl<M: Fn(Job) -> Result<Value> + Sync> Runs<M> {
    /// One run after another: nothing else uses the machine. Those that are there are left out.
    fn one_by_one(&self, jobs: &[Job], round: u8) -> Result<Told> {
        let mut told = Told::default();
        for (number, job) in jobs.iter().enumerate() {
            if self.folder().has(*job, round) {
                continue;
            }
            let began = Instant::now();
            let report = (self.measure)(*job);
            let place = format!("{}/{} of round {round}", number + 1, jobs.len());
            tell(*job, &report, &place, began.elapsed());
            self.folder().keep(*job, round, &report)?;
            told = told.and(&Told { ran: 1, failed: usize::from(report.is_err()) });
        }
        Ok(told)
    }

    /// Each server's runs one after another, all servers beside each other.
    fn all_at_once(&self, peers: &[Kind], parts: &[Part], round: u8) -> Result<Told> {
        let ours = Job::all(&[], parts);
        let theirs = peers.iter().map(|kind| {
            let jobs = Job::all(&[*kind], parts).into_iter();
            jobs.filter(|job| job.contender != Contender::Godwit).collect()
        });
        let lists: Vec<Vec<Job>> = std::iter::once(ours).chain(theirs).collect();
        thread::scope(|scope| {
            let threads: Vec<_> = lists
                .iter()
                .map(|jobs| scope.spawn(move || self.one_by_one(jobs, round)))
                .collect();
            // All of them first: what is not joined here would end the scope with its own panic.
            let ends: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            ends.into_iter()
                .map(|end| end.map_err(|_| anyhow!("a thread of runs panicked; see above"))?)
                .try_fold(Told::default(), |told, of_list| Ok(told.and(&of_list?)))
        })
    }

    fn folder(&self) -> std::sync::MutexGuard<'_, Folder> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn and(&self, other: &Self) -> Self {
        Self { ran: self.ran + other.ran, failed: self.failed + other.failed }
    }
}

fn tell(job: Job, report: &Result<Value>, place: &str, took: Duration) {
    let (name, took) = (job.name(), took.as_secs());
    match report {
        Ok(_) => eprintln!("peers: {place}: {name} ({took} s)"),
        Err(error) => eprintln!("peers: {place}: FAILED {name} ({took} s): {error:#}"),
    }
}

/// Lets time pass: servers start and end in real time.
fn pause(ms: u64) {
    #[allow(clippy::disallowed_methods, reason = "the pace of looking at another program")]
    thread::sleep(Duration::from_millis(ms));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_comparison_leaves_what_it_measured_and_a_later_one_measures_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Job::all(&[], &[]);
        let on_disk = || std::fs::read_dir(dir.path().join("runs")).unwrap().count();
        let open = |resume| Mutex::new(Folder::open(dir.path(), false, resume).unwrap());
        let measured = Mutex::new(Vec::new());
        let measure = |job: Job| {
            let mut measured = measured.lock().unwrap();
            assert_eq!(on_disk(), measured.len(), "each is kept before the next begins");
            measured.push(job);
            Ok(serde_json::json!({}))
        };

        let (first, rest) = jobs.split_at(2);
        let cut = Runs { measure, folder: open(false) };
        assert_eq!(cut.one_by_one(first, 1).unwrap().ran, 2);
        drop(cut);
        assert!(dir.path().join("peers.md").exists() && dir.path().join("peers.json").exists());

        let later = Runs { measure, folder: open(true) };
        assert_eq!(later.one_by_one(&jobs, 1).unwrap().ran, rest.len());
        assert_eq!(*measured.lock().unwrap(), jobs, "each once");
        assert_eq!(later.one_by_one(&jobs, 2).unwrap().ran, jobs.len(), "another round");
    }

    #[test]
    fn a_thread_that_panics_is_no_good_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Mutex::new(Folder::open(dir.path(), true, false).unwrap());
        let measure = |job: Job| match job.contender {
            Contender::Godwit => Ok(serde_json::json!({})),
            Contender::Peer { .. } => panic!("what no run should do"),
        };
        let runs = Runs { measure, folder };
        assert!(runs.all_at_once(&[], &[], 1).is_ok_and(|told| told.ran == 6), "ours alone");
        let end = runs.all_at_once(&Kind::ALL, &[], 2).map(|told| told.ran);
        assert!(end.unwrap_err().to_string().contains("panicked"));
    }

    #[test]
    fn builds_and_flags_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("godwitd", "abc");
        put("godwit-bench", "bench");
        let args = Args {
            quick: false,
            out: None,
            resume: true,
            rounds: 1,
            only: Vec::new(),
            loads: Vec::new(),
            allow_missing: false,
            keep_awake: true,
            data: Some(dir.path().to_owned()),
            binaries: None,
        };
        let one = terms(&args, dir.path(), true).unwrap();
        // FIPS 180, the digest of "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((&one["godwitd"], &one["keep_awake"]), (&abc.into(), &true.into()));
        put("godwitd", "abd");
        let other = terms(&args, dir.path(), true).unwrap();
        assert_ne!(other["godwitd"], one["godwitd"]);
        assert_eq!(other["data"], one["data"]);
    }
}
