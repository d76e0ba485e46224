//! Every key of the configuration, told once: the example file and `docs/config.md` come from here.

use std::fmt::Write as _;

/// One key.
pub(super) struct Key {
    /// Section, empty for the top.
    section: &'static str,
    name: &'static str,
    /// Default as TOML, or empty if the key has none.
    default: &'static str,
    /// Unit, or the allowed words.
    unit: &'static str,
    /// What it does.
    text: &'static str,
    /// Where the default comes from.
    source: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    unit: &'static str,
    text: &'static str,
    source: &'static str,
) -> Key {
    Key { section, name, default, unit, text, source }
}

/// In the order of the file: top, then section by section.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("", "data", "", "folder", "Where accounts, mailboxes and the server key are kept. Without it: $XDG_DATA_HOME/godwit, or ~/.local/share/godwit. `--data` wins over it.", "the XDG base directory convention"),
    key("", "listen", "\"127.0.0.1:7373\"", "address:port", "Where to listen; port 0 takes any free port. `--listen` wins over it.", "loopback: nobody else reaches a server that was not set up"),
    key("", "public_address", "", "host:port", "What the join link shows, when clients reach the server by another name than it listens on.", "none: the address listened on"),
    key("", "workers", "0", "threads", "Threads that serve sessions; 0 is one a core.", "sessions never wait for the disk, so more threads gain nothing"),
    key("admission", "policy", "\"open\"", "open | invite", "Who may register: anybody, or who has a code from `godwitd invite`.", "open, because the default server listens on loopback only"),
    key("session", "connections_max", "1000000", "connections", "Connections at once; more are refused with Busy.", "4.7 KB each with the kernel's share is 4.7 GB"),
    key("session", "handshakes_max", "1024", "connections", "Connections that have not finished their handshake; more wait in the listen queue.", "at 6,000 handshakes a second and core this is 0.2 s of work"),
    key("session", "handshake_timeout_ms", "10000", "ms", "From accept to the end of the handshake.", "three round trips on a 2G network with one loss"),
    key("session", "unsent_behind_bytes", "262144", "bytes", "Unsent bytes above which a session gets no more records; they stay in the mailbox.", "26 s of a 2G link; four largest frames"),
    key("session", "unsent_close_bytes", "1048576", "bytes", "Unsent bytes above which a session is closed.", "1,000 such peers hold 1 GB"),
    key("rate", "submissions_per_s", "20000", "1/s", "Copies of messages, one for each recipient device, that one device may submit a second, sustained.", "above what one client seals; stops a runaway loop"),
    key("rate", "submissions_burst", "100000", "copies", "Copies that a device may submit at once before the rate holds; dialling anew gives no second one. With less than a tenth of the rate, who was refused gets less than the rate: he waits for 100 ms at least.", "a file of 100,000 lines piped into `godwit send --lines`"),
    key("rate", "registrations_per_hour", "60", "1/h", "Accounts an hour from one address; loopback is exempt.", "a class of pupils behind one address"),
    key("rate", "lookups_per_hour", "2000", "1/h", "Handles and accounts an hour that one device may look up, taking keys or not; beyond it the look-up is refused for a while. A handle that nobody has counts as 20. It bounds how fast handles can be tried out.", "the members of two groups of the largest size at once"),
    key("rate", "new_conversations_per_day", "2000", "1/d", "Accounts a day to which one account may write without having written with them since the server started, in either direction; beyond it the message is refused for good. What goes to others is not held up.", "the members of two groups of the largest size, whom a key goes to one by one"),
    key("rate", "key_fetches_per_hour", "1000", "1/h", "Times an hour that one device may take one-time keys; beyond it the answer has the fallback key only.", "three groups of the largest size"),
    key("rate", "key_fetches_per_account_per_hour", "30", "1/h", "The same, of one account by one device.", "drains less than a third of 100 keys an hour"),
    key("mailbox", "records_max", "10000", "records", "Records that a device's mailbox holds; then its senders are told that it is full.", "a month of a busy person's messages"),
    key("mailbox", "bytes_max", "33554432", "bytes", "Bytes of bodies that a device's mailbox holds.", "10,000 records of 3.3 KB"),
    key("mailbox", "expiry_days", "30", "days", "Days after which an undelivered record is dropped.", "invariant M2"),
    key("store", "reserve_bytes", "67108864", "bytes", "Free disk space below which nothing new is stored; acknowledgements go on.", "eight of the largest batches: room for the store to delete"),
    key("store", "cache_bytes", "67108864", "bytes", "RAM for pages of the store.", "holds what a drain of some hundred mailboxes reads again and again; a larger one makes the start slower"),
    key("media", "blob_bytes_max", "2147483648", "bytes", "Bytes of one sealed file.", "a film; 4 hours of upload at 1.2 Mbit/s"),
    key("media", "account_bytes_max", "4294967296", "bytes", "Bytes of all files that an account holds, counted in full from the moment it asks to upload one.", "two of the largest files"),
    key("media", "expiry_days", "30", "days", "Days after which a file goes that not all have fetched.", "as long as the message that names it"),
    key("media", "bucket", "", "name", "Bucket of something that speaks S3, for whole files; uploads under way lie in the data folder all the same. The keys come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Give the bucket a rule that deletes what is two days older than `expiry_days`.", "none: a folder in the data folder"),
    key("media", "endpoint", "", "web address", "Who has the bucket.", "none: Amazon"),
    key("media", "region", "", "name", "Region of the bucket.", "none: AWS_REGION, or us-east-1"),
    key("link", "keepalive_s", "30", "s", "Quiet time after which a client sends one byte, to start with; a session silent for two and a half times this is closed.", "most NATs drop a mapping after 60 s or more"),
    key("link", "keepalive_max_s", "240", "s", "Longest quiet time that a client may choose on a network that keeps quiet connections; less than `keepalive_s` counts as that. A session silent for the time it chose and one and a half times `keepalive_s` is closed.", "an eighth of the bytes and wake-ups; the commonest time-outs are five minutes and more"),
    key("link", "ticket_hours", "72", "h", "How long a resumption ticket is good for; it spares the client's next connect two of three key agreements.", "a phone left at home over a weekend"),
    key("drain", "timeout_ms", "5000", "ms", "Time that sessions have to take their last bytes when the server goes down.", "ten round trips on a 2G network"),
    key("drain", "reconnect_spread_ms", "10000", "ms", "Clients are told to come back after a random time up to this.", "60,000 clients come back at 6,000 handshakes a second"),
    key("http", "metrics", "\"loopback\"", "loopback | anyone | nobody", "Who may read /metrics.", "numbers of a server are its operator's"),
    key("log", "level", "\"info\"", "error | warn | info | debug | trace, or a filter", "Least level that is written to standard error.", "nothing per message at info"),
    key("log", "format", "\"text\"", "text | json", "Form of the log lines.", "people read it first"),
];

