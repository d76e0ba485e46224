//! Two threads that read bodies, so that the writer never waits for a disk read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::Full;

/// Threads. Reads happen at connect and when a session is behind; two keep the disk busy.
const THREADS: usize = 2;

/// Jobs that may wait: 4,096 x about 100 B plus 8 B a record they name.
pub(crate) const JOBS_MAX: usize = 4_096;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The reading threads.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// None, and the jobs for whoever does them instead.
    pub(crate) fn nobody() -> (Self, Receiver<Job>) {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        (Self { jobs: Mutex::new(Some(jobs)), threads: Mutex::default() }, queue)
    }

    pub(crate) fn start() -> std::io::Result<Self> {
        let (readers, queue) = Self::nobody();
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..THREADS)
            .map(|_| {
                let queue = Arc::clone(&queue);
                Builder::new().name("store-reader".into()).spawn(move || read_on(&queue))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { threads: Mutex::new(threads), ..readers })
    }

    /// Has `job` run by one of the threads. One that panics takes its answer along, and nobody else's.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs.as_ref().ok_or(Full)?;
        jobs.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Full,
        })
    }

    /// Finishes the jobs that wait, then ends the threads.
    pub(crate) fn close(&self) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A reader that panicked has said so on standard error; nothing is left to end.
            drop(thread.join());
        }
    }
}

fn read_on(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a read of the store panicked");
                }
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_job_that_panics_ends_no_thread() {
        let readers = Readers::start().unwrap();
        let (done, finished) = channel();
        for number in 0..4 * THREADS {
            let done = done.clone();
            let job = move || {
                assert!(number >= 2 * THREADS, "a test asked this job to panic");
                done.send(()).unwrap();
            };
            readers.run(job).unwrap();
        }
        for _ in 0..2 * THREADS {
            finished.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        }
        readers.close();
    }

    #[test]
    fn jobs_are_bounded_and_finished_before_closing() {
        let readers = Readers::start().unwrap();
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (done, finished) = channel();
        let busy = |done: std::sync::mpsc::Sender<()>| {
            let held = Arc::clone(&held);
            move || {
                let _ = held.lock().unwrap().recv();
                done.send(()).unwrap();
            }
        };
        // As many as run and wait: the queue is full at some point between the two sums.
        let mut taken = 0;
        while readers.run(busy(done.clone())).is_ok() {
            taken += 1;
            assert!(taken <= JOBS_MAX + THREADS);
        }
        assert!(taken >= JOBS_MAX);
        drop(release);
        readers.close();
        assert_eq!(finished.try_iter().count(), taken);
        assert_eq!(readers.run(|| ()), Err(Full));
    }
}
