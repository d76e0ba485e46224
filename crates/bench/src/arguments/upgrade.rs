//! Options of `upgrade`.

use std::path::PathBuf;

use clap::Args;

use crate::work::upgrade;

/// Options of `upgrade`.
#[derive(Debug, Args)]
pub struct Upgrade {
    /// Sessions that do nothing but stay
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(upgrade::CONNECTIONS_MAX)))]
    connections: u32,
    /// Pairs that chat, one message at a time, every other on WebSockets
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=i64::from(upgrade::PAIRS_MAX)))]
    pairs: u32,
    /// Upgrades, one after another
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    upgrades: u32,
    /// Sessions of each kind that is forced: half a frame sent, nothing read
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=i64::from(upgrade::FORCED_MAX)))]
    forced: u32,
    /// Program that the first, third and so on go to; the others go back to our own server's [default: that
    /// one each time]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The second process to take over dies here, and all goes on in the old one; needs a server with fail
    /// points
    #[arg(long, value_name = "POINT")]
    crash_at: Option<String>,
}

impl Upgrade {
    /// As a plan.
    pub fn plan(&self) -> upgrade::Plan {
        let Self { connections, pairs, upgrades, forced, .. } = *self;
        upgrade::Plan {
            connections,
            pairs,
            upgrades,
            forced,
            binary: self.binary.clone(),
            crash_at: self.crash_at.clone(),
        }
    }
}
