//! `cargo xtask faults`: what happens to a server from outside, while people talk through it. Each scenario
//! ends as the crash proof does: every message is compared by its id, and the server must serve on in the
//! process that it was, or say in one line what its operator has to do.

mod gate;
mod scenes;
mod stage;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::shell::{root, run as run_command};
use scenes::SCENES;
use stage::Stage;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the scenes with these names; all if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// As it is for the documents: more rounds, 10,000 handshakes. Without it a smoke of each.
    #[arg(long)]
    big: bool,
    /// Seed of what the senders say to whom.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for homes, logs and outputs; made anew. Default: target/faults.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Folder of godwitd and godwit. Default: built now, in target/debug.
    #[arg(long)]
    binaries: Option<PathBuf>,
}

impl Args {
    /// Every scene, as small as it can be.
    pub(crate) fn smoke() -> Self {
        Self { only: Vec::new(), big: false, seed: 1, dir: None, binaries: None }
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rounds: u32,
    /// How long a fault lasts.
    fault_ms: u64,
    /// Handshakes that never finish.
    visitors: usize,
}

const SMOKE: Scale = Scale { rounds: 1, fault_ms: 2_000, visitors: 900 };
const BIG: Scale = Scale { rounds: 10, fault_ms: 5_000, visitors: 10_000 };

/// What a scene does.
struct Scene {
    name: &'static str,
    ground: Ground,
    /// Does it, and says what was seen.
    act: fn(&mut Stage, &Scale) -> Result<Seen>,
}

/// Where it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// The data lies beside the homes.
    Plain,
    /// The data lies on a disk of its own, in memory, of so many MiB.
    Disk(u32),
    /// Clients come in through a gate that can let go of them silently.
    Gate,
    /// A network of its own, in which this program plays the scene: its loopback can be taken down.
    Network,
}

/// Set for a program that is inside a network of its own.
const INSIDE: &str = "GODWIT_FAULTS_INSIDE";

/// How a scene went, but for the messages.
enum Seen {
    /// In one line.
    Done(String),
    /// This machine does not let us; why.
    Impossible(String),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(unknown) =
        args.only.iter().find(|name| SCENES.iter().all(|scene| scene.name != **name))
    {
        let names: Vec<_> = SCENES.iter().map(|scene| scene.name).collect();
        bail!("no scene is named {unknown}: {}", names.join(", "));
    }
    let binaries = match &args.binaries {
        Some(binaries) => binaries.clone(),
        None => super::build()?,
    };
    let dir = args.dir.clone().unwrap_or_else(|| root().join("target/faults"));
    let scale = if args.big { BIG } else { SMOKE };
    let wanted =
        |scene: &&Scene| args.only.is_empty() || args.only.iter().any(|name| *name == scene.name);
    for scene in SCENES.iter().filter(wanted) {
        if scene.ground == Ground::Network && std::env::var_os(INSIDE).is_none() {
            inside(scene.name, args, &binaries, &dir)?;
            continue;
        }
        play(scene, &scale, &binaries, &dir.join(scene.name), args.seed).with_context(|| {
            format!("scene {}; everything is kept in {}", scene.name, dir.display())
        })?;
    }
    Ok(())
}

/// Plays one scene in a network of its own, where no other process is.
fn inside(name: &str, args: &Args, binaries: &Path, dir: &Path) -> Result<()> {
    let may = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !may("unshare", &["--net", "ip", "link", "set", "lo", "up"]) {
        println!("faults: {name}: not on this machine: it takes unshare, ip, and the right to");
        return Ok(());
    }
    let mut again = Command::new("unshare");
    // A build may have put another program in our place since; this one is still ours.
    let this = format!("/proc/{}/exe", std::process::id());
    again.arg("--net").arg(this).args(["faults", "--only", name]);
    again.args(["--seed", &args.seed.to_string()]).arg("--dir").arg(dir);
    again.arg("--binaries").arg(binaries).env(INSIDE, "1");
    if args.big {
        again.arg("--big");
    }
    run_command(&mut again)
}

fn play(scene: &Scene, scale: &Scale, binaries: &Path, dir: &Path, seed: u64) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir)?;
    eprintln!("faults: {}", scene.name);
    let begun = Instant::now();
    let Some(mut stage) = Stage::set(scene.ground, binaries, dir, seed)? else {
        println!("faults: {}: not on this machine: no file system may be mounted", scene.name);
        return Ok(());
    };
    let seen = match (scene.act)(&mut stage, scale)? {
        Seen::Done(seen) => seen,
        Seen::Impossible(why) => {
            println!("faults: {}: not on this machine: {why}", scene.name);
            return Ok(());
        }
    };
    let peak_kib = stage.peak_kib()?;
    let verdict = stage.ends()?;
    println!(
        "faults: {}: {seen}; {verdict}; server's peak {} MiB; {} s",
        scene.name,
        peak_kib / 1_024,
        begun.elapsed().as_secs()
    );
    if !verdict.is_clean() {
        bail!("messages were lost, repeated or out of order");
    }
    Ok(())
}
