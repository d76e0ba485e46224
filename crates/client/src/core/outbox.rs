//! What this device has said and the server has not accepted, and the log of what it accepted, from
//! which a message can be sent anew.

mod again;
mod message;

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits::DEDUP_WINDOW;
use godwit_base::{AccountId, GroupId};
use godwit_seal::{RESEND_AGE_MAX_MS, RowError};

use super::output::{Row, Table, Write};
use super::vault::{Blob, Vault};
pub(crate) use message::{Accepted, AcceptedBy, Copy, Kind, Outgoing, Posted, SealedFor, Target};

/// Most messages that wait for the server; a whole long text file as lines, sent while offline.
pub const OUTBOX_MESSAGES_MAX: usize = 10_000;

/// Most bytes of texts that wait for the server, 32 MB of memory.
pub const OUTBOX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Room beyond [`OUTBOX_MESSAGES_MAX`] for what the client says by itself (read receipts, retry
/// requests, resends); beyond it such things are dropped, and come again when their cause does.
pub(crate) const OWN_MESSAGES_MAX: usize = 2_000;

/// Most accepted messages that can be sent anew. The oldest go first; then their repair is not
/// possible, and the placeholder at the other side stays one.
pub(crate) const LOG_MESSAGES_MAX: usize = 16_384;

/// Most bytes of accepted messages that can be sent anew, 16 MB of memory.
pub(crate) const LOG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a delivered message can still be sent anew, 1 day: the recipient acknowledges a message
/// that it could not open as well, and its request may arrive after that acknowledgement.
pub(crate) const LOG_DELIVERED_MS: u64 = 24 * 3600 * 1000;

/// After a refusal, nothing is sent until every answer has come: a later message must not pass one
/// whose refusal is still on its way (M4).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Recovery {
    settles: bool,
    /// The server refuses everything until it sees this counter again: it goes first and alone.
    awaited: Option<u64>,
}

/// All messages by counter.
#[derive(Default)]
pub(crate) struct Outbox {
    pending: BTreeMap<u64, Outgoing>,
    pending_bytes: usize,
    log: BTreeMap<u64, Outgoing>,
    log_bytes: usize,
    /// What of the log its recipient does not have yet.
    undelivered: BTreeSet<(AccountId, u64)>,
    /// Submitted on the present link and not answered.
    in_flight: BTreeSet<u64>,
    recovery: Recovery,
    /// The latest that was ever submitted, as far as that is known.
    submitted: u64,
    /// Under which counter a message travels that is shown under this one.
    moved: BTreeMap<u64, u64>,
    /// Some went behind the others since this was asked.
    has_moved: bool,
    changed: BTreeSet<u64>,
}

impl Outbox {
    pub(crate) fn has_room_for(&self, messages: usize, bytes: usize) -> bool {
        self.pending.len() + messages <= OUTBOX_MESSAGES_MAX
            && self.pending_bytes + bytes <= OUTBOX_BYTES_MAX
    }

    /// Whether the client itself may add something.
    pub(crate) fn has_room_for_own(&self) -> bool {
        self.pending.len() < OUTBOX_MESSAGES_MAX + OWN_MESSAGES_MAX
    }

    pub(crate) fn push(&mut self, counter: u64, message: Outgoing) {
        self.pending_bytes += message.body.0.len();
        self.pending.insert(counter, message);
        self.changed.insert(counter);
    }

    pub(crate) fn get(&self, counter: u64) -> Option<&Outgoing> {
        self.pending.get(&counter)
    }

    /// A pending message, for changing.
    pub(crate) fn get_mut(&mut self, counter: u64) -> Option<&mut Outgoing> {
        let message = self.pending.get_mut(&counter)?;
        self.changed.insert(counter);
        Some(message)
    }

    /// The counter under which a message travels.
    pub(crate) fn travels_as(&self, shown: u64) -> u64 {
        self.moved.get(&shown).copied().unwrap_or(shown)
    }

