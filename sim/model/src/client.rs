//! What clients do: `crates/client/src/core`, sending, outbox, receiving and inbox.

use crate::delivery::Delivery;
use crate::fault::Fault;
use crate::state::{
    Client, Counter, Device, Entry, Feed, Link, Record, Sender, Seq, Session, Set, State, ToClient,
    ToServer, Which,
};

impl Sender {
    /// Written and not accepted.
    fn pending(&self) -> Set {
        Set::up_to(self.said).without(self.accepted).without(self.failed)
    }

    /// What may be submitted now.
    fn due(&mut self, model: &Delivery) -> Set {
        let due = self.pending().without(self.in_flight);
        if model.has(Fault::NoSettling) {
            return due;
        }
        if self.settles || self.awaited != 0 {
            if !self.in_flight.is_empty() {
                return Set::default();
            }
            self.settles = false;
        }
        if !self.pending().has(self.awaited) {
            self.awaited = 0;
        }
        if self.awaited != 0 {
            let mut alone = Set::default();
            alone.add(self.awaited);
            return alone;
        }
        due
    }

    /// It was refused for now: it goes first and alone. Of several the first.
    fn is_awaited(&mut self, counter: Counter, model: &Delivery) {
        self.in_flight.remove(counter);
        (self.settles, self.paused) = (true, true);
        if self.awaited == 0 || counter < self.awaited || model.has(Fault::AwaitsLatest) {
            self.awaited = counter;
        }
    }

    /// It was refused because an earlier one was.
    fn is_after_refusal(&mut self, counter: Counter) {
        self.in_flight.remove(counter);
        self.settles = true;
        self.disagrees |= self.awaited == 0;
    }

    fn accept(&mut self, counter: Counter) {
        self.remove(counter);
        if !self.failed.has(counter) {
            self.accepted.add(counter);
        }
    }

    /// It was refused for good.
    fn fail(&mut self, counter: Counter) {
        self.remove(counter);
        if !self.accepted.has(counter) {
            self.failed.add(counter);
        }
    }

    fn remove(&mut self, counter: Counter) {
        self.in_flight.remove(counter);
        if self.awaited == counter {
            self.awaited = 0;
        }
    }

    fn link_lost(&mut self) {
        self.in_flight = Set::default();
        (self.settles, self.awaited, self.paused) = (false, 0, false);
    }
}

impl Device {
    fn has(&self, from: usize, counter: Counter) -> bool {
        self.shown[from].contains(&counter) || self.staged[from].contains(&counter)
    }

    /// Whether a commit is due.
    pub(crate) fn has_something(&self) -> bool {
        self.staged.iter().any(|staged| !staged.is_empty()) || self.seen > self.acknowledged
    }

    fn receive(&mut self, record: Record, model: &Delivery) {
        self.seen = self.seen.max(record.seq);
        let Entry::Message { from, counter } = record.entry else { return };
        let from = usize::from(from);
        if !self.has(from, counter) || model.has(Fault::NoDedup) {
            self.staged[from].push(counter);
        }
    }

    fn commit(&mut self) {
        for (shown, staged) in self.shown.iter_mut().zip(&mut self.staged) {
            shown.extend(staged.drain(..));
        }
    }

    /// What to acknowledge, if that has grown.
    fn take_acknowledgement(&mut self) -> Option<Seq> {
        let has_grown = self.seen > self.acknowledged;
        self.acknowledged = self.seen;
        has_grown.then_some(self.seen)
    }
}

impl State {
    /// The user writes a message; it is in the outbox, and goes out as soon as it may.
    pub(crate) fn send(&mut self, sender: usize, model: &Delivery) {
        self.senders[sender].said += 1;
        self.pump(sender, model);
    }

    /// The time that the server named is over.
    pub(crate) fn pump_again(&mut self, sender: usize, model: &Delivery) {
        self.senders[sender].paused = false;
        self.pump(sender, model);
    }

