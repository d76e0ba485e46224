//! The steps, named as the functions of `docs/route.md` in which they end.

use std::fmt;

use crate::delivery::Delivery;
use crate::fault::Fault;
use crate::merge::Arrived;
use crate::state::{Client, DEVICES, State, ToClient, ToServer, Which, Work};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A user writes a message.
    Send(u8),
    /// A sender goes on after a refusal.
    Pump(u8),
    /// A client has a new link.
    Welcome(Client),
    /// A session reads what its client said.
    Hears(Client, Which, ToServer),
    /// A session finds the store's queue full.
    Busy(Client, Which),
    /// A batch is written.
    Write(Work),
    /// The batch is durable, and everybody is told.
    Tell,
    /// A session turns an outcome into an answer.
    Settled(Client, Which),
    /// A session asks for a page.
    ReadPage(Client),
    /// A session says a page.
    Page(Client),
    /// A session looks into its inbox.
    Records(Client),
    /// A client reads what the server said.
    Reads(Client, ToClient),
    /// A device of the recipient commits, then acknowledges.
    Flush(u8),
    /// A session of which the client is gone ends.
    Leave(Client),
    /// Only if a fault has it so: a batch for a receipt alone.
    FileReceipts,
    /// A link is cut, at the client's end first.
    LoseLink(Client),
    /// A client is killed.
    CrashClient(Client),
    /// The same where steps are merged: of what it had said last only this arrives.
    CrashEarly(Client, Arrived),
    /// The server is killed.
    CrashServer,
    /// A batch cannot be made durable.
    Fail,
    /// A mailbox has no room for the message in the batch.
    Full,
    /// Another process takes over. The sessions of these clients do not arrive.
    HandOver([Option<Client>; 4]),
}

/// A file of the product and a function in it.
pub type Place = (&'static str, &'static str);

const SENDING: &str = "crates/client/src/core/sending.rs";
const RECEIVING: &str = "crates/client/src/core/receiving.rs";
const LINK: &str = "crates/client/src/core/link.rs";
const ENGINE: &str = "crates/client/src/native/engine.rs";
const CHANNEL: &str = "crates/client/src/core/channel.rs";
const HANDSHAKE: &str = "crates/server/src/door/handshake.rs";
const SESSION: &str = "crates/server/src/session.rs";
const INBOUND: &str = "crates/server/src/session/inbound.rs";
const OUTBOUND: &str = "crates/server/src/session/outbound.rs";
const TURN: &str = "crates/server/src/session/turn.rs";
const PROTOCOL: &str = "crates/server/src/session/protocol.rs";
const SEAT: &str = "crates/server/src/seat.rs";
const ROUTER: &str = "crates/server/src/router.rs";
const REGISTRY: &str = "crates/server/src/registry.rs";
const INTAKE: &str = "crates/store/src/embedded/intake.rs";
const WRITER: &str = "crates/store/src/embedded/writer.rs";
const SUBMIT: &str = "crates/store/src/embedded/batch/submit.rs";
const ACKNOWLEDGE: &str = "crates/store/src/embedded/batch/acknowledge.rs";

/// Steps that are not on the route of a message that meets no trouble.
pub const OFF_ROUTE: &[Place] = &[
    (SENDING, "on_refused"),
    (LINK, "lose_link"),
    (REGISTRY, "leave"),
    (TURN, "attach"), // in the text of the page
    (WRITER, "fail"),
    (SUBMIT, "full_mailbox"),
];

