//! The one thread that owns everything: index, windows, lists, and the right to write.
//!
//! It never waits on a timer for a batch to grow: a batch is what arrived during the last sync, and what those
//! bring who were ready to run on this CPU. A turn is: answer reads from what is durable, then write one batch,
//! sync, and only then tell.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use godwit_base::{Clock, DeviceId, Seq, SystemClock};

use super::batch::{BATCH_DELETES_MAX, Batch, Out, Terms};
use super::fault::{Fault, guarded, guarded_read};
use super::holds::Holds;
use super::intake::{Read, Urgent, Wakeup, Work};
use super::options::Options;
use super::reading;
use super::room;
use super::shared::Shared;
use super::state::State;
use super::task::send;
use crate::{Outcome, Page, Settled, Sink, StoreError};

/// Pause before writing again after a second failure in a row; doubles up to [`PAUSE_MAX`]. The first
/// failure costs no pause.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// Longest pause: what an operator who has just made room waits at most.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Acknowledgements kept while nothing can be written, one a device: as many as may wait for a batch, 65,536 x
/// 24 B = 1.5 MiB. Of a device beyond that the next one says the same, or the records come again on its next link.
const KEPT_ACKS_MAX: usize = super::intake::URGENT_MAX;

/// Times that the writer lets go of its CPU before it takes a batch, if something for it came during the last
/// sync. Threads that are ready to run there go first, and what they bring is in the batch too; if none is,
/// nothing is waited for. With every CPU busy that makes batches larger: 17 to 30 of a hundred less CPU time a
/// message, measured (decision 0148). Who comes to a writer that rests is served at once.
const YIELDS: u32 = 2;

/// The writer.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    sink: Arc<dyn Sink>,
    /// None while the file is not open: it could not be reopened, or a writer before this one ended.
    state: Option<State>,
    work: Work,
    acks: VecDeque<(DeviceId, Seq)>,
    /// Those of the batch that is being written.
    acks_in_batch: Vec<(DeviceId, Seq)>,
    out: Out,
    holds: Holds,
    trouble: Option<Trouble>,
    /// What its pauses are measured by: it waits for them in real time, unless it is driven.
    pauses: Arc<dyn Clock>,
}

