//! People as processes of the command-line client: senders that never stop talking, receivers that
//! never stop listening, until they are killed and start again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

use super::pause;

/// Lines a sending process is given: from one message to more than the client keeps in flight.
const BATCH_LINES: std::ops::RangeInclusive<u32> = 1..=200;

/// Patience of the last message of each sender, seconds: all that is queued before it must first
/// arrive, on a machine that may be busy with other work.
const LAST_MESSAGE_S: &str = "180";

/// How long nothing may come before a receiver is taken to have got all that it will get,
/// milliseconds.
const QUIET_MS: u64 = 60_000;

/// Text of the last message of a sender.
pub(super) const LAST: &str = "last";

/// Where a person keeps the client's state, and the client that it uses.
#[derive(Clone)]
pub(super) struct Home {
    godwit: PathBuf,
    path: PathBuf,
}

impl Home {
    fn new(binaries: &Path, dir: &Path, handle: &str) -> Self {
        Self { godwit: binaries.join("godwit"), path: dir.join(handle) }
    }

    fn godwit(&self) -> Command {
        let mut command = Command::new(&self.godwit);
        command.arg("--home").arg(&self.path).stdin(Stdio::null());
        command
    }
}

fn join(home: &Home, handle: &str, link: &str) -> Result<()> {
    let status =
        home.godwit().args(["join", link, "--as", handle]).stdout(Stdio::null()).status()?;
    if !status.success() {
        bail!("{handle} could not join: {status}");
    }
    Ok(())
}

/// What `godwit history` says of the conversation with `peer`, one object a message.
pub(super) fn history(home: &Home, peer: &str) -> Result<Vec<serde_json::Value>> {
    let output =
        home.godwit().args(["history", peer, "--json"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("history of {} with {peer}: {}", home.path.display(), output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("history is one JSON a line"))
        .collect()
}

/// Somebody who sends numbered lines to random receivers in a thread of its own.
pub(super) struct Sender {
    stop: Arc<AtomicBool>,
    child: Arc<Mutex<Option<Child>>>,
    thread: JoinHandle<Result<Ended>>,
}

/// A sender that has sent its last message.
pub(super) struct Ended {
    /// Its handle.
    pub(super) handle: String,
    /// Its home.
    pub(super) home: Home,
    /// Whom it wrote to.
    pub(super) peers: Vec<String>,
    /// File with each message id that it was told.
    pub(super) told: PathBuf,
}

impl Sender {
    /// Registers and starts to send.
    pub(super) fn join(
        binaries: &Path,
        dir: &Path,
        handle: &str,
        link: &str,
        peers: &[String],
        seed: u64,
    ) -> Result<Self> {
        let home = Home::new(binaries, dir, handle);
        join(&home, handle, link)?;
        let stop = Arc::new(AtomicBool::new(false));
        let child = Arc::new(Mutex::new(None));
        let talk = Talk {
            ended: Ended {
                handle: handle.to_owned(),
                told: dir.join(format!("{handle}.ids")),
                home,
                peers: peers.to_vec(),
            },
            log: dir.join(format!("{handle}.log")),
            rng: fastrand::Rng::with_seed(seed),
            stop: stop.clone(),
            child: child.clone(),
            next: BTreeMap::new(),
        };
        let thread = std::thread::spawn(move || talk.run());
        Ok(Self { stop, child, thread })
    }

    /// Kills the process that is sending now.
    pub(super) fn kill(&self) {
        if let Some(child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ = child.kill();
        }
    }

    /// Ends with one last message to each peer that waits until it is delivered.
    pub(super) fn finish(self) -> Result<Ended> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(_) => bail!("a sender's thread panicked"),
        }
    }
}

struct Talk {
    ended: Ended,
    log: PathBuf,
    rng: fastrand::Rng,
    stop: Arc<AtomicBool>,
    child: Arc<Mutex<Option<Child>>>,
    next: BTreeMap<String, u32>,
}

impl Talk {
    fn run(mut self) -> Result<Ended> {
        while !self.stop.load(Ordering::Relaxed) {
            self.send_batch()?;
        }
        for peer in &self.ended.peers {
            let mut last = self.ended.home.godwit();
            last.args(["send", peer, LAST, "--wait", "delivered", "--timeout", LAST_MESSAGE_S]);
            let status = last.stdout(Stdio::null()).stderr(append(&self.log)?).status()?;
            if !status.success() {
                bail!(
                    "the last message of {} to {peer} did not arrive: {status}",
                    self.ended.handle
                );
            }
        }
        Ok(self.ended)
    }

