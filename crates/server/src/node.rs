//! What all parts of one server share: configuration, keys, store, registry, rates and numbers.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use godwit_actor::TreeHandle;
use godwit_base::{AccountId, Clock, DeviceId, JoinLink, limits};
use godwit_link::{ServerKeys, TicketKeys};
use godwit_store::{ListError, Store};
use godwit_wire::{Refusal, v1};

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::appointments::Appointments;
use crate::config::{Config, Policy};
use crate::door::{COME_AGAIN, COME_LATER, Crowd, Line};
use crate::ends::Ends;
use crate::handover::{Freezer, Wish};
use crate::keys::{self, KeyError, TicketTerm};
use crate::media::Media;
use crate::meters::Meters;
use crate::presence::{Moment, Presence};
use crate::quarantine::Quarantine;
use crate::rate::{Meter, Rate, RateTable};
use crate::registry::Registry;
use crate::relay::Relay;
use crate::reports::Reports;
use crate::seat::QUESTIONS_MAX;
use crate::session::{Asker, SUBMIT_AGAIN};
use crate::strangers::Strangers;
use crate::turns::Turns;

/// Device lists of one account an hour, and as many at once. The owner signs anew once a week, and
/// linking eight devices and removing them takes sixteen; but each list is a sync, and makes every
/// contact of the account seal what is under way a second time.
pub(crate) const LISTS_PER_HOUR: u32 = 20;

/// Rendezvous that a device or an address may open in an hour, and as many at once: a person links
/// eight devices at most, and whole offices stand behind one address.
pub(crate) const RENDEZVOUS_PER_HOUR: u32 = 60;

/// Claims of one address in an hour: each verifies a signature, and a person recovers one account.
pub(crate) const CLAIMS_PER_HOUR: u32 = 20;

/// Changes of groups by one account an hour, and as many at once: each is up to 1,024 small records, of
/// which one waits in a mailbox for each group, and a row of 9 KB.
pub(crate) const GROUP_CHANGES_PER_HOUR: u32 = 1_000;

/// What one account says to have read of posts, an hour, and as often at once: every three seconds, for who
/// reads along in several groups. Each names up to 64 authors, of whom each may have a row of 29 KB: an
/// account that does its worst makes the server write 0.6 MB a second.
pub(crate) const GROUP_READS_PER_HOUR: u32 = 1_200;

/// What a look-up of a handle that nobody has costs, in look-ups: at the 2,000 an hour of the default
/// 100 handles an hour can be tried out in vain. A person mistypes a few; a group's members exist.
pub(crate) const FAILED_LOOKUP_COST: u32 = 20;

/// Handles that nobody has, looked up from one network address in an hour, and as many at once: ten
/// devices that try out as much as each may, or an office of 500 whose people mistype twice. Accounts
/// are cheap (60 an hour from one address), so without it a hundred more could be tried out in the next
/// hour for each of them. The 10,000,000 mobile numbers of a small country take 14 months from one
/// address: 10,000,000 / 1,000 / 24 = 417 days.
pub(crate) const FAILED_LOOKUPS_PER_ADDRESS_PER_HOUR: u32 = 1_000;

/// Reports of one account an hour, and as many at once. A person makes one a year; each is a sync, and
/// the file of reports is bounded.
pub(crate) const REPORTS_PER_HOUR: u32 = 10;