/// Failures since the last batch that became durable.
struct Trouble {
    fault: Fault,
    failures: u32,
    /// Nothing is written before this moment.
    until_ns: u64,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: Options,
        sink: Arc<dyn Sink>,
        state: Option<State>,
    ) -> Self {
        // One before it may have ended in the middle of a turn.
        shared.busy_since(None);
        Self {
            shared,
            options,
            sink,
            state,
            work: Work::default(),
            acks: VecDeque::new(),
            acks_in_batch: Vec::new(),
            out: Out::default(),
            holds: Holds::default(),
            trouble: None,
            pauses: Arc::new(SystemClock),
        }
    }

    /// Measures its pauses by the clock of its options.
    #[cfg(feature = "driven")]
    pub(crate) fn paused_by_its_clock(mut self) -> Self {
        self.pauses = Arc::clone(&self.options.clock);
        self
    }

    /// Works until the intake is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let patience = self.patience();
            if self.shared.intake.waiting() > 0 {
                (0..YIELDS).for_each(|_| std::thread::yield_now());
            }
            if self.shared.intake.take(&mut self.work, patience) == Wakeup::Closed {
                break;
            }
            self.turn();
        }
        while self.is_half_done() && self.trouble.is_none() {
            self.turn();
        }
        self.shared.close_database();
    }

    /// Whether a turn would do something.
    #[cfg(feature = "driven")]
    pub(crate) fn is_due(&self) -> bool {
        let has_kept = self.state.is_none() || !self.acks.is_empty();
        let may_go_on = has_kept && self.may_write();
        may_go_on || !self.work.is_empty() || self.shared.intake.waiting() > 0
    }

    /// One turn with what is there, for whoever is the writer's thread.
    #[cfg(feature = "driven")]
    pub(crate) fn turn_now(&mut self) {
        if self.shared.intake.take(&mut self.work, Some(Duration::ZERO)) == Wakeup::Work {
            self.turn();
        }
    }

    /// A batch took all that it may of what was handed out.
    fn is_half_done(&self) -> bool {
        !self.acks.is_empty() || !self.work.is_empty()
    }

    /// How long to wait for work: not at all if something is half done, but after a failure not before writing
    /// may go on; for ever if all is well.
    fn patience(&self) -> Option<Duration> {
        let is_half_done = self.is_half_done();
        let Some(trouble) = self.trouble.as_ref().filter(|_| is_half_done || self.state.is_none())
        else {
            return is_half_done.then_some(Duration::ZERO);
        };
        Some(Duration::from_nanos(trouble.until_ns.saturating_sub(self.now_ns())))
    }

    fn turn(&mut self) {
        self.shared.busy_since(Some(self.options.clock.monotonic_ns()));
        self.take_turn();
        self.shared.busy_since(None);
    }

    fn take_turn(&mut self) {
        fail::fail_point!("store::turn");
        if self.state.is_none() && self.may_write() {
            self.reopen();
        }
        self.sort_urgent();
        if self.acks.is_empty() && self.work.is_empty() {
            return;
        }
        if self.state.is_none() || !self.may_write() {
            let fault = self.trouble.as_ref().map(|trouble| trouble.fault.clone());
            return self.refuse(&fault.unwrap_or(Fault::Io("the file is closed".into())));
        }
        match guarded(|| self.write()) {
            Ok(()) => {
                let is_swept = self.out.is_swept;
                self.tell();
                if is_swept {
                    room::give_back(&self.shared, &self.options, room::SERVING_LIVE_BYTES_MAX);
                }
            }
            Err(fault) => self.fail(&fault),
        }
    }

    /// Answers the reads, which see what is durable now, and keeps the acknowledgements.
    fn sort_urgent(&mut self) {
        let mut reads = Vec::new();
        for urgent in self.work.urgent.drain(..) {
            match urgent {
                Urgent::Acknowledge { device, up_to } => self.acks.push_back((device, up_to)),
                Urgent::Read(read) => reads.push(read),
            }
        }
        if reads.is_empty() {
            return;
        }
        let Some(state) = &self.state else {
            let answer = self.trouble.as_ref().map(|trouble| trouble.fault.answer());
            let answer = answer.unwrap_or(StoreError::Unavailable);
            return reads.into_iter().for_each(|read| send(read.answer, Err(answer.clone())));
        };
        let mut snapshot = None;
        for Read { device, after, max_records, max_bytes, answer } in reads {
            let (places, more) = state.index.after(device, after, max_records.max(1));
            if places.is_empty() {
                send(answer, Ok(Page::default()));
                continue;
            }
            let snapshot = snapshot.get_or_insert_with(|| self.shared.snapshot().map(Arc::new));
            match snapshot {
                Ok(snapshot) => {
                    let (shared, snapshot) = (&self.shared, Arc::clone(snapshot));
                    reading::page(shared, snapshot, device, places, more, max_bytes, answer);
                }
                Err(fault) => send(answer, Err(fault.answer())),
            }
        }
    }

    /// Writes one batch and syncs it.
    fn write(&mut self) -> Result<(), Fault> {
        let terms = Terms {
            now_ms: self.options.clock.unix_ms(),
            quotas: self.options.quotas,
            disk_full: self.is_disk_full(),
        };
        let state = self.state.as_mut().ok_or_else(|| Fault::Io("the file is closed".into()))?;
        room::sync_name(&self.shared)?;
        let txn = self.shared.begin_write()?;
        let mut batch = Batch::open(&txn, state, terms, &mut self.out)?;
        let mut budget = BATCH_DELETES_MAX;
        while budget > 0
            && let Some((device, up_to)) = self.acks.pop_front()
        {
            self.acks_in_batch.push((device, up_to));
            if !batch.acknowledge(device, up_to, &mut budget)? {
                self.acks.push_front((device, up_to));
            }
        }
        batch.is_behind = !self.acks.is_empty();
        batch.count_anew();
        while batch.has_room()
            && let Some(task) = self.work.tasks.pop_front()
        {
            batch.task(task)?;
        }
        batch.count_anew();
        while batch.has_room()
            && let Some(submission) = self.work.submissions.pop_front()
        {
            if self.holds.pass(submission.token, submission.counter) {
                batch.submit(submission)?;
            } else {
                batch.hold(&submission);
            }
        }
        if !batch.finish()? {
            return Ok(txn.abort()?);
        }
        fail::fail_point!("store::appended");
        txn.commit()?;
        fail::fail_point!("store::synced");
        self.trouble = None;
        self.shared.stats(|stats| {
            stats.batches += 1;
            stats.disk_full = terms.disk_full;
        });
        Ok(())
    }

    fn is_disk_full(&self) -> bool {
        let available = self.options.disk.available_bytes(&self.shared.dir);
        available.is_ok_and(|bytes| bytes < self.options.reserve_bytes)
    }

    /// The batch is durable, or stored nothing: everybody is told.
    fn tell(&mut self) {
        self.shared.roll.apply(self.out.roll.drain(..));
        if let Some(state) = &mut self.state {
            self.shared.waiting.apply(state.index.take_turned());
        }
        self.count();
        self.holds.learn(&self.out.settled);
        self.acks_in_batch.clear();
        self.tell_sink();
        for pending in self.out.pending.drain(..) {
            pending.send(Ok(()));
        }
        self.out.clear();
    }

    /// A panic on the other side must not end the writer: what it lost is in the mailboxes, and it is
    /// told so.
    fn tell_sink(&self) {
        let Out { settled, appended, removed, .. } = &self.out;
        let told = guarded(|| {
            if !settled.is_empty() {
                self.sink.settled(settled);
            }
            if !appended.is_empty() {
                self.sink.appended(appended);
            }
            if !removed.is_empty() {
                self.sink.removed(removed);
            }
            Ok(())
        });
        if let Err(fault) = told {
            tracing::error!(?fault, "the sink failed");
            self.tell_missed();
        }
    }

    fn tell_missed(&self) {
        let told = guarded(|| {
            self.sink.missed();
            Ok(())
        });
        if let Err(fault) = told {
            tracing::error!(?fault, "the sink failed");
        }
    }

    fn count(&self) {
        let Some(state) = &self.state else { return };
        let settled = &self.out.settled;
        let count = |is: fn(&Outcome) -> bool| settled.iter().filter(|it| is(&it.outcome)).count();
        let accepted = count(|outcome| matches!(outcome, Outcome::Accepted { .. }));
        let repeated = count(|outcome| matches!(outcome, Outcome::Repeated { .. }));
        self.shared.stats(|stats| {
            stats.accepted += accepted as u64;
            stats.repeated += repeated as u64;
            stats.acknowledged += self.out.acknowledged;
            stats.expired += self.out.expired;
            state.count(stats);
        });
    }

    /// The batch failed: nobody is told that anything happened, RAM is thrown away, and the file is
    /// opened anew. Never is a failed write or sync tried again on the same descriptor: the system may
    /// have dropped the pages and would report success.
    fn fail(&mut self, fault: &Fault) {
        tracing::error!(?fault, "batch failed, reopening the store");
        self.state = None;
        self.shared.waiting.forget();
        self.note(fault.clone());
        self.refuse(fault);
        self.reopen();
    }

    fn reopen(&mut self) {
        self.shared.stats(|stats| stats.available = false);
        match guarded_read(|| self.shared.reopen(&self.options)) {
            Ok(state) => {
                self.shared.stats(|stats| {
                    stats.available = true;
                    stats.reopened += 1;
                    state.count(stats);
                });
                self.state = Some(state);
                self.tell_missed();
            }
            Err(fault) => {
                tracing::error!(?fault, "store cannot be reopened");
                self.note(fault);
            }
        }
    }

    fn note(&mut self, fault: Fault) {
        // Whatever the free bytes say: the next batch that becomes durable knows better.
        self.shared.stats(|stats| stats.disk_full |= fault == Fault::Full);
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let pause_ns = u64::try_from(pause_after(failures).as_nanos()).unwrap_or(u64::MAX);
        let until_ns = self.now_ns().saturating_add(pause_ns);
        self.trouble = Some(Trouble { fault, failures, until_ns });
    }

    fn may_write(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| self.now_ns() >= trouble.until_ns)
    }

    fn now_ns(&self) -> u64 {
        self.pauses.monotonic_ns()
    }

    /// Tells everybody in this batch that it did not happen. If the disk refused it, acknowledgements are kept:
    /// nobody would say them again on the same link, and their senders would wait for their receipts as long
    /// as it lasts. After any other failure one of them may be its cause, and would be of the next batch.
    fn refuse(&mut self, fault: &Fault) {
        let outcome = match fault {
            Fault::Full => Outcome::DiskFull,
            _ => Outcome::Unavailable,
        };
        for settled in &mut self.out.settled {
            settled.outcome = outcome.clone();
        }
        let rest = self.work.submissions.drain(..).map(|submission| Settled {
            token: submission.token,
            counter: submission.counter,
            outcome: outcome.clone(),
        });
        self.out.settled.extend(rest);
        self.out.appended.clear();
        self.out.removed.clear();
        self.holds.learn(&self.out.settled);
        self.tell_sink();
        for pending in self.out.pending.drain(..) {
            pending.send(Err(fault.answer()));
        }
        for task in self.work.tasks.drain(..) {
            task.refuse(fault.answer());
        }
        let acks = self.acks_in_batch.drain(..).rev();
        if matches!(fault, Fault::Io(_) | Fault::Full) {
            acks.for_each(|ack| self.acks.push_front(ack));
            keep_newest(&mut self.acks);
        }
        self.out.clear();
    }
}

