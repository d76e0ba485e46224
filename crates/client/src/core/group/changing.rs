//! Changing a group: from a command to the entry that the server put into the log.

use std::collections::{BTreeMap, BTreeSet};

use godwit_base::{AccountId, GroupId, GroupLink, Handle};
use godwit_seal::{Applied, Change, Group, GroupError, GroupProfile, GroupSecret, InviteSecret};
use godwit_wire::{Refusal, ToServer, v1};
use serde::{Deserialize, Serialize};

use super::Known;
use super::following::group_of;
use super::naming::check_group_name;
use super::rows;
use crate::Error;
use crate::core::asking::Request;
use crate::core::lookup::{Keys, Who};
use crate::core::now::Now;
use crate::core::vault::Secret;
use crate::core::{Core, refusal_of};

/// Commands that wait for their outcome.
const WISHES_MAX: usize = 64;

/// How often an entry is made anew because another came first.
pub(super) const ROUNDS_MAX: u32 = 3;

/// A change that the user wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupCommand {
    /// A new group with these members.
    Create {
        /// Its name.
        name: String,
        /// The others.
        with: Vec<Handle>,
    },
    /// New members.
    Add(GroupId, Vec<Handle>),
    /// Members go.
    Remove(GroupId, Vec<Handle>),
    /// Members become admins.
    Promote(GroupId, Vec<Handle>),
    /// Admins become ordinary members.
    Demote(GroupId, Vec<Handle>),
    /// This account leaves.
    Leave(GroupId),
    /// Whether only admins write.
    OnlyAdminsWrite(GroupId, bool),
    /// Another name.
    Rename(GroupId, String),
    /// Another picture, at most [`PICTURE_BYTES_MAX`](crate::core::PICTURE_BYTES_MAX); empty: none.
    Picture(GroupId, Vec<u8>),
    /// A new community: a group in which only admins write, with everybody who is in one of these groups.
    /// They are put under it by [`SetCommunity`](Self::SetCommunity).
    CreateCommunity {
        /// Its name.
        name: String,
        /// This account is an admin of each.
        of: Vec<GroupId>,
    },
    /// A group comes under a community, or under none.
    SetCommunity(GroupId, Option<GroupId>),
    /// A community gets everybody who is in one of its groups, and loses of these accounts those who are in
    /// none any more. Devices of admins want it by themselves.
    Gather(GroupId, Vec<AccountId>),
    /// A new link; [`GroupOutcome::link`] has it.
    Invite(GroupId),
    /// The link holds no more.
    RevokeInvite(GroupId),
    /// This account joins by a link.
    Join(GroupLink),
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// The group.
    pub group: GroupId,
    /// The link that was made.
    pub link: Option<GroupLink>,
}

impl GroupCommand {
    /// The group that it is about; none if it makes one.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Create { .. } | Self::CreateCommunity { .. } => None,
            Self::Join(link) => Some(link.group),
            Self::Add(id, _)
            | Self::Remove(id, _)
            | Self::Promote(id, _)
            | Self::Demote(id, _)
            | Self::Leave(id)
            | Self::OnlyAdminsWrite(id, _)
            | Self::Rename(id, _)
            | Self::Picture(id, _)
            | Self::SetCommunity(id, _)
            | Self::Gather(id, _)
            | Self::Invite(id)
            | Self::RevokeInvite(id) => Some(*id),
        }
    }

    fn handles(&self) -> &[Handle] {
        match self {
            Self::Create { with, .. } => with,
            Self::Add(_, who)
            | Self::Remove(_, who)
            | Self::Promote(_, who)
            | Self::Demote(_, who) => who,
            _ => &[],
        }
    }
}

/// A command on its way.
pub(super) struct Wish {
    pub(super) command: GroupCommand,
    /// Somebody takes its outcome.
    pub(super) is_awaited: bool,
    pub(super) rounds: u32,
    /// Who joins again by a link was not told of what came since: the log was asked for.
    pub(super) has_log: bool,
    pub(super) made: Option<Made>,
    pub(super) outcome: Option<Result<GroupOutcome, Error>>,
}

/// An entry that was made and not yet answered; always the same bytes until then.
pub(super) struct Made {
    pub(super) group: GroupId,
    pub(super) signed: Vec<u8>,
    pub(super) after: Group,
    pub(super) request: Option<u32>,
    pub(super) secret: Option<GroupSecret>,
    pub(super) link: Option<InviteSecret>,
}

