//! Who is online and who looks. A table in memory and nothing else (M13): after a restart nobody was
//! ever seen. Sharded by account as the registry is by device; no message on its way comes past here.
//!
//! Nothing is sent from here. A change sets one bit in the seat of each session that has the account's
//! chat open, and the session looks the state up when it has nothing better to do. So what waits for a
//! slow device is a word of 32 bits, the newest state wins, and under load presence is what goes first
//! (decision 0085).

mod account;
mod carried;
#[cfg(test)]
mod tests;
mod tick;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use godwit_base::AccountId;
use godwit_wire::{PASS_BYTES, v1};
use prometheus_client::metrics::counter::Counter;

use crate::seat::Seat;
use account::Account;

pub(crate) use account::{Rule, Seen};
pub(crate) use tick::run;

const SHARDS: usize = 64;

/// Accounts that one shard remembers, those that are away included: with 64 shards 1,048,576. One takes
/// about 150 B with its place in the map, so all of them 160 MB. Full, the half that was away longest is
/// forgotten; full of those who are here, newcomers stay unseen.
const ACCOUNTS_MAX: usize = 16_384;

/// Sessions that may have the chat with one account open: 24 KB. Whoever comes later sees nothing of it.
const WATCHERS_MAX: usize = 1_024;

/// Sessions of one account: its eight devices, each with an older link or two that did not close yet.
const SESSIONS_MAX: usize = 24;

/// Sessions that are told something in one second, all together: what exceeds it waits for the next
/// second, where newer changes have replaced older ones. A telling costs a turn and a send, as the
/// answer to a keepalive does (11 us, docs/benchmarks.md): so presence should take no more than about a
/// fifth of one CPU from messages. An estimate until `godwit-bench presence` was run.
const TELLINGS_PER_S: u32 = 20_000;

/// A device that goes without a word is told as offline so much later: a train's tunnel, a change of
/// networks, a restart of the client.
pub(crate) const GRACE_S: u32 = 10;

/// When something happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Seconds since the server started.
    pub(crate) s: u32,
    /// The wall clock.
    pub(crate) unix_ms: u64,
}

/// What contacts show.
pub(crate) type Pass = [u8; PASS_BYTES];

/// The pass in a message; none if it has another length.
pub(crate) fn pass(bytes: &[u8]) -> Option<Pass> {
    bytes.try_into().ok()
}

/// All that is known of anybody's presence.
#[derive(Debug)]
pub(crate) struct Presence {
    shards: Box<[Mutex<Shard>]>,
    /// Tellings that this second still has.
    room: AtomicU32,
    /// Changes that had to wait for another second.
    held: Counter,
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<AccountId, Account>,
    /// By whom an account's chat is open, whether the account is known or not.
    watchers: HashMap<AccountId, Vec<Watcher>>,
    /// Accounts that the next tick looks at; each stands here once.
    due: Vec<AccountId>,
}

/// A session that has the chat with an account open.
#[derive(Debug)]
struct Watcher {
    seat: Arc<Seat>,
    /// Whose session it is.
    by: AccountId,
    /// Which of its marks is this chat's.
    bit: u8,
    /// The account types to `by`.
    typing: bool,
}