/// One server, as its sessions and doors see it.
pub(crate) struct Node {
    pub(crate) parts: Parts,
    pub(crate) quarantine: Quarantine,
    pub(crate) relay: Relay,
    pub(crate) presence: Presence,
    pub(crate) submission_rate: Rate,
    /// Who is answered next at the door.
    pub(crate) line: Line,
    /// Whose session ends next.
    pub(crate) ends: Ends,
    /// When those may come again whom the door turned away,
    pub(crate) come_again: Appointments,
    /// and those who came when all connections were taken.
    pub(crate) come_later: Appointments,
    /// When a session may submit again for which the store had no room.
    pub(crate) submit_again: Appointments,
    /// Which turn each worker is in.
    pub(crate) turns: Turns,
    /// Questions of the operator that sessions may still be asked.
    pub(crate) questions: Arc<Semaphore>,
    /// The supervision tree, once it runs.
    pub(crate) tree: OnceLock<TreeHandle>,
    /// Told by the last part of the tree when it is up.
    pub(crate) up: Notify,
    /// Who stands at the door.
    pub(crate) crowd: Crowd,
    /// Where sessions lie that go to another process.
    pub(crate) freezer: Freezer,
    /// Held while the store is copied, which it cannot be closed in, and while it is handed over.
    pub(crate) copying: Arc<tokio::sync::Mutex<()>>,
    /// Takes the wish for an upgrade, if somebody serves it.
    pub(crate) upgrades: OnceLock<mpsc::Sender<Wish>>,
    registrations: RateTable<IpAddr>,
    rendezvous_of_strangers: RateTable<IpAddr>,
    rendezvous: RateTable<DeviceId>,
    claims: RateTable<IpAddr>,
    /// What the links of one device may submit together.
    submissions: RateTable<DeviceId>,
    lookups: RateTable<DeviceId>,
    key_fetches: RateTable<DeviceId>,
    key_fetches_of: RateTable<(DeviceId, AccountId)>,
    rotating: Mutex<()>,
    lists: RateTable<AccountId>,
    group_changes: RateTable<AccountId>,
    group_reads: RateTable<AccountId>,
    reporting: RateTable<AccountId>,
    tries: RateTable<Mark>,
    /// Of addresses, to marks: another key with each start.
    marks: RandomState,
    pub(crate) strangers: Strangers,
    pub(crate) reports: Reports,
    draining: watch::Sender<bool>,
    /// The clock when the server started.
    started_ns: u64,
    /// What the node's clock showed then: more than 0 if it goes on from another process.
    began_ns: u64,
}

/// What a node is built from.
pub(crate) struct Parts {
    pub(crate) config: Config,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Replaced when the server's key is.
    pub(crate) identity: RwLock<Arc<Identity>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tickets: RwLock<TicketKeys>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) media: Media,
    pub(crate) registry: Arc<Registry>,
    pub(crate) meters: Arc<Meters>,
}

/// Who this server is to others.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) keys: ServerKeys,
    pub(crate) join: JoinLink,
    /// The web address.
    pub(crate) http: String,
    /// The first eight hex digits of the key.
    pub(crate) name: String,
}

impl Identity {
    /// The identity of a server that listens on `address`.
    pub(crate) fn new(config: &Config, keys: ServerKeys, address: SocketAddr) -> Self {
        let reachable = match (address.ip(), address.port()) {
            // "Everywhere" is no address to dial: show the one that works on this machine.
            (IpAddr::V4(ip), port) if ip.is_unspecified() => format!("127.0.0.1:{port}"),
            (IpAddr::V6(ip), port) if ip.is_unspecified() => format!("[::1]:{port}"),
            _ => address.to_string(),
        };
        let shown = config.public_address.clone().unwrap_or(reachable);
        let key = keys.current().public();
        let (host, port) = shown.rsplit_once(':').unwrap_or((&shown, ""));
        let join = JoinLink {
            host: host.to_owned(),
            port: port.parse().unwrap_or(address.port()),
            server_key: key.0,
        };
        let name = name_of(&keys);
        Self { keys, join, http: format!("http://{shown}"), name }
    }

    /// The same server with other keys.
    fn with(&self, keys: ServerKeys) -> Self {
        let server_key = keys.current().public().0;
        let join = JoinLink { server_key, ..self.join.clone() };
        Self { name: name_of(&keys), keys, join, http: self.http.clone() }
    }
}

/// What a server with these keys is called: the first eight hex digits of the present one.
pub(crate) fn name_of(keys: &ServerKeys) -> String {
    format!("{:08x}", u32::from_be_bytes(keys.current().public().hint()))
}

