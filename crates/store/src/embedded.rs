//! The embedded engine: one file, one writer thread, group commit.
//!
//! Requests go through bounded queues ([`intake`]) to the [`writer`], which decides everything; it
//! answers from RAM ([`state`]: [`index`], [`windows`], [`roster`], [`groups`]) and writes [`batch`] by batch.
//! Bodies are read by the [`readers`]. [`tables`] and [`row`] say what lies in the file, and [`room`] when it is
//! exchanged for a shorter one.

mod archive;
mod batch;
mod calendar;
mod check;
#[cfg(feature = "driven")]
mod driven;
mod fault;
mod groups;
mod holds;
mod index;
mod intake;
mod media;
mod options;
mod posts;
mod reach;
mod readers;
mod reading;
mod roll;
mod room;
mod roster;
mod row;
mod scrub;
mod shared;
mod state;
mod tables;
mod task;
mod waiting;
mod window;
mod windows;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Seq};
use tokio::sync::{oneshot, watch};

use crate::{
    Answer, BackupReport, DeviceList, Directory, FirstKeys, Full, GroupChange, GroupError,
    GroupLog, GroupRoster, Groups, Invite, KeyUpload, KeysError, ListError, LogRead, Mailboxes,
    OpenError, Operations, Page, PostRead, Prekeys, Profile, Publisher, Reached, RegisterError,
    Registration, Scrubbed, Sink, Standing, Stats, StoreError, Submission, Swept, TakenKeys,
    VerifyReport, Who,
};
use fault::{Fault, guarded_read};
use intake::{Read, Urgent};
use readers::Readers;
use shared::Shared;
use task::{Reply, Task};
use writer::Writer;

pub use archive::restore;
#[cfg(feature = "driven")]
pub use driven::Driver;
pub use media::EmbeddedMedia;
pub use options::{Disk, FileDisk, Options};
pub use room::compact;

/// A store in one file of a folder. Dropping it closes it.
pub struct Embedded {
    shared: Arc<Shared>,
    options: Options,
    sink: Arc<dyn Sink>,
    /// None once closed.
    writer: Mutex<Option<Running>>,
}

/// The writer's thread.
struct Running {
    thread: JoinHandle<()>,
    /// Closed when the thread ends, however it does.
    ended: watch::Receiver<()>,
}

impl Running {
    fn start(writer: Writer) -> io::Result<Self> {
        let (alive, ended) = watch::channel(());
        let thread = std::thread::Builder::new().name("store-writer".into());
        let thread = thread.spawn(move || {
            let _alive = alive;
            writer.run();
        })?;
        Ok(Self { thread, ended })
    }

    fn has_ended(&self) -> bool {
        self.ended.has_changed().is_err()
    }
}

impl Embedded {
    /// Opens the store in `dir`, which is created if need be, and starts its threads. Blocks while the
    /// file is verified and read: about 0.4 s for each million records.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, options: Options, sink: Arc<dyn Sink>) -> Result<Self, OpenError> {
        let path = dir.join(shared::FILE_NAME);
        let refused = |source| OpenError::Io { path: path.clone(), source };
        let readers = Readers::start().map_err(refused)?;
        let (mut store, writer) = Self::with_readers(dir, options, sink, readers)?;
        store.writer = Mutex::new(Some(Running::start(writer).map_err(refused)?));
        Ok(store)
    }

    /// The store without its writer's thread, and the writer.
    fn with_readers(
        dir: &Path,
        options: Options,
        sink: Arc<dyn Sink>,
        readers: Readers,
    ) -> Result<(Self, Writer), OpenError> {
        let path = dir.join(shared::FILE_NAME);
        std::fs::create_dir_all(dir)
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let opened = guarded_read(|| Shared::open(dir.to_owned(), readers, &options));
        let (shared, state) = opened.map_err(|fault| open_error(&path, fault))?;
        room::clear(&shared);
        room::give_back(&shared, &options, room::OPENING_LIVE_BYTES_MAX);
        let shared = Arc::new(shared);
        let writer =
            Writer::new(Arc::clone(&shared), options.clone(), Arc::clone(&sink), Some(state));
        Ok((Self { shared, options, sink, writer: Mutex::new(None) }, writer))
    }

    fn task<T, E>(&self, task: impl FnOnce(Reply<T, E>) -> Task) -> Answer<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        match self.shared.intake.task(task(reply)) {
            Ok(()) => reading::later(answer),
            Err(full) => Box::pin(std::future::ready(Err(StoreError::from(full).into()))),
        }
    }
}

fn open_error(path: &Path, fault: Fault) -> OpenError {
    let path = path.to_owned();
    match fault {
        Fault::Full => OpenError::Io { path, source: io::ErrorKind::StorageFull.into() },
        Fault::Io(what) => OpenError::Io { path, source: io::Error::other(what) },
        Fault::Locked => OpenError::Locked(path),
        Fault::Damaged(what) | Fault::Panic(what) => OpenError::Damaged { path, what },
        Fault::Newer(found) => OpenError::Newer { path, found, known: tables::SCHEMA },
    }
}

impl Mailboxes for Embedded {
    fn submit(&self, submission: Submission) -> Result<(), Full> {
        self.shared.intake.submission(submission)
    }

    fn highest_counter(&self, device: DeviceId) -> u64 {
        self.shared.roll.highest_counter(device)
    }

    fn acknowledge(&self, device: DeviceId, up_to: Seq) -> Result<(), Full> {
        self.shared.intake.urgent(Urgent::Acknowledge { device, up_to })
    }