impl Presence {
    /// Nobody is known. `held` counts the changes that had to wait for another second.
    pub(crate) fn new(held: Counter) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, room: AtomicU32::new(TELLINGS_PER_S), held }
    }

    /// A device says who may see its account, and whether somebody is there. False if there is no room
    /// for the account: it stays unseen.
    pub(crate) fn set(
        &self,
        account: AccountId,
        seat: &Arc<Seat>,
        here: bool,
        rule: Rule,
        now: Moment,
    ) -> bool {
        let mut shard = self.shard(account);
        if !shard.has_room(account) {
            return false;
        }
        let entry = shard.accounts.entry(account).or_default();
        let (was_hidden, was) = (entry.rule == Rule::Nobody, entry.is_online());
        if !entry.enter(seat, here) {
            return false;
        }
        let ruled = entry.rules(rule);
        entry.settle(true, now);
        let is_hidden = rule == Rule::Nobody;
        let changed = ruled || was != entry.is_online();
        // Of somebody hidden not even the moment of a change is to be seen.
        if changed && !(was_hidden && is_hidden) {
            self.announce(&mut shard, account, now.s);
        }
        true
    }

    /// A session is over; its device said nothing about that.
    pub(crate) fn leave(&self, account: AccountId, seat: &Arc<Seat>, now: Moment) {
        let mut shard = self.shard(account);
        let Some(entry) = shard.accounts.get_mut(&account) else { return };
        entry.leave(seat);
        if entry.settle(false, now) {
            shard.put_off(account);
        } else if entry.is_worthless() {
            shard.accounts.remove(&account);
        }
    }

    /// A session opens the chat with `account`. False if too many have it open.
    pub(crate) fn open(
        &self,
        account: AccountId,
        by: AccountId,
        seat: &Arc<Seat>,
        bit: u8,
    ) -> bool {
        let mut shard = self.shard(account);
        let watchers = shard.watchers.entry(account).or_default();
        if watchers.len() >= WATCHERS_MAX {
            return false;
        }
        watchers.reserve_exact(usize::from(watchers.is_empty()));
        watchers.push(Watcher { seat: Arc::clone(seat), by, bit, typing: false });
        true
    }

    /// A session closes the chat with `account`.
    pub(crate) fn close(&self, account: AccountId, seat: &Arc<Seat>) {
        let mut shard = self.shard(account);
        let Some(watchers) = shard.watchers.get_mut(&account) else { return };
        watchers.retain(|watcher| !Arc::ptr_eq(&watcher.seat, seat));
        if watchers.is_empty() {
            shard.watchers.remove(&account);
        }
    }

    /// `from` types to `to`, or stops. Passed on at once to the sessions that have the chat with `from`
    /// open, and to nobody else; in a second that has no room left it is not.
    pub(crate) fn types(&self, from: AccountId, to: AccountId, on: bool) {
        let mut shard = self.shard(from);
        let Some(watchers) = shard.watchers.get_mut(&from) else { return };
        for watcher in watchers.iter_mut().filter(|watcher| watcher.by == to) {
            let changed = std::mem::replace(&mut watcher.typing, on) != on;
            if (on || changed) && self.take_room(1) {
                watcher.seat.mark(1 << watcher.bit);
            }
        }
    }

    /// Whether `account` may see anybody: who hides sees nothing.
    pub(crate) fn may_see(&self, account: AccountId) -> bool {
        self.shard(account).accounts.get(&account).is_some_and(|own| own.rule != Rule::Nobody)
    }

    /// What a session sees of an account whose chat it has open, by the pass that it shows.
    pub(crate) fn look(&self, account: AccountId, seat: &Arc<Seat>, shown: Option<Pass>) -> Seen {
        let shard = self.shard(account);
        let (Some(entry), Some(watchers)) =
            (shard.accounts.get(&account), shard.watchers.get(&account))
        else {
            return Seen::UNKNOWN;
        };
        let watcher = watchers.iter().find(|watcher| Arc::ptr_eq(&watcher.seat, seat));
        match watcher {
            Some(watcher) if entry.rule.admits(shown) => entry.seen(watcher.typing),
            _ => Seen::UNKNOWN,
        }
    }

    /// Marks the chat with `account` in every session that has it open; not now, if it was done in this
    /// second already or the second has no room.
    fn announce(&self, shard: &mut Shard, account: AccountId, now_s: u32) {
        let Some(watchers) = shard.watchers.get(&account) else { return };
        let Some(entry) = shard.accounts.get_mut(&account) else { return };
        let count = u32::try_from(watchers.len()).unwrap_or(u32::MAX);
        if entry.told_s == Some(now_s) || !self.take_room(count) {
            if !std::mem::replace(&mut entry.untold, true) {
                self.held.inc();
            }
            shard.put_off(account);
            return;
        }
        entry.told_s = Some(now_s);
        entry.untold = false;
        for watcher in watchers {
            watcher.seat.mark(1 << watcher.bit);
        }
    }

    fn take_room(&self, count: u32) -> bool {
        let take = |room: u32| room.checked_sub(count);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn shard(&self, account: AccountId) -> MutexGuard<'_, Shard> {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        #[allow(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
        let index = hasher.finish() as usize;
        self.shard_at(index)
    }

    // Nothing under these locks runs foreign code, so a poisoned one still guards a whole table.
    #[allow(clippy::indexing_slicing, reason = "the remainder is in range by construction")]
    fn shard_at(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// The next tick looks at this account.
    fn put_off(&mut self, account: AccountId) {
        if let Some(entry) = self.accounts.get_mut(&account)
            && !std::mem::replace(&mut entry.due, true)
        {
            self.due.push(account);
        }
    }

    fn has_room(&mut self, account: AccountId) -> bool {
        if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(&account) {
            self.forget();
        }
        self.accounts.len() < ACCOUNTS_MAX || self.accounts.contains_key(&account)
    }

    /// Forgets the half of those who are away that was away longest, in one pass over them all.
    fn forget(&mut self) {
        let away = self.accounts.values().filter_map(Account::away_since_min);
        let mut away: Vec<u32> = away.collect();
        let half = away.len() / 2;
        if away.is_empty() {
            return;
        }
        let (_, &mut median, _) = away.select_nth_unstable(half);
        self.accounts
            .retain(|_, entry| entry.away_since_min().is_none_or(|since_min| since_min > median));
    }
}

impl Seen {
    /// As the message that tells it.
    pub(crate) fn of(self, account: AccountId) -> v1::Presence {
        let state = match (self.online, self.last_seen_min) {
            _ if self == Self::UNKNOWN => v1::PresenceState::Unknown,
            (true, _) => v1::PresenceState::Online,
            (false, _) => v1::PresenceState::Offline,
        };
        v1::Presence {
            account: account.0,
            state: state.into(),
            last_seen_ms: u64::from(self.last_seen_min) * 60_000,
            typing: self.typing,
        }
    }
}
