//! What all pairs of a chat have seen. One thread, so cells and no locks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::conn::{self, Traffic};
use crate::error::LoadError;
use crate::figures::{Latencies, Percentiles};

/// A message got its first tick.
const ACCEPTED: u8 = 1;
/// Its recipient has it.
const DELIVERED: u8 = 2;

/// The messages of one pair.
#[derive(Default)]
struct Ledger {
    /// Flags by counter; 1 byte a message.
    messages: Vec<u8>,
    newest_delivered: usize,
}

/// Counts of a chat.
pub(crate) struct Tally {
    began: Instant,
    ledgers: RefCell<Vec<Ledger>>,
    submitted: Cell<u64>,
    done: Cell<u64>,
    duplicated: Cell<u64>,
    out_of_order: Cell<u64>,
    /// Refused for good.
    pub(crate) failed: Cell<u64>,
    /// Refused, to be sent again.
    pub(crate) refused_for_now: Cell<u64>,
    /// Connections that ended,
    pub(crate) broken: Cell<u64>,
    /// and of these, by a frame that did not open: a counter was used twice, or passed over.
    pub(crate) unopened: Cell<u64>,
    sender_traffic: Cell<Traffic>,
    recipient_traffic: Cell<Traffic>,
    recording: RefCell<Option<Recording>>,
    /// When each message was written that has not arrived, by pair and counter; `None` where nobody
    /// asks for the server's part.
    written: RefCell<Option<HashMap<(u32, u64), Duration>>>,
}

#[derive(Default)]
struct Recording {
    delivery: Latencies,
    accepted: Latencies,
    done: Latencies,
    server: Latencies,
}

/// Which latency.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Accepted,
    Done,
}

impl Tally {
    pub(crate) fn new(pairs: u32) -> Self {
        let ledgers = (0..pairs).map(|_| Ledger::default()).collect();
        Self {
            began: Instant::now(),
            ledgers: RefCell::new(ledgers),
            submitted: Cell::default(),
            done: Cell::default(),
            duplicated: Cell::default(),
            out_of_order: Cell::default(),
            failed: Cell::default(),
            refused_for_now: Cell::default(),
            broken: Cell::default(),
            unopened: Cell::default(),
            sender_traffic: Cell::default(),
            recipient_traffic: Cell::default(),
            recording: RefCell::default(),
            written: RefCell::default(),
        }
    }

