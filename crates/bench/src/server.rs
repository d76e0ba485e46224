//! The server under load: one of our own, started for the run, or one that somebody names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use godwit_base::JoinLink;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::conn::Endpoint;
use crate::error::LoadError;
use crate::machine::Processes;

/// Patience for a start: an empty store opens in milliseconds, one with a large backlog in seconds.
const START: Duration = Duration::from_secs(60);

/// Patience for a drain; then it is killed.
const STOP: Duration = Duration::from_secs(30);

/// Configuration of our own server, in its data folder, if it is told anything.
const CONFIG_FILE: &str = "bench.toml";

/// Where our own server listens at first.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Which server to load.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Somebody's server.
    pub join: Option<JoinLink>,
    /// The process of that server, if it is on this machine and its CPU time shall be read.
    pub pid: Option<u32>,
    /// Program of our own server; beside this program unless set.
    pub program: Option<PathBuf>,
    /// Folder under which the data of our own server goes; the system's temporary one unless set.
    pub data: Option<PathBuf>,
    /// CPUs that our own server is bound to, as `taskset -c` takes them.
    pub cpus: Option<&'static str>,
    /// Configuration of our own server; its defaults unless set.
    pub config: Option<&'static str>,
}

/// The server under load.
pub struct Site {
    endpoint: Endpoint,
    processes: Option<Processes>,
    own: Option<Own>,
}

struct Own {
    program: PathBuf,
    cpus: Option<&'static str>,
    child: Child,
    /// Reads on, so that the server never waits for a reader. It ends with the last process that writes.
    reader: JoinHandle<()>,
    /// The process that serves, once another than the child took over.
    successor: Option<Successor>,
    data: TempDir,
}

/// A server's process that is not our child. Killed when dropped.
struct Successor(u32);

/// What `godwitd upgrade --json` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Upgrade {
    /// Another process serves.
    pub ok: bool,
    /// Why not.
    pub error: String,
    /// Which.
    pub new_pid: u32,
    /// Sessions that went on.
    pub sessions: u64,
    /// Sessions that were sent home.
    pub dropped: u64,
    /// From when the first session stopped until all had their turn.
    pub silence_ms: u64,
    /// All of it.
    pub took_ms: u64,
    /// Sessions in the midst of a frame from their client. None of a server that does not say.
    pub half_frames: Option<u64>,
    /// Sessions with sealed bytes that their socket had not taken.
    pub unsent: Option<u64>,
    /// Sessions with a full inbox.
    pub full_inboxes: Option<u64>,
    /// Sessions on WebSockets.
    pub websockets: Option<u64>,
}

/// First line of `godwitd serve --json`.
#[derive(Deserialize)]
struct Ready {
    event: String,
    join: String,
}