    /// Lets messages of a group that were not submitted go after all that there is, each under a counter
    /// of `next`; they are shown as before. What they wait for has to fit in the server's window too.
    pub(crate) fn move_behind(&mut self, group: GroupId, mut next: impl FnMut() -> u64) {
        let is_free = |(counter, message): (&u64, &Outgoing)| {
            let is_of_it =
                matches!(message.target, Target::Group(_)) && message.group() == Some(group);
            (is_of_it && !message.is_sealed() && !self.in_flight.contains(counter))
                .then_some(*counter)
        };
        let free: Vec<u64> = self.pending.iter().filter_map(is_free).collect();
        self.has_moved |= !free.is_empty();
        for counter in free {
            self.saw(counter);
            let Some(mut message) = self.pending.remove(&counter) else { continue };
            let later = next();
            let shown = *message.shown_as.get_or_insert(counter);
            self.moved.insert(shown, later);
            self.pending.insert(later, message);
            self.changed.extend([counter, later]);
        }
    }

    /// Whether messages went behind the others since this was asked.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// The oldest that the server has not accepted.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(counter, _)| *counter)
    }

    /// Whether a sender key of a group is on its way to members.
    pub(crate) fn gives_key(&self, group: GroupId) -> bool {
        self.pending
            .values()
            .any(|message| message.kind == Kind::Share && message.target == Target::Group(group))
    }

    /// Whether something on its way was sealed for another state of a group: as
    /// [`awaits_answer_of_other_list`](Self::awaits_answer_of_other_list).
    pub(crate) fn awaits_answer_of_other_post(
        &self,
        group: GroupId,
        epoch: u64,
        in_copies: bool,
    ) -> bool {
        self.posts_on_their_way(group)
            .any(|post| post.epoch != epoch || post.body.0.is_empty() != in_copies)
    }

    /// Whether a post on its way was sealed when the members had other devices: as
    /// [`awaits_answer_of_other_list`](Self::awaits_answer_of_other_list).
    pub(crate) fn awaits_answer_of_other_devices(&self, group: GroupId, version: u64) -> bool {
        self.posts_on_their_way(group).any(|post| post.devices_version != version)
    }

    fn posts_on_their_way(&self, group: GroupId) -> impl Iterator<Item = &Posted> {
        let in_flight = self.in_flight.iter().filter_map(|counter| self.pending.get(counter));
        let of_it = in_flight.filter(move |message| message.target == Target::Group(group));
        of_it.filter_map(|message| message.post.as_ref())
    }

    /// Pending messages, oldest first.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (u64, &Outgoing)> {
        self.pending.iter().map(|(counter, message)| (*counter, message))
    }

    /// The counters that may be submitted now, ascending: not in flight, and less than the server's
    /// window above the oldest unresolved one.
    pub(crate) fn due(&mut self) -> Vec<u64> {
        if self.recovery.settles || self.recovery.awaited.is_some() {
            if !self.in_flight.is_empty() {
                return Vec::new();
            }
            self.recovery.settles = false;
        }
        self.recovery.awaited = self.recovery.awaited.filter(|c| self.pending.contains_key(c));
        if let Some(awaited) = self.recovery.awaited {
            return vec![awaited];
        }
        let Some((oldest, _)) = self.pending.first_key_value() else { return Vec::new() };
        let end = oldest.saturating_add(DEDUP_WINDOW);
        let due = self.pending.range(..end).map(|(counter, _)| *counter);
        due.filter(|counter| !self.in_flight.contains(counter)).collect()
    }

    pub(crate) fn submitted(&mut self, counter: u64) {
        self.in_flight.insert(counter);
        self.submitted = self.submitted.max(counter);
    }

    /// Whether a message that was never submitted was overtaken by one that was. A receipt for that one says
    /// that everything up to it has arrived (M5).
    pub(crate) fn is_overtaken(&self, counter: u64) -> bool {
        let is_fresh = |message: &&Outgoing| message.rounds == 0 && !message.is_sealed();
        counter < self.submitted && self.pending.get(&counter).filter(is_fresh).is_some()
    }

    /// What was sealed does not fit: it is due again, sealed anew.
    pub(crate) fn is_due_again(&mut self, counter: u64) {
        self.in_flight.remove(&counter);
        self.saw(counter);
        self.recovery.settles = true;
    }

    /// The server cannot take it now, and refuses everything after it until it comes again. False if it is
    /// an earlier one that it waits for.
    pub(crate) fn is_awaited(&mut self, counter: u64) -> bool {
        self.in_flight.remove(&counter);
        // Of several that it refused at once it is the first that it waits for.
        let earlier = self.recovery.awaited.filter(|awaited| *awaited < counter);
        let earlier = earlier.filter(|awaited| self.pending.contains_key(awaited));
        self.recovery = Recovery { settles: true, awaited: Some(earlier.unwrap_or(counter)) };
        earlier.is_none()
    }

    /// It was refused because an earlier one was. False if there is no earlier one: the two sides
    /// disagree.
    pub(crate) fn is_after_refusal(&mut self, counter: u64) -> bool {
        self.in_flight.remove(&counter);
        self.recovery.settles = true;
        self.recovery.awaited.is_some()
    }

    /// The server has seen this counter again.
    fn saw(&mut self, counter: u64) {
        self.recovery.awaited = self.recovery.awaited.filter(|awaited| *awaited != counter);
    }

    /// Whether something on its way was sealed for another version of an account's list. The server
    /// will send it back; what is sealed for the present list must not pass it (M4).
    pub(crate) fn awaits_answer_of_other_list(&self, account: AccountId, version: u64) -> bool {
        let is_other = |sealed: &SealedFor| {
            sealed.list_version != version && sealed.account_key.id() == account
        };
        let in_flight = self.in_flight.iter().filter_map(|counter| self.pending.get(counter));
        in_flight.flat_map(|message| &message.sealed).any(is_other)
    }

    pub(crate) fn awaits_answers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The link is gone, and with it every answer.
    pub(crate) fn link_lost(&mut self) {
        self.in_flight.clear();
        self.recovery = Recovery::default();
    }

    /// The message will not be sent. Returns it.
    pub(crate) fn remove(&mut self, counter: u64) -> Option<Outgoing> {
        self.in_flight.remove(&counter);
        self.saw(counter);
        let message = self.pending.remove(&counter)?;
        if let Some(shown) = message.shown_as {
            self.moved.remove(&shown);
        }
        self.pending_bytes = self.pending_bytes.saturating_sub(message.body.0.len());
        self.changed.insert(counter);
        Some(message)
    }

    /// The server accepted it: it moves to the log, if anybody may ask for it again. Returns what
    /// it was.
    pub(crate) fn accept(&mut self, counter: u64) -> Option<Outgoing> {
        let message = self.remove(counter)?;
        if message.is_sealed() && message.kind != Kind::Retry {
            let by = |sealed: &SealedFor| AcceptedBy {
                account_key: sealed.account_key,
                devices: sealed.copies.iter().map(|copy| copy.device).collect(),
            };
            let by = message.sealed.iter().map(by).collect();
            let accepted = Some(Accepted { by, delivered_at_ms: None });
            let mut logged = Outgoing { sealed: Vec::new(), accepted, ..message.clone() };
            if let Some(post) = &mut logged.post {
                post.body = Blob::default();
            }
            self.add_to_log(counter, logged);
            self.bound_log();
        }
        Some(message)
    }

    /// A message of the log.
    pub(crate) fn logged(&self, counter: u64) -> Option<&Outgoing> {
        self.log.get(&counter)
    }

    /// Counts that a message was sent anew.
    pub(crate) fn count_resend(&mut self, counter: u64) {
        if let Some(message) = self.log.get_mut(&counter) {
            message.resends = message.resends.saturating_add(1);
            self.changed.insert(counter);
        }
    }

    /// An account has everything up to a counter.
    pub(crate) fn delivered(&mut self, account: AccountId, up_to: u64, now_ms: u64) {
        let delivered = self.undelivered.extract_if((account, 0)..=(account, up_to), |_| true);
        let delivered: Vec<u64> = delivered.map(|(_, counter)| counter).collect();
        for counter in delivered {
            let Some(message) = self.log.get_mut(&counter) else { continue };
            let Some(accepted) = message.accepted.as_mut() else { continue };
            let is_awaited =
                |by: &AcceptedBy| self.undelivered.contains(&(by.account_key.id(), counter));
            if !accepted.by.iter().any(is_awaited) {
                accepted.delivered_at_ms = Some(now_ms);
                self.changed.insert(counter);
            }
        }
    }

    /// Forgets what nobody can ask for any more.
    pub(crate) fn tidy(&mut self, now_ms: u64) {
        let is_over = |message: &Outgoing| {
            let delivered = message.accepted.as_ref().and_then(|a| a.delivered_at_ms);
            delivered.is_some_and(|at| now_ms.saturating_sub(at) >= LOG_DELIVERED_MS)
                || now_ms.saturating_sub(message.sent_at_ms) >= RESEND_AGE_MAX_MS
        };
        let over: Vec<u64> =
            self.log.iter().filter(|(_, m)| is_over(m)).map(|(counter, _)| *counter).collect();
        over.into_iter().for_each(|counter| self.forget(counter));
    }

    /// Forgets what has disappeared.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        let is_over = |message: &Outgoing| message.expires_at_ms.is_some_and(|at| at <= now_ms);
        let over: Vec<u64> =
            self.log.iter().filter(|(_, m)| is_over(m)).map(|(counter, _)| *counter).collect();
        over.into_iter().for_each(|counter| self.forget(counter));
    }

    /// Forgets a message that was taken back.
    pub(crate) fn forget_logged(&mut self, shown: u64) {
        self.forget(self.travels_as(shown));
    }

    fn add_to_log(&mut self, counter: u64, message: Outgoing) {
        self.log_bytes += message.body.0.len();
        if let Some(accepted) = message.accepted.as_ref().filter(|a| a.delivered_at_ms.is_none()) {
            let accounts = accepted.by.iter().map(|by| (by.account_key.id(), counter));
            self.undelivered.extend(accounts);
        }
        if let Some(shown) = message.shown_as {
            self.moved.insert(shown, counter);
        }
        self.log.insert(counter, message);
    }

    fn bound_log(&mut self) {
        while self.log.len() > LOG_MESSAGES_MAX || self.log_bytes > LOG_BYTES_MAX {
            let Some((oldest, _)) = self.log.first_key_value() else { return };
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, counter: u64) {
        if let Some(message) = self.log.remove(&counter) {
            self.log_bytes = self.log_bytes.saturating_sub(message.body.0.len());
            if let Some(shown) = message.shown_as {
                self.moved.remove(&shown);
            }
            for by in message.accepted.into_iter().flat_map(|accepted| accepted.by) {
                self.undelivered.remove(&(by.account_key.id(), counter));
            }
            self.changed.insert(counter);
        }
    }

    /// The rows that changed since the last call.
    pub(crate) fn changes(&mut self, vault: &Vault) -> Result<Vec<Write>, RowError> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|counter| {
                let key = counter.to_be_bytes();
                let message = self.pending.get(&counter).or_else(|| self.log.get(&counter));
                Ok(match message {
                    Some(message) => Write::Put {
                        table: Table::Outbox,
                        key: key.to_vec(),
                        value: vault.seal(Table::Outbox, &key, message)?,
                    },
                    None => Write::Delete { table: Table::Outbox, key: key.to_vec() },
                })
            })
            .collect()
    }

    /// Reads what [`changes`](Self::changes) wrote over time.
    pub(crate) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let mut outbox = Self::default();
        for (_, key, value) in rows.iter().filter(|(table, ..)| *table == Table::Outbox) {
            let counter = key.as_slice().try_into().map_err(|_| RowError::Damaged)?;
            let counter = u64::from_be_bytes(counter);
            let message: Outgoing = vault.open(Table::Outbox, key, value)?;
            if message.accepted.is_some() || message.is_sealed() {
                outbox.submitted = outbox.submitted.max(counter);
            }
            if message.accepted.is_some() {
                outbox.add_to_log(counter, message);
            } else {
                outbox.pending_bytes += message.body.0.len();
                if let Some(shown) = message.shown_as {
                    outbox.moved.insert(shown, counter);
                }
                outbox.pending.insert(counter, message);
            }
        }
        Ok(outbox)
    }
}

