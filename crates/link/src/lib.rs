//! The link: encrypted transport between one device and the server, both roles, bytes in and bytes
//! out. No socket, no clock, no async; builds for the browser.
//!
//! - [`Initiator`] and [`Responder`] make the handshake: Noise IK with the server key of the join
//!   link, or NNpsk0 with a [`Ticket`] that the server sealed earlier. One round trip either way.
//! - [`Transport`] seals and opens frames afterwards: two raw keys and two counters.
//! - [`StaticKey`], [`ServerKeys`] and [`TicketKeys`] are the long-lived secrets.
//!
//! Feature `aws-lc` computes with aws-lc-rs instead of pure Rust; the bytes are the same.
//! Feature `driven` notes counters that were used, for simulation.

mod crypto;
mod error;
mod handshake;
mod key;
mod noise;
#[cfg(test)]
mod testing;
mod ticket;
mod transport;

pub use error::{Fault, LinkError};
pub use handshake::{Arrival, Established, Initiator, Responder};
pub use key::{PublicKey, ServerKeys, StaticKey};
pub use ticket::{TICKET_BYTES_MAX, Ticket, TicketKeys};
#[cfg(feature = "driven")]
pub use transport::ledger;
pub use transport::{Parted, TAG_BYTES, Transport};
