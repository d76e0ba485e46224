//! The bounded queues into the writer. Priority: acknowledgements and reads, then tasks, then
//! submissions; so an overload of submissions never keeps records from leaving.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use godwit_base::{DeviceId, Seq};
use tokio::sync::oneshot;

use super::task::Task;
use crate::{Full, Page, StoreError, Submission};

/// Acknowledgements and reads that may wait: 65,536 x 64 B = 4 MiB.
pub(crate) const URGENT_MAX: usize = 65_536;

/// Tasks that may wait: 1,024 x a frame of 64 KiB = 64 MiB at the very worst.
pub(crate) const TASKS_MAX: usize = 1_024;

/// Submissions that may wait: 16,384 x about 200 B of headers = 3 MiB; at 150,000 a second 0.1 s.
pub(crate) const SUBMISSIONS_MAX: usize = 16_384;

/// Bytes of bodies of waiting submissions: 64 MiB. One more is taken while they are below.
pub(crate) const SUBMISSION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Submissions of one batch: at 5 us each 10 ms, which bounds the wait of the next batch.
pub(crate) const BATCH_SUBMISSIONS_MAX: usize = 2_048;

/// Copies of one batch, reached by group messages; one more submission is taken while it is below. What
/// posts to groups append is known to the batch alone, which ends at the same number of records.
pub(crate) const BATCH_COPIES_MAX: usize = 8_192;

/// Bytes of bodies of one batch, likewise.
pub(crate) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What comes before anything else.
#[derive(Debug)]
pub(crate) enum Urgent {
    Acknowledge { device: DeviceId, up_to: Seq },
    Read(Read),
}

/// A read of a mailbox.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) device: DeviceId,
    pub(crate) after: Seq,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Page, StoreError>>,
}

/// What the writer takes for one batch.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) urgent: VecDeque<Urgent>,
    pub(crate) tasks: VecDeque<Task>,
    pub(crate) submissions: VecDeque<Submission>,
}

/// Why the writer woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wakeup {
    /// There is work, or the patience ended.
    Work,
    /// Closed, and everything that was taken has been handed out.
    Closed,
}

/// The queues.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    queues: Mutex<Queues>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    work: Work,
    submission_bytes: usize,
    /// The writer sleeps: whoever brings something wakes it.
    idle: bool,
    closed: bool,
}

impl Intake {
    pub(crate) fn urgent(&self, urgent: Urgent) -> Result<(), Full> {
        self.add(|queues| {
            if queues.work.urgent.len() >= URGENT_MAX {
                return Err(Full);
            }
            queues.work.urgent.push_back(urgent);
            Ok(())
        })
    }

    pub(crate) fn task(&self, task: Task) -> Result<(), Full> {
        self.add(|queues| {
            if queues.work.tasks.len() >= TASKS_MAX {
                return Err(Full);
            }
            queues.work.tasks.push_back(task);
            Ok(())
        })
    }

    pub(crate) fn submission(&self, submission: Submission) -> Result<(), Full> {
        let bytes = submission.body_bytes();
        self.add(|queues| {
            if queues.work.submissions.len() >= SUBMISSIONS_MAX
                || queues.submission_bytes >= SUBMISSION_BYTES_MAX
            {
                return Err(Full);
            }
            queues.submission_bytes += bytes;
            queues.work.submissions.push_back(submission);
            Ok(())
        })
    }

    fn add(&self, add: impl FnOnce(&mut Queues) -> Result<(), Full>) -> Result<(), Full> {
        let mut queues = self.lock();
        if queues.closed {
            return Err(Full);
        }
        add(&mut queues)?;
        let wake = std::mem::take(&mut queues.idle);
        drop(queues);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for work, at most for `patience`, and moves one batch of it into `work`, in which
    /// tasks and submissions may be left.
    pub(crate) fn take(&self, work: &mut Work, patience: Option<Duration>) -> Wakeup {
        let mut queues = self.lock();
        while queues.work.is_empty() {
            if queues.closed {
                return Wakeup::Closed;
            }
            queues.idle = true;
            queues = match patience {
                None => self.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let (queues, timeout) = self
                        .arrived
                        .wait_timeout(queues, most)
                        .unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return Wakeup::Work;
                    }
                    queues
                }
            };
        }
        std::mem::swap(&mut work.urgent, &mut queues.work.urgent);
        work.tasks.append(&mut queues.work.tasks);
        queues.hand_out(&mut work.submissions);
        Wakeup::Work
    }

    /// How much waits.
    pub(crate) fn waiting(&self) -> usize {
        let queues = self.lock();
        queues.work.urgent.len() + queues.work.tasks.len() + queues.work.submissions.len()
    }

    /// Takes nothing more; what was taken is still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Moves submissions of one batch.
    fn hand_out(&mut self, batch: &mut VecDeque<Submission>) {
        let (mut copies, mut bytes) = (0, 0);
        while batch.len() < BATCH_SUBMISSIONS_MAX
            && copies < BATCH_COPIES_MAX
            && bytes < BATCH_BYTES_MAX
            && let Some(submission) = self.work.submissions.pop_front()
        {
            copies += submission.recipients.iter().map(|to| to.copies.len()).sum::<usize>();
            bytes += submission.body_bytes();
            batch.push_back(submission);
        }
        // Clamped: the sum of what is left is never below zero, and this must not be what panics.
        self.submission_bytes = self.submission_bytes.saturating_sub(bytes);
    }
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.tasks.is_empty() && self.submissions.is_empty()
    }
}

