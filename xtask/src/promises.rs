//! What the pages promise, against what is there: each row of the threat model has a test behind it, each
//! test that is named exists, and each promise of `docs/ops/promises.md` has a command that runs something.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::CommandFactory;

    use crate::Args;
    use crate::shell::root;

    fn page(name: &str) -> String {
        fs::read_to_string(root().join("docs").join(name)).expect(name)
    }

    /// The cells of the tables of a page, row by row, without the heads.
    fn rows(page: &str) -> Vec<Vec<String>> {
        let lines: Vec<&str> = page.lines().collect();
        let is_line = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("|---"));
        let is_row = |at: &usize| lines[*at].starts_with('|') && !is_line(*at) && !is_line(*at + 1);
        let cells = |line: &str| {
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
        };
        (0..lines.len()).filter(is_row).map(|at| cells(lines[at])).collect()
    }

    fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                found.push((path, text));
            }
        }
    }

    #[test]
    fn every_row_of_the_threat_model_names_a_test() {
        let threats = page("threats.md");
        // What is protected by what is no claim.
        let (_, claims) = threats.split_once("\n## The network").expect("the first adversary");
        let rows = rows(claims);
        assert!(rows.len() > 40, "only {}", rows.len());
        for row in rows {
            let test = row.last().expect("cells");
            assert!(test.contains(".rs::"), "no test behind: {}", row.join(" | "));
        }
    }

    #[test]
    fn every_test_that_a_page_names_exists() {
        for name in ["threats.md", "authority.md", "ops/promises.md"] {
            let page = page(name);
            for (file, test) in page.split('`').filter_map(|quoted| quoted.split_once(".rs::")) {
                let source = root().join("crates").join(format!("{file}.rs"));
                let source = fs::read_to_string(&source)
                    .unwrap_or_else(|error| panic!("{name}: {file}.rs: {error}"));
                let is_there = source.contains(&format!("fn {test}("));
                assert!(is_there, "{name}: no test {test} in {file}.rs");
            }
        }
    }

    fn folder_of(package: &str) -> PathBuf {
        match package.strip_prefix("godwit-") {
            Some(name) => root().join("crates").join(name),
            None => root().join(package),
        }
    }

    /// Whether a filter of tests meets a test's name, or a module of tests.
    fn meets(package: &str, filter: &str) -> bool {
        let mut found = Vec::new();
        sources(&folder_of(package), &mut found);
        found.iter().any(|(path, text)| {
            let is_module = path.file_stem().is_some_and(|stem| stem == filter);
            let names = text.lines().filter_map(|line| line.split_once("fn ")?.1.split_once('('));
            is_module || names.map(|(name, _)| name).any(|name| name.contains(filter))
        })
    }

    #[test]
    fn every_promise_has_a_command_that_runs_something() {
        let program = Args::command();
        let rows = rows(&page("ops/promises.md"));
        assert!(rows.len() > 10, "only {}", rows.len());
        for row in rows {
            let [promise, shown] = row.as_slice() else { panic!("{row:?}") };
            let command = shown.split('`').nth(1).unwrap_or_else(|| panic!("nothing: {promise}"));
            let words: Vec<&str> = command.split(' ').collect();
            let is_there = match words.as_slice() {
                ["cargo", "xtask", task, ..] => program.find_subcommand(task).is_some(),
                ["cargo", "nextest", "run", "-p", package, "--test", file] => {
                    folder_of(package).join(format!("tests/{file}.rs")).exists()
                }
                ["cargo", "nextest", "run", "-p", package, filter]
                | ["cargo", "nextest", "run", "-p", package, "--features", _, filter]
                | ["cargo", "test", "-p", package, filter] => meets(package, filter),
                ["cargo", "nextest", "run", "-p", package] => folder_of(package).exists(),
                _ => panic!("a command of another form, tell this test of it: {command}"),
            };
            assert!(is_there, "{command} runs nothing: {promise}");
        }
    }
}
