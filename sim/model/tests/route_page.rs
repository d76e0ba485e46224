//! The steps of the model are those of `docs/route.md`: every function that the page names for a text message is a
//! step here, or part of one that is named; every step is on the page, or named as one that is not.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use godwit_model::action::{FOLDED, OFF_ROUTE};
use godwit_model::check::walk;
use godwit_model::delivery::Delivery;
use godwit_model::scope::{Budget, Scope};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// File and function of every step of a text message: the page up to what is different with files and groups.
fn route(page: &str) -> BTreeSet<(&str, &str)> {
    let text = page.split("\n## With a file").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, file, functions] = cells.as_slice() else { unreachable!("not three cells: {row}") };
        let file = quoted(file).next().unwrap();
        quoted(functions).map(move |function| (file, function))
    })
    .collect()
}

/// Every kind of step that happens in the model.
fn steps() -> BTreeSet<(&'static str, &'static str)> {
    let two = |budget| {
        let scope = Scope { name: "steps", messages: [2, 0], devices: 1, budget };
        walk(&Delivery::new(scope)).places
    };
    let mut steps = two(Budget { refusals: 1, ..Budget::default() });
    steps.extend(two(Budget { cuts: 1, ..Budget::default() }));
    steps.extend(two(Budget { finals: 1, ..Budget::default() }));
    steps
}

#[test]
fn every_step_of_the_route_is_one_of_the_model() {
    let page = std::fs::read_to_string(root().join("docs/route.md")).unwrap();
    let (route, steps) = (route(&page), steps());
    assert!(route.len() > 40, "the route was cut short: {}", route.len());
    let folded: BTreeSet<_> = FOLDED.iter().map(|(part, _)| *part).collect();
    let off_route: BTreeSet<_> = OFF_ROUTE.iter().copied().collect();
    let modelled: BTreeSet<_> = steps.union(&folded).copied().collect();

    let missing: Vec<_> = route.difference(&modelled).collect();
    assert!(missing.is_empty(), "on the page and not in the model: {missing:?}");
    let unknown: Vec<_> = modelled.difference(&route).filter(|p| !off_route.contains(*p)).collect();
    assert!(unknown.is_empty(), "in the model and not on the page: {unknown:?}");
    let idle: Vec<_> = off_route.difference(&steps).collect();
    assert!(idle.is_empty(), "named as off the route and never done: {idle:?}");
    for (part, whole) in FOLDED {
        assert!(steps.contains(whole), "{part:?} is folded into {whole:?}, which is never done");
        assert!(!steps.contains(part), "{part:?} is a step and folded into another");
    }
}

#[test]
fn what_is_off_the_route_exists() {
    for (file, function) in OFF_ROUTE {
        let source = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(source.contains(&format!("fn {function}(")), "there is no fn {function} in {file}");
    }
}
