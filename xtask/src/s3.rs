//! Something that speaks S3, for the test of files in a bucket: moto's server, for as long as it is
//! needed, on any free port.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::tools;

/// A running server; ends with this.
pub(crate) struct S3 {
    child: Child,
    endpoint: String,
}

impl S3 {
    /// Starts it.
    pub(crate) fn start() -> Result<Self> {
        let program = tools::moto_server()?;
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start moto_server")?;
        let told = child.stderr.take().context("no output of moto_server")?;
        let mut lines = BufReader::new(told).lines();
        let address = |line: String| {
            let at = line.find("http://127.0.0.1:")?;
            line.get(at..)?.split_whitespace().next().map(str::to_owned)
        };
        let found = lines.by_ref().map_while(Result::ok).find_map(address);
        let server = Self { child, endpoint: found.unwrap_or_default() };
        // It never waits for a reader of its log.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        anyhow::ensure!(!server.endpoint.is_empty(), "moto_server ended before it listened");
        Ok(server)
    }

    /// Its web address.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
