//! The server as a process that is killed and started again on the same folder and port.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::pause;
use crate::shell::root;

/// A running `godwitd`.
pub(crate) struct Server {
    binaries: PathBuf,
    dir: PathBuf,
    listen: String,
    join: String,
    child: Child,
    // Kept open: a closed pipe would break the server's own output.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server on a free port with its data below `dir`.
    pub(super) fn start(binaries: &Path, dir: &Path, crash_at: Option<&str>) -> Result<Self> {
        let (child, stdout, join) = spawn(binaries, dir, "127.0.0.1:0", crash_at)?;
        let listen = join
            .strip_prefix("godwit://")
            .and_then(|rest| rest.split('#').next())
            .with_context(|| format!("not a join link: {join}"))?
            .to_owned();
        Ok(Self {
            binaries: binaries.to_owned(),
            dir: dir.to_owned(),
            listen,
            join,
            child,
            _stdout: stdout,
        })
    }

    /// A server of its own for the check with the independent implementation.
    pub(crate) fn start_for_interop() -> Result<Self> {
        let dir = root().join("target/interop");
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        Self::start(&super::debug_binaries(), &dir, None)
    }

    /// How to join it; stays the same over restarts.
    pub(crate) fn join(&self) -> &str {
        &self.join
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }

    /// Kills it if it still runs and starts it again, armed with a crash point or not.
    pub(super) fn restart(&mut self, crash_at: Option<&str>) -> Result<()> {
        let _ = self.child.kill();
        self.child.wait()?;
        // An armed server may die while it starts; that is a crash like any other.
        let (child, stdout, join) = match spawn(&self.binaries, &self.dir, &self.listen, crash_at) {
            Err(_) if crash_at.is_some() => spawn(&self.binaries, &self.dir, &self.listen, None)?,
            other => other?,
        };
        if join != self.join {
            bail!("the join link changed over a restart: {} became {join}", self.join);
        }
        self.child = child;
        self._stdout = stdout;
        Ok(())
    }

    /// Whether the process ends by itself within so many milliseconds.
    pub(super) fn dies_within(&mut self, ms: u64) -> Result<bool> {
        const STEP_MS: u64 = 10;
        for _ in 0..ms / STEP_MS {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            pause(STEP_MS);
        }
        Ok(false)
    }

    /// Asks it to drain and checks that it ends well.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server did not drain and exit with 0, but {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    binaries: &Path,
    dir: &Path,
    listen: &str,
    crash_at: Option<&str>,
) -> Result<(Child, BufReader<ChildStdout>, String)> {
    let log = File::options().create(true).append(true).open(dir.join("server.log"))?;
    let mut command = Command::new(binaries.join("godwitd"));
    command.arg("serve").arg("--data").arg(dir.join("server")).args(["--listen", listen, "--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.env_remove("GODWIT_CRASH_AT");
    if let Some(crash_at) = crash_at {
        command.env("GODWIT_CRASH_AT", crash_at);
    }
    let mut child = command.spawn().context("cannot start godwitd")?;
    let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    let join = serde_json::from_str::<serde_json::Value>(&line)
        .ok()
        .filter(|ready| ready["event"] == "ready")
        .and_then(|ready| ready["join"].as_str().map(str::to_owned));
    let Some(join) = join else {
        let _ = child.kill();
        let status = child.wait()?;
        bail!(
            "the server said {line:?} instead of ready ({status}); see {}",
            dir.join("server.log").display()
        );
    };
    Ok((child, stdout, join))
}