impl Submission {
    /// Bytes of all bodies.
    pub(crate) fn body_bytes(&self) -> usize {
        let shared = self.post.as_ref().map_or(0, |post| post.body.len());
        let copies = self.recipients.iter().flat_map(|to| &to.copies).map(|copy| copy.body.len());
        shared + copies.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Recipient, SealedCopy, Token};
    use bytes::Bytes;
    use godwit_base::{AccountId, DeviceNumber};

    fn submission(copies: usize, body: &Bytes) -> Submission {
        let copy = SealedCopy { device: DeviceNumber(1), body: body.clone() };
        let to = Recipient { account: AccountId(1), list_version: 1, copies: vec![copy; copies] };
        Submission {
            origin: DeviceId::new(1, 1),
            counter: 1,
            recipients: vec![to],
            post: None,
            token: Token(0),
        }
    }

    fn taken(intake: &Intake) -> usize {
        let mut work = Work::default();
        assert_eq!(intake.take(&mut work, None), Wakeup::Work);
        work.submissions.len()
    }

    #[test]
    fn every_queue_takes_up_to_its_bound() {
        let intake = Intake::default();
        let acknowledge = || Urgent::Acknowledge { device: DeviceId::new(1, 1), up_to: Seq::ZERO };
        for _ in 0..URGENT_MAX {
            assert_eq!(intake.urgent(acknowledge()), Ok(()));
        }
        assert_eq!(intake.urgent(acknowledge()), Err(Full));
        let empty = Bytes::new();
        for _ in 0..SUBMISSIONS_MAX {
            assert_eq!(intake.submission(submission(1, &empty)), Ok(()));
        }
        assert_eq!(intake.submission(submission(1, &empty)), Err(Full));
        for _ in 0..TASKS_MAX {
            assert_eq!(intake.task(Task::nothing()), Ok(()));
        }
        assert_eq!(intake.task(Task::nothing()), Err(Full));
        assert_eq!(taken(&intake), BATCH_SUBMISSIONS_MAX);
        assert_eq!(intake.submission(submission(1, &empty)), Ok(()));
        assert_eq!(intake.urgent(acknowledge()), Ok(()));
    }

    #[test]
    fn bytes_are_bounded_in_the_queue_and_in_a_batch() {
        let intake = Intake::default();
        let body = Bytes::from(vec![0; 1024 * 1024]);
        for _ in 0..64 {
            assert_eq!(intake.submission(submission(1, &body)), Ok(()));
        }
        assert_eq!(intake.submission(submission(1, &body)), Err(Full));
        assert_eq!(taken(&intake), 8);
        assert_eq!(intake.submission(submission(1, &body)), Ok(()));
    }

    #[test]
    fn copies_are_bounded_in_a_batch() {
        let intake = Intake::default();
        for _ in 0..10 {
            assert_eq!(intake.submission(submission(1_024, &Bytes::new())), Ok(()));
        }
        assert_eq!(taken(&intake), 8);
        assert_eq!(taken(&intake), 2);
    }

    #[test]
    fn closing_refuses_new_work_and_hands_out_the_old() {
        let intake = Intake::default();
        assert_eq!(intake.submission(submission(1, &Bytes::new())), Ok(()));
        intake.close();
        assert_eq!(intake.submission(submission(1, &Bytes::new())), Err(Full));
        assert_eq!(taken(&intake), 1);
        assert_eq!(intake.take(&mut Work::default(), None), Wakeup::Closed);
    }

    #[test]
    fn patience_ends_without_work() {
        let mut work = Work::default();
        assert_eq!(Intake::default().take(&mut work, Some(Duration::from_millis(1))), Wakeup::Work);
        assert!(work.is_empty());
    }
}
