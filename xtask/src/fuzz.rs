//! `cargo xtask fuzz`: every parser of bytes from outside, under libFuzzer on the stable compiler.
//! The targets and their seeds are in `fuzz/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{cargo, root, run as run_command};

/// Memory a target may take, MiB: a parser that allocates what a length says is caught by it.
const MEMORY_MIB: u32 = 512;

/// Longest input that is kept, bytes, as libFuzzer makes them unless a seed is longer: what is kept stays
/// small.
const KEPT_BYTES: u32 = 4_096;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Only this target.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Afterwards, adds to `fuzz/corpus` the fewest inputs that reach what the seeds there do not.
    #[arg(long)]
    pub(crate) keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = root().join("fuzz");
    let targets = targets(&dir, args.target.as_deref())?;
    let mut build = cargo();
    // Flags of the caller would replace the coverage options in fuzz/.cargo/config.toml.
    build.current_dir(&dir).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    run_command(build.args(["build", "--release", "--bins", "--locked"]))?;
    println!(
        "| target | executions | a second | edges reached | features | inputs that show them |"
    );
    println!("|---|---|---|---|---|---|");
    for target in targets {
        let seen = run_target(&dir, &target, args.seconds)?;
        let Seen { executions, per_second, edges, features, inputs } = seen;
        println!("| {target} | {executions} | {per_second} | {edges} | {features} | {inputs} |");
        if args.keep {
            keep(&dir, &target)?;
        }
    }
    Ok(())
}

/// Names of all targets, or of the one asked for.
fn targets(dir: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir.join("src/bin"))? {
        let name = entry?.file_name().into_string().ok();
        names.extend(name.and_then(|name| name.strip_suffix(".rs").map(str::to_owned)));
    }
    names.retain(|name| only.is_none_or(|only| only == name));
    names.sort();
    if names.is_empty() {
        bail!("no fuzz target{}", only.map(|only| format!(" named {only}")).unwrap_or_default());
    }
    Ok(names)
}

/// What a run of a target says in its end.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    executions: u64,
    per_second: u64,
    /// Edges of the program's flow that some input took, of our code and of what it calls.
    edges: u64,
    /// Edges told apart by how often they were taken and by what was compared there.
    features: u64,
    inputs: u64,
}

impl Seen {
    /// Out of what libFuzzer writes.
    fn read(log: &str) -> Option<Self> {
        let stat = |name: &str| {
            let line = log.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok())
        };
        let last = log.lines().rev().find(|line| line.split_whitespace().nth(1) == Some("DONE"))?;
        let after = |name: &str| {
            let mut words = last.split_whitespace().skip_while(|word| *word != name).skip(1);
            words.next().and_then(|word| word.split('/').next()).and_then(|n| n.parse().ok())
        };
        Some(Self {
            executions: stat("stat::number_of_executed_units")?,
            per_second: stat("stat::average_exec_per_sec")?,
            edges: after("cov:")?,
            features: after("ft:")?,
            inputs: after("corp:")?,
        })
    }
}

fn run_target(dir: &Path, target: &str, seconds: u32) -> Result<Seen> {
    let found = dir.join("target/corpus").join(target);
    let artifacts = dir.join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder)?;
    }
    let log = dir.join("target").join(format!("{target}.log"));
    let mut fuzz = Command::new(binary(dir, target)?);
    fuzz.current_dir(dir).arg(format!("-max_total_time={seconds}"));
    fuzz.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg("-print_final_stats=1");
    fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzz.arg(found).arg(dir.join("corpus").join(target));
    let out = File::create(&log)?;
    fuzz.stdout(out.try_clone()?).stderr(out);
    let ended = run_command(&mut fuzz);
    let said = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    if ended.is_err() {
        let last: Vec<_> = said.lines().rev().take(40).collect();
        eprintln!("{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    ended.with_context(|| format!("all that it said is in {}", log.display()))?;
    let seen =
        Seen::read(&said).with_context(|| format!("no figures in the end of {}", log.display()))?;
    ensure!(seen.executions > 0, "{target} ran nothing");
    Ok(seen)
}

/// Adds to the seeds what was found and reaches more than they do.
fn keep(dir: &Path, target: &str) -> Result<()> {
    let mut merge = Command::new(binary(dir, target)?);
    merge.current_dir(dir).arg("-merge=1").arg(format!("-max_len={KEPT_BYTES}"));
    merge.arg("-verbosity=0").arg(dir.join("corpus").join(target));
    run_command(merge.arg(dir.join("target/corpus").join(target)))
}

/// Where the build put a target: below the target triple if the configuration names one.
fn binary(dir: &Path, target: &str) -> Result<PathBuf> {
    let mut places = vec![dir.join("target/release").join(target)];
    for entry in std::fs::read_dir(dir.join("target"))? {
        places.push(entry?.path().join("release").join(target));
    }
    let newest = places
        .into_iter()
        .filter(|place| place.is_file())
        .max_by_key(|place| place.metadata().and_then(|metadata| metadata.modified()).ok());
    newest.with_context(|| format!("fuzz target {target} was not built"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_end_of_a_run() {
        let log = "#15\tINITED cov: 52 ft: 69 corp: 14/78b exec/s: 0 rss: 27Mb\n\
                   #1204315\tDONE   cov: 56 ft: 73 corp: 16/86b lim: 4096 exec/s: 401438 rss: 27Mb\n\
                   Done 1204315 runs in 3 second(s)\n\
                   stat::number_of_executed_units: 1204315\n\
                   stat::average_exec_per_sec:     401438\n";
        let expected = Seen {
            executions: 1_204_315,
            per_second: 401_438,
            edges: 56,
            features: 73,
            inputs: 16,
        };
        assert_eq!(Seen::read(log), Some(expected));
        assert_eq!(Seen::read("==1== ERROR: libFuzzer: deadly signal"), None);
    }
}
