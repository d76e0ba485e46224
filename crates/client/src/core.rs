//! The client as a pure state machine: no socket, no clock, no file, no thread.
//!
//! Inputs are what the application commands, what the server sends and what time it is. The one
//! output is a [`Batch`], which [`Core::flush`] gives: commit its writes, then send its bytes, then
//! hand out its events. Ratchet, row and de-duplication id of a message are always in one batch.
//!
//! | file | concern |
//! |---|---|
//! | `link` `channel` `backoff` | the link's life, its bytes, its delays |
//! | `body` `kinds` | what people say to each other, as bytes |
//! | `outbox` `sending` | what we said: queue, window, sealing, refusals |
//! | `inbox` `receiving` `window` | what others said: order, exactly once, acknowledgement |
//! | `contact` `pin` `lookup` `asking` `finding` `age` | who they are, and how that is learned |
//! | `annotate` | what is said about a message |
//! | `timer` | messages that disappear, settings |
//! | `repair` | messages that did not open |
//! | `identity` `joining` `keys` `listing` `linking` `own` `past` | who we are, and our other devices |
//! | `group` | groups: their logs, and changes of them |
//! | `transfer` | files on their way: what waits for them, tickets |
//! | `reading` `verifying` | marks that the user sets |
//! | `presence` | who sees that we are here, whose chats are open, who types |
//! | `blocking` `profile` `reporting` | how others are seen and we are: blocks, mutes, names, reports |
//! | `vault` | rows sealed at rest |

mod age;
mod annotate;
mod asking;
mod backoff;
mod blocking;
mod body;
mod channel;
mod command;
mod contact;
mod finding;
mod group;
mod identity;
mod inbox;
mod joining;
mod keys;
mod kinds;
mod link;
mod linking;
mod listing;
mod lookup;
mod now;
mod outbox;
mod output;
mod own;
mod pace;
mod past;
mod pin;
mod presence;
mod profile;
mod reading;
mod receiving;
mod repair;
mod reporting;
mod sending;
mod timer;
mod transfer;
mod vault;
mod verifying;
mod window;

use std::collections::BTreeMap;

use godwit_base::{DeviceId, Handle, JoinLink};
use godwit_seal::RowError;
use godwit_wire::{Refusal, ToClient, ToServer, v1};

use self::asking::Request;
use self::blocking::ContactSettings;
use self::command::Commands;
use self::contact::Contacts;
use self::finding::Finds;
use self::group::Groups;
use self::identity::Identity;
use self::inbox::Inbox;
use self::link::Link;
use self::linking::Linking;
use self::listing::Listing;
use self::lookup::Lookups;
use self::outbox::Outbox;
use self::presence::Presences;
use self::profile::Profiles;
use self::repair::Waiting;
use self::reporting::Reports;
use self::timer::Expiry;
use self::transfer::Transfers;
use crate::{Error, Event, Me, WarningKind};

#[cfg(feature = "native")]
pub(crate) use age::verify_of_any_age;
pub use annotate::Stamp;
pub use blocking::{MUTED_FOREVER_MS, SETTINGS_MAX};
#[cfg(feature = "native")]
pub(crate) use body::Shown;
pub(crate) use body::{Body, Content};
pub use body::{TEXT_BYTES_MAX, text_of_body};
#[cfg(feature = "native")]
pub(crate) use channel::{Arrived, Channel, Ends};
pub use command::SendKey;
pub use contact::CONTACTS_MAX;
pub use finding::FINDS_MAX;
pub use godwit_seal::PICTURE_BYTES_MAX;
pub use godwit_wire::REASON_BYTES_MAX;
pub use group::{Asked, COMMUNITY_GROUPS_MAX, GroupCommand, GroupOutcome, check_group_name};
pub use identity::Seat;
#[cfg(feature = "native")]
pub(crate) use keys::to_wire;
#[cfg(feature = "native")]
pub(crate) use kinds::Mark;
#[cfg(test)]
pub(crate) use kinds::poll_of;
pub use kinds::{
    EMOJI_BYTES_MAX, MENTIONS_MAX, OPTION_BYTES_MAX, OPTIONS_MAX, OPTIONS_MIN, QUESTION_BYTES_MAX,
    QUOTE_BYTES_MAX, TIMER_S_MAX, TIMER_S_MIN, quoted,
};
#[cfg(feature = "native")]
pub(crate) use link::judged_ms;
pub use now::Now;
pub use outbox::{OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX};
pub use output::{AHEAD_MAX, Annotation, Batch, LinkOrder, Row, Table, Ticket, Write};
pub use past::{
    HISTORY_BYTES_MAX, HISTORY_ROWS_MAX, PACK_BYTES_MAX, PACK_ROWS_MAX, PastItem, PastPage,
    PastSaid, PastWanted,
};
pub use presence::OPEN_MS;
pub use profile::{ABOUT_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, PROFILE_PICTURE_BYTES_MAX};
pub use transfer::{FETCHED_MAX, Pending, UPLOADS_MAX, Way};
pub use vault::Vault;

