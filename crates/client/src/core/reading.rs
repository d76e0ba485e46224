//! Marks that the user sets: read.

use godwit_base::{DeviceId, MessageId};

use super::now::Now;
use super::outbox::{Kind, Target};
use super::output::Write;
use super::{Body, Content, Core};
use crate::{ChatId, Error};

impl Core {
    /// Marks everything that a contact sent as read, and tells them.
    pub fn mark_read(&mut self, with: &ChatId, now: Now) {
        let with = match with {
            ChatId::Contact(handle) => handle,
            ChatId::Group(group) => return self.read_group(*group, now),
        };
        for account in self.contacts.accounts_of(with) {
            let Some(contact) = self.contacts.get(account) else { continue };
            let shown: Vec<(DeviceId, u64)> = contact
                .heard_of()
                .map(|(number, remote)| (DeviceId { account, number }, remote.record.shown))
                .collect();
            for (device, up_to) in shown {
                self.read_up_to(device, up_to, now);
            }
        }
    }

    /// Marks a message, and all of its device before it, as read, and tells its sender.
    ///
    /// # Errors
    /// [`Error::NoMessage`] when no such message was shown.
    pub fn mark_message_read(&mut self, id: MessageId, now: Now) -> Result<(), Error> {
        let shown = self.contacts.remote(id.device).map_or(0, |remote| remote.record.shown);
        if id.counter > shown {
            return Err(Error::NoMessage(id));
        }
        self.read_up_to(id.device, id.counter, now);
        Ok(())
    }

    fn read_up_to(&mut self, device: DeviceId, up_to: u64, now: Now) {
        let told = self.contacts.remote(device).map_or(u64::MAX, |r| r.record.read_told);
        if up_to <= told {
            return;
        }
        if let Some(record) = self.contacts.record_mut(device) {
            record.read_told = up_to;
        }
        let at_ms = self.wall_ms(now);
        self.staged.writes.push(Write::ReadHere { from: device, up_to, at_ms });
        let body = Body::read(device.number, up_to);
        // Who is blocked does not learn that it was seen.
        if !self.sends_receipts() || self.is_blocked(device.account) {
            if let Some(to) = self.sent_to(device.account) {
                self.say_to_own(Body::for_own_devices(&body, &to), at_ms);
            }
            return;
        }
        match self.unsealed_read(device) {
            Some(counter) => {
                if let Some(message) = self.outbox.get_mut(counter) {
                    message.body.0 = body;
                }
            }
            None => self.say_to(device.account, Kind::Read, body, now),
        }
    }

    /// A read receipt for that device which has not gone out: the new one takes its place.
    fn unsealed_read(&self, device: DeviceId) -> Option<u64> {
        let found = self.outbox.pending().find(|(_, message)| {
            message.kind == Kind::Read
                && !message.is_sealed()
                && message.target == Target::Account(device.account)
                && matches!(
                    Body::decode(&message.body.0).content,
                    Content::Read { device: number, .. } if number == device.number
                )
        });
        found.map(|(counter, _)| counter)
    }
}
