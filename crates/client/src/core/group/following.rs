//! Following the log: the server says that there is more, the entries are fetched and verified.

use godwit_base::limits::GROUP_MEMBERS_MAX;
use godwit_base::{AccountId, GroupId};
use godwit_seal::{Applied, Change, Group, GroupError, GroupProfile};
use godwit_wire::{Refusal, ToServer, v1};

use super::{Groups, Known};
use crate::WarningKind;
use crate::core::asking::Request;
use crate::core::lookup::{Keys, Who};
use crate::core::now::Now;
use crate::core::{Core, refusal_of};

/// Logs that are asked for at once.
const FETCHES_MAX: usize = 4;

/// Groups that the server names and this device does not know yet, 1,000: so many an account may be
/// in. More are not followed.
const BEHIND_MAX: usize = 1_000;

/// A group whose log goes on where ours ends.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// As far as the server told.
    pub(super) epoch: u64,
    pub(super) is_asked: bool,
    /// From a link: who is no member yet shows it to be given the log.
    pub(super) token: Option<[u8; 32]>,
}

impl Groups {
    /// The server has entries up to this epoch.
    pub(super) fn is_behind(&mut self, id: GroupId, epoch: u64, token: Option<[u8; 32]>) {
        let has_it = self.get(id).is_some_and(|known| known.group.epoch() >= epoch);
        let has_room = self.behind.len() < BEHIND_MAX || self.behind.contains_key(&id);
        if has_it || !has_room {
            return;
        }
        let behind = self.behind.entry(id).or_default();
        behind.epoch = behind.epoch.max(epoch);
        behind.token = behind.token.or(token);
        self.changed_behind.insert(id);
    }

    /// Whether entries of this group are on their way.
    pub(super) fn is_followed(&self, id: GroupId) -> bool {
        self.behind.contains_key(&id)
    }

    /// Whether nothing is on its way.
    pub(in crate::core) fn are_followed(&self) -> bool {
        self.behind.is_empty()
    }

    /// The logs to ask for next: so many are on their way at once.
    fn logs_to_ask(&self) -> Vec<GroupId> {
        let asked = self.behind.values().filter(|behind| behind.is_asked).count();
        let waiting = self.behind.iter().filter(|(_, behind)| !behind.is_asked);
        waiting.map(|(id, _)| *id).take(FETCHES_MAX.saturating_sub(asked)).collect()
    }

    fn caught_up(&mut self, id: GroupId) {
        self.behind.remove(&id);
        self.changed_behind.insert(id);
    }
}

impl Core {
    /// A record of the mailbox: a group has a newer entry.
    pub(in crate::core) fn on_group_news(&mut self, news: &v1::GroupNews) {
        if self.inbox.skips() {
            return;
        }
        self.inbox.saw(news.seq);
        if let Some(id) = group_of(&news.group) {
            self.groups.is_behind(id, news.epoch, None);
        }
    }

    /// Asks for the logs that go on.
    pub(super) fn ask_logs(&mut self) {
        for id in self.groups.logs_to_ask() {
            let request = self.next_request(Request::GroupLog(id));
            let after_epoch = self.groups.get(id).map_or(0, |known| known.group.epoch());
            let Some(behind) = self.groups.behind.get_mut(&id) else { continue };
            behind.is_asked = true;
            let invite_secret = behind.token.map(|token| token.to_vec()).unwrap_or_default().into();
            let group = id.0.to_vec().into();
            let fetch = v1::GroupFetch { request, group, after_epoch, invite_secret };
            self.staged.messages.push(ToServer::GroupFetch(fetch));
        }
    }

    /// Entries of a log.
    pub(in crate::core) fn on_group_log(&mut self, log: &v1::GroupLog, now: Now) {
        let Some(Request::GroupLog(id)) = self.requests.remove(&log.request) else { return };
        if let Some(behind) = self.groups.behind.get_mut(&id) {
            behind.is_asked = false;
        }
        let before = self.epoch_of(id);
        for entry in &log.entries {
            if let Err(error) = self.take_entry(id, &entry.signed, now) {
                return self.on_bad_log(id, &error);
            }
        }
        let epoch = self.epoch_of(id);
        if epoch < log.epoch && epoch > before {
            return; // as many as fitted in a frame: the rest is asked for next
        }
        self.groups.caught_up(id);
        if epoch != log.epoch {
            let text = format!(
                "the server says that group {id} is at epoch {}, and its log ends at {epoch}",
                log.epoch
            );
            self.freeze_group(id, &text);
        } else if let Some(known) = self.groups.get_mut(id) {
            // It goes on from ours after all.
            known.record.frozen = None;
        }
        self.know_members(id);
    }

    fn epoch_of(&self, id: GroupId) -> u64 {
        self.groups.get(id).map_or(0, |known| known.group.epoch())
    }

    /// The log is not to be had.
    pub(in crate::core) fn on_log_refused(&mut self, id: GroupId, refused: &v1::Refused, now: Now) {
        let refusal = refusal_of(refused);
        if let Some(behind) = self.groups.behind.get_mut(&id) {
            behind.is_asked = false;
        }
        if refusal.is_some_and(Refusal::retryable) {
            return self.groups.pause(refused.retry_after_ms, now.mono_ms);
        }
        self.groups.caught_up(id);
        self.fail_wishes_of(id, refused);
    }

