//! Options of `peer`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Absence, Chat};
use crate::error::LoadError;
use crate::machine::Processes;
use crate::peer::Protocol;
use crate::peer::conn::PeerEndpoint;
use crate::work::offline::peer::Bounds;
use crate::work::{chat, idle, offline};

/// Options of `peer`: accounts u0, u1, ... with the password pw are known to the server.
#[derive(Debug, Args)]
pub struct Peer {
    /// What the server speaks
    #[arg(long, value_enum)]
    speaks: Protocol,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    address: SocketAddr,
    /// Certificate authority of its TLS; without it connections are plain
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Its process, to read CPU time and memory
    #[arg(long, value_name = "PID")]
    process: Option<u32>,
    /// Which load.
    #[command(subcommand)]
    pub load: PeerLoad,
}

/// The loads that any server can be given.
#[derive(Debug, Subcommand)]
pub enum PeerLoad {
    /// Connections that only stay
    Idle(PeerIdle),
    /// Pairs that chat, with all acknowledgements
    Chat(Chat),
    /// Messages to absent accounts, which then come back and drain
    Offline(PeerOffline),
}

/// Options of `peer idle`.
#[derive(Debug, Args)]
pub struct PeerIdle {
    /// Connections
    #[arg(long, default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(idle::PER_SERVER_MAX)))]
    connections: u32,
    /// Seconds of idling that are measured
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// Options of `peer offline`.
#[derive(Debug, Args)]
pub struct PeerOffline {
    #[command(flatten)]
    absence: Absence,
    /// Seconds after which nothing new is sent: some servers are slow
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Before the drain say so on standard output, and wait for a line on standard input: the
    /// server's process as it is by then
    #[arg(long)]
    pause: bool,
}

impl Peer {
    /// Where the server is.
    ///
    /// # Errors
    /// [`LoadError::Tls`] when the certificate authority cannot be read.
    pub fn endpoint(&self) -> Result<PeerEndpoint, LoadError> {
        PeerEndpoint::new(self.speaks, self.address, self.ca.as_deref())
    }

    /// Its process, if it is known.
    pub fn processes(&self) -> Option<Processes> {
        self.process.map(|pid| Processes(vec![pid]))
    }
}

impl PeerIdle {
    /// As a plan.
    pub fn plan(&self) -> idle::Plan {
        let Self { connections, seconds } = *self;
        let (per_server, at_once) = (idle::PER_SERVER_MAX, chat::peer::AT_ONCE);
        idle::Plan { connections, per_server, at_once, seconds, keepalive_s: None }
    }
}

impl PeerOffline {
    /// As a plan.
    pub fn plan(&self) -> offline::Plan {
        self.absence.plan(offline::Meanwhile::Stays)
    }

    /// When it ends.
    pub fn bounds(&self) -> Bounds {
        Bounds { enqueue: Duration::from_secs(self.seconds), pause: self.pause }
    }
}
