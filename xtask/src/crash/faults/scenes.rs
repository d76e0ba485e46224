//! The scenes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::stage::Stage;
use super::{Ground, Scale, Scene, Seen};
use crate::crash::pause;

pub(super) const SCENES: [Scene; 9] = [
    Scene { name: "stopped", ground: Ground::Plain, act: stopped },
    Scene { name: "descriptors", ground: Ground::Plain, act: descriptors },
    Scene { name: "disk-full", ground: Ground::Disk(192), act: disk_full },
    Scene { name: "read-only", ground: Ground::Disk(192), act: read_only },
    Scene { name: "memory", ground: Ground::Plain, act: memory },
    Scene { name: "handshakes", ground: Ground::Plain, act: handshakes },
    Scene { name: "door-taken", ground: Ground::Plain, act: door_taken },
    Scene { name: "half-open", ground: Ground::Gate, act: half_open },
    Scene { name: "link-down", ground: Ground::Network, act: link_down },
];

/// Handshakes that are unfinished at once: fewer than the 1,024 places at the door, so that others come in.
const LINGERERS: usize = 900;

/// And more than there are places.
const CROWD: usize = 2_000;

/// Memory that the server may have in its group, MiB: the store's cache, and as much again as a debug build
/// takes with a thousand connections.
const MEMORY_MIB: u64 = 192;

fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    if status.success() { Ok(()) } else { bail!("kill -{name} {pid}: {status}") }
}

/// How many files the process may open.
fn limit_files(pid: u32, most: usize) -> Result<()> {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={most}:")])
        .status()
        .context("prlimit")?;
    if status.success() { Ok(()) } else { bail!("prlimit --nofile={most}: {status}") }
}

/// SIGSTOP and SIGCONT of the server and of those who listen.
fn stopped(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    for _ in 0..scale.rounds {
        let listener = stage.receivers().next().context("somebody listens")?;
        for pid in [stage.server.pid(), listener] {
            signal(pid, "STOP")?;
            pause(scale.fault_ms);
            signal(pid, "CONT")?;
            stage.goes_on()?;
        }
    }
    Ok(Seen::Done(format!("server and a receiver stopped {} times each", scale.rounds)))
}

/// The server may open no more files than it has, and visitors want to come in.
fn descriptors(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    const FREE: usize = 3;
    const VISITORS: usize = 64;
    let (pid, address) = (stage.server.pid(), stage.address()?);
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let before = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let before: usize = before
        .and_then(|line| line.split_whitespace().next())
        .context("the limit before")?
        .parse()?;
    for _ in 0..scale.rounds {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        limit_files(pid, open + FREE)?;
        let visitors: Vec<_> = (0..VISITORS).flat_map(|_| TcpStream::connect(address)).collect();
        pause(scale.fault_ms);
        drop(visitors);
        limit_files(pid, before)?;
        stage.goes_on()?;
    }
    Ok(Seen::Done(format!("{} times no descriptor left", scale.rounds)))
}

/// The disk fills up, and has room again.
fn disk_full(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    let ballast = stage.disk.as_ref().context("a disk of its own")?.path().join("ballast");
    let is_full = |stage: &Stage| Ok(stage.status()?["store_disk_full"] == true);
    for _ in 0..scale.rounds {
        fill(&ballast)?;
        stage.waits("the server to see that the disk is full", is_full)?;
        pause(scale.fault_ms);
        std::fs::remove_file(&ballast)?;
        stage.waits("the server to see that there is room", |stage| {
            is_full(stage).map(|full| !full)
        })?;
        stage.goes_on()?;
    }
    Ok(Seen::Done(format!("{} times full to the last byte and empty again", scale.rounds)))
}

/// Writes until nothing more goes in.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let piece = vec![1; 1 << 20];
    while file.write_all(&piece).is_ok() {}
    Ok(())
}

/// A server on a disk that nobody may write says so and ends; when it may, everything is there.
fn read_only(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    let mut said = String::new();
    for _ in 0..scale.rounds {
        stage.server.kill()?;
        let disk = stage.disk.as_ref().context("a disk of its own")?;
        disk.is_for_reading(true)?;
        let refused = stage.server.restart(None);
        disk.is_for_reading(false)?;
        if refused.is_ok() {
            bail!("the server says that it serves, and cannot write");
        }
        let log = std::fs::read_to_string(stage.dir.join("server.log"))?;
        said = log.lines().last().unwrap_or_default().to_owned();
        if !said.contains("Read-only file system") {
            bail!("the last line of the server does not say what to do: {said:?}");
        }
        stage.server.restart(None)?;
        stage.goes_on()?;
    }
    Ok(Seen::Done(format!("{} times it ended with {said:?}", scale.rounds)))
}

