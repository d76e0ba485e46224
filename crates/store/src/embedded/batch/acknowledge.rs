//! An acknowledgement: delete, and file the receipt, in one commit.

use godwit_base::{DeviceId, Seq};

use super::Batch;
use crate::Entry;
use crate::embedded::fault::Fault;
use crate::embedded::index::Load;
use crate::embedded::row::{self, Kind, Mark};

/// Records deleted by acknowledgements in one batch: at about 2 us each 16 ms. What is left of a
/// larger acknowledgement goes into the next batch, so that submissions wait no longer than this.
pub(crate) const BATCH_DELETES_MAX: usize = 8_192;

impl Batch<'_> {
    /// Deletes the records of `device` up to `up_to`, at most `budget` of them, and files receipts for
    /// those that were messages. Says whether all are deleted.
    pub(crate) fn acknowledge(
        &mut self,
        device: DeviceId,
        up_to: Seq,
        budget: &mut usize,
    ) -> Result<bool, Fault> {
        let mut newest: Vec<(DeviceId, u64)> = Vec::new();
        let mut complete = true;
        while let Some(seq) = self.state.index.oldest(device, up_to) {
            if *budget == 0 {
                complete = false;
                break;
            }
            *budget -= 1;
            self.out.acknowledged += 1;
            match self.delete(device, seq)? {
                (Kind::Message { from, counter, .. }, _) => {
                    match newest.iter_mut().find(|(origin, _)| *origin == from) {
                        Some((_, newest)) => *newest = counter.max(*newest),
                        None => newest.push((from, counter)),
                    }
                }
                (_, Some(posted)) => self.note_had(device, &posted),
                (Kind::Reached { group, origin, version }, _) => {
                    self.note_fetched(device, group, origin, version);
                }
                _ => {}
            }
        }
        for (origin, up_to) in newest {
            self.file_receipts(origin, device, up_to)?;
        }
        Ok(complete)
    }

    /// Tells every device of the sender's account, but not the one that acknowledged, in place of
    /// what it has not yet fetched about the same two devices.
    fn file_receipts(&mut self, origin: DeviceId, by: DeviceId, up_to: u64) -> Result<(), Fault> {
        let number = origin.number;
        let mark = Mark::Receipt { by, origin: number };
        let owners: Vec<_> =
            self.state.roster.devices_of(origin.account).filter(|owner| *owner != by).collect();
        for owner in owners {
            let up_to = match self.state.index.mark(owner, mark) {
                None => up_to,
                Some(seq) => match self.delete(owner, seq)?.0 {
                    Kind::Receipt { up_to: waiting, .. } => up_to.max(waiting),
                    _ => return Err(Fault::damaged("a receipt became another record")),
                },
            };
            let seq = self.next_seq();
            row::put_receipt(&mut self.out.row, seq, owner, by, number, up_to);
            self.append(
                seq,
                owner,
                Load::Mark(mark),
                Entry::Receipt { origin: number, by, up_to },
            )?;
        }
        Ok(())
    }
}