/// What the page names beside a step and what is one with it here, since nobody else can see the moment between.
pub const FOLDED: &[(Place, Place)] = &[
    ((SENDING, "write_outgoing"), (SENDING, "send")),
    ((SENDING, "seal"), (SENDING, "pump")),
    ((SENDING, "submit"), (SENDING, "pump")),
    ((ENGINE, "carry_out"), (ENGINE, "flush")),
    ((CHANNEL, "send"), (ENGINE, "flush")),
    ((CHANNEL, "seal_frame"), (ENGINE, "flush")),
    ((HANDSHAKE, "admit"), (HANDSHAKE, "welcome")),
    ((HANDSHAKE, "answer"), (HANDSHAKE, "welcome")),
    ((SESSION, "poll"), (PROTOCOL, "hears")),
    ((SESSION, "turn"), (PROTOCOL, "hears")),
    ((INBOUND, "feed"), (PROTOCOL, "hears")),
    ((INBOUND, "cut"), (PROTOCOL, "hears")),
    ((TURN, "listen"), (PROTOCOL, "hears")),
    ((TURN, "frame"), (PROTOCOL, "hears")),
    ((PROTOCOL, "submit"), (PROTOCOL, "hears")),
    ((INTAKE, "submission"), (PROTOCOL, "hears")),
    ((WRITER, "run"), (WRITER, "write")),
    ((WRITER, "turn"), (WRITER, "write")),
    ((SUBMIT, "submit"), (WRITER, "tell")),
    ((SUBMIT, "refusal"), (WRITER, "tell")),
    ((SUBMIT, "store"), (WRITER, "tell")),
    ((ACKNOWLEDGE, "acknowledge"), (WRITER, "tell")),
    ((ACKNOWLEDGE, "file_receipts"), (WRITER, "tell")),
    ((WRITER, "tell_sink"), (WRITER, "tell")),
    ((ROUTER, "settled"), (WRITER, "tell")),
    ((ROUTER, "appended"), (WRITER, "tell")),
    ((REGISTRY, "by_token"), (WRITER, "tell")),
    ((REGISTRY, "by_device"), (WRITER, "tell")),
    ((SEAT, "tell"), (WRITER, "tell")),
    ((SEAT, "hand"), (WRITER, "tell")),
    ((PROTOCOL, "refuse_for_now"), (PROTOCOL, "settled")),
    ((OUTBOUND, "say"), (PROTOCOL, "settled")),
    ((OUTBOUND, "close_frame"), (PROTOCOL, "settled")),
    ((OUTBOUND, "write"), (PROTOCOL, "settled")),
    ((PROTOCOL, "record"), (TURN, "records")),
    ((RECEIVING, "receive"), (RECEIVING, "on_deliver")),
    ((RECEIVING, "write_as"), (RECEIVING, "on_deliver")),
    ((RECEIVING, "acknowledge"), (ENGINE, "flush")),
];

impl Action {
    /// Where the product does this; none is what happens to it.
    pub const fn place(&self) -> Option<Place> {
        Some(match self {
            Self::Send(_) => (SENDING, "send"),
            Self::Pump(_) => (SENDING, "pump"),
            Self::Welcome(_) => (HANDSHAKE, "welcome"),
            Self::Hears(_, _, ToServer::Attach) => (TURN, "attach"),
            Self::Hears(_, _, ToServer::Submit(_)) => (PROTOCOL, "hears"),
            Self::Hears(_, _, ToServer::Ack(_)) => (TURN, "message"),
            Self::Busy(..) => (TURN, "submit"),
            Self::Write(_) => (WRITER, "write"),
            Self::Tell => (WRITER, "tell"),
            Self::Settled(..) => (PROTOCOL, "settled"),
            Self::ReadPage(_) => (TURN, "read_page"),
            Self::Page(_) => (TURN, "page"),
            Self::Records(_) => (TURN, "records"),
            Self::Reads(_, ToClient::Accepted(_)) => (SENDING, "on_accepted"),
            Self::Reads(
                _,
                ToClient::Refused(_) | ToClient::AfterRefusal(_) | ToClient::Full(_),
            ) => (SENDING, "on_refused"),
            Self::Reads(client, ToClient::Record(_)) => match client.as_sender() {
                Some(_) => (RECEIVING, "on_receipt"),
                None => (RECEIVING, "on_deliver"),
            },
            Self::Flush(_) => (ENGINE, "flush"),
            Self::Leave(_) => (REGISTRY, "leave"),
            Self::LoseLink(_) => (LINK, "lose_link"),
            Self::Fail => (WRITER, "fail"),
            Self::Full => (SUBMIT, "full_mailbox"),
            Self::FileReceipts
            | Self::CrashClient(_)
            | Self::CrashEarly(..)
            | Self::CrashServer
            | Self::HandOver(_) => return None,
        })
    }

