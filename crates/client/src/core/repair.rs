//! Messages that did not open: both sides of asking for them again.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{DeviceId, GroupId, MessageId};
use godwit_seal::{OpenError, RETRY_MAX, RetryDecision, RetryRequest, RowError, SentTo};
use godwit_wire::v1;
use serde::{Deserialize, Serialize};

use super::contact::{device_key, device_of_key};
use super::now::Now;
use super::outbox::{Kind, Outgoing, Posted};
use super::output::{Row, Table, Write};
use super::vault::Vault;
use super::{Body, Core};
use crate::{Note, WarningKind};

/// Most messages that are asked for again; one more is lost at once. Each costs a retry request,
/// so that a sender whose messages never open cannot make us send without end.
pub(crate) const WAITING_MAX: usize = 1_000;

/// When the second and the third request follow the one before: after an hour, in which the other
/// side may not open another session anyway, and after a day.
const ASK_AFTER_MS: [u64; 2] = [3_600_000, 24 * 3_600_000];

/// How long after the last request a message may still come, 30 days: its sender's device may wake
/// that late, and its mailbox keeps the request so long.
const GIVE_UP_AFTER_MS: u64 = 30 * 24 * 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    attempt: u32,
    asked_at_ms: u64,
    /// The server's sequence of the message that did not open: when it was stored.
    seq: u64,
    /// To which group it was.
    #[serde(default)]
    group: Option<GroupId>,
}

/// The messages that are asked for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    asked: BTreeMap<(DeviceId, u64), Asked>,
    changed: BTreeSet<(DeviceId, u64)>,
}

impl Waiting {
    fn remove(&mut self, id: MessageId) -> bool {
        let key = (id.device, id.counter);
        let was_there = self.asked.remove(&key).is_some();
        if was_there {
            self.changed.insert(key);
        }
        was_there
    }

    /// Whether it is one that the server gave to all members of a group.
    pub(crate) fn was_post(&self, id: MessageId) -> bool {
        self.asked.get(&(id.device, id.counter)).is_some_and(|asked| asked.group.is_some())
    }

    fn insert(&mut self, id: MessageId, asked: Asked) -> bool {
        let has_room = self.asked.len() < WAITING_MAX;
        if has_room {
            self.asked.insert((id.device, id.counter), asked);
            self.changed.insert((id.device, id.counter));
        }
        has_room
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let changed = std::mem::take(&mut self.changed);
        let write = |place: (DeviceId, u64)| {
            let key = [device_key(place.0).as_slice(), &place.1.to_be_bytes()].concat();
            Ok(match self.asked.get(&place) {
                Some(asked) => {
                    let value = vault.seal(Table::Waiting, &key, asked)?;
                    Write::Put { table: Table::Waiting, key, value }
                }
                None => Write::Delete { table: Table::Waiting, key },
            })
        };
        changed.into_iter().map(write).collect()
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut waiting = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::Waiting) {
            let (device, counter) = key.split_last_chunk::<8>().ok_or(RowError::Damaged)?;
            let place = (device_of_key(device)?, u64::from_be_bytes(*counter));
            waiting.asked.insert(place, vault.open(Table::Waiting, key, value)?);
        }
        Ok(waiting)
    }
}

impl Core {
    /// A message did not open: shows a placeholder and asks for it again, if that can help.
    pub(super) fn did_not_open(
        &mut self,
        from: DeviceId,
        record: &v1::Deliver,
        error: OpenError,
        now: Now,
    ) {
        let id = MessageId { device: from, counter: record.counter };
        let group = <[u8; 16]>::try_from(record.group.as_ref()).ok().map(GroupId);
        let asked = Asked { attempt: 1, asked_at_ms: self.wall_ms(now), seq: record.seq, group };
        // Who was removed is not asked.
        let can_ask = error.wants_retry() && self.contacts.former_until_ms(from).is_none();
        let is_asked_for = can_ask && self.waiting.insert(id, asked);
        let note = match error {
            OpenError::UnknownSuite(_) => Note::UpdateNeeded,
            _ if is_asked_for => Note::Waiting,
            _ => Note::Lost,
        };
        self.show_note(from, record, note);
        if is_asked_for {
            self.request(id, 1, now);
        }
        let with = self.contacts.get(from.account).map(|contact| contact.record.handle.clone());
        let text = format!("message {id} could not be opened: {error}");
        self.warn(WarningKind::Undecryptable, with, text);
    }

    fn request(&mut self, id: MessageId, attempt: u32, now: Now) {
        if let Some(request) = RetryRequest::new(id.counter, attempt) {
            self.say_to(id.device.account, Kind::Retry, request.encode(), now);
        }
    }

    /// Removes the placeholder of a message that came at last. Whether there was one.
    pub(super) fn forget_placeholder(&mut self, id: MessageId) -> bool {
        let was_waiting = self.waiting.remove(id);
        if was_waiting {
            self.staged.writes.push(Write::Forget { id });
        }
        was_waiting
    }