    /// An entry that came from the server. Applied if it is the next one and holds.
    fn take_entry(&mut self, id: GroupId, signed: &[u8], now: Now) -> Result<(), GroupError> {
        let before = self.groups.get(id).and_then(Known::profile);
        let applied = match self.groups.get_mut(id) {
            Some(known) => known.group.apply(signed)?,
            None => {
                let (group, applied) = Group::found(signed)?;
                if group.id() != id {
                    return Err(GroupError::WrongGroup);
                }
                self.groups.insert(group);
                applied
            }
        };
        self.on_applied(id, signed, &applied, before, now);
        Ok(())
    }

    /// An entry stands. `before` is the group's profile before it.
    pub(super) fn on_applied(
        &mut self,
        id: GroupId,
        signed: &[u8],
        applied: &Applied,
        before: Option<GroupProfile>,
        now: Now,
    ) {
        self.settle_wishes(id, signed, applied, now);
        self.groups.stir(id, applied);
        let named_by = self.is_own(applied.author.account).then_some(applied.author.number);
        let is_named = applied.changes.iter().any(|change| matches!(change, Change::Profile(_)));
        if let Some(known) = self.groups.get_mut(id).filter(|_| is_named) {
            known.record.named_by = named_by;
        }
        self.tell_entry(id, applied, before);
        self.take_early(id, None, now);
    }

    /// What the server gave does not follow from what we have.
    fn on_bad_log(&mut self, id: GroupId, error: &GroupError) {
        self.groups.caught_up(id);
        let text = format!("the log of group {id} is not believed: {error}");
        if self.groups.get(id).is_some() {
            self.freeze_group(id, &text);
        } else {
            self.warn(WarningKind::Server, None, text);
        }
    }

    /// Once a link: a question that the last one took along is asked again.
    pub(super) fn ask_members(&mut self) {
        if !std::mem::replace(&mut self.groups.asked_members, true) {
            let all: Vec<GroupId> = self.groups.all().map(|(id, _)| id).collect();
            all.into_iter().for_each(|id| self.know_members(id));
            self.groups.stir_all();
        }
    }

    /// Asks who the members are that are not known: their names are to be shown, and what is said is
    /// sealed for their devices.
    pub(super) fn know_members(&mut self, id: GroupId) {
        let strangers: Vec<AccountId> = self.strangers(id).take(GROUP_MEMBERS_MAX).collect();
        for account in strangers {
            self.lookups.want(Who::Account(account), Keys::None);
        }
    }

    /// Members of a group of ours who are not known; nobody of a group that we are not in.
    fn strangers(&self, id: GroupId) -> impl Iterator<Item = AccountId> {
        let own = self.me.device().account;
        let ours = self.groups.get(id).filter(|known| known.group.member(own).is_some());
        let members = ours.into_iter().flat_map(|known| known.group.members());
        members
            .map(|(account, _)| account)
            .filter(move |account| *account != own && self.contacts.get(*account).is_none())
    }

    /// Somebody is known now: a group that waited for that name alone is shown anew, and what happened to it
    /// is told as far as everybody in that is known.
    pub(in crate::core) fn tell_groups_of(&mut self, account: AccountId) {
        let with = self.groups.all().filter(|(_, known)| known.group.member(account).is_some());
        let is_ready =
            |id: &GroupId| self.strangers(*id).next().is_none() || self.has_news_to_tell(*id);
        for group in with.map(|(id, _)| id).filter(is_ready).collect::<Vec<_>>() {
            self.tell_group(group);
        }
    }

    /// Whether all who are in our groups are known.
    pub(in crate::core) fn members_are_known(&self) -> bool {
        self.groups.all().all(|(id, _)| self.strangers(id).next().is_none())
    }
}

pub(super) fn group_of(bytes: &[u8]) -> Option<GroupId> {
    bytes.try_into().ok().map(GroupId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(n: usize) -> GroupId {
        GroupId((n as u128).to_be_bytes())
    }

    fn behind_in(groups: usize) -> Groups {
        let mut all = Groups::default();
        (0..groups).for_each(|n| all.is_behind(group(n), 1, None));
        all
    }

    #[test]
    fn so_many_groups_are_followed_and_no_more() {
        let mut groups = behind_in(BEHIND_MAX);
        assert_eq!(groups.behind.len(), BEHIND_MAX);
        groups.is_behind(group(BEHIND_MAX), 1, None);
        assert!(!groups.is_followed(group(BEHIND_MAX)));
        groups.is_behind(group(0), 2, None);
        assert_eq!(groups.behind[&group(0)].epoch, 2, "who is followed goes on");
        groups.caught_up(group(1));
        groups.is_behind(group(BEHIND_MAX), 1, None);
        assert!(groups.is_followed(group(BEHIND_MAX)));
    }

    #[test]
    fn so_many_logs_are_asked_for_at_once_and_each_once() {
        let mut groups = behind_in(FETCHES_MAX + 1);
        let first = groups.logs_to_ask();
        assert_eq!(first, (0..FETCHES_MAX).map(group).collect::<Vec<_>>());
        first.iter().for_each(|id| groups.behind.get_mut(id).unwrap().is_asked = true);
        assert!(groups.logs_to_ask().is_empty());
        groups.caught_up(group(0));
        assert_eq!(groups.logs_to_ask(), [group(FETCHES_MAX)]);
    }
}
