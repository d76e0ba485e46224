//! A phone: the real client core, with the driver in memory that the client's own tests use, and where its
//! driver stands.

use std::collections::BTreeMap;

use godwit_base::{Handle, JoinLink, MessageId};
use godwit_client::MessageState;
use godwit_client::core::{Now, Seat};

use crate::device::Device;
use crate::facts::Fact;
use crate::house::BEGIN_MS;

/// One phone.
pub struct Phone {
    pub(crate) device: Device,
    /// The connection that it has, as far as it knows.
    pub(crate) link: Option<u64>,
    /// A commit is under way.
    pub(crate) commits: bool,
    /// Counts its processes, so that what the one before began does not end in the next.
    pub(crate) life: u64,
    /// Counts its attempts to dial.
    pub(crate) dials: u64,
    /// No network until then.
    pub(crate) away_until_ms: u64,
    /// Its process is away until then.
    pub(crate) dead_until_ms: u64,
    /// How far its clock is off.
    pub(crate) off_ms: i64,
    /// Its owner wants it off the account: nothing is promised to it any more.
    pub(crate) is_removed: bool,
    /// How far its history has been looked at.
    seen: u64,
    /// Of what it sent, how far each came.
    states: BTreeMap<MessageId, MessageState>,
}

impl Phone {
    /// A phone whose owner wants this handle.
    pub fn new(handle: &str, join: &JoinLink, now_ms: u64) -> Self {
        Self::of(Device::new(handle, join, Now { wall_ms: BEGIN_MS + now_ms, mono_ms: now_ms }))
    }

    /// A further phone, which is on the list of its account.
    pub fn linked(handle: &Handle, join: &JoinLink, seat: Seat, now_ms: u64) -> Self {
        let now = Now { wall_ms: BEGIN_MS + now_ms, mono_ms: now_ms };
        Self::of(Device::linked(handle, join, seat, now))
    }

    fn of(device: Device) -> Self {
        Self {
            device,
            link: None,
            commits: false,
            life: 0,
            dials: 0,
            away_until_ms: 0,
            dead_until_ms: 0,
            off_ms: 0,
            is_removed: false,
            seen: 0,
            states: BTreeMap::new(),
        }
    }

    /// The time as it knows it.
    pub fn now(&self, now_ms: u64) -> Now {
        Now { wall_ms: (BEGIN_MS + now_ms).saturating_add_signed(self.off_ms), mono_ms: now_ms }
    }

    /// When its core must be told the time.
    pub fn deadline(&self) -> Option<u64> {
        self.device.core.as_ref()?.deadline()
    }

    /// What its history has that it had not when this was asked last: what is durable, whether or not its
    /// process lived to show it.
    pub fn news(&mut self, at: usize) -> Vec<Fact> {
        let mut facts = Vec::new();
        let me = self.device.id();
        for (row, item) in self.device.history.items.range(self.seen..) {
            self.seen = row + 1;
            facts.push(if item.id.device == me {
                Fact::Sent { phone: at, id: item.id }
            } else {
                Fact::Shown { phone: at, id: item.id, text: item.text.clone() }
            });
        }
        for item in self.device.history.items.values().filter(|item| item.id.device == me) {
            let former = self.states.insert(item.id, item.state).unwrap_or(MessageState::Pending);
            if former != item.state {
                facts.push(Fact::State { phone: at, id: item.id, state: item.state });
            }
        }
        facts
    }

    /// Whether it is attached and knows all that the server has for it, and all that it said has come to
    /// its end.
    pub fn is_done(&self) -> bool {
        let Some(core) = &self.device.core else { return false };
        let is_open = |state| matches!(state, MessageState::Pending | MessageState::Accepted);
        let mut items = self.device.history.items.values();
        core.is_caught_up() && !items.any(|item| item.outgoing && is_open(item.state))
    }
}
