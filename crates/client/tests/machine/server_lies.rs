//! What only a server does that is slow, careless, or lies.

use std::collections::VecDeque;

use godwit_base::{AccountId, DeviceId, MessageId, Seq};
use godwit_wire::v1;

use crate::server::{Entry, Server};
use crate::server_accounts::Published;

impl Server {
    /// Of a rendezvous it keeps what is left there; whoever listens waits for what a test says.
    pub(crate) fn relay(&mut self, at: usize, relay: v1::Relay) {
        let (request, is_left) = (relay.request, !relay.body.is_empty());
        self.relayed.push(relay);
        if !is_left {
            return;
        }
        match self.mischief.relay_refused.pop() {
            Some((refusal, wait_ms)) => self.refuse(at, 0, request, refusal, wait_ms),
            None => self.say(at, v1::Relayed { request, ..v1::Relayed::default() }),
        }
    }

    /// Records of a mailbox change places, if `may_pass` lets the second of these two pass the first, which
    /// is before it. For who is not attached: nobody has been shown the old order and can acknowledge it.
    pub(crate) fn reorder(
        &mut self,
        of: DeviceId,
        mut chance: u64,
        may_pass: impl Fn(&(Seq, Entry), &(Seq, Entry)) -> bool,
    ) {
        let Some(mailbox) = self.mailboxes.get_mut(&of) else { return };
        let numbers: Vec<Seq> = mailbox.iter().map(|(seq, _)| *seq).collect();
        let mut records: Vec<(Seq, Entry)> = mailbox.drain(..).collect();
        for _ in 0..records.len() {
            for at in 1..records.len() {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if chance >> 63 == 1 && may_pass(&records[at - 1], &records[at]) {
                    records.swap(at - 1, at);
                }
            }
        }
        let entries = records.into_iter().map(|(_, entry)| entry);
        *mailbox = numbers.into_iter().zip(entries).collect::<VecDeque<_>>();
    }

    /// A body as it is handed over.
    pub(crate) fn damaged(&self, id: MessageId, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        if self.mischief.damage.contains(&id) {
            *body.last_mut().unwrap() ^= 1;
        }
        body
    }

    /// What a message is in a mailbox, taken out.
    pub(crate) fn withhold_of(&mut self, to: DeviceId, id: MessageId) -> Entry {
        let mailbox = self.mailboxes.get_mut(&to).unwrap();
        let place = mailbox.iter().position(|(_, entry)| entry.id() == Some(id)).unwrap();
        mailbox.remove(place).unwrap().1
    }

    /// A device is none any more, as if a list had left it out.
    pub(crate) fn expel(&mut self, device: DeviceId) {
        let account = self.accounts.get_mut(&device.account).unwrap();
        let known = account.devices.remove(&device.number.0).unwrap();
        self.mailboxes.remove(&device);
        self.revoked.insert(known.link_key, device);
        self.hang_up(device);
    }

    /// A device that was removed is one again for the server, whatever the list says.
    pub(crate) fn reinstate(&mut self, device: DeviceId) {
        let Some((link_key, _)) = self.revoked.iter().find(|(_, was)| **was == device) else {
            return;
        };
        let link_key = link_key.clone();
        self.revoked.remove(&link_key);
        let account = self.accounts.get_mut(&device.account).unwrap();
        let mut known = Published::default();
        known.link_key = link_key;
        account.devices.insert(device.number.0, known);
        self.mailboxes.entry(device).or_default();
    }
}

impl Entry {
    /// The device whose word it is; nobody's if it is the server's own.
    pub(crate) const fn sender(&self) -> Option<DeviceId> {
        match self {
            Self::Message { from, .. } | Self::Post { from, .. } => Some(*from),
            Self::Receipt { .. } | Self::News { .. } | Self::Reach { .. } => None,
        }
    }

    const fn id(&self) -> Option<MessageId> {
        match self {
            Self::Message { from, counter, .. } | Self::Post { from, counter, .. } => {
                Some(MessageId { device: *from, counter: *counter })
            }
            Self::Receipt { .. } | Self::News { .. } | Self::Reach { .. } => None,
        }
    }

    /// The account whose doing it is.
    pub(crate) fn account(&self) -> Option<AccountId> {
        match self {
            Self::Receipt { by, .. } => Some(by.account),
            other => other.sender().map(|device| device.account),
        }
    }
}
