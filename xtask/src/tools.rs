//! What a check or a proof needs and a new machine lacks. Each tool says what it is for, looks
//! whether it is there, and installs itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, root, run, works};

/// A C compiler: the cryptography of the link, the client's database and every linking need one, and
/// nothing else outside of cargo does.
pub(crate) fn c_compiler() -> Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    debian_package("build-essential", works(&compiler, &["--version"]))
}

/// `cargo-deny`: judges licences, sources and banned crates.
pub(crate) fn cargo_deny() -> Result<()> {
    installed_by_cargo("cargo-deny", works("cargo", &["deny", "--version"]))
}

/// `cargo-nextest`: runs every test in its own process.
pub(crate) fn cargo_nextest() -> Result<()> {
    installed_by_cargo("cargo-nextest", works("cargo", &["nextest", "--version"]))
}

/// The browser target, for the parts that must build for it.
pub(crate) fn wasm_target() -> Result<()> {
    run(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]))
}

/// A terminal that scripts can type into, for the full-screen client.
pub(crate) fn tmux() -> Result<()> {
    debian_package("tmux", works("tmux", &["-V"]))
}

/// A Python of its own with an independent Noise implementation. Returns its interpreter.
pub(crate) fn noise_python() -> Result<PathBuf> {
    let home = root().join("target/interop-venv");
    let python = home.join("bin/python");
    let ready = |python: &Path| {
        python.to_str().is_some_and(|path| works(path, &["-c", "import noise.connection"]))
    };
    if !ready(&python) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "noiseprotocol==0.3.1",
        ]))?;
    }
    if !ready(&python) {
        bail!("noiseprotocol was installed in {} but cannot be imported", home.display());
    }
    Ok(python)
}

/// Ceph: its gateway speaks S3. 63 packages of 69 MB, a minute to install.
pub(crate) fn ceph() -> Result<()> {
    for program in ["radosgw", "ceph-osd", "ceph-mon"] {
        debian_package(program, works(program, &["--version"]))?;
    }
    Ok(())
}

fn installed_by_cargo(name: &str, present: bool) -> Result<()> {
    if present {
        return Ok(());
    }
    eprintln!("{name} is missing: building it (some minutes, once)");
    // It works for seconds: optimising it would take far longer than it gives back.
    run(cargo().args(["install", "--debug", "--locked", "--quiet", name]))
}

/// What a package merely recommends is not needed: Ceph would bring its file system and a clock.
const LEAN: &str = "--no-install-recommends";

fn debian_package(name: &str, present: bool) -> Result<()> {
    if present {
        return Ok(());
    }
    let advice =
        || format!("{name} is missing and apt-get cannot install it: install {name} by hand");
    run(Command::new("apt-get").args(["update", "-qq"])).with_context(advice)?;
    run(Command::new("apt-get").args(["install", "-y", "-qq", LEAN, name])).with_context(advice)
}

/// Installs those of these Debian packages that are missing, without starting their services now.
pub(crate) fn debian_packages(names: &[&'static str]) -> Result<()> {
    let missing: Vec<_> = names.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all = missing.join(" ");
    let advice = || format!("apt-get cannot install {all}: install it by hand");
    let _quiet = NoServices::begin().with_context(advice)?;
    run(Command::new("apt-get").args(["update", "-qq"])).with_context(advice)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
    run(install.env("DEBIAN_FRONTEND", "noninteractive")).with_context(advice)
}

fn is_installed(package: &str) -> bool {
    let status =
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    status.is_ok_and(|output| output.stdout == b"installed")
}

/// Debian asks this program whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While it lives, packages that are installed start no services; a policy that the machine has
/// already stays as it is.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let made = !Path::new(POLICY).exists();
        if made {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
            run(Command::new("chmod").args(["755", POLICY]))?;
        }
        Ok(Self { made })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
