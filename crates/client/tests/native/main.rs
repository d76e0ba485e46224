//! The SDK against the real server, over real sockets and files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod bounds;
mod cancel;
mod drill;
mod examples;
mod files;
mod groups;
mod killed;
mod linked;
mod owner;
mod secrets;
mod stage;
mod talk;
