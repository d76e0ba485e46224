//! Room that a spike left goes back to the disk: when opening, while serving, by the operator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use fail::FailScenario;
use godwit_base::{DeviceId, Seq};
use godwit_store::conformance::{Ground, Person, Setting, World, block_on};
use godwit_store::{
    Disk, Embedded, Entry, FileDisk, OpenError, Options, Outcome, Quotas, Record, Sink, Store,
    compact,
};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend};

const MB: u64 = 1024 * 1024;

/// Of one message of a spike; 1,400 of them are 70 MB, more than the shortest file that is moved.
const BODY: usize = 50_000;
const SPIKE: u64 = 1_400;

struct Folder {
    dir: tempfile::TempDir,
    disk: Arc<dyn Disk>,
}

impl Folder {
    fn on(disk: impl Disk) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), disk: Arc::new(disk) }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("store.redb")
    }
}

impl Ground for Folder {
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store> {
        let mut options = Options::default();
        options.clock = Arc::new(setting.clock.clone());
        options.quotas = setting.quotas;
        options.disk = Arc::clone(&self.disk);
        Arc::new(Embedded::open(self.dir.path(), options, sink).unwrap())
    }
}

fn quotas() -> Quotas {
    Quotas { bytes: 1 << 40, ..Quotas::default() }
}

fn length(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

/// Alice, who sends, Bob, who gets the spike, and Carol, whose records stay.
struct Cast {
    alice: Person,
    bob: Person,
    carol: Person,
    counter: u64,
}

impl Cast {
    fn of(world: &World<'_>) -> Self {
        let [alice, bob, carol] = [1, 2, 3].map(|n| world.person(n, 1));
        Self { alice, bob, carol, counter: 0 }
    }

    fn from(&self) -> DeviceId {
        self.alice.device(1)
    }

    fn send(&mut self, world: &mut World<'_>, to: &Person, count: u64, body: usize) {
        let (from, text) = (self.from(), "x".repeat(body));
        let tokens: Vec<_> = (0..count)
            .map(|_| {
                self.counter += 1;
                world.submit(from, self.counter, vec![to.copies(from, &text)])
            })
            .collect();
        for token in tokens {
            assert!(matches!(world.outcome(token), Outcome::Accepted { .. }));
        }
    }

    /// A spike that is fetched, among records that are not: `below` before it, `above` after it, which lie at
    /// the end of the file.
    fn spike(&mut self, world: &mut World<'_>, (below, above): (u64, u64), body: usize) {
        let (bob, carol) = (self.bob.clone(), self.carol.clone());
        self.send(world, &carol, below, body);
        self.send(world, &bob, SPIKE, BODY);
        self.send(world, &carol, above, body);
        world.acknowledge(bob.device(1), Seq(u64::MAX));
        // Receipts lie at the end too.
        world.acknowledge(self.from(), Seq(u64::MAX));
    }

    fn kept(&self, world: &World<'_>) -> Vec<Record> {
        world.mailbox(self.carol.device(1))
    }
}

fn counters(records: &[Record]) -> Vec<u64> {
    let counter = |record: &Record| match record.entry {
        Entry::Message { counter, .. } => counter,
        _ => panic!("{record:?}"),
    };
    records.iter().map(counter).collect()
}

/// Sweeps until it is so, because the pages of a read come free when the thread that read lets go of them. What
/// the writer does behind the last sweep is done when it answers what comes next, which is a read of a mailbox in
/// which there is something.
fn sweep_until(world: &World<'_>, cast: &Cast, is_so: impl Fn() -> bool) {
    const SWEEPS_MAX: usize = 100_000;
    let swept = (0..SWEEPS_MAX).any(|_| {
        block_on(world.store().sweep()).unwrap();
        is_so()
    });
    assert!(swept, "not within {SWEEPS_MAX} sweeps");
    assert_ne!(cast.kept(world), []);
}

#[test]
fn a_spike_is_given_back_when_the_store_opens() {
    let mut folder = Folder::on(FileDisk);
    let file = folder.file();
    let mut world = World::with(&mut folder, quotas());
    let mut cast = Cast::of(&world);
    // More lives than is moved while serving.
    cast.spike(&mut world, (100, 100), BODY);
    let kept = cast.kept(&world);
    assert_eq!(counters(&kept), (1..=100).chain(1_501..=1_600).collect::<Vec<_>>());
    let sweeps = Cell::new(0);
    sweep_until(&world, &cast, || sweeps.replace(sweeps.get() + 1) == 3);
    assert!(length(&file) >= 64 * MB, "{}", length(&file));
    world.reopen();
    assert!(length(&file) < 32 * MB, "{}", length(&file));
    assert_eq!(cast.kept(&world), kept, "all of them, in order");
    block_on(world.store().verify()).unwrap();
    let repeat = world.send(cast.from(), 1_600, vec![cast.carol.copies(cast.from(), "")]);
    assert!(matches!(repeat, Outcome::Repeated { .. }), "{repeat:?}");
    world.reopen();
    assert_eq!(cast.kept(&world), kept, "and the store goes on from there");
}

#[test]
fn a_spike_is_given_back_while_serving() {
    let mut folder = Folder::on(FileDisk);
    let file = folder.file();
    let mut world = World::with(&mut folder, quotas());
    let mut cast = Cast::of(&world);
    cast.spike(&mut world, (10, 10), BODY);
    let kept = cast.kept(&world);
    assert!(length(&file) >= 64 * MB, "{}", length(&file));
    sweep_until(&world, &cast, || length(&file) < 16 * MB);
    assert_eq!(cast.kept(&world), kept);
    cast.send(&mut world, &cast.carol.clone(), 5, 10);
    assert_eq!(counters(&cast.kept(&world)).len(), 25);
    world.reopen();
    assert_eq!(cast.kept(&world).len(), 25, "what came after it is in the new file");
    block_on(world.store().verify()).unwrap();
}

/// A disk that tells whether the new file was written to since its last sync, or refuses to have one.
#[derive(Clone, Default)]
struct Watched {
    dirty: Arc<AtomicBool>,
    refuses: Arc<AtomicBool>,
    has_refused: Arc<AtomicBool>,
}

impl Disk for Watched {
    fn open(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        if path.extension().is_none_or(|ending| ending != "anew") {
            return FileDisk.open(builder, path);
        }
        if self.refuses.load(SeqCst) {
            self.has_refused.store(true, SeqCst);
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let file = FileBackend::new(options.open(path)?)?;
        builder.create_with_backend(WatchedFile { file, dirty: Arc::clone(&self.dirty) })
    }

    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        FileDisk.available_bytes(dir)
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: FileBackend,
    dirty: Arc<AtomicBool>,
}

impl StorageBackend for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.dirty.store(true, SeqCst);
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.dirty.store(false, SeqCst);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.dirty.store(true, SeqCst);
        self.file.write(offset, data)
    }
}

