//! `docs/route.md` names files and functions; they have to be there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::Path;

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether the source declares this function.
fn declares(source: &str, function: &str) -> bool {
    source
        .match_indices(&format!("fn {function}"))
        .any(|(at, found)| source[at + found.len()..].starts_with(['(', '<']))
}

/// What is wrong with the page, one line each.
fn complaints(page: &str, root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, file, functions] = cells.as_slice() else {
            complaints.push(format!("not three cells: {row}"));
            continue;
        };
        for file in quoted(file) {
            match std::fs::read_to_string(root.join(file)) {
                Err(_) => complaints.push(format!("there is no {file}")),
                Ok(source) => complaints.extend(
                    quoted(functions)
                        .filter(|function| !declares(&source, function))
                        .map(|function| format!("there is no fn {function} in {file}")),
                ),
            }
        }
    }
    complaints
}

#[test]
fn every_file_and_function_of_the_route_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/route.md")).unwrap();
    assert_eq!(complaints(&page, &root), Vec::<String>::new());
    let rows = page.lines().filter(|line| line.contains("| `crates/")).count();
    assert!(rows >= 20, "the route was cut short: {rows} rows");
}

#[test]
fn a_wrong_name_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = "| step | `crates/server/src/router.rs` | `settled`, `settle` |\n\
                | step | `crates/server/src/sink.rs` | `settled` |\n";
    assert_eq!(
        complaints(page, &root),
        [
            "there is no fn settle in crates/server/src/router.rs",
            "there is no crates/server/src/sink.rs"
        ]
    );
}