impl Deref for Node {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Node {
    /// Its clock begins there: at 0, or where that of another process ended.
    pub(crate) fn new(parts: Parts, began_ns: u64) -> Self {
        let rate = &parts.config.rate;
        let submission_rate = Rate::per_second(rate.submissions_per_s, rate.submissions_burst);
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        Self {
            line: Line::new(workers, parts.config.session.handshakes_max),
            ends: Ends::new(workers),
            come_again: Appointments::new(COME_AGAIN),
            come_later: Appointments::new(COME_LATER),
            submit_again: Appointments::new(SUBMIT_AGAIN),
            submission_rate,
            submissions: RateTable::new(submission_rate),
            lookups: RateTable::new(Rate::per_hour(rate.lookups_per_hour)),
            registrations: RateTable::new(Rate::per_hour(rate.registrations_per_hour)),
            key_fetches: RateTable::new(Rate::per_hour(rate.key_fetches_per_hour)),
            key_fetches_of: RateTable::new(Rate::per_hour(rate.key_fetches_per_account_per_hour)),
            lists: RateTable::new(Rate::per_hour(LISTS_PER_HOUR)),
            rendezvous_of_strangers: RateTable::new(Rate::per_hour(RENDEZVOUS_PER_HOUR)),
            rendezvous: RateTable::new(Rate::per_hour(RENDEZVOUS_PER_HOUR)),
            claims: RateTable::new(Rate::per_hour(CLAIMS_PER_HOUR)),
            group_changes: RateTable::new(Rate::per_hour(GROUP_CHANGES_PER_HOUR)),
            group_reads: RateTable::new(Rate::per_hour(GROUP_READS_PER_HOUR)),
            reporting: RateTable::new(Rate::per_hour(REPORTS_PER_HOUR)),
            tries: RateTable::new(Rate::per_hour(FAILED_LOOKUPS_PER_ADDRESS_PER_HOUR)),
            marks: RandomState::new(),
            strangers: Strangers::new(rate.new_conversations_per_day),
            reports: Reports::of(&parts.data),
            quarantine: Quarantine::default(),
            relay: Relay::default(),
            presence: Presence::new(parts.meters.presences_held.clone()),
            turns: Turns::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            tree: OnceLock::new(),
            up: Notify::new(),
            crowd: Crowd::new(parts.config.session.handshakes_max),
            freezer: Freezer::default(),
            copying: Arc::default(),
            upgrades: OnceLock::new(),
            rotating: Mutex::default(),
            draining: watch::Sender::new(false),
            started_ns: parts.clock.monotonic_ns(),
            began_ns,
            parts,
        }
    }

    /// Who this server is now.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new server key, on disk and then for every handshake from now on; the present one
    /// stays valid, the one before it does not. Live links are not touched. Waits for the disk.
    ///
    /// # Errors
    /// The key file cannot be read or written; nothing has changed then.
    pub(crate) fn rotate_server_key(&self) -> Result<Arc<Identity>, KeyError> {
        // Held throughout: two at once would end with one key on disk and another in use.
        let _one_at_a_time = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys::rotate_server_key(&self.data)?;
        let next = Arc::new(self.identity().with(keys));
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok(next)
    }

    /// Nanoseconds since the server started, upgrades not counted as a start; never goes back.
    pub(crate) fn now_ns(&self) -> u64 {
        let here_ns = self.clock.monotonic_ns().saturating_sub(self.started_ns);
        self.began_ns.saturating_add(here_ns)
    }

    /// Milliseconds since the server started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// Seconds since the server started.
    pub(crate) fn now_s(&self) -> u32 {
        Self::seconds(self.now_ns())
    }

    /// Now, as presence counts it.
    pub(crate) fn moment(&self) -> Moment {
        Moment { s: self.now_s(), unix_ms: self.clock.unix_ms() }
    }

    /// A time of [`Node::now_ns`] in seconds.
    pub(crate) fn seconds(now_ns: u64) -> u32 {
        u32::try_from(now_ns / 1_000_000_000).unwrap_or(u32::MAX)
    }

    /// Whether the server goes down and takes nobody new.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.send_replace(draining);
    }

    /// For who must not come before it is over.
    #[cfg(test)]
    pub(crate) fn watch_draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// When one client may come back after this server went down: each gets another time.
    pub(crate) fn reconnect_after_ms(&self) -> u32 {
        rand::random_range(0..=self.config.drain.reconnect_spread_ms).max(1)
    }

    pub(crate) fn invite_only(&self) -> bool {
        self.config.admission.policy == Policy::Invite
    }

    /// Whether this address may register now; else when. Loopback always may: tests, tools and a
    /// reverse proxy on the same machine come from there.
    pub(crate) fn allow_registration(&self, address: IpAddr) -> Result<(), u32> {
        if address.to_canonical().is_loopback() {
            return Ok(());
        }
        self.registrations.take(prefix(address), self.now_ns())
    }

    /// Whether the asker may open a rendezvous now; else when. Loopback as in
    /// [`Node::allow_registration`].
    pub(crate) fn allow_rendezvous(&self, asker: Asker) -> Result<(), u32> {
        match asker {
            Asker::Device(device) => self.rendezvous.take(device, self.now_ns()),
            Asker::Address(address) if address.to_canonical().is_loopback() => Ok(()),
            Asker::Address(address) => {
                self.rendezvous_of_strangers.take(prefix(address), self.now_ns())
            }
        }
    }

