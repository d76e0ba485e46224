//! A peer as a process: started on free ports with its data in a folder of its own, stopped or killed
//! by its own process id.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kind::{Kind, Site, Store};
use super::pause;

/// Patience for a start with all its accounts.
const START: Duration = Duration::from_secs(120);

/// Patience for a clean end; then it is killed.
const STOP: Duration = Duration::from_secs(20);

/// Steps in which a start or an end is looked for, milliseconds.
const STEP_MS: u64 = 20;

/// A running server; dropped, it is killed.
pub(super) struct Server {
    kind: Kind,
    store: Store,
    dir: PathBuf,
    tls: PathBuf,
    port: u16,
    tls_port: u16,
    pin: bool,
    child: Child,
}

impl Server {
    /// Starts one on an empty folder with so many accounts, on the first CPU alone if it is to be
    /// pinned: some count their CPUs at their start.
    pub(super) fn start(
        kind: Kind,
        store: Store,
        dir: &Path,
        tls: &Path,
        accounts: u32,
        pin: bool,
    ) -> Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        std::fs::create_dir_all(dir)?;
        let [port, tls_port] = free_ports()?;
        let site = Site { dir, tls, port, tls_port, store, pin };
        let child = spawn(kind, &site, Some(accounts))?;
        Ok(Self { kind, store, dir: dir.into(), tls: tls.into(), port, tls_port, pin, child })
    }

    /// Stops it cleanly and starts it again: what its accounts left in its memory is gone.
    pub(super) fn restart(&mut self) -> Result<()> {
        end(&mut self.child)?;
        self.start_again()
    }

    /// Kills it with SIGKILL and starts it again on what it had on the disk.
    pub(super) fn kill_and_restart(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.start_again()
    }

    fn start_again(&mut self) -> Result<()> {
        let Self { port, tls_port, store, pin, .. } = *self;
        let site = Site { dir: &self.dir, tls: &self.tls, port, tls_port, store, pin };
        self.child = spawn(self.kind, &site, None)?;
        Ok(())
    }

    /// Ends it.
    pub(super) fn stop(mut self) -> Result<()> {
        end(&mut self.child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn address(&self, tls: bool) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, if tls { self.tls_port } else { self.port }).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ports that nobody listens on. They may be taken until the server does; then its start fails.
fn free_ports() -> Result<[u16; 2]> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port");
    let listeners = [any()?, any()?];
    let [one, two] = listeners.map(|listener| listener.local_addr().map(|address| address.port()));
    Ok([one?, two?])
}

fn spawn(kind: Kind, site: &Site<'_>, accounts: Option<u32>) -> Result<Child> {
    let ready = kind.ready_file(site.dir);
    if let Some(ready) = ready.as_deref().filter(|ready| ready.exists()) {
        std::fs::remove_file(ready)?;
    }
    let mut command = kind.prepare(site, accounts)?;
    let log_path = site.dir.join("output.log");
    let log = File::options().create(true).append(true).open(&log_path)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", kind.name()))?;
    let began = Instant::now();
    loop {
        let ended = child.try_wait()?;
        if ended.is_none() && began.elapsed() < START {
            let listens = [site.port, site.tls_port].into_iter().all(is_open);
            if listens && ready.as_deref().is_none_or(Path::exists) {
                return Ok(child);
            }
            pause(STEP_MS);
            continue;
        }
        let _ = child.kill();
        let _ = child.wait();
        let log = std::fs::read_to_string(&log_path).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let why =
            ended.map_or("was not ready in time".to_owned(), |status| format!("ended ({status})"));
        bail!("{} {why} while it started; it said last: {last:?}", kind.name());
    }
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Asks a process to end, and kills it if it does not.
fn end(child: &mut Child) -> Result<()> {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > STOP {
            child.kill()?;
            child.wait()?;
            return Ok(());
        }
        pause(STEP_MS);
    }
    Ok(())
}