    /// One process, one peer, some lines. It may be killed at any moment.
    fn send_batch(&mut self) -> Result<()> {
        let peer = self.ended.peers[self.rng.usize(..self.ended.peers.len())].clone();
        let mut child = self
            .ended
            .home
            .godwit()
            .args(["send", &peer, "--lines", "--wait", "accepted", "--timeout", "20"])
            .stdin(Stdio::piped())
            .stdout(append(&self.ended.told)?)
            .stderr(append(&self.log)?)
            .spawn()?;
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let next = self.next.entry(peer).or_default();
        for _ in 0..self.rng.u32(BATCH_LINES) {
            // A killed reader breaks the pipe; what it did not take was never promised.
            if writeln!(stdin, "{} {next}", self.ended.handle).is_err() {
                break;
            }
            *next += 1;
        }
        drop(stdin);
        self.wait_for_child()
    }

    fn wait_for_child(&self) -> Result<()> {
        loop {
            let mut slot = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(child) = slot.as_mut() else { return Ok(()) };
            if child.try_wait()?.is_some() {
                *slot = None;
                return Ok(());
            }
            drop(slot);
            pause(5);
        }
    }
}

/// A process that keeps a home open, so that its outbox empties and its contacts are answered.
pub(super) struct Open(Child);

impl Ended {
    /// Opens the home again: a recipient that could not open a message asks for it once more.
    pub(super) fn open(&self) -> Result<Open> {
        let mut command = self.home.godwit();
        command.arg("listen").stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Open(command.spawn()?))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody who listens; what is shown goes to a file, one object a line.
pub(super) struct Receiver {
    handle: String,
    /// Its home.
    pub(super) home: Home,
    /// What was shown, over all its lives.
    pub(super) shown: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Receiver {
    /// Registers and starts to listen.
    pub(super) fn join(binaries: &Path, dir: &Path, handle: &str, link: &str) -> Result<Self> {
        let home = Home::new(binaries, dir, handle);
        join(&home, handle, link)?;
        let shown = dir.join(format!("{handle}.shown"));
        let log = dir.join(format!("{handle}.log"));
        let child = listen(&home, &shown, &log)?;
        Ok(Self { handle: handle.to_owned(), home, shown, log, child })
    }

    pub(super) fn handle(&self) -> &str {
        &self.handle
    }

    /// Of the process that listens.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn kill_and_restart(&mut self) -> Result<()> {
        let _ = self.child.kill();
        self.child.wait()?;
        self.child = listen(&self.home, &self.shown, &self.log)?;
        Ok(())
    }

    /// Waits until the last message of every sender was shown and no placeholder may still be
    /// filled, then ends the process. If nothing comes any more before that, what is missing is for
    /// the judge to count.
    pub(super) fn drain(&mut self, senders: &[Ended]) -> Result<()> {
        const STEP_MS: u64 = 50;
        let (mut quiet_ms, mut bytes) = (0, None);
        while quiet_ms < QUIET_MS {
            let now = std::fs::metadata(&self.shown)?.len();
            if bytes.replace(now) != Some(now) {
                quiet_ms = 0;
                if self.has_everything(senders)? {
                    break;
                }
            }
            pause(STEP_MS);
            quiet_ms += STEP_MS;
        }
        if quiet_ms >= QUIET_MS {
            eprintln!("crash: {} is missing something; see {}", self.handle, self.shown.display());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn has_everything(&self, senders: &[Ended]) -> Result<bool> {
        let shown = super::judge::shown(&self.shown)?;
        for sender in senders {
            if !shown.iter().any(|message| message.from == sender.handle && message.is_last()) {
                return Ok(false);
            }
        }
        for sender in senders {
            if super::judge::kept(self, sender)?.iter().any(super::judge::Shown::is_waiting) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(home: &Home, shown: &Path, log: &Path) -> Result<Child> {
    let mut command = home.godwit();
    command.args(["listen", "--json"]).stdout(append(shown)?).stderr(append(log)?);
    Ok(command.spawn()?)
}

fn append(path: &Path) -> Result<File> {
    Ok(File::options().create(true).append(true).open(path)?)
}
