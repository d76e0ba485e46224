//! The command line. Names are stable: scripts use them.

mod peer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use godwit_base::JoinLink;

use crate::crowd;
use crate::loss;
use crate::plot::report::Plot;
use crate::proxy::{self, Profile};
use crate::server::Choice;
use crate::work::{
    bystanders, capacity, chat, churn, edge, group, handshake, idle, media, offline, overload,
    presence, profile, relay, store, storm,
};
pub use peer::{Peer, PeerLoad};

/// Loads a Godwit server and tells what it costs.
///
/// Starts a server of its own (godwitd beside this program) on an empty store unless --join names
/// one. Every load is bounded in time and number and ends by itself.
#[derive(Debug, Parser)]
#[command(name = "godwit-bench", version, arg_required_else_help = true)]
pub struct Arguments {
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    pub json: bool,

    /// Also write the report into this folder: JSON, table (Markdown) and picture (SVG); for plot, the
    /// file of its picture
    #[arg(long, global = true, value_name = "PATH")]
    pub out: Option<PathBuf>,

    /// Keep the CPUs from going idle, by spinning at the least priority: needed for latencies on
    /// virtual machines
    #[arg(long, global = true)]
    pub keep_awake: bool,

    /// Which server.
    #[command(flatten)]
    pub site: SiteArguments,

    /// Which load.
    #[command(subcommand)]
    pub load: Load,
}

/// Which server.
#[derive(Debug, Args)]
pub struct SiteArguments {
    /// Load this server instead of one of our own
    #[arg(long, global = true, value_name = "LINK")]
    pub join: Option<JoinLink>,

    /// Process of that server, to read its CPU time and memory
    #[arg(long, global = true, requires = "join", value_name = "PID")]
    pub server_pid: Option<u32>,

    /// Program of our own server [default: godwitd beside this program]
    #[arg(long, global = true, conflicts_with = "join", value_name = "FILE")]
    pub server: Option<PathBuf>,

    /// Folder for the temporary data of our own server, on the disk to be measured [default: the
    /// system's temporary folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Bind our own server to the first CPU and the clients to the others
    #[arg(long, global = true, conflicts_with = "join")]
    pub pin: bool,
}

/// The workloads.
#[derive(Debug, Subcommand)]
pub enum Load {
    /// Connections that only stay: memory and idle CPU time of each
    Idle(Idle),
    /// Pairs that chat, with all acknowledgements: throughput, CPU time and latency
    Chat(OwnChat),
    /// Messages to absent devices, which then come back and drain
    Offline(Offline),
    /// Messages to one large group whose members are all here
    Group(Group),
    /// Full and resumed handshakes
    Handshake(Handshake),
    /// Devices that come and go while others look: CPU time, bytes and latency of each change
    Presence(Presence),
    /// Signals that no store sees, from session to session: CPU time and latency of each
    Relay(Relay),
    /// All dropped at once: how they come back, and what those who stay notice
    Storm(Storm),
    /// Logins and goodbyes at an even rate: CPU time, latency, and memory that is kept
    Churn(Churn),
    /// Half to ten times of what the server can do: what comes through
    Overload(Overload),
    /// Pairs that chat while others stop reading, send without end, or take a large mailbox: what the
    /// pairs notice
    Bystanders(Bystanders),
    /// Devices that live like those of a known fleet: what a connection costs then
    Profile(Fleet),
    /// How many connections this machine carries if they live like that, and what gives way first
    Capacity(Fleet),
    /// A bad network in front of a server, until interrupted
    Proxy(Proxy),
    /// Texts and a photo between two real clients, each behind a bad network of its own
    #[command(name = "2g")]
    Edge(Edge),
    /// A file up and down again with cuts: speed, CPU time and the server's memory
    Media(Media),
    /// The store alone: durable messages over a backlog
    Store(Store),
    /// One of these loads on somebody else's server
    Peer(Peer),
    /// Draws reports of several runs as lines: cost against count, goodput against load
    Plot(Plot),
    /// Holds connections for another process of this program
    #[command(hide = true)]
    Worker {
        /// What to do, as JSON
        order: String,
    },
    /// Keeps one CPU awake until standard input ends
    #[command(hide = true)]
    Spin,
}

