//! Presence: who may see that we are here, whose chats are open on this device, and who types.
//!
//! State, not events: what the server is to know is compared with what it was told, and said anew when
//! it differs. Nothing of it but the user's own setting is stored.

use std::collections::BTreeMap;

use godwit_base::{AccountId, Handle};
use godwit_link::StaticKey;
use godwit_seal::RowError;
use godwit_wire::{OPEN_CHATS_MAX, PASS_BYTES, ToServer, v1};
use serde::{Deserialize, Serialize};

use super::lookup::{Keys, Who};
use super::now::Now;
use super::outbox::Kind;
use super::output::{Row, Table, Write};
use super::vault::Vault;
use super::{Body, Core};
use crate::{Error, Event, Presence, PresenceState, Visibility};

/// How long a chat stays open unless it is opened again: whoever shows it may be killed.
pub const OPEN_MS: u64 = 60_000;

/// Typing is said anew so often while it lasts.
const TYPING_AGAIN_MS: u64 = 5_000;

/// Typing ends so long after the last key.
const TYPING_REST_MS: u64 = 6_000;

/// Somebody's typing ends when it was not said anew for so long: two repetitions may be lost.
const THEIR_TYPING_MS: u64 = 12_000;

/// Least time between two messages about presence: the four a second that a server takes.
const GAP_MS: u64 = 250;

/// Key of the setting's row in [`Table::Me`].
const ROW: &[u8] = b"presence";

/// What contacts show the server.
pub(crate) type Pass = [u8; PASS_BYTES];

/// Presence as this device knows it.
#[derive(Debug)]
pub(super) struct Presences {
    setting: Option<Setting>,
    setting_changed: bool,
    /// The user has chosen since this device was started, and the server was not told yet.
    owes_server: bool,
    /// Our other devices are to hear the setting.
    owes_own: bool,
    /// This device has asked them for it since it was started.
    asked_own: bool,
    /// Somebody is at this device.
    here: bool,
    /// At most [`OPEN_CHATS_MAX`].
    chats: BTreeMap<Handle, Open>,
    /// What the server was told on this link.
    told_set: Option<v1::PresenceSet>,
    told_watch: Vec<v1::OpenChat>,
    /// Nothing is said before.
    free_at_ms: u64,
    /// When something is due.
    due_ms: Option<u64>,
}

/// What the user chose, on whichever device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    visibility: Visibility,
    pass: Pass,
    /// When, unix milliseconds: of two devices' settings the later holds.
    set_at_ms: u64,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The pass is a secret of the user and the contacts.
        f.debug_struct("Setting").field("visibility", &self.visibility).finish_non_exhaustive()
    }
}

/// A chat that is open here.
#[derive(Debug)]
struct Open {
    until_ms: u64,
    /// Whose chat it is was asked.
    asked: bool,
    /// We type until then.
    typing_until_ms: u64,
    typing_told_ms: u64,
    seen: Option<Presence>,
    they_type_until_ms: u64,
}

impl Default for Presences {
    fn default() -> Self {
        Self {
            setting: None,
            setting_changed: false,
            owes_server: false,
            owes_own: false,
            asked_own: false,
            here: true,
            chats: BTreeMap::new(),
            told_set: None,
            told_watch: Vec::new(),
            free_at_ms: 0,
            due_ms: None,
        }
    }
}

impl Presences {
    pub(super) fn restore(vault: &Vault, rows: &[Row]) -> Result<Self, RowError> {
        let row = rows.iter().find(|(table, key, _)| *table == Table::Me && key == ROW);
        let setting = row.map(|(.., row)| vault.open(Table::Me, ROW, row)).transpose()?;
        Ok(Self { setting, ..Self::default() })
    }

    /// The row, if it changed since the last call.
    pub(super) fn changes(&mut self, vault: &Vault) -> Result<Option<Write>, RowError> {
        let setting = self.setting.as_ref().filter(|_| self.setting_changed);
        let row = setting.map(|setting| vault.seal(Table::Me, ROW, setting)).transpose()?;
        self.setting_changed = false;
        Ok(row.map(|value| Write::Put { table: Table::Me, key: ROW.to_vec(), value }))
    }

    /// Whether the server is still to hear what the user chose just now.
    pub(super) fn owes_server(&self) -> bool {
        self.owes_server
    }

    /// What contacts are given, if there is a setting.
    pub(super) fn pass(&self) -> Option<Pass> {
        self.setting.as_ref().map(|setting| setting.pass)
    }

    /// The server knows nothing any more, and neither do we.
    pub(super) fn link_lost(&mut self) {
        (self.told_set, self.due_ms) = (None, None);
        self.told_watch.clear();
    }