/// Whatever happens before the new file has its name, the old one is the store: a copy that is cut off, one
/// that the disk has no room for, and what a process leaves behind that ends in the midst of one.
#[test]
fn a_move_that_fails_changes_nothing() {
    let scenario = FailScenario::setup();
    let disk = Watched::default();
    let mut folder = Folder::on(disk.clone());
    let file = folder.file();
    let anew = folder.dir.path().join("store.redb.anew");
    let mut world = World::with(&mut folder, quotas());
    let mut cast = Cast::of(&world);
    cast.spike(&mut world, (10, 10), BODY);
    let mut kept = cast.kept(&world);

    disk.refuses.store(true, SeqCst);
    sweep_until(&world, &cast, || disk.has_refused.load(SeqCst));
    assert!(!anew.exists() && length(&file) >= 64 * MB, "{}", length(&file));
    disk.refuses.store(false, SeqCst);
    fail::cfg("store::copied", "panic").unwrap();
    sweep_until(&world, &cast, || anew.exists());
    assert!(anew.exists() && length(&file) >= 64 * MB, "{}", length(&file));
    cast.send(&mut world, &cast.carol.clone(), 1, 10);
    kept.extend(cast.kept(&world).into_iter().skip(kept.len()));
    assert_eq!(kept.len(), 21);
    assert_eq!(cast.kept(&world), kept);
    world.reopen();
    assert_eq!(cast.kept(&world), kept, "opening is not kept from it either");
    assert!(length(&file) >= 64 * MB, "{}", length(&file));

    let (dirty, seen) = (Arc::clone(&disk.dirty), Arc::new(AtomicBool::new(false)));
    let watching = Arc::clone(&seen);
    let look = move || watching.store(!dirty.load(SeqCst), SeqCst);
    fail::cfg_callback("store::copied", look).unwrap();
    sweep_until(&world, &cast, || length(&file) < 16 * MB);
    assert!(seen.load(SeqCst), "the new file is synced before it has its name");
    assert!(!anew.exists() && length(&file) < 16 * MB, "{}", length(&file));
    assert_eq!(cast.kept(&world), kept);

    File::create(&anew).unwrap();
    world.reopen();
    assert!(!anew.exists(), "what was left is cleared when opening");
    assert_eq!(cast.kept(&world), kept);
    scenario.teardown();
}

/// The operator's command needs no bounds; whoever has the store open keeps it.
#[test]
fn the_operator_compacts_a_store_that_nobody_has_open() {
    let mut folder = Folder::on(FileDisk);
    let (dir, file) = (folder.dir.path().to_owned(), folder.file());
    let options = Options::default();
    let missing = compact(&dir, &options);
    assert!(matches!(missing, Err(OpenError::Io { .. })), "{missing:?}");
    assert!(!file.exists(), "nothing is made");
    let mut world = World::new(&mut folder);
    let mut cast = Cast::of(&world);
    let (bob, carol) = (cast.bob.clone(), cast.carol.clone());
    cast.send(&mut world, &bob, 500, 5_000);
    cast.send(&mut world, &carol, 10, 10);
    world.acknowledge(bob.device(1), Seq(u64::MAX));
    let kept = cast.kept(&world);
    let busy = compact(&dir, &options);
    assert!(matches!(busy, Err(OpenError::Locked(_))), "{busy:?}");
    world.store().close();
    let before = length(&file);
    let report = compact(&dir, &options).unwrap();
    assert_eq!((report.before_bytes, report.after_bytes), (before, length(&file)));
    assert!(report.after_bytes * 2 < before, "{report:?}");
    world.reopen();
    assert_eq!(cast.kept(&world), kept);

    world.store().close();
    std::fs::write(&file, vec![7; 8_192]).unwrap();
    let damaged = compact(&dir, &options);
    assert!(matches!(damaged, Err(OpenError::Damaged { .. })), "{damaged:?}");
}
