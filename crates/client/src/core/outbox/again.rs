//! What the server has accepted and lost: its disk was put back from a backup (decision 0159).

use super::{Outbox, Outgoing};

impl Outbox {
    /// Takes everything of the log back whose counter is above `highest`, to be sealed anew under the counter
    /// that it had. Returns how many there are. What was delivered is among them: perhaps to the first of
    /// several devices. Whoever has a message passes over its counter.
    pub(crate) fn take_back(&mut self, highest: u64) -> usize {
        let lost = self.log.split_off(&highest.saturating_add(1));
        let count = lost.len();
        for (counter, message) in lost {
            self.log_bytes = self.log_bytes.saturating_sub(message.body.0.len());
            for by in message.accepted.iter().flat_map(|accepted| &accepted.by) {
                self.undelivered.remove(&(by.account_key.id(), counter));
            }
            let message = Outgoing { accepted: None, post: None, rounds: 0, ..message };
            self.pending_bytes += message.body.0.len();
            self.pending.insert(counter, message);
            self.changed.insert(counter);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use godwit_base::AccountId;
    use godwit_seal::AccountPublic;

    use super::super::{Blob, Copy, Kind, SealedFor, Target};
    use super::*;

    fn accepted(counters: std::ops::RangeInclusive<u64>) -> Outbox {
        let mut outbox = Outbox::default();
        for counter in counters {
            let copies = vec![Copy { device: 1, kind: 0, body: Blob(vec![1]) }];
            let account_key = AccountPublic([1; 32]);
            let sealed = vec![SealedFor { account_key, list_version: 1, copies }];
            let target = Target::Account(AccountId(1));
            let message = Outgoing::new(target, Kind::Shown, vec![0; 10], 1_000);
            outbox.push(counter, Outgoing { sealed, rounds: 2, ..message });
            outbox.accept(counter);
        }
        outbox
    }

    #[test]
    fn what_is_above_is_due_again_unsealed_and_what_is_not_stays() {
        let mut outbox = accepted(1..=5);
        outbox.delivered(AccountPublic([1; 32]).id(), 4, 5_000);
        assert_eq!(outbox.take_back(2), 3);
        assert_eq!(outbox.due(), [3, 4, 5]);
        assert!(outbox.pending().all(|(_, message)| !message.is_sealed() && message.rounds == 0));
        assert!(outbox.logged(2).is_some() && outbox.logged(3).is_none());
        assert_eq!((outbox.log_bytes, outbox.pending_bytes), (20, 30));
        assert!(outbox.undelivered.is_empty(), "1 and 2 were delivered, the others are due");
        assert_eq!(outbox.take_back(2), 0, "once");
        assert_eq!(outbox.take_back(u64::MAX), 0);
    }

    #[test]
    fn nothing_is_taken_back_from_a_server_that_has_everything() {
        let mut outbox = accepted(1..=5);
        assert_eq!((outbox.take_back(5), outbox.due().len()), (0, 0));
    }
}
