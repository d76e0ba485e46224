//! What this device says: from a command to the server's answer.

use std::collections::BTreeSet;

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, MessageId};
use godwit_seal::{Inner, Place, SealError, Trust};
use godwit_wire::{Refusal, ToServer, v1};
use zeroize::Zeroizing;

use super::age::Age;
use super::body::Shown;
use super::command::{Made, SendKey};
use super::contact::is_recovered;
use super::kinds::{check_context, poll_of};
use super::lookup::{Keys, Who};
use super::now::Now;
use super::outbox::{Copy, Kind, Outgoing, SealedFor, Target};
use super::output::Write;
use super::vault::Blob;
use super::{Body, Core, OUTBOX_MESSAGES_MAX, TEXT_BYTES_MAX, refusal_of};
use crate::{ChatId, Context, Error, Event, Failure, HistoryItem, MessageState, WarningKind};

/// How often a message is sealed anew because the recipient's devices have changed.
const ROUNDS_MAX: u32 = 3;

/// The same in a group, where a thousand people may change theirs: 16. Each round has brought newer lists
/// or a newer log before it.
pub(super) const GROUP_ROUNDS_MAX: u32 = 16;

/// Shortest pause after the server could not take a message, if it names none, 500 ms.
const PAUSE_MS: u64 = 500;

/// Whether a message can go out.
pub(super) enum Readiness {
    Sealed,
    /// Something must be learned first. Later messages to the same contact wait too.
    NotYet,
    Failed(Failure),
}

impl Core {
    /// Puts texts into the outbox: all or none, in order. Asked again with the same key, it answers
    /// the same and sends nothing more.
    ///
    /// # Errors
    /// [`Error::TextTooLong`], [`Error::ToYourself`], [`Error::OutboxFull`], [`Error::Blocked`],
    /// [`Error::KeyChanged`], [`Error::Revoked`].
    pub fn send(
        &mut self,
        key: SendKey,
        to: &ChatId,
        texts: &[String],
        now: Now,
    ) -> Result<Vec<MessageId>, Error> {
        check_texts(texts)?;
        let timer_s = self.timer(to);
        let said = |text: &String| Body::said(text, &Context::default(), timer_s);
        self.say_in(key, to, texts.iter().map(said).collect(), self.wall_ms(now))
    }

    /// Puts one text into the outbox, with what belongs to it.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::OutOfBounds`].
    pub fn send_with(
        &mut self,
        key: SendKey,
        to: &ChatId,
        text: &str,
        context: &Context,
        now: Now,
    ) -> Result<MessageId, Error> {
        check_texts(std::slice::from_ref(&text.to_owned()))?;
        check_context(context, text)?;
        let body = Body::said(text, context, self.timer(to));
        self.say_one_in(key, to, body, now)
    }

    /// Asks a question with answers to choose from.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::OutOfBounds`].
    pub fn send_poll(
        &mut self,
        key: SendKey,
        to: &ChatId,
        question: &str,
        options: &[String],
        several: bool,
        now: Now,
    ) -> Result<MessageId, Error> {
        let poll = poll_of(question, options, several)?;
        let body = Body::poll(&poll, self.timer(to));
        self.say_one_in(key, to, body, now)
    }

    /// Sends a body that another client, or a later version, might send. For tests.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[doc(hidden)]
    pub fn send_body(
        &mut self,
        key: SendKey,
        to: &ChatId,
        body: Vec<u8>,
        now: Now,
    ) -> Result<MessageId, Error> {
        self.say_one_in(key, to, body, now)
    }

    fn say_one_in(
        &mut self,
        key: SendKey,
        to: &ChatId,
        body: Vec<u8>,
        now: Now,
    ) -> Result<MessageId, Error> {
        let ids = self.say_in(key, to, vec![body], self.wall_ms(now))?;
        ids.first().copied().ok_or_else(|| Error::NoChat(to.clone()))
    }

