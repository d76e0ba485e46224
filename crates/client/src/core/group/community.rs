//! Communities: a group in which only admins write announces for several others, which name it in their
//! logs. Everybody in one of them is to be in it.
//!
//! Whoever is an admin of both sees to that: on each entry of either, and once a link.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::limits::GROUP_MEMBERS_MAX;
use godwit_base::{AccountId, GroupId};
use godwit_seal::{AccountPublic, Applied, Change, Group};

use super::changing::GroupCommand;
use super::{Groups, Known};
use crate::Error;
use crate::core::Core;

/// Most groups that a new community is made of: more can be put under it later. With 1,024 members in all
/// there is little sense in more.
pub const COMMUNITY_GROUPS_MAX: usize = 64;

impl Groups {
    /// An entry stands: its community, or the one that it is, may have to change too.
    pub(super) fn stir(&mut self, id: GroupId, applied: &Applied) {
        let Some(known) = self.by_id.get_mut(&id) else { return };
        let now = known.group.community();
        let was = std::mem::replace(&mut known.record.community, now);
        if let Some(was) = was.filter(|_| was != now) {
            let all = known.group.members().map(|(account, _)| account);
            self.astir.entry(was).or_default().extend(all);
        }
        if let Some(community) = now {
            let gone = applied.changes.iter().filter_map(|change| match change {
                Change::Remove(account) => Some(*account),
                _ => None,
            });
            self.astir.entry(community).or_default().extend(gone);
        }
        self.changed.insert(id);
        if self.of_community(id).next().is_some() {
            self.astir.entry(id).or_default();
        }
    }

    /// What a process that ended had left to do.
    pub(super) fn stir_all(&mut self) {
        let all: Vec<GroupId> =
            self.all().filter_map(|(_, known)| known.group.community()).collect();
        for community in all {
            self.astir.entry(community).or_default();
        }
    }

    /// The groups of a community, as far as this device knows them.
    fn of_community(&self, community: GroupId) -> impl Iterator<Item = (GroupId, &Known)> {
        self.all().filter(move |(_, known)| known.group.community() == Some(community))
    }
}

impl Core {
    /// Wants the changes of communities that this account has to make.
    pub(super) fn tend_communities(&mut self) {
        for (community, gone) in std::mem::take(&mut self.groups.astir) {
            let groups = self.groups.of_community(community).map(|(id, _)| id);
            let is_behind = groups.chain([community]).any(|id| self.groups.is_followed(id));
            if is_behind || self.groups.wishes.gathers(community) {
                self.groups.astir.entry(community).or_default().extend(gone);
                continue;
            }
            let gone: Vec<AccountId> = gone.into_iter().collect();
            if self.gathering(community, &gone).is_empty() {
                continue;
            }
            let gather = GroupCommand::Gather(community, gone.clone());
            if self.groups.wishes.push(gather, false).is_none() {
                self.groups.astir.entry(community).or_default().extend(gone);
            }
        }
    }

    /// Who comes into a community, and who of these goes; nothing if this account has no say there. As many
    /// come as there is room for.
    pub(super) fn gathering(&self, community: GroupId, gone: &[AccountId]) -> Vec<Change> {
        let own = self.me.device().account;
        let Some(known) = self.groups.get(community) else { return Vec::new() };
        let may = known.group.is_admin(own) && known.record.frozen.is_none();
        if !may {
            return Vec::new();
        }
        let groups: Vec<&Group> =
            self.groups.of_community(community).map(|(_, known)| &known.group).collect();
        let ours = groups.iter().filter(|group| group.is_admin(own));
        let wanted = ours.flat_map(|group| group.members());
        let new: BTreeMap<AccountId, AccountPublic> = wanted
            .filter(|(account, _)| known.group.member(*account).is_none())
            .map(|(account, member)| (account, *member.key()))
            .collect();
        let room = GROUP_MEMBERS_MAX.saturating_sub(known.group.member_count());
        let go = gone
            .iter()
            .copied()
            .filter(|account| known.group.member(*account).is_some_and(|member| !member.is_admin()))
            .filter(|account| groups.iter().all(|group| group.member(*account).is_none()))
            .map(Change::Remove);
        new.into_values().take(room).map(Change::Add).chain(go).collect()
    }

    /// The changes of a community's first entry.
    ///
    /// # Errors
    /// [`Error::NoGroup`]; [`Error::Group`] if a group is not this account's to put under a community.
    pub(super) fn first_of_community(&self, of: &[GroupId]) -> Result<Vec<Change>, Error> {
        if of.is_empty() || of.len() > COMMUNITY_GROUPS_MAX {
            let text = format!("a community is made of 1 to {COMMUNITY_GROUPS_MAX} groups");
            return Err(Error::Group(text));
        }
        let own = self.me.device().account;
        let mut members = BTreeMap::new();
        for id in of {
            let known = self.groups.get(*id).ok_or(Error::NoGroup(*id))?;
            if !known.group.is_admin(own) {
                return Err(Error::Group(format!("you are no admin of group {id}")));
            }
            if let Some(other) = known.group.community() {
                return Err(Error::Group(format!("group {id} is in community {other} already")));
            }
            members.extend(known.group.members().map(|(account, member)| (account, *member.key())));
        }
        members.remove(&own);
        let add = members.into_values().map(Change::Add);
        Ok([Change::OnlyAdminsWrite(true)].into_iter().chain(add).collect())
    }

    /// A group comes under a community of which this account is an admin, or under none.
    pub(super) fn under(&self, community: Option<GroupId>) -> Result<Vec<Change>, Error> {
        if let Some(id) = community {
            let known = self.groups.get(id).ok_or(Error::NoGroup(id))?;
            if !known.group.is_admin(self.me.device().account) {
                return Err(Error::Group(format!("you are no admin of community {id}")));
            }
            if !known.group.only_admins_write() || known.group.community().is_some() {
                let text = "not a community: make one with `godwit community create`";
                return Err(Error::Group(text.to_owned()));
            }
        }
        Ok(vec![Change::Community(community)])
    }

    /// This account leaves. Of a community it is in as long as it is in one of its groups.
    pub(super) fn leaving(&self, id: GroupId) -> Result<Vec<Change>, Error> {
        let own = self.me.device().account;
        let kept: BTreeSet<GroupId> = self
            .groups
            .of_community(id)
            .filter(|(_, known)| known.group.member(own).is_some())
            .map(|(id, _)| id)
            .collect();
        if let Some(group) = kept.first() {
            let text = format!(
                "you are in group {group} of this community: `godwit community leave {id}` leaves both"
            );
            return Err(Error::Group(text));
        }
        Ok(vec![Change::Remove(own)])
    }
}
