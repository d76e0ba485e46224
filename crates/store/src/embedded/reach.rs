//! How far posts of one device to one group have come: one row for all of its members, because a record
//! for each of a thousand would bury the sender's mailbox.

use godwit_base::AccountId;
use godwit_base::limits::{GROUP_MEMBERS_MAX, GROUP_RECEIPT_POSTS_MAX};

use crate::{PostReach, Reached};

const _: () =
    assert!(GROUP_RECEIPT_POSTS_MAX <= u32::BITS as usize, "a bit for each in `Holder::had`");

/// What is known of the posts of one device to one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// One more with each change: whether a receipt that was fetched is still all there is to say.
    pub(crate) version: u64,
    /// When it last changed, unix milliseconds.
    pub(crate) changed_ms: u64,
    /// The newest posts that anybody has; ascending.
    pub(crate) posts: Vec<PostReach>,
    /// Who has any of its posts, by account.
    pub(crate) holders: Vec<Holder>,
}

/// An account that has a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) account: AccountId,
    /// The newest counter that it has.
    pub(crate) up_to: u64,
    /// The newest counter that it has read, never above the one before.
    pub(crate) read_up_to: u64,
    /// Which of [`Reach::posts`] it has, the lowest bit for the first: who came later, or was passed by
    /// with a full mailbox, has not all up to its newest, and so has not read them either.
    pub(crate) had: u32,
}

impl Reach {
    /// A device of `account` acknowledged the post `counter`. The account's first device counts; posts
    /// come to each device in order, so what is not above its mark was counted.
    pub(crate) fn has(&mut self, account: AccountId, counter: u64) -> bool {
        let at = match self.find(account) {
            Ok(at) if self.holders[at].up_to >= counter => return false,
            Ok(at) => at,
            Err(at) => {
                self.holders.insert(at, Holder { account, up_to: 0, read_up_to: 0, had: 0 });
                at
            }
        };
        self.holders[at].up_to = counter;
        if let Some(place) = self.place_of(counter) {
            self.holders[at].had |= 1 << place;
            self.posts[place].accounts = self.posts[place].accounts.saturating_add(1);
        }
        true
    }

    /// `account` says that it has read everything up to `counter`. It counts no further than what it has,
    /// and not at all for who has nothing.
    pub(crate) fn reads(&mut self, account: AccountId, counter: u64) -> bool {
        let Ok(at) = self.find(account) else { return false };
        let holder = &mut self.holders[at];
        let (before, up_to) = (holder.read_up_to, counter.min(holder.up_to));
        if up_to <= before {
            return false;
        }
        holder.read_up_to = up_to;
        for (place, post) in self.posts.iter_mut().enumerate() {
            let is_new = before < post.counter && post.counter <= up_to;
            if is_new && holder.had & (1 << place) != 0 {
                post.readers = post.readers.saturating_add(1);
            }
        }
        true
    }

    /// Forgets who is not a member any more, if there are more accounts than a group has members.
    pub(crate) fn trim(&mut self, is_member: impl Fn(AccountId) -> bool) {
        if self.holders.len() > GROUP_MEMBERS_MAX {
            self.holders.retain(|holder| is_member(holder.account));
        }
    }

    /// The accounts that have `counter` or a later one.
    pub(crate) fn from(self, counter: u64) -> Vec<Reached> {
        let later = self.holders.into_iter().filter(|holder| holder.up_to >= counter);
        let reached = later.map(|Holder { account, up_to, read_up_to, .. }| Reached {
            account,
            up_to,
            read_up_to,
        });
        reached.take(GROUP_MEMBERS_MAX).collect()
    }

    fn find(&self, account: AccountId) -> Result<usize, usize> {
        self.holders.binary_search_by_key(&account, |holder| holder.account)
    }

    /// Where a post stands among the newest; none if it is older than all of them.
    fn place_of(&mut self, counter: u64) -> Option<usize> {
        let new = PostReach { counter, accounts: 0, readers: 0 };
        match self.posts.binary_search_by_key(&counter, |post| post.counter) {
            Ok(at) => Some(at),
            Err(at) if self.posts.len() < GROUP_RECEIPT_POSTS_MAX => {
                if at < self.posts.len() {
                    self.holders.iter_mut().for_each(|holder| holder.makes_room(at));
                }
                self.posts.insert(at, new);
                Some(at)
            }
            Err(0) => None,
            Err(at) => {
                self.posts.remove(0);
                self.posts.insert(at - 1, new);
                self.holders.iter_mut().for_each(|holder| {
                    holder.had >>= 1;
                    holder.makes_room(at - 1);
                });
                Some(at - 1)
            }
        }
    }
}