    /// Puts messages of the history into the outbox: all or none, in order.
    pub(super) fn say_in(
        &mut self,
        key: SendKey,
        with: &ChatId,
        bodies: Vec<Vec<u8>>,
        sent_at_ms: u64,
    ) -> Result<Vec<MessageId>, Error> {
        if let Some(Made { first, count }) = self.commands.get(&key) {
            return Ok((first..first + count).map(|counter| self.own_id(counter)).collect());
        }
        self.check_recipient(with, bodies.len(), bodies.iter().map(Vec::len).sum())?;
        let first = self.me.counters.message;
        let mut ids = Vec::with_capacity(bodies.len());
        for body in bodies {
            let counter = self.next_counter();
            let expires_at_ms = self.write_outgoing(counter, with, &body, sent_at_ms);
            let message = Outgoing::new(Target::of(with), Kind::Shown, body, sent_at_ms);
            self.outbox.push(counter, Outgoing { expires_at_ms, ..message });
            ids.push(self.own_id(counter));
        }
        self.commands.add(key, Made { first, count: ids.len() as u64 });
        Ok(ids)
    }

    /// Whether so much more can be said in a chat.
    pub(super) fn check_recipient(
        &self,
        with: &ChatId,
        messages: usize,
        bytes: usize,
    ) -> Result<(), Error> {
        if self.is_revoked {
            return Err(Error::Revoked);
        }
        match with {
            ChatId::Contact(to) if *to == self.me.home.handle => return Err(Error::ToYourself),
            ChatId::Contact(to) => {
                if self.is_handle_blocked(to) {
                    return Err(Error::Blocked(to.clone()));
                }
                if self.contacts.by_handle(to).is_some_and(|contact| contact.record.blocked) {
                    return Err(Error::KeyChanged(to.clone()));
                }
            }
            ChatId::Group(id) => self.check_group(*id)?,
        }
        if !self.outbox.has_room_for(messages, bytes) {
            return Err(Error::OutboxFull { max: OUTBOX_MESSAGES_MAX });
        }
        Ok(())
    }

    /// Writes the row of a message. Returns when it disappears.
    fn write_outgoing(
        &mut self,
        counter: u64,
        with: &ChatId,
        body: &[u8],
        sent_at_ms: u64,
    ) -> Option<u64> {
        let mut shown = Body::decode(body).shown().unwrap_or_default();
        shown.starts(sent_at_ms);
        self.timer_runs(shown.timer_s());
        let Shown { text, note, details } = shown;
        let expires_at_ms = details.expires_at_ms;
        let item = HistoryItem {
            row: self.next_row(),
            id: self.own_id(counter),
            with: with.clone(),
            from: self.me.home.handle.clone(),
            to: with.clone(),
            outgoing: true,
            text,
            note,
            sent_at_ms,
            received_at_ms: None,
            state: MessageState::Pending,
            details,
        };
        self.write_item(item, body);
        expires_at_ms
    }

    /// Stages a message of the history.
    pub(super) fn write_item(&mut self, item: HistoryItem, body: &[u8]) {
        match self.vault.seal_body(item.id, body) {
            Ok(sealed) => self.staged.writes.push(Write::Message { item, sealed }),
            Err(error) => self.fault = Some(error),
        }
    }

    pub(super) fn own_id(&self, counter: u64) -> MessageId {
        MessageId { device: self.me.device(), counter }
    }

    /// Says something of the client's own accord. Dropped when even the room for that is used up;
    /// its cause comes again.
    pub(super) fn say_to(&mut self, account: AccountId, kind: Kind, body: Vec<u8>, now: Now) {
        self.say_to_in(account, None, kind, body, now);
    }

    /// The same, in a group.
    pub(super) fn say_to_in(
        &mut self,
        account: AccountId,
        within: Option<GroupId>,
        kind: Kind,
        body: Vec<u8>,
        now: Now,
    ) {
        if self.outbox.has_room_for_own() {
            let counter = self.next_counter();
            let sent_at_ms = self.wall_ms(now);
            let message = Outgoing::new(Target::Account(account), kind, body, sent_at_ms);
            self.outbox.push(counter, Outgoing { within, ..message });
        }
    }

    /// Tells our own other devices something. Nothing when there are none, or no room.
    pub(super) fn say_to_own(&mut self, body: Vec<u8>, at_ms: u64) -> Option<u64> {
        let own = self.me.device().account;
        let has_others = self.contacts.get(own).is_some_and(|own| !own.devices.is_empty());
        if !has_others || !self.outbox.has_room_for_own() {
            return None;
        }
        let counter = self.next_counter();
        let message = Outgoing::new(Target::Account(own), Kind::About, body, at_ms);
        self.outbox.push(counter, message);
        Some(counter)
    }

