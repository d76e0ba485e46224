//! Saying something in a group: as a copy for each device, or once for all under a sender key.

use std::collections::BTreeSet;

use godwit_base::{AccountId, DeviceId, GroupId};
use godwit_seal::Place;
use godwit_wire::Refusal;

use super::posting::failure_of;
use crate::core::Core;
use crate::core::age::Age;
use crate::core::lookup::{Keys, Who};
use crate::core::now::Now;
use crate::core::outbox::{Kind, Outgoing, Posted, SealedFor, Target};
use crate::core::sending::Readiness;
use crate::core::vault::Blob;
use crate::{Error, Failure};

/// Devices that get a copy each, 32: so many copies of a short text are as large as giving each a key
/// would be. Above it the text is sealed once.
pub(super) const COPIES_MAX: usize = 32;

/// Bytes of all copies of one message, 48 KiB: with the names of 32 accounts they fit in a frame.
pub(super) const COPIES_BYTES_MAX: usize = 48 * 1024;

/// What a copy has beside its text: padding apart, an eighth; ratchet, parties and framing.
const COPY_OVERHEAD_BYTES: usize = 400;

/// Whether a message goes as copies.
pub(super) fn goes_in_copies(devices: usize, bytes: usize) -> bool {
    let each = bytes.saturating_add(bytes / 8).saturating_add(COPY_OVERHEAD_BYTES);
    devices <= COPIES_MAX && devices.saturating_mul(each) <= COPIES_BYTES_MAX
}

impl Core {
    /// Whether something may be said in a group now.
    pub(in crate::core) fn check_group(&self, id: GroupId) -> Result<(), Error> {
        let known = self.groups.get(id).ok_or(Error::NoGroup(id))?;
        match (self.may_say(id), &known.record.frozen) {
            (Ok(()), _) => Ok(()),
            (Err(Failure::GroupFrozen), Some(why)) => Err(Error::Group(why.clone())),
            (Err(failure), _) => Err(Error::Group(failure.to_string())),
        }
    }

    fn may_say(&self, id: GroupId) -> Result<(), Failure> {
        let own = self.me.device().account;
        let known = self.groups.get(id).ok_or(Failure::NotMember)?;
        if known.record.frozen.is_some() {
            return Err(Failure::GroupFrozen);
        }
        if known.group.member(own).is_none() {
            return Err(Failure::NotMember);
        }
        if known.group.may_write(own) { Ok(()) } else { Err(Failure::OnlyAdmins) }
    }

    /// Seals what is said in a group, once everything is there for it.
    pub(in crate::core) fn group_ready(
        &mut self,
        counter: u64,
        id: GroupId,
        now: Now,
    ) -> Readiness {
        let Some(message) = self.outbox.get(counter) else { return Readiness::NotYet };
        if message.kind == Kind::Share {
            return self.share_ready(counter, id, now);
        }
        let bytes = message.body.0.len();
        if let Err(failure) = self.may_say(id) {
            return Readiness::Failed(failure);
        }
        let Some(place) = self.groups.get(id).map(|known| known.group.place()) else {
            return Readiness::NotYet;
        };
        if self.groups.is_followed(id) {
            return Readiness::NotYet; // there is more of the log
        }
        match self.members_ready(id, now) {
            Readiness::Sealed => {}
            other => return other,
        }
        let devices = self.devices_in(id);
        let in_copies = goes_in_copies(devices.len(), bytes);
        if self.outbox.awaits_answer_of_other_post(id, place.epoch(), in_copies) {
            return Readiness::NotYet;
        }
        let readiness = if in_copies {
            self.copies_ready(counter, place, now)
        } else {
            self.post_ready(counter, place, &devices, now)
        };
        if matches!(readiness, Readiness::Sealed) {
            self.note_sent(counter);
        }
        readiness
    }

    /// Whether all members are known by lists that are young enough, each under the key that the log says.
    fn members_ready(&mut self, id: GroupId, now: Now) -> Readiness {
        let Some(known) = self.groups.get(id) else { return Readiness::NotYet };
        let own = self.me.device().account;
        let mut is_ready = true;
        let mut old = Vec::new();
        for (account, member) in known.group.members().filter(|(account, _)| *account != own) {
            let Some(contact) = self.contacts.get(account) else {
                is_ready = false;
                continue;
            };
            if contact.list.account_key() != member.key() {
                return Readiness::Failed(Failure::BadKeys);
            }
            if self.age_of(contact, now) == Age::Unasked {
                old.push(account);
            }
        }
        for account in &old {
            self.lookups.want(Who::Account(*account), Keys::None);
        }
        if !is_ready {
            self.know_members(id);
        }
        if is_ready && old.is_empty() { Readiness::Sealed } else { Readiness::NotYet }
    }

    /// The devices of all members but this one, as far as they are known.
    pub(super) fn devices_in(&self, id: GroupId) -> BTreeSet<DeviceId> {
        let members = self.groups.get(id).into_iter().flat_map(|known| known.group.members());
        let of = |account: AccountId| {
            let contact = self.contacts.get(account).into_iter();
            contact.flat_map(move |contact| {
                contact.devices.keys().map(move |number| DeviceId { account, number: *number })
            })
        };
        members.flat_map(|(account, _)| of(account)).collect()
    }

