//! What this machine can carry if its users live like a known fleet, and what gives way first. Measured at
//! one size and multiplied: that the cost of a connection does not depend on their number is the claim of
//! `idle` and `profile` at several sizes.

use serde::Serialize;

use crate::error::LoadError;
use crate::machine::{self, Conditions, Processes};
use crate::server::{Choice, Site};
use crate::work::{idle, locally, profile};

/// Part of the memory that connections may take: the rest is the store's, its pages in the kernel, and the
/// system's.
const MEMORY_SHARE: f64 = 0.75;

/// Part of the CPU time that may be taken at the top of the day: above it queues grow.
const CPU_SHARE: f64 = 0.7;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Memory of a connection.
    pub idle: idle::Plan,
    /// CPU time of a connection.
    pub profile: profile::Plan,
}

/// What this machine can carry. Names are stable.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: &'static str,
    /// Measured at so many.
    connections: u32,
    user_bytes_per_connection: Option<f64>,
    kernel_bytes_per_connection: Option<f64>,
    /// At the top of the day.
    spike_server_cpu_us_per_connection_s: Option<f64>,
    /// Connections until each gives way, fewest first.
    pub limits: Vec<Limit>,
    /// The fewest of them.
    pub carries_connections: Option<u64>,
    /// What gives way first.
    pub first: Option<&'static str>,
    /// Server processes for so many.
    server_processes: Option<u64>,
    idle: idle::Report,
    profile: profile::Report,
}

/// One thing that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    what: &'static str,
    connections: u64,
}

/// What a machine has.
#[derive(Debug, Clone, Copy)]
struct Machine {
    cpus: f64,
    memory_bytes: Option<u64>,
    /// Open files of all processes: one a connection.
    files: Option<u64>,
    /// Connections that the packet filter follows, if there is one.
    followed: Option<u64>,
}

/// What a connection takes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bytes: Option<f64>,
    cpu_us_per_s: Option<f64>,
}

/// Measures and multiplies.
///
/// # Errors
/// As the two loads.
///
/// # Cancel safety
/// Dropping the future ends its servers and workers.
pub async fn run(choice: &Choice, plan: &Plan, spinners: &Processes) -> Result<Report, LoadError> {
    let idle = idle::run(choice, &plan.idle, spinners).await?;
    let site = Site::open(choice).await?;
    let conditions = Conditions::here(site.data(), spinners);
    let profile = locally(profile::run(&site, &plan.profile, conditions)).await;
    site.close().await?;
    let profile = profile?;

    let (user, kernel) = (idle.user_bytes_per_connection, idle.kernel_bytes_per_connection);
    let spike = profile.spike.server_cpu_us_per_connection_s;
    let cost =
        Cost { bytes: user.zip(kernel).map(|(user, kernel)| user + kernel), cpu_us_per_s: spike };
    let limits = limits(Machine::here(), cost);
    let first = limits.first().copied();
    let processes = |limit: Limit| limit.connections.div_ceil(idle::PER_SERVER_MAX.into());
    Ok(Report {
        workload: "capacity",
        connections: plan.profile.connections,
        user_bytes_per_connection: user,
        kernel_bytes_per_connection: kernel,
        spike_server_cpu_us_per_connection_s: spike,
        limits,
        carries_connections: first.map(|limit| limit.connections),
        first: first.map(|limit| limit.what),
        server_processes: first.map(processes),
        idle,
        profile,
    })
}

impl Machine {
    fn here() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpus: cpus as f64,
            memory_bytes: machine::memory_bytes(),
            files: machine::kernel_limit("fs/file-max"),
            followed: machine::kernel_limit("net/netfilter/nf_conntrack_max"),
        }
    }
}

/// Fewest first. What is not known is left out.
#[expect(clippy::cast_possible_truncation, reason = "connections in whole, and `as` saturates")]
fn limits(machine: Machine, cost: Cost) -> Vec<Limit> {
    let of = |have: f64, each: f64| (each > 0.0).then(|| (have / each) as u64);
    let memory = machine.memory_bytes.map(|bytes| bytes as f64 * MEMORY_SHARE);
    let cpu_us_per_s = machine.cpus * 1e6 * CPU_SHARE;
    let known = [
        ("memory", memory.zip(cost.bytes).and_then(|(have, each)| of(have, each))),
        ("cpu", cost.cpu_us_per_s.and_then(|each| of(cpu_us_per_s, each))),
        ("open files", machine.files),
        ("followed connections", machine.followed),
    ];
    let limit = |(what, connections): (_, Option<u64>)| {
        connections.map(|connections| Limit { what, connections })
    };
    let mut limits: Vec<_> = known.into_iter().filter_map(limit).collect();
    limits.sort_by_key(|limit| limit.connections);
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_scarcest_comes_first() {
        let machine = Machine {
            cpus: 2.0,
            memory_bytes: Some(24 * GIB),
            files: Some(9_000_000),
            followed: None,
        };
        let cost = Cost { bytes: Some(4_608.0), cpu_us_per_s: Some(0.5) };
        let found = limits(machine, cost);
        let expected = [("cpu", 2_800_000), ("memory", 4_194_304), ("open files", 9_000_000)];
        let expected = expected.map(|(what, connections)| Limit { what, connections });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_known_is_not_invented() {
        let machine =
            Machine { cpus: 2.0, memory_bytes: None, files: None, followed: Some(262_144) };
        let cost = Cost { bytes: Some(4_608.0), cpu_us_per_s: None };
        let followed = Limit { what: "followed connections", connections: 262_144 };
        assert_eq!(limits(machine, cost), [followed]);
        let free = Cost { bytes: Some(0.0), cpu_us_per_s: Some(0.0) };
        assert_eq!(limits(machine, free), [followed], "what costs nothing bounds nothing");
    }
}
