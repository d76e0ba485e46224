//! The server over real sockets, told as stories. The client here is the smallest that can speak:
//! wire and link alone, nothing sealed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod authority;
mod bad_input;
mod disk;
mod doors;
mod durability;
#[cfg(feature = "fail-points")]
mod faults;
mod groups;
mod isolation;
mod keys;
mod link;
mod linking;
mod lists;
mod media;
mod operator;
mod people;
mod person;
mod refusals;
mod route;
mod world;