    /// Whether this address may claim an account now; else when. Loopback as in
    /// [`Node::allow_registration`].
    pub(crate) fn allow_claim(&self, address: IpAddr) -> Result<(), u32> {
        if address.to_canonical().is_loopback() {
            return Ok(());
        }
        self.claims.take(prefix(address), self.now_ns())
    }

    /// The meter of a link whose device submits for the first time on it: dialling anew buys no new
    /// burst. Asked once a link, never a message.
    pub(crate) fn submission_meter(&self, device: DeviceId, now_ns: u64) -> Meter {
        self.submissions.begin(device, now_ns)
    }

    /// Lets go of what the tables of rates need no longer.
    pub(crate) fn forget_rates(&self) {
        let now_ns = self.now_ns();
        self.submissions.forget_fresh(now_ns);
        self.media.forget_rates(now_ns);
        self.registrations.forget_fresh(now_ns);
        self.rendezvous_of_strangers.forget_fresh(now_ns);
        self.rendezvous.forget_fresh(now_ns);
        self.claims.forget_fresh(now_ns);
        self.lookups.forget_fresh(now_ns);
        self.key_fetches.forget_fresh(now_ns);
        self.key_fetches_of.forget_fresh(now_ns);
        self.group_changes.forget_fresh(now_ns);
        self.group_reads.forget_fresh(now_ns);
        self.reporting.forget_fresh(now_ns);
        self.tries.forget_fresh(now_ns);
        self.strangers.forget_fresh(now_ns);
    }

    /// Whether the asker may look somebody up now; else when.
    pub(crate) fn allow_lookup(&self, asker: DeviceId) -> Result<(), u32> {
        self.lookups.take(asker, self.now_ns())
    }

    /// What a session keeps of where it comes from.
    pub(crate) fn mark_of(&self, address: IpAddr) -> Option<Mark> {
        // Loopback as in `allow_registration`.
        (!address.to_canonical().is_loopback()).then(|| {
            let hash = self.marks.hash_one(prefix(address)) >> 32;
            Mark(NonZeroU32::MIN.saturating_add(u32::try_from(hash).unwrap_or(0)))
        })
    }

    /// Whether handles may be looked up from there now, whoever has them; else when. Were it asked only
    /// of those that nobody has, the refusal itself would tell.
    pub(crate) fn allow_handles(&self, from: Option<Mark>) -> Result<(), u32> {
        from.map_or(Ok(()), |mark| self.tries.may_take(&mark, self.now_ns()))
    }

    /// The asker looked up a handle that nobody has: that costs more, and is counted for where the
    /// asker comes from.
    pub(crate) fn lookup_failed(&self, asker: DeviceId, from: Option<Mark>) {
        let now_ns = self.now_ns();
        self.lookups.owe(asker, FAILED_LOOKUP_COST.saturating_sub(1), now_ns);
        if let Some(mark) = from {
            self.tries.owe(mark, 1, now_ns);
        }
    }

    /// Whether the account may report somebody now; else when.
    pub(crate) fn allow_report(&self, account: AccountId) -> Result<(), u32> {
        self.reporting.take(account, self.now_ns())
    }

    /// A report was decided: one log line and its counter.
    pub(crate) fn reported(&self, by: DeviceId, refusal: Option<Refusal>) {
        let kind = refusal.map_or("stored", Refusal::name);
        Meters::count(&self.meters.reports, kind);
        tracing::debug!(%by, kind, "report");
    }

    /// Whether the asker may take one-time keys of that account now, or gets the fallback key only.
    pub(crate) fn allow_key_fetch(&self, asker: DeviceId, of: AccountId) -> bool {
        let now_ns = self.now_ns();
        self.key_fetches_of.take((asker, of), now_ns).is_ok()
            && self.key_fetches.take(asker, now_ns).is_ok()
    }

    /// Whether the account may publish a device list now; else when.
    pub(crate) fn allow_list(&self, account: AccountId) -> Result<(), u32> {
        self.lists.take(account, self.now_ns())
    }

    /// Whether the account may change a group now; else when.
    pub(crate) fn allow_group_change(&self, account: AccountId) -> Result<(), u32> {
        self.group_changes.take(account, self.now_ns())
    }

