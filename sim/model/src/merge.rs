//! Searches with crashes alone leave out moments that make no difference: some steps are taken at once, with the
//! one before them, and states that differ by nothing that is read again are one. So a search ends that would have a
//! thousand times as many states.
//!
//! A step may be taken at once if whatever else may happen first either comes to the same state after it, or wipes
//! out all that it did. A killed server wipes out what is in its memory and on every link; a killed client what
//! its link says. Each promise that is broken before such a step is broken after it, or was looked at: promises are
//! asked of every moment that is left out as well. `docs/model.md` has the argument for each of them, and
//! `tests/merged.rs` holds what the two kinds of search reach against each other.

use arrayvec::ArrayVec;

use crate::action::Action;
use crate::delivery::Delivery;
use crate::state::{
    Client, Device, Entry, Feed, LOG_MAX, Seq, Session, Set, State, ToClient, Which, Work,
};
use crate::symmetry::representative_of_merged;

/// What arrives of that which a client said before it was killed and which no batch has yet. Where steps are
/// merged all is heard at once; to be lost on the way is this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// So many of the submissions of its link.
    pub submissions: u8,
    /// The acknowledgement up to here.
    pub ack: Seq,
}

impl State {
    /// This after all that is taken at once, without what nothing reads again. Stops where a promise is broken.
    pub(crate) fn closed(mut self, model: &Delivery, tell: &mut impl FnMut(Action)) -> Self {
        loop {
            while let Some(action) = self.at_once() {
                if !self.holds() {
                    return self;
                }
                tell(action);
                self.take(action, model);
            }
            if !self.holds() {
                return self;
            }
            self.tidy();
            if self.at_once().is_none() {
                return self;
            }
        }
    }

    /// The next step that makes no difference to anybody else.
    fn at_once(&self) -> Option<Action> {
        if self.store.batch.is_some() {
            return Some(Action::Tell);
        }
        self.clients().find_map(|client| self.at_once_of(client))
    }

    fn at_once_of(&self, client: Client) -> Option<Action> {
        let Some(session) = self.session(client, Which::Now) else {
            return Some(Action::Welcome(client));
        };
        if client.as_sender().is_some_and(|at| self.senders[at].said < self.senders[at].to_say) {
            return Some(Action::Send(client.0));
        }
        if let Some(device) = client.as_device()
            && self.devices[device].has_something()
        {
            return Some(Action::Flush(u8::try_from(device).unwrap_or(u8::MAX)));
        }
        if let Some(said) = session.up.first() {
            return Some(Action::Hears(client, Which::Now, *said));
        }
        if let Some(action) = session.own_step(client)
            && self.says_at_once(client, session)
        {
            return Some(action);
        }
        if self.left.crashes > 0 {
            return None;
        }
        // Nothing is lost any more, and who reads first makes no difference.
        if !session.words.is_empty() {
            return Some(Action::Settled(client, Which::Now));
        }
        session.down.first().map(|said| Action::Reads(client, *said))
    }

    /// Whether it makes no difference when the session says what waits: no acknowledgement of an earlier link may yet
    /// take it away, and no later receipt its place.
    fn says_at_once(&self, client: Client, session: &Session) -> bool {
        let is_kept = self.store.acks[client.index()] <= session.last_sent;
        let stays = client.as_sender().is_none_or(|sender| {
            let to_say = self.senders[sender].to_say;
            let is_stored = self.store.windows[sender] == Set::up_to(to_say);
            let newest = self.store.log.len();
            let has_left = |device: usize| usize::from(self.store.deleted[device]) == newest;
            to_say <= 1 || (is_stored && self.there().all(has_left))
        });
        is_kept && stays
    }

    /// What a batch may be begun with where steps are merged, besides the rest: a part of what is acknowledged, since the
    /// rest may have been said later; and the oldest submission of each sender, since either may have been heard first.
    pub(crate) fn steps_of_merged(&self, add: &mut impl FnMut(Action)) {
        for client in self.clients() {
            for record in self.waiting(client, 0) {
                if record.seq < self.store.acks[client.index()] {
                    add(Action::Write(Work::Acknowledge(client, record.seq)));
                }
            }
        }
        let first = self.store.queue.first();
        let other = self.store.queue.iter().find(|one| first.is_some_and(|f| f.from != one.from));
        other.into_iter().for_each(|one| add(Action::Write(Work::Submit(*one))));
        if self.left.crashes > 0 {
            self.clients().for_each(|client| self.crash_early(client, add));
        }
    }

    /// A client is killed, and less arrives of what it said than all.
    fn crash_early(&self, client: Client, add: &mut impl FnMut(Action)) {
        let all_acked = self.store.acks[client.index()];
        let is_of_link = |from: u8, age: u8| from == client.0 && age == 0;
        let submitted = self.store.queue.iter().filter(|one| is_of_link(one.from, one.age)).count();
        let submitted = u8::try_from(submitted).unwrap_or(u8::MAX);
        let waiting = self.waiting(client, 0);
        let acks = waiting.iter().map(|record| record.seq).filter(|seq| *seq <= all_acked);
        for ack in std::iter::once(0).chain(acks) {
            for submissions in 0..=submitted {
                if (submissions, ack) != (submitted, all_acked) {
                    add(Action::CrashEarly(client, Arrived { submissions, ack }));
                }
            }
        }
    }

