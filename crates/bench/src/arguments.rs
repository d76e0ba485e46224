//! The command line. Names are stable: scripts use them.

mod links;
mod messages;
mod parts;
mod peer;
mod upgrade;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use godwit_base::JoinLink;

use crate::plot::report::Plot;
use crate::server::Choice;
use crate::work::chat;
pub use links::{Churn, Fleet, Handshake, Idle, Presence, Storm};
pub use messages::{Absence, Bystanders, Chat, Group, Offline, Overload, OwnChat, Relay};
pub use parts::{Edge, Media, Proxy, Store};
pub use peer::{Peer, PeerLoad};
pub use upgrade::Upgrade;

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

    /// Keep the CPUs from going idle, by spinning where nobody else wants to run (SCHED_IDLE, by chrt of
    /// util-linux): needed for latencies on virtual machines
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
    /// Other processes take over, one after another, while people talk: whether anybody notices
    Upgrade(Upgrade),
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

impl Arguments {
    /// Whether options go together that are each within their bounds.
    ///
    /// # Errors
    /// What to say, and to end with as for any other wrong usage.
    pub fn check(&self) -> Result<(), clap::Error> {
        let Load::Chat(chat) = &self.load else { return Ok(()) };
        let (connections, most) = (chat.connections(), chat::CONNECTIONS_MAX);
        if connections <= most {
            return Ok(());
        }
        let said = format!(
            "{connections} connections are too many for the files that one process may open: \
             twice --pairs and --beside may be {most} together"
        );
        Err(Self::command().error(ErrorKind::ValueValidation, said))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss;
    use crate::work::bystanders;

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
            "upgrade --connections 15000 --pairs 16 --upgrades 10 --json",
            "upgrade --connections 300 --upgrades 3 --binary /usr/bin/godwitd --json",
            "upgrade --connections 300 --upgrades 3 --crash-at handover::ready --json",
            "churn --connections 10000 --rate 1000 --seconds 60 --json",
            "overload --json",
            "bystanders --readers 200 --records 100000 --json",
            "profile whatsapp2014 --connections 15000 --seconds 120 --json",
            "profile whatsapp2014 --loss 7 --json",
            "capacity --connections 15000 --json",
            "store --backlog 1000000 --in-flight 512 --json --keep-awake",
            "store --backlog 1000000 --per-mailbox 10 --killed --spike 1000000 --expire --json",
        ] {
            let words = std::iter::once("godwit-bench").chain(call.split(' '));
            assert!(Arguments::try_parse_from(words).is_ok_and(|parsed| parsed.json), "{call}");
        }
    }

    #[test]
    fn connections_are_bounded_together_too() {
        let most = chat::CONNECTIONS_MAX;
        for (pairs, beside, fits) in [
            (chat::PAIRS_MAX, 0, true),
            (chat::PAIRS_MAX, 1, false),
            ((most - chat::BESIDE_MAX) / 2, chat::BESIDE_MAX, true),
            (chat::PAIRS_MAX, chat::BESIDE_MAX, false),
        ] {
            let call = format!("godwit-bench chat --pairs {pairs} --beside {beside}");
            let asked = Arguments::try_parse_from(call.split(' ')).unwrap();
            assert_eq!(
                asked.check().map_err(|wrong| wrong.exit_code()),
                fits.then_some(()).ok_or(2)
            );
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
        let records = |records: u32| {
            let text = records.to_string();
            Arguments::try_parse_from(["godwit-bench", "bystanders", "--records", &text]).is_ok()
        };
        assert!(records(bystanders::RECORDS_MAX) && !records(bystanders::RECORDS_MAX + 1));
        assert!(loss(0) && loss(loss::PERCENT_MAX) && !loss(loss::PERCENT_MAX + 1));
    }
}