    /// Seals and submits what may go out now.
    pub(super) fn pump(&mut self, now: Now) {
        if self.pump_once(now) {
            // What went behind all others is overtaken by none of them.
            self.pump_once(now);
        }
    }

    /// Whether messages have gone behind others, and may be due there.
    fn pump_once(&mut self, now: Now) -> bool {
        if self.outbox_paused_until_ms.is_some_and(|until_ms| now.mono_ms < until_ms) {
            return false;
        }
        self.outbox_paused_until_ms = None;
        // A message that cannot go yet holds back those after it in the same chat (M4).
        let mut held_back: BTreeSet<ChatId> = BTreeSet::new();
        for counter in self.outbox.due() {
            let Some(message) = self.outbox.get(counter) else { continue };
            let is_share = message.kind == Kind::Share; // what waits for it comes before it
            let Some(chat) = self.chat_of(&message.target) else {
                self.fail(counter, Failure::UnknownAccount, now);
                continue;
            };
            if held_back.contains(&chat) && !is_share {
                continue;
            }
            match self.ready(counter, now) {
                Readiness::Sealed => self.submit(counter),
                Readiness::NotYet if is_share => {}
                Readiness::NotYet => {
                    held_back.insert(chat);
                }
                Readiness::Failed(failure) => self.fail(counter, failure, now),
            }
        }
        self.outbox.take_moved()
    }

    fn chat_of(&self, target: &Target) -> Option<ChatId> {
        match target {
            Target::Handle(handle) => Some(handle.into()),
            Target::Account(account) => {
                self.contacts.get(*account).map(|contact| (&contact.record.handle).into())
            }
            Target::Group(id) => Some(ChatId::Group(*id)),
        }
    }

    fn submit(&mut self, counter: u64) {
        let Some(message) = self.outbox.get(counter) else { return };
        let copy = |copy: &Copy| v1::SealedCopy {
            device: copy.device,
            kind: copy.kind,
            body: copy.body.0.clone().into(),
        };
        let recipient = |sealed: &SealedFor| v1::Recipient {
            account: sealed.account_key.id().0,
            list_version: sealed.list_version,
            copies: sealed.copies.iter().map(copy).collect(),
        };
        let recipients = message.sealed.iter().map(recipient).collect();
        let group = message.group_post();
        let submit = v1::Submit { counter, recipients, group };
        self.staged.messages.push(ToServer::Submit(submit));
        self.outbox.submitted(counter);
    }

    /// Seals a message, unless it is sealed already: then the same bytes go out again.
    fn ready(&mut self, counter: u64, now: Now) -> Readiness {
        let Some(message) = self.outbox.get(counter) else { return Readiness::NotYet };
        if message.is_sealed() {
            return Readiness::Sealed;
        }
        if self.own_copies_come_back() {
            return Readiness::NotYet;
        }
        let is_retry = message.kind == Kind::Retry;
        let account = match &message.target {
            Target::Group(id) => return self.group_ready(counter, *id, now),
            Target::Account(account) => *account,
            Target::Handle(handle) => match self.contacts.account_of(handle) {
                Some(account) => account,
                None => {
                    self.lookups.want(Who::Handle(handle.clone()), Keys::All);
                    return Readiness::NotYet;
                }
            },
        };
        let place = match message.within.map(|id| self.place_for(id, account)) {
            Some(None) => return Readiness::Failed(Failure::NotMember),
            place => place.flatten(),
        };
        let own = self.copied_to(message, account);
        let accounts: Vec<AccountId> = [account].into_iter().chain(own).collect();
        if is_retry {
            self.address(counter, account);
            return Readiness::Sealed;
        }
        let mut is_ready = true;
        for account in &accounts {
            match self.account_ready(*account, place.is_some(), now) {
                Readiness::Sealed => {}
                Readiness::NotYet => is_ready = false,
                Readiness::Failed(failure) => return Readiness::Failed(failure),
            }
        }
        if is_ready { self.seal(counter, &accounts, place) } else { Readiness::NotYet }
    }

