//! The server's numbers, as `/metrics` shows them. Names are `godwit_<noun>_<unit>_total`; no label
//! has many values.

use std::fmt::Write as _;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Table;

use godwit_store::{MediaStats, Stats};

/// A label with the few values of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    kind: &'static str,
}

/// Counters of one server.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) connections: Family<Kind, Counter>,
    pub(crate) handshakes: Family<Kind, Counter>,
    pub(crate) sessions_closed: Family<Kind, Counter>,
    pub(crate) session_panics: Counter,
    pub(crate) slow_turns: Counter,
    pub(crate) stuck_turns: Counter,
    pub(crate) runtime_stalls: Counter,
    pub(crate) store_stalls: Counter,
    pub(crate) holds: Counter,
    pub(crate) submissions: Counter,
    pub(crate) accepted: Counter,
    pub(crate) refused: Family<Kind, Counter>,
    pub(crate) delivered: Counter,
    pub(crate) receipts: Counter,
    pub(crate) acknowledgements: Counter,
    pub(crate) records_behind: Counter,
    pub(crate) presences: Counter,
    pub(crate) presences_passed_over: Counter,
    pub(crate) presences_held: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) registrations: Family<Kind, Counter>,
    pub(crate) lists: Family<Kind, Counter>,
    pub(crate) claims: Family<Kind, Counter>,
    pub(crate) relayed: Counter,
    pub(crate) uploads: Family<Kind, Counter>,
    pub(crate) downloads: Family<Kind, Counter>,
    pub(crate) media_refused: Family<Kind, Counter>,
    pub(crate) media_in: Counter,
    pub(crate) media_out: Counter,
    pub(crate) media_blobs: Gauge,
    pub(crate) media_bytes: Gauge,
    pub(crate) reports: Family<Kind, Counter>,
}

impl Meters {
    /// Notes what is looked up at the moment of asking.
    pub(crate) fn look(&self, media: MediaStats) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.media_blobs.set(number(media.blobs));
        self.media_bytes.set(number(media.bytes));
    }

    /// One more of this kind in a family.
    pub(crate) fn count(family: &Family<Kind, Counter>, kind: &'static str) {
        family.get_or_create(&Kind { kind }).inc();
    }

    /// Everything in the text format of Prometheus.
    pub(crate) fn page(&self, sessions: usize, stats: &Stats) -> String {
        let mut table = Table::with_prefix("godwit");
        let mut add = |name: &str, help: &str, counter: &Counter| {
            table.register(name, help, counter.clone());
        };
        add("session_panics", "Sessions that ended by a panic", &self.session_panics);
        add(
            "session_turns_slow",
            "Turns of sessions that took longer than 10 ms",
            &self.slow_turns,
        );
        add(
            "session_turns_stuck",
            "Turns of sessions that had not ended after a second",
            &self.stuck_turns,
        );
        add(
            "runtime_stalls",
            "Times that no worker had time for anybody for 5 s",
            &self.runtime_stalls,
        );
        add(
            "store_stalls",
            "Times that the store's writer was in one batch for 10 s",
            &self.store_stalls,
        );
        add("session_holds", "Times that a session deaf to refusals was not read", &self.holds);
        add("submissions", "Messages that sessions submitted", &self.submissions);
        add("submissions_accepted", "Messages durable and ticked", &self.accepted);
        add("records_delivered", "Messages written to their devices", &self.delivered);
        add("receipts_delivered", "Receipts written to their devices", &self.receipts);
        add("acknowledgements", "Acknowledgements taken", &self.acknowledgements);
        add(
            "records_behind",
            "Records not handed over because an inbox was full",
            &self.records_behind,
        );
        add("relay_messages", "Messages left at a rendezvous", &self.relayed);
        add("presences_told", "States of presence written to devices", &self.presences);
        add(
            "presences_passed_over",
            "Messages about presence beyond the rate of their device",
            &self.presences_passed_over,
        );
        add(
            "presences_held",
            "Changes of presence that had to wait for another second",
            &self.presences_held,
        );
        add("link_received_bytes", "Bytes read from links", &self.bytes_in);
        add("link_sent_bytes", "Bytes written to links", &self.bytes_out);
        add("media_received_bytes", "Bytes of files received", &self.media_in);
        add("media_sent_bytes", "Bytes of files sent", &self.media_out);
        table.register("media_blobs", "Files that are kept", self.media_blobs.clone());
        table.register("media_bytes", "Bytes of files that are kept", self.media_bytes.clone());
        let mut add = |name: &str, help: &str, family: &Family<Kind, Counter>| {
            table.register(name, help, family.clone());
        };
        add("connections", "Connections accepted, by door", &self.connections);
        add("handshakes", "Handshakes, by outcome", &self.handshakes);
        add("sessions_closed", "Sessions ended, by reason", &self.sessions_closed);
        add("submissions_refused", "Messages and requests refused, by reason", &self.refused);
        add("registrations", "Registrations, by outcome", &self.registrations);
        add("device_lists", "Device lists published, by outcome", &self.lists);
        add("claims", "Claims of accounts by their keys, by outcome", &self.claims);
        add("media_uploads", "Files that came whole, by outcome", &self.uploads);
        add("media_downloads", "Downloads, from the beginning or resumed", &self.downloads);
        add("media_refused", "Requests for files refused, by reason", &self.media_refused);
        add("reports", "Reports to the operator, by outcome", &self.reports);
        let mut page = gauges(sessions, stats);
        // Writing into a string does not fail.
        let _ = encode(&mut page, &table);
        page
    }
}

