//! What can go wrong in a call, and what to do then.

use godwit_base::{GroupId, Handle, MessageId};
use godwit_wire::Refusal;
use serde::{Deserialize, Serialize};

use crate::{ChatId, Failure};

/// Why a call failed. Each message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The home holds no account yet.
    #[error("{home} holds no account: join first, with the link that the server printed")]
    NotJoined {
        /// The home.
        home: String,
    },
    /// The path of the home is too long for the socket inside it.
    #[error(
        "the path {home} is {too_long} bytes too long for the socket in it: choose a shorter one"
    )]
    PathTooLong {
        /// The home.
        home: String,
        /// Bytes to save.
        too_long: usize,
    },
    /// The home already holds an account.
    #[error("{home} already belongs to {handle}: use another home for another account")]
    AlreadyJoined {
        /// The home.
        home: String,
        /// Its account.
        handle: Handle,
    },
    /// The server refused; the number is of its refusal table.
    #[error("{text}: {advice}")]
    Refused {
        /// Number of the refusal.
        code: u16,
        /// What was refused.
        text: String,
        /// What to do.
        advice: String,
    },
    /// No answer from the server.
    #[error("cannot reach the server at {address} ({reason}): check the address and the network")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Another process owns the home and does not answer.
    #[error("another process uses {home} and does not answer: end it, then try again")]
    HomeBusy {
        /// The home.
        home: String,
    },
    /// The process that owns the home is of another version.
    #[error("the process that owns this home is of another version: end it, then try again")]
    OtherVersion,
    /// The home's files cannot be read or written.
    #[error("cannot use the home's files ({0}): check space and permissions")]
    Storage(String),
    /// The home's files do not fit together.
    #[error("the home is damaged ({0}): restore its folder whole, or join anew with an empty one")]
    Damaged(String),
    /// The text is larger than a message may be.
    #[error("the text has {bytes} bytes, a message holds {max}: send it in parts")]
    TextTooLong {
        /// Its size in UTF-8.
        bytes: usize,
        /// The largest.
        max: usize,
    },
    /// The texts of one command are larger than a command may be.
    #[error("the texts have {bytes} bytes, one command takes {max}: send them in parts")]
    TextsTooLong {
        /// Their size in UTF-8.
        bytes: usize,
        /// The largest.
        max: usize,
    },
    /// Nobody writes to themselves, blocks themselves, and so on.
    #[error("that is your own handle: name somebody else")]
    ToYourself,
    /// The outbox holds all that it may.
    #[error(
        "the outbox holds {max} messages that the server has not accepted: wait until it is online"
    )]
    OutboxFull {
        /// Messages it may hold.
        max: usize,
    },
    /// The contact's key changed and the user had verified the old one.
    #[error("{0} was verified and now has another key: compare the safety number, then accept it")]
    KeyChanged(Handle),
    /// The user has blocked this contact.
    #[error("you have blocked {0}: unblock them first (`godwit unblock {0}`)")]
    Blocked(Handle),
    /// Nobody of this handle is known to this home; `Client::find` asks the server.
    #[error("nobody called {0} is known here: write to them, or wait until they write")]
    NoContact(Handle),
    /// As many handles are asked for as may be.
    #[error("{max} handles are asked for already: try again in a moment")]
    TooManyFinds {
        /// So many.
        max: usize,
    },
    /// As many accounts are blocked or muted as may be.
    #[error("{max} accounts are blocked or muted already: lift that of another first")]
    TooManySettings {
        /// So many.
        max: usize,
    },
    /// A profile breaks its bounds.
    #[error("the profile was not changed: {0}")]
    BadProfile(String),
    /// A report breaks its bounds.
    #[error("nothing was reported: {0}")]
    BadReport(String),
    /// Only the main device changes the account's devices.
    #[error("only the main device, which holds the account key, can do that: use that one")]
    NotMain,
    /// The account has as many devices as it may.
    #[error("an account has at most {max} devices: revoke one first (`godwit devices`)")]
    TooManyDevices {
        /// So many.
        max: usize,
    },
    /// The account has no such device.
    #[error("no other device {0}: `godwit devices` lists them")]
    NoDevice(u32),
    /// No device takes itself off its account.
    #[error("this device cannot revoke itself: {}", instead(*.main))]
    OwnDevice {
        /// Whether it is the main one.
        main: bool,
    },
    /// The account's list changes already.
    #[error("another change of the devices is on its way to the server: try again in a moment")]
    ListBusy,
    /// This device is none of its account's any more.
    #[error("this device was removed from its account: join anew with another home")]
    Revoked,
    /// This device links another one already.
    #[error(
        "another device is being linked: try again when that has ended, in ten minutes at most"
    )]
    LinkingBusy,
    /// Linking a device, or recovering an account, came to nothing.
    #[error("not linked: {0}")]
    Linking(String),
    /// These are no recovery words.
    #[error("these are no recovery words: {0}")]
    Words(String),
    /// The handle leads to nobody.
    #[error("{handle}: {why}")]
    NoAccount {
        /// The handle.
        handle: Handle,
        /// What the server says.
        why: Failure,
    },
    /// This device knows no such group.
    #[error("no group {0} here: `godwit group list` shows them")]
    NoGroup(GroupId),
    /// The group cannot be changed so.
    #[error("{0}")]
    Group(String),
    /// Nothing is to be seen of the name that a group is to have.
    #[error("the name is empty: give one that people can read")]
    BlankName,
    /// Too many changes of groups wait.
    #[error("too many changes of groups wait for the server: try again when it is online")]
    GroupsBusy,
    /// No such chat.
    #[error("there is no chat with {0}: send a message first")]
    NoChat(ChatId),
    /// This home never sent such a message.
    #[error("no message {0} in this home")]
    NoMessage(MessageId),
    /// Only its author may do that.
    #[error("message {0} is another's: only its author edits or deletes it")]
    NotAuthor(MessageId),
    /// It is no message to which this can be done.
    #[error("message {0} is of a kind to which this cannot be done")]
    WrongKind(MessageId),
    /// A file to be sent or saved cannot be read, written, sealed or opened, or is not what it should be.
    #[error("{0}")]
    File(String),
    /// The message names no file.
    #[error("message {0} has no file")]
    NoFile(MessageId),
    /// Too many files wait for the server.
    #[error("{max} files wait for the server already: wait until it is online")]
    TooManyFiles {
        /// So many may.
        max: usize,
    },
    /// Something of what was to be said is beyond its bound.
    #[error("{what} is not possible: {bound}")]
    OutOfBounds {
        /// What.
        what: String,
        /// What would be.
        bound: String,
    },
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

impl Error {
    /// The server refused, with this number of its table.
    pub(crate) fn refused(code: u32) -> Self {
        let refusal = Refusal::from_number(code);
        Self::Refused {
            code: u16::try_from(code).unwrap_or(u16::MAX),
            text: refusal.map_or("the server refused it", Refusal::text).to_owned(),
            advice: refusal.map_or("update this program", Refusal::advice).to_owned(),
        }
    }

    /// Linking or recovering failed, for this reason.
    pub(crate) fn linking(why: &impl std::fmt::Display) -> Self {
        Self::Linking(why.to_string())
    }
}

/// What to do where a device cannot revoke itself.
const fn instead(main: bool) -> &'static str {
    match main {
        true => "it is the main one, whose place `godwit recover` takes on another home",
        false => "do it on the main device (`godwit devices` shows which that is)",
    }
}

#[cfg(feature = "native")]
impl From<crate::files::FileError> for Error {
    fn from(error: crate::files::FileError) -> Self {
        Self::File(error.to_string())
    }
}