    fn read(
        &self,
        device: DeviceId,
        after: Seq,
        max_records: usize,
        max_bytes: usize,
    ) -> Answer<Page> {
        if self.shared.waiting.is_empty(device) {
            return Box::pin(std::future::ready(Ok(Page::default())));
        }
        let (reply, answer) = oneshot::channel();
        let read = Read { device, after, max_records, max_bytes, answer: reply };
        match self.shared.intake.urgent(Urgent::Read(read)) {
            Ok(()) => reading::later(answer),
            Err(full) => Box::pin(std::future::ready(Err(full.into()))),
        }
    }
}

impl Directory for Embedded {
    fn standing(&self, link_key: &[u8; 32]) -> Standing {
        self.shared.roll.standing(link_key)
    }

    fn is_removed(&self, device: DeviceId) -> bool {
        self.shared.roll.is_removed(device)
    }

    fn register(&self, registration: Registration) -> Answer<(), RegisterError> {
        self.task(|reply| Task::Register(Box::new(registration), reply))
    }

    fn profile(&self, who: Who) -> Answer<Option<Profile>> {
        reading::ask(&self.shared, move |snapshot| reading::profile(snapshot, &who))
    }

    fn replace_list(
        &self,
        by: Publisher,
        list: DeviceList,
        first_keys: Vec<FirstKeys>,
    ) -> Answer<(), ListError> {
        self.task(|reply| Task::ReplaceList(by, Box::new((list, first_keys)), reply))
    }

    fn put_invite(&self, invite: Invite) -> Answer<()> {
        self.task(|reply| Task::PutInvite(invite, reply))
    }

    fn invites(&self) -> Answer<Vec<Invite>> {
        reading::ask(&self.shared, reading::invites)
    }
}

impl Groups for Embedded {
    fn change_group(&self, by: DeviceId, change: GroupChange) -> Answer<(), GroupError> {
        self.task(|reply| Task::ChangeGroup(by, Box::new(change), reply))
    }

    fn group_log(&self, read: LogRead) -> Answer<GroupLog, GroupError> {
        let log = reading::ask(&self.shared, move |snapshot| reading::group_log(snapshot, &read));
        Box::pin(async move { log.await? })
    }

    fn group_roster(&self, by: AccountId, group: GroupId) -> Answer<GroupRoster, GroupError> {
        self.task(|reply| Task::GroupRoster(by, group, reply))
    }

    fn group_progress(
        &self,
        by: AccountId,
        group: GroupId,
        origin: DeviceNumber,
        counter: u64,
    ) -> Answer<Vec<Reached>> {
        let origin = DeviceId { account: by, number: origin };
        reading::ask(&self.shared, move |snapshot| {
            Ok(reading::reach(snapshot, group, origin)?.from(counter))
        })
    }

    fn note_read(&self, by: AccountId, group: GroupId, marks: Vec<PostRead>) -> Answer<()> {
        self.task(|reply| Task::NoteRead(by, group, marks, reply))
    }

    fn group_size(&self, group: GroupId) -> u32 {
        self.shared.roll.group_size(group)
    }
}

impl Prekeys for Embedded {
    fn publish_keys(&self, device: DeviceId, keys: KeyUpload) -> Answer<u32, KeysError> {
        self.task(|reply| Task::PublishKeys(device, keys, reply))
    }

    fn take_keys(&self, device: DeviceId, one_time: bool) -> Answer<TakenKeys, KeysError> {
        self.task(|reply| Task::TakeKeys(device, one_time, reply))
    }

    fn one_time_left(&self, device: DeviceId) -> u32 {
        self.shared.roll.one_time_left(device)
    }
}

impl Operations for Embedded {
    fn put_meta(&self, name: &'static str, value: Bytes) -> Answer<()> {
        self.task(|reply| Task::PutMeta(name, value, reply))
    }

    fn meta(&self, name: &'static str) -> Answer<Option<Bytes>> {
        reading::ask(&self.shared, move |snapshot| reading::meta(snapshot, name))
    }

    fn sweep(&self) -> Answer<Swept> {
        self.task(Task::Sweep)
    }

    fn stats(&self) -> Stats {
        self.shared.stats_now()
    }

    fn busy_ms(&self) -> u64 {
        self.shared.busy_ms(self.options.clock.monotonic_ns())
    }

    fn backup(&self, to: PathBuf) -> Answer<BackupReport, OpenError> {
        archive::backup(&self.shared, to)
    }

    fn verify(&self) -> Answer<VerifyReport> {
        archive::verify(&self.shared)
    }

    fn scrub(&self, rows: u32) -> Answer<Scrubbed> {
        scrub::slice(&self.shared, rows)
    }

    fn watch_writer(&self) -> Answer<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = writer.as_mut().filter(|running| running.has_ended()) {
            let (shared, sink) = (Arc::clone(&self.shared), Arc::clone(&self.sink));
            let anew = Writer::new(shared, self.options.clone(), sink, None);
            if let Ok(anew) = Running::start(anew) {
                *running = anew;
            }
        }
        let ended = writer.as_ref().map(|running| running.ended.clone());
        Box::pin(async move {
            if let Some(mut ended) = ended {
                // Nothing is ever sent: it resolves when the thread lets go of its end.
                let _ = ended.changed().await;
            }
            Err(StoreError::Unavailable)
        })
    }

    fn close(&self) {
        self.shared.waiting.forget();
        self.shared.intake.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = writer.map(|running| running.thread.join()) {
            tracing::error!("the store's writer ended in a panic");
        }
        self.shared.readers.close();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
