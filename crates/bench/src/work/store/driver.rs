//! Keeps a number of submissions under way, and deletes what was handed over a moment later.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_base::{DeviceId, Seq};
use godwit_store::{
    Answer, Appended, Embedded, Mailboxes, Outcome, Page, Recipient, SealedCopy, Settled, Sink,
    Submission, Token,
};

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::{NUMBER, device_id};
use crate::device::Cast;
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};
use crate::progress;

/// From the hand-over to the deletion: a fast client's round trip.
const CLIENT_TAKES: Duration = Duration::from_millis(5);

/// Mailboxes that are drained at once: their pages fit into what the store's readers take.
const DRAINED_AT_ONCE: usize = 64;

/// Records of a page that is drained, and bytes: those of a session.
const PAGE: usize = 256;
const PAGE_BYTES: usize = 64 * 1024;

/// Without an emptied mailbox for so long, a drain is given up: far longer than 64 of 5,000 records take, and
/// than the store takes to open anew after a failed batch.
pub(super) const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// Before a store that had no answer is asked again.
const DRAIN_PAUSE: Duration = Duration::from_millis(10);

/// What the store tells.
pub(super) enum Event {
    /// So many submissions are decided: their tokens, and whether they were accepted.
    Settled(Vec<(usize, bool)>),
    /// These records are new.
    Appended(Vec<(DeviceId, Seq)>),
}

/// The store's end of the line to the driver.
pub(super) struct Line(Sender<Event>);

impl Line {
    pub(super) fn new(events: Sender<Event>) -> Self {
        Self(events)
    }
}

impl Sink for Line {
    fn settled(&self, settled: &[Settled]) {
        let one = |settled: &Settled| {
            let slot = usize::try_from(settled.token.0).unwrap_or(usize::MAX);
            (slot, matches!(settled.outcome, Outcome::Accepted { .. }))
        };
        // Nobody listens any more when the run is over.
        let _ = self.0.send(Event::Settled(settled.iter().map(one).collect()));
    }

    fn appended(&self, appended: &[Appended]) {
        let all = appended.iter().map(|new| (new.device, new.record.seq)).collect();
        let _ = self.0.send(Event::Appended(all));
    }

    fn missed(&self) {
        // The batch that failed was settled as refused, and the driver stops at that.
    }
}

/// What is handed over in one moment and deleted in another.
struct Handed {
    due: Instant,
    newest: HashMap<DeviceId, Seq>,
}

pub(super) struct Driver {
    senders: Vec<DeviceId>,
    /// Newest counter of each sender.
    counters: Vec<u64>,
    recipients: Vec<DeviceId>,
    cast: Cast,
    body: Bytes,
    delete: bool,
    read_back: bool,
    /// When each submission under way was made, by token.
    under_way: Vec<Option<Instant>>,
    free: Vec<usize>,
    handed: VecDeque<Handed>,
    events: Receiver<Event>,
    turn: usize,
    submitted: u64,
    accepted: u64,
    refused: u64,
    durable: Latencies,
}

impl Driver {
    pub(super) fn new(
        cast: Cast,
        senders: Range<u32>,
        body_bytes: usize,
        events: Receiver<Event>,
    ) -> Self {
        let senders: Vec<_> = senders.map(|number| device_id(cast, number)).collect();
        Self {
            counters: vec![0; senders.len()],
            senders,
            recipients: Vec::new(),
            cast,
            body: Bytes::from(vec![0x5a; body_bytes]),
            delete: false,
            read_back: false,
            under_way: Vec::new(),
            free: Vec::new(),
            handed: VecDeque::new(),
            events,
            turn: 0,
            submitted: 0,
            accepted: 0,
            refused: 0,
            durable: Latencies::default(),
        }
    }

    /// From now on to these; whether what arrives is deleted, and read from the mailbox before.
    pub(super) fn aim(&mut self, recipients: Range<u32>, delete: bool, read_back: bool) {
        self.recipients = recipients.map(|number| device_id(self.cast, number)).collect();
        (self.delete, self.read_back) = (delete, read_back);
    }

