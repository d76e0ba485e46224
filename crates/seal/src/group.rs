//! Groups: who is in one, in the words of its members alone, and how a message for many is sealed.
//!
//! A group is its **membership log**: entries that name the hash of the one before and are signed by
//! a device of the member who made them ([`Group::sign`], [`Group::apply`]). A [`Group`] exists only
//! as the result of entries that were verified one by one, so that whatever a server says of members
//! beside the log means nothing. The id is a hash of the first entry: it cannot be claimed for
//! another group.
//!
//! What is said in a group is bound to its [`Place`]: group, epoch and the hash of that epoch's
//! entry. Small groups seal it for each device ([`Pairing::seal_in`](crate::Pairing::seal_in));
//! large ones once, under a [`SenderKey`] that each sending device gives to the members in pairwise
//! messages ([`GroupShare`]) and whose receiving half is a [`HeardKey`].

mod apply;
mod entry;
mod error;
mod heard;
mod invite;
mod row;
mod secret;
mod sender;
mod share;
mod state;

pub use entry::{Change, InviteOffer, SealedProfile};
pub use error::{GroupError, ShareError};
pub use heard::{HeardKey, SENDER_KEY_INDEX_MAX, SENDER_KEY_WINDOW};
pub use invite::InviteSecret;
pub use secret::{GroupProfile, GroupSecret, NAME_BYTES_MAX, PICTURE_BYTES_MAX};
pub use sender::{SENDER_KEY_AGE_MAX_MS, SENDER_KEY_MESSAGES_MAX, SenderKey, SenderKeyId};
pub use share::GroupShare;
pub use state::{Applied, Group, GroupHint, Member, PAST_EPOCHS_MAX, Place};