/// Options of `idle`.
#[derive(Debug, Args)]
pub struct Idle {
    /// Connections in all; above 19,000 more servers are started
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    connections: u32,
    /// Connections to one server
    #[arg(long, default_value_t = idle::PER_SERVER_MAX,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(idle::PER_SERVER_MAX)))]
    per_server: u32,
    /// Connections being made at once, by each worker
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
    /// Seconds of idling that are measured
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Quiet seconds between the keepalives of a connection, as far as the server allows [default: what it says]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    keepalive: Option<u32>,
}

/// Options of `chat`.
#[derive(Debug, Args)]
pub struct OwnChat {
    #[command(flatten)]
    chat: Chat,
    /// Connections that only stay meanwhile
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(chat::BESIDE_MAX)))]
    beside: u32,
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

/// Options of `media`.
#[derive(Debug, Args)]
pub struct Media {
    /// Bytes of the file; the server's own limit is 2 GiB
    #[arg(long, default_value_t = 300_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1 << 40))]
    bytes: u64,
    /// Cuts in each direction
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=100))]
    cuts: u64,
}

impl Media {
    /// The plan of these options.
    pub fn plan(&self) -> media::Plan {
        media::Plan { bytes: self.bytes, cuts: self.cuts }
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

/// Options of `handshake`.
#[derive(Debug, Args)]
pub struct Handshake {
    /// Seconds that each kind is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Handshakes on their way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    at_once: u32,
}

/// Options of `presence`.
#[derive(Debug, Args)]
pub struct Presence {
    /// Devices, in pairs that look at each other
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=i64::from(presence::CONNECTIONS_MAX)))]
    connections: u32,
    /// How many of a hundred come or go each second
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    changes_percent: u8,
    /// Seconds that are measured, and as many before them without changes
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
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

/// Options of `storm`.
#[derive(Debug, Args)]
pub struct Storm {
    /// Connections that are dropped
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(storm::CONNECTIONS_MAX)))]
    connections: u32,
    /// Pairs that stay and go on chatting
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(storm::PAIRS_MAX)))]
    pairs: u32,
    /// Messages a second of all pairs together
    #[arg(long, default_value_t = 500, value_name = "PER_S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Seconds that the pairs are measured before the storm
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    calm: u64,
    /// Seconds after which who is not back has failed
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Kill the server and start it again: all come back at once to a cold one, the pairs too
    #[arg(long, conflicts_with = "join")]
    kill: bool,
}

/// Options of `churn`.
#[derive(Debug, Args)]
pub struct Churn {
    /// Devices
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(churn::CONNECTIONS_MAX)))]
    connections: u32,
    /// Logins a second, each after a goodbye
    #[arg(long, default_value_t = 200, value_name = "PER_S", value_parser = clap::value_parser!(u32).range(1..=i64::from(churn::RATE_MAX)))]
    rate: u32,
    /// Seconds that are measured, and as many before them without logins
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// Options of `profile` and `capacity`.
#[derive(Debug, Args)]
pub struct Fleet {
    /// Which fleet: whatsapp2014 (a login every 639 s, a message every 430 s, three of four mailboxes
    /// empty, presence at each login, 35 % more at the top of the day)
    #[arg(default_value = "whatsapp2014", value_parser = profile::habits)]
    habits: profile::Habits,
    /// Devices: two write to each other
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=i64::from(profile::CONNECTIONS_MAX)))]
    connections: u32,
    /// How many of a hundred segments are lost, each way: the fleet of 2014 met 7
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=i64::from(loss::PERCENT_MAX)))]
    loss: u8,
    /// Seconds that nothing, the even load, and the top of the day are measured, each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
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
    /// Messages in the large mailbox
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(bystanders::RECORDS_MAX)))]
    records: u32,
    /// Seconds that each is measured; the large mailbox for as long as it drains
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Options of `proxy`.
#[derive(Debug, Args)]
pub struct Proxy {
    /// What the network is like: 2g (40 kbit/s, 600 ms, 5 % loss, cut every 20 s) or clean
    #[arg(long, default_value = "2g", value_parser = proxy::profile)]
    pub profile: Profile,
    /// Which segments are lost: the same number, the same ones
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Options of `2g`.
#[derive(Debug, Args)]
pub struct Edge {
    /// Texts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    texts: u32,
    /// Bytes of the photo that is sent behind the texts; 0 is none
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=i64::from(edge::PHOTO_BYTES_MAX)))]
    photo_bytes: u32,
    /// What the networks are like: 2g or clean
    #[arg(long, default_value = "2g", value_parser = proxy::profile)]
    profile: Profile,
    /// Which segments are lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds after which it is given up
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=7_200))]
    seconds: u64,
    /// Program of the client [default: godwit beside this program]
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
}

