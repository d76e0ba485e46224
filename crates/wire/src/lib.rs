//! What goes over the link, as bytes and back: the bytes before the link ([`preface`]), the frames
//! ([`frame`]), the messages inside them ([`ToServer`], [`ToClient`], [`v1`]) and the reasons for a
//! no ([`Refusal`]). No I/O; bytes from a peer never panic and never allocate beyond the limits.
//! `docs/protocol.md` tells the same to somebody who writes a client in another language.

mod checked;
pub mod frame;
mod limits;
mod malformed;
mod message;
mod negotiate;
pub mod preface;
mod refusal;
mod shape;
pub mod v1;

pub use checked::{Checked, Plaintext, decode, encode};
pub use limits::{
    ACCOUNT_KEY_BYTES, CLIENT_NAME_BYTES_MAX, GROUP_LOG_PAGE_MAX, INVITE_BYTES_MAX,
    KT_PROOF_BYTES_MAX, LINK_KEY_BYTES, MEDIA_BLOB_BYTES, MEDIA_TICKET_BYTES_MAX, OPEN_CHATS_MAX,
    PASS_BYTES, REASON_BYTES_MAX, RELAY_BODY_BYTES_MAX, RELAY_MESSAGES_MAX, RENDEZVOUS_BYTES,
    REPORTED_MESSAGES_MAX, REPORTED_TEXT_BYTES_MAX, SIGNATURE_BYTES, WELCOME_TICKET_BYTES_MAX,
};
pub use malformed::{Fault, Malformed};
pub use message::{Messages, ToClient, ToServer};
pub use negotiate::{FEATURES, Spoken, VERSION, negotiate};
pub use refusal::Refusal;
