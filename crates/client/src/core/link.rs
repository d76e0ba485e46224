//! The life of the link: dial, shake hands, attach, keep alive, lose it, dial again.

use godwit_base::limits::KEEPALIVE_S;
use godwit_link::Ticket;
use godwit_wire::frame::KEEPALIVE;
use godwit_wire::{Refusal, ToServer, v1};

use super::Core;
use super::asking::Request;
use super::backoff::Backoff;
use super::channel::{Arrived, Channel, Ends};
use super::now::Now;
use super::outbox::{Kind, Outgoing, Target};
use super::output::LinkOrder;
use super::pace::Paces;
use super::vault::Secret;
use crate::{ConnectionState, Error, Event, Failure, WarningKind};

/// An answer that does not come within this time means that the link is dead, 20 s: on a 2G line
/// with 600 ms and losses it comes within five.
const ANSWER_MS: u64 = 20_000;

/// What the server may say without an answer before this side says that it is there, beyond the interval: half of
/// what the server named. A pass over the quiet ones takes three quarters of it, and it closes who was silent for
/// the interval and one and a half times of it, so a quarter is left for the way.
const fn unsaid_ms(base_ms: u64) -> u64 {
    base_ms / 2
}

/// Bounds on the keepalive intervals that a server may name: an hour of quiet is a dead link, and more
/// than one byte in five seconds is a waste.
const KEEPALIVE_MS: std::ops::RangeInclusive<u64> = 5_000..=3_600_000;

/// The two clocks of a machine drift apart by less than this between two keepalives, 10 s, unless it sleeps.
const SLEPT_MS: u64 = 10_000;

/// A clock that differs more from the server's is worth a warning, and is corrected: 1 hour, which
/// is also the commonest mistake (daylight saving).
pub(crate) const SKEW_MS: u64 = 3_600_000;

/// How long to stay away after a refusal in the clear that names no delay, 1 minute: as long as the
/// longest delay of our own accord. A server that means it is asked once a minute.
const REFUSED_MS: u64 = 60_000;

/// Longest delay that a refusal in the clear is believed, 1 hour: twice the longest quarantine.
const UNSIGNED_WAIT_MAX_MS: u64 = 3_600_000;

/// The link and when it must act.
pub(super) struct Link {
    state: State,
    backoff: Backoff,
    sent_at_ms: u64,
    /// By the wall clock, which goes on while the machine sleeps.
    sent_wall_ms: u64,
    received_at_ms: u64,
    paces: Paces,
    /// How quiet the link was before the bytes to which nothing has come yet: the longest such time.
    quiet_before_ms: Option<u64>,
    /// Since when a keepalive is not answered.
    probed_at_ms: Option<u64>,
    /// Since when an answer is awaited and nothing at all has come.
    awaiting_since_ms: Option<u64>,
    /// Server's clock less ours, when it was last told.
    skew_ms: i64,
    /// What the server's clock said then, and our monotonic one.
    server_said: Option<(u64, u64)>,
    has_warned_of_skew: bool,
    is_caught_up: bool,
    /// The user is still to be told so, as soon as nothing of the backlog is held.
    owes_caught_up: bool,
}

enum State {
    /// Not before the user acts.
    Stopped,
    Waiting {
        until_ms: u64,
    },
    Dialling {
        since_ms: u64,
    },
    Shaking {
        channel: Channel,
        resumes: bool,
    },
    /// Welcomed; registers, or learns which account it has.
    Joining(Channel),
    Attached(Channel),
}

impl Link {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: State::Stopped,
            backoff: Backoff::new(seed),
            sent_at_ms: 0,
            sent_wall_ms: 0,
            received_at_ms: 0,
            paces: Paces::new(u64::from(KEEPALIVE_S) * 1_000),
            quiet_before_ms: None,
            probed_at_ms: None,
            awaiting_since_ms: None,
            skew_ms: 0,
            server_said: None,
            has_warned_of_skew: false,
            is_caught_up: false,
            owes_caught_up: false,
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        matches!(self.state, State::Attached(_))
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    /// The link has proved itself.
    pub(super) fn caught_up(&mut self) {
        self.is_caught_up = true;
        self.owes_caught_up = true;
        self.backoff.reset();
    }

    /// Whether to tell the user now that the backlog has come: once, when nothing of it is held.
    pub(super) fn takes_caught_up(&mut self, nothing_is_held: bool) -> bool {
        nothing_is_held && std::mem::take(&mut self.owes_caught_up)
    }

