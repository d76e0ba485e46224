//! What the store does: `crates/store/src/embedded`, writer, batch and holds, and the router that is told.

use arrayvec::ArrayVec;

use crate::delivery::Delivery;
use crate::fault::Fault;
use crate::state::{
    Client, Counter, DEVICES, Entry, INBOX_MAX, LOG_MAX, Link, Record, SENDERS, Seq, Set, State,
    Store, Submission, Which, Word, Work,
};

impl Store {
    /// What a batch may be begun with: any acknowledgement that waits, or the oldest submission.
    pub(crate) fn next(&self) -> impl Iterator<Item = Work> {
        let acks = Client::ALL.into_iter().zip(self.acks);
        let acks = acks.filter(|(_, up_to)| *up_to > 0);
        let acks = acks.map(|(client, up_to)| Work::Acknowledge(client, up_to));
        acks.chain(self.queue.first().copied().map(Work::Submit))
    }

    /// Takes it into a batch.
    pub(crate) fn begin(&mut self, work: Work) {
        match work {
            Work::Submit(one) => {
                if let Some(at) = self.queue.iter().position(|other| *other == one) {
                    self.queue.remove(at);
                }
            }
            Work::Acknowledge(client, up_to) => {
                let ack = &mut self.acks[client.index()];
                *ack = if *ack == up_to { 0 } else { *ack };
            }
        }
        self.batch = Some(work);
    }

    /// Begins a batch with whatever waits.
    pub(crate) fn begin_any(&mut self) -> bool {
        let next = self.next().next();
        if let (None, Some(work)) = (self.batch, next) {
            self.begin(work);
        }
        self.batch.is_some()
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.batch.is_none() && self.next().next().is_none() && self.owed.is_empty()
    }

    fn hold(&mut self, submission: Submission) -> &mut Counter {
        &mut self.holds[usize::from(submission.from)][usize::from(submission.age)]
    }

    /// Whether a submission may be decided. One that was held itself frees the link.
    fn pass(&mut self, submission: Submission) -> bool {
        let held = self.hold(submission);
        let passes = *held == 0 || submission.counter <= *held;
        if passes {
            *held = 0;
        }
        passes
    }

    fn learn_refusal(&mut self, submission: Submission) {
        let held = self.hold(submission);
        *held = if *held == 0 { submission.counter } else { submission.counter.min(*held) };
    }

    /// Holds of links of which nothing more can come are no difference.
    pub(crate) fn forget_holds(&mut self, links: &[Link]) {
        let waits = |from: usize, age: usize| {
            let is_of =
                |one: &Submission| (usize::from(one.from), usize::from(one.age)) == (from, age);
            let in_batch = matches!(&self.batch, Some(Work::Submit(one)) if is_of(one));
            in_batch || self.queue.iter().any(is_of)
        };
        let mut holds = self.holds;
        for (from, (ages, link)) in holds.iter_mut().zip(links).enumerate() {
            for (age, held) in ages.iter_mut().enumerate() {
                let lives = match age {
                    0 => link.now.is_some(),
                    1 => link.before.is_some(),
                    _ => false,
                };
                if !lives && !waits(from, age) {
                    *held = 0;
                }
            }
        }
        self.holds = holds;
    }

    fn crashes(&mut self, model: &Delivery) {
        if model.has(Fault::WindowInMemory) {
            self.windows = [Set::default(); SENDERS];
        }
        self.queue.clear();
        self.acks = Default::default();
        self.batch = None;
        self.holds = Default::default();
        self.owed.clear();
    }
}