/// Of the acknowledgements of a device the last says all; of so many devices those that came first are kept.
fn keep_newest(acks: &mut VecDeque<(DeviceId, Seq)>) {
    let mut newest: HashMap<DeviceId, Seq> = HashMap::with_capacity(acks.len());
    acks.retain(|(device, up_to)| {
        if let Some(known) = newest.get_mut(device) {
            *known = (*up_to).max(*known);
            return false;
        }
        let is_kept = newest.len() < KEPT_ACKS_MAX;
        if is_kept {
            newest.insert(*device, *up_to);
        }
        is_kept
    });
    for (device, up_to) in acks {
        *up_to = newest.get(device).copied().unwrap_or(*up_to);
    }
}

/// How long to wait after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        _ => PAUSE_FIRST.saturating_mul(1 << (failures - 2).min(16)).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_acknowledgements_of_a_device_the_newest_is_kept_and_devices_are_bounded() {
        let device = |number: usize| DeviceId::new(number as u64, 1);
        let mut acks: VecDeque<_> = (0..KEPT_ACKS_MAX).map(|n| (device(n), Seq(1))).collect();
        acks.extend([(device(0), Seq(7)), (device(0), Seq(5))]);
        keep_newest(&mut acks);
        assert_eq!(acks.len(), KEPT_ACKS_MAX);
        assert!(acks.contains(&(device(0), Seq(7))));
        acks.push_back((device(KEPT_ACKS_MAX), Seq(1)));
        keep_newest(&mut acks);
        assert_eq!(acks.len(), KEPT_ACKS_MAX, "one device more");
    }

    #[test]
    fn a_pause_doubles_up_to_the_longest() {
        assert_eq!(pause_after(1), Duration::ZERO);
        assert_eq!(pause_after(2), PAUSE_FIRST);
        assert_eq!(pause_after(7), Duration::from_millis(1_600)); // the last one below
        assert_eq!(pause_after(8), PAUSE_MAX);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }
}
