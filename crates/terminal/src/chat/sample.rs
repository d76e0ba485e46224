//! Messages and chats for the tests of the messenger.

use godwit_base::{DeviceId, MessageId};
use godwit_client::{ChatId, ChatSummary, Details, HistoryItem, Me, MessageState};

/// Sunday 2026-03-01 14:23 UTC.
pub(crate) const NOW: u64 = 1_772_374_980_000;

pub(crate) fn handle(text: &str) -> ChatId {
    text.parse().unwrap()
}

/// Us.
pub(crate) fn alice() -> Me {
    let device = DeviceId::new(0xa11ce, 1);
    Me { handle: "alice".parse().unwrap(), account: device.account, device }
}

/// Builds one message between alice, who looks at the screen, and bob.
pub(crate) struct Sample(HistoryItem);

/// Message number `row`; one from alice goes to bob, one from anybody else to alice.
pub(crate) fn message(row: u64, from: &str, text: &str) -> Sample {
    let (to, with) = if from == "alice" { ("bob", "bob") } else { ("alice", from) };
    let account = if from == "alice" { 0xa11ce } else { 0xb0b };
    Sample(HistoryItem {
        row,
        id: MessageId { device: DeviceId::new(account, 1), counter: row },
        with: handle(with),
        from: from.parse().unwrap(),
        to: handle(to),
        outgoing: from == "alice",
        text: Some(text.to_owned()),
        note: None,
        sent_at_ms: NOW - 3_600_000 + row * 60_000,
        received_at_ms: Some(NOW),
        state: MessageState::Delivered,
        details: Details::default(),
    })
}

impl Sample {
    pub(crate) fn state(mut self, state: MessageState) -> Self {
        self.0.state = state;
        self
    }

    pub(crate) fn at(mut self, sent_at_ms: u64) -> Self {
        self.0.sent_at_ms = sent_at_ms;
        self
    }

    pub(crate) fn item(self) -> HistoryItem {
        self.0
    }
}

pub(crate) fn chat(with: &str, last_text: &str, unread: u32) -> ChatSummary {
    ChatSummary {
        with: handle(with),
        last_text: Some(last_text.to_owned()),
        last_at_ms: NOW - 60_000,
        unread,
        verified: false,
        notice: None,
        name: None,
        blocked: false,
        muted_until_ms: 0,
    }
}
