//! The same idling on somebody else's server: the same memory read at the same moments.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tokio::time::sleep;

use super::{Memory, Plan, Report, SETTLE, Seen};
use crate::error::LoadError;
use crate::machine::{Conditions, Processes};
use crate::peer::conn::{PeerConn, PeerEndpoint};
use crate::progress;
use crate::work::chat::peer::log_in;

/// Runs the load. One process holds all connections, so [`super::PER_SERVER_MAX`] at most.
///
/// # Errors
/// [`LoadError`] when not everybody can log in.
///
/// # Panics
/// Outside [`locally`](crate::work::locally).
///
/// # Cancel safety
/// Dropping the future of [`locally`](crate::work::locally) drops all connections.
pub async fn run(
    to: &PeerEndpoint,
    server: Option<&Processes>,
    plan: &Plan,
    conditions: Conditions,
) -> Result<Report, LoadError> {
    sleep(SETTLE).await;
    let me = Processes::me();
    let before = Memory::now(server);
    let (ramp, began) = (conditions.stretch(server, &me), Instant::now());
    let conns = log_in(to, 0..plan.connections, plan.at_once).await?;
    let (all_up, ramp) = (began.elapsed(), ramp.end());
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
    let seen = Seen {
        servers: 1,
        keepalive_s: 0,
        all_up,
        broken_connections: broken.get(),
        before,
        after,
    };
    Ok(Report::of(plan, [ramp, spent], &seen, conditions))
}

/// Answers whatever the server asks, until the connection ends.
async fn keep(mut conn: PeerConn) {
    while conn.flush().await.is_ok() && conn.fill().await.is_ok() {
        while conn.ready().is_some() {}
    }
}
