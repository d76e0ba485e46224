//! Godwit's SDK.
//!
//! | part | what it does |
//! |---|---|
//! | [`Event`], [`MessageState`], ... | what an application sees |
//! | [`Error`] | what can go wrong, and what to do then |
//! | [`core`] | the whole client as a pure state machine; builds for the browser |
//! | [`files`] | sealed files: made, sent, fetched, opened |
//! | [`Client`] | the native face: one per home, over tokio and SQLite |

pub mod core;
mod details;
mod error;
#[cfg(feature = "native")]
pub mod files;
mod linking;
mod links;
mod media;
mod model;
#[cfg(feature = "native")]
mod native;
mod news;

pub use details::{
    Act, Arrived, Changed, Context, Details, Info, Mention, Poll, PollOption, Quote, Reach,
    Reaction, Recipient, Recipients, Settings,
};
pub use error::Error;
pub use linking::{LinkId, LinkingState};
pub use links::{link_to, links_in, mentions_in, message_of_link};
pub use media::{
    CAPTION_BYTES_MAX, MIME_BYTES_MAX, Media, MediaInfo, NAME_BYTES_MAX, THUMBNAIL_BYTES_MAX,
    WAVEFORM_STEPS_MAX,
};
pub use model::{
    ChatId, ChatSummary, ConnectionState, Contact, DeviceInfo, Event, Failure, GroupInfo,
    GroupMemberInfo, HistoryItem, HistoryProgress, Me, MessageState, NewcomerEvent, Note,
    OwnProfile, Presence, PresenceState, Reported, SafetyNumber, Visibility, WarningKind,
};
#[cfg(feature = "native")]
pub use native::{Client, EventStream, InboxReader, Joined, SEND_ALL_BYTES_MAX, Since};
pub use news::{GroupChange, GroupNews, GroupPerson};
