//! People who talk, and the server between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::judge::{self, Verdict};
use super::super::person::{Ended, Receiver, Sender};
use super::super::server::Server;
use super::Ground;
use super::gate::Gate;
use super::scenes::loopback;
use crate::crash::pause;

const RECEIVERS: usize = 2;
const SENDERS: usize = 2;

/// How often somebody who waits for the server looks, and how often at most: 60 s.
const LOOK_MS: u64 = 100;
const LOOKS_MAX: u32 = 600;

pub(super) struct Stage {
    binaries: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) server: Server,
    pub(super) gate: Option<Gate>,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    /// Unmounted last.
    pub(super) disk: Option<Disk>,
}

/// A file system in memory.
pub(super) struct Disk(PathBuf);

impl Disk {
    /// None if we may not.
    fn mount(at: &Path, mib: u32) -> Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let size = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "godwit-faults"]).arg(at);
        let is_mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        Ok(is_mounted.then(|| Self(at.to_owned())))
    }

    /// Lets nobody write, or everybody again.
    pub(super) fn is_for_reading(&self, only: bool) -> Result<()> {
        let how = if only { "remount,ro" } else { "remount,rw" };
        let status = Command::new("mount").args(["-o", how]).arg(&self.0).status()?;
        if status.success() { Ok(()) } else { bail!("mount -o {how}: {status}") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Stage {
    /// Everybody has joined and talks. None if this machine has no such ground.
    pub(super) fn set(
        ground: Ground,
        binaries: &Path,
        dir: &Path,
        seed: u64,
    ) -> Result<Option<Self>> {
        let disk = match ground {
            Ground::Disk(mib) => match Disk::mount(&dir.join("server"), mib)? {
                Some(disk) => Some(disk),
                None => return Ok(None),
            },
            Ground::Network => {
                loopback("up")?;
                None
            }
            Ground::Plain | Ground::Gate => None,
        };
        let server = Server::start(binaries, dir, None)?;
        let gate = match ground {
            Ground::Gate => Some(Gate::open(address_of(&server)?)?),
            Ground::Plain | Ground::Disk(_) | Ground::Network => None,
        };
        let link = match &gate {
            Some(gate) => through(server.join(), gate.port)?,
            None => server.join().to_owned(),
        };
        let receivers = (0..RECEIVERS)
            .map(|n| Receiver::join(binaries, dir, &format!("receiver{n}"), &link))
            .collect::<Result<Vec<_>>>()?;
        let handles: Vec<_> = receivers.iter().map(|one| one.handle().to_owned()).collect();
        let senders = (0..SENDERS)
            .map(|n| {
                Sender::join(binaries, dir, &format!("sender{n}"), &link, &handles, seed + n as u64)
            })
            .collect::<Result<Vec<_>>>()?;
        let (binaries, dir) = (binaries.to_owned(), dir.to_owned());
        let mut stage = Self { binaries, dir, server, gate, senders, receivers, disk };
        // Before anything is done to it, something has arrived.
        stage
            .waits("something to arrive", |stage| stage.accepted().map(|accepted| accepted > 0))?;
        Ok(Some(stage))
    }

    pub(super) fn address(&self) -> Result<SocketAddr> {
        address_of(&self.server)
    }

    pub(super) fn receivers(&self) -> impl Iterator<Item = u32> + '_ {
        self.receivers.iter().map(Receiver::pid)
    }

    /// What `godwitd status` says.
    pub(super) fn status(&self) -> Result<Value> {
        let mut status = Command::new(self.binaries.join("godwitd"));
        let output =
            status.args(["status", "--json", "--data"]).arg(self.dir.join("server")).output()?;
        if !output.status.success() {
            bail!("no status: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    pub(super) fn accepted(&self) -> Result<u64> {
        self.status()?["accepted"].as_u64().context("a number of accepted messages")
    }

    /// Waits until it is so. An error while looking is no answer yet.
    pub(super) fn waits(
        &mut self,
        what: &str,
        is_so: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..LOOKS_MAX {
            if is_so(self).unwrap_or(false) {
                return Ok(());
            }
            if self.server.has_ended()? {
                bail!("the server ended while it was waited for {what}");
            }
            pause(LOOK_MS);
        }
        bail!("waited {} s in vain for {what}", u64::from(LOOKS_MAX) * LOOK_MS / 1_000)
    }

    /// The server goes on: something more is accepted.
    pub(super) fn goes_on(&mut self) -> Result<()> {
        let mut before = None;
        for _ in 0..LOOKS_MAX {
            before = self.accepted().ok();
            if before.is_some() {
                break;
            }
            pause(LOOK_MS);
        }
        let before = before.context("the server does not answer its operator")?;
        self.waits("the next message", |stage| Ok(stage.accepted()? > before))
    }

    /// The most memory that the server had, KiB.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.trim().strip_suffix(" kB")).context("VmHWM")?;
        Ok(peak.trim().parse()?)
    }

    /// Everybody says the last word, all is let arrive, and the judge compares.
    pub(super) fn ends(mut self) -> Result<Verdict> {
        if self.server.has_ended()? {
            bail!("the server did not outlive it");
        }
        let ends = self.senders.into_iter().map(Sender::finish).collect::<Result<Vec<_>>>()?;
        let open = ends.iter().map(Ended::open).collect::<Result<Vec<_>>>()?;
        self.receivers.iter_mut().try_for_each(|receiver| receiver.drain(&ends))?;
        drop(open);
        let verdict = judge::judge(&ends, &self.receivers)?;
        self.server.stop()?;
        Ok(verdict)
    }
}

fn address_of(server: &Server) -> Result<SocketAddr> {
    let rest = server.join().strip_prefix("godwit://").context("a join link")?;
    let address = rest.split('#').next().context("an address in it")?;
    address.parse().with_context(|| format!("not an address: {address}"))
}

/// The join link of a server behind a gate.
fn through(link: &str, port: u16) -> Result<String> {
    let (address, key) = link.split_once('#').context("a key in the join link")?;
    let (host, _) = address.rsplit_once(':').context("a port in the join link")?;
    Ok(format!("{host}:{port}#{key}"))
}
