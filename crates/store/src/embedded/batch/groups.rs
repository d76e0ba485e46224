//! Groups: the next entry of a membership log, and the news of it in every mailbox that it concerns.

use bytes::Bytes;
use godwit_base::limits::{
    GROUP_ENTRY_BYTES_MAX, GROUP_LOG_BYTES_MAX, GROUP_LOG_ENTRIES_MAX, GROUP_MEMBERS_MAX,
    GROUPS_PER_ACCOUNT_MAX,
};
use godwit_base::{AccountId, DeviceId, GroupId};
use redb::ReadableTable;

use super::Batch;
use super::stop::{Step, Stop, require, require_room};
use crate::embedded::fault::Fault;
use crate::embedded::groups::Group;
use crate::embedded::index::Load;
use crate::embedded::roll::RollChange;
use crate::embedded::row::{self, Kind, Mark};
use crate::embedded::tables;
use crate::{Entry, GroupChange, GroupError, GroupRoster, Role};

/// Largest entry by which somebody leaves a group whose log is full: the author's device list of at most
/// 8 KiB, and room. A log thus ends at 8 MiB and 1,024 x 16 KiB.
pub(crate) const LEAVING_BYTES_MAX: usize = 16 * 1024;

impl Batch<'_> {
    pub(super) fn change_group(
        &mut self,
        by: DeviceId,
        change: &GroupChange,
    ) -> Step<(), GroupError> {
        require(self.state.roster.has(by), GroupError::NotListed)?;
        require(is_well_formed(change), GroupError::Invalid)?;
        let id = change.group;
        let group = match self.state.groups.get(id) {
            Some(group) => group.clone(),
            None => self.unborn(change)?,
        };
        if change.epoch <= group.epoch {
            let stored = self.log_entry(id, change.epoch)?;
            let is_same = stored
                .is_some_and(|(author, signed)| author == by.account && signed == change.signed);
            return require(is_same, GroupError::Stale);
        }
        require(change.epoch - group.epoch == 1, GroupError::Stale)?;
        authorise(&group, by.account, change)?;
        let next = self.next_group(&group, change)?;
        require(has_log_room(&group, by.account, change), GroupError::LogFull)?;
        require_room(self.terms.disk_full)?;

        self.write_change(by.account, change, &group, &next)?;
        self.out.roll.push(RollChange::Group(id, next.size()));
        self.state.groups.set(id, next.clone());
        self.tell_change(by, change, &next)?;
        Ok(())
    }

    /// What there is before entry 1, if the id is free.
    fn unborn(&self, change: &GroupChange) -> Step<Group, GroupError> {
        let row = self.txn.open_table(tables::GROUP)?.get(&change.group.0)?.is_some();
        require(change.epoch == 1 && !row, GroupError::Unknown)?;
        Ok(Group::default())
    }

    /// The group as it is after a change.
    fn next_group(&self, group: &Group, change: &GroupChange) -> Step<Group, GroupError> {
        let mut next = Group {
            epoch: change.epoch,
            settings: change.settings.unwrap_or(group.settings),
            log_bytes: group.log_bytes + change.signed.len() as u64,
            members: group.members.clone(),
        };
        for (account, role) in &change.members {
            let is_member = group.role(*account).is_some();
            require(is_member || role.is_some(), GroupError::Invalid)?;
            if !is_member {
                require(self.state.roster.get(*account).is_some(), GroupError::Invalid)?;
                let joined = self.state.groups.joined(*account);
                require(joined < GROUPS_PER_ACCOUNT_MAX, GroupError::TooManyGroups)?;
            }
            next.set_role(*account, *role);
        }
        require(next.members.len() <= GROUP_MEMBERS_MAX, GroupError::Full)?;
        let is_led = next.has_admin() || (next.members.is_empty() && group.epoch > 0);
        require(is_led, GroupError::Invalid)?;
        Ok(next)
    }

    fn write_change(
        &mut self,
        by: AccountId,
        change: &GroupChange,
        before: &Group,
        after: &Group,
    ) -> Result<(), Fault> {
        let id = change.group;
        let row = row::group::put_group(id, after);
        self.txn.open_table(tables::GROUP)?.insert(&id.0, row.as_slice())?;
        let key = tables::group_key(id, change.epoch);
        let row = row::group::put_entry(&key, by, &change.signed);
        self.txn.open_table(tables::GROUP_LOG)?.insert(&key, row.as_slice())?;
        let mut former = self.txn.open_table(tables::GROUP_FORMER)?;
        for (account, role) in &change.members {
            let key = tables::group_key(id, account.0);
            if role.is_some() {
                former.remove(&key)?;
            } else if before.role(*account).is_some() {
                former.insert(&key, row::group::put_number(&key, change.epoch).as_slice())?;
            }
        }
        self.changed = true;
        Ok(())
    }

    /// News for every device of who is in the group now and of who just left it.
    fn tell_change(
        &mut self,
        by: DeviceId,
        change: &GroupChange,
        group: &Group,
    ) -> Result<(), Fault> {
        let left = change.members.iter().filter(|(_, role)| role.is_none());
        let accounts = group.members.iter().map(|(account, _)| *account);
        let accounts = accounts.chain(left.map(|(account, _)| *account));
        let devices: Vec<_> = accounts
            .flat_map(|account| self.state.roster.devices_of(account))
            .filter(|device| *device != by)
            .collect();
        for owner in devices {
            self.file_news(owner, change.group, change.epoch, false)?;
        }
        Ok(())
    }

    /// News of all groups of an account for all its devices.
    pub(super) fn tell_of_groups(&mut self, account: AccountId) -> Result<(), Fault> {
        let devices: Vec<_> = self.state.roster.devices_of(account).collect();
        for (group, epoch) in self.state.groups.of(account) {
            for owner in &devices {
                self.file_news(*owner, group, epoch, false)?;
            }
        }
        Ok(())
    }

    /// Tells a mailbox that a group is at `epoch`, in place of what it has not yet fetched about it.
    pub(super) fn file_news(
        &mut self,
        owner: DeviceId,
        group: GroupId,
        epoch: u64,
        missed: bool,
    ) -> Result<(), Fault> {
        let mark = Mark::News(group);
        let missed = match self.state.index.mark(owner, mark) {
            None => missed,
            Some(seq) => match self.delete(owner, seq)?.0 {
                Kind::News { missed: before, .. } => missed || before,
                _ => return Err(Fault::damaged("news of a group became another record")),
            },
        };
        let seq = self.next_seq();
        row::group::put_news(&mut self.out.row, seq, owner, group, epoch, missed);
        let entry = Entry::GroupNews { group, epoch, missed };
        self.append(seq, owner, Load::Mark(mark), entry)
    }

    fn log_entry(&self, id: GroupId, epoch: u64) -> Result<Option<(AccountId, Bytes)>, Fault> {
        let key = tables::group_key(id, epoch);
        let log = self.txn.open_table(tables::GROUP_LOG)?;
        let row = log.get(&key)?;
        row.map(|row| row::group::log_entry(&key, row.value())).transpose()
    }

    pub(super) fn group_roster(&self, by: AccountId, id: GroupId) -> Step<GroupRoster, GroupError> {
        let roster = &self.state.roster;
        let group = self.state.groups.get(id).ok_or(Stop::Refused(GroupError::Unknown))?;
        require(group.role(by).is_some(), GroupError::NotMember)?;
        let version = |account| roster.get(account).map_or(0, |listed| listed.version);
        let row = |(account, role): &(AccountId, Role)| (*account, *role, version(*account));
        Ok(GroupRoster {
            epoch: group.epoch,
            devices_version: group.devices_version(roster),
            members: group.members.iter().map(row).collect(),
            settings: group.settings,
        })
    }
}