    /// Whether everything is there to seal for an account; if not, it is asked for. As a member of a group
    /// it is who the group's log says, and one whom the user has to decide about holds nobody up.
    pub(super) fn account_ready(
        &mut self,
        account: AccountId,
        in_group: bool,
        now: Now,
    ) -> Readiness {
        let Some(contact) = self.contacts.get(account) else {
            return Readiness::Failed(Failure::UnknownAccount);
        };
        if contact.record.blocked && !in_group {
            return Readiness::Failed(Failure::KeyChanged);
        }
        if self.outbox.awaits_answer_of_other_list(account, contact.list.version()) {
            return Readiness::NotYet;
        }
        if self.is_blocked(account) && !in_group {
            return Readiness::Failed(Failure::Blocked);
        }
        // Our own list is ours to judge: an old one means that the main device was off for long.
        let age = if self.is_own(account) { Age::Fresh } else { self.age_of(contact, now) };
        match age {
            Age::Fresh | Age::Marked => {}
            Age::Held if in_group => {}
            Age::Held => return Readiness::NotYet,
            Age::Unasked => {
                self.lookups.want(Who::Account(account), Keys::None);
                return Readiness::NotYet;
            }
        }
        let unready: BTreeSet<u32> = contact
            .devices
            .iter()
            .filter(|(_, remote)| remote.record.repair || !remote.pairing.is_ready())
            .map(|(number, _)| number.0)
            .collect();
        if unready.is_empty() {
            Readiness::Sealed
        } else {
            self.lookups.want(Who::Account(account), Keys::Of(unready));
            Readiness::NotYet
        }
    }

    /// A retry request goes to every device as it is; it holds no secret.
    fn address(&mut self, counter: u64, account: AccountId) {
        let Some(contact) = self.contacts.get(account) else { return };
        let Some(message) = self.outbox.get_mut(counter) else { return };
        let copy = |number: DeviceNumber| Copy {
            device: number.0,
            kind: v1::CopyKind::RetryRequest.into(),
            body: message.body.clone(),
        };
        message.sealed = vec![SealedFor {
            account_key: *contact.list.account_key(),
            list_version: contact.list.version(),
            copies: contact.devices.keys().copied().map(copy).collect(),
        }];
    }

    /// Seals for every device of these accounts: the one that it is to, then our own; or, at a place, of
    /// all members.
    pub(super) fn seal(
        &mut self,
        counter: u64,
        accounts: &[AccountId],
        place: Option<Place>,
    ) -> Readiness {
        let mut sealed = Vec::with_capacity(accounts.len());
        let is_copied = self.outbox.get(counter).is_some_and(|message| message.kind.is_copied());
        let is_told = is_copied && place.is_none();
        for account in accounts {
            let to = accounts.first().copied().filter(|to| is_told && to != account);
            match self.seal_for(counter, *account, to, place) {
                Ok(copies) => sealed.push(copies),
                Err(readiness) => return readiness,
            }
        }
        if let Some(message) = self.outbox.get_mut(counter) {
            message.sealed = sealed;
        }
        // What is said in a group makes nobody a contact.
        if is_told {
            self.wrote(counter, accounts);
        }
        Readiness::Sealed
    }

    /// Seals for an account; with `to` a copy of what goes there.
    fn seal_for(
        &mut self,
        counter: u64,
        account: AccountId,
        to: Option<AccountId>,
        place: Option<Place>,
    ) -> Result<SealedFor, Readiness> {
        let (Some(message), Some(contact)) = (self.outbox.get(counter), self.contacts.get(account))
        else {
            return Err(Readiness::NotYet);
        };
        let body = match to.and_then(|to| self.sent_to(to)) {
            Some(to) => Body::for_own_devices(&message.body.0, &to),
            None => message.body.0.clone(),
        };
        // For itself, not in the copy for our own devices, and not in a group.
        let is_told = to.is_none() && place.is_none();
        let pass = self.pass_for(account, &message.kind).filter(|_| is_told);
        let body = pass.map_or(body.clone(), |pass| Body::with_pass(&body, pass));
        let inner = inner_of(counter, message, body);
        let account_key = *contact.list.account_key();
        let list_version = contact.list.version();
        let numbers: Vec<DeviceNumber> = contact.devices.keys().copied().collect();
        let mut copies = Vec::with_capacity(numbers.len());
        for number in numbers {
            let device = DeviceId { account, number };
            let Some(remote) = self.contacts.remote_mut(device) else { continue };
            remote.record.messages = remote.record.messages.saturating_add(1);
            let sealed = match &place {
                Some(place) => remote.pairing.seal_in(&self.me.keys, place, &inner),
                None => remote.pairing.seal(&self.me.keys, &inner),
            };
            match sealed {
                Ok(sealed) => copies.push(Copy {
                    device: number.0,
                    kind: if sealed.opening {
                        v1::CopyKind::Opening.into()
                    } else {
                        v1::CopyKind::Message.into()
                    },
                    body: Blob(sealed.bytes),
                }),
                Err(SealError::NeedsSession) => {
                    let keys = Keys::Of(BTreeSet::from([number.0]));
                    self.lookups.want(Who::Account(account), keys);
                    return Err(Readiness::NotYet);
                }
                Err(_) => return Err(Readiness::Failed(Failure::BadKeys)),
            }
        }
        if let Some(pass) = pass {
            self.pass_given(account, pass);
        }
        Ok(SealedFor { account_key, list_version, copies })
    }

