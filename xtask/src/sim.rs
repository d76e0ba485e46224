//! `cargo xtask sim`: the real server and clients in a simulated world, many seeds or one. What is simulated is
//! in `docs/simulation.md`.

use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, root, run as run_command};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    pub(crate) seeds: u64,
    /// What else the program takes, for example `--seed 7 --scenario crash --show`; `--help` lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut sim = sim(&["run", "--quiet", "--locked", "-p", "godwit-sim", "--"]);
    run_command(sim.arg("--seeds").arg(args.seeds.to_string()).args(&args.rest))
}

/// A seed is the whole case, and each check sees what it is there for. Format and lints as of the product.
pub(crate) fn tests() -> Result<()> {
    run_command(&mut sim(&["fmt", "-p", "godwit-sim", "--check"]))?;
    let lints = ["--all-targets", "--", "-D", "warnings"];
    run_command(sim(&["clippy", "--locked", "-p", "godwit-sim"]).args(lints))?;
    run_command(&mut sim(&["test", "--locked", "-p", "godwit-sim"]))
}

/// Cargo in the workspace of the simulation. The target folder is that of the product: what both are built from
/// is built once.
fn sim(args: &[&str]) -> Command {
    let mut sim = cargo();
    sim.current_dir(root().join("sim")).env("CARGO_TARGET_DIR", root().join("target"));
    sim.args(args);
    sim
}
