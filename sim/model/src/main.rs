//! Looks at every state of the delivery protocol, within the scopes of a change or of a night.

use std::process::ExitCode;

use godwit_model::check;
use godwit_model::delivery::Delivery;
use godwit_model::scope::{DEEP, SMALL, Scope};

fn main() -> ExitCode {
    let mut scopes: Vec<Scope> = SMALL.to_vec();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--deep", None) => scopes.extend(DEEP),
            ("--only", Some(name)) => {
                scopes.extend(DEEP);
                scopes.retain(|scope| scope.name == name);
            }
            _ => {
                eprintln!("usage: godwit-model [--deep | --only SCOPE]");
                return ExitCode::from(2);
            }
        }
    }
    if scopes.is_empty() {
        eprintln!("no scope has that name; there are {:?}", all_names());
        return ExitCode::from(2);
    }
    let (mut is_whole, mut whole) = (true, 0);
    println!("{:>11} {:>11} {:>6} {:>8}  scope", "states", "steps", "depth", "seconds");
    for scope in scopes {
        let found = check::all(Delivery::new(scope));
        let seconds = found.took.as_secs_f64();
        let (states, steps, depth) = (found.states, found.steps, found.depth);
        whole += found.states;
        println!("{states:11} {steps:11} {depth:6} {seconds:8.1}  {}", scope.name);
        for broken in &found.broken {
            is_whole = false;
            print!("{broken}");
        }
    }
    println!("{whole:11} states in all");
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all_names() -> Vec<&'static str> {
    SMALL.iter().chain(DEEP).map(|scope| scope.name).collect()
}
