//! What others say: from a record of the mailbox to a row of the history, exactly once, in order.

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Handle, MessageId, Seq};
use godwit_seal::{Envelope, Inner, OpenError, Place as GroupPlace};
use godwit_wire::{ToServer, v1};

use super::annotate::Stamp;
use super::body::{SentTo, Shown};
use super::group::Came;
use super::inbox::Held;
use super::lookup::{Keys, Who};
use super::now::Now;
use super::output::Write;
use super::timer::Of;
use super::{Body, Content, Core};
use crate::{ChatId, Event, HistoryItem, MessageState, Note, WarningKind};

/// How far a sender's claim of the time may be off before the server's time is shown instead: 1 day
/// ahead, since nobody writes tomorrow, and 60 days behind, twice what a mailbox keeps.
const AHEAD_MAX_MS: u64 = 24 * 3600 * 1000;
const BEHIND_MAX_MS: u64 = 60 * AHEAD_MAX_MS;

/// The chat of somebody of whom nothing was learned is named by this and the account: with its 16
/// digits that is a handle.
pub(super) const STRANGER: &str = "unknown-";

impl Core {
    /// A message of the mailbox.
    pub(super) fn on_deliver(&mut self, record: v1::Deliver, now: Now) {
        if self.groups.holds_all_it_may() {
            return self.inbox.skip();
        }
        if !self.inbox.skips() {
            self.take_message(record, now);
        }
    }

    fn take_message(&mut self, record: v1::Deliver, now: Now) {
        let from = sender_of(&record);
        if from == self.me.device() {
            return self.inbox.saw(record.seq);
        }
        if self.contacts.remote(from).is_none() && record.kind() == v1::CopyKind::RetryRequest {
            // We have sent nothing to somebody whom we do not know.
            return self.inbox.saw(record.seq);
        }
        if let Some(awaited) = self.inbox_awaits(from.account, self.contacts.remote(from).is_none())
        {
            return self.inbox.hold(awaited, Held::Message(record));
        }
        self.inbox.saw(record.seq);
        self.receive(&record, now);
    }

    /// Of whom something must be learned before a record of `account` is taken: of the account itself,
    /// or of whomever an earlier record waits for that must come first. That is one of the same account;
    /// any, for one of our other devices, since what was read there must not come before the message;
    /// one of our other devices, for any, since a tick or an answer must not come before what it is
    /// about; and one of whom is in a group with the account, for the same reason: a record does not
    /// tell whether it was said there.
    fn inbox_awaits(&mut self, account: AccountId, is_unknown: bool) -> Option<AccountId> {
        let own = self.me.device().account;
        let is_of_own = account == own;
        let first = self.inbox.awaited(|sender| {
            sender == account
                || sender == own
                || is_of_own
                || self.groups.have_both(sender, account)
        });
        if is_unknown {
            self.lookups.want(Who::Account(account), Keys::None);
        }
        first.or_else(|| is_unknown.then_some(account))
    }

    /// All is known of `account` that can be: takes what is held, in order, as far as that goes now.
    /// What comes from a device that nobody has signed for cannot be opened, now or later, and leaves
    /// a placeholder.
    pub(super) fn release(&mut self, account: AccountId, now: Now) {
        let behind_held = self.early_behind_held();
        for held in self.inbox.take_all(account) {
            let is_theirs = held.account() == account;
            match held {
                Held::Message(record) => {
                    let is_known = self.contacts.remote(sender_of(&record)).is_some();
                    if is_theirs && !is_known {
                        self.lose(&record);
                    } else {
                        self.take_message(record, now);
                    }
                }
                Held::Receipt(receipt) if is_theirs && self.contacts.get(account).is_none() => {
                    self.receipt(&receipt, now);
                }
                Held::Receipt(receipt) => self.take_receipt(receipt, now),
            }
        }
        behind_held
            .into_iter()
            .for_each(|(group, from_seq)| self.take_early_since(group, from_seq, now));
        self.drain_again(now);
    }