    fn copies_ready(&mut self, counter: u64, place: Place, now: Now) -> Readiness {
        let Some(known) = self.groups.get(place.group()) else { return Readiness::NotYet };
        let own = self.me.device().account;
        let of = u32::try_from(known.group.member_count().saturating_sub(1)).unwrap_or(u32::MAX);
        let own_has_others =
            self.contacts.get(own).is_some_and(|contact| !contact.devices.is_empty());
        let accounts: Vec<AccountId> = known
            .group
            .members()
            .map(|(account, _)| account)
            .filter(|account| *account != own || (own_has_others && !self.without_copies))
            .collect();
        let mut is_ready = true;
        for account in &accounts {
            match self.account_ready(*account, true, now) {
                Readiness::Sealed => {}
                Readiness::NotYet => is_ready = false,
                Readiness::Failed(failure) => return Readiness::Failed(failure),
            }
        }
        if !is_ready {
            return Readiness::NotYet;
        }
        if self.outbox.is_overtaken(counter) {
            self.move_behind(place.group());
            return Readiness::NotYet; // under this counter
        }
        match self.seal(counter, &accounts, Some(place)) {
            Readiness::Sealed => {}
            other => return other,
        }
        let nobody = SealedFor {
            account_key: *self.me.list.account_key(),
            list_version: self.me.list.version(),
            copies: Vec::new(),
        };
        if let Some(message) = self.outbox.get_mut(counter) {
            if accounts.is_empty() {
                message.sealed = vec![nobody]; // it takes its place among our messages all the same
            }
            let (epoch, body) = (place.epoch(), Blob::default());
            message.post = Some(Posted { epoch, devices_version: 0, body, of });
        }
        Readiness::Sealed
    }

    /// Where something may be said to one member; nowhere if the account is none.
    pub(in crate::core) fn place_for(&self, id: GroupId, account: AccountId) -> Option<Place> {
        let known = self.groups.get(id)?;
        known.group.member(account)?;
        Some(known.group.place())
    }

    /// The server did not take what was said in a group, or a key for it. Whether that was all there is to
    /// do about it.
    pub(in crate::core) fn on_group_refusal(
        &mut self,
        counter: u64,
        id: GroupId,
        refusal: Refusal,
        now: Now,
    ) -> bool {
        let message = self.outbox.get(counter);
        let is_share = message.is_some_and(|message| message.kind == Kind::Share);
        let epoch = message.and_then(|message| message.post.as_ref()).map_or(0, |post| post.epoch);
        match refusal {
            Refusal::MailboxFull | Refusal::UnknownAccount if is_share => {
                self.give_in_halves(counter, id);
            }
            Refusal::GroupEpochStale => {
                self.groups.is_behind(id, epoch.saturating_add(1), None);
                self.seal_anew(counter, now);
            }
            Refusal::GroupListsStale => {
                self.forget_devices_version(id);
                self.seal_anew(counter, now);
            }
            // Sealed before this account had another device, which the server has on its list by now.
            Refusal::Malformed if self.lacks_own_copies(counter) => self.seal_anew(counter, now),
            Refusal::NotMember | Refusal::GroupUnknown | Refusal::NotAdmin => {
                self.groups.is_behind(id, epoch.saturating_add(1), None);
                self.fail(counter, failure_of(Some(refusal), refusal.number().into()), now);
            }
            _ => return false,
        }
        true
    }

    /// Whether a message went without copies for our own other devices, and there are some, or about to be.
    fn lacks_own_copies(&self, counter: u64) -> bool {
        let own = self.me.device().account;
        let has_others = self.contacts.get(own).is_some_and(|own| !own.devices.is_empty());
        let is_without = self.outbox.get(counter).is_some_and(|message| message.is_without(own));
        is_without && (has_others || self.me.next.is_some())
    }

    /// A member's keys are not to be had: what needs them fails, if it is to be a copy for each.
    pub(in crate::core) fn fails_in_group(&self, message: &Outgoing, account: AccountId) -> bool {
        let Target::Group(id) = message.target else { return false };
        let Some(known) = self.groups.get(id).filter(|_| !self.is_own(account)) else {
            return false;
        };
        let is_unknown = self.contacts.get(account).is_none();
        let in_copies = goes_in_copies(self.devices_in(id).len(), message.body.0.len());
        message.kind != Kind::Share
            && known.group.member(account).is_some()
            && (is_unknown || in_copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_what_goes_in_copies() {
        assert!(goes_in_copies(COPIES_MAX, 100) && !goes_in_copies(COPIES_MAX + 1, 100));
        assert!(goes_in_copies(0, usize::MAX - 1));
        // One copy of the longest text fits, two do not.
        let longest = 40_000;
        assert!(goes_in_copies(1, longest) && !goes_in_copies(2, longest));
        // 32 copies of 1,010 + 126 + 400 bytes are the 48 KiB to the byte.
        assert_eq!(COPIES_MAX * (1_010 + 1_010 / 8 + COPY_OVERHEAD_BYTES), COPIES_BYTES_MAX);
        assert!(goes_in_copies(COPIES_MAX, 1_010) && !goes_in_copies(COPIES_MAX, 1_011));
    }
}
