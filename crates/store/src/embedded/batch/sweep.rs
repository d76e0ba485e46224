//! The sweep: what nobody may read any more goes, a bounded slice at a time.

use godwit_base::Seq;
use redb::ReadableTable;

use super::Batch;
use crate::Swept;
use crate::embedded::calendar::LEAP_MS;
use crate::embedded::fault::Fault;
use crate::embedded::tables::{GroupKey, ReachKey};
use crate::embedded::{row, tables};

/// Records dropped in one sweep: about 2 ms of a batch.
pub(crate) const SWEEP_RECORDS_MAX: usize = 1_024;

/// Rows of reach looked at in one sweep: at 16 KB each 1 MB.
const SWEEP_REACH_MAX: usize = 64;

/// The newest believed reading of the clock is written at most this often, milliseconds.
const SEEN_EVERY_MS: u64 = LEAP_MS / 24;

impl Batch<'_> {
    pub(super) fn sweep(&mut self) -> Result<Swept, Fault> {
        let mut swept = Swept::default();
        let mut budget = SWEEP_RECORDS_MAX;
        self.drop_orphans(&mut budget, &mut swept)?;
        swept.more |= self.drop_ended_groups(&mut budget)?;
        if self.is_clock_believed()? {
            self.drop_expired(&mut budget, &mut swept)?;
            self.drop_old_reach()?;
        } else {
            swept.clock_leapt = true;
        }
        swept.more |= !self.state.orphans.is_empty();
        Ok(swept)
    }

    fn drop_orphans(&mut self, budget: &mut usize, swept: &mut Swept) -> Result<(), Fault> {
        while *budget > 0
            && let Some(seq) = self.state.orphans.pop_front()
        {
            *budget -= 1;
            let head = match self.mailbox.remove(seq.0)? {
                Some(row) => row::record(seq, row.value())?.0,
                None => continue, // it expired meanwhile
            };
            self.release(head.kind)?;
            swept.orphaned += 1;
            self.changed = true;
        }
        Ok(())
    }

    /// What is left of groups without members; the row of the group itself goes last. Says whether there
    /// is more.
    fn drop_ended_groups(&mut self, budget: &mut usize) -> Result<bool, Fault> {
        while let Some(group) = self.state.groups.ended.front().copied() {
            let from = (tables::group_key(group, 0), tables::group_key(group, u64::MAX));
            for table in [tables::GROUP_LOG, tables::GROUP_FORMER] {
                let mut table = self.txn.open_table(table)?;
                let mut rows =
                    table.extract_from_if::<&GroupKey, _>(&from.0..=&from.1, |_, _| true)?;
                while *budget > 0 {
                    let Some(row) = rows.next() else { break };
                    row?;
                    *budget -= 1;
                }
                self.changed = true;
            }
            if *budget == 0 {
                return Ok(true);
            }
            self.txn.open_table(tables::GROUP)?.remove(&group.0)?;
            self.state.groups.ended.pop_front();
            *budget -= 1;
        }
        Ok(false)
    }

    /// A slice of the rows of reach: those that tell only of posts that have expired go.
    fn drop_old_reach(&mut self) -> Result<(), Fault> {
        let age_ms = self.terms.quotas.expiry_days.saturating_mul(LEAP_MS);
        let first_kept_ms = self.terms.now_ms.saturating_sub(age_ms);
        let from = self.state.reach_swept.unwrap_or([0; 28]);
        let mut table = self.txn.open_table(tables::REACH)?;
        let (mut seen, mut last, mut old) = (0, None, Vec::new());
        for row in table.range::<&ReachKey>(&from..)?.take(SWEEP_REACH_MAX) {
            let (key, reach) = row?;
            let key = *key.value();
            if row::group::reach(&key, reach.value())?.changed_ms < first_kept_ms {
                old.push(key);
            }
            seen += 1;
            last = Some(key);
        }
        self.state.reach_swept = last.filter(|_| seen == SWEEP_REACH_MAX);
        self.changed |= !old.is_empty();
        for key in old {
            table.remove(&key)?;
        }
        Ok(())
    }

    /// Expired records are one range at the table's left edge.
    fn drop_expired(&mut self, budget: &mut usize, swept: &mut Swept) -> Result<(), Fault> {
        let days = self.terms.quotas.expiry_days;
        let age_ms = days.saturating_mul(LEAP_MS);
        let first_kept = Seq::at_ms(self.terms.now_ms.saturating_sub(age_ms));
        loop {
            let oldest = self.mailbox.first()?.map(|(seq, _)| Seq(seq.value()));
            let Some(seq) = oldest.filter(|seq| *seq < first_kept) else { return Ok(()) };
            if *budget == 0 {
                swept.more = true;
                return Ok(());
            }
            *budget -= 1;
            let head = match self.mailbox.pop_first()? {
                Some((_, row)) => row::record(seq, row.value())?.0,
                None => return Ok(()),
            };
            let load = self.state.load_of(head.kind)?;
            self.state.index.remove(seq, head.owner, load);
            self.release(head.kind)?;
            self.changed = true;
            swept.expired += 1;
            self.out.expired += 1;
        }
    }

    fn is_clock_believed(&mut self) -> Result<bool, Fault> {
        let before = self.state.calendar.seen_ms();
        let believed = self.state.calendar.believes(self.terms.now_ms);
        let seen = self.state.calendar.seen_ms();
        let written = self.state.seen_written_ms;
        if seen > before && seen >= written.saturating_add(SEEN_EVERY_MS) {
            self.txn.open_table(tables::ENGINE)?.insert(tables::SEEN_NAME, seen)?;
            self.state.seen_written_ms = seen;
            self.changed = true;
        }
        Ok(believed)
    }
}