/// A control group of our own with a limit of memory, version 1 or 2.
struct Group(PathBuf);

impl Group {
    fn make(limit_mib: u64) -> Option<Self> {
        let (parent, limit) =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
                .into_iter()
                .find(|(parent, limit)| {
                    limit.ends_with("max") || Path::new(parent).join(limit).exists()
                })?;
        let path = Path::new(parent).join(format!("godwit-faults-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let group = Self(path);
        std::fs::write(group.0.join(limit), (limit_mib << 20).to_string()).ok()?;
        Some(group)
    }

    fn takes(&self, pid: u32) -> std::io::Result<()> {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// How often somebody wanted more than there is.
    fn reached(&self) -> String {
        let file = |name: &str| std::fs::read_to_string(self.0.join(name));
        let count = file("memory.failcnt").or_else(|_| file("memory.events")).unwrap_or_default();
        count.trim().replace('\n', ", ")
    }

    fn lets_go(&self, pid: u32) {
        if let Some(parent) = self.0.parent() {
            let _ = std::fs::write(parent.join("cgroup.procs"), pid.to_string());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Little memory, many visitors and the usual talk.
fn memory(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    let Some(group) = Group::make(MEMORY_MIB) else {
        return Ok(Seen::Impossible("no control group may be made".to_owned()));
    };
    let pid = stage.server.pid();
    if group.takes(pid).is_err() {
        return Ok(Seen::Impossible("no process may be put into a control group".to_owned()));
    }
    let lingered = linger(stage.address()?, LINGERERS, LINGERERS);
    pause(scale.fault_ms * u64::from(scale.rounds));
    drop(lingered?);
    let gone_on = stage.goes_on();
    let reached = group.reached();
    group.lets_go(pid);
    gone_on.with_context(|| format!("with {MEMORY_MIB} MiB; limit reached: {reached}"))?;
    Ok(Seen::Done(format!("{MEMORY_MIB} MiB for all of it, limit reached: {reached}")))
}

/// So many handshakes are begun with one byte, and so many of them stand at once.
fn linger(address: SocketAddr, all: usize, at_once: usize) -> Result<VecDeque<TcpStream>> {
    const SOME_MS: u64 = 5;
    limit_files(std::process::id(), at_once * 2 + 1_000)?;
    let mut standing = VecDeque::new();
    for n in 0..all {
        if standing.len() >= at_once {
            standing.pop_front();
        }
        let visitor = TcpStream::connect_timeout(&address, Duration::from_secs(30));
        let mut visitor = visitor.with_context(|| format!("visitor {n}"))?;
        let _ = visitor.write_all(b"G");
        standing.push_back(visitor);
        if n % 50 == 49 {
            pause(SOME_MS);
        }
    }
    Ok(standing)
}

/// Handshakes that never finish, a byte each, as many as leave a place for others.
fn handshakes(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    limit_files(stage.server.pid(), CROWD * 4)?;
    let standing = linger(stage.address()?, scale.visitors, LINGERERS)?;
    stage.goes_on().context("while they stand there")?;
    pause(scale.fault_ms);
    drop(standing);
    stage.goes_on()?;
    Ok(Seen::Done(format!("{} handshakes never finished, {LINGERERS} at once", scale.visitors)))
}

/// More of them than there are places: who wants to come in waits; afterwards all is as before.
fn door_taken(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    limit_files(stage.server.pid(), CROWD * 4)?;
    for _ in 0..scale.rounds {
        let standing = linger(stage.address()?, CROWD, CROWD)?;
        pause(scale.fault_ms);
        drop(standing);
        stage.goes_on()?;
    }
    Ok(Seen::Done(format!("{} times all places taken by {CROWD}", scale.rounds)))
}

/// Every link goes dead without a word to either side.
fn half_open(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    for _ in 0..scale.rounds {
        stage.gate.as_ref().context("a gate")?.lets_go();
        stage.goes_on()?;
    }
    Ok(Seen::Done(format!("all links dead {} times, told to nobody", scale.rounds)))
}

/// The network is away and comes back; who is linked hears nothing, who dials is told that there is no way.
fn link_down(stage: &mut Stage, scale: &Scale) -> Result<Seen> {
    for _ in 0..scale.rounds {
        loopback("down")?;
        pause(scale.fault_ms);
        loopback("up")?;
        stage.goes_on()?;
    }
    Ok(Seen::Done(format!("the network was away {} times", scale.rounds)))
}

/// Of the network that we are in.
pub(super) fn loopback(how: &str) -> Result<()> {
    let status = Command::new("ip").args(["link", "set", "lo", how]).status()?;
    if status.success() { Ok(()) } else { bail!("ip link set lo {how}: {status}") }
}