/// How often old things are looked for, 10 minutes.
const TIDY_MS: u64 = 600_000;

/// One device of one account.
pub struct Core {
    vault: Vault,
    me: Identity,
    contacts: Contacts,
    outbox: Outbox,
    inbox: Inbox,
    lookups: Lookups,
    finds: Finds,
    waiting: Waiting,
    groups: Groups,
    commands: Commands,
    transfers: Transfers,
    decided: ContactSettings,
    profiles: Profiles,
    reports: Reports,
    link: Link,
    listing: Listing,
    /// Another device that is being linked.
    linking: Option<Linking>,
    /// The version of our list that the application was told of.
    told_list: u64,
    presence: Presences,
    staged: Staged,
    /// Questions on their way, by number. Bounded: 16 lookups and one of each other kind.
    requests: BTreeMap<u32, Request>,
    last_request: u32,
    outbox_paused_until_ms: Option<u64>,
    tidy_at_ms: u64,
    expiry: Expiry,
    /// One-time keys that the server still has of us, as far as we know.
    one_time_left: u32,
    keys_changed: bool,
    home_changed: bool,
    list_changed: bool,
    counters_changed: bool,
    /// Our other devices get no copies until the next link: the server does not say how to reach them.
    without_copies: bool,
    invite: Option<String>,
    join_result: Option<Result<(), Error>>,
    stopped_because: Option<String>,
    /// The server says that this device was removed from its account: since the link was started last.
    is_revoked: bool,
    /// The first failure to seal a row: nothing is written or sent after it.
    fault: Option<RowError>,
}

/// What the next batch will hold.
#[derive(Default)]
struct Staged {
    writes: Vec<Write>,
    events: Vec<Event>,
    messages: Vec<ToServer>,
    tickets: Vec<Ticket>,
    raw: Vec<u8>,
    link: Option<LinkOrder>,
}

