//! How many conversations an account may begin in a day.
//!
//! Who writes with whom is not written down (decision 0102): what is known is a table of marks in
//! memory, 32 bits for each pair of accounts, under a hash that changes with each start. Asked for
//! every message, it has no lock: each mark is one atomic number.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use godwit_base::AccountId;
use godwit_store::Submission;

use crate::rate::{Rate, RateTable};

/// Marks of one bucket, half a cache line: where the mark of a pair may stand.
const BUCKET_MARKS: usize = 8;

/// Buckets: 131,072 x 8 marks x 4 B = 4 MiB for a million pairs. Beyond that older pairs give way, and
/// their next message begins a conversation anew.
const BUCKETS: usize = 128 * 1024;

/// Who has written with whom since the server started, and how many conversations each began.
#[derive(Debug)]
pub(crate) struct Strangers {
    marks: Box<[AtomicU32]>,
    hasher: RandomState,
    begun: RateTable<AccountId>,
}

impl Strangers {
    /// `per_day` conversations a day for each account, and as many at once.
    pub(crate) fn new(per_day: u32) -> Self {
        Self::with_buckets(BUCKETS, per_day)
    }

    fn with_buckets(buckets: usize, per_day: u32) -> Self {
        let marks = std::iter::repeat_with(AtomicU32::default);
        Self {
            marks: marks.take(buckets * BUCKET_MARKS).collect(),
            hasher: RandomState::new(),
            begun: RateTable::new(Rate::per_day(per_day)),
        }
    }

    /// Whether this may be sent now; each recipient whom the sender has not written with, in either
    /// direction, is a conversation begun. What goes to a group goes to nobody new: the store looks at
    /// its members.
    ///
    /// # Errors
    /// The milliseconds after which the account may begin another one.
    pub(crate) fn allow(&self, submission: &Submission, now_ns: u64) -> Result<(), u32> {
        if submission.post.is_some() {
            return Ok(());
        }
        let from = submission.origin.account;
        submission.recipients.iter().try_for_each(|to| self.write(from, to.account, now_ns))
    }

    fn write(&self, from: AccountId, to: AccountId, now_ns: u64) -> Result<(), u32> {
        if from == to {
            return Ok(());
        }
        let hash = self.hasher.hash_one((from.min(to), from.max(to)));
        let (bucket, mark) = self.place(hash);
        if bucket.iter().any(|known| known.load(Ordering::Relaxed) == mark) {
            return Ok(());
        }
        self.begun.take_or_pass(from, now_ns)?;
        // Two that write at once may take one place: one of them begins anew some day.
        let free = bucket.iter().find(|known| known.load(Ordering::Relaxed) == 0);
        let gives_way = usize::from(hash.to_le_bytes()[3]) % BUCKET_MARKS;
        if let Some(place) = free.or_else(|| bucket.get(gives_way)) {
            place.store(mark, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where the mark of a pair may stand, and the mark: never 0, which is a free place.
    fn place(&self, hash: u64) -> (&[AtomicU32], u32) {
        let buckets = (self.marks.len() / BUCKET_MARKS).max(1);
        let low = usize::try_from(hash & 0x00ff_ffff).unwrap_or(0);
        let start = (low % buckets) * BUCKET_MARKS;
        let bucket = self.marks.get(start..start + BUCKET_MARKS).unwrap_or_default();
        let mark = u32::try_from(hash >> 32).unwrap_or(u32::MAX).max(1);
        (bucket, mark)
    }

    /// Lets go of what says no more than nothing.
    pub(crate) fn forget_fresh(&self, now_ns: u64) {
        self.begun.forget_fresh(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;

    fn account(number: u64) -> AccountId {
        AccountId(number)
    }

    #[test]
    fn so_many_conversations_are_begun_in_a_day_and_no_more() {
        let strangers = Strangers::new(3);
        let alice = account(1);
        for to in 2..5 {
            assert_eq!(strangers.write(alice, account(to), 0), Ok(()));
        }
        let third_of_a_day_ms = u32::try_from(DAY_NS / 3 / 1_000_000).unwrap();
        assert_eq!(strangers.write(alice, account(5), 0), Err(third_of_a_day_ms));
        assert_eq!(strangers.write(alice, account(2), 0), Ok(()), "whom she has written with");
        assert_eq!(strangers.write(alice, alice, 0), Ok(()), "her own devices");
        assert_eq!(strangers.write(account(9), account(5), 0), Ok(()), "somebody else");
        assert_eq!(strangers.write(alice, account(5), DAY_NS / 3), Ok(()));
        assert!(strangers.write(alice, account(6), DAY_NS / 3).is_err());
    }

    #[test]
    fn to_answer_is_not_to_begin() {
        let strangers = Strangers::new(1);
        assert_eq!(strangers.write(account(1), account(2), 0), Ok(()));
        assert_eq!(strangers.write(account(3), account(2), 0), Ok(()));
        for to in [1, 3] {
            assert_eq!(strangers.write(account(2), account(to), 0), Ok(()));
        }
        assert_eq!(strangers.write(account(2), account(4), 0), Ok(()), "her first");
        assert!(strangers.write(account(2), account(5), 0).is_err());
    }

    #[test]
    fn a_full_bucket_forgets_one_pair_for_each_new_one() {
        let strangers = Strangers::with_buckets(1, 1_000);
        let alice = account(0);
        for to in 1..=100 {
            assert_eq!(strangers.write(alice, account(to), 0), Ok(()));
        }
        let marks = || strangers.marks.iter().map(|mark| mark.load(Ordering::Relaxed));
        assert!(marks().all(|mark| mark != 0) && marks().count() == BUCKET_MARKS);
        let (bucket, newest) = strangers.place(strangers.hasher.hash_one((alice, account(100))));
        assert!(bucket.iter().any(|known| known.load(Ordering::Relaxed) == newest));
    }
}
