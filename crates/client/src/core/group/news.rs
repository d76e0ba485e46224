//! What entries changed, told by name: who came, left, was removed or renamed the group, and by whom.

use std::collections::VecDeque;

use godwit_base::{AccountId, GroupId};
use godwit_seal::{Applied, Change, GroupProfile, SealedProfile};

use crate::core::Core;
use crate::{Event, GroupChange, GroupNews, GroupPerson};

/// Entries that wait for a name, 64. Most have less than 400 bytes, 26 KB together. Where a picture of 4 KB is
/// set, it is kept three times: before the entry, after it, and sealed in it; 64 * 3 * 4 KB are 0.8 MB. No entry has
/// more than 48 KB, so that a member who fills each keeps at most 64 * (48 + 2 * 4) KB here, 3.6 MB. More are
/// told by account.
const UNTOLD_MAX: usize = 64;

const _: () = assert!(size_of::<Entry>() + size_of::<Change>() < 400);

/// Of the entry that makes a group.
const FIRST_EPOCH: u64 = 1;

/// An entry that was applied and not told yet.
struct Entry {
    group: GroupId,
    applied: Applied,
    /// Name and picture before it, if it gives others.
    before: Option<GroupProfile>,
    /// Name and picture that it gives, if they could be opened when it came.
    after: Option<GroupProfile>,
}

/// What was applied and not told yet, oldest first. In RAM alone: after a restart what a group is now
/// is told, and not how it came to that.
#[derive(Default)]
pub(super) struct Untold(VecDeque<Entry>);

impl Core {
    /// Tells what an entry did, or keeps it until those it is about are known by name.
    pub(super) fn tell_entry(
        &mut self,
        id: GroupId,
        applied: &Applied,
        before: Option<GroupProfile>,
    ) {
        // What was before this account came does not concern it.
        let own = self.me.device().account;
        let left = |change: &Change| *change == Change::Remove(own);
        let is_in = self.groups.get(id).is_some_and(|known| known.group.member(own).is_some());
        if is_in || applied.changes.iter().any(left) {
            if self.groups.untold.0.len() >= UNTOLD_MAX
                && let Some(oldest) = self.groups.untold.0.pop_front()
            {
                self.tell(&oldest);
            }
            let sealed = profile_in(applied);
            let before = before.filter(|_| sealed.is_some());
            let after = sealed.and_then(|sealed| self.opened(id, sealed));
            let entry = Entry { group: id, applied: applied.clone(), before, after };
            self.groups.untold.0.push_back(entry);
        }
        self.tell_group(id);
    }

    /// Whether what happened to a group first of all that is not told can be said by name.
    pub(super) fn has_news_to_tell(&self, id: GroupId) -> bool {
        let first = self.groups.untold.0.iter().find(|entry| entry.group == id);
        first.is_some_and(|entry| self.is_known(entry))
    }

    /// Tells that a group is another than before, with what is known of why.
    pub(super) fn tell_group(&mut self, id: GroupId) {
        let mut is_told = false;
        while let Some(at) = self.groups.untold.0.iter().position(|entry| entry.group == id) {
            if !self.groups.untold.0.get(at).is_some_and(|entry| self.is_known(entry)) {
                break; // those after it wait too: they are told in order
            }
            let Some(entry) = self.groups.untold.0.remove(at) else { break };
            self.tell(&entry);
            is_told = true;
        }
        if !is_told {
            self.say(Event::Group { group: id, news: None });
        }
    }

    /// Whether everything in it can be said by name.
    fn is_known(&self, entry: &Entry) -> bool {
        let Some(known) = self.groups.get(entry.group) else { return true };
        let changes = &entry.applied.changes;
        // Who has gone is not asked for any more.
        let is_asked = |account: AccountId| {
            known.group.member(account).is_some() && self.name_of_account(account).is_none()
        };
        let is_about_name_alone =
            changes.iter().all(|change| matches!(change, Change::Profile(_) | Change::Invite(_)));
        let people = changes.iter().filter_map(subject).chain([entry.applied.author.account]);
        let waits_for_name =
            is_about_name_alone && !changes.is_empty() && known.profile().is_none();
        !waits_for_name && !people.into_iter().any(is_asked)
    }

