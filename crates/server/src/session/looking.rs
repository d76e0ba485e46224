//! What a session has to do with presence: the chats that are open on its device. Owns memory only once
//! the device has said something about presence.

use std::sync::Arc;

use godwit_base::{AccountId, DeviceId};
use godwit_wire::{OPEN_CHATS_MAX, v1};

use crate::handover::{ChatRecord, LookingRecord, SeenRecord};
use crate::node::Node;
use crate::presence::{self, Pass, Rule, Seen};
use crate::rate::{Meter, Rate};
use crate::seat::Seat;

/// What a device may say about presence at once and per second: opening a chat, typing every 5 s and
/// coming to the front are a few a minute. More is passed over; the next one that counts says all anew.
const SAID_BURST: u32 = 20;
const SAID_PER_S: u32 = 4;

/// The presence side of one session.
#[derive(Debug)]
pub(super) struct Looking {
    account: AccountId,
    said: Meter,
    /// At most [`OPEN_CHATS_MAX`], one mark of the seat each.
    chats: Vec<Chat>,
}

#[derive(Debug)]
struct Chat {
    account: AccountId,
    pass: Option<Pass>,
    bit: u8,
    /// Our device types in it.
    typing: bool,
    /// What our device was told last, so that nothing is said twice: that something happens to an account
    /// which hides would be seen from it.
    told: Option<Seen>,
}

const _: () = assert!(OPEN_CHATS_MAX <= u32::BITS as usize, "a mark for each open chat");

impl Looking {
    pub(super) fn new(device: DeviceId) -> Self {
        Self { account: device.account, said: Meter::default(), chats: Vec::new() }
    }

    pub(super) fn open_chats(&self) -> usize {
        self.chats.len()
    }

    /// Whether one more thing may be said now.
    pub(super) fn may_say(&mut self, now_ns: u64) -> bool {
        self.said.take(Rate::per_second(SAID_PER_S, SAID_BURST), now_ns).is_ok()
    }

    /// The device says who may see its account, and whether somebody is there.
    pub(super) fn sets(&self, node: &Node, seat: &Arc<Seat>, set: &v1::PresenceSet) {
        let rule = match set.visibility() {
            v1::Visibility::Everyone => Rule::Everyone,
            v1::Visibility::Contacts => {
                presence::pass(&set.pass).map_or(Rule::Nobody, Rule::Contacts)
            }
            v1::Visibility::Nobody => Rule::Nobody,
        };
        node.presence.set(self.account, seat, set.here, rule, node.moment());
    }

    /// The device says which chats are open: these and no others.
    pub(super) fn watches(&mut self, node: &Node, seat: &Arc<Seat>, watch: &v1::PresenceWatch) {
        let named = |account: AccountId| watch.chats.iter().any(|chat| chat.account == account.0);
        let own = self.account;
        self.chats.retain(|chat| {
            let stays = named(chat.account);
            if !stays {
                chat.close(node, seat, own);
            }
            stays
        });
        for open in &watch.chats {
            let account = AccountId(open.account);
            let pass = presence::pass(&open.pass);
            match self.chats.iter_mut().find(|chat| chat.account == account) {
                Some(chat) => chat.renews(node, seat, own, pass, open.typing),
                None => self.opens(node, seat, account, pass, open.typing),
            }
        }
        if self.chats.is_empty() {
            self.chats = Vec::new();
        }
    }

    fn opens(
        &mut self,
        node: &Node,
        seat: &Arc<Seat>,
        account: AccountId,
        pass: Option<Pass>,
        typing: bool,
    ) {
        let taken = self.chats.iter().fold(0_u32, |taken, chat| taken | (1 << chat.bit));
        let Ok(bit) = u8::try_from(taken.trailing_ones()) else { return };
        if self.chats.len() >= OPEN_CHATS_MAX {
            return; // the wire has no more in one message, and what it does not name was closed
        }
        // Full of others: it is told as unknown, once, and never changes.
        let _ = node.presence.open(account, self.account, seat, bit);
        seat.mark(1 << bit);
        self.chats.reserve_exact(1);
        self.chats.push(Chat { account, pass, bit, typing, told: None });
        if typing {
            node.presence.types(self.account, account, true);
        }
    }

