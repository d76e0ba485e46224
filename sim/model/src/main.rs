//! Looks at every state of the delivery protocol, within the scopes of a change or of a night.

use std::process::ExitCode;

use godwit_model::check;
use godwit_model::delivery::Delivery;
use godwit_model::scope::{DEEP, MERGED, MERGED_DEEP, SMALL, Scope};

fn main() -> ExitCode {
    let mut models: Vec<Delivery> = whole(SMALL).chain(merged(MERGED)).collect();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--deep", None) => models.extend(deep()),
            ("--only", Some(name)) => {
                models.extend(deep());
                models.retain(|model| model.scope.name == name);
            }
            _ => {
                eprintln!("usage: godwit-model [--deep | --only SCOPE]");
                return ExitCode::from(2);
            }
        }
    }
    if models.is_empty() {
        eprintln!("no scope has that name; there are {:?}", all_names());
        return ExitCode::from(2);
    }
    let (mut is_whole, mut states_in_all, mut seconds_in_all) = (true, 0, 0.0);
    println!("{:>11} {:>11} {:>6} {:>8}  scope", "states", "steps", "depth", "seconds");
    for model in models {
        let found = check::all(model);
        let seconds = found.took.as_secs_f64();
        let (states, steps, depth) = (found.states, found.steps, found.depth);
        states_in_all += states;
        seconds_in_all += seconds;
        println!("{states:11} {steps:11} {depth:6} {seconds:8.1}  {}", model.scope.name);
        for broken in &found.broken {
            is_whole = false;
            print!("{broken}");
        }
    }
    println!("{states_in_all:11} states in all, {seconds_in_all:.0} s");
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn whole(scopes: &'static [Scope]) -> impl Iterator<Item = Delivery> {
    scopes.iter().map(|scope| Delivery::new(*scope))
}

fn merged(scopes: &'static [Scope]) -> impl Iterator<Item = Delivery> {
    whole(scopes).map(Delivery::merged)
}

fn deep() -> impl Iterator<Item = Delivery> {
    whole(DEEP).chain(merged(MERGED_DEEP))
}

fn all_names() -> Vec<&'static str> {
    SMALL.iter().chain(MERGED).chain(DEEP).chain(MERGED_DEEP).map(|scope| scope.name).collect()
}