#[cfg(test)]
mod tests {
    use godwit_seal::AccountPublic;

    use super::*;
    use crate::core::output::rows_put;

    fn message(bytes: usize) -> Outgoing {
        let target = Target::Account(AccountId(1));
        Outgoing::new(target, Kind::Shown, vec![0; bytes], 1_000)
    }

    fn sealed(bytes: usize) -> Outgoing {
        let copies = vec![Copy { device: 1, kind: 0, body: Blob(vec![1]) }];
        let account_key = AccountPublic([1; 32]);
        let sealed = vec![SealedFor { account_key, list_version: 1, copies }];
        Outgoing { sealed, ..message(bytes) }
    }

    #[test]
    fn both_sides_of_the_bounds() {
        let mut outbox = Outbox::default();
        assert!(outbox.has_room_for(OUTBOX_MESSAGES_MAX, OUTBOX_BYTES_MAX));
        assert!(!outbox.has_room_for(OUTBOX_MESSAGES_MAX + 1, 0));
        assert!(!outbox.has_room_for(1, OUTBOX_BYTES_MAX + 1));
        outbox.push(1, message(10));
        assert!(outbox.has_room_for(OUTBOX_MESSAGES_MAX - 1, OUTBOX_BYTES_MAX - 10));
        assert!(!outbox.has_room_for(OUTBOX_MESSAGES_MAX, 0));
        assert!(!outbox.has_room_for(1, OUTBOX_BYTES_MAX - 9));
        outbox.remove(1);
        assert!(outbox.has_room_for(OUTBOX_MESSAGES_MAX, OUTBOX_BYTES_MAX));
    }

