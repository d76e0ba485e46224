//! Questions to the server and their answers. Nothing that the server says is believed unless it is
//! signed by the one whom it is about; the handle is the exception, and its changes are shown.

use godwit_base::{AccountId, BlobId, DeviceId, DeviceNumber, GroupId, Handle};
use godwit_seal::{
    Bundle, BundleError, DeviceList, KeyUpload, ListError, SealError, Trust, Verified,
};
use godwit_wire::{Refusal, ToServer, v1};

use super::age::verify_of_any_age;
use super::contact::is_recovered;
use super::lookup::{Keys, Who};
use super::now::Now;
use super::outbox::{Outgoing, Target};
use super::transfer::Way;
use super::{Core, refusal_of};
use crate::{Error, Failure, LinkId, WarningKind};

/// Pause before a question is asked again, if the server names none, or has no keys to give, 30 s.
const ASK_AGAIN_MS: u64 = 30_000;

/// A question on its way.
#[derive(Debug)]
pub(super) enum Request {
    Lookup(Who),
    Publish(KeyUpload),
    Register,
    /// Which handle this account has: the answer to the registration was lost.
    OwnHandle,
    /// A version of our own device list.
    PublishList(u64),
    /// Which list the server has of us.
    OwnList,
    /// A message for a new device at the rendezvous.
    Leave(LinkId),
    /// The new device's message there, which comes when a person has done something.
    Hear(LinkId),
    /// An entry for the log of a group: the number of the command.
    GroupChange(u64),
    /// The log of a group.
    GroupLog(GroupId),
    /// A ticket for a file.
    Ticket(BlobId, Way),
    /// That this device has a file.
    Fetched(BlobId),
    /// Who in a group has which device list.
    GroupRoster(GroupId),
    /// That something in a group was read.
    GroupRead(GroupId),
    /// Who has something that was posted: the number of the question.
    GroupProgress(u64),
    /// A report to the operator.
    Report,
}

impl Core {
    /// Asks what is open and may be asked now.
    pub(super) fn ask(&mut self, now: Now) {
        while let Some((who, keys)) = self.lookups.next_to_ask(now.mono_ms) {
            let request = self.next_request(Request::Lookup(who.clone()));
            let who = match who {
                Who::Handle(handle) => v1::fetch::Who::Handle(handle.as_str().to_owned()),
                Who::Account(account) => v1::fetch::Who::Account(account.0),
            };
            let (keys, devices) = match keys {
                Keys::None => (false, Vec::new()),
                Keys::All => (true, Vec::new()),
                Keys::Of(devices) => (true, devices.into_iter().collect()),
            };
            let fetch = v1::Fetch { request, who: Some(who), keys, devices };
            self.staged.messages.push(ToServer::Fetch(fetch));
        }
    }

    /// The server says who somebody is.
    pub(super) fn on_bundles(&mut self, bundles: &v1::Bundles, now: Now) {
        match self.requests.remove(&bundles.request) {
            Some(Request::Lookup(who)) => {
                self.lookups.close(&who);
                if let Err(failure) = self.learn(&who, bundles, now) {
                    self.lookup_failed(&who, failure, now);
                }
            }
            Some(Request::OwnHandle) => self.on_own_handle(bundles),
            Some(Request::OwnList) => self.on_own_list(&bundles.signed_list, now),
            _ => {}
        }
    }