    /// Keeps `in_flight` submissions under way while `more` says so, then waits for the last.
    pub(super) fn go(
        &mut self,
        store: &Embedded,
        in_flight: u32,
        mut more: impl FnMut(&Self) -> bool,
    ) {
        let in_flight = in_flight as usize;
        let mut reads = Vec::new();
        loop {
            let going_on = more(self);
            while going_on && self.busy() < in_flight && more(self) && self.submit(store) {}
            if !going_on && self.busy() == 0 && self.handed.is_empty() {
                return;
            }
            self.delete_due(store, &mut reads);
            let patience = self.handed.front().map_or(Duration::from_secs(1), |handed| {
                handed.due.saturating_duration_since(Instant::now())
            });
            match self.events.recv_timeout(patience) {
                Ok(event) => {
                    self.take(event);
                    while let Ok(event) = self.events.try_recv() {
                        self.take(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Fetches and deletes all that waits for these, a few mailboxes at once. `look` is called between.
    ///
    /// # Errors
    /// [`LoadError::NotDrained`] when no mailbox becomes empty for so long, or the store's error is one that
    /// stays.
    pub(super) fn drain(
        &mut self,
        store: &impl Mailboxes,
        numbers: Range<u32>,
        patience: Duration,
        mut look: impl FnMut(),
    ) -> Result<(), LoadError> {
        let runtime = Handle::current();
        let bar = progress::bar("draining mailboxes", numbers.len() as u64);
        let cast = self.cast;
        let mut devices = numbers.map(|number| device_id(cast, number));
        let mut open: Vec<(DeviceId, Seq)> = Vec::new();
        let mut since = Instant::now();
        loop {
            let closed = DRAINED_AT_ONCE - open.len();
            open.extend(devices.by_ref().take(closed).map(|device| (device, Seq::ZERO)));
            if open.is_empty() {
                bar.finish_and_clear();
                return Ok(());
            }
            look();
            let mut failed = None;
            let pages: Vec<_> = open
                .drain(..)
                .map(|(device, after)| (device, after, store.read(device, after, PAGE, PAGE_BYTES)))
                .collect();
            for (device, after, page) in pages {
                let last = runtime.block_on(page).map(|page| page.records.last().map(|it| it.seq));
                let taken = last.and_then(|last| {
                    last.map(|last| store.acknowledge(device, last)).transpose()?;
                    Ok(last)
                });
                match taken {
                    Ok(Some(last)) => open.push((device, last)),
                    // Once more from the front: then the deletions are durable.
                    Ok(None) if after > Seq::ZERO => open.push((device, Seq::ZERO)),
                    Ok(None) => {
                        bar.inc(1);
                        since = Instant::now();
                    }
                    Err(error) => {
                        failed = Some(error);
                        open.push((device, after)); // once more, after a pause
                    }
                }
            }
            self.take_waiting();
            self.delete_due(store, &mut Vec::new());
            if failed.as_ref().is_some_and(|error| !error.retryable())
                || since.elapsed() >= patience
            {
                let said = failed.map(|error| error.to_string());
                let said = said.unwrap_or("what was deleted comes again".to_owned());
                return Err(LoadError::NotDrained { seconds: since.elapsed().as_secs(), said });
            }
            if failed.is_some() {
                runtime.block_on(sleep(DRAIN_PAUSE));
            }
        }
    }

    /// What the store has told by now.
    pub(super) fn take_waiting(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
    }

    fn busy(&self) -> usize {
        self.under_way.len() - self.free.len()
    }

    /// Submits one; false when the store's queue is full.
    fn submit(&mut self, store: &Embedded) -> bool {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.under_way.push(None);
            self.under_way.len() - 1
        });
        let (sender, recipient) =
            (self.turn % self.senders.len(), self.turn % self.recipients.len());
        let (Some(origin), Some(to), Some(counter)) = (
            self.senders.get(sender),
            self.recipients.get(recipient),
            self.counters.get_mut(sender),
        ) else {
            return false;
        };
        let copy = SealedCopy { device: NUMBER, body: self.body.clone() };
        let submission = Submission {
            origin: *origin,
            counter: *counter + 1,
            recipients: vec![Recipient {
                account: to.account,
                list_version: 1,
                copies: vec![copy],
            }],
            post: None,
            token: Token(slot as u64),
        };
        if store.submit(submission).is_err() {
            self.free.push(slot);
            return false;
        }
        *counter += 1;
        self.turn += 1;
        self.submitted += 1;
        if let Some(place) = self.under_way.get_mut(slot) {
            *place = Some(Instant::now());
        }
        true
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Settled(settled) => {
                for (slot, accepted) in settled {
                    let at = self.under_way.get_mut(slot).and_then(Option::take);
                    self.free.push(slot);
                    if accepted {
                        self.accepted += 1;
                        at.into_iter().for_each(|at| self.durable.record(now - at));
                    } else {
                        self.refused += 1;
                    }
                }
            }
            Event::Appended(appended) if self.delete => {
                let due = now + CLIENT_TAKES;
                let newest = appended.into_iter().collect(); // in order: the last of a device stays
                self.handed.push_back(Handed { due, newest });
            }
            Event::Appended(_) => {}
        }
    }

    /// Deletes what a client would have taken by now.
    fn delete_due(&mut self, store: &impl Mailboxes, reads: &mut Vec<Answer<Page>>) {
        let now = Instant::now();
        while let Some(handed) = self.handed.pop_front_if(|handed| handed.due <= now) {
            for (device, up_to) in handed.newest {
                if self.read_back {
                    reads.push(store.read(device, Seq::ZERO, 64, 64 * 1024));
                }
                // A full queue is no harm: the next acknowledgement covers this one.
                let _ = store.acknowledge(device, up_to);
            }
            let Ok(runtime) = Handle::try_current() else { return };
            for read in reads.drain(..) {
                let _ = runtime.block_on(read);
            }
        }
    }

    pub(super) fn restart_count(&mut self) {
        (self.submitted, self.accepted, self.refused) = (0, 0, 0);
        self.durable = Latencies::default();
    }

    pub(super) fn submitted(&self) -> u64 {
        self.submitted
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn durable(&self) -> Option<Percentiles> {
        self.durable.percentiles()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    use godwit_store::{Entry, Full, Record, StoreError};

    use super::*;

    /// A store that answers every read in one way.
    struct Answers {
        with: fn() -> Result<Page, StoreError>,
        reads: AtomicU64,
    }

    impl Mailboxes for Answers {
        fn submit(&self, _: Submission) -> Result<(), Full> {
            Err(Full)
        }

        fn highest_counter(&self, _: DeviceId) -> u64 {
            0
        }

        fn acknowledge(&self, _: DeviceId, _: Seq) -> Result<(), Full> {
            Ok(())
        }

        fn read(&self, _: DeviceId, _: Seq, _: usize, _: usize) -> Answer<Page, StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let page = (self.with)();
            Box::pin(async move { page })
        }
    }

    /// How a drain of three mailboxes of such a store ends, and how often the store was asked.
    async fn drain(
        patience: Duration,
        with: fn() -> Result<Page, StoreError>,
    ) -> (Result<(), LoadError>, u64) {
        let drain = move || {
            let (_line, events) = channel();
            let mut driver = Driver::new(Cast::new(1), 0..1, 1, events);
            let store = Answers { with, reads: AtomicU64::new(0) };
            let end = driver.drain(&store, 0..3, patience, || ());
            (end, store.reads.into_inner())
        };
        tokio::task::spawn_blocking(drain).await.unwrap()
    }

    #[tokio::test]
    async fn a_drain_of_a_store_without_answers_ends() {
        let patience = Duration::from_millis(50);
        let (end, reads) = drain(patience, || Err(StoreError::Unavailable)).await;
        let said = end.unwrap_err().to_string();
        assert!(said.contains("no mailbox") && said.contains("not available"), "{said}");
        assert!(reads <= 3 * 6, "it is asked again after a pause of a fifth of that: {reads}");
        let (end, reads) = drain(DRAIN_PATIENCE, || Err(StoreError::Damaged("x".into()))).await;
        assert!(matches!(end, Err(LoadError::NotDrained { seconds: 0, .. })), "{end:?}");
        assert_eq!(reads, 3, "no retry helps");
    }

    #[tokio::test]
    async fn a_drain_of_mailboxes_that_stay_full_ends() {
        let again = || {
            let mut page = Page::default();
            let (from, body) = (device_id(Cast::new(1), 9), Bytes::new());
            let entry = Entry::Message { from, counter: 1, body };
            page.records.push(Record { seq: Seq(1), entry });
            Ok(page)
        };
        let (end, _) = drain(Duration::from_millis(50), again).await;
        assert!(matches!(end, Err(LoadError::NotDrained { .. })), "{end:?}");
        let (end, reads) = drain(DRAIN_PATIENCE, || Ok(Page::default())).await;
        assert!(end.is_ok() && reads == 3, "empty ones");
    }
}