    /// Whether it is something that goes wrong, and so need not happen.
    pub const fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Busy(..)
                | Self::LoseLink(_)
                | Self::CrashClient(_)
                | Self::CrashEarly(..)
                | Self::CrashServer
                | Self::Fail
                | Self::Full
                | Self::HandOver(_)
        )
    }
}

impl State {
    /// What can happen, without trouble.
    pub(crate) fn steps(&self, add: &mut impl FnMut(Action)) {
        for client in self.clients() {
            self.client_steps(client, add);
            self.session_steps(client, add);
        }
        if self.store.batch.is_some() {
            add(Action::Tell);
        } else {
            self.store.next().for_each(|work| add(Action::Write(work)));
        }
        if !self.store.owed.is_empty() {
            add(Action::FileReceipts);
        }
    }

    fn client_steps(&self, client: Client, add: &mut impl FnMut(Action)) {
        let now = self.session(client, Which::Now);
        if let Some(index) = client.as_sender() {
            let sender = &self.senders[index];
            if sender.said < sender.to_say {
                add(Action::Send(client.0));
            }
            if sender.paused {
                add(Action::Pump(client.0));
            }
        }
        if let Some(device) = client.as_device()
            && self.devices[device].has_something()
        {
            add(Action::Flush(u8::try_from(device).unwrap_or(u8::MAX)));
        }
        match now {
            None => add(Action::Welcome(client)),
            Some(session) => {
                session.down.first().iter().for_each(|said| add(Action::Reads(client, **said)));
            }
        }
    }

    fn session_steps(&self, client: Client, add: &mut impl FnMut(Action)) {
        for which in [Which::Now, Which::Before] {
            let Some(session) = self.session(client, which) else { continue };
            session.up.first().iter().for_each(|said| add(Action::Hears(client, which, **said)));
            if !session.words.is_empty() {
                add(Action::Settled(client, which));
            }
        }
        if self.session(client, Which::Before).is_some() {
            add(Action::Leave(client));
        }
        let now = self.session(client, Which::Now);
        now.and_then(|session| session.own_step(client)).into_iter().for_each(add);
    }

    /// What can go wrong.
    pub(crate) fn troubles(&self, model: &Delivery, add: &mut impl FnMut(Action)) {
        for client in self.clients() {
            self.troubles_of(client, model, add);
        }
        if self.left.crashes > 0 {
            add(Action::CrashServer);
        }
        if self.left.refusals > 0 && self.store.batch.is_some() {
            add(Action::Fail);
        }
        if self.left.finals > 0 && self.may_be_full() {
            add(Action::Full);
        }
        if self.left.hand_overs > 0 && self.may_hand_over(model) {
            let all =
                Client::ALL.map(|client| self.links[client.index()].now.as_ref().map(|_| client));
            add(Action::HandOver([None; 4]));
            add(Action::HandOver(all));
            for client in all.into_iter().flatten() {
                add(Action::HandOver([Some(client), None, None, None]));
            }
        }
    }

    fn troubles_of(&self, client: Client, model: &Delivery, add: &mut impl FnMut(Action)) {
        let is_linked = self.session(client, Which::Now).is_some();
        if self.left.cuts > 0 && is_linked {
            add(Action::LoseLink(client));
        }
        let has_staged = client
            .as_device()
            .is_some_and(|device| self.devices[device].staged.iter().any(|one| !one.is_empty()));
        if self.left.crashes > 0 && (is_linked || has_staged) {
            add(Action::CrashClient(client));
        }
        for which in [Which::Now, Which::Before].into_iter().filter(|_| self.left.refusals > 0) {
            let Some(session) = self.session(client, which) else { continue };
            if let Some(ToServer::Submit(counter)) = session.up.first()
                && !session.refuses(*counter, model)
            {
                add(Action::Busy(client, which));
            }
        }
    }