    /// Shows that something came which nobody can be named for.
    fn lose(&mut self, record: &v1::Deliver) {
        let from = sender_of(record);
        if self.is_blocked(from.account) {
            return;
        }
        let known = self.contacts.get(from.account).map(|contact| contact.record.handle.clone());
        let text = format!(
            "a message of account {} cannot be opened: its device is not one that the account has \
             signed for",
            from.account
        );
        self.warn(WarningKind::Undecryptable, known.clone(), text);
        if record.kind() == v1::CopyKind::RetryRequest {
            return;
        }
        // Without a signature not even the server's word for their handle is taken.
        let Some(with) = known.or_else(|| format!("{STRANGER}{}", from.account).parse().ok())
        else {
            return;
        };
        let id = MessageId { device: from, counter: record.counter };
        let stored_at_ms = Seq(record.seq).unix_ms();
        let place = Place { with: ChatId::Contact(with.clone()), from: with, outgoing: false };
        self.write_as(place, id, [stored_at_ms; 2], Shown::note(Note::Lost), &[]);
    }

    /// Records were dropped for want of room; now there is some.
    pub(super) fn drain_again(&mut self, now: Now) {
        let has_room = self.inbox.is_empty() && !self.groups.holds_all_it_may();
        if self.inbox.skips() && has_room {
            self.redial(now);
        }
    }

    /// Lets the server delete what is done. In one batch with the rows that it depends on, so that
    /// it leaves after they are durable.
    pub(super) fn acknowledge(&mut self) {
        if let Some(up_to) = self.inbox.take_acknowledgement() {
            self.staged.messages.push(ToServer::Ack(v1::Ack { up_to }));
        }
    }

    fn receive(&mut self, record: &v1::Deliver, now: Now) {
        let from = sender_of(record);
        let removed_until_ms = self.contacts.former_until_ms(from);
        if removed_until_ms.is_some_and(|until_ms| until_ms <= self.list_ms(now)) {
            return self.lose(record);
        }
        let Some(known) = self.contacts.record_mut(from) else { return };
        if known.window.has(record.counter) {
            return;
        }
        known.window.take(record.counter);
        self.question_age(from.account, now);
        match v1::CopyKind::try_from(record.kind) {
            // Nothing is sealed for who was removed.
            Ok(v1::CopyKind::RetryRequest) if removed_until_ms.is_some() => {}
            Err(_) if self.is_blocked(from.account) => {}
            Ok(v1::CopyKind::RetryRequest) => self.on_retry_request(from, &record.body, now),
            Ok(v1::CopyKind::Group) => self.hear(from, record, now),
            Ok(kind) => self.open(from, record, kind == v1::CopyKind::Opening, now),
            Err(_) => self.show_note(from, record, Note::UpdateNeeded),
        }
    }

    pub(super) fn open(&mut self, from: DeviceId, record: &v1::Deliver, opening: bool, now: Now) {
        let now_ms = self.wall_ms(now);
        let Some(contact) = self.contacts.get(from.account) else { return };
        let Some(peer) = contact.list.any_peer(from.number) else { return };
        let Some(remote) = self.contacts.remote_mut(from) else { return };
        let envelope = Envelope { counter: record.counter, opening, bytes: &record.body };
        let groups = &self.groups;
        let places = |hint, epoch| groups.places(from.account, hint, epoch);
        match remote.pairing.open_among(&mut self.me.keys, &peer, envelope, &places, now_ms) {
            Ok(opened) => {
                if opened.new_session {
                    self.keys_changed = true;
                    self.one_time_key_used(now);
                }
                self.on_opened(from, record, &opened.inner, opened.place, now);
            }
            Err(OpenError::UnknownPlace { group, epoch }) if self.groups.may_come(group, epoch) => {
                self.keep_early(group, record);
            }
            Err(_) if self.is_blocked(from.account) => {}
            Err(error) => self.did_not_open(from, record, error, now),
        }
    }

