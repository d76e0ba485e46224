//! The session: the actor that owns one live link. One hand-written future a connection, small
//! because a million of them exist; it works in turns, and between turns it holds no buffer.
//!
//! The turn is here; the rest is cut by concern: [`socket`] under it, [`inbound`] and [`outbound`]
//! bytes, the pure [`protocol`] machine, [`requests`] that wait for the store, [`turn`] for what one
//! turn does with each event, [`keepalive`] for the silent, [`looking`] for presence, [`view`] for the operator,
//! [`carried`] for the way to another process.

mod carried;
mod groups;
mod inbound;
mod keepalive;
mod looking;
mod outbound;
mod protocol;
mod refusals;
mod requests;
mod socket;
#[cfg(test)]
mod tests;
mod turn;
mod view;

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use godwit_link::Transport;
use godwit_wire::Refusal;
use tokio::io::AsyncWrite;
use tokio::time::sleep;

use crate::meters::Meters;
use crate::node::{Mark, Node};
use crate::seat::{Seat, Word};
use inbound::{Inbound, TURN_BYTES_MAX, TURN_READS_MAX};
use looking::Looking;
use outbound::{Outbound, Speech};
use protocol::Machine;
use requests::Jobs;
use turn::{Feed, Tally, Turn};

pub(crate) use keepalive::sweep;
pub(crate) use protocol::{
    Asker, BUSY_MS, DISK_FULL_MS, Peer, SUBMIT_AGAIN, Stranger, UNAVAILABLE_MS,
};
pub(crate) use socket::{Carrier, Socket};
pub(crate) use view::Asking;

/// One live link. It ends when the peer goes, breaks the protocol, or is told to.
pub(crate) struct Session {
    node: Arc<Node>,
    seat: Arc<Seat>,
    /// Where it comes from; none is this machine.
    from: Option<Mark>,
    socket: Socket,
    transport: Transport,
    inbound: Inbound,
    outbound: Outbound,
    machine: Machine,
    jobs: Jobs,
    feed: Feed,
    looking: Option<Box<Looking>>,
    stage: Stage,
    /// When this stage is over: a time for a hold or a goodbye, a turn for an end. No other session waits
    /// for either.
    until: Option<Until>,
    /// A lone byte wakes nobody: it is a keepalive, and the sweep sees to it.
    dozes: bool,
}

// A million of them: the design allows 1 KB each with inboxes, registry and task.
const _: () = assert!(size_of::<Session>() <= 256, "the memory of an idle session is promised");

/// How much of a session is still going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The device does not listen to refusals: for a while it is told what there is, and not read.
    Held,
    /// It goes to another process: it is not read, and packed when nothing is under way.
    Freezing,
    /// A goodbye was said: only what is unsent still goes out, for a while.
    Leaving,
    /// All of it has gone out.
    Lingering,
    /// The link is over, and nobody reaches the session any more: it ends when it is its turn.
    Over,
}

/// Behind one thin pointer: a million sessions have the place for it, and hardly one needs it.
type Until = Box<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The peer closed, or its network did.
    Gone,
    /// The peer heard our goodbye.
    Left,
    /// A frame that was not sealed by the peer: nothing more can be said on this link.
    Forged,
    /// More unsent bytes than a session may have.
    TooSlow,
    /// It is data now, and goes on in another process.
    Frozen,
}

/// What a turn ends with.
enum Next {
    /// Everything is done: wait for an event.
    Wait,
    /// The budget is used up: let others have their turn, then go on.
    Again,
}

/// Buffers of one worker thread, used by the session whose turn it is.
struct Worker {
    read: Box<[u8]>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// How long a session may take to send its last bytes and see its peer close: the same as the whole
/// server takes to go down.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// The least that wakes a session which waits for nothing: more than the one byte of a keepalive, no
/// more than the 17 of the smallest frame. Two keepalives at once wake it too.
const WAKING_BYTES: usize = 2;

/// A turn that takes longer is reported: a hundred such a second are all that a worker can do, and
/// every other session of it waits meanwhile. A whole turn's budget of frames is 0.1 ms.
const TURN_MAX_NS: u64 = 10_000_000;

/// A worker's buffers are given back when a turn left them larger than this.
const WORKER_BYTES_KEPT: usize = 4 * TURN_BYTES_MAX;

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::new(Worker {
        read: vec![0; TURN_BYTES_MAX].into_boxed_slice(),
        plain: Vec::new(),
        sealed: Vec::new(),
    });
}

