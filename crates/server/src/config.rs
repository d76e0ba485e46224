//! The configuration: a TOML file, every key optional, none unknown. Each key is described once, in
//! `keys`, from which the example file and `docs/config.md` are made.

mod error;
mod keys;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use godwit_base::limits;
use godwit_store::Quotas;
use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use keys::{example, reference};

/// The port when nothing else is said.
pub const DEFAULT_PORT: u16 = 7373;

/// How a server is set up. `Config::default()` is a server for a few friends on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Data folder; none: the user's own (`~/.local/share/godwit`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// `host:port` that the join link shows; none: the address listened on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_address: Option<String>,
    /// Worker threads; 0: one a core.
    pub workers: usize,
    /// Who may register.
    pub admission: Admission,
    /// Bounds of connections and sessions.
    pub session: SessionLimits,
    /// Rates.
    pub rate: Rates,
    /// Bounds of each device's mailbox.
    pub mailbox: MailboxLimits,
    /// The store on disk.
    pub store: StoreLimits,
    /// Files.
    pub media: MediaLimits,
    /// The encrypted link.
    pub link: Link,
    /// How the server goes down.
    pub drain: Drain,
    /// What HTTP shows.
    pub http: Http,
    /// What is logged.
    pub log: Log,
}

/// Who may register.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// The policy.
    pub policy: Policy,
}

/// Who may register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Anybody: for development and trusted networks.
    #[default]
    Open,
    /// Who has an invite code.
    Invite,
}

/// Bounds of connections and sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionLimits {
    /// Live connections, handshakes included.
    pub connections_max: usize,
    /// Connections that have not finished their handshake.
    pub handshakes_max: usize,
    /// From accept to the end of the handshake.
    pub handshake_timeout_ms: u64,
    /// Unsent bytes above which a session gets no more records.
    pub unsent_behind_bytes: usize,
    /// Unsent bytes above which a session is closed.
    pub unsent_close_bytes: usize,
}

/// Rates. A rate refuses; it never delays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Submissions a second and session, sustained.
    pub submissions_per_s: u32,
    /// Submissions a session may make at once.
    pub submissions_burst: u32,
    /// Registrations an hour and address (loopback exempt).
    pub registrations_per_hour: u32,
    /// Look-ups an hour of one device, with and without keys.
    pub lookups_per_hour: u32,
    /// See `docs/config.md`.
    pub new_conversations_per_day: u32,
    /// One-time keys an hour that one device may take, of all others together.
    pub key_fetches_per_hour: u32,
    /// One-time keys an hour that one device may take of one account.
    pub key_fetches_per_account_per_hour: u32,
}

/// Bounds of each device's mailbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailboxLimits {
    /// Records.
    pub records_max: usize,
    /// Bytes of bodies.
    pub bytes_max: u64,
    /// Days until an undelivered record is dropped.
    pub expiry_days: u64,
}

/// The store on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreLimits {
    /// Free space below which nothing new is stored.
    pub reserve_bytes: u64,
    /// RAM for pages of the file.
    pub cache_bytes: usize,
}

/// Files: what is taken, for how long, and where it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaLimits {
    /// Bytes of one sealed file.
    pub blob_bytes_max: u64,
    /// Bytes of all files that an account holds.
    pub account_bytes_max: u64,
    /// Days that a file is kept if not all fetch it.
    pub expiry_days: u64,
    /// Bucket for whole files; none: a folder in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Web address of what has the bucket; none: Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The encrypted link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// Quiet seconds after which a client sends its keepalive.
    pub keepalive_s: u32,
    /// The most quiet seconds that a client may choose.
    pub keepalive_max_s: u32,
    /// Hours a resumption ticket is good for.
    pub ticket_hours: u64,
}

/// How the server goes down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Time for all sessions to take their last bytes.
    pub timeout_ms: u64,
    /// Clients are told to come back after a random time up to this.
    pub reconnect_spread_ms: u32,
}

/// What HTTP shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Who may read `/metrics`.
    pub metrics: MetricsFor,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsFor {
    /// Clients on this machine.
    #[default]
    Loopback,
    /// Anybody who reaches the port.
    Anyone,
    /// Nobody.
    Nobody,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least level, or a filter such as `info,godwit_server=debug`.
    pub level: String,
    /// Form of the lines.
    pub format: LogFormat,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: None,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            public_address: None,
            workers: 0,
            admission: Admission::default(),
            session: SessionLimits::default(),
            rate: Rates::default(),
            mailbox: MailboxLimits::default(),
            store: StoreLimits::default(),
            media: MediaLimits::default(),
            link: Link::default(),
            drain: Drain::default(),
            http: Http::default(),
            log: Log::default(),
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            handshakes_max: 1_024,
            handshake_timeout_ms: 10_000,
            unsent_behind_bytes: 256 * 1024,
            unsent_close_bytes: 1024 * 1024,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            submissions_per_s: 20_000,
            submissions_burst: 100_000,
            registrations_per_hour: 60,
            lookups_per_hour: 2_000,
            new_conversations_per_day: 2_000,
            key_fetches_per_hour: 1_000,
            key_fetches_per_account_per_hour: 30,
        }
    }
}