    /// Whether the account may say now what it has read of posts; else when.
    pub(crate) fn allow_group_read(&self, account: AccountId) -> Result<(), u32> {
        self.group_reads.take(account, self.now_ns())
    }

    /// A device list was decided: one log line and its counter.
    pub(crate) fn list_replaced(&self, by: DeviceId, version: u64, error: Option<&ListError>) {
        match error {
            None => {
                Meters::count(&self.meters.lists, "stored");
                tracing::debug!(%by, version, "device list stored");
            }
            Some(error) => {
                Meters::count(&self.meters.lists, "refused");
                tracing::debug!(%by, version, %error, "device list refused");
            }
        }
    }

    /// An account was claimed: one log line and its counter.
    pub(crate) fn claimed(&self, outcome: Result<AccountId, Refusal>) {
        match outcome {
            Ok(account) => {
                Meters::count(&self.meters.claims, "granted");
                tracing::info!(%account, "account claimed by its key");
            }
            Err(refusal) => {
                Meters::count(&self.meters.claims, refusal.name());
                tracing::debug!(refusal = refusal.name(), "claim refused");
            }
        }
    }

    /// A registration was decided: one log line and its counter.
    pub(crate) fn registered(&self, outcome: Result<DeviceId, Refusal>) {
        match outcome {
            Ok(device) => {
                Meters::count(&self.meters.registrations, "registered");
                tracing::info!(%device, "account registered");
            }
            Err(refusal) => {
                Meters::count(&self.meters.registrations, refusal.name());
                tracing::debug!(refusal = refusal.name(), "registration refused");
            }
        }
    }

    /// What this server admits and keeps.
    pub(crate) fn terms(&self, request: u32) -> v1::Terms {
        let mailbox = &self.config.mailbox;
        let admission =
            if self.invite_only() { v1::Admission::Invite } else { v1::Admission::Open };
        v1::Terms {
            request,
            admission: admission.into(),
            frame_bytes_max: u32::try_from(limits::FRAME_BYTES_MAX).unwrap_or(u32::MAX),
            mailbox_records_max: u32::try_from(mailbox.records_max).unwrap_or(u32::MAX),
            mailbox_bytes_max: mailbox.bytes_max,
            expiry_days: u32::try_from(mailbox.expiry_days).unwrap_or(u32::MAX),
        }
    }

    /// Changes the key of resumption tickets if it is due. Waits for the disk.
    pub(crate) fn renew_tickets(&self) {
        fail::fail_point!("server::tickets");
        match keys::renew_ticket_keys(&self.data, self.ticket_term()) {
            Ok(None) => {}
            Ok(Some(tickets)) => {
                *self.tickets.write().unwrap_or_else(PoisonError::into_inner) = tickets;
                tracing::info!("ticket key changed");
            }
            Err(error) => tracing::warn!(%error, "the ticket key stays as it is"),
        }
    }

    fn ticket_term(&self) -> TicketTerm {
        ticket_term(&self.config, &*self.clock)
    }

    /// A fresh resumption ticket for this link key; none if the machine gives no randomness, and the
    /// client then makes the full handshake again.
    pub(crate) fn ticket(&self, peer: &godwit_link::PublicKey) -> Option<(Vec<u8>, u64)> {
        let TicketTerm { now_ms, key_ms } = self.ticket_term();
        let expires_ms = now_ms.saturating_add(key_ms);
        let tickets = self.tickets.read().unwrap_or_else(PoisonError::into_inner);
        tickets.issue(peer, expires_ms).ok().map(|ticket| (ticket, expires_ms))
    }
}

/// How long a key of tickets is used, counted from now: as long as a ticket is good for.
pub(crate) fn ticket_term(config: &Config, clock: &dyn Clock) -> TicketTerm {
    TicketTerm { now_ms: clock.unix_ms(), key_ms: config.link.ticket_hours * 3_600_000 }
}

/// A network address, hashed: a session has 4 bytes to spare for it. Of 65,536 addresses, as many as
/// are counted, two share one by chance in one start of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark(NonZeroU32);

impl Mark {
    /// Never 0.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }

    /// The mark with this number; 0 is none.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// An IPv6 host has a whole /64 to itself: its addresses share one rate.
pub(crate) fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            std::net::Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_share_a_rate() {
        let same = |a: &str, b: &str| prefix(a.parse().unwrap()) == prefix(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
