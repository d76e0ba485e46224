//! What the embedded engine does when the disk is slow, full, broken, cut off or damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod bounds;
mod broken;
mod damage;
mod disk;
mod durable;
mod full;
mod power;

use std::path::Path;
use std::sync::Arc;

use disk::SimDisk;
use godwit_store::conformance::{Ground, Setting};
use godwit_store::{Embedded, Options, Sink, Store};

/// An engine over a disk of ours.
struct Bench {
    disk: SimDisk,
    options: Options,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let disk = SimDisk::default();
        let mut options = Options::default();
        options.disk = Arc::new(disk.clone());
        options.reserve_bytes = 1_000_000;
        Self { disk, options, dir: tempfile::tempdir().unwrap() }
    }
}

impl Ground for Bench {
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store> {
        self.options.clock = Arc::new(setting.clock.clone());
        self.options.quotas = setting.quotas;
        Arc::new(open(self.dir.path(), &self.options, sink).unwrap())
    }
}

fn open(
    dir: &Path,
    options: &Options,
    sink: Arc<dyn Sink>,
) -> Result<Embedded, godwit_store::OpenError> {
    Embedded::open(dir, options.clone(), sink)
}
