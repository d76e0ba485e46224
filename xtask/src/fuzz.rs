//! `cargo xtask fuzz`: every parser of bytes from outside, under libFuzzer on the stable compiler.
//! The targets and their seeds are in `fuzz/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, root, run as run_command};

/// Memory a target may take, MiB: a parser that allocates what a length says is caught by it.
const MEMORY_MIB: u32 = 512;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Only this target.
    #[arg(long)]
    pub(crate) target: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = root().join("fuzz");
    let targets = targets(&dir, args.target.as_deref())?;
    let mut build = cargo();
    // Flags of the caller would replace the coverage options in fuzz/.cargo/config.toml.
    build.current_dir(&dir).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    run_command(build.args(["build", "--release", "--bins", "--locked"]))?;
    for target in targets {
        run_target(&dir, &target, args.seconds)?;
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

fn run_target(dir: &Path, target: &str, seconds: u32) -> Result<()> {
    let found = dir.join("target/corpus").join(target);
    let artifacts = dir.join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder)?;
    }
    let mut fuzz = Command::new(binary(dir, target)?);
    fuzz.current_dir(dir).arg(format!("-max_total_time={seconds}"));
    fuzz.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg("-verbosity=0").arg("-print_final_stats=1");
    fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzz.arg(found).arg(dir.join("corpus").join(target));
    run_command(&mut fuzz)
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
