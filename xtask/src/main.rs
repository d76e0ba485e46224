//! One-command set-up, checks and proofs. `cargo xtask --help` lists them.

mod crash;
mod edges;
mod fuzz;
mod model;
mod peers;
mod previous;
mod promises;
mod s3;
mod secrets;
mod shell;
mod sim;
mod test;
mod tools;
mod up;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, checks and proofs of Godwit")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, build, start a server and say how to join.
    Up(up::Args),
    /// Run every check: format, lints, dependencies, documents, tests, wasm, model, fuzz smoke, crash smoke.
    Test(test::Args),
    /// Kill server and clients at random points and show that nothing is lost or repeated.
    Crash(crash::Args),
    /// Do to a server what happens to servers from outside, and show that nothing is lost or repeated.
    Faults(crash::faults::Args),
    /// Run every fuzz target for some seconds.
    Fuzz(fuzz::Args),
    /// Play seeds: the real server and clients in a simulated world.
    Sim(sim::Args),
    /// Look at every state of the delivery protocol.
    Model(model::Args),
    /// Give other people's servers and ours the same loads and print one table.
    Peers(peers::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Up(args) => up::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Crash(args) => crash::run(&args),
        Task::Faults(args) => crash::faults::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Sim(args) => sim::run(&args),
        Task::Model(args) => model::run(&args),
        Task::Peers(args) => peers::run(&args),
    }
}
