//! Options of the loads that are about who connects, stays, comes and goes.

use clap::Args;

use crate::crowd;
use crate::loss;
use crate::work::{capacity, chat, churn, handshake, idle, presence, profile, storm};

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

impl Idle {
    /// As a plan.
    pub fn plan(&self) -> idle::Plan {
        let Self { connections, per_server, at_once, seconds, keepalive: keepalive_s } = *self;
        idle::Plan { connections, per_server, at_once: at_once.into(), seconds, keepalive_s }
    }
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

impl Handshake {
    /// As a plan.
    pub fn plan(&self) -> handshake::Plan {
        handshake::Plan { seconds: self.seconds, at_once: self.at_once }
    }
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

impl Churn {
    /// As a plan.
    pub fn plan(&self) -> churn::Plan {
        let Self { connections, rate, seconds } = *self;
        let (settle, patience) = (churn::SETTLE, churn::PATIENCE);
        churn::Plan { connections, rate, seconds, settle, patience }
    }
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