impl Core {
    /// New keys for an account `handle` on the server of `link`. Nothing is registered before
    /// [`join`](Self::join) and [`start`](Self::start). `seed` spreads the delays between
    /// attempts; it protects nothing.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn create(
        vault: Vault,
        link: &JoinLink,
        handle: &Handle,
        seed: u64,
        now: Now,
    ) -> Result<Self, Error> {
        let no_randomness = || Error::Storage(RowError::Entropy.to_string());
        let me = Identity::create(link, handle, now.wall_ms).map_err(|_| no_randomness())?;
        let writes = me.write_all(&vault).map_err(|_| no_randomness())?;
        let mut core = Self::with(vault, me, seed);
        core.staged.writes = writes;
        Ok(core)
    }

    /// The core as its rows say; `None` when there are none. Rows in any order.
    ///
    /// # Errors
    /// [`Error::Damaged`] when they do not fit together or open under another key.
    pub fn restore(vault: Vault, mut rows: Vec<Row>, seed: u64) -> Result<Option<Self>, Error> {
        rows.sort_by(|(ta, ka, _), (tb, kb, _)| (ta, ka).cmp(&(tb, kb)));
        let damaged = |error: RowError| Error::Damaged(error.to_string());
        let Some(me) = Identity::restore(&vault, &rows).map_err(damaged)? else {
            return Ok(None);
        };
        let mut core = Self::with(vault, me, seed);
        core.contacts = Contacts::restore(&core.vault, core.device(), &rows).map_err(damaged)?;
        core.outbox = Outbox::restore(&core.vault, &rows).map_err(damaged)?;
        core.waiting = Waiting::restore(&core.vault, &rows).map_err(damaged)?;
        core.groups = Groups::restore(&core.vault, &rows).map_err(damaged)?;
        core.commands = Commands::restore(&core.vault, &rows).map_err(damaged)?;
        core.transfers = Transfers::restore(&core.vault, &rows).map_err(damaged)?;
        core.presence = Presences::restore(&core.vault, &rows).map_err(damaged)?;
        core.decided = ContactSettings::restore(&core.vault, &rows).map_err(damaged)?;
        let own = core.device().account;
        core.profiles = Profiles::restore(&core.vault, own, &rows).map_err(damaged)?;
        core.look_for_untold();
        Ok(Some(core))
    }

    fn with(vault: Vault, me: Identity, seed: u64) -> Self {
        Self {
            vault,
            contacts: Contacts::of(me.device()),
            told_list: me.list.version(),
            me,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            lookups: Lookups::default(),
            finds: Finds::default(),
            waiting: Waiting::default(),
            groups: Groups::default(),
            commands: Commands::default(),
            transfers: Transfers::default(),
            decided: ContactSettings::default(),
            profiles: Profiles::default(),
            reports: Reports::default(),
            link: Link::new(seed),
            listing: Listing::default(),
            linking: None,
            presence: Presences::default(),
            staged: Staged::default(),
            requests: BTreeMap::new(),
            last_request: 0,
            outbox_paused_until_ms: None,
            tidy_at_ms: 0,
            expiry: Expiry::default(),
            one_time_left: 0,
            keys_changed: false,
            home_changed: false,
            list_changed: false,
            counters_changed: false,
            without_copies: false,
            invite: None,
            join_result: None,
            stopped_because: None,
            is_revoked: false,
            fault: None,
        }
    }

    /// Who this device is; `None` before it has joined.
    pub fn me(&self) -> Option<Me> {
        let device = self.me.device();
        let handle = self.me.home.handle.clone();
        self.me.home.joined.then_some(Me { handle, account: device.account, device })
    }

    /// The handle that this device has or asks for.
    pub fn handle(&self) -> &Handle {
        &self.me.home.handle
    }

    /// This device's address; it never changes.
    pub fn device(&self) -> DeviceId {
        self.me.device()
    }

    /// The counter of the next message, for tests.
    #[doc(hidden)]
    pub fn next_message(&self) -> u64 {
        self.me.counters.message
    }

    /// The counter under which a message of ours travels, for tests.
    #[doc(hidden)]
    pub fn travels_as(&self, shown: u64) -> u64 {
        self.outbox.travels_as(shown)
    }

    /// Host and port of the server.
    pub fn server(&self) -> (&str, u16) {
        (&self.me.home.host, self.me.home.port)
    }

    /// Takes everything that is to be done, see [`Batch`]. Call it after inputs, as often as the
    /// one before is done: what gathers meanwhile becomes one commit.
    ///
    /// # Errors
    /// [`Error::Storage`] when the machine gives no randomness to seal rows: stop.
    pub fn flush(&mut self, now: Now) -> Result<Batch, Error> {
        if self.link.is_attached() {
            self.tend_groups(now);
            self.tend_presence(now);
            self.tell_own_devices_all(now);
            self.tell_profile(now);
            self.pump(now);
            if std::mem::take(&mut self.groups.gave_key) {
                self.pump(now);
            }
            self.tend_files(now);
            self.tend_finds();
            self.ask(now);
            self.send_reports();
            self.tend_list(now);
            self.tend_linking(now);
            self.acknowledge();
            self.tell_reads(now);
        }
        if self.link.takes_caught_up(self.is_read()) {
            self.say(Event::CaughtUp);
        }
        self.tell_of_devices();
        let send = self.seal_link(now);
        let mut writes = std::mem::take(&mut self.staged.writes);
        let changes = self.changes();
        let changes = self.fault.map_or(changes, Err);
        writes.extend(changes.map_err(|error| Error::Storage(error.to_string()))?);
        let events = std::mem::take(&mut self.staged.events);
        let tickets = std::mem::take(&mut self.staged.tickets);
        Ok(Batch { writes, send, link: self.staged.link.take(), tickets, events })
    }

    fn changes(&mut self) -> Result<Vec<Write>, RowError> {
        let mut writes = self.contacts.changes(&self.vault)?;
        writes.extend(self.outbox.changes(&self.vault)?);
        writes.extend(self.waiting.changes(&self.vault)?);
        writes.extend(self.groups.changes(&self.vault)?);
        writes.extend(self.commands.changes(&self.vault)?);
        writes.extend(self.transfers.changes(&self.vault)?);
        writes.extend(self.presence.changes(&self.vault)?);
        writes.extend(self.decided.changes(&self.vault)?);
        writes.extend(self.profiles.changes(self.me.device().account, &self.vault)?);
        if std::mem::take(&mut self.keys_changed) {
            writes.push(self.me.write_keys(&self.vault)?);
        }
        if std::mem::take(&mut self.list_changed) {
            writes.extend(self.me.write_lists(&self.vault)?);
        }
        if std::mem::take(&mut self.home_changed) {
            writes.push(self.me.write_home(&self.vault)?);
        }
        if std::mem::take(&mut self.counters_changed) {
            writes.push(self.me.write_counters(&self.vault)?);
        }
        Ok(writes)
    }

    /// The one table of what the server says.
    fn on_message(&mut self, message: ToClient, now: Now) {
        match message {
            ToClient::Accepted(accepted) => self.on_accepted(accepted),
            ToClient::Refused(refused) if refused.request != 0 => {
                self.on_refused_request(&refused, now);
            }
            ToClient::Refused(refused) => self.on_refused(&refused, now),
            ToClient::Deliver(deliver) => self.on_deliver(deliver, now),
            ToClient::Receipt(receipt) => self.on_receipt(receipt, now),
            ToClient::CaughtUp(caught_up) => self.on_caught_up(caught_up, now),
            ToClient::Bundles(bundles) => self.on_bundles(&bundles, now),
            ToClient::Registered(registered) => self.on_registered(&registered),
            ToClient::KeysPublished(published) => self.on_keys_published(&published),
            ToClient::DeviceListPublished(published) => self.on_list_published(&published),
            ToClient::GroupChanged(changed) => self.on_group_changed(&changed, now),
            ToClient::GroupNews(news) => self.on_group_news(&news),
            ToClient::GroupLog(log) => self.on_group_log(&log, now),
            ToClient::MediaGrant(grant) => self.on_media_grant(grant),
            ToClient::MediaNoted(noted) => self.on_media_noted(&noted),
            ToClient::Presence(presence) => self.on_presence(&presence, now),
            ToClient::Roster(roster) => self.on_roster(&roster),
            ToClient::GroupReceipt(receipt) => self.on_group_receipt(&receipt, now),
            ToClient::ReportTaken(taken) => self.on_report_taken(&taken),
            ToClient::Progress(progress) => self.on_progress(&progress),
            ToClient::GroupReadTaken(taken) => self.on_read_taken(&taken),
            ToClient::Terms(_) => {}
            ToClient::Relayed(relayed) => self.on_relayed(&relayed),
            ToClient::Goodbye(goodbye) => self.on_goodbye(goodbye, now),
        }
    }

    fn on_caught_up(&mut self, caught_up: v1::CaughtUp, now: Now) {
        self.link.caught_up();
        self.top_up(caught_up.one_time_left, now);
        // May dial anew, which forgets what was asked.
        self.take_new_early(now);
    }

    /// Whether nothing that the mailbox held waits for something else: for somebody to be known, or for
    /// the log of a group.
    fn is_read(&self) -> bool {
        self.inbox.is_empty() && !self.inbox.skips() && self.groups.are_followed()
    }

    /// Whether this device knows what the server has for it.
    pub fn is_caught_up(&self) -> bool {
        self.link.is_caught_up() && self.is_read() && self.members_are_known()
    }

    fn say(&mut self, event: Event) {
        self.staged.events.push(event);
    }

    fn warn(&mut self, kind: WarningKind, with: Option<Handle>, text: String) {
        self.say(Event::Warning { kind, with, text });
    }

    /// Why the link is stopped for good, if it is.
    pub fn stopped_because(&self) -> Option<&str> {
        self.stopped_because.as_deref().filter(|_| self.link.is_stopped())
    }

    fn next_row(&mut self) -> u64 {
        self.counters_changed = true;
        let row = self.me.counters.row;
        self.me.counters.row += 1;
        row
    }

    fn next_counter(&mut self) -> u64 {
        self.counters_changed = true;
        let counter = self.me.counters.message;
        self.me.counters.message += 1;
        counter
    }

    fn next_request(&mut self, request: Request) -> u32 {
        self.last_request = self.last_request.checked_add(1).unwrap_or(1);
        self.requests.insert(self.last_request, request);
        self.last_request
    }

    fn tidy(&mut self, now: Now) {
        let is_due = now.mono_ms >= self.tidy_at_ms;
        if is_due || self.expire_at_ms().is_some_and(|at_ms| now.mono_ms >= at_ms) {
            self.expire(now);
        }
        if now.mono_ms < self.tidy_at_ms {
            return;
        }
        self.tidy_at_ms = now.mono_ms + TIDY_MS;
        self.outbox.tidy(self.wall_ms(now));
        self.groups.tidy(self.wall_ms(now));
        self.contacts.sweep_former(self.list_ms(now));
        self.ask_again(now);
        self.give_up_early(now);
    }
}

/// What a refusal of a request or message means for us.
fn refusal_of(refused: &v1::Refused) -> Option<Refusal> {
    Refusal::from_number(refused.code)
}