/// Options of `store`.
#[derive(Debug, Args)]
pub struct Store {
    /// Records that lie in mailboxes which nobody empties
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=20_000_000))]
    backlog: u64,
    /// Records in each of these mailboxes
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(store::PER_MAILBOX_MAX)))]
    per_mailbox: u32,
    /// Submissions under way at once
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=i64::from(store::IN_FLIGHT_MAX)))]
    in_flight: u32,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Fetch each record from its mailbox before it is deleted
    #[arg(long)]
    read_back: bool,
    /// Bytes of a body
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=48_000))]
    body: u16,
    /// Afterwards so many records at once, which are all fetched and deleted: what the disk gets back
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=20_000_000))]
    spike: u64,
    /// In the end let the time of the backlog pass: what the sweeps cost, and who notices
    #[arg(long)]
    expire: bool,
}

impl SiteArguments {
    /// The server to load.
    pub fn choice(&self) -> Choice {
        Choice {
            join: self.join.clone(),
            pid: self.server_pid,
            program: self.server.clone(),
            data: self.data.clone(),
            cpus: self.pin.then_some("0"),
            config: None,
        }
    }
}

impl Idle {
    /// As a plan.
    pub fn plan(&self) -> idle::Plan {
        let Self { connections, per_server, at_once, seconds, keepalive: keepalive_s } = *self;
        idle::Plan { connections, per_server, at_once: at_once.into(), seconds, keepalive_s }
    }
}

impl OwnChat {
    /// As a plan.
    pub fn plan(&self) -> chat::Plan {
        chat::Plan { beside: self.beside, ..self.chat.plan() }
    }
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

impl Absence {
    fn plan(&self, meanwhile: offline::Meanwhile) -> offline::Plan {
        let Self { users, each, senders, window, body } = *self;
        let senders = senders.min(users); // one without users would have nobody to send to
        offline::Plan { users, each, senders, window, body_bytes: body.into(), meanwhile }
    }
}

impl Group {
    /// As a plan.
    pub fn plan(&self) -> group::Plan {
        let Self { members, messages, body } = *self;
        group::Plan { members, messages, body_bytes: body.into() }
    }
}

impl Handshake {
    /// As a plan.
    pub fn plan(&self) -> handshake::Plan {
        handshake::Plan { seconds: self.seconds, at_once: self.at_once }
    }
}

impl Presence {
    /// As a plan.
    pub fn plan(&self) -> presence::Plan {
        let Self { connections, changes_percent, seconds } = *self;
        presence::Plan {
            connections: connections & !1,
            changes_percent: changes_percent.into(),
            seconds,
            settle: presence::SETTLE,
            patience: presence::PATIENCE,
        }
    }
}

impl Relay {
    /// As a plan.
    pub fn plan(&self) -> relay::Plan {
        let Self { pairs, window, seconds } = *self;
        let (settle, patience) = (presence::SETTLE, presence::PATIENCE);
        relay::Plan { pairs, window, seconds, settle, patience }
    }
}

impl Storm {
    /// As a plan.
    pub fn plan(&self) -> storm::Plan {
        let Self { connections, pairs, rate, calm, seconds, kill } = *self;
        storm::Plan {
            connections,
            pairs,
            rate: f64::from(rate),
            calm_s: calm,
            seconds,
            kill,
            at_once: crowd::AT_ONCE,
            warm_up: chat::WARM_UP,
            patience: chat::PATIENCE,
        }
    }
}

impl Churn {
    /// As a plan.
    pub fn plan(&self) -> churn::Plan {
        let Self { connections, rate, seconds } = *self;
        let (settle, patience) = (churn::SETTLE, churn::PATIENCE);
        churn::Plan { connections, rate, seconds, settle, patience }
    }
}

impl Fleet {
    /// As a plan.
    pub fn plan(&self) -> profile::Plan {
        let Self { habits, connections, loss: loss_percent, seconds } = *self;
        let (settle, patience) = (profile::SETTLE, profile::PATIENCE);
        // Without a neighbour the last of an odd number would have nobody to write to.
        let connections = connections & !1;
        profile::Plan { habits, connections, loss_percent, seconds, settle, patience }
    }