    /// Asks a second and a third time, and gives up in the end.
    pub(super) fn ask_again(&mut self, now: Now) {
        let now_ms = self.wall_ms(now);
        let all: Vec<_> =
            self.waiting.asked.iter().map(|(place, asked)| (*place, *asked)).collect();
        for ((device, counter), asked) in all {
            let id = MessageId { device, counter };
            let waited_ms = now_ms.saturating_sub(asked.asked_at_ms);
            let step = usize::try_from(asked.attempt).unwrap_or(usize::MAX).saturating_sub(1);
            match ASK_AFTER_MS.get(step) {
                Some(after_ms) if waited_ms >= *after_ms && asked.attempt < RETRY_MAX => {
                    let attempt = asked.attempt + 1;
                    self.waiting.remove(id);
                    self.waiting.insert(id, Asked { attempt, asked_at_ms: now_ms, ..asked });
                    self.request(id, attempt, now);
                }
                None if waited_ms >= GIVE_UP_AFTER_MS => {
                    self.forget_placeholder(id);
                    let group = asked.group.map(|id| id.0.to_vec()).unwrap_or_default().into();
                    let seq = asked.seq;
                    let record = v1::Deliver { counter, seq, group, ..v1::Deliver::default() };
                    self.show_note(device, &record, Note::Lost);
                }
                _ => {}
            }
        }
    }

    /// A contact's device could not open what we sent: sends it anew, within limits.
    pub(super) fn on_retry_request(&mut self, from: DeviceId, body: &[u8], now: Now) {
        let Ok(request) = RetryRequest::decode(body) else { return };
        let Some(remote) = self.contacts.remote(from) else { return };
        let logged = self.outbox.logged(request.counter);
        let sent = logged.and_then(|message| {
            let is_for_all =
                message.accepted.as_ref().is_some_and(|accepted| accepted.by.is_empty());
            if let Some(posted) = message.post.as_ref().filter(|_| is_for_all) {
                return self.posted_to(from, message, posted);
            }
            let mut by = message.accepted.as_ref()?.by.iter();
            let by = by.find(|by| by.account_key.id() == from.account)?;
            by.devices.contains(&from.number.0).then_some(SentTo {
                account_key: by.account_key,
                sent_at_ms: message.sent_at_ms,
                resends: message.resends,
            })
        });
        let decision = remote.pairing.on_retry(request, sent.as_ref(), self.wall_ms(now));
        let Some(message) = logged.cloned() else { return };
        match decision {
            RetryDecision::Refuse(_) => return,
            RetryDecision::Resend => {}
            RetryDecision::RepairThenResend => {
                if let Some(record) = self.contacts.record_mut(from) {
                    record.repair = true;
                }
            }
        }
        let (of, repeats) = match message.kind.clone() {
            Kind::Resend { of, mut repeats } => {
                repeats.push(request.counter);
                (of, repeats)
            }
            _ => (request.counter, Vec::new()),
        };
        let mut body = message.body.0.clone();
        if let Some(shown) = message.shown_as {
            body = Body::shown_as(&body, shown);
        }
        let within = message.group();
        let is_copy = message.kind.is_copied() || matches!(message.kind, Kind::Resend { .. });
        let is_copy = is_copy && within.is_none() && self.is_own(from.account);
        if let (true, Some(accepted)) = (is_copy, &message.accepted) {
            let Some(to) = self.logged_to(&message, accepted) else { return };
            // What was resent before says already to whom it went.
            if Body::decode(&body).sent_to.is_none() {
                body = Body::for_own_devices(&body, &to);
            }
        }
        if !repeats.is_empty() {
            body = Body::repeating(&body, &repeats);
        }
        self.outbox.count_resend(request.counter);
        self.say_to_in(from.account, within, Kind::Resend { of, repeats }, body, now);
    }

    /// What is known of a post and a device of one of the members: they all got the same bytes.
    fn posted_to(&self, device: DeviceId, message: &Outgoing, posted: &Posted) -> Option<SentTo> {
        let known = self.groups.get(message.group()?)?;
        let member = known.group.member(device.account)?;
        let was_member = known.group.was_member(device.account, posted.epoch);
        let account_key = *member.key();
        // Counted for all of them together.
        let resends = message.resends / posted.of.max(1);
        was_member.then_some(SentTo { account_key, sent_at_ms: message.sent_at_ms, resends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_the_bound() {
        let mut waiting = Waiting::default();
        let id = |counter| MessageId { device: DeviceId::new(1, 1), counter };
        let asked = Asked { attempt: 1, asked_at_ms: 0, seq: 0, group: None };
        for counter in 0..WAITING_MAX as u64 {
            assert!(waiting.insert(id(counter), asked));
        }
        assert!(!waiting.insert(id(WAITING_MAX as u64), asked));
        assert!(waiting.remove(id(3)) && !waiting.remove(id(3)));
        assert!(waiting.insert(id(WAITING_MAX as u64), asked));
    }
}