    pub(super) fn on_opened(
        &mut self,
        from: DeviceId,
        record: &v1::Deliver,
        inner: &Inner,
        said_at: Option<GroupPlace>,
        now: Now,
    ) {
        let body = Body::decode(&inner.body);
        // What somebody says in a group is the group's affair.
        let is_of_group = said_at.is_some()
            || matches!(body.content, Content::GroupKey(_) | Content::GroupRead(_));
        if self.is_blocked(from.account) && !is_of_group {
            return;
        }
        for attempt in &body.repeats {
            self.forget_placeholder(MessageId { device: from, counter: *attempt });
        }
        let id = MessageId { device: from, counter: inner.resend_of.unwrap_or(record.counter) };
        let travelled = id.counter;
        let is_post = record.kind() == v1::CopyKind::Group || self.waiting.was_post(id);
        if inner.resend_of.is_some() && !self.forget_placeholder(id) {
            return; // it was shown, or never missed
        }
        let group = said_at.map(|place| place.group());
        let shown_as = body.shown_as.filter(|shown| group.is_some() && *shown < id.counter);
        let id = MessageId { counter: shown_as.unwrap_or(id.counter), ..id };
        if self.takes_of_no_chat(from, &body, group, now) {
            return;
        }
        if said_at.is_some_and(|place| !self.groups.lets_write(from.account, place)) {
            return self.hear_nobody(group, from);
        }
        let of_own = body.group.filter(|_| self.is_own(from.account));
        let Some(place) = self.place_of(from.account, group.or(of_own), body.sent_to.as_ref())
        else {
            return;
        };
        let times = [Seq(record.seq).unix_ms(), inner.sent_at_ms];
        let stamp = Stamp::new(believed_ms(inner.sent_at_ms, times[0]), id);
        if let (Some(said_at), true) = (said_at, body.content.is_shown()) {
            self.came_in_group(said_at, id, travelled, is_post, times[0]);
        }
        match body.content {
            Content::AskSettings => self.on_ask_settings(from.account),
            // Taken above.
            Content::GroupKey(_) | Content::GroupRead(_) | Content::PresenceSetting { .. } => {}
            Content::Read { .. } if place.with.group().is_some() => {}
            Content::Profile(profile) => {
                if let Some(profile) = profile {
                    self.on_profile(from.account, profile);
                }
            }
            Content::ContactSettings(settings) => {
                if self.is_own(from.account) {
                    self.on_settings(settings, now);
                }
            }
            Content::Read { device, up_to } => match body.sent_to {
                Some(sent_to) if self.is_own(from.account) => {
                    self.on_read_elsewhere(&sent_to, device, up_to, now);
                }
                _ => self.on_read(from, device, up_to, now),
            },
            Content::About { about, act } => self.on_about(place, about, stamp, &act, &inner.body),
            Content::Mark(mark) if self.is_own(from.account) => {
                self.on_mark(place, stamp, &mark, &inner.body);
            }
            Content::Past(past) if self.is_own(from.account) => self.on_past(past),
            Content::Mark(_) | Content::Past(_) => {}
            Content::Timer(seconds) => {
                let with = body.sent_to.as_ref().map_or(from.account, |to| to.account);
                let with = if self.is_own(from.account) { with } else { from.account };
                self.take_timer(group.map_or(Of::Account(with), Of::Group), seconds, stamp);
                self.show_body(place, id, times, body, &inner.body);
            }
            Content::Text(_) | Content::Poll(_) | Content::Media(..) | Content::Unknown => {
                if let Some(to) = body.sent_to.as_ref().filter(|_| self.is_own(from.account)) {
                    self.is_written_to(to.account);
                }
                self.show_body(place, id, times, body, &inner.body);
            }
        }
    }

    /// Takes what belongs to no chat. Whether that was all.
    fn takes_of_no_chat(
        &mut self,
        from: DeviceId,
        body: &Body,
        group: Option<GroupId>,
        now: Now,
    ) -> bool {
        match &body.content {
            Content::GroupKey(share) => self.on_share(from, share, now),
            Content::GroupRead(read) => self.on_group_read(from, read, now),
            content => {
                if let Some(pass) = body.presence_pass.filter(|_| group.is_none()) {
                    self.on_pass(from.account, pass);
                }
                let Content::PresenceSetting { visibility, pass, set_at_ms } = content else {
                    return false;
                };
                self.on_presence_setting(from.account, *visibility, *pass, *set_at_ms);
            }
        }
        true
    }

    /// A message in a group: of another, to be read, or of another device of ours, to be followed.
    fn came_in_group(
        &mut self,
        said_at: GroupPlace,
        id: MessageId,
        counter: u64,
        is_post: bool,
        at_ms: u64,
    ) {
        let (from, shown, group) = (id.device, id.counter, said_at.group());
        if self.is_own(from.account) {
            self.note_sent_elsewhere(said_at, from.number, counter, shown, is_post, at_ms);
        } else {
            self.is_unread(Came { group, from, counter, shown, is_post, at_ms });
        }
    }