/// What is looked up at the moment of asking. In front of the counters: the format ends with "# EOF".
fn gauges(sessions: usize, stats: &Stats) -> String {
    let mut page = String::with_capacity(4_096);
    let mut gauge = |name: &str, help: &str, value: u64| {
        let _ = write!(
            page,
            "# HELP godwit_{name} {help}.\n# TYPE godwit_{name} gauge\ngodwit_{name} {value}\n"
        );
    };
    gauge("sessions_live", "Live sessions", u64::try_from(sessions).unwrap_or(u64::MAX));
    gauge("mailbox_records", "Records in all mailboxes", stats.records);
    gauge("mailbox_bytes", "Bytes of bodies in all mailboxes", stats.bytes);
    gauge("mailboxes_nonempty", "Mailboxes with at least one record", stats.mailboxes);
    gauge("accounts", "Accounts", stats.accounts);
    gauge("devices", "Devices", stats.devices);
    gauge("groups", "Groups", stats.groups);
    gauge("posts", "Messages to groups whose one body still waits for somebody", stats.posts);
    gauge("store_file_bytes", "Bytes that the store takes on disk", stats.file_bytes);
    gauge("store_waiting", "Operations that wait for the next batch", stats.waiting);
    gauge("store_disk_full", "1 while the disk is below its reserve", stats.disk_full.into());
    gauge("store_available", "1 while the store works", stats.available.into());
    let mut counter = |name: &str, help: &str, value: u64| {
        let _ = write!(
            page,
            "# HELP godwit_{name} {help}.\n# TYPE godwit_{name} counter\ngodwit_{name}_total {value}\n"
        );
    };
    counter("store_batches", "Durable batches", stats.batches);
    counter("store_repeats", "Submissions recognised as repeats", stats.repeated);
    counter("store_acknowledged_records", "Records deleted by acknowledgement", stats.acknowledged);
    counter("store_expired_records", "Records expired", stats.expired);
    counter("store_reopened", "Times that the store reopened after a failure", stats.reopened);
    counter(
        "store_scrubbed_rows",
        "Rows whose checksum the scrubber has looked at",
        stats.scrubbed,
    );
    counter("store_scrubs", "Times that the scrubber has read everything", stats.scrubs);
    counter("store_damaged_rows", "Rows that the scrubber found damaged", stats.scrub_damaged);
    for (invariant, count) in godwit_base::violations() {
        let _ =
            writeln!(page, "godwit_invariant_violations_total{{kind=\"{invariant:?}\"}} {count}");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_family_once_and_ends_as_the_format_says() {
        let meters = Meters::default();
        meters.delivered.inc();
        Meters::count(&meters.handshakes, "full");
        let page = meters.page(3, &Stats::default());
        assert!(page.contains("godwit_sessions_live 3\n"), "{page}");
        assert!(page.contains("godwit_records_delivered_total 1\n"), "{page}");
        assert!(page.contains("godwit_handshakes_total{kind=\"full\"} 1\n"), "{page}");
        assert!(page.contains("godwit_invariant_violations_total{kind=\"M7\"} "), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
        let helps: Vec<&str> = page.lines().filter(|l| l.starts_with("# HELP")).collect();
        let mut once = helps.clone();
        once.dedup();
        assert_eq!(helps, once);
    }

    /// The rows of the table in `docs/metrics.md` are those of the page.
    #[test]
    fn the_document_lists_what_is_there() {
        let meters = Meters::default();
        for family in [
            &meters.connections,
            &meters.handshakes,
            &meters.sessions_closed,
            &meters.refused,
            &meters.registrations,
            &meters.lists,
            &meters.claims,
            &meters.uploads,
            &meters.downloads,
            &meters.media_refused,
            &meters.reports,
        ] {
            Meters::count(family, "any");
        }
        let page = meters.page(0, &Stats::default());
        let mut lines = page.lines().peekable();
        let mut rows = Vec::new();
        while let Some(line) = lines.next() {
            let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
            else {
                continue;
            };
            let kind = lines.peek().unwrap().rsplit_once(' ').unwrap().1;
            let total = if kind == "counter" { "_total" } else { "" };
            rows.push(format!("| `{name}{total}` | {kind} | {} |", help.trim_end_matches('.')));
        }
        rows.sort();
        let document = include_str!("../../../docs/metrics.md");
        let listed: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        assert!(listed == rows, "the rows should be:\n{}", rows.join("\n"));
    }
}
