//! The figures of a comparison as Markdown: one column a server, beside each figure how ours stands
//! to it, and under it what each figure's acknowledgement is worth.

use serde_json::Value;

use super::kind::{Kind, Store};

/// Which way a figure is good.
#[derive(Clone, Copy, PartialEq)]
enum Good {
    Large,
    Small,
}

/// One line: the load and the field of its report, median of all rounds.
struct Row {
    label: &'static str,
    load: &'static str,
    field: &'static str,
    good: Good,
}

const fn row(label: &'static str, load: &'static str, field: &'static str, good: Good) -> Row {
    Row { label, load, field, good }
}

/// What depends on the link.
const LINK_ROWS: [Row; 16] = [
    row(
        "user memory of an idle connection, bytes",
        "idle",
        "/user_bytes_per_connection",
        Good::Small,
    ),
    row(
        "kernel's for its socket, bytes",
        "idle",
        "/kernel_socket_bytes_per_connection",
        Good::Small,
    ),
    row("all of the kernel's, bytes", "idle", "/kernel_bytes_per_connection", Good::Small),
    row("server CPU of a login, us", "idle", "/login_server_cpu_us", Good::Small),
    row("idle CPU of a connection, us/s", "idle", "/idle_cpu_us_per_connection_s", Good::Small),
    row(
        "messages a server CPU-second, 1 in flight",
        "chat-1",
        "/messages_per_server_cpu_s",
        Good::Large,
    ),
    row("4 in flight a pair", "chat-4", "/messages_per_server_cpu_s", Good::Large),
    row("16 in flight a pair", "chat-16", "/messages_per_server_cpu_s", Good::Large),
    row("messages/s, 1 in flight", "chat-1", "/messages_per_s", Good::Large),
    row("messages/s, 16 in flight", "chat-16", "/messages_per_s", Good::Large),
    row("half load, messages/s", "chat-1", "/half_load/messages_per_s", Good::Large),
    row("there: accepted p50, ms", "chat-1", "/half_load/accepted_ms/p50", Good::Small),
    row("accepted p99, ms", "chat-1", "/half_load/accepted_ms/p99", Good::Small),
    row("delivered p50, ms", "chat-1", "/half_load/delivery_ms/p50", Good::Small),
    row("delivered p99, ms", "chat-1", "/half_load/delivery_ms/p99", Good::Small),
    row("reported delivered p99, ms", "chat-1", "/half_load/done_ms/p99", Good::Small),
];

/// What depends on the store.
const STORE_ROWS: [Row; 5] = [
    row("enqueued/s", "offline", "/enqueue_per_s", Good::Large),
    row("server CPU of each, us", "offline", "/enqueue_server_cpu_us_per_message", Good::Small),
    row("accepted p99, ms", "offline", "/accepted_ms/p99", Good::Small),
    row("drained/s", "offline", "/drain_messages_per_s", Good::Large),
    row("server CPU of each, us", "offline", "/drain_server_cpu_us_per_message", Good::Small),
];

const ABOUT: &str = "\
A message is whole when it was sent, accepted, delivered, acknowledged by its recipient and reported
delivered to its sender (MQTT: QoS 1 on both hops and a receipt as a second message; XMPP: stream management
and XEP-0184). In brackets: how often better ours is, so 2.0x is half of a cost or twice a rate. Figures of
quick runs mean nothing. Ours is always encrypted. Half load is half of the server's own rate with one in
flight, so each server has its own; latencies are compared at that.";

const GUARANTEES: &str = "\
What \"accepted\" says:

- **godwit**: the message is in the store and the store was synced to the disk. It survives the end of the
  process and of the machine's power.
- **mosquitto** acknowledges QoS 1 when the broker has the message in its memory. By default it writes its
  store every 30 minutes and at a clean end; *synced* is `autosave_on_changes` with an interval of 1, which
  writes and syncs the whole store anew after changes: its cost grows with what waits, and the
  acknowledgement does not wait for it.
- **ejabberd** acknowledges a stanza when its session has handled it. By default what waits for absent
  accounts is in Mnesia, which writes behind; *synced* is SQLite, one transaction a message before the
  acknowledgement.
- **prosody** acknowledges a stanza when it has handled it. By default what waits is appended to one file an
  account, not synced; *synced* is SQLite, one transaction a message before the acknowledgement.

SIGKILL ends a process and leaves the kernel's cache: what was written and not synced survives it, and does
not survive a loss of power. So a zero in the line of losses is necessary for durability and, for all but
synced stores, not sufficient. A message that a server gave back to its sender is not counted as lost.";