impl Default for MailboxLimits {
    fn default() -> Self {
        let quotas = Quotas::default();
        Self {
            records_max: quotas.records,
            bytes_max: quotas.bytes,
            expiry_days: quotas.expiry_days,
        }
    }
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { reserve_bytes: 64 * 1024 * 1024, cache_bytes: 64 * 1024 * 1024 }
    }
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            blob_bytes_max: 2 << 30,
            account_bytes_max: 4 << 30,
            expiry_days: limits::EXPIRY_DAYS,
            bucket: None,
            endpoint: None,
            region: None,
        }
    }
}

impl Link {
    /// The most quiet seconds that a client is told it may choose.
    pub(crate) fn longest_keepalive_s(&self) -> u32 {
        self.keepalive_max_s.max(self.keepalive_s)
    }
}

impl Default for Link {
    fn default() -> Self {
        Self { keepalive_s: limits::KEEPALIVE_S, keepalive_max_s: 240, ticket_hours: 72 }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_ms: 5_000, reconnect_spread_ms: 10_000 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has a key that does not exist, or a value out of its
    /// range. Each error names the key and says what to do.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text)
    }

    /// Reads a configuration from its text.
    ///
    /// # Errors
    /// As [`Config::load`], reading apart.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|cause| ConfigError::of_toml(text, &cause))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (key, value, least, most) in self.ranges() {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::Range { key, value, least, most });
            }
        }
        if self.session.unsent_close_bytes <= self.session.unsent_behind_bytes {
            return Err(ConfigError::Order {
                key: "session.unsent_close_bytes",
                above: "session.unsent_behind_bytes",
            });
        }
        match &self.public_address {
            Some(address) if !is_host_and_port(address) => Err(ConfigError::PublicAddress),
            _ => Ok(()),
        }
    }

    /// Key, value, least and most of every number.
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 26] {
        let size = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (session, mailbox) = (&self.session, &self.mailbox);
        let frame = size(limits::FRAME_BYTES_MAX);
        [
            ("workers", size(self.workers), 0, 1_024),
            ("session.connections_max", size(session.connections_max), 1, 10_000_000),
            ("session.handshakes_max", size(session.handshakes_max), 1, 65_536),
            ("session.handshake_timeout_ms", session.handshake_timeout_ms, 100, 120_000),
            ("session.unsent_behind_bytes", size(session.unsent_behind_bytes), frame, 64 << 20),
            ("session.unsent_close_bytes", size(session.unsent_close_bytes), frame, 256 << 20),
            ("rate.submissions_per_s", self.rate.submissions_per_s.into(), 1, 10_000_000),
            ("rate.submissions_burst", self.rate.submissions_burst.into(), 1, 10_000_000),
            ("rate.registrations_per_hour", self.rate.registrations_per_hour.into(), 1, 1_000_000),
            ("rate.lookups_per_hour", self.rate.lookups_per_hour.into(), 1, 1_000_000),
            (
                "rate.new_conversations_per_day",
                self.rate.new_conversations_per_day.into(),
                1,
                1_000_000,
            ),
            ("rate.key_fetches_per_hour", self.rate.key_fetches_per_hour.into(), 1, 1_000_000),
            (
                "rate.key_fetches_per_account_per_hour",
                self.rate.key_fetches_per_account_per_hour.into(),
                1,
                1_000_000,
            ),
            ("mailbox.records_max", size(mailbox.records_max), 1, 1_000_000),
            ("mailbox.bytes_max", mailbox.bytes_max, frame, 1 << 30),
            ("mailbox.expiry_days", mailbox.expiry_days, 1, 3_650),
            ("store.reserve_bytes", self.store.reserve_bytes, 0, 1 << 50),
            ("store.cache_bytes", size(self.store.cache_bytes), 1 << 20, 1 << 40),
            ("media.blob_bytes_max", self.media.blob_bytes_max, 1 << 10, 1 << 40),
            ("media.account_bytes_max", self.media.account_bytes_max, 1 << 10, 1 << 50),
            ("media.expiry_days", self.media.expiry_days, 1, 3_650),
            ("link.keepalive_s", self.link.keepalive_s.into(), 1, 3_600),
            ("link.keepalive_max_s", self.link.keepalive_max_s.into(), 1, 3_600),
            ("link.ticket_hours", self.link.ticket_hours, 1, 8_760),
            ("drain.timeout_ms", self.drain.timeout_ms, 0, 600_000),
            ("drain.reconnect_spread_ms", self.drain.reconnect_spread_ms.into(), 0, 3_600_000),
        ]
    }
}

fn is_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '#', '@', ' ']) && port.parse::<u16>().is_ok()
    })
}
