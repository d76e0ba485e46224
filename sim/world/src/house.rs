//! The server's process: the real server on a runtime of its own, whose time moves when the world says so. It
//! ends as a process does: its tasks are dropped wherever they wait.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use godwit_base::{AccountId, Clock, JoinLink};
use godwit_server::config::Config;
use godwit_server::{Driven, Exit, Moved, Setup};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::disk::SimDisk;
use crate::pipe::ServerEnd;

/// When the world begins: some day in 2026.
pub const BEGIN_MS: u64 = 1_790_000_000_000;

/// RAM for pages of the file: small, so that pages are read and written all the time.
const CACHE_BYTES: usize = 512 * 1024;

/// A read of bodies that waits for the disk.
pub type Read = Box<dyn FnOnce() + Send>;

/// A running server.
pub struct House {
    // In this order: the runtime takes the sessions along before the store goes.
    runtime: Runtime,
    driven: Driven,
    /// It goes down in order.
    drains: Option<JoinHandle<Exit>>,
}

/// The clock of the machine that the server is on.
struct HouseClock {
    /// Since the world began, when the process did.
    began_ms: u64,
    began: Instant,
    off_ms: Arc<AtomicI64>,
}

impl Clock for HouseClock {
    fn unix_ms(&self) -> u64 {
        let now_ms = BEGIN_MS + self.monotonic_ns() / 1_000_000;
        now_ms.saturating_add_signed(self.off_ms.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.began_ms * 1_000_000 + since
    }
}

impl House {
    /// Starts a server in the folder `data`, whose wall clock is off by `off_ms`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        data: &Path,
        disk: &SimDisk,
        now_ms: u64,
        off_ms: &Arc<AtomicI64>,
    ) -> Result<Self> {
        let mut house = Self::open(data, disk, now_ms, off_ms, None)?;
        house.serve(None);
        Ok(house)
    }

    /// The same, up to where it serves. Another server has left this.
    ///
    /// # Errors
    /// It does not start.
    pub fn open(
        data: &Path,
        disk: &SimDisk,
        now_ms: u64,
        off_ms: &Arc<AtomicI64>,
        moved: Option<&Moved>,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let mut config = Config { data: Some(data.to_owned()), ..Config::default() };
        config.store.cache_bytes = CACHE_BYTES;
        let driven = {
            let _in = runtime.enter();
            let clock =
                HouseClock { began_ms: now_ms, began: Instant::now(), off_ms: Arc::clone(off_ms) };
            let mut setup = Setup::new(config);
            setup.clock = Arc::new(clock);
            setup.disk = Arc::new(disk.clone());
            Driven::open(setup, moved).context("the server does not start")?
        };
        Ok(Self { runtime, driven, drains: None })
    }

    /// It serves, beginning with these sessions. Returns how many of them do not go on.
    pub fn serve(&mut self, moved: Option<Moved>) -> usize {
        let _in = self.runtime.enter();
        self.driven.serve(moved)
    }

    /// The server begins to freeze everybody. Whether it does.
    pub fn freeze(&mut self) -> bool {
        let _in = self.runtime.enter();
        let freezes = self.driven.freeze();
        let begins = freezes.is_some();
        self.drains = freezes.or(self.drains.take());
        begins
    }

    /// Everybody is frozen: its process ends, and this is what it leaves.
    pub fn leave(self) -> Moved {
        let Self { runtime, driven, .. } = self;
        // Its clock is that of the runtime.
        let _in = runtime.enter();
        let moved = driven.pack();
        driven.close();
        moved
    }

    /// Lets the server work for so long.
    pub fn run(&self, ms: u64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(ms)).await });
    }

    /// Plants a task that panics, as one that a server has started and forgot.
    pub fn panic(&self) {
        #[expect(clippy::panic, reason = "it is planted")]
        self.runtime.spawn(async { panic!("planted") });
    }

    /// The server begins to go down in order.
    pub fn drain(&mut self) {
        let _in = self.runtime.enter();
        if let Some(drains) = self.driven.drain() {
            self.drains = Some(drains);
        }
    }

    /// Whether everybody has gone who had to.
    pub fn is_drained(&self) -> bool {
        self.drains.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// A client comes in.
    pub fn enter(&self, end: ServerEnd) {
        self.inside(|driven| driven.enter(end, IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    /// One turn of the store's writer.
    pub fn write(&mut self) {
        let _in = self.runtime.enter();
        self.driven.store().write();
    }

    /// A read that was asked for.
    pub fn next_read(&mut self) -> Option<Read> {
        self.driven.store().next_read()
    }

    /// Does a read.
    pub fn read(&self, read: Read) {
        self.inside(|_| read());
    }

    /// Whether the store's writer has something to do.
    pub fn has_to_write(&mut self) -> bool {
        let _in = self.runtime.enter();
        self.driven.store().is_due()
    }

    fn inside<T>(&self, work: impl FnOnce(&Driven) -> T) -> T {
        let _in = self.runtime.enter();
        work(&self.driven)
    }

    /// The device list of an account, as its owner signed it.
    pub fn list_of(&mut self, account: AccountId) -> Option<Vec<u8>> {
        let asked = self.inside(|driven| driven.profile(account));
        while let Some(read) = self.next_read() {
            self.read(read);
        }
        let profile = self.runtime.block_on(asked).ok()??;
        Some(profile.list.signed.to_vec())
    }

    /// What clients have to know.
    pub fn join(&self) -> JoinLink {
        self.driven.join()
    }

    /// Batches that its store calls durable.
    pub fn batches(&self) -> u64 {
        self.driven.batches()
    }

    /// Sessions that ended by a panic.
    pub fn panics(&self) -> u64 {
        self.driven.session_panics()
    }
}