    fn tell(&mut self, entry: &Entry) {
        let news = self.news_of(entry);
        self.say(Event::Group { group: entry.group, news });
    }

    /// Nothing if it changed nothing that is seen.
    fn news_of(&self, entry: &Entry) -> Option<GroupNews> {
        let known = self.groups.get(entry.group)?;
        let profile = known.profile();
        let Applied { epoch, author, made_at_ms, changes, successor } = &entry.applied;
        // What others made of them since is told with their entries.
        let opened = || self.opened(entry.group, profile_in(&entry.applied)?);
        let after = entry.after.clone().or_else(opened);
        let mut told = Vec::new();
        if *epoch == FIRST_EPOCH {
            told.push(GroupChange::Made);
        }
        let person = |account: AccountId| self.group_person(account);
        for change in changes {
            match change {
                Change::Add(key) => told.push(GroupChange::Added(person(key.id()))),
                Change::Remove(gone) if *gone == author.account => told.push(GroupChange::Left),
                Change::Remove(gone) => told.push(GroupChange::Removed(person(*gone))),
                Change::Promote(who) => told.push(GroupChange::Promoted(person(*who))),
                Change::Demote(who) => told.push(GroupChange::Demoted(person(*who))),
                Change::OnlyAdminsWrite(on) => told.push(GroupChange::OnlyAdminsWrite(*on)),
                Change::Invite(link) => told.push(GroupChange::Link(link.is_some())),
                Change::Community(above) => told.push(GroupChange::Community(*above)),
                Change::Join(_) => told.push(GroupChange::Joined),
                Change::Profile(_) if *epoch == FIRST_EPOCH => {}
                Change::Profile(_) => told.extend(renamed(entry.before.as_ref(), after.as_ref())),
            }
        }
        told.extend(successor.map(|who| GroupChange::Promoted(person(who))));
        (!told.is_empty()).then(|| GroupNews {
            name: profile.map(|profile| profile.name),
            epoch: *epoch,
            by: person(author.account),
            at_ms: *made_at_ms,
            changes: told,
        })
    }

    /// With the present secret, which it may not be sealed under.
    fn opened(&self, id: GroupId, sealed: &SealedProfile) -> Option<GroupProfile> {
        self.groups.get(id)?.secret.as_ref()?.open_profile(sealed)
    }

    fn group_person(&self, account: AccountId) -> GroupPerson {
        GroupPerson { account, handle: self.name_of_account(account) }
    }
}

/// Whom a change is about, if not its author alone.
fn subject(change: &Change) -> Option<AccountId> {
    match change {
        Change::Add(key) => Some(key.id()),
        Change::Promote(account) | Change::Demote(account) => Some(*account),
        _ => None,
    }
}

/// The name and picture that an entry gives.
fn profile_in(applied: &Applied) -> Option<&SealedProfile> {
    applied.changes.iter().rev().find_map(|change| match change {
        Change::Profile(sealed) => Some(sealed),
        _ => None,
    })
}

/// After somebody left, name and picture are sealed anew and are the same.
fn renamed(before: Option<&GroupProfile>, now: Option<&GroupProfile>) -> Vec<GroupChange> {
    let Some(now) = now else { return Vec::new() };
    let mut told = Vec::new();
    if before.is_none_or(|before| before.name != now.name) {
        told.push(GroupChange::Named(now.name.clone()));
    }
    if before.is_some_and(|before| before.picture != now.picture) {
        told.push(GroupChange::Picture(!now.picture.is_empty()));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, picture: &[u8]) -> GroupProfile {
        GroupProfile { name: name.to_owned(), picture: picture.to_vec() }
    }

    #[test]
    fn what_was_sealed_anew_is_no_news() {
        let before = profile("Herons", b"");
        assert!(renamed(Some(&before), Some(&before)).is_empty());
        assert!(renamed(Some(&before), None).is_empty());
        let named = GroupChange::Named("Egrets".to_owned());
        assert_eq!(renamed(Some(&before), Some(&profile("Egrets", b""))), vec![named.clone()]);
        assert_eq!(
            renamed(Some(&before), Some(&profile("Egrets", b"p"))),
            [named, GroupChange::Picture(true)]
        );
        let pictured = profile("Herons", b"p");
        assert_eq!(renamed(Some(&pictured), Some(&before)), [GroupChange::Picture(false)]);
    }
}