    /// The server does not answer a question.
    pub(super) fn on_refused_request(&mut self, refused: &v1::Refused, now: Now) {
        let refusal = refusal_of(refused);
        let wait_ms = u64::from(refused.retry_after_ms).max(1);
        let may_retry = refusal.map_or(refused.retry_after_ms > 0, Refusal::retryable);
        match self.requests.remove(&refused.request) {
            Some(Request::Lookup(who)) if may_retry => {
                let wait_ms = if refused.retry_after_ms == 0 { ASK_AGAIN_MS } else { wait_ms };
                self.lookups.postpone(&who, now.mono_ms + wait_ms);
            }
            Some(Request::Lookup(who)) => {
                self.lookups.close(&who);
                let failure = match refusal {
                    Some(Refusal::UnknownAccount) => Failure::UnknownAccount,
                    _ => Failure::Refused(u16::try_from(refused.code).unwrap_or(u16::MAX)),
                };
                self.lookup_failed(&who, failure, now);
            }
            Some(Request::Register | Request::OwnHandle) => self.on_join_refused(refused),
            Some(Request::PublishList(_)) => self.on_list_refused(refused, now),
            Some(Request::Leave(link) | Request::Hear(link)) => {
                self.on_relay_refused(link, refused, now);
            }
            Some(Request::GroupChange(number)) => self.on_change_refused(number, refused, now),
            Some(Request::GroupRoster(id)) => self.on_roster_refused(id, refused, now),
            Some(Request::GroupRead(id)) => self.on_read_refused(id, refused, now),
            Some(Request::GroupProgress(number)) => self.on_progress_refused(number, refused),
            Some(Request::GroupLog(id)) => self.on_log_refused(id, refused, now),
            Some(Request::Ticket(blob, way)) => self.on_ticket_refused(blob, way, refused, now),
            Some(Request::Fetched(blob)) => self.on_fetched_refused(blob, refused),
            Some(Request::Report) => self.on_report_refused(refused),
            // Offered, or asked for, again: at the next connect, or tomorrow.
            Some(Request::Publish(_) | Request::OwnList) | None => {}
        }
    }

    fn learn(&mut self, who: &Who, bundles: &v1::Bundles, now: Now) -> Result<(), Failure> {
        let account = AccountId(bundles.account);
        let handle: Handle = bundles.handle.parse().map_err(|_| Failure::BadKeys)?;
        let is_asked_for = match who {
            Who::Handle(asked) => *asked == handle,
            Who::Account(asked) => *asked == account,
        };
        if !is_asked_for || (self.is_own(account) && matches!(who, Who::Handle(_))) {
            return Err(self.distrust(&handle, "it answers for somebody else"));
        }
        if self.is_own(account) {
            self.on_own_list(&bundles.signed_list, now);
        } else {
            self.learn_contact(account, &handle, &bundles.signed_list, now)?;
        }
        // They are known now, whatever their keys are worth.
        self.release(account, now);
        for device in &bundles.devices {
            self.start_session(account, device, now)?;
        }
        Ok(())
    }

    fn learn_contact(
        &mut self,
        account: AccountId,
        handle: &Handle,
        signed: &[u8],
        now: Now,
    ) -> Result<(), Failure> {
        let pinned = self.contacts.pinned(account);
        let trust = pinned.map_or(Trust::FirstUse(account), Trust::Pinned);
        let previous = self.contacts.get(account).map(|contact| &contact.list);
        let list = match self.verify_list(signed, trust, previous, now) {
            Ok(list) => list,
            Err(error) => return Err(self.distrust(handle, &error.to_string())),
        };
        let is_new = previous.is_none();
        let is_recovered = previous.is_some_and(|previous| is_recovered(previous, &list));
        self.make_room(account);
        self.contacts.learn(handle, list);
        self.contacts.was_looked_up(account, now.mono_ms);
        self.take_handle(handle, account);
        self.mark_age(account, now);
        if is_new {
            self.tell_groups_of(account);
        }
        if is_recovered {
            self.tell_recovered(account, now);
        }
        Ok(())
    }

    /// Forgets a contact if there is no room for another. One to whom something is to be sent stays.
    fn make_room(&mut self, newcomer: AccountId) {
        if self.contacts.get(newcomer).is_some() || !self.contacts.is_full() {
            return;
        }
        let (outbox, groups) = (&self.outbox, &self.groups);
        let unpinned = self.contacts.forget_one(|account, contact| {
            outbox.pending().all(|(_, message)| match &message.target {
                Target::Account(to) => *to != account,
                Target::Handle(to) => *to != contact.record.handle,
                Target::Group(id) => {
                    groups.get(*id).is_none_or(|known| known.group.member(account).is_none())
                }
            })
        });
        if let Some(handle) = unpinned {
            let text = format!(
                "there is no room to remember the key of {handle} any longer: compare the safety \
                 number when you write with them again"
            );
            self.warn(WarningKind::KeyChange, Some(handle), text);
        }
    }

    /// Checks a device list. An old one is learned too, since it is never worse than the one before
    /// it; its age is judged when something is to be sealed for it, see [`age`](super::age).
    pub(super) fn verify_list(
        &self,
        signed: &[u8],
        trust: Trust<'_>,
        previous: Option<&Verified<DeviceList>>,
        now: Now,
    ) -> Result<Verified<DeviceList>, ListError> {
        verify_of_any_age(signed, trust, previous, self.list_ms(now))
    }

