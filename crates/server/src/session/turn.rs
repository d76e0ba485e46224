//! What one turn of a session does with each event, in words of the pure machine.

use std::sync::Arc;
use std::task::{Context, Poll};

use fail::fail_point;
use godwit_actor as actor;
use godwit_base::DeviceId;
use godwit_link::LinkError;
use godwit_store::{Page, Record, StoreError, Submission};
use godwit_wire::frame::FrameError;
use godwit_wire::{Malformed, Refusal, ToClient, ToServer, v1};

use super::inbound::{Inbound, Piece, Stop, TURN_BYTES_MAX, TURN_FRAMES_MAX, TURN_READS_MAX};
use super::looking::Looking;
use super::outbound::Speech;
use super::protocol::{Effect, Machine, UNAVAILABLE_MS};
use super::requests::{self, Done, Job, Jobs, Made};
use super::socket::Socket;
use super::view::Asking;
use super::{Next, Over};
use crate::fault;
use crate::meters::Meters;
use crate::node::{Mark, Node};
use crate::registry::Bound;
use crate::seat::{Seat, Word};

/// Records of one page; with [`PAGE_BYTES_MAX`] 1,000 draining sessions hold 64 MB.
const PAGE_RECORDS_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// Retry after a header that begins no frame. It is not sealed, so somebody on the way may have changed it, and
/// a client that is told not to come back stays away until its user acts.
const ALTERED_MS: u32 = 1_000;

/// Where the device's records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// Not attached.
    Off,
    /// The next page is to be read, as soon as the socket has taken most of the last one.
    Behind,
    /// A page is being read.
    Reading,
    /// The inbox has everything that is new.
    Live,
}

/// What a turn did, added to the server's numbers at its end.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    bytes_in: u64,
    submissions: u64,
    accepted: u64,
    delivered: u64,
    receipts: u64,
    acknowledgements: u64,
    presences: u64,
    passed_over: u64,
}

/// One turn. Its methods return `Err` when the session is over at once, without a word.
pub(super) struct Turn<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) seat: &'a Arc<Seat>,
    pub(super) from: Option<Mark>,
    pub(super) machine: &'a mut Machine,
    pub(super) jobs: &'a mut Jobs,
    pub(super) feed: &'a mut Feed,
    /// Present once the device has said something about presence.
    pub(super) looking: &'a mut Option<Box<Looking>>,
    /// Bytes that earlier turns left unsent.
    pub(super) unsent_bytes: usize,
    pub(super) speech: Speech<'a>,
    pub(super) tally: Tally,
    /// When this turn began, on the node's clock.
    pub(super) now_ns: u64,
    /// Records wait because too many bytes are unsent.
    pub(super) held_back: bool,
    /// A goodbye was said: nothing follows it.
    pub(super) goodbye: bool,
    /// The sweep wants to know whether a keepalive waits.
    pub(super) looks: bool,
    /// The operator wants to know how this session is. Nearly always empty, and then it owns no memory.
    pub(super) asked: Vec<Asking>,
    /// Nothing is read, because the device does not listen to refusals.
    pub(super) is_held: bool,
    /// For how long nothing is to be read after this turn.
    pub(super) hold_ms: u32,
    /// It becomes data as soon as nothing is under way.
    pub(super) freezes: bool,
    /// Its socket can go to another process.
    pub(super) can_part: bool,
}