    /// As a plan for what the machine can carry.
    pub fn capacity_plan(&self) -> capacity::Plan {
        let (connections, seconds) = (self.connections, self.seconds);
        let (per_server, at_once) = (idle::PER_SERVER_MAX, crowd::AT_ONCE);
        let keepalive_s = None;
        let idle = idle::Plan { connections, per_server, at_once, seconds, keepalive_s };
        capacity::Plan { idle, profile: self.plan() }
    }
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

impl Edge {
    /// As a plan.
    pub fn plan(&self) -> edge::Plan {
        let Self { texts, photo_bytes, profile, seed, seconds, client } = self;
        let (texts, photo_bytes, profile) = (*texts, *photo_bytes, *profile);
        let (seed, seconds, client) = (*seed, *seconds, client.clone());
        edge::Plan { texts, photo_bytes, profile, seed, seconds, client }
    }
}

impl Store {
    /// As a plan.
    pub fn plan(&self) -> store::Plan {
        let Self { backlog, per_mailbox, in_flight, seconds, read_back, body, spike, expire } =
            *self;
        let body_bytes = body.into();
        store::Plan {
            backlog,
            per_mailbox,
            in_flight,
            seconds,
            body_bytes,
            read_back,
            spike,
            expire,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_calls_that_scripts_make_are_understood() {
        for call in [
            "idle --connections 15000 --json",
            "chat --pairs 1000 --window 16 --seconds 6 --json",
            "chat --pairs 500 --beside 15000 --json",
            "offline --json",
            "offline --kill --json",
            "peer --speaks mqtt --address 127.0.0.1:1883 --process 1 chat --window 4 --json",
            "peer --speaks xmpp --address 127.0.0.1:5222 --ca ca.pem idle --connections 500 --json",
            "peer --speaks xmpp --address 127.0.0.1:5222 offline --seconds 20 --pause --json",
            "group --members 1024 --json",
            "handshake --json",
            "chat --out reports --json",
            "plot a.json b.json --x connections --y user_bytes_per_connection --out c.svg --json",
            "presence --connections 10000 --changes-percent 1 --seconds 60 --json",
            "relay --pairs 4000 --json",
            "relay --pairs 320 --window 16 --json",
            "storm --connections 15000 --json",
            "storm --connections 15000 --kill --json",
            "churn --connections 10000 --rate 1000 --seconds 60 --json",
            "overload --json",
            "bystanders --readers 200 --records 100000 --json",
            "profile whatsapp2014 --connections 15000 --seconds 120 --json",
            "profile whatsapp2014 --loss 7 --json",
            "capacity --connections 15000 --json",
            "store --backlog 1000000 --in-flight 512 --json --keep-awake",
            "store --backlog 1000000 --per-mailbox 10 --spike 1000000 --expire --json",
        ] {
            let words = std::iter::once("godwit-bench").chain(call.split(' '));
            assert!(Arguments::try_parse_from(words).is_ok_and(|parsed| parsed.json), "{call}");
        }
    }

    #[test]
    fn both_sides_of_a_bound() {
        let window = |window: u32| {
            let text = window.to_string();
            Arguments::try_parse_from(["godwit-bench", "chat", "--window", &text]).is_ok()
        };
        assert!(window(chat::WINDOW_MAX));
        assert!(!window(chat::WINDOW_MAX + 1));
        assert!(!window(0));
        let loss = |percent: u8| {
            let text = percent.to_string();
            Arguments::try_parse_from(["godwit-bench", "profile", "--loss", &text]).is_ok()
        };
        assert!(loss(0) && loss(loss::PERCENT_MAX) && !loss(loss::PERCENT_MAX + 1));
    }
}
