//! Messages that disappear, and other settings: a chat's timer, read receipts.

use godwit_base::{AccountId, GroupId, MessageId};
use serde::{Deserialize, Serialize};

use super::annotate::Stamp;
use super::command::SendKey;
use super::kinds::{Mark, check_timer};
use super::now::Now;
use super::output::Write;
use super::receiving::Place;
use super::{Body, Core};
use crate::{Act, ChatId, Error, Settings};

/// How often messages whose time is up are looked for while there may be some, 10 seconds: the
/// shortest timer. A look that finds nothing writes nothing.
const EXPIRE_EVERY_MS: u64 = 10_000;

/// The timer of a chat, and who set it last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timer {
    /// 0 is none.
    pub(crate) seconds: u32,
    pub(crate) set: Stamp,
}

/// Whose timer: of the chat with an account, or of a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Account(AccountId),
    Group(GroupId),
}

/// When to look for messages whose time is up.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// A timer runs, as far as this process knows.
    runs: bool,
    next_at_ms: u64,
}

impl Core {
    /// Sets the timer of a chat, for both sides: what is sent from now on disappears so many seconds
    /// after it was sent (here) or read (there). 0 takes it away.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::NoChat`], and those of [`send`](Self::send).
    pub fn set_timer(
        &mut self,
        key: SendKey,
        with: &ChatId,
        timer_s: u32,
        now: Now,
    ) -> Result<MessageId, Error> {
        check_timer(timer_s)?;
        let of = match with {
            ChatId::Contact(handle) => self.contacts.account_of(handle).map(Of::Account),
            ChatId::Group(id) => self.groups.get(*id).map(|_| Of::Group(*id)),
        };
        let of = of.ok_or_else(|| Error::NoChat(with.clone()))?;
        let is_news = self.commands.get(&key).is_none();
        let at_ms = self.next_said_at(now);
        let ids = self.say_in(key, with, vec![Body::timer(timer_s)], at_ms)?;
        let id = ids.first().copied().ok_or_else(|| Error::NoChat(with.clone()))?;
        if is_news {
            self.take_timer(of, timer_s, Stamp::new(at_ms, id));
        }
        Ok(id)
    }

    /// The timer of a chat, seconds; 0 is none.
    pub fn timer(&self, with: &ChatId) -> u32 {
        let timer = match with {
            ChatId::Contact(handle) => self.contacts.by_handle(handle).map(|c| c.record.timer),
            ChatId::Group(id) => self.groups.get(*id).map(|known| known.record.timer),
        };
        timer.map_or(0, |timer| timer.seconds)
    }

    /// Somebody set the timer of a chat.
    pub(super) fn take_timer(&mut self, of: Of, seconds: u32, set: Stamp) {
        self.heard_said_at(set.at_ms);
        self.timer_runs(seconds);
        let former = match of {
            Of::Account(account) => self.contacts.get(account).map(|c| c.record.timer),
            Of::Group(id) => self.groups.get(id).map(|known| known.record.timer),
        };
        if former.is_none_or(|former| former.set >= set) {
            return;
        }
        let timer = Timer { seconds, set };
        match of {
            Of::Account(account) => {
                if let Some(contact) = self.contacts.get_mut(account) {
                    contact.record.timer = timer;
                }
            }
            Of::Group(id) => {
                if let Some(known) = self.groups.get_mut(id) {
                    known.record.timer = timer;
                }
            }
        }
    }

    /// Something has this timer.
    pub(super) fn timer_runs(&mut self, seconds: u32) {
        self.expiry.runs |= seconds > 0;
    }

    /// Removes messages whose time is up.
    pub(super) fn expire(&mut self, now: Now) {
        let now_ms = self.wall_ms(now);
        self.expiry.next_at_ms = now.mono_ms + EXPIRE_EVERY_MS;
        self.outbox.expire(now_ms);
        self.staged.writes.push(Write::Expire { now_ms });
    }

    /// When to look again, while a timer runs.
    pub(super) fn expire_at_ms(&self) -> Option<u64> {
        self.expiry.runs.then_some(self.expiry.next_at_ms)
    }

    /// Whether others are told what was read here, and we are shown what they have read: one goes
    /// with the other.
    pub fn sends_receipts(&self) -> bool {
        !self.me.home.without_receipts
    }

    /// What is set for this account.
    pub fn settings(&self) -> Settings {
        let timers = self.contacts.all().map(|contact| &contact.record);
        let timers = timers.filter(|record| record.current && record.timer.seconds > 0);
        let timers = timers.map(|record| ((&record.handle).into(), record.timer.seconds));
        let in_groups = self.groups.all().filter(|(_, known)| known.record.timer.seconds > 0);
        let in_groups = in_groups.map(|(id, known)| (id.into(), known.record.timer.seconds));
        Settings {
            receipts: self.sends_receipts(),
            presence: self.visibility(),
            timers: timers.chain(in_groups).collect(),
        }
    }

    /// Sets whether others are told what was read, on all devices of this account.
    pub fn set_receipts(&mut self, on: bool, now: Now) {
        if self.sends_receipts() != on {
            self.take_receipts(on);
            let at_ms = self.wall_ms(now);
            self.say_to_own(Body::receipts(on), at_ms);
        }
    }

    fn take_receipts(&mut self, on: bool) {
        self.me.home.without_receipts = !on;
        self.home_changed = true;
    }

    /// Another device of ours has set something.
    pub(super) fn on_mark(&mut self, place: Place, stamp: Stamp, mark: &Mark, body: &[u8]) {
        match mark {
            Mark::Star { about, on } => {
                self.on_about(place, *about, stamp, &Act::Star(*on), body);
            }
            Mark::Receipts(on) => self.take_receipts(*on),
        }
    }
}