    fn channel(&mut self) -> Option<&mut Channel> {
        match &mut self.state {
            State::Shaking { channel, .. } | State::Joining(channel) | State::Attached(channel) => {
                Some(channel)
            }
            _ => None,
        }
    }

    /// When a keepalive is due: nothing went either way for the interval; or the server would hear nothing for too
    /// long, because all that went was its own.
    fn quiet_at_ms(&self) -> u64 {
        let heard_ms = self.received_at_ms.min(self.sent_at_ms + unsaid_ms(self.paces.base_ms()));
        heard_ms.max(self.sent_at_ms) + self.paces.interval_ms()
    }

    /// When to ask whether anybody is there, although this side spoke: the other one has not for so long, and half
    /// of the server's interval more, in which the usual keepalive goes out.
    fn unheard_at_ms(&self) -> Option<u64> {
        let limit_ms = self.paces.interval_ms() + self.paces.base_ms() / 2;
        self.probed_at_ms.is_none().then_some(self.received_at_ms + limit_ms)
    }

    /// An answer to a keepalive takes three quarters of the server's interval, and as long again on a slow network.
    fn dead_at_ms(&self) -> Option<u64> {
        self.probed_at_ms.map(|probed_ms| probed_ms + self.paces.base_ms() * 3 / 2)
    }

    /// Keepalives that are due beside `out`. One waits for the server's next pass over who is quiet; two are answered
    /// at once.
    fn keepalives(&self, out: &[u8], now: Now) -> usize {
        if out.is_empty() && self.quiet_at_ms() <= now.mono_ms {
            1
        } else if self.unheard_at_ms().is_some_and(|at_ms| at_ms <= now.mono_ms) {
            2
        } else {
            0
        }
    }

    /// The longest time for which nothing went either way, up to now, since something came.
    fn quiet_ms(&self, now: Now) -> u64 {
        let last_ms = self.sent_at_ms.max(self.received_at_ms);
        now.mono_ms.saturating_sub(last_ms).max(self.quiet_before_ms.unwrap_or(0))
    }

    /// Whether this machine slept since it last said something: the network had nothing to keep then.
    fn slept(&self, now: Now) -> bool {
        let awake_ms = now.mono_ms.saturating_sub(self.sent_at_ms);
        now.wall_ms.saturating_sub(self.sent_wall_ms) > awake_ms + SLEPT_MS
    }

    /// Something came. Returns whether a longer interval is used from now on.
    fn heard(&mut self, now: Now) -> bool {
        self.received_at_ms = now.mono_ms;
        self.probed_at_ms = None;
        // A part of the welcome is no answer: nobody asks by keepalives yet whether the rest will come.
        if !matches!(self.state, State::Shaking { .. }) {
            self.awaiting_since_ms = None;
        }
        let quiet_ms = self.quiet_before_ms.take();
        let was_whole = quiet_ms.is_some_and(|quiet_ms| quiet_ms >= self.paces.interval_ms());
        was_whole && self.paces.answered(now.mono_ms)
    }

    /// The wall clock, corrected by the server's if the two differ by much.
    pub(super) fn wall_ms(&self, now: Now) -> u64 {
        if self.skew_ms.unsigned_abs() < SKEW_MS {
            now.wall_ms
        } else {
            now.wall_ms.saturating_add_signed(self.skew_ms)
        }
    }

    /// The time by which device lists are signed and judged: as [`wall_ms`](Self::wall_ms), but a
    /// clock that somebody sets while the link is up does not move it either.
    pub(super) fn list_ms(&self, now: Now) -> u64 {
        let Some((server_ms, at_ms)) = self.server_said else { return now.wall_ms };
        let server_ms = server_ms.saturating_add(now.mono_ms.saturating_sub(at_ms));
        judged_ms(now.wall_ms, server_ms)
    }
}

/// The time by which device lists are judged: this machine's, unless it is far from the server's.
pub(crate) const fn judged_ms(mine_ms: u64, server_ms: u64) -> u64 {
    if server_ms.abs_diff(mine_ms) < SKEW_MS { mine_ms } else { server_ms }
}

impl Core {
    /// Lets the link be made; the first [`tick`](Self::tick) dials.
    pub fn start(&mut self, now: Now) {
        if self.link.is_stopped() {
            self.is_revoked = false; // the next welcome says
            self.link.state = State::Waiting { until_ms: now.mono_ms };
        }
    }