/// Everything as Markdown.
pub(super) fn markdown(all: &Value) -> String {
    let mut text = String::from("# Godwit beside other servers\n\n");
    text += &conditions(all);
    text += &format!("\n{ABOUT}\n\n");
    let links = columns(|kind| [false, true].map(|tls| link_column(kind, tls)));
    text += &table("connections and chats", all, &links, &LINK_ROWS, &[]);
    let stores = columns(|kind| Store::BOTH.map(|store| store_column(kind, store)));
    let losses = ["lost", "duplicated"].map(|field| losses(field, all, &stores));
    text += &table("messages to the absent", all, &stores, &STORE_ROWS, &losses);
    text + GUARANTEES + "\n"
}

/// Title, and name in the runs.
type Column = (String, String);

fn columns(of: impl Fn(Kind) -> [Column; 2]) -> Vec<Column> {
    let ours = ("godwit".to_owned(), "godwit".to_owned());
    std::iter::once(ours).chain(Kind::ALL.into_iter().flat_map(of)).collect()
}

fn link_column(kind: Kind, tls: bool) -> Column {
    let (title, link) = if tls { (" TLS", "tls") } else { ("", "plain") };
    (format!("{}{title}", kind.name()), format!("{}-{link}-default", kind.name()))
}

fn store_column(kind: Kind, store: Store) -> Column {
    (format!("{} {}", kind.name(), store.name()), format!("{}-plain-{}", kind.name(), store.name()))
}

fn conditions(all: &Value) -> String {
    let ran = |run: &&Value| run["report"].is_object();
    let first = all["runs"].as_array().into_iter().flatten().find(ran);
    let conditions = first.map(|run| &run["report"]["conditions"]).unwrap_or(&Value::Null);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let versions: Vec<String> = all["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", text(version)))
        .collect();
    let others = most(all, "/report/others_cpus");
    let missing: Vec<String> = all["missing"].as_array().into_iter().flatten().map(text).collect();
    let mut said = format!(
        "{}{}, rounds: {}; {}, kernel {}, data on {}; at most {others:.2} CPUs busy with something else.\n\
         Servers: godwit {}, {}.\n",
        text(&all["date"]),
        if all["quick"] == true { " (quick run: figures mean nothing)" } else { "" },
        all["rounds"],
        text(&conditions["cpu_model"]),
        text(&conditions["kernel"]),
        text(&conditions["data_filesystem"]),
        text(&conditions["version"]),
        versions.join(", "),
    );
    if !missing.is_empty() {
        said += &format!("**Missing: {}.**\n", missing.join(", "));
    }
    said
}

fn most(all: &Value, field: &str) -> f64 {
    let runs = all["runs"].as_array().into_iter().flatten();
    runs.filter_map(|run| run.pointer(field)?.as_f64()).fold(0.0, f64::max)
}

/// One table of the columns that were run.
fn table(
    title: &str,
    all: &Value,
    columns: &[Column],
    rows: &[Row],
    more: &[Vec<String>],
) -> String {
    let here: Vec<bool> = columns.iter().map(|(_, server)| has_run(all, server)).collect();
    let mut lines = Vec::new();
    let titles = columns.iter().map(|(title, _)| title.clone());
    lines.push(line(title, titles, &here));
    lines.push(line("---", columns.iter().map(|_| "---:".to_owned()), &here));
    for row in rows {
        let ours = median(all, "godwit", row);
        let cells = columns.iter().map(|(_, server)| match server.as_str() {
            "godwit" => ours.map_or("-".to_owned(), short),
            server => beside(median(all, server, row), ours, row.good),
        });
        lines.push(line(row.label, cells, &here));
    }
    for cells in more {
        let label = cells.first().map_or("", String::as_str);
        lines.push(line(label, cells.iter().skip(1).cloned(), &here));
    }
    lines.join("\n") + "\n\n"
}

fn line(label: &str, cells: impl Iterator<Item = String>, here: &[bool]) -> String {
    let cells = cells.zip(here).filter(|(_, here)| **here).map(|(cell, _)| cell);
    format!("| {label} | {} |", cells.collect::<Vec<_>>().join(" | "))
}

fn runs<'a>(all: &'a Value, server: &'a str) -> impl Iterator<Item = &'a Value> {
    all["runs"].as_array().into_iter().flatten().filter(move |run| run["server"] == server)
}

fn has_run(all: &Value, server: &str) -> bool {
    runs(all, server).next().is_some()
}

