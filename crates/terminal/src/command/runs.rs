//! Message ids still to be waited for, kept as runs of counters: a device numbers its messages one
//! after another, so that a hundred thousand lines take a few bytes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use godwit_base::{DeviceId, MessageId};

/// Ids in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Runs(VecDeque<(DeviceId, RangeInclusive<u64>)>);

impl Runs {
    /// Adds an id at the end.
    pub(super) fn push(&mut self, id: MessageId) {
        match self.0.back_mut() {
            Some((device, run))
                if *device == id.device && run.end().checked_add(1) == Some(id.counter) =>
            {
                *run = *run.start()..=id.counter;
            }
            _ => self.0.push_back((id.device, id.counter..=id.counter)),
        }
    }

    /// Takes the oldest id.
    pub(super) fn pop(&mut self) -> Option<MessageId> {
        let (device, run) = self.0.front_mut()?;
        let (device, counter) = (*device, run.next()?);
        if run.is_empty() {
            self.0.pop_front();
        }
        Some(MessageId { device, counter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_out_as_they_went_in_and_consecutive_ones_share_a_run() {
        let device = DeviceId::new(1, 1);
        let counters = [1, 2, 3, 7, 8, 4, u64::MAX];
        let mut runs = Runs::default();
        for counter in counters {
            runs.push(MessageId { device, counter });
        }
        assert_eq!(runs.0.len(), 4);
        let out: Vec<u64> = std::iter::from_fn(|| runs.pop()).map(|id| id.counter).collect();
        assert_eq!(out, counters);
        assert!(runs.0.is_empty());
    }

    #[test]
    fn a_hundred_thousand_lines_are_one_run() {
        let device = DeviceId::new(1, 1);
        let mut runs = Runs::default();
        for counter in 1..=100_000 {
            runs.push(MessageId { device, counter });
        }
        assert_eq!(runs.0.len(), 1);
    }
}
