//! What a session of the server does: `crates/server/src/session` and the registry.

use crate::delivery::Delivery;
use crate::fault::Fault;
use crate::state::{
    Client, Counter, Entry, Feed, PAGE_MAX, Record, Session, State, Submission, ToClient, ToServer,
    Which, Word,
};

impl Session {
    /// What a session answers to a submission at once, if it does not take it.
    pub(crate) fn refuses(&self, counter: Counter, model: &Delivery) -> bool {
        self.refused_from != 0
            && counter > self.refused_from
            && !model.has(Fault::TakesAfterRefusal)
    }

    fn refuse_for_now(&mut self, counter: Counter) -> ToClient {
        if self.refused_from == 0 || counter < self.refused_from {
            self.refused_from = counter;
        }
        ToClient::Refused(counter)
    }
}

impl State {
    /// The session reads the next message of its client. With `is_full` the store's queue has no room.
    pub(crate) fn hears(&mut self, client: Client, which: Which, is_full: bool, model: &Delivery) {
        let Some(session) = self.session_mut(client, which) else { return };
        let message = session.up.remove(0);
        let last_sent = session.last_sent;
        match message {
            ToServer::Attach => self.attach(client, which, model),
            ToServer::Submit(counter) => self.submit(client, which, counter, is_full, model),
            ToServer::Ack(up_to) => {
                let ack = &mut self.store.acks[client.index()];
                *ack = up_to.min(last_sent).max(*ack);
            }
        }
        self.forget_idle(client);
    }

    fn submit(
        &mut self,
        client: Client,
        which: Which,
        counter: Counter,
        is_full: bool,
        model: &Delivery,
    ) {
        let bound = self.links[client.index()].bound;
        let is_displaced = which == Which::Before && bound == Some(Which::Now);
        if is_displaced && !model.has(Fault::DisplacedSubmits) {
            return;
        }
        let Some(session) = self.session_mut(client, which) else { return };
        if session.refuses(counter, model) {
            return say(session, which, ToClient::AfterRefusal(counter));
        }
        if counter == session.refused_from && !model.has(Fault::RefusesForEver) {
            session.refused_from = 0;
        }
        if is_full {
            let refusal = session.refuse_for_now(counter);
            return say(session, which, refusal);
        }
        let age = match which {
            Which::Now => 0,
            Which::Before => 1,
        };
        self.store.queue.push(Submission { from: client.0, age, counter });
    }

    /// The device takes its mailbox; an older session of it is displaced.
    fn attach(&mut self, client: Client, which: Which, model: &Delivery) {
        let link = &mut self.links[client.index()];
        let is_late = which == Which::Before && link.bound == Some(Which::Now);
        if is_late && !model.has(Fault::LateAttachTakes) {
            link.before = None;
            return;
        }
        link.bound = Some(which);
        if let Some(session) = self.session_mut(client, which) {
            session.feed = Feed::Behind;
        }
    }

    /// The session tells what became of a submission.
    pub(crate) fn settled(&mut self, client: Client, which: Which) {
        let Some(session) = self.session_mut(client, which) else { return };
        let answer = match session.words.remove(0) {
            Word::Accepted(counter) => ToClient::Accepted(counter),
            Word::Refused(counter) => session.refuse_for_now(counter),
            Word::Full(counter) => ToClient::Full(counter),
        };
        say(session, which, answer);
    }

    /// The session empties its inbox and asks for a page.
    pub(crate) fn read_page(&mut self, client: Client, model: &Delivery) {
        let newest = self.waiting(client, 0).last().map_or(0, |record| record.seq);
        let Some(session) = self.session_mut(client, Which::Now) else { return };
        if model.has(Fault::InboxEmptiedLate) {
            session.feed = Feed::Reading(newest);
            return;
        }
        session.inbox.clear();
        session.behind = false;
        session.feed = Feed::Reading(0);
    }