    /// One tick.
    pub(super) fn on_accepted(&mut self, accepted: v1::Accepted) {
        let v1::Accepted { counter, time_ms } = accepted;
        let Some(message) = self.outbox.accept(counter) else { return };
        let shown = message.shown_as.unwrap_or(counter);
        let with = match &message.target {
            Target::Account(_) => return,
            Target::Handle(handle) => ChatId::from(handle),
            Target::Group(id) if message.kind == Kind::Share => {
                return self.key_given(*id, &message);
            }
            Target::Group(id) => ChatId::Group(*id),
        };
        if message.kind == Kind::About {
            return self.say_state(shown, with, MessageState::Accepted, time_ms);
        }
        let account = message.sealed.first().map(|sealed| sealed.account_key.id());
        self.set_state(shown, &with, MessageState::Accepted, time_ms);
        if with.group().is_some() {
            return; // its receipts are counted
        }
        // Its receipt may have come first: submitted on an earlier link, answered on this one.
        if let Some(contact) = account.and_then(|account| self.contacts.get(account)) {
            let delivered = contact.devices.values().any(|d| d.record.delivered_up_to >= counter);
            let read = contact.record.read_up_to >= counter;
            if delivered {
                self.set_state(counter, &with, MessageState::Delivered, time_ms);
            }
            if read {
                self.set_state(counter, &with, MessageState::Read, time_ms);
            }
        }
    }

    pub(super) fn set_state(
        &mut self,
        counter: u64,
        with: &ChatId,
        state: MessageState,
        at_ms: u64,
    ) {
        self.staged.writes.push(Write::State { counter, with: with.clone(), state, at_ms });
    }

    /// Tells of something that has no row.
    fn say_state(&mut self, counter: u64, with: ChatId, state: MessageState, at_ms: u64) {
        let (id, by) = (self.own_id(counter), self.me.home.handle.clone());
        self.say(Event::State { id, with, by, state, at_ms });
    }

    /// The message will not arrive.
    pub(super) fn fail(&mut self, counter: u64, failure: Failure, now: Now) {
        let Some(message) = self.outbox.remove(counter) else { return };
        let with = match &message.target {
            Target::Account(_) => return,
            Target::Handle(handle) => ChatId::from(handle),
            Target::Group(id) if message.kind == Kind::Share => {
                return self.key_not_given(*id, &message.accounts);
            }
            Target::Group(id) => ChatId::Group(*id),
        };
        if with.group().is_some() {
            self.forget_sent(counter);
        }
        let (shown, at_ms) = (message.shown_as.unwrap_or(counter), self.wall_ms(now));
        match message.kind {
            Kind::Shown => self.set_state(shown, &with, MessageState::Failed(failure), at_ms),
            Kind::About => {
                let text = format!("what you did about a message did not reach {with}: {failure}");
                let contact = with.contact().cloned();
                self.say_state(shown, with, MessageState::Failed(failure), at_ms);
                self.warn(WarningKind::NotSent, contact, text);
            }
            _ => {}
        }
    }

    /// A submission was refused; nothing of it was stored.
    pub(super) fn on_refused(&mut self, refused: &v1::Refused, now: Now) {
        let counter = refused.counter;
        let Some(message) = self.outbox.get(counter) else { return };
        let group = match message.target {
            Target::Group(id) => Some(id),
            _ => None,
        };
        match refusal_of(refused) {
            Some(refusal)
                if group.is_some_and(|id| self.on_group_refusal(counter, id, refusal, now)) => {}
            Some(Refusal::DeviceMismatch) => self.on_mismatch(refused, now),
            // An earlier attempt may have been taken. The goodbye comes after it, and ends them all.
            Some(Refusal::DeviceRevoked) => {}
            Some(Refusal::UnknownAccount) => self.on_unknown_account(counter, now),
            Some(Refusal::MailboxFull) => self.fail(counter, Failure::MailboxFull, now),
            Some(Refusal::TooManyStrangers) => {
                self.fail(counter, Failure::TooManyStrangers, now);
            }
            Some(refusal) if refusal.retryable() => self.pause(refused, now),
            None if refused.retry_after_ms > 0 => self.pause(refused, now),
            _ => {
                let code = u16::try_from(refused.code).unwrap_or(u16::MAX);
                self.fail(counter, Failure::Refused(code), now);
            }
        }
    }

