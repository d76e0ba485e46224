//! What is said about another message: reactions, edits, deletions, votes, stars.
//!
//! Who may do it to which message is checked in two places: that an author edits and deletes only
//! what is theirs here, by the message's id; that the message is one of the chat where the history is
//! kept, by [`Write::Annotate`].

use godwit_base::{DeviceId, Handle, MessageId};

use super::body::SentTo;
use super::command::{Made, SendKey};
use super::now::Now;
use super::outbox::{Kind, Outgoing, Target};
use super::output::{Annotation, Write};
use super::receiving::Place;
use super::{Body, Core};
use crate::{Act, ChatId, Error, MessageState, Recipient};

/// Orders what is said about one thing: time, then device, then counter. A device's own times only
/// grow, also when its clock goes back.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Stamp {
    /// As the sender says, unix milliseconds.
    pub at_ms: u64,
    /// The sending device, by its account and number.
    pub device: (u64, u32),
    /// Its counter.
    pub counter: u64,
}

impl Stamp {
    pub(super) const fn new(at_ms: u64, id: MessageId) -> Self {
        let DeviceId { account, number } = id.device;
        Self { at_ms, device: (account.0, number.0), counter: id.counter }
    }

    /// The id of the message that said it.
    pub const fn id(&self) -> MessageId {
        let device = DeviceId::new(self.device.0, self.device.1);
        MessageId { device, counter: self.counter }
    }
}

impl Core {
    /// Does something about a message of a chat, and tells the others. Asked again with the same key,
    /// it answers the same and does nothing more.
    ///
    /// # Errors
    /// [`Error::NotAuthor`], [`Error::OutOfBounds`], [`Error::TextTooLong`], [`Error::NoChat`],
    /// [`Error::OutboxFull`], [`Error::KeyChanged`].
    pub fn annotate(
        &mut self,
        key: SendKey,
        with: &ChatId,
        about: MessageId,
        act: &Act,
        now: Now,
    ) -> Result<MessageId, Error> {
        if let Some(Made { first, .. }) = self.commands.get(&key) {
            return Ok(self.own_id(first));
        }
        act.check()?;
        if act.is_authors() && !self.is_own(about.device.account) {
            return Err(Error::NotAuthor(about));
        }
        let body = Body::about(about, act);
        let at_ms = self.next_said_at(now);
        let id = if matches!(act, Act::Star(_)) {
            self.tell_star(with, &body, at_ms)?
        } else {
            self.tell_about(with, &body, at_ms)?
        };
        if *act == Act::Deletion {
            self.take_back(about);
        }
        let from = self.me.home.handle.clone();
        let place = Place { with: with.clone(), from, outgoing: true };
        self.write_annotation(place, about, Stamp::new(at_ms, id), act, &body);
        self.commands.add(key, Made { first: id.counter, count: 1 });
        Ok(id)
    }

    /// Whether a message of this device waits for the server.
    pub fn is_unsent(&self, id: MessageId) -> bool {
        id.device == self.me.device()
            && self.outbox.get(self.outbox.travels_as(id.counter)).is_some()
    }

    /// To whom a message between two went, and which of their devices have it. Their state is the
    /// message's.
    pub fn recipients(&self, handle: &Handle, id: MessageId) -> Vec<Recipient> {
        if !self.is_own(id.device.account) {
            return Vec::new();
        }
        let logged = self.outbox.logged(id.counter).filter(|_| id.device == self.me.device());
        let by = logged.and_then(|message| message.accepted.as_ref()?.by.first());
        let devices = by.map_or_else(Vec::new, |by| {
            let device = |number: &u32| {
                let device = DeviceId::new(by.account_key.id().0, *number);
                let remote = self.contacts.remote(device);
                let has = remote.is_some_and(|r| r.record.delivered_up_to >= id.counter);
                (device, has)
            };
            by.devices.iter().map(device).collect()
        });
        vec![Recipient { handle: handle.clone(), state: MessageState::Pending, devices }]
    }

    fn tell_about(&mut self, with: &ChatId, body: &[u8], at_ms: u64) -> Result<MessageId, Error> {
        self.check_recipient(with, 1, body.len())?;
        let counter = self.next_counter();
        self.outbox
            .push(counter, Outgoing::new(Target::of(with), Kind::About, body.to_vec(), at_ms));
        Ok(self.own_id(counter))
    }

    /// Tells our own other devices alone, if there are any.
    fn tell_star(&mut self, with: &ChatId, body: &[u8], at_ms: u64) -> Result<MessageId, Error> {
        let no_chat = || Error::NoChat(with.clone());
        let body = match with {
            ChatId::Contact(handle) => {
                let account = self.contacts.account_of(handle).ok_or_else(no_chat)?;
                Body::for_own_devices(body, &SentTo { account, handle: handle.clone() })
            }
            ChatId::Group(id) => {
                self.groups.get(*id).ok_or_else(no_chat)?;
                Body::in_group(body, *id)
            }
        };
        let counter = self.say_to_own(body, at_ms).unwrap_or_else(|| self.next_counter());
        Ok(self.own_id(counter))
    }

    /// The time of something whose order counts: above all such times that this device knows of.
    pub(super) fn next_said_at(&mut self, now: Now) -> u64 {
        let at_ms = self.wall_ms(now).max(self.me.counters.said_at_ms.saturating_add(1));
        self.heard_said_at(at_ms);
        at_ms
    }

    /// Another device of ours, or the other side of a setting, has said something at this time.
    pub(super) fn heard_said_at(&mut self, at_ms: u64) {
        if at_ms > self.me.counters.said_at_ms {
            self.me.counters.said_at_ms = at_ms;
            self.counters_changed = true;
        }
    }

    /// Something about a message came.
    pub(super) fn on_about(
        &mut self,
        place: Place,
        about: MessageId,
        stamp: Stamp,
        act: &Act,
        body: &[u8],
    ) {
        let by = stamp.device.0;
        if act.is_authors() && about.device.account.0 != by {
            return; // nobody edits or deletes what another has said
        }
        if place.outgoing {
            self.heard_said_at(stamp.at_ms);
            if *act == Act::Deletion {
                self.take_back(about);
            }
        }
        self.write_annotation(place, about, stamp, act, body);
    }

    /// What was taken back is not sent anew.
    fn take_back(&mut self, about: MessageId) {
        if about.device == self.me.device() {
            self.outbox.forget_logged(about.counter);
        }
    }

    fn write_annotation(
        &mut self,
        place: Place,
        about: MessageId,
        stamp: Stamp,
        act: &Act,
        body: &[u8],
    ) {
        let Place { with, from, .. } = place;
        let device = DeviceId::new(stamp.device.0, stamp.device.1);
        let id = MessageId { device, counter: stamp.counter };
        match self.vault.seal_body(id, body) {
            Ok(sealed) => {
                let row = self.next_row();
                let act = act.clone();
                let annotation = Annotation { row, with, about, from, stamp, act, sealed };
                self.staged.writes.push(Write::Annotate(annotation));
            }
            Err(error) => self.fault = Some(error),
        }
    }
}
