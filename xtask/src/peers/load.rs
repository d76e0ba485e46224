//! The loads, and one run of one of them by `godwit-bench`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::kind::{Kind, Store};
use super::server::Server;
use crate::shell::unlimited;

/// Bytes of a message, everywhere.
const BODY_BYTES: &str = "200";

/// Senders and submissions of one sender under way, in the offline load.
const WINDOW: &str = "10";

/// Patience for one run: the longest is a drain of a server that syncs each message.
const RUN: Duration = Duration::from_secs(600);

/// How large the loads are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) pairs: u32,
    pub(super) chat_s: u32,
    pub(super) connections: u32,
    pub(super) idle_s: u32,
    pub(super) users: u32,
    pub(super) each: u32,
    pub(super) senders: u32,
    pub(super) enqueue_s: u32,
}

impl Scale {
    pub(super) const FULL: Self = Self {
        pairs: 1_000,
        chat_s: 6,
        connections: 10_000,
        idle_s: 20,
        users: 500,
        each: 200,
        senders: 50,
        enqueue_s: 20,
    };

    /// To see that the tool works; the figures mean nothing.
    pub(super) const QUICK: Self = Self {
        pairs: 20,
        chat_s: 1,
        connections: 200,
        idle_s: 1,
        users: 20,
        each: 10,
        senders: 4,
        enqueue_s: 5,
    };
}

/// Whose server, by which link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Godwit,
    Peer { kind: Kind, tls: bool, store: Store },
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Idle,
    Chat { window: u32 },
    Offline,
    Kill,
}

/// A part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Connections that only stay
    Idle,
    /// Pairs that chat
    Chat,
    /// Messages to absent accounts
    Offline,
    /// The same with a SIGKILL in between
    Kill,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) load: Load,
    pub(super) contender: Contender,
}

/// What all runs share.
pub(super) struct Bench {
    /// Folder of the release builds.
    pub(super) binaries: PathBuf,
    /// Folder for the servers' data; goes with the run.
    pub(super) scratch: PathBuf,
    /// Folder of the certificates.
    pub(super) tls: PathBuf,
    pub(super) scale: Scale,
    /// Server on the first CPU, clients on the others.
    pub(super) pin: bool,
    pub(super) keep_awake: bool,
}

impl Load {
    /// Messages of one pair on their way at once; only the first is measured at half load too.
    pub(super) const WINDOWS: [u32; 3] = [1, 4, 16];

    pub(super) fn name(self) -> String {
        match self {
            Self::Idle => "idle".to_owned(),
            Self::Chat { window } => format!("chat-{window}"),
            Self::Offline => "offline".to_owned(),
            Self::Kill => "kill".to_owned(),
        }
    }

    /// The part of a round that it belongs to.
    pub(super) fn part(self) -> Part {
        match self {
            Self::Idle => Part::Idle,
            Self::Chat { .. } => Part::Chat,
            Self::Offline => Part::Offline,
            Self::Kill => Part::Kill,
        }
    }

    fn accounts(self, scale: Scale) -> u32 {
        match self {
            Self::Idle => scale.connections,
            Self::Chat { .. } => 2 * scale.pairs,
            Self::Offline | Self::Kill => scale.users + scale.senders,
        }
    }

    /// The words of it that ours and the others' have in common.
    fn words(self, scale: Scale) -> Vec<String> {
        let text = match self {
            Self::Idle => {
                format!("idle --connections {} --seconds {}", scale.connections, scale.idle_s)
            }
            Self::Chat { window } => format!(
                "chat --pairs {} --window {window} --seconds {} --body {BODY_BYTES}{}",
                scale.pairs,
                scale.chat_s,
                if window == 1 { " --half" } else { "" }
            ),
            Self::Offline | Self::Kill => format!(
                "offline --users {} --each {} --senders {} --window {WINDOW} --body {BODY_BYTES}",
                scale.users, scale.each, scale.senders
            ),
        };
        text.split(' ').map(str::to_owned).collect()
    }
}

impl Contender {
    pub(super) fn name(self) -> String {
        match self {
            Self::Godwit => "godwit".to_owned(),
            Self::Peer { kind, tls, store } => {
                let link = if tls { "tls" } else { "plain" };
                format!("{}-{link}-{}", kind.name(), store.name())
            }
        }
    }
}

impl Job {
    /// Every run of one round, in the order in which figures that are compared are taken close to
    /// each other; no parts are all of them. Chats and connections meet the default store, absence
    /// meets both.
    pub(super) fn all(peers: &[Kind], parts: &[Part]) -> Vec<Self> {
        let chats = Load::WINDOWS.map(|window| Load::Chat { window });
        let mut jobs = Vec::new();
        for load in chats.into_iter().chain([Load::Offline, Load::Kill, Load::Idle]) {
            jobs.push(Self { load, contender: Contender::Godwit });
            let absent = matches!(load, Load::Offline | Load::Kill);
            for kind in peers.iter().copied() {
                let peer = |tls, store| Contender::Peer { kind, tls, store };
                let contenders = match absent {
                    true => Store::BOTH.map(|store| peer(false, store)),
                    false => [false, true].map(|tls| peer(tls, Store::Default)),
                };
                jobs.extend(contenders.map(|contender| Self { load, contender }));
            }
        }
        jobs.retain(|job| parts.is_empty() || parts.contains(&job.load.part()));
        jobs
    }