    fn show_body(
        &mut self,
        place: Place,
        id: MessageId,
        times: [u64; 2],
        body: Body,
        bytes: &[u8],
    ) {
        if let Some(shown) = body.shown() {
            self.show(place, id, times, shown, bytes);
        }
    }

    /// The chat in which something that `account` sent belongs. What another device of ours sent is in
    /// the chat that it names, or among the notes to ourselves.
    fn place_of(
        &mut self,
        account: AccountId,
        group: Option<GroupId>,
        sent_to: Option<&SentTo>,
    ) -> Option<Place> {
        let from = self.contacts.get(account)?.record.handle.clone();
        if let Some(id) = group {
            let outgoing = self.is_own(account);
            return Some(Place { with: ChatId::Group(id), from, outgoing });
        }
        if !self.is_own(account) {
            return Some(Place { with: ChatId::Contact(from.clone()), from, outgoing: false });
        }
        let Some(to) = sent_to else {
            return Some(Place { with: ChatId::Contact(from.clone()), from, outgoing: true });
        };
        let known = self.contacts.get(to.account).map(|contact| contact.record.handle.clone());
        if known.is_none() {
            // Their receipts will come: who they are is asked for in time.
            self.lookups.want(Who::Account(to.account), Keys::None);
        }
        let with = ChatId::Contact(known.unwrap_or_else(|| to.handle.clone()));
        Some(Place { with, from, outgoing: true })
    }

    fn show(
        &mut self,
        place: Place,
        id: MessageId,
        [stored_at_ms, sent_at_ms]: [u64; 2],
        shown: Shown,
        body: &[u8],
    ) {
        let times = [stored_at_ms, believed_ms(sent_at_ms, stored_at_ms)];
        let row = self.me.counters.row;
        if let Some(record) = self.contacts.record_mut(id.device) {
            if place.with.group().is_none() {
                record.shown = record.shown.max(id.counter);
            }
            (record.messages, record.last_row) = (record.messages.saturating_add(1), row);
        }
        self.write_as(place, id, times, shown, body);
    }

    /// Shows that something came which has no text.
    pub(super) fn show_note(&mut self, from: DeviceId, record: &v1::Deliver, note: Note) {
        let group = <[u8; 16]>::try_from(record.group.as_ref()).ok().map(GroupId);
        let id = MessageId { device: from, counter: record.counter };
        let Some(place) = self.place_of(from.account, group, None) else { return };
        self.show(place, id, [Seq(record.seq).unix_ms(); 2], Shown::note(note), &[]);
    }

    fn write_as(
        &mut self,
        place: Place,
        id: MessageId,
        [stored_at_ms, sent_at_ms]: [u64; 2],
        mut shown: Shown,
        body: &[u8],
    ) {
        self.timer_runs(shown.timer_s());
        if place.outgoing {
            shown.starts(sent_at_ms);
        }
        let Shown { text, note, details } = shown;
        let Place { with, from, outgoing } = place;
        let to = match (&with, outgoing) {
            (ChatId::Contact(_), false) => ChatId::Contact(self.me.home.handle.clone()),
            _ => with.clone(),
        };
        // Another device of ours had its tick before this one heard of it.
        let state = if outgoing { MessageState::Accepted } else { MessageState::Delivered };
        let item = HistoryItem {
            row: self.next_row(),
            id,
            from,
            with,
            to,
            outgoing,
            text,
            note,
            sent_at_ms,
            received_at_ms: Some(stored_at_ms),
            state,
            details,
        };
        self.write_item(item, body);
    }

    /// Two ticks for everything that the device has.
    pub(super) fn on_receipt(&mut self, receipt: v1::Receipt, now: Now) {
        if !self.inbox.skips() {
            self.take_receipt(receipt, now);
        }
    }

    fn take_receipt(&mut self, receipt: v1::Receipt, now: Now) {
        let account = AccountId(receipt.account);
        let is_about_other = receipt.origin != self.me.device().number.0;
        let is_unknown = self.contacts.get(account).is_none();
        if is_about_other && let Some(awaited) = self.inbox_awaits(account, is_unknown) {
            return self.inbox.hold(awaited, Held::Receipt(receipt));
        }
        self.inbox.saw(receipt.seq);
        self.receipt(&receipt, now);
    }