    #[test]
    fn own_messages_have_room_beyond_and_a_bound() {
        let mut outbox = Outbox::default();
        for counter in 0..(OUTBOX_MESSAGES_MAX + OWN_MESSAGES_MAX) as u64 {
            assert!(outbox.has_room_for_own());
            outbox.push(counter, message(0));
        }
        assert!(!outbox.has_room_for_own());
    }

    #[test]
    fn nothing_is_due_a_window_above_the_oldest() {
        let mut outbox = Outbox::default();
        (5..500).for_each(|counter| outbox.push(counter, message(1)));
        assert_eq!(outbox.due(), (5..5 + DEDUP_WINDOW).collect::<Vec<_>>());
        outbox.submitted(6);
        outbox.submitted(5);
        outbox.accept(6);
        assert_eq!(outbox.due().last(), Some(&(4 + DEDUP_WINDOW)), "5 is unresolved still");
        outbox.accept(5);
        assert_eq!(outbox.due().last(), Some(&(6 + DEDUP_WINDOW)));
        outbox.submitted(7);
        outbox.is_due_again(7);
        assert_eq!(outbox.due().first(), Some(&7));
    }

    #[test]
    fn after_a_refusal_the_refused_goes_first_and_alone_once_every_answer_has_come() {
        let mut outbox = Outbox::default();
        (1..6).for_each(|counter| outbox.push(counter, message(1)));
        (2..5).for_each(|counter| outbox.submitted(counter));
        outbox.is_awaited(2);
        assert!(outbox.due().is_empty(), "3 and 4 are not answered");
        assert!(outbox.is_after_refusal(3) && outbox.due().is_empty());
        assert!(outbox.is_after_refusal(4));
        assert_eq!(outbox.due(), [2], "1, which was never submitted, waits too");
        outbox.submitted(2);
        assert!(outbox.due().is_empty());
        outbox.accept(2);
        assert_eq!(outbox.due(), [1, 3, 4, 5]);
        assert!(!outbox.is_after_refusal(3), "after what?");
    }

