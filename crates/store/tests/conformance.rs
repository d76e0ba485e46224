//! The embedded engine passes the suite.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use godwit_store::conformance::{Ground, Setting};
use godwit_store::{Embedded, Options, Sink, Store};

/// A folder that goes away after the story.
struct Folder(tempfile::TempDir);

impl Ground for Folder {
    fn open(&mut self, setting: &Setting, sink: Arc<dyn Sink>) -> Arc<dyn Store> {
        let mut options = Options::default();
        options.clock = Arc::new(setting.clock.clone());
        options.quotas = setting.quotas;
        Arc::new(Embedded::open(self.0.path(), options, sink).unwrap())
    }
}

godwit_store::conformance!(Folder(tempfile::tempdir().unwrap()));