/// What a command comes to: changes, and the secret and link that come into being with them.
struct Draft {
    changes: Vec<Change>,
    secret: Option<GroupSecret>,
    link: Option<InviteSecret>,
}

/// All commands, oldest first.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) by_number: BTreeMap<u64, Wish>,
    pub(super) last: u64,
    /// Of which the row is not as the entry is, see `offered`.
    pub(super) changed: BTreeSet<u64>,
}

impl Wishes {
    pub(super) fn link_lost(&mut self) {
        let made = self.by_number.values_mut().filter_map(|wish| wish.made.as_mut());
        made.for_each(|made| made.request = None);
    }

    /// The entry of a command is another one now, or none.
    fn set_made(&mut self, number: u64, made: Option<Made>) -> Option<Made> {
        let wish = self.by_number.get_mut(&number)?;
        self.changed.insert(number);
        std::mem::replace(&mut wish.made, made)
    }

    /// Commands to look at now: the oldest of each group that has no outcome.
    fn due(&self) -> Vec<u64> {
        let mut groups = Vec::new();
        let mut due = Vec::new();
        for (number, wish) in self.by_number.iter().filter(|(_, wish)| wish.outcome.is_none()) {
            let group = wish.command.group();
            if group.is_none() || !groups.contains(&group) {
                groups.push(group);
                due.push(*number);
            }
        }
        due
    }

    /// Puts a command behind all others; `None` if there is no room.
    pub(super) fn push(&mut self, command: GroupCommand, is_awaited: bool) -> Option<u64> {
        if self.by_number.len() >= WISHES_MAX {
            return None;
        }
        self.last += 1;
        let (rounds, has_log) = (0, false);
        let wish = Wish { command, is_awaited, rounds, has_log, made: None, outcome: None };
        self.by_number.insert(self.last, wish);
        Some(self.last)
    }

    /// Whether a community is being gathered.
    pub(super) fn gathers(&self, community: GroupId) -> bool {
        self.by_number
            .values()
            .any(|wish| matches!(wish.command, GroupCommand::Gather(id, _) if id == community))
    }

    fn finish(&mut self, number: u64, outcome: Result<GroupOutcome, Error>) {
        self.changed.insert(number);
        if self.by_number.get(&number).is_some_and(|wish| !wish.is_awaited) {
            self.by_number.remove(&number);
        } else if let Some(wish) = self.by_number.get_mut(&number) {
            wish.made = None;
            wish.outcome = Some(outcome);
        }
    }
}

impl Core {
    /// Changes a group. Returns the number under which [`Core::take_group_outcome`] tells what came
    /// of it.
    ///
    /// # Errors
    /// [`Error::NoGroup`], [`Error::GroupsBusy`], [`Error::Revoked`], [`Error::BlankName`].
    pub fn change_group(&mut self, command: GroupCommand) -> Result<u64, Error> {
        if self.is_revoked {
            return Err(Error::Revoked);
        }
        command.name().map_or(Ok(()), check_group_name)?;
        let is_join = matches!(command, GroupCommand::Join(_));
        if let Some(id) = command.group().filter(|id| !is_join && self.groups.get(*id).is_none()) {
            return Err(Error::NoGroup(id));
        }
        self.groups.wishes.push(command, true).ok_or(Error::GroupsBusy)
    }

    /// What came of a command, once; `None` until it is known.
    pub fn take_group_outcome(&mut self, number: u64) -> Option<Result<GroupOutcome, Error>> {
        let wishes = &mut self.groups.wishes.by_number;
        wishes.get(&number)?.outcome.as_ref()?;
        wishes.remove(&number)?.outcome
    }

