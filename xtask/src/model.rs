//! `cargo xtask model`: every state of the delivery protocol, within bounds. What is modelled is in
//! `docs/model.md`; the model is in `sim/model`, in a workspace of its own.

use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo_of_proofs, run as run_command};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Larger bounds as well: hours, and about 16 bytes of memory a state.
    #[arg(long)]
    pub(crate) deep: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut model = of_model(&["run", "--release"]);
    if args.deep {
        model.args(["--", "--deep"]);
    }
    run_command(&mut model)
}

/// What `cargo xtask test` does for the product, for the model: lints, dependencies, tests. Its tests break the
/// protocol in every way that a promise is there to find.
pub(crate) fn check() -> Result<()> {
    tools::cargo_deny()?;
    run_command(of_model(&["fmt"]).arg("--check"))?;
    run_command(
        of_model(&["clippy", "--release", "--all-targets"]).args(["--", "-D", "warnings"]),
    )?;
    let deny = ["deny", "--all-features", "--config", "../deny.toml", "check"];
    run_command(cargo_of_proofs(&deny).args(["bans", "licenses", "sources"]))?;
    run_command(&mut of_model(&["test", "--release"]))
}

fn of_model(what: &[&str]) -> Command {
    let mut cargo = cargo_of_proofs(what);
    if what != ["fmt"] {
        cargo.arg("--locked");
    }
    cargo.args(["-p", "godwit-model"]);
    cargo
}