    /// Ends the delay before the next attempt; the next [`tick`](Self::tick) dials. The delays after
    /// it go on growing.
    pub fn dial_now(&mut self, now: Now) {
        if let State::Waiting { until_ms } = &mut self.link.state {
            *until_ms = now.mono_ms;
        }
    }

    /// Whether something waits that the link, up or on its way up, may still take: messages, or that
    /// something was read or fetched.
    pub fn has_unsent(&self) -> bool {
        let may_come = !matches!(self.link.state, State::Stopped | State::Waiting { .. });
        let has_message = self.outbox.pending().next().is_some();
        let owes = self.transfers.owes() || self.groups.owe_reads() || self.presence.owes_server();
        may_come && (has_message || owes || self.owes_a_no())
    }

    /// Whether what the user set has left this device: the server was told who may see when we are here, and
    /// has every message with our profile, and those to our other devices.
    pub fn is_told(&self) -> bool {
        let own = Target::Account(self.me.device().account);
        let tells = |message: &Outgoing| message.kind == Kind::Quiet || message.target == own;
        let is_going = self.outbox.pending().any(|(_, message)| tells(message));
        self.link.is_attached()
            && !self.presence.owes_server()
            && self.profiles.is_told()
            && !is_going
    }

    /// Names the network through which the next connection goes, by whatever tells networks apart; how long a link
    /// may be quiet is learned for each. A driver that does not know calls this never.
    pub fn goes_through(&mut self, network: u64) {
        self.link.paces.goes_through(network);
    }

    /// The connection that was ordered is there.
    pub fn connected(&mut self, now: Now) {
        if !matches!(self.link.state, State::Dialling { .. }) {
            return;
        }
        let wall_ms = self.wall_ms(now);
        // Durable before the ticket is used: after a crash it is not used again.
        self.home_changed |= self.me.home.ticket.is_some();
        let ticket = self.me.home.ticket.take().filter(|(_, expires_ms)| *expires_ms > wall_ms);
        let ticket = ticket.and_then(|(ticket, _)| Ticket::from_welcome(ticket.bytes()).ok());
        let ends =
            Ends { me: &self.me.link_key, server: self.me.server(), ticket: ticket.as_ref() };
        match Channel::open(&ends) {
            Ok((channel, first)) => {
                self.link.state = State::Shaking { channel, resumes: ticket.is_some() };
                self.link.received_at_ms = now.mono_ms;
                (self.link.quiet_before_ms, self.link.probed_at_ms) = (None, None);
                self.link.awaiting_since_ms = Some(now.mono_ms);
                self.staged.raw.extend_from_slice(&first);
            }
            Err(error) => self.stop_link(&error.to_string()),
        }
    }

    /// Bytes from the server, in any pieces.
    pub fn on_bytes(&mut self, bytes: &[u8], now: Now) {
        if self.link.heard(now) {
            self.name_interval();
        }
        let mut arrived = Vec::new();
        let Some(channel) = self.link.channel() else { return };
        let result = channel.receive(bytes, |one| arrived.push(one));
        for one in arrived {
            match one {
                Arrived::Welcome(welcome) => self.on_welcome(&welcome, now),
                Arrived::Refused { code, retry_after_ms } => {
                    self.on_refused_link(code.into(), retry_after_ms, now);
                }
                Arrived::Message(message) if self.link.channel().is_some() => {
                    self.on_message(message, now);
                }
                Arrived::Message(_) => {}
            }
        }
        if let (Err(error), Some(_)) = (result, self.link.channel()) {
            self.lose_link(&error.to_string(), 0, now);
        }
    }

    /// The connection ended or could not be made.
    pub fn disconnected(&mut self, reason: &str, now: Now) {
        if self.link.is_attached() && !self.link.slept(now) {
            self.link.paces.closed(self.link.quiet_ms(now), now.mono_ms);
        }
        if self.link.channel().is_some() || matches!(self.link.state, State::Dialling { .. }) {
            self.lose_link(reason, 0, now);
        }
    }

    /// Does what is due. Call it at [`deadline`](Self::deadline) or whenever.
    pub fn tick(&mut self, now: Now) {
        match self.link.state {
            State::Waiting { until_ms } if until_ms <= now.mono_ms => {
                self.link.state = State::Dialling { since_ms: now.mono_ms };
                self.staged.link = Some(LinkOrder::Dial);
                self.say(Event::Connection(ConnectionState::Connecting));
            }
            State::Dialling { since_ms } if since_ms + ANSWER_MS <= now.mono_ms => {
                self.lose_link("the server does not answer", 0, now);
            }
            _ => self.check_silence(now),
        }
        self.tidy(now);
    }

