//! Options of the loads that are about messages and signals between devices.

use clap::Args;

use crate::work::{bystanders, chat, group, offline, overload, presence, relay, storm};

/// Options of `chat`.
#[derive(Debug, Args)]
pub struct OwnChat {
    #[command(flatten)]
    chat: Chat,
    /// Connections that only stay meanwhile: with two of each pair 19,000
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(chat::BESIDE_MAX)))]
    beside: u32,
}

impl OwnChat {
    pub(super) fn connections(&self) -> u32 {
        2 * self.chat.pairs + self.beside
    }

    /// As a plan.
    pub fn plan(&self) -> chat::Plan {
        chat::Plan { beside: self.beside, ..self.chat.plan() }
    }
}

/// Options of `chat` on any server.
#[derive(Debug, Args)]
pub struct Chat {
    /// Senders, each with a recipient of its own
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(chat::PAIRS_MAX)))]
    pairs: u32,
    /// Messages of one sender on their way at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(chat::WINDOW_MAX)))]
    window: u32,
    /// Seconds that are measured
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Messages a second in all, evenly, instead of full windows
    #[arg(long, value_name = "PER_S", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Then measure again at half the rate that was reached: latency without queues
    #[arg(long)]
    half: bool,
    /// Bytes of a sealed copy
    #[arg(long, default_value_t = 136, value_parser = clap::value_parser!(u16).range(8..=48_000))]
    body: u16,
}

impl Chat {
    /// As a plan.
    pub fn plan(&self) -> chat::Plan {
        let Self { pairs, window, seconds, rate, half, body } = *self;
        chat::Plan {
            pairs,
            beside: 0,
            window,
            seconds,
            body_bytes: body.into(),
            rate: rate.map(f64::from),
            half,
            warm_up: chat::WARM_UP,
            patience: chat::PATIENCE,
        }
    }
}

/// Options of `offline`.
#[derive(Debug, Args)]
pub struct Offline {
    #[command(flatten)]
    absence: Absence,
    /// Start the server again before the drain
    #[arg(long, conflicts_with = "join")]
    restart: bool,
    /// Kill the server with SIGKILL after the last acceptance, and start it again before the drain
    #[arg(long, conflicts_with_all = ["join", "restart"])]
    kill: bool,
}

impl Offline {
    /// As a plan.
    pub fn plan(&self) -> offline::Plan {
        let meanwhile = match (self.restart, self.kill) {
            (_, true) => offline::Meanwhile::IsKilled,
            (true, false) => offline::Meanwhile::Restarts,
            (false, false) => offline::Meanwhile::Stays,
        };
        self.absence.plan(meanwhile)
    }
}

/// Who is away, and what is sent to them.
#[derive(Debug, Args)]
pub struct Absence {
    /// Devices that are away
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=9_500))]
    users: u32,
    /// Messages for each of them
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    each: u32,
    /// Devices that send
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=9_500))]
    senders: u32,
    /// Submissions of one sender that are not accepted yet
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(chat::WINDOW_MAX)))]
    window: u32,
    /// Bytes of a sealed copy
    #[arg(long, default_value_t = 136, value_parser = clap::value_parser!(u16).range(8..=48_000))]
    body: u16,
}

impl Absence {
    pub(super) fn plan(&self, meanwhile: offline::Meanwhile) -> offline::Plan {
        let Self { users, each, senders, window, body } = *self;
        let senders = senders.min(users); // one without users would have nobody to send to
        offline::Plan { users, each, senders, window, body_bytes: body.into(), meanwhile }
    }
}

/// Options of `group`.
#[derive(Debug, Args)]
pub struct Group {
    /// Members of the group, the sender among them
    #[arg(long, default_value_t = group::MEMBERS_MAX, value_parser = clap::value_parser!(u32).range(2..=i64::from(group::MEMBERS_MAX)))]
    members: u32,
    /// Messages, one after another
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    messages: u32,
    /// Bytes of the ciphertext
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u16).range(8..=48_000))]
    body: u16,
}

impl Group {
    /// As a plan.
    pub fn plan(&self) -> group::Plan {
        let Self { members, messages, body } = *self;
        group::Plan { members, messages, body_bytes: body.into() }
    }
}

/// Options of `relay`.
#[derive(Debug, Args)]
pub struct Relay {
    /// Devices that type, and as many that are told
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(relay::PAIRS_MAX)))]
    pairs: u32,
    /// Signals in one write: so many devices type to as many each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(relay::WINDOW_MAX)))]
    window: u32,
    /// Seconds that are measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl Relay {
    /// As a plan.
    pub fn plan(&self) -> relay::Plan {
        let Self { pairs, window, seconds } = *self;
        let (settle, patience) = (presence::SETTLE, presence::PATIENCE);
        relay::Plan { pairs, window, seconds, settle, patience }
    }
}

/// Options of `overload`.
#[derive(Debug, Args)]
pub struct Overload {
    /// Senders, each with a recipient of its own
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(chat::PAIRS_MAX)))]
    pairs: u32,
    /// Messages of one sender on their way at once while the peak is measured
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=i64::from(chat::WINDOW_MAX)))]
    window: u32,
    /// Seconds that the peak is measured, and each of the loads
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Bytes of a sealed copy
    #[arg(long, default_value_t = 136, value_parser = clap::value_parser!(u16).range(8..=48_000))]
    body: u16,
}

impl Overload {
    /// As a plan.
    pub fn plan(&self) -> overload::Plan {
        let Self { pairs, window, seconds, body } = *self;
        overload::Plan {
            pairs,
            window,
            seconds,
            body_bytes: body.into(),
            steps: overload::STEPS.to_vec(),
            warm_up: chat::WARM_UP,
            patience: chat::PATIENCE,
        }
    }
}

/// Options of `bystanders`.
#[derive(Debug, Args)]
pub struct Bystanders {
    /// Pairs that chat
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(storm::PAIRS_MAX)))]
    pairs: u32,
    /// Messages a second of all pairs together
    #[arg(long, default_value_t = 500, value_name = "PER_S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Devices that are sent to and stop reading
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=i64::from(bystanders::READERS_MAX)))]
    readers: u32,
    /// Messages of one sender in the large mailbox; a server of --join with default settings takes 5,000,
    /// half of its mailbox.records_max
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(bystanders::RECORDS_MAX)))]
    records: u32,
    /// Seconds that each is measured; the large mailbox for as long as it drains
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl Bystanders {
    /// As a plan.
    pub fn plan(&self) -> bystanders::Plan {
        let Self { pairs, rate, readers, records, seconds } = *self;
        bystanders::Plan {
            pairs,
            rate: rate.into(),
            readers,
            feed_every: bystanders::FEED_EVERY,
            feed_bytes: bystanders::FEED_BYTES,
            records,
            seconds,
            warm_up: chat::WARM_UP,
            patience: chat::PATIENCE,
        }
    }
}