    /// A batch of the store fails whole, and with it all that one link had in it.
    #[test]
    fn of_several_that_were_refused_the_first_is_awaited() {
        let mut outbox = Outbox::default();
        (1..=3).for_each(|counter| outbox.push(counter, sealed(1)));
        (1..=3).for_each(|counter| outbox.submitted(counter));
        let is_first: Vec<_> = (1..=3).map(|counter| outbox.is_awaited(counter)).collect();
        assert_eq!(is_first, [true, false, false], "the pause is that of the first");
        assert_eq!(outbox.due(), [1], "the server refuses all others until 1 comes again");
        outbox.submitted(1);
        outbox.accept(1);
        assert_eq!(outbox.due(), [2, 3]);
        (2..=3).for_each(|counter| outbox.submitted(counter));
        outbox.is_awaited(3);
        assert!(outbox.due().is_empty());
        outbox.accept(2);
        assert_eq!(outbox.due(), [3], "1 is done and awaited by nobody");
    }

    #[test]
    fn what_is_on_its_way_under_another_list_is_told_until_it_is_answered() {
        let mut outbox = Outbox::default();
        let account = AccountPublic([1; 32]).id();
        outbox.push(1, sealed(1));
        assert!(!outbox.awaits_answer_of_other_list(account, 2), "not on its way");
        outbox.submitted(1);
        assert!(outbox.awaits_answer_of_other_list(account, 2));
        assert!(!outbox.awaits_answer_of_other_list(account, 1), "the same list");
        assert!(!outbox.awaits_answer_of_other_list(AccountId(9), 2), "somebody else");
        outbox.is_due_again(1);
        assert!(!outbox.awaits_answer_of_other_list(account, 2), "answered");
    }

