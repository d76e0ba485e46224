//! Supervision as stories: what comes up, what goes down, in which order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod budget;
mod life;
mod stage;
mod starting;
mod stopping;
mod strategy;
mod view;
