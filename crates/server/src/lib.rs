//! godwitd, the server: carries sealed messages between devices and can read none of them.
//!
//! The map, in the order in which a message meets it (`docs/route.md` follows one):
//! - `door`: one port; first bytes, handshake, HTTP. `websocket`: a WebSocket as a stream of bytes.
//! - `session`: the actor that owns one live link; its pure machine is `session::protocol`.
//! - `seat`, `registry`: how a session is reached, by token and by device.
//! - `presence`: who is online and who looks; in memory only.
//! - `router`: what the store tells goes to the sessions it concerns.
//! - `relay`: where a new device meets the one that links it.
//! - `media`: files, over HTTP beside the link.
//! - `node`: what all of them share; `rate`, `strangers`, `reports`, `quarantine`, `meters`, `keys`
//!   belong to it.
//! - [`Server`]: the supervision tree around all this; `drain`, `sweeper`, `upkeep`, `scrubber`, [`admin`] are its parts,
//!   `pulse` shows that they are alive, and the `watchdog` sees in `turns` what nobody on a worker could.
//! - [`handover`]: sessions go to another process, and nobody is dropped.
//! - `driven`: the same without port and threads, for simulation.
//! - [`config`], [`cli`], [`announce`], [`systemd`]: what the operator touches.

#[cfg(test)]
extern crate self as godwit_server; // the stories name the crate as a stranger would

pub mod admin;
pub mod announce;
mod appointments;
pub mod cli;
pub mod config;
pub mod crash;
mod door;
mod drain;
#[cfg(feature = "driven")]
mod driven;
mod ends;
mod fault;
pub mod handover;
pub mod keys;
mod media;
mod meters;
mod node;
mod presence;
mod pulse;
mod quarantine;
mod rate;
mod registry;
mod relay;
mod reports;
mod rest;
mod router;
mod scrubber;
mod seat;
mod serve;
mod session;
#[cfg(test)]
mod stories;
mod strangers;
mod sweeper;
pub mod systemd;
mod turns;
mod upkeep;
mod watchdog;
mod websocket;

#[cfg(feature = "driven")]
pub use driven::{Driven, Moved};
#[cfg(feature = "driven")]
pub use godwit_actor::Exit;
pub use media::MediaError;
pub use serve::{Event, Server, Setup, StartError, default_data};
