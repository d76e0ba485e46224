//! `cargo xtask test`: every check, in the order in which a mistake is cheapest to learn of.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::previous::Release;
use crate::s3::{self, S3};
use crate::shell::{cargo, root, run as run_command};
use crate::{crash, fuzz, model, sim, tools};

/// Crates that must also build for the browser, with the flags that leave native parts out.
const BROWSER: [&str; 5] =
    ["godwit-base", "godwit-wire", "godwit-link", "godwit-seal", "godwit-client"];

/// Kills of the crash proof in CI: about a minute. The full proof is 1,000.
const CRASH_KILLS: u32 = 25;

/// Seconds a fuzz target in CI: enough to meet its corpus and a few hundred thousand mutations.
const FUZZ_SECONDS: u32 = 5;

/// Seeds of the simulation in CI, beside those that failed once. A night has 100,000.
const SIM_SEEDS: u64 = 200;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the checks with these names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 15] = [
    ("fmt", fmt),
    ("clippy", clippy),
    ("deny", deny),
    ("build", build),
    ("tests", tests),
    ("docs", docs),
    ("wasm", wasm),
    ("interop", interop),
    ("model", model_smoke),
    ("s3", bucket),
    ("fuzz", fuzz_smoke),
    ("sim", sim_smoke),
    ("crash", crash_smoke),
    ("faults", faults_smoke),
    ("upgrade", upgrade_smoke),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.only.iter().find(|o| CHECKS.iter().all(|(name, _)| name != o)) {
        anyhow::bail!("no check is named {unknown}: {:?}", CHECKS.map(|(name, _)| name));
    }
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let mut done = Vec::new();
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| wanted(name)) {
        eprintln!("--- {name}");
        let start = Instant::now();
        // A full disk shows as a linker that ends by signal 7: say what is left.
        check().inspect_err(|_| disk())?;
        done.push((name, start.elapsed().as_secs()));
    }
    for (name, seconds) in done {
        println!("ok {name} ({seconds} s)");
    }
    Ok(())
}

/// Says how much of the disk is left.
fn disk() {
    let _ = run_command(Command::new("df").arg("-h").arg(root()));
}

fn fmt() -> Result<()> {
    run_command(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let scope = ["clippy", "--workspace", "--all-targets", "--all-features", "--locked"];
    run_command(cargo().args(scope).args(["--", "-D", "warnings"]))
}

fn deny() -> Result<()> {
    tools::cargo_deny()?;
    run_command(cargo().args(["deny", "--all-features", "check", "bans", "licenses", "sources"]))
}

/// The binaries that tests start, with the crash points compiled in.
fn build() -> Result<()> {
    run_command(cargo().args(["build", "--workspace", "--bins", "--all-features", "--locked"]))
}

fn tests() -> Result<()> {
    tools::cargo_nextest()?;
    tools::tmux()?;
    let scope = ["--workspace", "--all-features", "--locked"];
    run_command(cargo().args(["nextest", "run"]).args(scope))?;
    run_command(cargo().args(["test", "--doc"]).args(scope))
}

fn docs() -> Result<()> {
    let scope = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run_command(cargo().args(scope).env("RUSTDOCFLAGS", "-D warnings"))
}

fn wasm() -> Result<()> {
    tools::wasm_target()?;
    let mut check = cargo();
    check.args([
        "check",
        "--target",
        "wasm32-unknown-unknown",
        "--no-default-features",
        "--locked",
    ]);
    for package in BROWSER {
        check.args(["-p", package]);
    }
    run_command(&mut check)
}

/// An independent Noise implementation shakes hands with the real server.
fn interop() -> Result<()> {
    let python = tools::noise_python()?;
    let server = crash::Server::start_for_interop()?;
    let script = root().join("tests/interop/noise_client.py");
    run_command(Command::new(python).arg(script).arg(server.join()))
}

/// Files in a bucket of a real server of S3.
fn bucket() -> Result<()> {
    tools::cargo_nextest()?;
    let s3 = S3::start()?;
    let mut test = cargo();
    // The whole workspace, so that nothing is built a second time with other features.
    test.args(["nextest", "run", "--workspace", "--all-features", "--locked"]);
    test.args(["--run-ignored", "only", "-E", "test(in_a_bucket)"]);
    test.env("GODWIT_TEST_S3", s3.endpoint());
    test.env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY);
    run_command(&mut test)
}

/// The model as a change needs it, and everything about its code.
fn model_smoke() -> Result<()> {
    model::check()?;
    model::run(&model::Args { deep: false })
}

fn fuzz_smoke() -> Result<()> {
    fuzz::run(&fuzz::Args { seconds: FUZZ_SECONDS, target: None, keep: false })
}

fn crash_smoke() -> Result<()> {
    crash::run(&crash::Args { kills: CRASH_KILLS, ..crash::Args::default() })
}

/// Each fault once.
fn faults_smoke() -> Result<()> {
    crash::faults::run(&crash::faults::Args::smoke())
}

/// Other processes take over while people talk, and one of them dies midway: nobody notices. From the previous
/// release to this one, to one that dies, to another of this one, back to the previous release, and to this one
/// again. `build` makes the programs of this one.
fn upgrade_smoke() -> Result<()> {
    build()?;
    let programs = root().join("target/debug");
    let mut bench = Command::new(programs.join("godwit-bench"));
    bench.args(["upgrade", "--connections", "300", "--pairs", "8", "--forced", "4"]);
    bench.args(["--crash-at", "handover::ready", "--json"]);
    match Release::previous()?.server()? {
        Some(before) => {
            bench.arg("--server").arg(before).arg("--binary").arg(programs.join("godwitd"));
            run_command(bench.args(["--upgrades", "5"]))
        }
        None => run_command(bench.args(["--upgrades", "3"])),
    }
}

fn sim_smoke() -> Result<()> {
    sim::tests()?;
    sim::run(&sim::Args { seeds: SIM_SEEDS, night: false, rest: Vec::new() })
}
