//! What went out before what: a message that waits for something is passed by those that need nothing.

use super::Outbox;

impl Outbox {
    /// The highest counter above this one that may have gone out: accepted, or sealed and perhaps on its way.
    pub(crate) fn passed_by(&self, counter: u64) -> Option<u64> {
        let accepted = self.log.last_key_value().map(|(highest, _)| *highest);
        let sealed = self.pending.iter().rev().find(|(_, message)| message.is_sealed());
        let sealed = sealed.map(|(highest, _)| *highest);
        accepted.max(sealed).filter(|highest| *highest > counter)
    }
}

#[cfg(test)]
mod tests {
    use godwit_base::AccountId;
    use godwit_seal::AccountPublic;

    use super::super::{Blob, Copy, Kind, Outgoing, SealedFor, Target};
    use super::*;

    fn unsealed() -> Outgoing {
        Outgoing::new(Target::Account(AccountId(1)), Kind::Shown, vec![0; 10], 1_000)
    }

    fn sealed() -> Outgoing {
        let copies = vec![Copy { device: 1, kind: 0, body: Blob(vec![1]) }];
        let account_key = AccountPublic([1; 32]);
        Outgoing { sealed: vec![SealedFor { account_key, list_version: 1, copies }], ..unsealed() }
    }

    #[test]
    fn what_is_accepted_or_sealed_passes_by_what_waits() {
        let mut outbox = Outbox::default();
        (1..=3).for_each(|counter| outbox.push(counter, unsealed()));
        assert_eq!(outbox.passed_by(1), None, "all of them wait");
        outbox.push(4, sealed());
        outbox.push(5, unsealed());
        assert_eq!(outbox.passed_by(1), Some(4), "on its way, perhaps");
        outbox.accept(4);
        assert_eq!(outbox.passed_by(1), Some(4), "there");
        assert_eq!(outbox.passed_by(4), None, "not by itself");
        assert_eq!(outbox.passed_by(5), None, "nor by what is earlier");
    }
}
