//! The delivery protocol as a state machine of which every reachable state is looked at: two senders, a
//! recipient with two devices, crashes, cuts, refusals, a hand-over. `docs/model.md` says what of the product
//! is in it and what is not.
//!
//! - [`scope`]: how much is sent and what may go wrong;
//! - [`state`]: everything that there is at one moment;
//! - `client`, `session`, `store`: what each part does in one step;
//! - [`action`]: the steps, named as the functions of `docs/route.md`;
//! - `merge`: the moments that a search with crashes alone leaves out, and why it may;
//! - [`fault`]: ways to build it wrong, each of which a property must find;
//! - [`delivery`]: the model, and what must hold;
//! - [`check`]: a run of the checker, and what it found.

pub mod action;
pub mod check;
mod client;
pub mod delivery;
pub mod fault;
mod merge;
pub mod scope;
mod session;
pub mod state;
mod store;
mod symmetry;