impl State {
    /// Records of a client's mailbox after a place, in order.
    pub(crate) fn waiting(&self, client: Client, after: Seq) -> ArrayVec<Record, LOG_MAX> {
        match (client.as_sender(), client.as_device()) {
            (Some(sender), _) => {
                let receipts = self.store.receipts[sender].iter().copied();
                receipts.filter(|record| record.seq > after).collect()
            }
            (_, Some(device)) => {
                let from = after.max(self.store.deleted[device]);
                let rest = (from + 1..).zip(self.store.log.iter().skip(usize::from(from)));
                let record = |(seq, (from, counter)): (Seq, &(u8, Counter))| Record {
                    seq,
                    entry: Entry::Message { from: *from, counter: *counter },
                };
                rest.map(record).collect()
            }
            (None, None) => ArrayVec::new(),
        }
    }

    /// The links of a client are one older: a new one is the present one.
    pub(crate) fn age_tokens(&mut self, client: Client) {
        let Some(sender) = client.as_sender() else { return };
        let store = &mut self.store;
        let older = |one: &mut Submission| {
            if usize::from(one.from) == sender {
                one.age = (one.age + 1).min(2);
            }
        };
        store.queue.iter_mut().for_each(older);
        if let Some(Work::Submit(one)) = &mut store.batch {
            older(one);
        }
        let [now, before, long_ago] = store.holds[sender];
        let oldest = [before, long_ago].into_iter().filter(|held| *held > 0).min().unwrap_or(0);
        store.holds[sender] = [0, now, oldest];
    }

    /// A batch is written. A store that is built wrong tells before the sync.
    pub(crate) fn write(&mut self, work: Work, model: &Delivery) {
        self.store.begin(work);
        if let (Work::Submit(one), true) = (work, model.has(Fault::TickBeforeDisk)) {
            self.word(one, Word::Accepted(one.counter));
        }
    }

    /// The sync is done: the batch is durable, and everybody is told.
    pub(crate) fn tell(&mut self, is_told: bool, model: &Delivery) {
        match self.store.batch.take() {
            Some(Work::Submit(submission)) => {
                let word = self.store_submission(submission, is_told, model);
                if is_told && !model.has(Fault::TickBeforeDisk) {
                    self.word(submission, word);
                }
            }
            Some(Work::Acknowledge(client, up_to)) => {
                self.acknowledge_batch(client, up_to, is_told, model);
            }
            None => {}
        }
        self.store.forget_holds(&self.links);
    }

    fn store_submission(&mut self, one: Submission, is_told: bool, model: &Delivery) -> Word {
        if !self.store.pass(one) && !model.has(Fault::NoHolds) {
            return Word::Refused(one.counter);
        }
        let (from, counter) = (one.from, one.counter);
        let window = &mut self.store.windows[usize::from(from)];
        let is_repeat = window.has(counter) && !model.has(Fault::NoWindow);
        if !is_repeat {
            window.add(counter);
            self.store.log.push((from, counter));
            let seq = Seq::try_from(self.store.log.len()).unwrap_or(Seq::MAX);
            let record = Record { seq, entry: Entry::Message { from, counter } };
            for device in (0..DEVICES).filter(|_| is_told) {
                self.hand(Client::of_device(device), record, model);
            }
        }
        Word::Accepted(counter)
    }

    /// Deletes, and files the receipts, in one commit.
    fn acknowledge_batch(&mut self, client: Client, up_to: Seq, is_told: bool, model: &Delivery) {
        if let Some(sender) = client.as_sender() {
            return self.store.receipts[sender].retain(|record| record.seq > up_to);
        }
        let Some(device) = client.as_device() else { return };
        let mut newest = [0; SENDERS];
        for record in self.waiting(client, 0) {
            if let (true, Entry::Message { from, counter }) = (record.seq <= up_to, record.entry) {
                let newest = &mut newest[usize::from(from)];
                *newest = counter.max(*newest);
            }
        }
        let deleted = &mut self.store.deleted[device];
        *deleted = up_to.max(*deleted);
        for (from, up_to) in (0..).zip(newest).filter(|(_, up_to)| *up_to > 0) {
            if model.has(Fault::ReceiptInLaterBatch) {
                let by = u8::try_from(device).unwrap_or(u8::MAX);
                self.store.owed.push((from, by, up_to));
            } else if !model.has(Fault::ReceiptOnDelivery) {
                let record = self.file_receipt(from, device, up_to);
                if is_told {
                    self.hand(Client::sender(from), record, model);
                }
            }
        }
    }