fn median(all: &Value, server: &str, row: &Row) -> Option<f64> {
    let loads = runs(all, server).filter(|run| run["load"] == row.load);
    let mut figures: Vec<f64> =
        loads.filter_map(|run| run["report"].pointer(row.field)?.as_f64()).collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        1 => figures.get(middle).copied(),
        _ => Some((figures.get(middle.checked_sub(1)?)? + figures.get(middle)?) / 2.0),
    }
}

/// A figure of somebody else's, and how often better ours is.
fn beside(theirs: Option<f64>, ours: Option<f64>, good: Good) -> String {
    let Some(theirs) = theirs else { return "-".to_owned() };
    let ratio = ours.map(|ours| match good {
        Good::Large => ours / theirs,
        Good::Small => theirs / ours,
    });
    match ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0) {
        Some(ratio) => format!("{} ({}x)", short(theirs), short(ratio)),
        None => short(theirs),
    }
}

/// How many of how many, over all rounds: label first, then a cell for each column.
fn losses(field: &str, all: &Value, columns: &[Column]) -> Vec<String> {
    let cell = |server: &str| {
        let kills = || runs(all, server).filter(|run| run["load"] == "kill");
        let sum =
            |field: &str| kills().filter_map(|run| run["report"][field].as_u64()).sum::<u64>();
        match kills().any(|run| run["report"].is_object()) {
            true => format!(
                "{} of {}",
                grouped(&sum(field).to_string()),
                grouped(&sum("accepted").to_string())
            ),
            false => "-".to_owned(),
        }
    };
    let label = format!("{field} after SIGKILL, of accepted");
    std::iter::once(label).chain(columns.iter().map(|(_, server)| cell(server))).collect()
}

/// Three digits are what a measurement is worth.
fn short(figure: f64) -> String {
    let digits = match figure.abs() {
        100.0.. => 0,
        10.0.. => 1,
        0.0 => 0,
        _ => 2,
    };
    grouped(&format!("{figure:.digits$}"))
}

/// Thousands of a number set apart; what has decimals here is too small to have any.
fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    if digits.contains('.') {
        return number.to_owned();
    }
    let mut grouped = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(server: &str, load: &str, report: &Value) -> Value {
        json!({ "server": server, "load": load, "round": 1, "report": report })
    }

    fn sample() -> Value {
        let rate = |rate: f64| json!({ "messages_per_server_cpu_s": rate });
        let killed = |lost: u64| json!({ "accepted": 10_000, "lost": lost, "duplicated": 0 });
        json!({ "date": "2026-01-02", "quick": false, "rounds": 3, "missing": ["prosody"],
            "versions": { "mosquitto": "2.0.11" }, "runs": [
            run("godwit", "chat-16", &rate(230_478.0)), run("godwit", "kill", &killed(0)),
            run("mosquitto-tls-default", "chat-16", &rate(10_000.0)),
            run("mosquitto-tls-default", "chat-16", &rate(99_000.0)),
            run("mosquitto-tls-default", "chat-16", &rate(15_316.0)),
            run("mosquitto-plain-default", "kill", &killed(10_000)),
            run("mosquitto-plain-default", "kill", &Value::Null),
        ]})
    }

    #[test]
    fn a_table_has_a_column_for_each_server_that_ran_and_medians_with_ratios() {
        let text = markdown(&sample());
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        assert_eq!(
            line("| connections"),
            "| connections and chats | godwit | mosquitto | mosquitto TLS |"
        );
        assert_eq!(line("| 16 in"), "| 16 in flight a pair | 230,478 | - | 15,316 (15.0x) |");
        assert_eq!(
            line("| lost"),
            "| lost after SIGKILL, of accepted | 0 of 10,000 | 10,000 of 10,000 |"
        );
        assert!(text.contains("**Missing: prosody.**"), "{text}");
    }

    #[test]
    fn a_cost_is_better_when_it_is_small() {
        assert_eq!(beside(Some(15_000.0), Some(600.0), Good::Small), "15,000 (25.0x)");
        assert_eq!(beside(Some(0.5), Some(1.0), Good::Small), "0.50 (0.50x)");
        assert_eq!(beside(Some(0.0), Some(1.0), Good::Small), "0");
        assert_eq!(beside(None, Some(1.0), Good::Large), "-");
        assert_eq!(
            [1_234_567.0, 999.0, -7_000.0, 0.0].map(short),
            ["1,234,567", "999", "-7,000", "0"]
        );
    }
}
