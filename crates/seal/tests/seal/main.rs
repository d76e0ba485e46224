//! What the crate promises, told with two people and a server that only carries bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod build;
mod bursts;
mod conversation;
mod fallback;
mod forge;
mod groups;
mod keys;
mod list;
mod olm;
mod people;
mod pitfalls;
mod properties;
mod reader;
mod repair;
mod safety;
mod sender_keys;
mod sizes;
mod vectors;