impl Turn<'_> {
    /// What the store decided and the server orders.
    pub(super) fn words(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while !self.goodbye {
            let Poll::Ready(next) = self.seat.words.poll_next(cx) else { return Ok(()) };
            match next {
                actor::Next::Item(Word::Settled { counter, outcome }) => {
                    let answer = self.machine.settled(counter, outcome, self.now_ns);
                    if let ToClient::Accepted(_) = answer {
                        fail_point!("server::accepted");
                        self.tally.accepted += 1;
                    }
                    self.say(&answer)?;
                }
                actor::Next::Item(Word::Close(refusal, reconnect_after_ms)) => {
                    return self.goodbye(refusal, reconnect_after_ms);
                }
                actor::Next::Item(Word::Look) => self.looks = true,
                actor::Next::Item(Word::Freeze) if self.can_part => self.freezes = true,
                actor::Next::Item(Word::Freeze) => {
                    return self.goodbye(Refusal::Draining, self.node.reconnect_after_ms());
                }
                actor::Next::Item(Word::Tell(asking)) => self.asked.push(*asking),
                #[cfg(test)]
                #[allow(clippy::panic, reason = "the panic that a test asked for")]
                actor::Next::Item(Word::Panic) => panic!("a test asked this session to panic"),
                actor::Next::Behind | actor::Next::Closed => {
                    return self.goodbye(Refusal::Internal, UNAVAILABLE_MS);
                }
            }
        }
        Ok(())
    }

    /// What the store was asked.
    pub(super) fn answers(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while !self.goodbye {
            let Some(done) = self.jobs.poll_done(cx) else { return Ok(()) };
            match done {
                // Wherever it goes on, it reads its mailbox anew.
                Done::Page(_) if self.freezes => {}
                Done::Page(page) => self.page(page)?,
                Done::Reply(reply) => {
                    self.machine.answered();
                    match reply.made {
                        Some(Made::Device(device)) => self.machine.registered(device),
                        Some(Made::Claimant(account)) => self.machine.claimed(account),
                        None => {}
                    }
                    self.answer(&reply.message)?;
                }
            }
        }
        Ok(())
    }

    /// Records: live ones from the inbox, or the next page. Ends when nothing more is there, and the
    /// task is registered for it, or when too much is unsent.
    pub(super) fn records(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while !self.goodbye && !self.freezes && self.has_room() {
            match *self.feed {
                Feed::Off | Feed::Reading => break,
                Feed::Behind => {
                    self.read_page();
                    self.answers(cx)?;
                }
                Feed::Live => match self.seat.records.poll_next(cx) {
                    Poll::Ready(actor::Next::Item(handed)) => self.record(handed.0)?,
                    Poll::Ready(actor::Next::Behind) => *self.feed = Feed::Behind,
                    Poll::Ready(actor::Next::Closed) | Poll::Pending => break,
                },
            }
        }
        Ok(())
    }

    /// Whether more records may be said. Without room they stay in the inbox, then in the mailbox.
    fn has_room(&mut self) -> bool {
        let unsent_bytes = self.unsent_bytes + self.speech.len();
        self.held_back = unsent_bytes >= self.node.config.session.unsent_behind_bytes;
        !self.held_back
    }

    /// Asks for the next page. What the inbox holds is durable and in that page or a later one, so it
    /// is dropped first; whatever is pushed from here on is newer than the page or in it too.
    fn read_page(&mut self) {
        let Some(device) = self.machine.device() else { return };
        while self.seat.records.try_next().is_some_and(|next| next != actor::Next::Closed) {}
        let after = self.machine.last_sent();
        let page = self.node.store.read(device, after, PAGE_RECORDS_MAX, PAGE_BYTES_MAX);
        self.jobs.push(Job::Page(page));
        *self.feed = Feed::Reading;
    }

    fn page(&mut self, page: Result<Page, StoreError>) -> Result<(), Over> {
        let Ok(page) = page else { return self.goodbye(Refusal::Unavailable, UNAVAILABLE_MS) };
        for record in page.records {
            self.record(record)?;
        }
        if page.more {
            *self.feed = Feed::Behind;
            return Ok(());
        }
        *self.feed = Feed::Live;
        if let Some(device) = self.machine.caught_up() {
            let one_time_left = self.node.store.one_time_left(device);
            self.say(&v1::CaughtUp { one_time_left }.into())?;
        }
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), Over> {
        match self.machine.record(record) {
            None => Ok(()),
            Some(message) => {
                match message {
                    ToClient::Deliver(_) => self.tally.delivered += 1,
                    _ => self.tally.receipts += 1,
                }
                self.say(&message)
            }
        }
    }

    /// What the device says, within the budget of one turn.
    pub(super) fn listen(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        inbound: &mut Inbound,
        buffer: &mut [u8],
    ) -> Result<Next, Over> {
        if self.is_held {
            return Ok(Next::Wait);
        }
        let mut frames_left = TURN_FRAMES_MAX;
        let mut bytes_left = TURN_BYTES_MAX;
        let mut alive = false;
        if inbound.has_more() {
            self.cut(inbound, &mut [], &mut frames_left)?;
        }
        for _ in 0..TURN_READS_MAX {
            if self.goodbye || self.hold_ms > 0 || frames_left == 0 || bytes_left == 0 {
                break;
            }
            let room = buffer.get_mut(..bytes_left).unwrap_or_default();
            let Poll::Ready(read) = socket.poll_take(cx, room) else {
                self.heard(alive);
                return Ok(Next::Wait);
            };
            match read {
                Ok(n) if n > 0 => {
                    alive = true;
                    self.tally.bytes_in += n as u64;
                    bytes_left = bytes_left.saturating_sub(n);
                    let fresh = room.get_mut(..n).unwrap_or_default();
                    self.cut(inbound, fresh, &mut frames_left)?;
                }
                _ => return Err(Over::Gone),
            }
        }
        self.heard(alive);
        Ok(Next::Again)
    }

    /// Takes a keepalive that woke nobody, and whatever came with it.
    pub(super) fn look(
        &mut self,
        socket: &Socket,
        inbound: &mut Inbound,
        buffer: &mut [u8],
    ) -> Result<Next, Over> {
        if !self.looks || self.goodbye || self.is_held || self.freezes {
            return Ok(Next::Wait);
        }
        let Some(read) = socket.take_quietly(buffer) else { return Ok(Next::Wait) };
        let n = read.ok().filter(|n| *n > 0).ok_or(Over::Gone)?;
        self.heard(true);
        self.tally.bytes_in += n as u64;
        self.cut(inbound, buffer.get_mut(..n).unwrap_or_default(), &mut { TURN_FRAMES_MAX })?;
        Ok(if inbound.has_more() { Next::Again } else { Next::Wait })
    }

    fn heard(&self, alive: bool) {
        if alive {
            self.seat.heard(Node::seconds(self.now_ns));
        }
    }

    fn cut(
        &mut self,
        inbound: &mut Inbound,
        fresh: &mut [u8],
        frames_left: &mut u32,
    ) -> Result<(), Over> {
        let mut keepalive = false;
        let fed = inbound.feed(fresh, frames_left, |piece| match piece {
            Piece::Keepalive => {
                keepalive = true;
                Ok(())
            }
            Piece::Frame(frame) => self.frame(frame),
        });
        match fed {
            Ok(()) if keepalive && !self.goodbye => self.speech.keepalive().map_err(|_| Over::Gone),
            Ok(()) => Ok(()),
            Err(Stop::Taker(over)) => Err(over),
            Err(Stop::Frame(FrameError::TooLarge)) => {
                self.goodbye(Refusal::FrameTooLarge, ALTERED_MS)
            }
            Err(Stop::Frame(_)) => self.goodbye(Refusal::Malformed, ALTERED_MS),
        }
    }

    fn frame(&mut self, frame: &mut [u8]) -> Result<(), Over> {
        if self.goodbye {
            return Ok(()); // bytes behind a frame that ended the conversation
        }
        let length = self.speech.transport.open_in_place(frame).map_err(|error| match error {
            LinkError::Exhausted => Over::Gone,
            _ => Over::Forged,
        })?;
        let plaintext = frame.get(..length).unwrap_or_default();
        for message in ToServer::decode_all(plaintext) {
            match message {
                Ok(message) => self.message(message)?,
                Err(malformed) => return self.malformed(&malformed),
            }
            if self.goodbye {
                break;
            }
        }
        Ok(())
    }

    fn malformed(&mut self, malformed: &Malformed) -> Result<(), Over> {
        tracing::debug!(%malformed, "malformed message");
        self.goodbye(malformed.refusal(), 0)
    }

    fn message(&mut self, message: ToServer) -> Result<(), Over> {
        let rate = self.node.submission_rate;
        if let Some(device) = self.machine.begins_to_submit(&message) {
            self.machine.goes_on_from(self.node.submission_meter(device, self.now_ns));
        }
        match self.machine.hears(message, self.seat.token, rate, self.now_ns) {
            Effect::Nothing => Ok(()),
            Effect::Say(message) => self.answer(&message),
            Effect::Submit(submission) => self.submit(submission),
            Effect::Acknowledge(device, up_to) => {
                fail_point!("server::ack");
                self.tally.acknowledgements += 1;
                // Not taken is no loss: the records come again, or the next acknowledgement covers
                // them.
                let _ = self.node.store.acknowledge(device, up_to);
                Ok(())
            }
            Effect::Attach(device) => {
                self.attach(device)?;
                self.unless_removed()
            }
            Effect::Ask(request) => {
                self.unless_removed()?;
                if fault::at("fault::session").is_some() {
                    return Err(Over::Gone);
                }
                if !self.goodbye {
                    self.jobs.push(requests::start(self.node, self.from, request));
                }
                Ok(())
            }
            Effect::Present(device, set) => {
                let (node, seat) = (self.node, self.seat);
                if let Some(looking) = self.looking(device) {
                    looking.sets(node, seat, &set);
                }
                Ok(())
            }
            Effect::Watch(device, watch) => {
                let (node, seat) = (self.node, self.seat);
                if let Some(looking) = self.looking(device) {
                    looking.watches(node, seat, &watch);
                }
                Ok(())
            }
            Effect::QuietFor(seconds) => {
                self.seat.quiet_for(seconds.min(self.node.config.link.longest_keepalive_s()));
                Ok(())
            }
            Effect::Close(refusal) => self.goodbye(refusal, 0),
        }
    }

    /// The presence side of this session; none if the device says too much about it.
    fn looking(&mut self, device: DeviceId) -> Option<&mut Looking> {
        let looking = self.looking.get_or_insert_with(|| Box::new(Looking::new(device)));
        let may_say = looking.may_say(self.now_ns);
        if !may_say {
            self.tally.passed_over += 1;
        }
        may_say.then_some(looking)
    }

    /// Who is online, and who types: last, and only in a turn that has nothing better to do. What is
    /// left stays marked, and the newest state is what the device is told later.
    pub(super) fn presence(&mut self, idle: bool) -> Result<(), Over> {
        let idle = idle && !self.held_back && self.unsent_bytes == 0 && !self.freezes;
        if self.goodbye || !idle || !self.seat.has_marks() {
            return Ok(());
        }
        let marks = self.seat.take_marks();
        let Some(looking) = self.looking else { return Ok(()) };
        for presence in looking.look(self.node, self.seat, marks) {
            self.tally.presences += 1;
            self.say(&presence.into())?;
        }
        Ok(())
    }

    /// Ends the session of a device that was removed after this link was welcomed. Whoever is attached
    /// when it happens is told by the router; this is for who attaches or asks afterwards.
    fn unless_removed(&mut self) -> Result<(), Over> {
        match self.machine.device() {
            Some(device) if self.node.store.is_removed(device) => {
                self.goodbye(Refusal::DeviceRevoked, 0)
            }
            _ => Ok(()),
        }
    }

    fn submit(&mut self, submission: Submission) -> Result<(), Over> {
        if self.seat.is_displaced() {
            // The device sends it on its new link, and may have heard there that it is refused for good.
            return Ok(());
        }
        let counter = submission.counter;
        self.tally.submissions += 1;
        if let Some(post) = submission.post.as_ref().filter(|post| post.is_shared()) {
            let members = self.node.store.group_size(post.group);
            let rate = self.node.submission_rate;
            let over = self.machine.pay_for(&submission, members, rate, self.now_ns);
            if let Some(refused) = over {
                return self.answer(&refused);
            }
        }
        if let Err(wait_ms) = self.node.strangers.allow(&submission, self.now_ns) {
            let refused = self.machine.begins_too_many(counter, wait_ms);
            return self.say(&refused);
        }
        match self.node.store.submit(submission) {
            Ok(()) => Ok(()),
            Err(_full) => {
                let retry_ms = self.node.submit_again.next_ms(self.now_ns);
                let refused = self.machine.not_taken(counter, retry_ms, self.now_ns);
                self.answer(&refused)
            }
        }
    }

    /// The device takes its mailbox: an older session of it is displaced (M7), and if this is the
    /// older one, whose Attach was long on its way, it goes itself.
    fn attach(&mut self, device: DeviceId) -> Result<(), Over> {
        match self.node.registry.bind(device, self.seat) {
            Bound::Alone => {}
            Bound::Displaces(older) => older.tell(Word::Close(Refusal::Displaced, 0)),
            Bound::TooLate => return self.goodbye(Refusal::Displaced, 0),
        }
        *self.feed = Feed::Behind;
        Ok(())
    }

    /// Says what came of a message that no rate has counted: too many refusals hold its device's input.
    fn answer(&mut self, message: &ToClient) -> Result<(), Over> {
        if let ToClient::Refused(refused) = message {
            let hold_ms = self.machine.says_no(refused.retry_after_ms, self.now_ns);
            self.hold_ms = self.hold_ms.max(hold_ms);
        }
        self.say(message)
    }

    fn say(&mut self, message: &ToClient) -> Result<(), Over> {
        if let ToClient::Refused(refused) = message {
            let name = Refusal::from_number(refused.code).map_or("Unknown", Refusal::name);
            Meters::count(&self.node.meters.refused, name);
        }
        self.speech.say(message).map_err(|error| {
            tracing::error!(%error, message = message.name(), "message could not be sealed");
            Over::Gone
        })
    }

    /// The last word. 0: do not come back as you are.
    fn goodbye(&mut self, refusal: Refusal, reconnect_after_ms: u32) -> Result<(), Over> {
        if self.goodbye {
            return Ok(());
        }
        self.goodbye = true;
        tracing::debug!(refusal = refusal.name(), "goodbye");
        self.say(&v1::Goodbye { code: refusal.number().into(), reconnect_after_ms }.into())
    }

    /// Closes the last frame.
    pub(super) fn finish(&mut self) -> Result<(), Over> {
        self.speech.close_frame().map_err(|_| Over::Gone)
    }
}

impl Tally {
    pub(super) fn count(self, meters: &Meters, bytes_out: usize) {
        if self.delivered > 0 {
            fail_point!("server::delivered");
        }
        for (counter, value) in [
            (&meters.bytes_in, self.bytes_in),
            (&meters.bytes_out, bytes_out as u64),
            (&meters.submissions, self.submissions),
            (&meters.accepted, self.accepted),
            (&meters.delivered, self.delivered),
            (&meters.receipts, self.receipts),
            (&meters.acknowledgements, self.acknowledgements),
            (&meters.presences, self.presences),
            (&meters.presences_passed_over, self.passed_over),
        ] {
            if value > 0 {
                counter.inc_by(value);
            }
        }
    }
}
