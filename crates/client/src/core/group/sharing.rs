//! The group's secret on its way between members, in pairwise messages.

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use godwit_seal::{GroupSecret, GroupShare, Peer, ShareError};

use super::Known;
use super::saying::COPIES_MAX;
use crate::core::now::Now;
use crate::core::outbox::Kind;
use crate::core::{Body, Core};
use crate::{Event, WarningKind};

impl Core {
    /// Gives members the group's secret; once it is here, if it is not.
    pub(super) fn share_secret(&mut self, id: GroupId, with: &[AccountId], now: Now) {
        if self.groups.get(id).is_some_and(|known| known.profile().is_none())
            && let Some(known) = self.groups.get_mut(id)
        {
            known.record.owed.extend(with);
        }
        self.share_what_is_here(id, with, now);
    }

    /// Gives members the secret that there is, which may be the one before: a new device of ours hears of
    /// the group by it.
    fn share_what_is_here(&mut self, id: GroupId, with: &[AccountId], now: Now) {
        let Some(known) = self.groups.get(id) else { return };
        let Some(secret) = &known.secret else { return };
        let share = GroupShare::of_secret(secret, &known.group.place());
        let body = Body::group_key(&share);
        for account in with {
            self.say_to(*account, Kind::Share, body.clone(), now);
        }
    }

    /// Tells a new device of ours of all groups; it has the logs from the server. What this device is still
    /// to learn of it tells too: the news of it may be older than the new device.
    pub(super) fn tell_new_devices(&mut self, now: Now) {
        if !self.me.home.owes_groups {
            return;
        }
        let own = self.me.device().account;
        let is_new = |id: &GroupId, known: &Known| {
            known.group.member(own).is_some() && !self.groups.told_own.contains(id)
        };
        let ours = self.groups.all().filter(|(id, known)| is_new(id, known));
        let ours: Vec<GroupId> = ours.map(|(id, _)| id).collect();
        for id in ours {
            self.groups.told_own.insert(id);
            self.share_secret(id, &[own], now);
            self.name_group(id, own, now);
        }
        if self.link.is_caught_up() && self.groups.behind.is_empty() {
            self.me.home.owes_groups = false;
            self.home_changed = true;
            self.groups.told_own.clear();
        }
    }

    /// A device of ours that gave a group its name is gone, and perhaps had not told everybody of the secret:
    /// who removed it tells them all.
    pub(super) fn tell_for_removed(&mut self, now: Now) {
        let version = self.me.list.version();
        if !self.me.is_main() || !self.link.is_caught_up() || self.groups.looked_at == version {
            return;
        }
        self.groups.looked_at = version;
        let (own, list) = (self.me.device().account, self.me.list.clone());
        let is_gone = |by: DeviceNumber| list.numbers().all(|number| number != by);
        let is_left =
            |known: &Known| known.record.named_by.is_some_and(is_gone) && known.profile().is_some();
        let left = self.groups.all().filter(|(_, known)| is_left(known));
        for id in left.map(|(id, _)| id).collect::<Vec<_>>() {
            let Some(known) = self.groups.get_mut(id) else { continue };
            known.record.named_by = None;
            let members = known.group.members().map(|(account, _)| account);
            let others: Vec<AccountId> = members.filter(|account| *account != own).collect();
            self.share_what_is_here(id, &others, now);
        }
    }

    /// Somebody recovered their account. Their new device has the logs of its groups from the server, and
    /// the secrets from whoever learns of it. In a large group they come with our sender key.
    pub(in crate::core) fn tell_recovered(&mut self, account: AccountId, now: Now) {
        let own = self.me.device().account;
        let is_in = |known: &Known, account| known.group.member(account).is_some();
        let common =
            self.groups.all().filter(|(_, known)| is_in(known, own) && is_in(known, account));
        let small = common.map(|(id, _)| id).filter(|id| self.devices_in(*id).len() <= COPIES_MAX);
        for id in small.collect::<Vec<_>>() {
            self.share_secret(id, &[account], now);
        }
    }

    /// Without the group's secret something must name the group all the same: one that opens nothing.
    fn name_group(&mut self, id: GroupId, own: AccountId, now: Now) {
        let Some(known) = self.groups.get(id).filter(|known| known.secret.is_none()) else {
            return;
        };
        if let Ok(secret) = GroupSecret::generate(1) {
            let body = Body::group_key(&GroupShare::of_secret(&secret, &known.group.place()));
            self.say_to(own, Kind::Share, body, now);
        }
    }

    /// A member gives us something of a group.
    pub(in crate::core) fn on_share(&mut self, from: DeviceId, bytes: &[u8], now: Now) {
        let Ok(share) = GroupShare::decode(bytes) else { return };
        let Some(peer) = self.peer_of(from) else { return };
        let id = share.group();
        let Some(known) = self.groups.get(id) else {
            if self.is_own(from.account) {
                // Nobody else tells a new device of the groups that there were before it.
                self.groups.is_behind(id, share.epoch(), None);
            }
            return self.keep_share(id, from, bytes);
        };
        match share.check(&peer, &known.group) {
            Ok(()) => {}
            Err(ShareError::Ahead(epoch)) => {
                self.groups.is_behind(id, epoch, None);
                return self.keep_share(id, from, bytes);
            }
            Err(ShareError::Fork(epoch)) => {
                let text = format!(
                    "a member sees another log of group {id}, at epoch {epoch}: the server shows \
                     members different groups"
                );
                return self.freeze_group(id, &text);
            }
            Err(_) => return,
        }
        if share.has_key() {
            self.hear_key(&share, &peer, now);
        }
        self.take_secret(share, now);
    }

    fn take_secret(&mut self, share: GroupShare, now: Now) {
        let id = share.group();
        let Some(known) = self.groups.get(id) else { return };
        let Some(secret) = share.secret() else { return };
        // Only the secret that the log's own name is sealed under: a member cannot rename the group
        // for one of us.
        let opens =
            known.group.profile().and_then(|profile| secret.open_profile(profile)).is_some();
        if !opens || known.profile().is_some() {
            return;
        }
        let secret = share.into_secret();
        self.groups.looked_at = 0;
        if let Some(known) = self.groups.get_mut(id) {
            known.secret = secret;
            let mut owed: Vec<AccountId> =
                std::mem::take(&mut known.record.owed).into_iter().collect();
            owed.retain(|account| known.group.member(*account).is_some());
            self.share_what_is_here(id, &owed, now);
        }
        self.tell_group(id);
    }

    pub(super) fn freeze_group(&mut self, id: GroupId, text: &str) {
        if let Some(known) = self.groups.get_mut(id)
            && known.record.frozen.is_none()
        {
            known.record.frozen = Some(text.to_owned());
            let text = format!("{text}; nothing is sent to it until that is resolved");
            self.warn(WarningKind::Server, None, text);
            self.say(Event::Group { group: id, news: None });
        }
    }

    pub(super) fn peer_of(&self, device: DeviceId) -> Option<Peer> {
        self.contacts.get(device.account)?.list.any_peer(device.number)
    }
}