    /// When the core must be flushed again, by the monotonic clock.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// What the server is told. It does not learn who is blocked: while somebody is, only those see
    /// this account who have the pass.
    fn set(&self, somebody_is_blocked: bool) -> Option<v1::PresenceSet> {
        let setting = self.setting.as_ref()?;
        let (visibility, pass) = match setting.visibility {
            Visibility::Nobody => (v1::Visibility::Nobody, Vec::new()),
            Visibility::Everyone if !somebody_is_blocked => (v1::Visibility::Everyone, Vec::new()),
            Visibility::Everyone | Visibility::Contacts => {
                (v1::Visibility::Contacts, setting.pass.to_vec())
            }
        };
        let (visibility, pass) = (visibility.into(), pass.into());
        Some(v1::PresenceSet { here: self.here, visibility, pass })
    }
}

impl Core {
    /// Who may see when we are here, and that we type.
    pub fn visibility(&self) -> Visibility {
        self.presence.setting.as_ref().map_or(Visibility::DEFAULT, |setting| setting.visibility)
    }

    /// Sets it, for all devices of the account. Who lets nobody see sees nobody. With `anew`, only those
    /// to whom something is written from now on count as contacts.
    ///
    /// # Errors
    /// [`Error::Storage`] when the machine gives no randomness.
    pub fn set_visibility(
        &mut self,
        visibility: Visibility,
        anew: bool,
        now: Now,
    ) -> Result<(), Error> {
        let known = self.presence.pass().filter(|_| !anew);
        let pass = known.map_or_else(new_pass, Ok)?;
        let set_at_ms = self.wall_ms(now).max(1);
        self.presence.setting = Some(Setting { visibility, pass, set_at_ms });
        (self.presence.setting_changed, self.presence.owes_own) = (true, true);
        self.presence.owes_server = true;
        Ok(())
    }

    /// Says whether somebody is at this device; so it is unless told otherwise.
    pub fn set_here(&mut self, here: bool) {
        self.presence.here = here;
    }

    /// The chat is open on this device for the next [`OPEN_MS`]: presence of the contact is told. Call it
    /// again while it is shown. Gives what is known by now.
    pub fn open_chat(&mut self, with: &Handle, now: Now) -> Option<Presence> {
        let chats = &mut self.presence.chats;
        if chats.len() >= OPEN_CHATS_MAX && !chats.contains_key(with) {
            let oldest = chats.iter().min_by_key(|(_, open)| open.until_ms);
            if let Some(oldest) = oldest.map(|(handle, _)| handle.clone()) {
                chats.remove(&oldest);
            }
        }
        let open = chats.entry(with.clone()).or_insert(Open {
            until_ms: 0,
            asked: false,
            typing_until_ms: 0,
            typing_told_ms: 0,
            seen: None,
            they_type_until_ms: 0,
        });
        (open.until_ms, open.asked) = (now.mono_ms + OPEN_MS, false);
        open.seen
    }

    /// The chat is not shown any more.
    pub fn close_chat(&mut self, with: &Handle) {
        self.presence.chats.remove(with);
    }

    /// The user pressed a key in this chat, or (`false`) sent or dropped what was typed. The contact sees
    /// it where it has our chat open.
    pub fn types(&mut self, with: &Handle, on: bool, now: Now) {
        if let Some(open) = self.presence.chats.get_mut(with) {
            open.typing_until_ms = if on { now.mono_ms + TYPING_REST_MS } else { 0 };
        }
    }

    /// The last that is said before this device goes.
    pub fn depart(&mut self) {
        self.presence.here = false;
        self.presence.chats.clear();
        self.presence.free_at_ms = 0;
    }

    /// Tells the server what it does not know yet, and ends what has lasted long enough.
    pub(super) fn tend_presence(&mut self, now: Now) {
        self.begin_setting(now);
        self.end_what_is_over(now);
        self.tell_own_devices(now);
        let set = self.presence.set(self.decided.blocks_anybody());
        let (set, watch) = (set.filter(|set| self.presence.told_set.as_ref() != Some(set)), {
            self.open_chats(now)
        });
        let types = watch.iter().any(|chat| chat.typing);
        let again_ms = self.typing_again_ms().filter(|_| types);
        let is_news = watch != self.presence.told_watch;
        let is_due = is_news || again_ms.is_some_and(|at_ms| at_ms <= now.mono_ms);
        let is_free = self.presence.free_at_ms <= now.mono_ms;
        if is_free && (set.is_some() || is_due) {
            self.presence.free_at_ms = now.mono_ms + GAP_MS;
            if let Some(set) = set {
                self.staged.messages.push(ToServer::PresenceSet(set.clone()));
                self.presence.told_set = Some(set);
                self.presence.owes_server = false;
            }
            if is_due {
                self.tell_watch(watch, now);
            }
            self.presence.due_ms = None;
        } else {
            let waits = set.is_some() || is_due;
            self.presence.due_ms = Some(self.presence.free_at_ms).filter(|_| waits);
        }
        let free_at_ms = self.presence.free_at_ms;
        let again_ms = self.typing_again_ms().map(|at_ms| at_ms.max(free_at_ms));
        self.presence.due_ms =
            [self.presence.due_ms, self.next_end_ms(), again_ms].into_iter().flatten().min();
    }