    /// When [`tick`](Self::tick) has something to do, by the monotonic clock.
    pub fn deadline(&self) -> Option<u64> {
        let link = match &self.link.state {
            State::Stopped => None,
            State::Waiting { until_ms } => Some(*until_ms),
            State::Dialling { since_ms } => Some(since_ms + ANSWER_MS),
            _ => {
                let (quiet, unheard) = (self.link.quiet_at_ms(), self.link.unheard_at_ms());
                let dead = self.link.dead_at_ms();
                let answer = self.link.awaiting_since_ms.map(|since| since + ANSWER_MS);
                let earliest = answer.into_iter().chain(unheard).chain(dead).fold(quiet, u64::min);
                let attached = self.link.is_attached();
                let paused = self.outbox_paused_until_ms.filter(|_| attached);
                let lookup = self.lookups.due_ms().filter(|_| attached);
                let group = self.groups.due_ms().filter(|_| attached);
                let ticket = self.transfers.due_ms().filter(|_| attached);
                let presence = self.presence.due_ms().filter(|_| attached);
                let linking = self.linking_due_ms().filter(|_| attached);
                [paused, lookup, group, ticket, presence, linking]
                    .into_iter()
                    .flatten()
                    .chain([earliest])
                    .min()
            }
        };
        link.into_iter().chain([self.tidy_at_ms]).chain(self.expire_at_ms()).min()
    }

    fn check_silence(&mut self, now: Now) {
        if self.link.channel().is_none() {
            return;
        }
        let answer_is_late =
            self.link.awaiting_since_ms.is_some_and(|since| since + ANSWER_MS <= now.mono_ms);
        let is_dead = self.link.dead_at_ms().is_some_and(|dead_ms| dead_ms <= now.mono_ms);
        if answer_is_late || is_dead {
            if let Some(quiet_ms) = self.link.quiet_before_ms.filter(|_| !self.link.slept(now)) {
                self.link.paces.died(quiet_ms, now.mono_ms);
            }
            self.lose_link("the server went silent", 0, now);
        }
    }

    fn on_welcome(&mut self, welcome: &v1::Welcome, now: Now) {
        let State::Shaking { channel, .. } =
            std::mem::replace(&mut self.link.state, State::Stopped)
        else {
            return;
        };
        self.link.state = State::Joining(channel);
        self.link.awaiting_since_ms = None;
        self.read_clock(welcome.time_ms, now);
        let [base_ms, longest_ms] = [welcome.keepalive_s, welcome.keepalive_max_s]
            .map(|s| (u64::from(s) * 1_000).clamp(*KEEPALIVE_MS.start(), *KEEPALIVE_MS.end()));
        self.link.paces.welcomed(base_ms, longest_ms, now.mono_ms);
        if !welcome.ticket.is_empty() {
            let ticket = Secret::of(&welcome.ticket);
            self.me.home.ticket = Some((ticket, welcome.ticket_expires_ms));
            self.home_changed = true;
        }
        let is_ours = welcome.account == self.me.device().account.0
            && welcome.device == self.me.device().number.0;
        match welcome.standing() {
            v1::Standing::Device if is_ours && self.is_older_than(welcome) => self.on_older(),
            v1::Standing::Device if is_ours && self.me.home.joined => {
                self.submit_again(welcome.highest_counter);
                self.attach();
            }
            v1::Standing::Device if is_ours => self.ask_own_handle(),
            v1::Standing::Stranger if !self.me.home.joined => self.register(now),
            v1::Standing::Revoked => self.on_revoked(now),
            _ => self.stop_link(
                "the server does not know this device: it lost its data, or this home was copied",
            ),
        }
    }

    /// Whether the server has accepted a message of this device that this home never submitted: the
    /// home was put back from a copy, and another of its lives has used its counters and ratchets.
    fn is_older_than(&self, welcome: &v1::Welcome) -> bool {
        let highest = welcome.highest_counter;
        let unsealed = |message: &Outgoing| !message.is_sealed();
        highest >= self.me.counters.message || self.outbox.get(highest).is_some_and(unsealed)
    }

    /// A server that has not accepted what it ticked was put back from a backup: all that it lost of this
    /// device is submitted again.
    fn submit_again(&mut self, highest: u64) {
        let count = self.outbox.take_back(highest);
        if count > 0 {
            let text = format!(
                "the server has lost what it had accepted from this device last: {count} messages are \
                 sent again. Whoever has one already is not shown it twice"
            );
            self.warn(WarningKind::Server, None, text);
        }
    }

