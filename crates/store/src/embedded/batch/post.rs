//! A post: one body for all devices of a group, and a small record in each of their mailboxes.

use godwit_base::{AccountId, DeviceId, invariant};

use super::Batch;
use crate::embedded::fault::Fault;
use crate::embedded::groups::Group;
use crate::embedded::index::Load;
use crate::embedded::posts::Posted;
use crate::embedded::row;
use crate::embedded::tables;
use crate::{Entry, GroupPost, Outcome, Post, Role, Submission};

impl Batch<'_> {
    /// Whether a submission to a group may stand, its copies and mailboxes apart.
    pub(super) fn group_refusal(&self, submission: &Submission) -> Option<Outcome> {
        let post = submission.post.as_ref()?;
        let own = submission.origin.account;
        let Some(group) = self.state.groups.get(post.group) else {
            return Some(Outcome::GroupUnknown);
        };
        let Some(role) = group.role(own) else { return Some(Outcome::NotMember) };
        if post.epoch != group.epoch {
            return Some(Outcome::GroupStale);
        }
        if group.settings.only_admins_write && role != Role::Admin {
            return Some(Outcome::NotAdmin);
        }
        if post.is_shared() {
            let is_right = post.devices_version == group.devices_version(&self.state.roster);
            return (!is_right).then_some(Outcome::GroupListsStale);
        }
        (!self.is_for_all(submission, group)).then_some(Outcome::Malformed)
    }

    /// Whether the recipients are exactly the members. The own account may be missing if it has no
    /// other device.
    fn is_for_all(&self, submission: &Submission, group: &Group) -> bool {
        let own = submission.origin.account;
        let is_alone = self.state.roster.devices_of(own).all(|device| device == submission.origin);
        let mut accounts: Vec<_> = submission.recipients.iter().map(|to| to.account).collect();
        accounts.sort_unstable();
        group.is_exactly(&accounts, is_alone.then_some(own))
    }

    /// Checks once more, where it is stored, that a message to a group goes to its members (M12).
    pub(super) fn check_members(&self, from: AccountId, post: &GroupPost, accounts: &[AccountId]) {
        let group = self.state.groups.get(post.group);
        let holds = group.is_some_and(|group| {
            group.epoch == post.epoch
                && group.role(from).is_some()
                && accounts.iter().all(|account| group.role(*account).is_some())
        });
        invariant!(M12, holds, "a message to a group is not for the members of its epoch");
    }

    /// Stores a post. A mailbox without room does not hold up a thousand others: the post passes it by,
    /// and it is told so.
    pub(super) fn store_post(
        &mut self,
        from: DeviceId,
        counter: u64,
        post: GroupPost,
    ) -> Result<(), Fault> {
        let Some(group) = self.state.groups.get(post.group) else {
            return Err(Fault::damaged("a group went while it was posted to"));
        };
        let accounts: Vec<_> = group.members.iter().map(|(account, _)| *account).collect();
        self.check_members(from.account, &post, &accounts);
        let devices: Vec<_> = accounts
            .into_iter()
            .flat_map(|account| self.state.roster.devices_of(account))
            .filter(|device| *device != from)
            .collect();
        let GroupPost { group, epoch, body, .. } = post;
        let at = self.next_seq();
        let body_bytes = body.len();
        let shared = std::sync::Arc::new(Post { from, counter, group, epoch, body });
        let mut holders = 0;
        for owner in devices {
            let quotas = &self.terms.quotas;
            if !self.state.index.has_room(owner, from.account, body_bytes, quotas) {
                self.file_news(owner, group, epoch, true)?;
                continue;
            }
            holders += 1;
            let seq = self.next_seq();
            row::group::put_holding(&mut self.out.row, seq, owner, at);
            let load = Load::Message { from: from.account, body_bytes };
            self.append(seq, owner, load, Entry::Post(std::sync::Arc::clone(&shared)))?;
        }
        if holders == 0 {
            return Ok(());
        }
        let body_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        let posted = Posted { group, from, counter, body_bytes, holders };
        row::group::put_post(&mut self.out.row, at, &posted, epoch, &shared.body);
        self.txn.open_table(tables::POST)?.insert(at.0, self.out.row.as_slice())?;
        self.state.posts.insert(at, posted);
        Ok(())
    }
}