    fn tell_watch(&mut self, watch: Vec<v1::OpenChat>, now: Now) {
        for open in self.presence.chats.values_mut().filter(|open| open.typing_until_ms > 0) {
            open.typing_told_ms = now.mono_ms;
        }
        let chats = watch.clone();
        self.staged.messages.push(ToServer::PresenceWatch(v1::PresenceWatch { chats }));
        self.presence.told_watch = watch;
    }

    /// The first device of an account chooses. A further one says nothing before it has heard what holds,
    /// and asks: the others cannot know when it is there, and would wait for its keys.
    fn begin_setting(&mut self, now: Now) {
        if self.presence.setting.is_some() {
            return;
        }
        if !self.is_main() {
            if !self.presence.asked_own {
                let asked = self.say_to_own(Body::ask_settings(), self.wall_ms(now));
                self.presence.asked_own = asked.is_some();
            }
            return;
        }
        if let Ok(pass) = new_pass() {
            let visibility = Visibility::DEFAULT;
            self.presence.setting = Some(Setting { visibility, pass, set_at_ms: 1 });
            self.presence.setting_changed = true;
        }
    }

    fn end_what_is_over(&mut self, now: Now) {
        self.presence.chats.retain(|_, open| open.until_ms > now.mono_ms);
        let mut ended = Vec::new();
        for (with, open) in &mut self.presence.chats {
            if open.typing_until_ms <= now.mono_ms {
                open.typing_until_ms = 0;
            }
            if let Some(seen) = &mut open.seen
                && seen.typing
                && open.they_type_until_ms <= now.mono_ms
            {
                seen.typing = false;
                ended.push((with.clone(), *seen));
            }
        }
        for (with, presence) in ended {
            self.say(Event::Presence { with, presence });
        }
    }

    /// What is open, as the server is told. A contact that nobody knows yet is asked for.
    fn open_chats(&mut self, now: Now) -> Vec<v1::OpenChat> {
        let mut chats = Vec::with_capacity(self.presence.chats.len());
        for (with, open) in &mut self.presence.chats {
            let Some(contact) = self.contacts.by_handle(with) else {
                if !std::mem::replace(&mut open.asked, true) {
                    self.lookups.want(Who::Handle(with.clone()), Keys::None);
                }
                continue;
            };
            if self.decided.is_blocked(contact.list.account()) {
                continue; // they would see that we type
            }
            chats.push(v1::OpenChat {
                account: contact.list.account().0,
                pass: contact.record.presence_pass.map(Vec::from).unwrap_or_default().into(),
                typing: open.typing_until_ms > now.mono_ms,
            });
        }
        chats
    }

    fn typing_again_ms(&self) -> Option<u64> {
        let typing = self.presence.chats.values().filter(|open| open.typing_until_ms > 0);
        typing.map(|open| open.typing_told_ms + TYPING_AGAIN_MS).min()
    }

    /// When the next thing ends by itself.
    fn next_end_ms(&self) -> Option<u64> {
        let ends = self.presence.chats.values().flat_map(|open| {
            let they_type = open.seen.is_some_and(|seen| seen.typing);
            [
                Some(open.until_ms),
                Some(open.typing_until_ms).filter(|until_ms| *until_ms > 0),
                Some(open.they_type_until_ms).filter(|_| they_type),
            ]
        });
        ends.flatten().min()
    }

    /// What the server says of somebody.
    pub(super) fn on_presence(&mut self, told: &v1::Presence, now: Now) {
        let Some(contact) = self.contacts.get(AccountId(told.account)) else { return };
        let with = contact.record.handle.clone();
        let Some(open) = self.presence.chats.get_mut(&with) else { return };
        let state = match told.state() {
            v1::PresenceState::Online => PresenceState::Online,
            v1::PresenceState::Offline => PresenceState::Offline,
            v1::PresenceState::Unknown => PresenceState::Unknown,
        };
        let last_seen = state == PresenceState::Offline && told.last_seen_ms > 0;
        let presence = Presence {
            state,
            last_seen_ms: last_seen.then_some(told.last_seen_ms),
            typing: told.typing && state == PresenceState::Online,
        };
        open.they_type_until_ms = now.mono_ms + THEIR_TYPING_MS;
        if open.seen.replace(presence) != Some(presence) {
            self.say(Event::Presence { with, presence });
        }
    }