    /// A moment as it travels in a body: nanoseconds since the chat began.
    pub(crate) fn stamp(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn submitted(&self) {
        bump(&self.submitted, 1);
    }

    pub(crate) fn accepted(&self, pair: u32, counter: u64, latency: Duration) {
        self.flag(pair, counter, ACCEPTED);
        self.record(Mark::Accepted, latency);
    }

    pub(crate) fn finished(&self, latency: Duration) {
        bump(&self.done, 1);
        self.record(Mark::Done, latency);
    }

    pub(crate) fn given_up(&self) {
        bump(&self.failed, 1);
    }

    /// The recipient has message `counter`, which was submitted at `stamp`.
    pub(crate) fn delivered(&self, pair: u32, counter: u64, stamp: u64) {
        let now = Instant::now();
        if self.flag(pair, counter, DELIVERED) & DELIVERED != 0 {
            bump(&self.duplicated, 1);
        } else if let Some(ledger) = self.ledgers.borrow_mut().get_mut(pair as usize) {
            let counter = usize::try_from(counter).unwrap_or(usize::MAX);
            bump(&self.out_of_order, u64::from(counter < ledger.newest_delivered));
            ledger.newest_delivered = ledger.newest_delivered.max(counter);
        }
        if let Some(recording) = &mut *self.recording.borrow_mut() {
            let took = self.stamp(now).saturating_sub(stamp);
            recording.delivery.record(Duration::from_nanos(took));
        }
    }

    /// From now on the server's part of each message is told apart: from before its sender writes it to
    /// when the kernel has it for its recipient, who may read it later.
    pub(crate) fn tell_the_server_apart(&self) {
        *self.written.borrow_mut() = Some(HashMap::new());
    }

    /// The sender is about to write this message; if it does so again, the first time counts.
    pub(crate) fn writes(&self, pair: u32, counter: u64) {
        if let Some(written) = &mut *self.written.borrow_mut() {
            written.entry((pair, counter)).or_insert_with(conn::now);
        }
    }

    /// The kernel had these messages for their recipient `at` this time.
    pub(crate) fn arrived(&self, pair: u32, counters: &[u64], at: Option<Duration>) {
        let (mut written, mut recording) = (self.written.borrow_mut(), self.recording.borrow_mut());
        let Some(written) = &mut *written else { return };
        for counter in counters {
            let wrote = written.remove(&(pair, *counter));
            if let (Some(wrote), Some(at), Some(recording)) = (wrote, at, &mut *recording) {
                recording.server.record(at.saturating_sub(wrote));
            }
        }
    }

    /// Sets a flag of a message and returns what was set before.
    fn flag(&self, pair: u32, counter: u64, flag: u8) -> u8 {
        let mut ledgers = self.ledgers.borrow_mut();
        let counter = usize::try_from(counter).unwrap_or(usize::MAX);
        let Some(ledger) = ledgers.get_mut(pair as usize) else { return 0 };
        if ledger.messages.len() <= counter {
            ledger.messages.resize(counter + 1, 0);
        }
        ledger.messages.get_mut(counter).map_or(0, |flags| {
            let before = *flags;
            *flags |= flag;
            before
        })
    }

    fn record(&self, mark: Mark, latency: Duration) {
        if let Some(recording) = &mut *self.recording.borrow_mut() {
            match mark {
                Mark::Accepted => recording.accepted.record(latency),
                Mark::Done => recording.done.record(latency),
            }
        }
    }

    pub(crate) fn start_recording(&self) {
        *self.recording.borrow_mut() = Some(Recording::default());
    }

    /// Delivery, acceptance, done, the server's part of the delivery.
    pub(crate) fn stop_recording(&self) -> [Option<Percentiles>; 4] {
        let recording = self.recording.take().unwrap_or_default();
        [recording.delivery, recording.accepted, recording.done, recording.server]
            .map(|latencies| latencies.percentiles())
    }

    /// Messages that got all their ticks.
    pub(crate) fn done(&self) -> u64 {
        self.done.get()
    }

    /// Messages that were submitted, each counted once.
    pub(crate) fn sent(&self) -> u64 {
        self.submitted.get()
    }

    /// Messages that were submitted and neither done nor refused for good.
    pub(crate) fn on_their_way(&self) -> u64 {
        self.submitted.get().saturating_sub(self.done.get() + self.failed.get())
    }

    /// Messages that have their first tick.
    pub(crate) fn ticked(&self) -> u64 {
        let ledgers = self.ledgers.borrow();
        let messages = ledgers.iter().flat_map(|ledger| &ledger.messages);
        messages.filter(|flags| **flags & ACCEPTED != 0).count() as u64
    }

    /// Lost, duplicated, out of order.
    pub(crate) fn verdict(&self) -> (u64, u64, u64) {
        let ledgers = self.ledgers.borrow();
        let messages = ledgers.iter().flat_map(|ledger| &ledger.messages);
        let lost = messages.filter(|flags| **flags & (ACCEPTED | DELIVERED) == ACCEPTED).count();
        (lost as u64, self.duplicated.get(), self.out_of_order.get())
    }

    /// A connection's task ended. None should before the run does.
    pub(crate) fn note_end(&self, end: Result<(), LoadError>) {
        bump(&self.broken, 1);
        bump(&self.unopened, u64::from(matches!(end, Err(LoadError::Link(_)))));
        if let (1, Err(error)) = (self.broken.get(), end) {
            eprintln!("the first connection to break: {error}");
        }
    }

    pub(crate) fn count_sender(&self, before: Traffic, now: Traffic) {
        grow(&self.sender_traffic, before, now);
    }

    pub(crate) fn count_recipient(&self, before: Traffic, now: Traffic) {
        grow(&self.recipient_traffic, before, now);
    }

    /// Of all senders, of all recipients.
    pub(crate) fn traffic(&self) -> (Traffic, Traffic) {
        (self.sender_traffic.get(), self.recipient_traffic.get())
    }
}

pub(in crate::work) fn bump(count: &Cell<u64>, by: u64) {
    count.set(count.get() + by);
}

fn grow(total: &Cell<Traffic>, before: Traffic, now: Traffic) {
    let Traffic { up_bytes, down_bytes } = total.get();
    total.set(Traffic {
        up_bytes: up_bytes + now.up_bytes - before.up_bytes,
        down_bytes: down_bytes + now.down_bytes - before.down_bytes,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_part_is_from_the_write_to_the_arrival_of_each_message_once() {
        let tally = Tally::new(1);
        let ms = Duration::from_millis;
        tally.writes(0, 1);
        tally.start_recording();
        tally.arrived(0, &[1], Some(conn::now() + ms(1_000)));
        assert_eq!(tally.stop_recording()[3], None, "nobody asked");

        tally.tell_the_server_apart();
        tally.start_recording();
        let before = conn::now();
        tally.writes(0, 1);
        tally.writes(0, 2);
        let between = conn::now() - before;
        tally.arrived(0, &[1, 2], Some(before + ms(1_000)));
        tally.arrived(0, &[1, 3], Some(before + ms(50_000)));
        let told = tally.stop_recording()[3].unwrap();
        assert!(told.max < 1_001.0, "1 came again and 3 was never written: {told:?}");
        let least = (ms(1_000) - between).as_secs_f64() * 1e3;
        assert!(told.p50 > least - 1.0, "{told:?} {least}");
    }

    #[test]
    fn lost_is_what_was_promised_and_never_came() {
        let tally = Tally::new(1);
        let zero = Duration::ZERO;
        for counter in 1..=4 {
            tally.submitted();
            if counter != 4 {
                tally.accepted(0, counter, zero);
            }
        }
        for counter in [1, 3, 3, 2] {
            tally.delivered(0, counter, 0);
        }
        assert_eq!(tally.verdict(), (0, 1, 1), "3 came twice, 2 after it; 4 was never promised");
        tally.accepted(0, 4, zero);
        assert_eq!(tally.verdict(), (1, 1, 1));
    }
}