    pub(super) fn name(self) -> String {
        format!("{} {}", self.contender.name(), self.load.name())
    }
}

impl Bench {
    /// Runs one load on a server of its own and returns the report.
    pub(super) fn run(&self, job: Job) -> Result<Value> {
        match job.contender {
            Contender::Godwit => {
                let mut words = job.load.words(self.scale);
                words.extend((job.load == Load::Kill).then(|| "--kill".to_owned()));
                let data = self.scratch.display().to_string();
                self.bench(&["--data", &data], &words, &mut || -> Result<u32> {
                    bail!("it does not pause")
                })
            }
            Contender::Peer { kind, tls, store } => self.peer(job.load, kind, tls, store),
        }
    }

    fn peer(&self, load: Load, kind: Kind, tls: bool, store: Store) -> Result<Value> {
        let dir = self.scratch.join(format!("{}-{}", kind.name(), load.name()));
        let accounts = load.accounts(self.scale);
        let mut server = Server::start(kind, store, &dir, &self.tls, accounts, self.pin)?;
        if load == Load::Idle {
            server.restart()?; // as ours is, after its accounts were made
        }
        let (address, pid) = (server.address(tls).to_string(), server.pid().to_string());
        let ca = self.tls.join("ca.pem").display().to_string();
        let mut to = vec!["peer", "--speaks", kind.speaks(), "--address", &address];
        to.extend(["--process", &pid]);
        if tls {
            to.extend(["--ca", &ca]);
        }
        let mut words = load.words(self.scale);
        if matches!(load, Load::Offline | Load::Kill) {
            words.extend(["--seconds".to_owned(), self.scale.enqueue_s.to_string()]);
        }
        words.extend((load == Load::Kill).then(|| "--pause".to_owned()));
        let report = self.bench(&to, &words, &mut || {
            server.kill_and_restart()?;
            Ok(server.pid())
        })?;
        server.stop()?;
        std::fs::remove_dir_all(&dir)?;
        Ok(report)
    }

    /// Runs `godwit-bench`; when it pauses, `meanwhile` gives it the server's process to go on with.
    fn bench(
        &self,
        to: &[&str],
        words: &[String],
        meanwhile: &mut dyn FnMut() -> Result<u32>,
    ) -> Result<Value> {
        let mut command = unlimited(self.binaries.join("godwit-bench"));
        command.arg("--json").args(self.pin.then_some("--pin"));
        command.args(self.keep_awake.then_some("--keep-awake")).args(to).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Running(command.spawn().context("cannot start godwit-bench")?);
        let output = child.0.stdout.take().context("its output is piped")?;
        let (tell, told) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| drop(tell.send(line)));
        });
        let (began, mut report) = (Instant::now(), None);
        loop {
            match told.recv_timeout(RUN.saturating_sub(began.elapsed())) {
                Ok(line) => match serde_json::from_str::<Value>(&line) {
                    Ok(said) if said["event"] == "enqueued" => {
                        let pid = meanwhile()?;
                        let input = child.0.stdin.as_mut().context("its input is piped")?;
                        writeln!(input, "{pid}")?;
                    }
                    said => report = said.ok(),
                },
                Err(RecvTimeoutError::Timeout) => bail!("not over after {} s", RUN.as_secs()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.0.wait()?;
        report.filter(|_| status.success()).with_context(|| format!("godwit-bench ended: {status}"))
    }
}

/// A process that is killed when it is forgotten.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The release builds of our server and of the load tool.
pub(super) fn build(root: &Path) -> Result<PathBuf> {
    let packages = ["-p", "godwit-server", "-p", "godwit-bench"];
    let mut build = crate::shell::cargo();
    crate::shell::run(build.args(["build", "--release", "--locked"]).args(packages))?;
    Ok(root.join("target/release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_meets_every_server_with_every_load() {
        let jobs = Job::all(&Kind::ALL, &[]);
        assert_eq!(jobs.len(), 6 * (1 + 3 * 2));
        let count = |load| jobs.iter().filter(|job| job.load == load).count();
        assert_eq!((count(Load::Kill), count(Load::Chat { window: 16 })), (7, 7));
        assert_eq!(Job::all(&[], &[]).len(), 6, "ours alone");
        assert_eq!(Job::all(&Kind::ALL, &[Part::Chat]).len(), 3 * 7);
    }
}