    #[test]
    fn the_log_is_bounded_by_count_and_by_bytes() {
        let mut outbox = Outbox::default();
        for counter in 0..=LOG_MESSAGES_MAX as u64 {
            outbox.push(counter, sealed(1));
            outbox.accept(counter);
        }
        assert!(outbox.logged(0).is_none() && outbox.logged(1).is_some());
        let mut outbox = Outbox::default();
        for counter in 0..3 {
            outbox.push(counter, sealed(LOG_BYTES_MAX / 2));
            outbox.accept(counter);
        }
        assert!(outbox.logged(0).is_none() && outbox.logged(1).is_some());
    }

    #[test]
    fn the_log_forgets_a_day_after_delivery_and_two_weeks_after_sending() {
        let mut outbox = Outbox::default();
        for counter in [1, 2] {
            outbox.push(counter, sealed(1));
            outbox.accept(counter);
        }
        let account = AccountPublic([1; 32]).id();
        outbox.delivered(account, 1, 5_000);
        outbox.tidy(5_000 + LOG_DELIVERED_MS - 1);
        assert!(outbox.logged(1).is_some());
        outbox.tidy(5_000 + LOG_DELIVERED_MS);
        assert!(outbox.logged(1).is_none() && outbox.logged(2).is_some());
        outbox.tidy(1_000 + RESEND_AGE_MAX_MS - 1);
        assert!(outbox.logged(2).is_some());
        outbox.tidy(1_000 + RESEND_AGE_MAX_MS);
        assert!(outbox.logged(2).is_none());
    }

    #[test]
    fn the_log_waits_for_every_account() {
        let mut outbox = Outbox::default();
        let mut to_two = sealed(1);
        to_two
            .sealed
            .push(SealedFor { account_key: AccountPublic([2; 32]), ..to_two.sealed[0].clone() });
        outbox.push(1, to_two);
        outbox.accept(1);
        outbox.delivered(AccountPublic([2; 32]).id(), 1, 5_000);
        outbox.tidy(5_000 + LOG_DELIVERED_MS);
        assert!(outbox.logged(1).is_some(), "the first account does not have it");
        outbox.delivered(AccountPublic([1; 32]).id(), 1, 6_000);
        outbox.tidy(6_000 + LOG_DELIVERED_MS);
        assert!(outbox.logged(1).is_none());
    }

    #[test]
    fn a_restart_finds_what_was_there() {
        let vault = Vault::new(godwit_seal::RowKey::from_bytes(&[3; 32]));
        let mut outbox = Outbox::default();
        outbox.push(1, sealed(3));
        outbox.push(2, message(4));
        outbox.accept(1);
        let rows = rows_put(outbox.changes(&vault).unwrap());
        let restored = Outbox::restore(&vault, &rows).unwrap();
        assert_eq!(restored.pending, outbox.pending);
        assert_eq!(restored.log, outbox.log);
        assert_eq!((restored.pending_bytes, restored.log_bytes), (4, 3));
        assert!(outbox.changes(&vault).unwrap().is_empty());
    }
}