    /// Asks for logs, makes the entries that are wanted, and sends them.
    pub(in crate::core) fn tend_groups(&mut self, now: Now) {
        self.tell_new_devices(now);
        self.tell_for_removed(now);
        if self.groups.paused_until_ms.is_some_and(|until_ms| now.mono_ms < until_ms) {
            return;
        }
        self.groups.paused_until_ms = None;
        self.ask_logs();
        self.ask_members();
        if !self.link.is_caught_up() {
            return; // news of entries may lie in the mailbox: a change is made upon the newest
        }
        self.tend_communities();
        for number in self.groups.wishes.due() {
            if self.asks_log_to_join(number) {
                continue;
            }
            let Some(wish) = self.groups.wishes.by_number.get(&number) else { continue };
            if wish.made.is_none() {
                let command = wish.command.clone();
                if let GroupCommand::Gather(id, gone) = &command
                    && self.gathering(*id, gone).is_empty()
                {
                    let outcome = GroupOutcome { group: *id, link: None };
                    self.groups.wishes.finish(number, Ok(outcome));
                    continue; // everybody is there, or another admin was first
                }
                match self.make(&command, now) {
                    Ok(Some(made)) => {
                        self.groups.wishes.set_made(number, Some(made));
                    }
                    Ok(None) => continue,
                    Err(error) => {
                        self.groups.wishes.finish(number, Err(error));
                        continue;
                    }
                }
            }
            self.send_entry(number);
        }
    }

    /// Whoever left a group and joins it by a link first reads on in its log, once.
    fn asks_log_to_join(&mut self, number: u64) -> bool {
        let Some(wish) = self.groups.wishes.by_number.get_mut(&number) else { return false };
        let GroupCommand::Join(link) = &wish.command else { return false };
        let id = link.group;
        let token = *InviteSecret::from_bytes(&link.secret).token();
        let Some(known) = self.groups.by_id.get(&id) else { return false };
        let is_away = known.group.member(self.me.device().account).is_none();
        let asks = is_away && !std::mem::replace(&mut wish.has_log, true);
        if asks {
            let next = known.group.epoch().saturating_add(1);
            self.groups.is_behind(id, next, Some(token));
        }
        asks
    }

    fn send_entry(&mut self, number: u64) {
        let is_due = |wish: &Wish| wish.made.as_ref().is_some_and(|made| made.request.is_none());
        if !self.groups.wishes.by_number.get(&number).is_some_and(is_due) {
            return;
        }
        let request = self.next_request(Request::GroupChange(number));
        let Some(wish) = self.groups.wishes.by_number.get_mut(&number) else { return };
        let Some(made) = &mut wish.made else { return };
        made.request = Some(request);
        let before = self.groups.by_id.get(&made.group).map(|known| &known.group);
        let token = match &wish.command {
            GroupCommand::Join(link) => InviteSecret::from_bytes(&link.secret).token().to_vec(),
            _ => Vec::new(),
        };
        self.staged.messages.push(ToServer::GroupChange(v1::GroupChange {
            request,
            group: made.group.0.to_vec().into(),
            epoch: made.after.epoch(),
            signed: made.signed.clone().into(),
            members: rows::members(before, &made.after),
            settings: rows::settings(before, &made.after),
            invite_secret: token.into(),
        }));
    }

    /// Makes the entry of a command; `None` while something must be learned first.
    fn make(&mut self, command: &GroupCommand, now: Now) -> Result<Option<Made>, Error> {
        match command {
            GroupCommand::Create { name, with } => {
                let Some(accounts) = self.accounts_of(with)? else { return Ok(None) };
                let changes = self.additions(&accounts);
                return self.make_first(name, changes, now).map(Some);
            }
            GroupCommand::CreateCommunity { name, of } => {
                let changes = self.first_of_community(of)?;
                return self.make_first(name, changes, now).map(Some);
            }
            _ => {}
        }
        let Some(id) = command.group() else { return Ok(None) };
        if self.groups.is_followed(id) {
            return Ok(None); // there is more of the log: first that
        }
        if let (GroupCommand::Join(link), None) = (command, self.groups.get(id)) {
            let token = InviteSecret::from_bytes(&link.secret).token();
            self.groups.is_behind(id, 1, Some(*token));
            return Ok(None);
        }
        let known = self.groups.get(id).ok_or(Error::NoGroup(id))?;
        if let Some(why) = &known.record.frozen {
            return Err(Error::Group(why.clone()));
        }
        let Some(Draft { changes, secret, link }) = self.changes_of(command, id)? else {
            return Ok(None);
        };
        let known = self.groups.get(id).ok_or(Error::NoGroup(id))?;
        let now_ms = self.list_ms(now);
        let signed = known.group.sign(&self.me.keys, &self.me.list, &changes, now_ms);
        let signed = signed.map_err(|error| self.not_allowed(&error))?;
        let mut after = known.group.clone();
        after.apply(&signed).map_err(|error| self.not_allowed(&error))?;
        Ok(Some(Made { group: id, signed, after, request: None, secret, link }))
    }

