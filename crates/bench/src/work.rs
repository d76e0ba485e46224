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
