//! The table as data, for another process: so that nobody flickers, and who is away is still known to be.

use std::sync::Arc;

use godwit_base::AccountId;

use super::account::Account;
use super::{Moment, Presence, SHARDS};
use crate::handover::PresentRecord;
use crate::seat::Seat;

impl Presence {
    /// Everybody who is known, without their sessions: those bring themselves.
    pub(crate) fn pack(&self) -> Vec<PresentRecord> {
        let shards = (0..SHARDS).map(|index| self.shard_at(index));
        shards
            .flat_map(|shard| {
                let rows = shard.accounts.iter().map(|(account, entry)| entry.pack(*account));
                rows.collect::<Vec<_>>()
            })
            .collect()
    }

    /// Knows everybody again who was written down, as far as there is room.
    pub(crate) fn unpack(&self, rows: &[PresentRecord]) {
        for row in rows {
            let account = AccountId(row.account);
            let mut shard = self.shard(account);
            if shard.has_room(account) {
                shard.accounts.insert(account, Account::unpack(row));
            }
        }
    }

    /// Whether somebody is there at a session, if its device has said so.
    pub(crate) fn is_here(&self, account: AccountId, seat: &Arc<Seat>) -> Option<bool> {
        self.shard(account).accounts.get(&account)?.is_here(seat)
    }

    /// A session of an account that was unpacked is back. Nobody is told: nothing changed.
    pub(crate) fn returns(&self, account: AccountId, seat: &Arc<Seat>, here: bool) {
        if let Some(entry) = self.shard(account).accounts.get_mut(&account) {
            entry.enter(seat, here);
        }
    }

    /// All sessions are back that will be: whoever has none with somebody at it has its grace.
    pub(crate) fn all_returned(&self, now: Moment) {
        for index in 0..SHARDS {
            let mut shard = self.shard_at(index);
            let waits = |(account, entry): (&AccountId, &mut Account)| {
                let begins = entry.settle(false, now);
                (begins || entry.waits()).then_some(*account)
            };
            let waiting: Vec<_> = shard.accounts.iter_mut().filter_map(waits).collect();
            waiting.into_iter().for_each(|account| shard.put_off(account));
        }
    }
}