impl Session {
    /// A session on an established link. `early` are bytes that came after the handshake.
    pub(crate) fn new(
        node: Arc<Node>,
        socket: Socket,
        transport: Transport,
        peer: Peer,
        address: IpAddr,
        early: &[u8],
    ) -> Self {
        let seat = node.registry.enter(node.now_s());
        if node.is_draining() {
            // It came in while the others were sent home.
            seat.tell(Word::Close(Refusal::Draining, node.reconnect_after_ms()));
        }
        if node.freezer.is_closed() {
            seat.tell(Word::Freeze);
        }
        Self {
            seat,
            from: node.mark_of(address),
            node,
            socket,
            transport,
            inbound: Inbound::starting_with(early),
            outbound: Outbound::default(),
            machine: Machine::new(peer),
            jobs: Jobs::default(),
            feed: Feed::Off,
            looking: None,
            stage: Stage::Open,
            until: None,
            dozes: false,
        }
    }

    /// One turn: first what the device says, within the budget; then what the store and the server
    /// say. Everything goes out in one write at the end.
    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
        now_ns: u64,
    ) -> Result<Next, Over> {
        if self.outbound.unsent_bytes() > 0 {
            self.outbound.write(&mut self.socket, cx, &[]).map_err(|_| Over::Gone)?;
        }
        let is_held = self.is_held(cx) || self.stage == Stage::Freezing;
        let mut turn = Turn {
            node: &self.node,
            seat: &self.seat,
            from: self.from,
            machine: &mut self.machine,
            jobs: &mut self.jobs,
            feed: &mut self.feed,
            looking: &mut self.looking,
            unsent_bytes: self.outbound.unsent_bytes(),
            speech: Speech {
                plain: &mut worker.plain,
                sealed: &mut worker.sealed,
                transport: &mut self.transport,
            },
            tally: Tally::default(),
            now_ns,
            held_back: false,
            goodbye: false,
            looks: false,
            asked: Vec::new(),
            is_held,
            hold_ms: 0,
            freezes: self.stage == Stage::Freezing,
            can_part: self.socket.can_part(),
        };
        let mut next = turn.listen(cx, &mut self.socket, &mut self.inbound, &mut worker.read)?;
        // In order of importance: orders and ticks, answers, records.
        turn.words(cx)?;
        if let Next::Again = turn.look(&self.socket, &mut self.inbound, &mut worker.read)? {
            next = Next::Again;
        }
        turn.answers(cx)?;
        turn.records(cx)?;
        turn.presence(matches!(next, Next::Wait))?;
        turn.finish()?;
        let Turn { tally, held_back, goodbye, hold_ms, freezes, asked, .. } = turn;
        if goodbye {
            self.lasts(Stage::Leaving, sleep(LEAVE_TIME));
            self.node.registry.count_leaving(true);
        } else if freezes {
            (self.stage, self.until) = (Stage::Freezing, None);
        } else if hold_ms > 0 && !is_held {
            self.hold(hold_ms, now_ns);
            next = Next::Again;
        }
        let sent =
            self.outbound.write(&mut self.socket, cx, &worker.sealed).map_err(|_| Over::Gone)?;
        tally.count(&self.node.meters, sent);
        self.tell(asked, now_ns);
        let limits = &self.node.config.session;
        match self.outbound.unsent_bytes() {
            unsent if unsent > limits.unsent_close_bytes => return Err(Over::TooSlow),
            unsent if held_back && unsent < limits.unsent_behind_bytes => next = Next::Again,
            // Presence had to wait for bytes that are gone now.
            0 if self.seat.has_marks() => next = Next::Again,
            _ => {}
        }
        self.doze().map_err(|_| Over::Gone)?;
        Ok(next)
    }

    fn lasts(&mut self, stage: Stage, until: impl Future<Output = ()> + Send + 'static) {
        self.stage = stage;
        self.until = Some(Box::new(Box::pin(until)));
    }

    /// Whether this stage is over; the task is registered for it.
    fn is_past(&mut self, cx: &mut Context<'_>) -> bool {
        self.until.as_mut().is_none_or(|until| until.as_mut().as_mut().poll(cx).is_ready())
    }

    /// Reads nothing for so long. The sweep does not take it for silent meanwhile: that it says nothing is
    /// our doing. Whether it has gone is seen when it is read again, or when it is written to.
    #[cold]
    fn hold(&mut self, hold_ms: u32, now_ns: u64) {
        self.node.meters.holds.inc();
        tracing::debug!(device = ?self.machine.device(), hold_ms, "session held");
        let until_ns = now_ns.saturating_add(u64::from(hold_ms) * 1_000_000);
        self.seat.heard(Node::seconds(until_ns));
        self.lasts(Stage::Held, sleep(Duration::from_millis(hold_ms.into())));
    }

    /// Whether nothing is read in this turn; the task is registered for the end of that.
    fn is_held(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stage != Stage::Held {
            return false;
        }
        let is_over = self.is_past(cx);
        if is_over {
            (self.stage, self.until) = (Stage::Open, None);
        }
        !is_over
    }

    /// After the goodbye: send what is unsent, say that nothing follows, and read until the peer has
    /// closed too. Closing at once would let the system throw the goodbye away.
    fn leave(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> Poll<Over> {
        if self.is_past(cx) {
            return Poll::Ready(Over::Left);
        }
        match self.outbound.write(&mut self.socket, cx, &[]) {
            Err(_) => return Poll::Ready(Over::Gone),
            Ok(_) if self.outbound.unsent_bytes() > 0 => return Poll::Pending,
            Ok(_) => {}
        }
        if self.stage != Stage::Lingering {
            self.is_reached_no_more();
            self.stage = Stage::Lingering;
            self.node.registry.count_lingering(true);
        }
        if ready!(Pin::new(&mut self.socket).poll_shutdown(cx)).is_err() {
            return Poll::Ready(Over::Left);
        }
        for _ in 0..TURN_READS_MAX {
            match ready!(self.socket.poll_take(cx, &mut worker.read)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(Over::Left),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, now_ns: u64) -> Poll<Over> {
        WORKER.with_borrow_mut(|worker| {
            worker.clear();
            if self.is_leaving() {
                return self.leave(cx, worker);
            }
            match self.turn(cx, worker, now_ns) {
                Err(over) => Poll::Ready(over),
                Ok(_) if self.is_leaving() => self.leave(cx, worker),
                Ok(_) if self.can_be_packed() => Poll::Ready(self.pack()),
                Ok(Next::Wait) => Poll::Pending,
                Ok(Next::Again) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
    }

    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving | Stage::Lingering)
    }

    /// The last turn: what is left is to close the socket.
    fn end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_past(cx) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Its device is not there any more, and has no chat open.
    fn is_reached_no_more(&mut self) {
        if let Some(looking) = self.looking.take() {
            looking.leave(&self.node, &self.seat);
        }
        self.node.registry.leave(&self.seat, self.machine.device());
        match self.stage {
            Stage::Leaving => self.node.registry.count_leaving(false),
            Stage::Lingering => self.node.registry.count_lingering(false),
            Stage::Open | Stage::Held | Stage::Freezing | Stage::Over => {}
        }
    }

    /// A keepalive, one byte, does not wake the session by itself: most wake-ups of an idle server
    /// would be those. Not while a frame is incomplete: its last byte may come alone.
    fn doze(&mut self) -> io::Result<()> {
        let dozes = self.inbound.is_empty();
        if dozes != self.dozes {
            self.socket.wake_at(if dozes { WAKING_BYTES } else { 1 })?;
            self.dozes = dozes;
        }
        Ok(())
    }

    /// A turn that took too long is counted and told. Two readings of the clock a turn. One that does not end
    /// is told by the watchdog.
    fn watch(&self, began_ns: u64) {
        let took_ns = self.node.now_ns().saturating_sub(began_ns);
        if took_ns > TURN_MAX_NS {
            self.node.meters.slow_turns.inc();
            tracing::warn!(device = ?self.machine.device(), took_ms = took_ns / 1_000_000, "slow turn");
        }
    }

    /// M10: a panic ends this session and nothing else. Its client comes back and finds everything
    /// in the mailbox; one that panics again and again is held back.
    #[cold]
    fn panicked(&self) {
        self.node.meters.session_panics.inc();
        let device = self.machine.device();
        let held_back =
            device.is_some_and(|device| self.node.quarantine.panicked(device, self.node.now_ms()));
        tracing::error!(?device, held_back, "session panicked");
    }
}

impl Future for Session {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let session = self.get_mut();
        if session.stage == Stage::Over {
            return session.end(cx);
        }
        let began_ns = session.node.now_ns();
        session.node.turns.begin(session.seat.token, began_ns);
        let turn = catch_unwind(AssertUnwindSafe(|| session.poll_turn(cx, began_ns)));
        session.node.turns.end();
        session.watch(began_ns);
        let over = match &turn {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(over)) => over.name(),
            Err(_panic) => {
                session.panicked();
                "panicked"
            }
        };
        Meters::count(&session.node.meters.sessions_closed, over);
        tracing::debug!(device = ?session.machine.device(), reason = over, "session closed");
        session.is_reached_no_more();
        if matches!(turn, Ok(Poll::Ready(Over::Frozen))) {
            return Poll::Ready(()); // there is no socket to close
        }
        // Only the socket has to wait for its turn.
        (session.inbound, session.outbound) = (Inbound::starting_with(&[]), Outbound::default());
        session.jobs = Jobs::default();
        session.lasts(Stage::Over, session.node.ends.turn());
        session.end(cx)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.is_reached_no_more();
    }
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Left => "left",
            Self::Forged => "forged",
            Self::TooSlow => "too slow",
            Self::Frozen => "frozen",
        }
    }
}

impl Worker {
    fn clear(&mut self) {
        for buffer in [&mut self.plain, &mut self.sealed] {
            buffer.clear();
            buffer.shrink_to(WORKER_BYTES_KEPT);
        }
    }
}
