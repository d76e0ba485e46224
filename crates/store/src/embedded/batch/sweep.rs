//! The sweep: what nobody may read any more goes, a bounded slice at a time.

use godwit_base::Seq;
use redb::ReadableTable;

use super::Batch;
use crate::Swept;
use crate::embedded::calendar::LEAP_MS;
use crate::embedded::fault::Fault;
use crate::embedded::{row, tables};

/// Records dropped in one sweep: about 2 ms of a batch.
pub(crate) const SWEEP_RECORDS_MAX: usize = 1_024;

/// The newest believed reading of the clock is written at most this often, milliseconds.
const SEEN_EVERY_MS: u64 = LEAP_MS / 24;

impl Batch<'_> {
    pub(super) fn sweep(&mut self) -> Result<Swept, Fault> {
        let mut swept = Swept::default();
        let mut budget = SWEEP_RECORDS_MAX;
        self.drop_orphans(&mut budget, &mut swept)?;
        if self.is_clock_believed()? {
            self.drop_expired(&mut budget, &mut swept)?;
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
            // It may have expired meanwhile.
            swept.orphaned += u32::from(self.mailbox.remove(seq.0)?.is_some());
            self.changed = true;
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
            self.state.index.remove(seq, &head);
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
