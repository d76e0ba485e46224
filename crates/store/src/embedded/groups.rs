//! The groups in RAM, as far as the message path needs them. RAM: 16 B a member and about 150 B a group;
//! 100,000 groups of 20 take 50 MB.

use std::collections::{HashMap, VecDeque};

use godwit_base::{AccountId, GroupId};

use super::roster::Roster;
use crate::{GroupSettings, Role};

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<GroupId, Group>,
    /// In how many groups an account is; none that is in no group.
    joined: HashMap<AccountId, u32>,
    /// Groups without members, waiting for the sweep.
    pub(crate) ended: VecDeque<GroupId>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// The newest entry.
    pub(crate) epoch: u64,
    pub(crate) settings: GroupSettings,
    /// Bytes of all signed entries.
    pub(crate) log_bytes: u64,
    /// By account.
    pub(crate) members: Vec<(AccountId, Role)>,
}

impl Groups {
    /// A group that has members.
    pub(crate) fn get(&self, group: GroupId) -> Option<&Group> {
        self.groups.get(&group)
    }

    /// Sets a group; one without members is to be swept.
    pub(crate) fn set(&mut self, id: GroupId, group: Group) {
        for (account, _) in &group.members {
            *self.joined.entry(*account).or_default() += 1;
        }
        let before = if group.members.is_empty() {
            self.ended.push_back(id);
            self.groups.remove(&id)
        } else {
            self.groups.insert(id, group)
        };
        for (account, _) in before.into_iter().flat_map(|before| before.members) {
            if let Some(joined) = self.joined.get_mut(&account) {
                *joined -= 1;
                if *joined == 0 {
                    self.joined.remove(&account);
                }
            }
        }
    }

    /// In how many groups an account is.
    pub(crate) fn joined(&self, account: AccountId) -> usize {
        self.joined.get(&account).map_or(0, |joined| *joined as usize)
    }

    /// The groups of an account and their epochs, by id; at most `GROUPS_PER_ACCOUNT_MAX`. Goes through the
    /// groups until it has them all, on the writer's thread: only who recovers an account has it do so.
    pub(crate) fn of(&self, account: AccountId) -> Vec<(GroupId, u64)> {
        let with = self.groups.iter().filter(|(_, group)| group.role(account).is_some());
        let with = with.map(|(id, group)| (*id, group.epoch));
        let mut all: Vec<_> = with.take(self.joined(account)).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn count(&self) -> u64 {
        self.groups.len() as u64
    }

    /// Size of each group.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (GroupId, u32)> + use<'_> {
        self.groups.iter().map(|(id, group)| (*id, group.size()))
    }
}

impl Group {
    pub(crate) fn role(&self, account: AccountId) -> Option<Role> {
        let at = self.members.binary_search_by_key(&account, |(account, _)| *account).ok()?;
        self.members.get(at).map(|(_, role)| *role)
    }

    /// Gives an account a role, or none.
    pub(crate) fn set_role(&mut self, account: AccountId, role: Option<Role>) {
        match (self.members.binary_search_by_key(&account, |(account, _)| *account), role) {
            (Ok(at), Some(role)) => self.members[at].1 = role,
            (Ok(at), None) => {
                self.members.remove(at);
            }
            (Err(at), Some(role)) => self.members.insert(at, (account, role)),
            (Err(_), None) => {}
        }
    }

    pub(crate) fn has_admin(&self) -> bool {
        self.members.iter().any(|(_, role)| *role == Role::Admin)
    }

    /// Whether these are exactly the accounts of all members, of which `own` may be missing.
    pub(crate) fn is_exactly(&self, accounts: &[AccountId], own: Option<AccountId>) -> bool {
        let wanted = self.members.iter().map(|(account, _)| *account);
        let is_own_missing = own.is_some_and(|own| !accounts.contains(&own));
        wanted
            .filter(|account| !is_own_missing || Some(*account) != own)
            .eq(accounts.iter().copied())
    }

    /// A number that differs after each change of the set of devices of any member: each account's grows
    /// with its own, and the members of an epoch are always the same.
    pub(crate) fn devices_version(&self, roster: &Roster) -> u64 {
        let version = |account| roster.get(account).map_or(0, |listed| listed.set_version);
        self.members.iter().fold(0_u64, |sum, (account, _)| sum.wrapping_add(version(*account)))
    }

    #[allow(clippy::cast_possible_truncation, reason = "at most GROUP_MEMBERS_MAX")]
    pub(crate) fn size(&self) -> u32 {
        self.members.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId([7; 16]);

    fn group(members: &[u64]) -> Group {
        let mut group = Group::default();
        for account in members {
            group.set_role(AccountId(*account), Some(Role::Member));
        }
        group
    }

    #[test]
    fn members_are_in_order_and_counted_through_changes() {
        let mut groups = Groups::default();
        groups.set(GROUP, group(&[3, 1, 2]));
        assert!(groups.get(GROUP).unwrap().is_exactly(&[1, 2, 3].map(AccountId), None));
        groups.set(GroupId([8; 16]), group(&[3]));
        assert_eq!([1, 3, 4].map(|account| groups.joined(AccountId(account))), [1, 2, 0]);
        groups.set(GROUP, group(&[2]));
        assert_eq!([1, 2, 3].map(|account| groups.joined(AccountId(account))), [0, 1, 1]);
        assert_eq!(groups.count(), 2);
        groups.set(GROUP, group(&[]));
        assert!(groups.get(GROUP).is_none());
        assert_eq!(groups.ended, [GROUP]);
        assert_eq!((groups.joined(AccountId(2)), groups.count()), (0, 1));
    }

    #[test]
    fn the_own_account_may_be_missing_and_nobody_else() {
        let group = group(&[1, 2, 3]);
        let own = Some(AccountId(2));
        assert!(group.is_exactly(&[1, 3].map(AccountId), own));
        assert!(group.is_exactly(&[1, 2, 3].map(AccountId), own));
        assert!(!group.is_exactly(&[1, 3].map(AccountId), None));
        assert!(!group.is_exactly(&[1, 2].map(AccountId), own));
        assert!(!group.is_exactly(&[1, 3, 4].map(AccountId), own));
    }

    #[test]
    fn roles_are_set_and_taken() {
        let mut group = group(&[1]);
        assert!(!group.has_admin());
        group.set_role(AccountId(1), Some(Role::Admin));
        assert!(group.has_admin());
        assert_eq!(group.role(AccountId(1)), Some(Role::Admin));
        group.set_role(AccountId(1), None);
        group.set_role(AccountId(1), None);
        assert_eq!((group.role(AccountId(1)), group.size()), (None, 0));
    }
}