    fn receipt(&mut self, receipt: &v1::Receipt, now: Now) {
        let device =
            DeviceId { account: AccountId(receipt.account), number: DeviceNumber(receipt.device) };
        let (origin, up_to) = (DeviceNumber(receipt.origin), receipt.up_to);
        let is_ours = origin == self.me.device().number;
        if is_ours {
            let at_ms = self.link.wall_ms(now);
            self.outbox.delivered(device.account, up_to, at_ms);
        }
        self.copies_delivered(device.account, origin, up_to, Seq(receipt.seq).unix_ms());
        let is_news = !is_ours || self.contacts.note_delivered(device, up_to);
        // A copy that came to another device of ours is no tick.
        if is_news && !self.is_own(device.account) {
            let at_ms = Seq(receipt.seq).unix_ms();
            self.watermark(device, origin, up_to, MessageState::Delivered, at_ms);
        }
    }

    /// Blue ticks. The contact says so itself: `device` is the one of ours that it has read.
    fn on_read(&mut self, from: DeviceId, device: DeviceNumber, up_to: u64, now: Now) {
        if !self.sends_receipts() {
            return; // who does not tell is not told
        }
        if device != self.me.device().number {
            // Our rows are of messages that were sent: a claim beyond them marks nothing.
            return self.watermark(from, device, up_to, MessageState::Read, self.wall_ms(now));
        }
        let is_news = self.contacts.get(from.account).is_some_and(|c| c.record.read_up_to < up_to);
        // Nobody has read what was not sent.
        if !is_news || up_to >= self.me.counters.message {
            return;
        }
        if let Some(contact) = self.contacts.get_mut(from.account) {
            contact.record.read_up_to = up_to;
        }
        self.watermark(from, device, up_to, MessageState::Read, self.link.wall_ms(now));
    }

    fn watermark(
        &mut self,
        by: DeviceId,
        origin: DeviceNumber,
        up_to: u64,
        state: MessageState,
        at_ms: u64,
    ) {
        let Some(contact) = self.contacts.get(by.account) else { return };
        let with = contact.record.handle.clone();
        self.staged.writes.push(Write::Watermark { with, origin, up_to, state, at_ms });
    }

    /// Another device of ours has read what `number` of a contact sent.
    fn on_read_elsewhere(&mut self, with: &SentTo, number: DeviceNumber, up_to: u64, now: Now) {
        let device = DeviceId { account: with.account, number };
        if let Some(record) = self.contacts.record_mut(device) {
            record.read_told = record.read_told.max(up_to);
        }
        let at_ms = self.wall_ms(now);
        self.staged.writes.push(Write::ReadHere { from: device, up_to, at_ms });
        self.say(Event::ReadElsewhere { with: ChatId::Contact(with.handle.clone()) });
    }
}

/// Where a message is shown.
pub(super) struct Place {
    pub(super) with: ChatId,
    pub(super) from: Handle,
    pub(super) outgoing: bool,
}

fn sender_of(record: &v1::Deliver) -> DeviceId {
    DeviceId { account: AccountId(record.account), number: DeviceNumber(record.device) }
}

/// When a message was sent: as its sender says if that can be, else when the server stored it.
const fn believed_ms(claim_ms: u64, stored_at_ms: u64) -> u64 {
    let is_plausible = claim_ms <= stored_at_ms.saturating_add(AHEAD_MAX_MS)
        && claim_ms.saturating_add(BEHIND_MAX_MS) >= stored_at_ms;
    if is_plausible { claim_ms } else { stored_at_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_the_time_is_believed_within_its_bounds() {
        const NOW_MS: u64 = 1_800_000_000_000;
        for claim_ms in [NOW_MS, NOW_MS + AHEAD_MAX_MS, NOW_MS - BEHIND_MAX_MS] {
            assert_eq!(believed_ms(claim_ms, NOW_MS), claim_ms);
        }
        for claim_ms in [NOW_MS + AHEAD_MAX_MS + 1, NOW_MS - BEHIND_MAX_MS - 1, 0, u64::MAX] {
            assert_eq!(believed_ms(claim_ms, NOW_MS), NOW_MS);
        }
    }
}