    /// The link is gone: what is known of others may be wrong by now.
    pub(super) fn presence_lost(&mut self) {
        self.presence.link_lost();
        let mut lost = Vec::new();
        for (with, open) in &mut self.presence.chats {
            if open.seen.take().is_some_and(|seen| seen != Presence::UNKNOWN) {
                lost.push(with.clone());
            }
        }
        for with in lost {
            self.say(Event::Presence { with, presence: Presence::UNKNOWN });
        }
    }

    /// What a message to this contact carries for it: our pass, if it does not have it.
    pub(super) fn pass_for(&self, account: AccountId, kind: &Kind) -> Option<Pass> {
        let is_shut_out = self.is_own(account) || self.is_blocked(account);
        let contact = self.contacts.get(account).filter(|_| !is_shut_out)?;
        let pass = self.presence.pass()?;
        match kind {
            Kind::Shown => Some(pass).filter(|_| contact.record.presence_given != Some(pass)),
            Kind::Resend { .. } => Some(pass), // what is sent again may be what carried it
            Kind::Quiet => Some(pass).filter(|_| contact.record.pass_owed),
            _ => None,
        }
    }

    /// A message with our pass was sealed for this contact.
    pub(super) fn pass_given(&mut self, account: AccountId, pass: Pass) {
        if let Some(contact) = self.contacts.get_mut(account) {
            contact.record.presence_given = Some(pass);
            contact.record.pass_owed = false;
        }
    }

    /// Somebody was blocked: if they may have our pass there is another one, and whoever else had the old
    /// one is given it without waiting for a message.
    pub(super) fn shut_out(&mut self, account: AccountId, now: Now) -> Result<(), Error> {
        let may_have_it = self.contacts.get(account).is_some_and(|contact| {
            contact.record.written_to || contact.record.presence_given.is_some()
        });
        let Some(Setting { visibility, pass: old, .. }) =
            self.presence.setting.clone().filter(|_| may_have_it)
        else {
            return Ok(());
        };
        self.set_visibility(visibility, true, now)?;
        let had_it = self.contacts.by_id().filter(|(_, c)| c.record.presence_given == Some(old));
        let others = had_it.map(|(account, _)| account).filter(|other| !self.is_blocked(*other));
        for account in others.collect::<Vec<AccountId>>() {
            if let Some(contact) = self.contacts.get_mut(account) {
                contact.record.pass_owed = true;
            }
            self.owes_profile(account);
        }
        Ok(())
    }

    /// A contact gave us its pass.
    pub(super) fn on_pass(&mut self, from: AccountId, pass: Pass) {
        let known = self.contacts.get(from).and_then(|contact| contact.record.presence_pass);
        if self.is_own(from) || known == Some(pass) {
            return;
        }
        if let Some(contact) = self.contacts.get_mut(from) {
            contact.record.presence_pass = Some(pass);
        }
    }

    /// A new device of ours asks for what holds.
    pub(super) fn on_ask_settings(&mut self, from: AccountId) {
        if self.is_own(from) {
            self.presence.owes_own = true;
            self.decided.owe_own_devices();
            self.owes_profile(from);
        }
    }

    fn tell_own_devices(&mut self, now: Now) {
        let Some(setting) = self.presence.setting.as_ref().filter(|_| self.presence.owes_own)
        else {
            return;
        };
        let Setting { visibility, pass, set_at_ms } = *setting;
        let (body, at_ms) =
            (Body::presence_setting(visibility, pass, set_at_ms), self.wall_ms(now));
        if self.say_to_own(body, at_ms).is_some() {
            self.presence.owes_own = false;
        }
    }

    /// Another device of ours says what the user chose there.
    pub(super) fn on_presence_setting(
        &mut self,
        from: AccountId,
        visibility: Visibility,
        pass: Pass,
        set_at_ms: u64,
    ) {
        let known_ms = self.presence.setting.as_ref().map_or(0, |setting| setting.set_at_ms);
        if self.is_own(from) && set_at_ms > known_ms {
            self.presence.setting = Some(Setting { visibility, pass, set_at_ms });
            self.presence.setting_changed = true;
        }
    }
}

/// Sixteen random bytes: of a fresh secret of the link, less the bits that its curve fixes.
fn new_pass() -> Result<Pass, Error> {
    let secret = StaticKey::generate().map_err(|error| Error::Storage(error.to_string()))?;
    let bytes = secret.to_bytes();
    let pass = bytes.get(8..8 + PASS_BYTES).and_then(|bytes| bytes.try_into().ok());
    pass.ok_or(Error::Closed)
}
