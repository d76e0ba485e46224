//! The workloads. Each takes a plan and a server, and returns a report whose names are stable:
//! scripts read them.

pub mod bystanders;
pub mod capacity;
pub mod chat;
pub mod churn;
pub mod edge;
pub mod group;
pub mod handshake;
pub mod idle;
pub mod media;
pub mod offline;
pub mod overload;
pub mod presence;
pub mod profile;
pub mod relay;
pub mod store;
pub mod storm;
pub mod upgrade;

use tokio::task::LocalSet;

/// Runs a load, with all that it starts, on this thread; what is left of it ends when this returns, so that no
/// connection of one load is there in the next.
///
/// # Cancel safety
/// As the load says.
pub async fn locally<F: Future>(load: F) -> F::Output {
    LocalSet::new().run_until(load).await
}
