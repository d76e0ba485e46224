//! `cargo xtask up`: from a fresh clone to a running server.

use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, root, run as run_command};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:7373")]
    listen: String,
    /// Build only, do not start the server.
    #[arg(long)]
    no_start: bool,
}

/// Sees to what the build needs, builds both programs, then runs the server in the foreground until Ctrl-C, which drains it.
pub(crate) fn run(args: &Args) -> Result<()> {
    tools::c_compiler()?;
    let packages = ["-p", "godwit-server", "-p", "godwit-terminal"];
    run_command(cargo().args(["build", "--release", "--locked"]).args(packages))?;
    let binaries = root().join("target/release");
    eprintln!("the client is {}", binaries.join("godwit").display());
    if args.no_start {
        return Ok(());
    }
    let mut server = Command::new(binaries.join("godwitd"));
    server
        .arg("serve")
        .arg("--data")
        .arg(root().join("target/up"))
        .args(["--listen", &args.listen]);
    run_command(&mut server)
}