    fn make_first(&self, name: &str, others: Vec<Change>, now: Now) -> Result<Made, Error> {
        let secret = GroupSecret::generate(1).map_err(|error| Error::Storage(error.to_string()))?;
        let profile = GroupProfile { name: name.to_owned(), picture: Vec::new() };
        let mut changes = vec![Change::Profile(
            secret.seal_profile(&profile).map_err(|error| self.not_allowed(&error))?,
        )];
        changes.extend(others);
        let now_ms = self.list_ms(now);
        let (signed, after) = Group::create(&self.me.keys, &self.me.list, &changes, now_ms)
            .map_err(|error| self.not_allowed(&error))?;
        let group = after.id();
        Ok(Made { group, signed, after, request: None, secret: Some(secret), link: None })
    }

    /// The changes of a command, and the secret and link that come into being with them.
    fn changes_of(&mut self, command: &GroupCommand, id: GroupId) -> Result<Option<Draft>, Error> {
        let Some(accounts) = self.accounts_of(command.handles())? else { return Ok(None) };
        let each = |change: fn(AccountId) -> Change| accounts.iter().copied().map(change).collect();
        let changes = match command {
            GroupCommand::Create { .. } | GroupCommand::CreateCommunity { .. } => return Ok(None),
            GroupCommand::Add(..) => self.additions(&accounts),
            GroupCommand::Remove(..) => each(Change::Remove),
            GroupCommand::Promote(..) => each(Change::Promote),
            GroupCommand::Demote(..) => each(Change::Demote),
            GroupCommand::Leave(_) => self.leaving(id)?,
            GroupCommand::SetCommunity(_, community) => self.under(*community)?,
            GroupCommand::Gather(_, gone) => self.gathering(id, gone),
            GroupCommand::OnlyAdminsWrite(_, only) => vec![Change::OnlyAdminsWrite(*only)],
            GroupCommand::RevokeInvite(_) => vec![Change::Invite(None)],
            GroupCommand::Join(link) => {
                vec![InviteSecret::from_bytes(&link.secret).join(id, &self.me.keys)]
            }
            GroupCommand::Rename(_, name) => {
                let picture =
                    self.groups.get(id).and_then(Known::profile).map(|profile| profile.picture);
                let picture = picture.unwrap_or_default();
                let profile = GroupProfile { name: name.clone(), picture };
                return self.sealing(id, &profile).map(Some);
            }
            GroupCommand::Picture(_, picture) => {
                let known = self.groups.get(id).ok_or(Error::NoGroup(id))?;
                let name = known.profile().map(|profile| profile.name);
                let name = name.ok_or(Error::Group(NO_SECRET.to_owned()))?;
                let profile = GroupProfile { name, picture: picture.clone() };
                return self.sealing(id, &profile).map(Some);
            }
            GroupCommand::Invite(_) => {
                let secret = self.groups.get(id).and_then(|known| known.secret.as_ref());
                let secret = secret.ok_or(Error::Group(NO_SECRET.to_owned()))?;
                let link = InviteSecret::generate().map_err(entropy)?;
                let offer = link.offer(secret).map_err(entropy)?;
                let changes = vec![Change::Invite(Some(offer))];
                return Ok(Some(Draft { changes, secret: None, link: Some(link) }));
            }
        };
        Ok(Some(Draft { changes, secret: None, link: None }))
    }

    /// Name and picture. After somebody left they are sealed under a new secret; a link to the old one goes
    /// with it.
    /// Who does not have the present secret makes the next: whoever made that may have lost it.
    fn sealing(&self, id: GroupId, profile: &GroupProfile) -> Result<Draft, Error> {
        let known = self.groups.get(id).ok_or(Error::NoGroup(id))?;
        if !known.group.wants_new_secret() && known.profile().is_some() {
            let secret = known.secret.as_ref().ok_or(Error::Group(NO_SECRET.to_owned()))?;
            let sealed = secret.seal_profile(profile).map_err(|error| self.not_allowed(&error))?;
            let changes = vec![Change::Profile(sealed)];
            return Ok(Draft { changes, secret: None, link: None });
        }
        let generation = known.group.secret_generation().saturating_add(1);
        let secret = GroupSecret::generate(generation).map_err(entropy)?;
        let mut changes = vec![Change::Profile(
            secret.seal_profile(profile).map_err(|error| self.not_allowed(&error))?,
        )];
        let link = known.link();
        match &link {
            Some(link) => {
                changes.push(Change::Invite(Some(link.offer(&secret).map_err(entropy)?)));
            }
            None if known.group.invite().is_some() => changes.push(Change::Invite(None)),
            None => {}
        }
        Ok(Draft { changes, secret: Some(secret), link })
    }

