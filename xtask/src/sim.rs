//! `cargo xtask sim`: the real server and clients in a simulated world, many seeds or one. What is simulated is
//! in `docs/simulation.md`.

use anyhow::Result;

use crate::shell::{cargo_of_proofs, run as run_command};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    pub(crate) seeds: u64,
    /// For many seeds: built as fast as it gets, which takes minutes, with every check of the compiler in it.
    #[arg(long)]
    pub(crate) night: bool,
    /// What else the program takes, for example `--seed 7 --scenario crash --show`; `--help` lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut sim = cargo_of_proofs(&["run", "--quiet", "--locked", "-p", "godwit-sim"]);
    if args.night {
        sim.args(["--profile", "night"]);
    }
    run_command(sim.args(["--", "--seeds"]).arg(args.seeds.to_string()).args(&args.rest))
}

/// A seed is the whole case, and each check sees what it is there for. Format and lints as of the product.
pub(crate) fn tests() -> Result<()> {
    run_command(&mut cargo_of_proofs(&["fmt", "-p", "godwit-sim", "--check"]))?;
    let lints = ["--all-targets", "--", "-D", "warnings"];
    run_command(cargo_of_proofs(&["clippy", "--locked", "-p", "godwit-sim"]).args(lints))?;
    run_command(&mut cargo_of_proofs(&["test", "--locked", "-p", "godwit-sim"]))
}