    /// Opens a session by the keys that were fetched, if one is needed.
    fn start_session(
        &mut self,
        account: AccountId,
        keys: &v1::DeviceBundle,
        now: Now,
    ) -> Result<(), Failure> {
        let number = DeviceNumber(keys.number);
        let now_ms = self.wall_ms(now);
        let Some(contact) = self.contacts.get(account) else { return Ok(()) };
        let list = &contact.list;
        // Whether the list is too old was decided before keys were asked for.
        let listed_ms = list.issued_at_ms();
        let bundle = match Bundle::verify(&keys.one_time, &keys.fallback, list, number, listed_ms) {
            Ok(bundle) => bundle,
            // Nothing was asked for, or the server has none for now: pump asks again.
            Err(BundleError::NoKeys) => {
                self.lookups.want(Who::Account(account), Keys::None);
                self.lookups.postpone(&Who::Account(account), now.mono_ms + ASK_AGAIN_MS);
                return Ok(());
            }
            Err(error) => {
                let handle = contact.record.handle.clone();
                return Err(self.distrust(&handle, &error.to_string()));
            }
        };
        let device = DeviceId { account, number };
        let Some(remote) = self.contacts.remote_mut(device) else { return Ok(()) };
        let started = if remote.record.repair {
            remote.record.repair = false;
            remote.pairing.repair(&self.me.keys, &bundle, now_ms)
        } else if remote.pairing.is_ready() {
            Ok(())
        } else {
            remote.pairing.start(&self.me.keys, &bundle, now_ms)
        };
        started.map_err(|_: SealError| Failure::BadKeys)
    }

    /// The handle leads to this account. If it led to another, its key has changed.
    fn take_handle(&mut self, handle: &Handle, account: AccountId) {
        let mut former = self.contacts.accounts_of(handle);
        former.retain(|other| *other != account);
        if self.contacts.account_of(handle) == Some(account) {
            return;
        }
        self.contacts.lead(handle, account);
        if !former.is_empty() {
            self.on_key_change(handle, account, &former);
        }
    }

    fn distrust(&mut self, handle: &Handle, why: &str) -> Failure {
        let text = format!("what the server says about {handle} is not used: {why}");
        self.warn(WarningKind::Server, Some(handle.clone()), text);
        Failure::BadKeys
    }

    /// Nothing can be sent to them. What came from them cannot be opened either, unless the server has
    /// merely refused to answer: then it is kept, and they are asked for again.
    fn lookup_failed(&mut self, who: &Who, failure: Failure, now: Now) {
        let leads_to = |target: &Target| match (who, target) {
            (Who::Handle(asked), Target::Handle(handle)) => asked == handle,
            (Who::Account(asked), Target::Account(account)) => asked == account,
            (Who::Account(asked), Target::Handle(handle)) => {
                self.contacts.account_of(handle) == Some(*asked)
            }
            (_, Target::Group(_)) | (Who::Handle(_), Target::Account(_)) => false,
        };
        let fails = |message: &Outgoing| {
            let in_group = |account| self.fails_in_group(message, account);
            leads_to(&message.target) || matches!(who, Who::Account(asked) if in_group(*asked))
        };
        let unsealed = self.outbox.pending().filter(|(_, message)| !message.is_sealed());
        let stuck: Vec<u64> =
            unsealed.filter(|(_, message)| fails(message)).map(|(counter, _)| counter).collect();
        for counter in stuck {
            self.fail(counter, failure, now);
        }
        if let Who::Account(account) = who {
            // What people are told does not wait for our own devices.
            self.without_copies |= self.is_own(*account);
            self.give_key_without(*account);
        }
        if let Who::Handle(handle) = who {
            let error = Error::NoAccount { handle: handle.clone(), why: failure };
            self.fail_wishes_for(handle, &error);
            self.fail_files_for(handle, &error);
            self.fail_finds_for(handle, &error);
        }
        let Who::Account(account) = who else { return };
        if matches!(failure, Failure::Refused(_)) && self.inbox.asks_again(*account) {
            self.lookups.want(who.clone(), Keys::None);
            self.lookups.postpone(who, now.mono_ms + ASK_AGAIN_MS);
        } else {
            self.release(*account, now);
        }
    }
}
