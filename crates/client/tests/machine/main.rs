//! The core against a small server in memory: real handshakes, real encryption, no socket, no
//! clock, no disk. What the server may do wrong, the tests choose.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod about;
mod chaos;
mod communities;
mod device;
mod devices;
mod files;
mod group_check;
mod group_model;
mod groups;
mod keys;
mod liars;
mod link;
mod linking;
mod lists;
mod model;
mod named;
mod overtaking;
mod past;
mod people;
mod posts;
mod presence;
mod reads;
mod recovered;
mod removed;
mod repair;
mod replay;
mod restored;
mod server;
mod server_accounts;
mod server_groups;
mod server_lies;
mod strangers;
mod talk;
mod trust;
mod world;
