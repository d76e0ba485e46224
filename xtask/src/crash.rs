//! `cargo xtask crash`: real processes, real kills, and a judge that compares message by message.
//!
//! Several senders and receivers talk through one server. Again and again one process is killed
//! with SIGKILL: the server at a random moment or at a named crash point (between append and sync,
//! after sync before the tick, between delivery and acknowledgement), a sender, or a receiver. In
//! the end nobody is killed any more, everything is let arrive, and [`judge`] decides: each message
//! that its sender was told is safe is shown exactly once at its recipient, in order.

pub(crate) mod faults;
mod judge;
mod person;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, root, run as run_command};
use person::{Ended, Receiver, Sender};
pub(crate) use server::Server;

/// Places in the server at which it can be made to die, and the greatest hit number drawn for each.
const CRASH_POINTS: [(&str, u32); 5] = [
    ("store::appended", 40),
    ("store::synced", 40),
    ("server::accepted", 200),
    ("server::delivered", 200),
    ("server::ack", 60),
];

/// Quiet time between two kills, milliseconds: long enough for the server to start and some
/// hundreds of messages to pass, short enough that many kills meet a start or a reconnect.
const BETWEEN_KILLS_MS: std::ops::Range<u64> = 100..1_200;

/// How long the server may live before an armed crash point is given up and it is killed outright.
const CRASH_POINT_PATIENCE_MS: u64 = 2_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many processes to kill.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) kills: u32,
    /// Seed of every choice; the interleaving of the processes stays the machine's.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Sending people.
    #[arg(long, default_value_t = 3)]
    pub(crate) senders: usize,
    /// Receiving people.
    #[arg(long, default_value_t = 2)]
    pub(crate) receivers: usize,
    /// Folder for homes, logs and outputs; made anew. Default: target/crash.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Folder of godwitd and godwit with the crash points in. Default: built now, in target/debug.
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Self {
        Self { kills: 1_000, seed: 1, senders: 3, receivers: 2, dir: None, binaries: None }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let binaries = match &args.binaries {
        Some(binaries) => binaries.clone(),
        None => build()?,
    };
    let dir = args.dir.clone().unwrap_or_else(|| root().join("target/crash"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir)?;
    eprintln!("crash: seed {}, {} kills, in {}", args.seed, args.kills, dir.display());

    let mut rng = fastrand::Rng::with_seed(args.seed);
    let mut server = Server::start(&binaries, &dir, None)?;
    let mut receivers = Vec::new();
    for number in 0..args.receivers {
        receivers.push(Receiver::join(
            &binaries,
            &dir,
            &format!("receiver{number}"),
            server.join(),
        )?);
    }
    let handles: Vec<String> = receivers.iter().map(|r| r.handle().to_owned()).collect();
    let mut senders = Vec::new();
    for number in 0..args.senders {
        let seed = rng.u64(..);
        senders.push(Sender::join(
            &binaries,
            &dir,
            &format!("sender{number}"),
            server.join(),
            &handles,
            seed,
        )?);
    }

    let killed = kill_at_random(args.kills, &mut rng, &mut server, &senders, &mut receivers)?;
    server.restart(None)?;
    let ends = senders.into_iter().map(Sender::finish).collect::<Result<Vec<_>>>()?;
    let open = ends.iter().map(Ended::open).collect::<Result<Vec<_>>>()?;
    receivers.iter_mut().try_for_each(|receiver| receiver.drain(&ends))?;
    drop(open);
    let verdict = judge::judge(&ends, &receivers)?;
    println!("crash: {killed}");
    println!("crash: {verdict}");
    server.stop()?;
    if !verdict.is_clean() {
        bail!(
            "the crash proof failed with seed {}; everything is kept in {}",
            args.seed,
            dir.display()
        );
    }
    Ok(())
}

/// Builds the programs with their crash points and says where they are.
fn build() -> Result<PathBuf> {
    run_command(cargo().args(["build", "--workspace", "--bins", "--all-features", "--locked"]))?;
    Ok(debug_binaries())
}

/// Where a build for tests puts its programs.
fn debug_binaries() -> PathBuf {
    root().join("target/debug")
}

/// What was killed how often.
#[derive(Default)]
struct Killed {
    server_outright: u32,
    server_at_crash_point: u32,
    /// How often the server was started with a crash point armed.
    armed: u32,
    sender: u32,
    receiver: u32,
}

/// Starts with a crash point armed after which one must have been met: each is met by more than half
/// of them, so ten in a row mean a build without crash points.
const ARMED_IN_VAIN_MAX: u32 = 10;

impl Killed {
    fn met_a_crash_point(&self) -> Result<()> {
        if self.server_at_crash_point == 0 && self.armed >= ARMED_IN_VAIN_MAX {
            bail!("no crash point was ever met: godwitd was built without --all-features");
        }
        Ok(())
    }
}

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "killed: server {} at a random moment, {} at a crash point; senders {}; receivers {}",
            self.server_outright, self.server_at_crash_point, self.sender, self.receiver
        )
    }
}

fn kill_at_random(
    kills: u32,
    rng: &mut fastrand::Rng,
    server: &mut Server,
    senders: &[Sender],
    receivers: &mut [Receiver],
) -> Result<Killed> {
    let mut killed = Killed::default();
    for kill in 0..kills {
        pause(rng.u64(BETWEEN_KILLS_MS));
        match rng.u8(0..10) {
            0..=2 => {
                server.restart(None)?;
                killed.server_outright += 1;
            }
            3..=5 => {
                let (point, hits) = CRASH_POINTS[rng.usize(..CRASH_POINTS.len())];
                killed.armed += 1;
                server.restart(Some(&format!("{point}:{}", rng.u32(1..=hits))))?;
                if server.dies_within(CRASH_POINT_PATIENCE_MS)? {
                    killed.server_at_crash_point += 1;
                } else {
                    killed.server_outright += 1;
                }
                server.restart(None)?;
                killed.met_a_crash_point()?;
            }
            6..=7 => {
                senders[rng.usize(..senders.len())].kill();
                killed.sender += 1;
            }
            _ => {
                let victim = rng.usize(..receivers.len());
                receivers[victim].kill_and_restart()?;
                killed.receiver += 1;
            }
        }
        if kill % 25 == 24 {
            eprintln!("crash: {} of {kills} kills", kill + 1);
        }
    }
    Ok(killed)
}

/// Lets time pass: the processes under test live in real time.
pub(crate) fn pause(ms: u64) {
    #[allow(
        clippy::disallowed_methods,
        reason = "spacing of kills, and of looks at another process, in real time"
    )]
    std::thread::sleep(Duration::from_millis(ms));
}