    /// What the device is to be told of the chats with these marks.
    pub(super) fn look(&mut self, node: &Node, seat: &Arc<Seat>, marks: u32) -> Vec<v1::Presence> {
        let sees = node.presence.may_see(self.account);
        let marked = self.chats.iter_mut().filter(|chat| marks & (1 << chat.bit) != 0);
        marked.filter_map(|chat| chat.look(node, seat, sees)).collect()
    }

    /// Writes it down for another process. Nobody is told that the session left.
    pub(super) fn pack(&self, node: &Node, seat: &Arc<Seat>) -> LookingRecord {
        LookingRecord {
            said_paid_at_ns: self.said.paid_at_ns(),
            here: node.presence.is_here(self.account, seat),
            chats: self.chats.iter().map(Chat::pack).collect(),
        }
    }

    /// What was written down: its chats are open again, and its account is where it was. Whoever it looks
    /// at may come later; [`Looking::types_on`] and a look come when all are there.
    pub(super) fn unpack(
        device: DeviceId,
        record: &LookingRecord,
        node: &Node,
        seat: &Arc<Seat>,
    ) -> Self {
        let account = device.account;
        if let Some(here) = record.here {
            node.presence.returns(account, seat, here);
        }
        let chats = record.chats.iter().filter_map(Chat::unpack).take(OPEN_CHATS_MAX);
        let chats: Vec<_> = chats.collect();
        for chat in &chats {
            let _ = node.presence.open(chat.account, account, seat, chat.bit);
        }
        Self { account, said: Meter::paid_at(record.said_paid_at_ns), chats }
    }

    /// Says again in which chats its device types, and looks at all of them: something may have changed.
    pub(super) fn types_on(&self, node: &Node, seat: &Arc<Seat>) {
        for chat in self.chats.iter().filter(|chat| chat.typing) {
            node.presence.types(self.account, chat.account, true);
        }
        seat.mark(self.chats.iter().fold(0, |marks, chat| marks | (1 << chat.bit)));
    }

    /// The session is over.
    pub(super) fn leave(&self, node: &Node, seat: &Arc<Seat>) {
        self.chats.iter().for_each(|chat| chat.close(node, seat, self.account));
        node.presence.leave(self.account, seat, node.moment());
    }
}

impl Chat {
    /// Named again. Typing is passed on each time, so that it lasts; that it ended, once.
    fn renews(
        &mut self,
        node: &Node,
        seat: &Arc<Seat>,
        own: AccountId,
        pass: Option<Pass>,
        typing: bool,
    ) {
        if std::mem::replace(&mut self.pass, pass) != pass {
            seat.mark(1 << self.bit);
        }
        if std::mem::replace(&mut self.typing, typing) || typing {
            node.presence.types(own, self.account, typing);
        }
    }

    fn look(&mut self, node: &Node, seat: &Arc<Seat>, sees: bool) -> Option<v1::Presence> {
        let seen = match sees {
            true => node.presence.look(self.account, seat, self.pass),
            false => Seen::UNKNOWN,
        };
        let news = self.told.replace(seen) != Some(seen);
        (news || seen.typing).then(|| seen.of(self.account))
    }

    fn pack(&self) -> ChatRecord {
        let told = |seen: Seen| SeenRecord {
            online: seen.online,
            typing: seen.typing,
            last_seen_min: seen.last_seen_min,
        };
        ChatRecord {
            account: self.account.0,
            pass: self.pass.map(|pass| pass.to_vec()),
            bit: self.bit.into(),
            typing: self.typing,
            told: self.told.map(told),
        }
    }

    /// None if it has no mark of its own.
    fn unpack(record: &ChatRecord) -> Option<Self> {
        let bit = u8::try_from(record.bit).ok().filter(|bit| u32::from(*bit) < u32::BITS)?;
        let told = |told: SeenRecord| Seen {
            online: told.online,
            typing: told.typing,
            last_seen_min: told.last_seen_min,
        };
        Some(Self {
            account: AccountId(record.account),
            pass: record.pass.as_deref().and_then(presence::pass),
            bit,
            typing: record.typing,
            told: record.told.map(told),
        })
    }

    fn close(&self, node: &Node, seat: &Arc<Seat>, own: AccountId) {
        node.presence.close(self.account, seat);
        if self.typing {
            node.presence.types(own, self.account, false);
        }
    }
}
