//! A store without threads of its own: whoever holds its [`Driver`] is its writer and its readers, and says
//! what happens when. For simulation, where a seed decides.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::Embedded;
use super::options::Options;
use super::readers::{Job, Readers};
use super::writer::Writer;
use crate::{OpenError, Sink};

/// What the threads of a store would do. Dropped, the store answers nobody any more.
pub struct Driver {
    writer: Writer,
    reads: Receiver<Job>,
}

impl Driver {
    /// Whether the writer has something to do at this time.
    pub fn is_due(&self) -> bool {
        self.writer.is_due()
    }

    /// One turn of the writer: answers reads, writes one batch, syncs it, and tells of it.
    pub fn write(&mut self) {
        self.writer.turn_now();
    }

    /// The end of the writer's thread, once the store is closed: it writes what was taken, and closes the file.
    pub fn finish(self) {
        self.writer.run();
    }

    /// The next read of bodies that was asked for. It reads, and answers, when it is called.
    pub fn next_read(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        self.reads.try_recv().ok()
    }
}

impl Embedded {
    /// As [`Embedded::open`], with nobody who writes or reads but the driver.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_driven(
        dir: &Path,
        options: Options,
        sink: Arc<dyn Sink>,
    ) -> Result<(Self, Driver), OpenError> {
        let (readers, reads) = Readers::nobody();
        let (store, writer) = Self::with_readers(dir, options, sink, readers)?;
        Ok((store, Driver { writer: writer.paused_by_its_clock(), reads }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{Appended, Directory, Mailboxes, Operations, Settled, Submission, Token};
    use godwit_base::DeviceId;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Sink for Count {
        fn settled(&self, settled: &[Settled]) {
            self.0.fetch_add(settled.len(), Ordering::Relaxed);
        }

        fn appended(&self, _: &[Appended]) {}

        fn missed(&self) {}

        fn removed(&self, _: &[DeviceId]) {}
    }

    #[test]
    fn nothing_happens_before_the_driver_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Count::default());
        let sink: Arc<dyn Sink> = Arc::<Count>::clone(&told);
        let (store, mut driver) =
            Embedded::open_driven(folder.path(), Options::default(), sink).unwrap();
        assert!(!driver.is_due());
        let submission = Submission {
            origin: DeviceId::new(1, 1),
            counter: 1,
            recipients: Vec::new(),
            post: None,
            token: Token(0),
        };
        store.submit(submission).unwrap();
        assert!(driver.is_due());
        assert_eq!(told.0.load(Ordering::Relaxed), 0);
        driver.write();
        assert_eq!(told.0.load(Ordering::Relaxed), 1, "refused or not, it is decided");
        assert!(!driver.is_due());
        let answer = store.invites();
        driver.next_read().unwrap()();
        assert!(driver.next_read().is_none());
        assert_eq!(crate::conformance::block_on(answer), Ok(Vec::new()));
    }

    #[test]
    fn what_was_taken_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let sink: Arc<dyn Sink> = Arc::new(Count::default());
        let open = || Embedded::open_driven(folder.path(), Options::default(), Arc::clone(&sink));
        let (store, driver) = open().unwrap();
        let written = store.put_meta("name", bytes::Bytes::from_static(b"value"));
        store.close();
        driver.finish();
        assert_eq!(crate::conformance::block_on(written), Ok(()));
        drop(store);
        let (store, mut driver) = open().unwrap();
        let read = store.meta("name");
        driver.next_read().unwrap()();
        assert_eq!(crate::conformance::block_on(read).unwrap().as_deref(), Some(&b"value"[..]));
    }
}
