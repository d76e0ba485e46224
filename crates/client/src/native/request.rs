//! What a [`Client`](super::Client) asks of the process that owns the home, and the answers. The
//! same whether the owner is this process or another behind the home's socket.

use godwit_base::{Handle, MessageId};
use serde::{Deserialize, Serialize};

use crate::core::{GroupCommand, GroupOutcome, SendKey};
use crate::{
    Act, Arrived, ChatId, ChatSummary, Context, DeviceInfo, Error, GroupInfo, HistoryItem,
    LinkingState, MessageState, Recipient, SafetyNumber, Settings,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The key names the command: asked again after the owner died, it sends nothing twice.
    Send {
        key: SendKey,
        to: ChatId,
        texts: Vec<String>,
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
    /// Answered when the server has taken the change, or will not.
    ChangeGroup {
        command: GroupCommand,
    },
    Groups,
    /// Dial now, if a delay is being waited out.
    DialNow,
    ApproveLink {
        code: String,
    },
    ConfirmLink,
    CancelLink,
    Linking,
    Devices,
    RevokeDevice {
        device: u32,
    },
    RecoveryWords,
}

/// The account key; never printed by accident.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Words(pub(crate) String);

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words(..)")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Response {
    Sent(Vec<MessageId>),
    State(Option<MessageState>),
    Messages(Vec<HistoryItem>),
    Arrived(Vec<Arrived>),
    Flag(bool),
    Recipients(Vec<Recipient>),
    Settings(Settings),
    Chats(Vec<ChatSummary>),
    SafetyNumber(SafetyNumber),
    Linking(Option<LinkingState>),
    Devices(Vec<DeviceInfo>),
    Words(Words),
    Group(GroupOutcome),
    Groups(Vec<GroupInfo>),
    Done,
}

impl Request {
    /// Whether only what is stored is asked for; the rest goes through the core.
    pub(crate) const fn is_question(&self) -> bool {
        matches!(
            self,
            Self::State { .. }
                | Self::History { .. }
                | Self::HistoryAfter { .. }
                | Self::ArrivedAfter { .. }
                | Self::Message { .. }
                | Self::Chats
                | Self::Search { .. }
        )
    }
}

pub(crate) type Answer = Result<Response, Error>;