    /// Submits what may go out.
    fn pump(&mut self, sender: usize, model: &Delivery) {
        let Some(session) = &mut self.links[sender].now else { return };
        let sender = &mut self.senders[sender];
        if sender.paused {
            return;
        }
        for counter in sender.due(model).iter() {
            session.up.push(ToServer::Submit(counter));
            sender.in_flight.add(counter);
        }
    }

    /// A new link: the client takes its mailbox and submits what is not answered.
    pub(crate) fn dial(&mut self, client: Client, model: &Delivery) {
        let mut session = Session::default();
        session.up.push(ToServer::Attach);
        self.links[client.index()].now = Some(session);
        if let Some(sender) = client.as_sender() {
            self.pump(sender, model);
        }
    }

    /// A client reads the next message of the server.
    pub(crate) fn client_reads(&mut self, client: Client, model: &Delivery) {
        let Some(message) = self.session_mut(client, Which::Now).map(|s| s.down.remove(0)) else {
            return;
        };
        match (client.as_sender(), client.as_device()) {
            (Some(sender), _) => self.sender_reads(sender, message, model),
            (_, Some(device)) => {
                let ToClient::Record(record) = message else { return };
                self.devices[device].receive(record, model);
                if model.has(Fault::AckBeforeCommit) {
                    self.acknowledge(device);
                }
            }
            (None, None) => {}
        }
    }

    fn sender_reads(&mut self, index: usize, message: ToClient, model: &Delivery) {
        let sender = &mut self.senders[index];
        match message {
            ToClient::Accepted(counter) => sender.accept(counter),
            ToClient::Refused(counter) => sender.is_awaited(counter, model),
            ToClient::AfterRefusal(counter) => sender.is_after_refusal(counter),
            ToClient::Full(counter) => sender.fail(counter),
            ToClient::Record(Record { seq, entry }) => {
                if let Entry::Receipt { by, up_to } = entry {
                    let delivered = &mut sender.delivered[usize::from(by)];
                    *delivered = up_to.max(*delivered);
                }
                if let Some(session) = &mut self.links[index].now {
                    session.up.push(ToServer::Ack(seq));
                }
            }
        }
        self.pump(index, model);
    }

    /// A device commits what it received, and acknowledges it after that.
    pub(crate) fn device_commits(&mut self, device: usize) {
        self.devices[device].commit();
        self.acknowledge(device);
    }

    fn acknowledge(&mut self, device: usize) {
        let client = Client::of_device(device);
        let up_to = self.devices[device].take_acknowledgement();
        if let (Some(up_to), Some(session)) = (up_to, self.session_mut(client, Which::Now)) {
            session.up.push(ToServer::Ack(up_to));
        }
    }

    /// The client has no link any more. The server may not know yet, and read what was sent.
    pub(crate) fn lose_link(&mut self, client: Client) {
        self.gone(client);
        self.age_tokens(client);
        let Link { now, before, bound, .. } = &mut self.links[client.index()];
        if let Some(session) = now.take().filter(|session| !session.up.is_empty()) {
            *bound = bound.and(Some(Which::Before));
            *before = Some(session.half_dead());
        } else {
            *bound = None;
        }
        match (client.as_sender(), client.as_device()) {
            (Some(sender), _) => self.senders[sender].link_lost(),
            (_, Some(device)) => {
                let device = &mut self.devices[device];
                (device.seen, device.acknowledged) = (0, 0);
            }
            (None, None) => {}
        }
    }

    /// The client's process dies: what is not committed is gone.
    pub(crate) fn client_crashes(&mut self, client: Client) {
        if self.links[client.index()].now.is_some() {
            self.lose_link(client);
        }
        if let Some(device) = client.as_device() {
            self.devices[device].staged.iter_mut().for_each(|staged| staged.clear());
        }
    }
}

impl Session {
    /// What is left of a session of which the client is gone: what it says is heard by nobody.
    fn half_dead(self) -> Self {
        let feed = if self.feed == Feed::Off { Feed::Off } else { Feed::Live };
        Self {
            up: self.up,
            feed,
            last_sent: self.last_sent,
            refused_from: self.refused_from,
            words: self.words,
            ..Self::default()
        }
    }
}