impl Key {
    fn path(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

/// A commented file with every key at its default; it parses, and changes nothing.
pub fn example() -> String {
    let mut out = String::from("# Configuration of godwitd. Every key is optional.\n");
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = write!(out, "\n[{section}]\n");
        }
        let _ = write!(out, "\n# {}\n# Unit: {}. Default: {}.\n", key.text, key.unit, key.source);
        let _ = match key.default {
            "" => writeln!(out, "# {} = \"...\"", key.name),
            default => writeln!(out, "{} = {default}", key.name),
        };
    }
    out
}

/// `docs/config.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration of godwitd\n\n\
         A TOML file, given as `godwitd serve --config FILE`. Every key is optional; a key that does \
         not exist is an error, and `godwitd check-config FILE` names it. `godwitd check-config \
         --example` prints a commented file with every key at its default. Options on the command \
         line win over the file.\n\n\
         This page is generated: `godwitd check-config --reference` prints it, and a test compares.\n\n\
         | key | default | unit | what it does | where the default comes from |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = match key.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        let unit = key.unit.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {default} | {unit} | {} | {} |",
            key.path(),
            key.text,
            key.source
        );
    }
    out
}

/// The key that `wrong` resembles most, if any does.
pub(super) fn nearest(wrong: &str) -> Option<&'static str> {
    let name = wrong.rsplit('.').next().unwrap_or(wrong);
    KEYS.iter()
        .map(|key| (distance(name, key.name), key.name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, found)| *distance * 3 <= found.len())
        .map(|(_, found)| found)
}