    /// Nothing is sent, so that no key is used twice; nothing is taken, so that the mailbox stays
    /// whole for the newer copy.
    fn on_older(&mut self) {
        let text = "this home was put back from a copy: messages that it does not know were sent \
                    from it since. It sends nothing, because it would use their keys again. \
                    Use the newest copy, or join anew with another home; the history stays here";
        self.warn(WarningKind::Restored, None, text.to_owned());
        self.stop_link(
            "this home is an older copy of itself: use the newest, or join anew with another home",
        );
    }

    /// Takes the mailbox.
    pub(super) fn attach(&mut self) {
        if let State::Joining(channel) = std::mem::replace(&mut self.link.state, State::Stopped) {
            self.link.state = State::Attached(channel);
            self.staged.messages.push(ToServer::Attach(v1::Attach {}));
            if self.link.paces.interval_ms() != self.link.paces.base_ms() {
                self.name_interval();
            }
            self.say(Event::Connection(ConnectionState::Online));
        }
    }

    /// Tells the server how long this device is quiet from now on.
    fn name_interval(&mut self) {
        let seconds =
            u32::try_from(self.link.paces.interval_ms().div_ceil(1_000)).unwrap_or(u32::MAX);
        self.staged.messages.push(v1::KeepaliveInterval { seconds }.into());
    }

    fn read_clock(&mut self, server_ms: u64, now: Now) {
        let skew = i128::from(server_ms) - i128::from(now.wall_ms);
        self.link.skew_ms = i64::try_from(skew).unwrap_or(0);
        self.link.server_said = Some((server_ms, now.mono_ms));
        if self.link.skew_ms.unsigned_abs() >= SKEW_MS && !self.link.has_warned_of_skew {
            self.link.has_warned_of_skew = true;
            let (hours, side) = (
                self.link.skew_ms.unsigned_abs() / 3_600_000,
                if self.link.skew_ms > 0 { "behind" } else { "ahead of" },
            );
            let text = format!(
                "this machine's clock is {hours} h {side} the server's: set it; until then the \
                 server's time is used. If the clock is right, the server lies, and may hide that a \
                 contact removed a device"
            );
            self.warn(WarningKind::Clock, None, text);
        }
    }

    /// A refusal in the clear: anybody on the way may have written it. It is believed as far as to
    /// shake hands in full, once, and to wait; never so far as to give the server up.
    fn on_refused_link(&mut self, code: u32, retry_after_ms: u32, now: Now) {
        let resumes = matches!(self.link.state, State::Shaking { resumes: true, .. });
        let refusal = Refusal::from_number(code);
        let is_final = retry_after_ms == 0 && refusal.is_none_or(|refusal| !refusal.retryable());
        if resumes && is_final {
            return self.redial(now);
        }
        if is_final && !self.me.home.joined {
            self.link_refused_to_join(code, refusal);
        }
        let text = refusal.map_or("the server refused the link", Refusal::text);
        let (reason, floor_ms) = match refusal {
            Some(refusal) if is_final => (format!("{text}: {}", refusal.advice()), REFUSED_MS),
            _ if is_final => (text.to_owned(), REFUSED_MS),
            _ => (text.to_owned(), u64::from(retry_after_ms).min(UNSIGNED_WAIT_MAX_MS)),
        };
        self.lose_link(&reason, floor_ms, now);
    }

    /// The server says that it closes the link.
    pub(super) fn on_goodbye(&mut self, goodbye: v1::Goodbye, now: Now) {
        let refusal = Refusal::from_number(goodbye.code);
        let reason = refusal.map_or("the server closed the link", Refusal::text);
        match refusal {
            Some(Refusal::DeviceRevoked) => self.on_revoked(now),
            Some(Refusal::Displaced) => {
                let text = "another process with this home's keys took over the link: \
                            a home must never be copied; use one of the two and delete the other";
                self.warn(WarningKind::Displaced, None, text.to_owned());
                self.stop_link(reason);
            }
            Some(refusal) if goodbye.reconnect_after_ms == 0 && !refusal.retryable() => {
                self.stop_link(&format!("{reason}: {}", refusal.advice()));
            }
            _ => self.lose_link(reason, goodbye.reconnect_after_ms.into(), now),
        }
    }

