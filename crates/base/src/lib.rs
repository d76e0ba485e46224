//! What every part of Godwit agrees on: ids, limits, time and chance as seams, and the numbered
//! invariants. No I/O, no async; builds for the browser.

mod claim;
mod id;
mod invariant;
mod invite;
mod join;
pub mod limits;
mod seam;

pub use claim::claim_bytes;
pub use id::{AccountId, BlobId, DeviceId, DeviceNumber, GroupId, Handle, IdError, MessageId, Seq};
#[doc(hidden)]
pub use invariant::broken as __broken;
pub use invariant::{Invariant, set_alarm, violations};
pub use invite::{GroupLink, GroupLinkError};
pub use join::{JoinError, JoinLink};
pub use seam::{Clock, ManualClock, SystemClock};