    /// The accounts of these handles; `None` while one is asked for.
    fn accounts_of(&mut self, handles: &[Handle]) -> Result<Option<Vec<AccountId>>, Error> {
        let mut accounts = Vec::with_capacity(handles.len());
        for handle in handles {
            if *handle == self.me.home.handle {
                return Err(Error::ToYourself);
            }
            match self.contacts.by_handle(handle) {
                Some(contact) if contact.record.blocked => {
                    return Err(Error::KeyChanged(handle.clone()));
                }
                Some(contact) => accounts.push(contact.list.account()),
                None => self.lookups.want(Who::Handle(handle.clone()), Keys::None),
            }
        }
        accounts.sort_unstable();
        accounts.dedup();
        let all_known = handles.iter().all(|handle| self.contacts.by_handle(handle).is_some());
        Ok(all_known.then_some(accounts))
    }

    fn additions(&self, accounts: &[AccountId]) -> Vec<Change> {
        let key = |account: &AccountId| self.contacts.get(*account).map(|c| *c.list.account_key());
        accounts.iter().filter_map(key).map(Change::Add).collect()
    }

    /// Nobody has the handle, or the server does not say: commands that name it fail.
    pub(in crate::core) fn fail_wishes_for(&mut self, handle: &Handle, error: &Error) {
        let wishes = &self.groups.wishes.by_number;
        let stuck: Vec<u64> = wishes
            .iter()
            .filter(|(_, wish)| wish.made.is_none() && wish.outcome.is_none())
            .filter(|(_, wish)| wish.command.handles().contains(handle))
            .map(|(number, _)| *number)
            .collect();
        for number in stuck {
            self.groups.wishes.finish(number, Err(error.clone()));
        }
    }

    /// The server takes none any more: all that wait fail.
    pub(in crate::core) fn fail_wishes(&mut self, error: &Error) {
        let wishes = self.groups.wishes.by_number.iter();
        let open: Vec<u64> =
            wishes.filter(|(_, wish)| wish.outcome.is_none()).map(|(number, _)| *number).collect();
        for number in open {
            self.groups.wishes.finish(number, Err(error.clone()));
        }
    }

    /// The log of a group is not to be had: neither is anything that waits for it.
    pub(super) fn fail_wishes_of(&mut self, id: GroupId, refused: &v1::Refused) {
        let wishes = &self.groups.wishes.by_number;
        let stuck: Vec<u64> = wishes
            .iter()
            .filter(|(_, wish)| wish.outcome.is_none() && wish.command.group() == Some(id))
            .map(|(number, _)| *number)
            .collect();
        for number in stuck {
            self.groups.wishes.finish(number, Err(error_of(refused)));
        }
    }

    /// The server stored our entry.
    pub(in crate::core) fn on_group_changed(&mut self, changed: &v1::GroupChanged, now: Now) {
        let Some(Request::GroupChange(number)) = self.requests.remove(&changed.request) else {
            return;
        };
        let Some(wish) = self.groups.wishes.by_number.get(&number) else { return };
        let Some(made) = &wish.made else { return };
        let (id, signed) = (made.group, made.signed.clone());
        if group_of(&changed.group) != Some(id) || changed.epoch != made.after.epoch() {
            return;
        }
        let before = self.groups.get(id).and_then(Known::profile);
        let applied = match self.groups.get_mut(id) {
            Some(known) => known.group.apply(&signed).ok(),
            None => Group::found(&signed).ok().map(|(group, applied)| {
                self.groups.insert(group);
                applied
            }),
        };
        match applied {
            Some(applied) => {
                self.on_applied(id, &signed, &applied, before, now);
                self.know_members(id); // of a group that we joined just now
            }
            // It came by the log before this answer, which settled the wish; or it did not hold.
            None => self.groups.is_behind(id, changed.epoch, None),
        }
    }

