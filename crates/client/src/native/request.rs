//! What a [`Client`](super::Client) asks of the process that owns the home, and the answers. The
//! same whether the owner is this process or another behind the home's socket.

use std::fmt;

use godwit_base::{BlobId, Handle, MessageId};
use godwit_seal::FileKey;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::core::{GroupCommand, GroupOutcome, PastPage, PastWanted, SendKey};
use crate::{
    Act, Arrived, ChatId, ChatSummary, Contact, Context, DeviceInfo, Error, GroupInfo, HistoryItem,
    HistoryProgress, LinkId, LinkingState, Media, MediaInfo, MessageState, OwnProfile, Presence,
    Recipients, Reported, SafetyNumber, Settings, Visibility,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The key names the command: asked again after the owner died, it sends nothing twice.
    Send {
        key: SendKey,
        to: ChatId,
        texts: Vec<String>,
    },
    /// A file that lies sealed in the home: upload it, then send its message. Answered when it is sent.
    SendFile {
        key: SendKey,
        to: ChatId,
        media: Box<Passed>,
        text: String,
        context: Context,
    },
    /// The file that a message names.
    FileOf {
        id: MessageId,
    },
    /// Bring a file into the home, sealed as it is. Answered when it is there.
    Bring {
        media: Box<Passed>,
        /// Whether the server is to be told: not by the device that uploaded it.
        tell: bool,
    },
    State {
        id: MessageId,
    },
    History {
        with: ChatId,
        before: Option<u64>,
        limit: u32,
    },
    /// Messages of a chat stored after a row, oldest first.
    HistoryAfter {
        with: ChatId,
        after: u64,
        limit: u32,
    },
    /// What came, from others or from other devices of this account, stored after a row, oldest
    /// first.
    ArrivedAfter {
        row: u64,
        limit: u32,
    },
    Message {
        id: MessageId,
    },
    SendWith {
        key: SendKey,
        to: ChatId,
        text: String,
        context: Context,
    },
    SendPoll {
        key: SendKey,
        to: ChatId,
        question: String,
        options: Vec<String>,
        several: bool,
    },
    Act {
        key: SendKey,
        with: ChatId,
        about: MessageId,
        act: Act,
    },
    /// Whether a message of this device waits for the server.
    IsUnsent {
        id: MessageId,
    },
    /// Of a message to a group answered when the server has said, if it has to be asked.
    Recipients {
        with: ChatId,
        id: MessageId,
    },
    SetTimer {
        key: SendKey,
        with: ChatId,
        timer_s: u32,
    },
    Settings,
    SetReceipts {
        on: bool,
    },
    Chats,
    MarkRead {
        with: ChatId,
    },
    MarkMessageRead {
        id: MessageId,
    },
    Search {
        text: String,
        limit: u32,
    },
    SafetyNumber {
        with: Handle,
    },
    SetVerified {
        with: Handle,
        verified: bool,
    },
    IsCaughtUp,
    /// Answered when the server has taken the change, or will not.
    ChangeGroup {
        command: GroupCommand,
    },
    Groups,
    /// Answered when the server has said who has the handle, or that nobody has.
    Find {
        with: Handle,
    },
    /// Whom this account knows, and what was decided of others.
    People,
    SetBlocked {
        with: Handle,
        blocked: bool,
    },
    SetMuted {
        with: Handle,
        until_ms: u64,
    },
    Profile,
    /// What is none stays as it is.
    SetProfile {
        name: Option<String>,
        about: Option<String>,
        picture: Option<Vec<u8>>,
    },
    PictureOf {
        with: Handle,
    },
    Report {
        with: Handle,
        reason: String,
        messages: Vec<Reported>,
    },
    /// Dial now, if a delay is being waited out.
    DialNow,
    ApproveLink {
        code: String,
    },
    ConfirmLink {
        link: LinkId,
        with_history: bool,
    },
    /// How far a new device was given the history; nothing when that is done.
    HistoryProgress,
    /// Rows for that, newest first.
    Past(PastWanted),
    CancelLink {
        link: LinkId,
    },
    /// Whoever asked for this linking is gone.
    AbandonLink {
        link: LinkId,
    },
    Linking,
    Devices,
    RevokeDevice {
        device: u32,
    },
    RecoveryWords,
    OpenChat {
        with: Handle,
    },
    CloseChat {
        with: Handle,
    },
    Types {
        with: Handle,
        on: bool,
    },
    Visibility,
    SetVisibility {
        visibility: Visibility,
        anew: bool,
    },
    /// Answered when the server has what the user set, and contacts were sent it; false: that is not
    /// waited for.
    IsTold,
}

/// The account key; wiped when dropped, never printed by accident.
#[derive(Clone, Serialize, Deserialize, ZeroizeOnDrop)]
pub(crate) struct Words(String);

impl Words {
    pub(crate) fn of(words: &str) -> Self {
        Self(words.to_owned())
    }

    /// The words, for a person to write down; whoever takes them wipes them.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Words(..)")
    }
}

/// A file between processes of one home, over its socket; never printed by accident.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) blob: BlobId,
    key: [u8; 32],
    pub(crate) sealed_bytes: u64,
    info: MediaInfo,
}

impl From<&Media> for Passed {
    fn from(media: &Media) -> Self {
        Self {
            blob: media.blob,
            key: *media.key.to_bytes(),
            sealed_bytes: media.sealed_bytes,
            info: media.info.clone(),
        }
    }
}

impl Passed {
    pub(crate) fn media(&self) -> Media {
        let key = FileKey::from_bytes(&Zeroizing::new(self.key));
        let (blob, sealed_bytes) = (self.blob, self.sealed_bytes);
        Media { blob, key, sealed_bytes, info: self.info.clone() }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passed(..)")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Response {
    Sent(Vec<MessageId>),
    State(Option<MessageState>),
    File(Box<Passed>),
    Messages(Vec<HistoryItem>),
    Arrived(Vec<Arrived>),
    Flag(bool),
    Recipients(Recipients),
    Settings(Settings),
    Chats(Vec<ChatSummary>),
    SafetyNumber(SafetyNumber),
    Linking(Option<(LinkId, LinkingState)>),
    Devices(Vec<DeviceInfo>),
    Words(Words),
    Group(GroupOutcome),
    Groups(Vec<GroupInfo>),
    Presence(Option<Presence>),
    Visibility(Visibility),
    People(Vec<Contact>),
    Profile(OwnProfile),
    Picture(Option<Vec<u8>>),
    Past(PastPage),
    HistoryProgress(Option<HistoryProgress>),
    Done,
}

impl Request {
    /// Whether only what is stored is asked for; the rest goes through the core.
    pub(crate) const fn is_question(&self) -> bool {
        matches!(
            self,
            Self::State { .. }
                | Self::FileOf { .. }
                | Self::History { .. }
                | Self::HistoryAfter { .. }
                | Self::ArrivedAfter { .. }
                | Self::Message { .. }
                | Self::Past(_)
                | Self::Chats
                | Self::Search { .. }
        )
    }
}

pub(crate) type Answer = Result<Response, Error>;
