//! Order across a fault that passes (M4): once a submission of a link was refused because of the disk,
//! what the same link had already handed in after it must not slip past it into a later batch.

use std::collections::HashMap;

use crate::{Outcome, Settled, Token};

/// Links that are held at once: one for each submission that may wait. An entry is needed only until
/// its session has heard of the refusal, and then refuses by itself; so at the bound, all go.
const HOLDS_MAX: usize = super::intake::SUBMISSIONS_MAX;

/// The lowest counter of each link that was refused for now.
#[derive(Debug, Default)]
pub(super) struct Holds {
    from: HashMap<Token, u64>,
}

impl Holds {
    /// Whether a submission may be decided. One that was held itself is let through, and frees the link.
    pub(super) fn pass(&mut self, token: Token, counter: u64) -> bool {
        match self.from.get(&token) {
            Some(held) if counter > *held => false,
            Some(_) => {
                self.from.remove(&token);
                true
            }
            None => true,
        }
    }

    /// Learns what became of a batch.
    pub(super) fn learn(&mut self, settled: &[Settled]) {
        for one in settled {
            match one.outcome {
                Outcome::DiskFull | Outcome::Unavailable | Outcome::ReceiptsWaiting => {}
                _ => continue,
            }
            if self.from.len() >= HOLDS_MAX && !self.from.contains_key(&one.token) {
                self.from.clear();
            }
            let held = self.from.entry(one.token).or_insert(one.counter);
            *held = one.counter.min(*held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(token: u64, counter: u64) -> Settled {
        Settled { token: Token(token), counter, outcome: Outcome::DiskFull }
    }

    #[test]
    fn a_link_waits_for_what_was_refused_and_others_do_not() {
        let mut holds = Holds::default();
        holds.learn(&[refused(1, 6), refused(1, 5), refused(1, 7)]);
        assert!(!holds.pass(Token(1), 8) && !holds.pass(Token(1), 6), "5 comes first");
        assert!(holds.pass(Token(2), 8), "another link");
        assert!(holds.pass(Token(1), 5));
        assert!(holds.pass(Token(1), 6) && holds.pass(Token(1), 8));
    }

    #[test]
    fn only_what_passes_is_waited_for() {
        let mut holds = Holds::default();
        holds.learn(&[Settled { outcome: Outcome::CounterTooOld, ..refused(1, 5) }]);
        assert!(holds.pass(Token(1), 6));
    }

    #[test]
    fn links_are_bounded() {
        let mut holds = Holds::default();
        for token in 0..HOLDS_MAX as u64 {
            holds.learn(&[refused(token, 1)]);
        }
        assert_eq!(holds.from.len(), HOLDS_MAX);
        holds.learn(&[refused(0, 1)]);
        assert_eq!(holds.from.len(), HOLDS_MAX, "one that is held already takes no room");
        holds.learn(&[refused(u64::MAX, 1)]);
        assert_eq!(holds.from.len(), 1);
    }
}
