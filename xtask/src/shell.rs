//! Running other programs: what is run is printed, a failure names the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Cargo in the workspace of the model and the simulation. The target folder is that of the product: what is built
/// from the same is built once.
pub(crate) fn cargo_of_proofs(args: &[&str]) -> Command {
    let mut cargo = cargo();
    cargo.current_dir(root().join("sim")).env("CARGO_TARGET_DIR", root().join("target"));
    cargo.args(args);
    cargo
}

/// Runs a command to its end, its output passed through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot start: {shown}"))?;
    if !status.success() {
        bail!("failed ({status}): {shown}");
    }
    Ok(())
}

/// A program that may open as many files as the system lets it, up to what a server with tens of
/// thousands of connections needs: more makes some programs walk through all of them.
pub(crate) fn unlimited(program: impl AsRef<std::ffi::OsStr>) -> Command {
    const RAISE: &str = "n=$(ulimit -Hn); case $n in unlimited) n=65536;; esac; \
        [ $n -le 65536 ] || n=65536; ulimit -n $n; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", RAISE, "sh"]).arg(program);
    command
}

/// Whether a program can be started and says yes to the given arguments.
pub(crate) fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