    /// What the user said here and the server has not taken fails: it can be said again from another device.
    /// What went out before and was not answered may have been taken, and is told apart; what was
    /// answered is no longer pending.
    fn on_revoked(&mut self, now: Now) {
        let text = "this device was removed from its account: its history stays, \
                    join anew with another home";
        self.warn(WarningKind::Revoked, None, text.to_owned());
        self.stop_link(text);
        self.is_revoked = true;
        let is_said = |message: &Outgoing| matches!(message.kind, Kind::Shown | Kind::About);
        let failure = |message: &Outgoing| match message.is_sealed() {
            true => Failure::Unanswered, // it was submitted, on this link or another
            false => Failure::Revoked,
        };
        let said = self.outbox.pending().filter(|(_, message)| is_said(message));
        let said: Vec<_> = said.map(|(counter, message)| (counter, failure(message))).collect();
        said.into_iter().for_each(|(counter, failure)| self.fail(counter, failure, now));
        self.fail_files(&Error::Revoked);
        self.fail_wishes(&Error::Revoked);
        self.fail_finds(&Error::Revoked);
    }

    /// Closes the link and dials again at once.
    pub(super) fn redial(&mut self, now: Now) {
        self.close_link();
        self.link.state = State::Waiting { until_ms: now.mono_ms };
    }

    /// Closes the link and dials again after a while.
    pub(super) fn lose_link(&mut self, reason: &str, floor_ms: u64, now: Now) {
        self.close_link();
        let delay_ms = self.link.backoff.next_ms(floor_ms);
        self.link.state = State::Waiting { until_ms: now.mono_ms + delay_ms };
        let retry_in_ms = Some(delay_ms);
        let reason = reason.to_owned();
        self.say(Event::Connection(ConnectionState::Offline { retry_in_ms, reason }));
    }

    /// Closes the link for good.
    pub(super) fn stop_link(&mut self, reason: &str) {
        self.close_link();
        self.link.state = State::Stopped;
        let reason = reason.to_owned();
        self.stopped_because = Some(reason.clone());
        self.say(Event::Connection(ConnectionState::Offline { retry_in_ms: None, reason }));
    }

    fn close_link(&mut self) {
        self.staged.link = Some(LinkOrder::Close);
        self.staged.messages.clear();
        self.staged.raw.clear();
        self.without_copies = false;
        self.outbox.link_lost();
        self.outbox_paused_until_ms = None;
        self.lookups.link_lost();
        self.transfers.link_lost();
        self.inbox.link_lost();
        self.linking_link_lost();
        self.groups.link_lost();
        self.requests.clear();
        self.presence_lost();
        self.reports.link_lost();
        self.link.awaiting_since_ms = None;
        self.link.is_caught_up = false;
        self.link.owes_caught_up = false;
    }

    /// Seals what was said into bytes for the link; a keepalive if the link was quiet.
    pub(super) fn seal_link(&mut self, now: Now) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.staged.raw);
        let messages = std::mem::take(&mut self.staged.messages);
        let sealed = match self.link.channel() {
            Some(channel) => channel.send(&messages, &mut out),
            None => Ok(()),
        };
        if let Err(error) = sealed {
            self.lose_link(&error.to_string(), 0, now);
            return Vec::new();
        }
        let is_up = matches!(self.link.state, State::Joining(_) | State::Attached(_));
        if is_up {
            let keepalives = self.link.keepalives(&out, now);
            out.resize(out.len() + keepalives, KEEPALIVE);
            if keepalives > 0 {
                self.link.probed_at_ms.get_or_insert(now.mono_ms);
            }
        }
        if !out.is_empty() {
            self.link.quiet_before_ms = Some(self.link.quiet_ms(now));
            (self.link.sent_at_ms, self.link.sent_wall_ms) = (now.mono_ms, now.wall_ms);
        }
        let awaits = is_up
            && (self.outbox.awaits_answers()
                || self.lookups.awaits_answers()
                || self.requests.values().any(|request| !matches!(request, Request::Hear(_))));
        if awaits && self.link.awaiting_since_ms.is_none() {
            self.link.awaiting_since_ms = Some(now.mono_ms);
        }
        out
    }

    /// The time by which device lists are signed and judged.
    pub(super) fn list_ms(&self, now: Now) -> u64 {
        self.link.list_ms(now)
    }

    /// The time that messages and keys carry, and by which messages disappear.
    pub(crate) fn wall_ms(&self, now: Now) -> u64 {
        self.link.wall_ms(now)
    }
}