    /// The page was read, and is said.
    pub(crate) fn page(&mut self, client: Client, model: &Delivery) {
        let Some(session) = self.session(client, Which::Now) else { return };
        let (feed, last_sent) = (session.feed, session.last_sent);
        let mut records = self.waiting(client, last_sent);
        if let (Feed::Reading(newest), true) = (feed, model.has(Fault::InboxEmptiedLate)) {
            records.retain(|record| record.seq <= newest);
        }
        if model.has(Fault::PageNewestFirst) {
            records.reverse();
        }
        let more = records.len() > PAGE_MAX;
        for record in records.into_iter().take(PAGE_MAX) {
            self.record(client, record, model);
        }
        let Some(session) = self.session_mut(client, Which::Now) else { return };
        session.feed = if more { Feed::Behind } else { Feed::Live };
        if model.has(Fault::InboxEmptiedLate) {
            session.inbox.clear();
            session.behind = false;
        }
    }

    /// The session takes the next record from its inbox, or learns that it is behind.
    pub(crate) fn records(&mut self, client: Client, model: &Delivery) {
        let Some(session) = self.session_mut(client, Which::Now) else { return };
        if session.inbox.is_empty() {
            session.behind = false;
            session.feed = Feed::Behind;
            return;
        }
        let record = session.inbox.remove(0);
        self.record(client, record, model);
    }

    /// Says a record that was not said on this link.
    fn record(&mut self, client: Client, record: Record, model: &Delivery) {
        let Some(session) = self.session_mut(client, Which::Now) else { return };
        if record.seq <= session.last_sent {
            return;
        }
        session.last_sent = record.seq;
        session.down.push(ToClient::Record(record));
        if let (Some(device), Entry::Message { from, counter }) = (client.as_device(), record.entry)
        {
            if model.has(Fault::DeleteOnDelivery) {
                self.store.deleted[device] = record.seq;
            }
            if model.has(Fault::ReceiptOnDelivery) {
                self.file_receipt(from, device, counter);
            }
        }
    }

    /// The session of a client that is gone ends; what it had not read is lost.
    pub(crate) fn gone(&mut self, client: Client) {
        let link = &mut self.links[client.index()];
        link.before = None;
        if link.bound == Some(Which::Before) {
            link.bound = None;
        }
        self.store.forget_holds(&self.links);
    }

    /// A session whose client is gone and that has read everything does nothing more.
    fn forget_idle(&mut self, client: Client) {
        if self.session(client, Which::Before).is_some_and(|session| session.up.is_empty()) {
            self.gone(client);
        }
    }

    /// Another process takes over: sessions move, but those of the clients in `closed`.
    pub(crate) fn hand_over(&mut self, closed: &[Client], model: &Delivery) {
        if model.has(Fault::MoveLosesOutcomes) {
            while self.store.begin_any() {
                self.tell(false, model);
            }
        }
        self.store.holds = Default::default(); // they were of the old process
        for client in Client::ALL {
            if closed.contains(&client) {
                self.close(client);
                continue;
            }
            let link = &mut self.links[client.index()];
            for session in link.now.iter_mut().chain(&mut link.before) {
                session.moves(model);
            }
        }
    }

    /// The server's end of all links of a client closes.
    pub(crate) fn close(&mut self, client: Client) {
        if self.links[client.index()].now.is_some() {
            self.lose_link(client);
        }
        self.gone(client);
    }
}

impl Session {
    /// What goes over with a session: the bytes, the newest record that was said, what it refuses.
    fn moves(&mut self, model: &Delivery) {
        self.inbox.clear();
        self.behind = false;
        if self.feed != Feed::Off {
            let goes_on = model.has(Fault::MoveGoesOnLive) && self.feed == Feed::Live;
            self.feed = if goes_on { Feed::Live } else { Feed::Behind };
        }
        if model.has(Fault::MoveForgetsRefusal) {
            self.refused_from = 0;
        }
    }
}

/// Says something on a link. On one whose client is gone nobody hears it.
fn say(session: &mut Session, which: Which, message: ToClient) {
    if which == Which::Now {
        session.down.push(message);
    }
}