/// Edits from `a` to `b`: insert, delete, replace. Both are short names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0).max(a.len().saturating_sub(b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError};

    #[test]
    fn the_example_is_the_default() {
        assert_eq!(Config::parse(&example()).unwrap(), Config::default());
    }

    #[test]
    fn every_key_is_told_with_its_true_default() {
        let told: toml::Table = example().parse().unwrap();
        let real = toml::Table::try_from(Config::default()).unwrap();
        assert_eq!(told, real, "a key is missing in KEYS, or its default differs");
    }

    #[test]
    fn the_page_in_docs_is_the_generated_one() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
        assert_eq!(std::fs::read_to_string(page).unwrap(), reference());
    }

    #[test]
    fn a_wrong_key_is_named_with_what_to_do() {
        let wrong = Config::parse("[session]\nconections_max = 5\n").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "line 2: there is no key `session.conections_max`, did you mean `connections_max`?; \
             `godwitd check-config --example` prints every key"
        );
        assert!(matches!(
            Config::parse("[sesion]\n").unwrap_err(),
            ConfigError::UnknownKey { line: 1, key, .. } if key == "sesion"
        ));
    }

    #[test]
    fn a_value_of_the_wrong_type_or_range_is_named() {
        let form = Config::parse("workers = \"two\"").unwrap_err().to_string();
        assert!(form.starts_with("line 1: workers: invalid type"), "{form}");
        let range = Config::parse("[link]\nkeepalive_s = 0").unwrap_err().to_string();
        assert!(range.starts_with("link.keepalive_s = 0 is out of range"), "{range}");
        let order = "[session]\nunsent_behind_bytes = 2097152";
        assert!(matches!(Config::parse(order).unwrap_err(), ConfigError::Order { .. }));
        assert!(matches!(
            Config::parse("public_address = \"chat.example\"").unwrap_err(),
            ConfigError::PublicAddress
        ));
        assert!(matches!(Config::parse("listen = ").unwrap_err(), ConfigError::Form { .. }));
    }

    #[test]
    fn every_number_has_a_range() {
        let real = toml::Table::try_from(Config::default()).unwrap();
        let numbers = KEYS.iter().filter(|key| {
            let section = real.get(key.section).and_then(toml::Value::as_table).unwrap_or(&real);
            section.get(key.name).is_some_and(toml::Value::is_integer)
        });
        for key in numbers {
            let too_much = match key.section {
                "" => format!("{} = {}", key.name, i64::MAX),
                section => format!("[{section}]\n{} = {}", key.name, i64::MAX),
            };
            assert!(Config::parse(&too_much).is_err(), "{}", key.path());
        }
    }

    #[test]
    fn both_sides_of_a_range() {
        for (hours, good) in [(0, false), (1, true), (8_760, true), (8_761, false)] {
            let text = format!("[link]\nticket_hours = {hours}");
            assert_eq!(Config::parse(&text).is_ok(), good, "{hours}");
        }
        for (lookups, good) in [(0, false), (1, true), (1_000_000, true), (1_000_001, false)] {
            let text = format!("[rate]\nlookups_per_hour = {lookups}");
            assert_eq!(Config::parse(&text).is_ok(), good, "{lookups}");
        }
        for (days, good) in [(0, false), (1, true), (3_650, true), (3_651, false)] {
            let text = format!("[mailbox]\nexpiry_days = {days}");
            assert_eq!(Config::parse(&text).is_ok(), good, "{days}");
        }
    }
}