    /// What a client said on its link and no batch has is lost, but for this.
    pub(crate) fn lose_on_the_way(&mut self, client: Client, arrived: Arrived) {
        self.store.acks[client.index()] = arrived.ack;
        let mut left = arrived.submissions;
        self.store.queue.retain(|one| {
            let is_older = one.from != client.0 || one.age != 0;
            let arrives = is_older || left > 0;
            left -= u8::from(!is_older && arrives);
            arrives
        });
    }

    /// What a killed server leaves of this, and all of it if it rests; told in the one way that does not say how it
    /// came about. Messages that are not yet written are: to write them later comes to the same. A device that has
    /// received and not committed is passed over: it commits later, which is to have committed before, or is killed
    /// as well.
    pub(crate) fn outcomes(&self, model: &Delivery) -> impl Iterator<Item = Self> {
        let is_staged = |device: &Device| device.staged.iter().any(|staged| !staged.is_empty());
        let crashed = (self.left.crashes > 0).then(|| self.after(Action::CrashServer, model));
        let rests = self.is_at_rest().then(|| self.clone());
        let whole = crashed.into_iter().chain(rests);
        whole.filter(move |state| !state.devices.iter().any(is_staged)).map(|mut state| {
            state.senders.iter_mut().for_each(|sender| sender.said = sender.to_say);
            state.tidy();
            representative_of_merged(&state)
        })
    }

    /// Forgets what nothing reads again.
    pub(crate) fn tidy(&mut self) {
        self.clients().collect::<ArrayVec<_, 4>>().into_iter().for_each(|c| self.tidy_mailbox(c));
        self.tidy_queue();
        (0..self.senders.len()).for_each(|sender| self.renumber(sender));
    }

    fn tidy_mailbox(&mut self, client: Client) {
        // An acknowledgement covers what waits, or nothing.
        let acked = self.store.acks[client.index()];
        let covered = self.waiting(client, 0).into_iter().rev().find(|record| record.seq <= acked);
        self.store.acks[client.index()] = covered.map_or(0, |record| record.seq);
        let mut deleted = 0;
        if let Some(at) = client.as_device() {
            deleted = self.store.deleted[at];
            let device = &mut self.devices[at];
            if device.seen == device.acknowledged {
                // Whatever comes on this link is newer.
                (device.seen, device.acknowledged) = (0, 0);
            }
        }
        let Some(session) = self.session_mut(client, Which::Now) else { return };
        if matches!(session.feed, Feed::Off | Feed::Behind) {
            // The page begins with emptying it.
            session.inbox.clear();
            session.behind = false;
        }
        if session.inbox.is_empty() {
            // What was deleted is said on no page.
            session.last_sent = session.last_sent.max(deleted);
        }
    }

    /// Of a link that is gone nobody hears the outcome: a submission that is stored already, or that waits twice, does
    /// nothing.
    fn tidy_queue(&mut self) {
        const OLD: u8 = 2;
        let queue = std::mem::take(&mut self.store.queue);
        for mut one in queue {
            if one.age != 0 {
                one.age = OLD;
                let is_stored = self.store.windows[usize::from(one.from)].has(one.counter);
                let is_of = |other: &_| *other == one;
                if is_stored || self.store.queue.iter().any(is_of) {
                    continue;
                }
            }
            self.store.queue.push(one);
        }
        self.sort_queue();
    }

    /// Which of two senders was heard first makes no difference: either may be written first.
    pub(crate) fn sort_queue(&mut self) {
        self.store.queue.sort_by_key(|one| one.from);
    }

    /// Of the places in a sender's mailbox only the order matters: those that are still named are counted from 1.
    fn renumber(&mut self, sender: usize) {
        const NAMED_MAX: usize = 3 * LOG_MAX;
        let mut named: ArrayVec<Seq, NAMED_MAX> = ArrayVec::new();
        let link = self.links[sender].now.as_ref();
        let said = link.iter().flat_map(|session| &session.down).filter_map(|said| match said {
            ToClient::Record(record) => Some(*record),
            ToClient::Accepted(_)
            | ToClient::Refused(_)
            | ToClient::AfterRefusal(_)
            | ToClient::Full(_) => None,
        });
        let handed = link.iter().flat_map(|session| &session.inbox).copied();
        for record in self.store.receipts[sender].iter().copied().chain(said).chain(handed) {
            debug_assert!(matches!(record.entry, Entry::Receipt { .. }), "a mailbox of receipts");
            if !named.contains(&record.seq) {
                named.push(record.seq);
            }
        }
        let place = |seq: &mut Seq| {
            let before = named.iter().filter(|other| **other <= *seq).count();
            *seq = Seq::try_from(before).unwrap_or(Seq::MAX);
        };
        let store = &mut self.store;
        store.receipts[sender].iter_mut().for_each(|record| place(&mut record.seq));
        place(&mut store.newest[sender]);
        place(&mut store.acks[sender]);
        let Some(session) = &mut self.links[sender].now else { return };
        place(&mut session.last_sent);
        session.inbox.iter_mut().for_each(|record| place(&mut record.seq));
        for said in &mut session.down {
            if let ToClient::Record(record) = said {
                place(&mut record.seq);
            }
        }
    }
}

impl Session {
    /// What the session does by itself with its mailbox.
    pub(crate) fn own_step(&self, client: Client) -> Option<Action> {
        match self.feed {
            Feed::Off => None,
            Feed::Behind => Some(Action::ReadPage(client)),
            Feed::Reading(_) => Some(Action::Page(client)),
            Feed::Live if !self.inbox.is_empty() || self.behind => Some(Action::Records(client)),
            Feed::Live => None,
        }
    }
}