impl Site {
    /// Starts a server of our own on an empty store, or finds the one named.
    ///
    /// # Errors
    /// [`LoadError::NoServer`], [`LoadError::NotReady`], [`LoadError::Io`].
    ///
    /// # Cancel safety
    /// Dropping the future kills a server that it started.
    pub async fn open(choice: &Choice) -> Result<Self, LoadError> {
        if let Some(link) = &choice.join {
            let processes = choice.pid.map(|pid| Processes(vec![pid]));
            return Ok(Self { endpoint: Endpoint::of(link).await?, processes, own: None });
        }
        let program = match &choice.program {
            Some(program) => program.clone(),
            None => beside_this("godwitd")?,
        };
        if !program.exists() {
            return Err(LoadError::NoServer(program));
        }
        let data = data_folder(choice.data.as_deref())?;
        if let Some(config) = choice.config {
            std::fs::write(data.path().join(CONFIG_FILE), config)
                .map_err(LoadError::io("writing a configuration"))?;
        }
        let (child, reader, link) = start(&program, choice.cpus, data.path(), ANY_PORT).await?;
        let own = Own { program, cpus: choice.cpus, child, reader, successor: None, data };
        let processes = own.child.id().map(|pid| Processes(vec![pid]));
        Ok(Self { endpoint: Endpoint::of(&link).await?, processes, own: Some(own) })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Its processes, if they are known.
    pub fn processes(&self) -> Option<&Processes> {
        self.processes.as_ref()
    }

    /// Folder of its data, if it is ours; else the folder that we are in.
    pub fn data(&self) -> &Path {
        self.own.as_ref().map_or(Path::new("."), |own| own.data.path())
    }

    /// Stops our own server and starts it again on the same data, so that nothing but what is
    /// durable is left. Does nothing to somebody else's.
    ///
    /// # Errors
    /// As [`Self::open`].
    ///
    /// # Cancel safety
    /// Not: drop the site too.
    pub async fn restart(&mut self) -> Result<(), LoadError> {
        let Some(own) = &mut self.own else { return Ok(()) };
        stop(&mut own.child).await?;
        let (child, reader, link) =
            start(&own.program, own.cpus, own.data.path(), ANY_PORT).await?;
        (own.child, own.reader) = (child, reader);
        self.processes = own.child.id().map(|pid| Processes(vec![pid]));
        self.endpoint = Endpoint::of(&link).await?;
        Ok(())
    }

    /// Kills our own server, without a word. Does nothing to somebody else's.
    ///
    /// # Errors
    /// [`LoadError::Io`].
    ///
    /// # Cancel safety
    /// It may have been killed.
    pub async fn kill(&mut self) -> Result<(), LoadError> {
        let Some(own) = &mut self.own else { return Ok(()) };
        own.child.kill().await.map_err(LoadError::io("killing the server"))
    }

    /// Starts our own server again after [`Self::kill`], on the same data and the same port, as a
    /// supervisor would after a crash.
    ///
    /// # Errors
    /// As [`Self::open`].
    ///
    /// # Cancel safety
    /// Not: drop the site too.
    pub async fn start_again(&mut self) -> Result<(), LoadError> {
        let Some(own) = &mut self.own else { return Ok(()) };
        let listen = self.endpoint.address;
        let (child, reader, _) = start(&own.program, own.cpus, own.data.path(), listen).await?;
        (own.child, own.reader) = (child, reader);
        self.processes = own.child.id().map(|pid| Processes(vec![pid]));
        Ok(())
    }

    /// Puts another process in the place of our own server, of this program or, if none is named, of its
    /// own, and says what came of it.
    ///
    /// # Errors
    /// [`LoadError::NotOurs`] for somebody else's server, [`LoadError::Io`],
    /// [`LoadError::NotReady`] when it says nothing that is understood.
    ///
    /// # Cancel safety
    /// Not: drop the site too.
    pub async fn upgrade(&mut self, binary: Option<&Path>) -> Result<Upgrade, LoadError> {
        let own = self.own.as_mut().ok_or(LoadError::NotOurs)?;
        let mut command = Command::new(&own.program);
        command.args(["upgrade", "--json", "--data"]).arg(own.data.path());
        command.arg("--binary").arg(binary.unwrap_or(&own.program));
        let asked = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let late = LoadError::TimedOut { what: "upgrade", seconds: START.as_secs() };
        let said = timeout(START, asked).await.map_err(|_| late)?;
        let said = said.map_err(LoadError::io("running godwitd upgrade"))?;
        let not_said = || LoadError::NotReady(String::from_utf8_lossy(&said.stderr).into_owned());
        let upgrade: Upgrade = serde_json::from_slice(&said.stdout).map_err(|_| not_said())?;
        if upgrade.ok {
            let before = own.successor.replace(Successor(upgrade.new_pid));
            match before {
                // It has handed over and ends by itself.
                Some(before) => before.ended(),
                None => drop(own.child.wait().await.map_err(LoadError::io("ending a server"))?),
            }
            self.processes = Some(Processes(vec![upgrade.new_pid]));
        }
        Ok(upgrade)
    }

    /// Sealed bytes that our own server has for somebody and that the socket has not taken.
    ///
    /// # Errors
    /// [`LoadError::NotOurs`], [`LoadError::Io`]; [`LoadError::NotReady`] when it says nothing that is understood.
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn unsent_bytes(&self, handle: &str) -> Result<u64, LoadError> {
        let own = self.own.as_ref().ok_or(LoadError::NotOurs)?;
        let mut command = Command::new(&own.program);
        command.args(["session", handle, "--json", "--data"]).arg(own.data.path());
        let asked = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let said = asked.await.map_err(LoadError::io("running godwitd session"))?;
        let rows: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let unsent =
            rows.pointer("/0/session/says/unsent_bytes").and_then(serde_json::Value::as_u64);
        unsent
            .ok_or_else(|| LoadError::NotReady(String::from_utf8_lossy(&said.stderr).into_owned()))
    }

    /// A program beside the data of our own server that is it, but dies at a fail point that is compiled in.
    ///
    /// # Errors
    /// [`LoadError::NotOurs`], [`LoadError::Io`].
    pub fn mortal(&self, point: &str) -> Result<PathBuf, LoadError> {
        let own = self.own.as_ref().ok_or(LoadError::NotOurs)?;
        let path = own.data.path().join("mortal");
        let (program, failed) = (std::path::absolute(&own.program), "making a program that dies");
        let program = program.map_err(LoadError::io(failed))?;
        let script = format!(
            "#!/bin/sh\nGODWIT_CRASH_AT={} exec {} \"$@\"\n",
            quoted(&format!("{point}:1")),
            quoted(&program.to_string_lossy())
        );
        std::fs::write(&path, script).map_err(LoadError::io(failed))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
            .map_err(LoadError::io(failed))?;
        Ok(path)
    }

    /// Stops our own server and deletes its data.
    ///
    /// # Errors
    /// [`LoadError::Io`].
    ///
    /// # Cancel safety
    /// Dropping the future kills the server.
    pub async fn close(self) -> Result<(), LoadError> {
        let Some(mut own) = self.own else { return Ok(()) };
        match own.successor.take() {
            Some(successor) => successor.stop(&mut own.reader).await?,
            None => stop(&mut own.child).await?,
        }
        own.reader.abort();
        own.data.close().map_err(LoadError::io("deleting the data folder"))
    }
}

impl Successor {
    /// Asks it to end, and kills it if it does not.
    async fn stop(self, reader: &mut JoinHandle<()>) -> Result<(), LoadError> {
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &self.0.to_string()]).stderr(Stdio::null());
        kill.status().await.map_err(LoadError::io("running kill"))?;
        if timeout(STOP, reader).await.is_ok() {
            self.ended();
        }
        Ok(())
    }

    /// It has ended: its number may be another's.
    fn ended(mut self) {
        self.0 = 0;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.0 > 0 {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-KILL", &self.0.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A new folder for data, deleted when dropped.
///
/// # Errors
/// [`LoadError::Io`].
pub fn data_folder(parent: Option<&Path>) -> Result<TempDir, LoadError> {
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("godwit-bench-");
    let made = match parent {
        Some(parent) => folder.tempdir_in(parent),
        None => folder.tempdir(),
    };
    made.map_err(LoadError::io("making a data folder"))
}

/// The path of a program in the folder of this one.
pub(crate) fn beside_this(name: &str) -> Result<PathBuf, LoadError> {
    let me = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
    Ok(me.with_file_name(name))
}

async fn start(
    program: &Path,
    cpus: Option<&str>,
    data: &Path,
    listen: SocketAddr,
) -> Result<(Child, JoinHandle<()>, JoinLink), LoadError> {
    let log_path = data.join("bench.log");
    let log = std::fs::File::create(&log_path).map_err(LoadError::io("making a log file"))?;
    let mut command = match cpus {
        Some(cpus) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpus]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.arg("serve").arg("--data").arg(data);
    command.args(["--listen", &listen.to_string(), "--json"]);
    let config = data.join(CONFIG_FILE);
    if config.exists() {
        command.arg("--config").arg(config);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn().map_err(LoadError::io("starting the server"))?;
    let output = child.stdout.take().ok_or_else(|| LoadError::NotReady("no output".to_owned()))?;
    let mut lines = BufReader::new(output).lines();
    let said = match timeout(START, lines.next_line()).await {
        Ok(Ok(Some(line))) => line,
        Ok(_) => {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            return Err(LoadError::NotReady(log.lines().last().unwrap_or("it ended").to_owned()));
        }
        Err(_) => {
            let seconds = START.as_secs();
            return Err(LoadError::TimedOut { what: "ready server", seconds });
        }
    };
    let link = serde_json::from_str::<Ready>(&said)
        .ok()
        .filter(|ready| ready.event == "ready")
        .and_then(|ready| ready.join.parse().ok())
        .ok_or(LoadError::NotReady(said))?;
    Ok((child, tokio::spawn(read_on(lines)), link))
}

async fn read_on(mut lines: Lines<BufReader<ChildStdout>>) {
    while let Ok(Some(_)) = lines.next_line().await {}
}

/// Asks a child process to end, and kills it if it does not.
pub(crate) async fn stop(child: &mut Child) -> Result<(), LoadError> {
    if let Some(pid) = child.id() {
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &pid.to_string()]).stderr(Stdio::null());
        kill.status().await.map_err(LoadError::io("running kill"))?;
    }
    if timeout(STOP, child.wait()).await.is_err() {
        child.kill().await.map_err(LoadError::io("killing the server"))?;
    }
    Ok(())
}
