//! The real server and the real client core in a world of their own: clock, network and disk are simulated, and
//! a seed is the whole case. `docs/simulation.md` says what is simulated and what is not.
//!
//! | module | what it is |
//! |---|---|
//! | [`world`] | the queue of what happens, and who there is |
//! | [`house`] | the server's process: crates `server` and `store` as they are |
//! | [`phone`] | a client: the core of crate `client` as it is |
//! | [`pipe`], `net` | connections |
//! | [`disk`] | the disk below the store |
//! | [`plan`] | scenarios, and what a seed draws from them |
//! | [`facts`], [`check`] | what was seen, and what must hold of it |
//! | [`replay`] | everything that happened, as one number |
//! | [`case`] | one seed from beginning to end |

pub mod case;
pub mod check;
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "the driver of the client's own tests, of which a part is used here"
)]
#[path = "../../../crates/client/tests/machine/device.rs"]
mod device;
pub mod disk;
pub mod facts;
pub mod house;
mod net;
pub mod phone;
pub mod pipe;
pub mod plan;
pub mod replay;
pub mod world;
