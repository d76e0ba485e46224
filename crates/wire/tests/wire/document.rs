//! `docs/protocol.md` against the code: a table that a stranger builds a client from must be right.

use godwit_wire::Refusal;

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

#[test]
fn the_table_of_refusals_is_the_enum() {
    let rows: Vec<&str> = PROTOCOL
        .lines()
        .skip_while(|line| *line != "## Refusals")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| ") && !line.starts_with("| number"))
        .collect();
    let expected: Vec<String> = Refusal::ALL
        .iter()
        .map(|refusal| {
            let retry = if refusal.retryable() { "yes" } else { "no" };
            let (number, name) = (refusal.number(), refusal.name());
            format!("| {number} | {name} | {retry} | {} | {} |", refusal.text(), refusal.advice())
        })
        .collect();
    assert_eq!(rows, expected, "\n{}", expected.join("\n"));
}