/// Whether `by` may make this change.
fn authorise(group: &Group, by: AccountId, change: &GroupChange) -> Step<(), GroupError> {
    match group.role(by) {
        Some(Role::Admin) => Ok(()),
        Some(Role::Member) => require(change.is_only(by, None), GroupError::NotAdmin),
        None if group.epoch == 0 => {
            let own = change.members.iter().find(|(account, _)| *account == by);
            require(own.is_some_and(|(_, role)| *role == Some(Role::Admin)), GroupError::Invalid)
        }
        None => {
            require(change.shows.is_some(), GroupError::NotMember)?;
            require(change.shows == group.settings.invite_hash, GroupError::LinkInvalid)?;
            require(change.is_only(by, Some(Role::Member)), GroupError::NotAdmin)
        }
    }
}

/// A full log takes nothing more but that its members leave, so that nobody is held.
fn has_log_room(group: &Group, by: AccountId, change: &GroupChange) -> bool {
    let bytes = change.signed.len();
    let is_within = change.epoch <= GROUP_LOG_ENTRIES_MAX
        && group.log_bytes + bytes as u64 <= GROUP_LOG_BYTES_MAX;
    is_within || (change.is_only(by, None) && bytes <= LEAVING_BYTES_MAX)
}

/// The session checked all of this before; the store does not rely on it.
fn is_well_formed(change: &GroupChange) -> bool {
    let mut accounts: Vec<_> = change.members.iter().map(|(account, _)| *account).collect();
    accounts.sort_unstable();
    change.epoch > 0
        && (1..=GROUP_ENTRY_BYTES_MAX).contains(&change.signed.len())
        && accounts.len() <= GROUP_MEMBERS_MAX
        && accounts.windows(2).all(|pair| pair[0] != pair[1])
}

impl GroupChange {
    /// Whether all it does is to give this account this role.
    fn is_only(&self, account: AccountId, role: Option<Role>) -> bool {
        self.settings.is_none() && self.members == [(account, role)]
    }
}