    /// The server cannot take it now. It refuses everything after it until it comes again (M4).
    fn pause(&mut self, refused: &v1::Refused, now: Now) {
        if refusal_of(refused) == Some(Refusal::AfterRefusal) {
            if !self.outbox.is_after_refusal(refused.counter) {
                self.lose_link("the server awaits a message that it did not refuse", 0, now);
            }
            return;
        }
        // The pause of the one that comes first: the others were refused at once with it, and come after it.
        if self.outbox.is_awaited(refused.counter) {
            let until_ms = now.mono_ms + u64::from(refused.retry_after_ms).max(PAUSE_MS);
            self.outbox_paused_until_ms = Some(until_ms);
        }
    }

    /// The copies do not fit the recipient's devices. Only a list that the recipient signed counts.
    fn on_mismatch(&mut self, refused: &v1::Refused, now: Now) {
        for mismatch in &refused.mismatches {
            self.learn_list(AccountId(mismatch.account), &mismatch.signed_list, now);
        }
        self.seal_anew(refused.counter, now);
    }

    fn learn_list(&mut self, account: AccountId, signed: &[u8], now: Now) {
        if self.is_own(account) {
            return self.on_own_list(signed, now);
        }
        let Some(contact) = self.contacts.get(account) else { return };
        let handle = contact.record.handle.clone();
        let trust = Trust::Pinned(contact.list.account_key());
        match self.verify_list(signed, trust, Some(&contact.list), now) {
            Ok(list) => {
                let is_recovered = is_recovered(&contact.list, &list);
                self.contacts.learn(&handle, list);
                self.mark_age(account, now);
                if is_recovered {
                    self.tell_recovered(account, now);
                }
            }
            Err(error) => {
                let text = format!("the server's device list of {handle} is not used: {error}");
                self.warn(WarningKind::Server, Some(handle), text);
            }
        }
    }

    pub(super) fn seal_anew(&mut self, counter: u64, now: Now) {
        self.outbox.is_due_again(counter);
        let Some(message) = self.outbox.get_mut(counter) else { return };
        message.sealed.clear();
        message.post = None;
        message.rounds += 1;
        let is_in_group = matches!(message.target, Target::Group(_));
        let is_over = message.rounds > if is_in_group { GROUP_ROUNDS_MAX } else { ROUNDS_MAX };
        if is_in_group {
            self.forget_sent(counter);
        }
        if is_over {
            self.fail(counter, Failure::DevicesChanging, now);
        }
    }

    /// The account is gone; perhaps the handle leads to another now.
    fn on_unknown_account(&mut self, counter: u64, now: Now) {
        let target = self.outbox.get(counter).map(|message| message.target.clone());
        match target {
            Some(Target::Handle(handle)) => {
                self.contacts.lead_nowhere(&handle);
                self.seal_anew(counter, now);
            }
            _ => self.fail(counter, Failure::UnknownAccount, now),
        }
    }
}

/// What is sealed of a message.
pub(super) fn inner_of(counter: u64, message: &Outgoing, body: Vec<u8>) -> Inner {
    let resend_of = match message.kind {
        Kind::Resend { of, .. } => Some(of),
        _ => None,
    };
    let body = match message.shown_as {
        Some(shown) => Body::shown_as(&body, shown),
        None => body,
    };
    Inner { counter, sent_at_ms: message.sent_at_ms, resend_of, body: Zeroizing::new(body) }
}

fn check_texts(texts: &[String]) -> Result<(), Error> {
    let too_long = texts.iter().map(String::len).find(|bytes| *bytes > TEXT_BYTES_MAX);
    match too_long {
        Some(bytes) => Err(Error::TextTooLong { bytes, max: TEXT_BYTES_MAX }),
        None => Ok(()),
    }
}
