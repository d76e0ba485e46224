//! The program `godwitd` itself: what it prints, how it ends, and what survives when it is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../socket/link.rs"]
#[allow(dead_code, reason = "shared with the stories over sockets")]
mod link;
#[path = "../socket/person.rs"]
#[allow(dead_code, reason = "shared with the stories over sockets")]
mod person;
mod program;

mod commands;
#[cfg(feature = "fail-points")]
mod crash;
#[cfg(feature = "fail-points")]
mod deaths;
mod hello;
mod life;
mod systemd;
mod upgrade;