impl Holder {
    /// The posts from `place` on stand one further; it does not have the one that comes there.
    fn makes_room(&mut self, place: usize) {
        let below = (1 << place) - 1;
        self.had = (self.had & below) | ((self.had & !below) << 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWEST: u64 = GROUP_RECEIPT_POSTS_MAX as u64;

    fn told(reach: &Reach) -> Vec<(u64, u32, u32)> {
        reach.posts.iter().map(|post| (post.counter, post.accounts, post.readers)).collect()
    }

    fn reached(account: u64, up_to: u64, read_up_to: u64) -> Reached {
        Reached { account: AccountId(account), up_to, read_up_to }
    }

    #[test]
    fn an_account_counts_once_a_post_whichever_device_has_it() {
        let mut reach = Reach::default();
        assert!(reach.has(AccountId(1), 5));
        assert!(!reach.has(AccountId(1), 5), "another device of it");
        assert!(reach.has(AccountId(2), 5));
        assert!(reach.has(AccountId(2), 7));
        assert_eq!(told(&reach), [(5, 2, 0), (7, 1, 0)]);
        assert_eq!(reach.clone().from(6), [reached(2, 7, 0)]);
        assert_eq!(reach.from(0), [reached(1, 5, 0), reached(2, 7, 0)]);
    }

    #[test]
    fn what_is_read_counts_once_and_no_further_than_what_is_had() {
        let mut reach = Reach::default();
        for counter in [5, 7, 9] {
            assert!(reach.has(AccountId(1), counter));
        }
        assert!(reach.has(AccountId(2), 7), "it has nothing before");
        assert!(!reach.reads(AccountId(3), 9), "it has nothing");
        assert!(!reach.reads(AccountId(1), 0));
        assert!(reach.reads(AccountId(1), 5));
        assert!(!reach.reads(AccountId(1), 5), "the same again");
        assert!(reach.reads(AccountId(1), 8));
        assert!(!reach.reads(AccountId(1), 6), "it goes up alone");
        assert!(reach.reads(AccountId(2), u64::MAX));
        assert_eq!(told(&reach), [(5, 1, 1), (7, 2, 2), (9, 1, 0)]);
        assert_eq!(reach.clone().from(0), [reached(1, 9, 8), reached(2, 7, 7)]);
        assert!(reach.has(AccountId(2), 9));
        assert_eq!(told(&reach)[2], (9, 2, 0), "what it had not was not read");
        assert!(reach.reads(AccountId(2), 9));
        assert_eq!(told(&reach)[2], (9, 2, 1));
    }

    /// Bits move along when a post comes between, and when the oldest goes.
    #[test]
    fn who_has_which_post_is_known_whatever_comes_between() {
        let mut reach = Reach::default();
        reach.has(AccountId(1), 10);
        reach.has(AccountId(1), 30);
        reach.has(AccountId(2), 20);
        reach.has(AccountId(2), 30);
        assert!(reach.reads(AccountId(1), 30));
        assert_eq!(told(&reach), [(10, 1, 1), (20, 1, 0), (30, 2, 1)]);
        (0..NEWEST - 2).for_each(|n| assert!(reach.has(AccountId(3), 40 + n)));
        assert_eq!(told(&reach)[..2], [(20, 1, 0), (30, 2, 1)], "the oldest went");
        reach.has(AccountId(4), 25);
        assert_eq!(told(&reach)[..2], [(25, 1, 0), (30, 2, 1)], "between, and the oldest went");
        reach.has(AccountId(5), 24);
        assert_eq!(told(&reach)[0], (25, 1, 0), "older than all");
        assert!(reach.reads(AccountId(2), 30));
        assert!(reach.reads(AccountId(4), 25));
        assert!(reach.reads(AccountId(5), 24));
        assert_eq!(told(&reach)[..3], [(25, 1, 1), (30, 2, 2), (40, 1, 0)]);
        assert!(reach.posts.iter().all(|post| post.readers <= post.accounts));
    }

    #[test]
    fn the_newest_posts_are_told_of_and_no_more() {
        let mut reach = Reach::default();
        (1..=NEWEST).for_each(|counter| assert!(reach.has(AccountId(1), counter)));
        assert_eq!((reach.posts.len(), told(&reach)[0]), (GROUP_RECEIPT_POSTS_MAX, (1, 1, 0)));
        assert!(reach.has(AccountId(1), NEWEST + 1));
        assert_eq!((reach.posts.len(), told(&reach)[0]), (GROUP_RECEIPT_POSTS_MAX, (2, 1, 0)));
        assert!(reach.reads(AccountId(1), NEWEST + 1));
        assert!(reach.posts.iter().all(|post| post.readers == 1));
    }

    #[test]
    fn who_left_is_forgotten_when_there_are_too_many() {
        let mut reach = Reach::default();
        let most = GROUP_MEMBERS_MAX as u64;
        (0..most).for_each(|account| assert!(reach.has(AccountId(account), 1)));
        reach.trim(|account| account.0 > 0);
        assert_eq!(reach.holders.len(), GROUP_MEMBERS_MAX, "not too many yet");
        reach.has(AccountId(most), 1);
        reach.trim(|account| account.0 > 0);
        assert_eq!(reach.holders.len(), GROUP_MEMBERS_MAX);
        assert_eq!(reach.holders[0].account, AccountId(1));
    }
}