    /// The server did not store our entry.
    pub(in crate::core) fn on_change_refused(
        &mut self,
        number: u64,
        refused: &v1::Refused,
        now: Now,
    ) {
        let refusal = refusal_of(refused);
        let Some(wish) = self.groups.wishes.by_number.get_mut(&number) else { return };
        let Some(made) = &mut wish.made else { return };
        made.request = None;
        if refusal.is_some_and(Refusal::retryable) {
            return self.groups.pause(refused.retry_after_ms, now.mono_ms);
        }
        let (id, epoch) = (made.group, made.after.epoch());
        wish.rounds += 1;
        if refusal == Some(Refusal::GroupEpochStale) && wish.rounds <= ROUNDS_MAX {
            // Another entry came first: read it, then decide anew.
            self.groups.wishes.set_made(number, None);
            return self.groups.is_behind(id, epoch, None);
        }
        self.groups.wishes.finish(number, Err(error_of(refused)));
    }

    /// An entry stands: if it is ours, the command is carried out.
    pub(super) fn settle_wishes(
        &mut self,
        id: GroupId,
        signed: &[u8],
        applied: &Applied,
        now: Now,
    ) {
        let wishes = &mut self.groups.wishes.by_number;
        let ours = wishes.iter().find_map(|(number, wish)| {
            wish.made.as_ref().is_some_and(|made| made.signed == signed).then_some(*number)
        });
        let Some(number) = ours else { return };
        let command = wishes.get(&number).map(|wish| wish.command.clone());
        let Some(made) = self.groups.wishes.set_made(number, None) else { return };
        let link_text =
            made.link.as_ref().map(|link| GroupLink { group: id, secret: *link.to_bytes() });
        let is_new_secret = made.secret.is_some();
        if let Some(known) = self.groups.get_mut(id) {
            known.secret = made.secret.or(known.secret.take());
            if let Some(link) = &link_text {
                known.record.link = Some(Secret::of(&link.secret));
            }
            if let (Some(GroupCommand::Join(link)), Some(offer)) = (&command, known.group.invite())
            {
                known.secret = InviteSecret::from_bytes(&link.secret).open(offer);
            }
        }
        self.groups.wishes.finish(number, Ok(GroupOutcome { group: id, link: link_text }));
        self.give_secret(id, applied, is_new_secret, now);
    }

    /// Whoever is new gets the group's secret from who added them; all get one that is new.
    fn give_secret(&mut self, id: GroupId, applied: &Applied, to_all: bool, now: Now) {
        let Some(known) = self.groups.get(id) else { return };
        let is_new = |account: &AccountId| {
            known.group.member(*account).is_some_and(|member| member.since() == applied.epoch)
        };
        let own = self.me.device().account;
        let mut with: Vec<AccountId> = known
            .group
            .members()
            .map(|(account, _)| account)
            .filter(|account| to_all || is_new(account))
            .filter(|account| *account != own || self.has_other_devices())
            .collect();
        // Should this device not come to the end of it, another of ours can.
        with.sort_by_key(|account| *account != own);
        self.share_secret(id, &with, now);
    }

    /// Why a change is none, with people by their names.
    fn not_allowed(&self, error: &GroupError) -> Error {
        let (account, what) = match error {
            GroupError::AlreadyMember(account) => (*account, "in the group already"),
            GroupError::NotAMember(account) => (*account, "not in the group"),
            other => return Error::Group(other.to_string()),
        };
        Error::Group(match self.is_own(account) {
            true => format!("you are {what}"),
            false => format!("{} is {what}", self.named(account)),
        })
    }

    fn has_other_devices(&self) -> bool {
        self.me.list.numbers().count() > 1
    }
}

const NO_SECRET: &str = "the group's secret has not come yet: a member who is online gives it";

fn entropy(error: godwit_seal::RowError) -> Error {
    Error::Storage(error.to_string())
}

fn error_of(refused: &v1::Refused) -> Error {
    let refusal = refusal_of(refused);
    Error::Refused {
        code: u16::try_from(refused.code).unwrap_or(u16::MAX),
        text: refusal.map_or("the server refused", Refusal::text).to_owned(),
        advice: refusal.map_or("try again later", Refusal::advice).to_owned(),
    }
}