    /// The writer has written all that it was given, and no session has an outcome left to tell.
    fn may_hand_over(&self, model: &Delivery) -> bool {
        let settled = self.links.iter().all(|link| {
            link.now.iter().chain(&link.before).all(|session| session.words.is_empty())
        });
        (self.store.is_idle() || model.has(Fault::MoveLosesOutcomes))
            && (settled || model.has(Fault::MoveUnsettled))
    }

    /// What an action makes of this.
    pub(crate) fn after(&self, action: Action, model: &Delivery) -> Self {
        let mut next = self.clone();
        next.take(action, model);
        next
    }

    /// The step happens.
    pub(crate) fn take(&mut self, action: Action, model: &Delivery) {
        let next = self;
        match action {
            Action::Send(sender) => next.send(usize::from(sender), model),
            Action::Pump(sender) => next.pump_again(usize::from(sender), model),
            Action::Welcome(client) => next.dial(client, model),
            Action::Hears(client, which, _) => next.hears(client, which, false, model),
            Action::Busy(client, which) => {
                next.left.refusals -= 1;
                next.hears(client, which, true, model);
            }
            Action::Write(work) => next.write(work, model),
            Action::Tell => next.tell(true, model),
            Action::Settled(client, which) => next.settled(client, which),
            Action::ReadPage(client) => next.read_page(client, model),
            Action::Page(client) => next.page(client, model),
            Action::Records(client) => next.records(client, model),
            Action::Reads(client, _) => next.client_reads(client, model),
            Action::Flush(device) => next.device_commits(usize::from(device)),
            Action::Leave(client) => next.gone(client),
            Action::FileReceipts => next.file_owed(model),
            Action::LoseLink(client) => {
                next.left.cuts -= 1;
                next.lose_link(client);
            }
            Action::CrashClient(client) => {
                next.left.crashes -= 1;
                next.client_crashes(client);
            }
            Action::CrashEarly(client, arrived) => {
                next.left.crashes -= 1;
                next.lose_on_the_way(client, arrived);
                next.client_crashes(client);
            }
            Action::CrashServer => {
                next.left.crashes -= 1;
                next.server_crashes(model);
            }
            Action::Fail => {
                next.left.refusals -= 1;
                next.fail(model);
            }
            Action::Full => {
                next.left.finals -= 1;
                next.refuse_for_good();
            }
            Action::HandOver(closed) => {
                next.left.hand_overs -= 1;
                let closed: Vec<Client> = closed.into_iter().flatten().collect();
                next.hand_over(&closed, model);
            }
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_sender(), self.as_device()) {
            (Some(sender), _) => write!(f, "sender {sender}"),
            (_, device) => write!(f, "device {}", device.unwrap_or(DEVICES)),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.place().map_or("", |(_, function)| function);
        match self {
            Self::Send(sender) | Self::Pump(sender) => write!(f, "{name}: sender {sender}"),
            Self::Hears(client, which, said) => write!(f, "{name}: {client}, {which:?}, {said:?}"),
            Self::Busy(client, which) => write!(f, "{name}: {client}, {which:?}, Busy"),
            Self::Settled(client, which) => write!(f, "{name}: {client}, {which:?}"),
            Self::Reads(client, said) => write!(f, "{name}: {client}, {said:?}"),
            Self::Flush(device) => write!(f, "{name}: device {device}"),
            Self::Write(work) => write!(f, "{name}: {work:?}"),
            Self::Welcome(client)
            | Self::ReadPage(client)
            | Self::Page(client)
            | Self::Records(client)
            | Self::Leave(client)
            | Self::LoseLink(client) => write!(f, "{name}: {client}"),
            Self::Tell | Self::Fail | Self::Full => f.write_str(name),
            Self::FileReceipts => f.write_str("a batch for a receipt"),
            Self::CrashClient(client) => write!(f, "{client} is killed"),
            Self::CrashEarly(client, arrived) => write!(f, "{client} is killed, {arrived:?}"),
            Self::CrashServer => f.write_str("the server is killed"),
            Self::HandOver(closed) => {
                f.write_str("hand-over, closed:")?;
                closed.iter().flatten().try_for_each(|client| write!(f, " {client}"))
            }
        }
    }
}
