//! Options of the loads that are about one part of the whole: a network, files, the store.

use std::path::PathBuf;

use clap::Args;

use crate::proxy::{self, Profile};
use crate::work::{edge, media, store};

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

impl Edge {
    /// As a plan.
    pub fn plan(&self) -> edge::Plan {
        let Self { texts, photo_bytes, profile, seed, seconds, client } = self;
        let (texts, photo_bytes, profile) = (*texts, *photo_bytes, *profile);
        let (seed, seconds, client) = (*seed, *seconds, client.clone());
        edge::Plan { texts, photo_bytes, profile, seed, seconds, client }
    }
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
    /// Also open a copy of what a kill would leave over the backlog, with its pages in memory and without
    #[arg(long)]
    killed: bool,
    /// Afterwards so many records at once, which are all fetched and deleted: what the disk gets back
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=20_000_000))]
    spike: u64,
    /// In the end let the time of the backlog pass: what the sweeps cost, and who notices
    #[arg(long)]
    expire: bool,
}

impl Store {
    /// As a plan.
    pub fn plan(&self) -> store::Plan {
        let Self {
            backlog,
            per_mailbox,
            in_flight,
            seconds,
            read_back,
            body,
            killed,
            spike,
            expire,
        } = *self;
        let body_bytes = body.into();
        store::Plan {
            backlog,
            per_mailbox,
            in_flight,
            seconds,
            body_bytes,
            read_back,
            killed,
            spike,
            expire,
        }
    }
}
