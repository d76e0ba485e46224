//! Groups as they are shown.

use godwit_base::{AccountId, GroupId, Handle};
use godwit_seal::Member;

use crate::core::Core;
use crate::{GroupInfo, GroupMemberInfo};

impl Core {
    /// The groups that this device knows, as they are to be shown.
    pub fn groups(&self) -> Vec<GroupInfo> {
        self.groups.all().map(|(id, _)| id).filter_map(|id| self.group(id)).collect()
    }

    /// A group as it is to be shown.
    pub fn group(&self, id: GroupId) -> Option<GroupInfo> {
        let known = self.groups.get(id)?;
        let member = |(account, member): (AccountId, &Member)| GroupMemberInfo {
            account,
            handle: self.name_of_account(account),
            admin: member.is_admin(),
        };
        let profile = known.profile();
        let (name, picture) = profile.map(|profile| (profile.name, profile.picture)).unzip();
        Some(GroupInfo {
            id,
            name,
            picture: picture.unwrap_or_default(),
            community: known.group.community(),
            epoch: known.group.epoch(),
            members: known.group.members().map(member).collect(),
            only_admins_write: known.group.only_admins_write(),
            is_member: known.group.member(self.me.device().account).is_some(),
            has_link: known.group.invite().is_some(),
            frozen: known.record.frozen.clone(),
        })
    }

    /// How somebody is called, if this device knows it.
    pub(super) fn name_of_account(&self, account: AccountId) -> Option<Handle> {
        if account == self.me.device().account {
            return Some(self.me.home.handle.clone());
        }
        self.contacts.get(account).map(|contact| contact.record.handle.clone())
    }
}
