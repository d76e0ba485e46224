//! The same idling on somebody else's server: the same memory read at the same moments.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tokio::task::LocalSet;
use tokio::time::sleep;

use super::{Memory, Plan, Report, SETTLE};
use crate::crowd;
use crate::error::LoadError;
use crate::machine::{Conditions, Processes};
use crate::peer::conn::{PeerConn, PeerEndpoint};
use crate::progress;

/// Runs the load. One process holds all connections, so [`super::PER_SERVER_MAX`] at most.
///
/// # Errors
/// [`LoadError`] when not everybody can log in.
///
/// # Cancel safety
/// Dropping the future drops all connections.
pub async fn run(
    to: &PeerEndpoint,
    server: Option<&Processes>,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    LocalSet::new().run_until(run_here(to, server, plan, conditions)).await
}

async fn run_here(
    to: &PeerEndpoint,
    server: Option<&Processes>,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    sleep(SETTLE).await;
    let me = Processes::me();
    let before = Memory::now(server);
    let (ramp, began) = (conditions.stretch(server, &me), Instant::now());
    let bar = progress::bar("logging in", plan.connections.into());
    let shared = to.clone();
    let log_in = move |user| {
        let to = shared.clone();
        async move { to.log_in(user).await }
    };
    let conns = crowd::each(0..plan.connections, plan.at_once, &bar, log_in).await?;
    let ramp_s = began.elapsed().as_secs_f64();
    let login_server_cpu_us = ramp.end().server_us_each(plan.connections.into());
    let broken = Rc::new(Cell::new(0));
    for conn in conns {
        let broken = Rc::clone(&broken);
        tokio::task::spawn_local(async move {
            keep(conn).await;
            broken.set(broken.get() + 1);
        });
    }
    sleep(SETTLE).await;

    let quiet = conditions.stretch(server, &me);
    progress::seconds("idling", plan.seconds).await;
    let spent = quiet.end();
    let after = Memory::now(server);
    let idle_us = spent.server_us_each(plan.connections.into());
    Ok(Report {
        workload: "idle",
        connections: plan.connections,
        servers: 1,
        seconds: plan.seconds,
        user_bytes_per_connection: after.user_growth(&before, plan.connections),
        kernel_bytes_per_connection: after.kernel_growth(&before, plan.connections),
        kernel_socket_bytes_per_connection: after.socket_growth(&before, plan.connections),
        idle_cpu_us_per_connection_s: idle_us.map(|us| us / spent.wall.as_secs_f64()),
        keepalive_s: 0,
        logins_per_s: f64::from(plan.connections) / ramp_s,
        login_server_cpu_us,
        empty_server_bytes: before.user_bytes,
        broken_connections: broken.get(),
        others_cpus: spent.others_cpus,
        conditions,
    })
}

/// Answers whatever the server asks, until the connection ends.
async fn keep(mut conn: PeerConn) {
    while conn.flush().await.is_ok() && conn.fill().await.is_ok() {
        while conn.ready().is_some() {}
    }
}
