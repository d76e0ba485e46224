//! An upgrade that drops nobody: the sessions of this process become data (they are *frozen*), go to a
//! process of another program (the *hand-over*), and are sessions there (they are *thawed*).
//!
//! - `record`: what a session is while it is data, and what the node knows beside them.
//! - `freezer`: where sessions lie between the two.
//! - `road`: bytes and sockets from one process to the other.
//! - `give`: the old server's side. It keeps all until the new one is ready to go, so if that one dies
//!   before, all goes on here, by the same road: they are thawed.
//! - `take`: the new one's.
//!
//! Which steps there are, and who has what when, is in `docs/ops/upgrade.md` and decision 0156.

pub(crate) mod freezer;
mod give;
mod record;
mod road;
mod take;
mod wish;

pub(crate) use freezer::{Freezer, Frozen};
pub use give::{Origin, Upgraded, upgrade};
pub(crate) use record::{
    Carried, ChatRecord, Damaged, HelloRecord, LeftRecord, LookingRecord, NodeRecord, OLDEST,
    PresentRecord, QuarantineRecord, RendezvousRecord, SeenRecord, SessionRecord, StrangerRecord,
    VERSION, WhoRecord,
};
pub use take::{TakeError, take_over};
pub(crate) use wish::Line;
pub use wish::Wish;

/// What a server is started with that takes over from the one that starts it.
pub(crate) const TAKE_OVER: &str = "--take-over";
