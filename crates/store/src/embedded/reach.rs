//! How far posts of one device to one group have come: one row for all of its members, because a record
//! for each of a thousand would bury the sender's mailbox.

use godwit_base::AccountId;
use godwit_base::limits::{GROUP_MEMBERS_MAX, GROUP_RECEIPT_POSTS_MAX};

/// What is known of the posts of one device to one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// One more with each change: whether a receipt that was fetched is still all there is to say.
    pub(crate) version: u64,
    /// When it last changed, unix milliseconds.
    pub(crate) changed_ms: u64,
    /// The newest posts that anybody has, and how many accounts have each; ascending.
    pub(crate) posts: Vec<(u64, u32)>,
    /// The newest counter that each account has, by account.
    pub(crate) accounts: Vec<(AccountId, u64)>,
}

impl Reach {
    /// A device of `account` acknowledged the post `counter`. The account's first device counts; posts
    /// come to each device in order, so what is not above its mark was counted.
    pub(crate) fn has(&mut self, account: AccountId, counter: u64) -> bool {
        match self.accounts.binary_search_by_key(&account, |(account, _)| *account) {
            Ok(at) if self.accounts[at].1 >= counter => return false,
            Ok(at) => self.accounts[at].1 = counter,
            Err(at) => self.accounts.insert(at, (account, counter)),
        }
        match self.posts.binary_search_by_key(&counter, |(counter, _)| *counter) {
            Ok(at) => self.posts[at].1 = self.posts[at].1.saturating_add(1),
            Err(at) => self.posts.insert(at, (counter, 1)),
        }
        if self.posts.len() > GROUP_RECEIPT_POSTS_MAX {
            self.posts.remove(0);
        }
        true
    }

    /// Forgets who is not a member any more, if there are more accounts than a group has members.
    pub(crate) fn trim(&mut self, is_member: impl Fn(AccountId) -> bool) {
        if self.accounts.len() > GROUP_MEMBERS_MAX {
            self.accounts.retain(|(account, _)| is_member(*account));
        }
    }

    /// The accounts that have `counter` or a later one.
    pub(crate) fn from(self, counter: u64) -> Vec<(AccountId, u64)> {
        let mut reached = self.accounts;
        reached.retain(|(_, up_to)| *up_to >= counter);
        reached.truncate(GROUP_MEMBERS_MAX);
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_counts_once_a_post_whichever_device_has_it() {
        let mut reach = Reach::default();
        assert!(reach.has(AccountId(1), 5));
        assert!(!reach.has(AccountId(1), 5), "another device of it");
        assert!(reach.has(AccountId(2), 5));
        assert!(reach.has(AccountId(2), 7));
        assert_eq!(reach.posts, [(5, 2), (7, 1)]);
        assert_eq!(reach.clone().from(6), [(AccountId(2), 7)]);
        assert_eq!(reach.from(0), [(AccountId(1), 5), (AccountId(2), 7)]);
    }

    #[test]
    fn the_newest_posts_are_told_of_and_no_more() {
        let mut reach = Reach::default();
        let last = GROUP_RECEIPT_POSTS_MAX as u64 + 1;
        (1..=last).for_each(|counter| assert!(reach.has(AccountId(1), counter)));
        assert_eq!(reach.posts.len(), GROUP_RECEIPT_POSTS_MAX);
        assert_eq!(reach.posts[0], (2, 1));
    }

    #[test]
    fn who_left_is_forgotten_when_there_are_too_many() {
        let mut reach = Reach::default();
        let most = GROUP_MEMBERS_MAX as u64;
        (0..most).for_each(|account| assert!(reach.has(AccountId(account), 1)));
        reach.trim(|account| account.0 > 0);
        assert_eq!(reach.accounts.len(), GROUP_MEMBERS_MAX, "not too many yet");
        reach.has(AccountId(most), 1);
        reach.trim(|account| account.0 > 0);
        assert_eq!(reach.accounts.len(), GROUP_MEMBERS_MAX);
        assert_eq!(reach.accounts[0].0, AccountId(1));
    }
}
