//! The wire from outside: bytes, limits, sizes, and the words of `docs/protocol.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod any;
mod document;
mod golden;
mod hostile;
mod preface;
mod round_trip;
mod samples;
mod sizes;
