//! Records of the mailbox on their way through this client: which wait for something to be learned
//! about their sender, and up to where everything is done.

use std::collections::{BTreeMap, VecDeque};

use godwit_base::AccountId;
use godwit_wire::v1;

/// Most records that wait. The rest stay in the mailbox on the server: nothing is lost.
pub(crate) const HELD_RECORDS_MAX: usize = 512;

/// Most bytes of records that wait, 4 MB.
pub(crate) const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often the question about a sender is asked again on one link after the server refused to answer
/// it, 10 times: with 30 s between, five minutes. What is held keeps everything after it on the server,
/// so that it must end.
pub(crate) const ASKED_AGAIN_MAX: u32 = 10;

/// A record that waits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held {
    Message(v1::Deliver),
    /// About a message of another device of ours, to somebody whom this one does not know yet.
    Receipt(v1::Receipt),
}

impl Held {
    const fn seq(&self) -> u64 {
        match self {
            Self::Message(record) => record.seq,
            Self::Receipt(record) => record.seq,
        }
    }

    /// Who sent it.
    pub(crate) const fn account(&self) -> AccountId {
        match self {
            Self::Message(record) => AccountId(record.account),
            Self::Receipt(record) => AccountId(record.account),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Message(record) => record.body.len(),
            Self::Receipt(_) => 0,
        }
    }
}

/// State of the inbox on the present link; the mailbox is drained anew on the next.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Each with the account of which something must be learned first.
    held: VecDeque<(AccountId, Held)>,
    held_bytes: usize,
    /// How often the question about the sender of held records was refused.
    refused: BTreeMap<AccountId, u32>,
    last_seq: u64,
    acknowledged: u64,
    /// No room was left: what comes is dropped and drained again later.
    skips: bool,
}

impl Inbox {
    /// Whether records are dropped, to be drained again.
    pub(crate) fn skips(&self) -> bool {
        self.skips
    }

    /// Whether a record is of the account, or waits for it.
    pub(crate) fn holds_any_of(&self, account: AccountId) -> bool {
        let is_of = |record: &Held| record.account() == account;
        self.held.iter().any(|(awaited, record)| *awaited == account || is_of(record))
    }

    /// Of whom something must be learned for the first held record of such a sender.
    pub(crate) fn awaited(&self, is_such: impl Fn(AccountId) -> bool) -> Option<AccountId> {
        let first = self.held.iter().find(|(_, record)| is_such(record.account()));
        first.map(|(awaited, _)| *awaited)
    }

    /// Where in the mailbox the first held record of such a sender is.
    pub(crate) fn first_of(&self, is_such: impl Fn(AccountId) -> bool) -> Option<u64> {
        let of_such = self.held.iter().filter(|(_, record)| is_such(record.account()));
        of_such.map(|(_, record)| record.seq()).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// There is no room: this and what follows is drained again later.
    pub(crate) fn skip(&mut self) {
        self.skips = true;
    }

    /// A record is in our hands. It counts as done unless it is held.
    pub(crate) fn saw(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// Keeps a record until more is known of its sender. Without room it, and all that follow, are
    /// dropped.
    pub(crate) fn hold(&mut self, awaited: AccountId, record: Held) {
        let bytes = self.held_bytes + record.bytes();
        if self.held.len() >= HELD_RECORDS_MAX || bytes > HELD_BYTES_MAX {
            self.skips = true;
            return;
        }
        self.saw(record.seq());
        self.held_bytes = bytes;
        self.held.push_back((awaited, record));
    }

    /// The server refused to say who the sender is. Whether that is to be asked again.
    pub(crate) fn asks_again(&mut self, account: AccountId) -> bool {
        if !self.holds_any_of(account) {
            return false;
        }
        let refused = self.refused.entry(account).or_default();
        *refused += 1;
        *refused <= ASKED_AGAIN_MAX
    }

    /// Takes all that is held, in order, because more is known of `account`. What still has to wait
    /// is to be held again, in that order.
    pub(crate) fn take_all(&mut self, account: AccountId) -> Vec<Held> {
        self.refused.remove(&account);
        self.held_bytes = 0;
        self.held.drain(..).map(|(_, record)| record).collect()
    }

    /// Up to where everything is done, if that has grown since the last call.
    pub(crate) fn take_acknowledgement(&mut self) -> Option<u64> {
        let done = match self.held.iter().map(|(_, record)| record.seq()).min() {
            Some(first) => first.saturating_sub(1),
            None => self.last_seq,
        };
        if done <= self.acknowledged {
            return None;
        }
        self.acknowledged = done;
        Some(done)
    }

    /// The link is gone: what is not acknowledged comes again.
    pub(crate) fn link_lost(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, account: u64, bytes: usize) -> Held {
        let body = vec![0; bytes].into();
        Held::Message(v1::Deliver { seq, account, body, ..v1::Deliver::default() })
    }

    fn hold(inbox: &mut Inbox, record: Held) {
        inbox.hold(record.account(), record);
    }

    #[test]
    fn nothing_beyond_a_held_record_is_acknowledged() {
        let mut inbox = Inbox::default();
        inbox.saw(10);
        assert_eq!(inbox.take_acknowledgement(), Some(10));
        hold(&mut inbox, record(20, 1, 1));
        inbox.saw(30);
        assert_eq!(inbox.take_acknowledgement(), Some(19));
        assert_eq!(inbox.take_acknowledgement(), None);
        assert_eq!(inbox.take_all(AccountId(1)).len(), 1);
        assert_eq!(inbox.take_acknowledgement(), Some(30));
    }

    #[test]
    fn what_is_held_again_out_of_order_is_not_acknowledged_either() {
        let mut inbox = Inbox::default();
        inbox.hold(AccountId(1), record(10, 2, 1));
        inbox.hold(AccountId(3), record(20, 3, 1));
        let mut all = inbox.take_all(AccountId(1));
        inbox.hold(AccountId(3), all.remove(1));
        inbox.hold(AccountId(2), all.remove(0));
        assert_eq!(inbox.take_acknowledgement(), Some(9));
    }

    #[test]
    fn a_refused_question_is_asked_again_so_often_and_no_more() {
        let mut inbox = Inbox::default();
        assert!(!inbox.asks_again(AccountId(1)), "nothing is held");
        for _ in 0..2 {
            hold(&mut inbox, record(1, 1, 1));
            assert!((0..ASKED_AGAIN_MAX).all(|_| inbox.asks_again(AccountId(1))));
            assert!(!inbox.asks_again(AccountId(1)));
            inbox.take_all(AccountId(1));
        }
    }

    #[test]
    fn both_sides_of_the_bound_on_records() {
        let mut inbox = Inbox::default();
        (0..HELD_RECORDS_MAX as u64).for_each(|seq| hold(&mut inbox, record(seq + 1, 1, 1)));
        assert!(!inbox.skips());
        hold(&mut inbox, record(10_000, 2, 1));
        assert!(inbox.skips() && !inbox.holds_any_of(AccountId(2)));
        inbox.take_all(AccountId(1));
        assert_eq!(inbox.take_acknowledgement(), Some(HELD_RECORDS_MAX as u64), "not the dropped");
    }

    #[test]
    fn both_sides_of_the_bound_on_bytes() {
        let mut inbox = Inbox::default();
        hold(&mut inbox, record(1, 1, HELD_BYTES_MAX));
        assert!(!inbox.skips());
        hold(&mut inbox, record(2, 1, 1));
        assert!(inbox.skips());
    }
}