    /// A batch of its own for a receipt, if a fault has it so.
    pub(crate) fn file_owed(&mut self, model: &Delivery) {
        let (from, by, up_to) = self.store.owed.remove(0);
        let record = self.file_receipt(from, usize::from(by), up_to);
        self.hand(Client::sender(from), record, model);
    }

    /// Puts a receipt into a sender's mailbox, in place of one that still waits.
    pub(crate) fn file_receipt(&mut self, from: u8, device: usize, up_to: Counter) -> Record {
        let sender = usize::from(from);
        let by = u8::try_from(device).unwrap_or(u8::MAX);
        let receipts = &mut self.store.receipts[sender];
        let mut up_to = up_to;
        receipts.retain(|record| match record.entry {
            Entry::Receipt { by: other, up_to: waiting } if other == by => {
                up_to = waiting.max(up_to);
                false
            }
            _ => true,
        });
        self.store.newest[sender] += 1;
        let seq = self.store.newest[sender];
        let record = Record { seq, entry: Entry::Receipt { by, up_to } };
        receipts.push(record);
        record
    }

    /// Whether the batch is one submission that may yet be refused for good.
    pub(crate) fn may_be_full(&self) -> bool {
        let Some(Work::Submit(one)) = self.store.batch else { return false };
        let held = self.store.holds[usize::from(one.from)][usize::from(one.age)];
        let passes = held == 0 || one.counter <= held;
        passes && !self.store.windows[usize::from(one.from)].has(one.counter)
    }

    /// A mailbox has no room for it: nothing is stored for anybody, and nobody is held up.
    pub(crate) fn refuse_for_good(&mut self) {
        if let Some(Work::Submit(one)) = self.store.batch.take() {
            self.store.pass(one);
            self.store.full[usize::from(one.from)].add(one.counter);
            self.word(one, Word::Full(one.counter));
        }
        self.store.forget_holds(&self.links);
    }

    /// A batch fails: nothing of it happened, the file is opened anew, and every session has to look.
    pub(crate) fn fail(&mut self, model: &Delivery) {
        match self.store.batch.take() {
            Some(Work::Submit(one)) => {
                self.store.learn_refusal(one);
                self.word(one, Word::Refused(one.counter));
            }
            Some(Work::Acknowledge(client, up_to)) if !model.has(Fault::AckForgotten) => {
                let ack = &mut self.store.acks[client.index()];
                *ack = up_to.max(*ack);
            }
            _ => {}
        }
        for link in &mut self.links {
            if let (Some(Which::Now), Some(session)) = (link.bound, &mut link.now) {
                session.behind = true;
            }
        }
        self.store.forget_holds(&self.links);
    }

    /// The outcome finds the session by its token, if that lives.
    fn word(&mut self, one: Submission, word: Word) {
        let which = match one.age {
            0 => Which::Now,
            1 => Which::Before,
            _ => return,
        };
        if let Some(session) = self.session_mut(Client::sender(one.from), which) {
            session.words.push(word);
        }
    }

    /// The record finds the session of its device. A full inbox drops it and is behind.
    fn hand(&mut self, client: Client, record: Record, model: &Delivery) {
        let link = &mut self.links[client.index()];
        let (Some(Which::Now), Some(session)) = (link.bound, &mut link.now) else { return };
        if !session.behind && session.inbox.len() < INBOX_MAX {
            session.inbox.push(record);
        } else if !model.has(Fault::OverflowUnmarked) {
            session.behind = true;
        }
    }

    /// The server's process dies: what is not durable is gone, and every link.
    pub(crate) fn server_crashes(&mut self, model: &Delivery) {
        self.store.crashes(model);
        Client::ALL.into_iter().for_each(|client| self.close(client));
    }
}
