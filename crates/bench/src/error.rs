//! Why a load could not run. A refusal or a cut that the load is there to count is not an error.

use std::io;
use std::path::PathBuf;

use godwit_link::LinkError;
use godwit_store::{OpenError, StoreError};
use godwit_wire::Malformed;
use godwit_wire::Refusal;
use godwit_wire::frame::FrameError;
use godwit_wire::preface::PrefaceError;

/// Why a load could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A socket, a file or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server's program is not where it should be.
    #[error("{0} does not exist; build it with: cargo build --release -p godwit-server")]
    NoServer(PathBuf),
    /// The server ended or said something else than that it is ready.
    #[error("the server did not become ready: {0}")]
    NotReady(String),
    /// The server said no.
    #[error("the server refused {what}: {} ({code})", text(*code))]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Number of the refusal table.
        code: u32,
        /// When to come again, if that helps; 0 when it was not said.
        retry_after_ms: u32,
    },
    /// The server closed the link.
    #[error("the server closed a connection")]
    Closed,
    /// An answer did not come.
    #[error("no {what} within {seconds} s")]
    TimedOut {
        /// What was awaited.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The link.
    #[error("link: {0}")]
    Link(#[from] LinkError),
    /// The bytes before the link.
    #[error("preface: {0}")]
    Preface(#[from] PrefaceError),
    /// A frame of the server.
    #[error("frame: {0}")]
    Frame(#[from] FrameError),
    /// A message of the server.
    #[error("message: {0}")]
    Malformed(#[from] Malformed),
    /// The store under test.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The store under test did not open.
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// Nobody keeps the CPUs awake.
    #[error("cannot keep the CPUs awake: {0}; --keep-awake needs chrt, install util-linux")]
    NoSpinner(String),
    /// The store under test gave no record for so long.
    #[error("the store let no mailbox be emptied for {seconds} s: {said}")]
    NotDrained {
        /// How long.
        seconds: u64,
        /// What it said at last.
        said: String,
    },
    /// A worker process failed; it has said why on standard error.
    #[error("a worker process ended early; it says why above")]
    Worker,
    /// The client's program did not do what it was told.
    #[error("godwit {what}: {said}")]
    Client {
        /// What it was told.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// Somebody else's server refused something, or said what its protocol does not know.
    #[error("the other server: {0}")]
    Peer(String),
    /// A certificate, or what is made of it.
    #[error("TLS: {0}")]
    Tls(String),
    /// A report lacks a figure that is to be drawn.
    #[error("{} has no figure {name}", file.display())]
    NoFigure {
        /// The report.
        file: PathBuf,
        /// The figure.
        name: String,
    },
    /// A picture could not be drawn.
    #[error("plot: {0}")]
    Plot(String),
    /// Whoever drives the load did not say what it waits for.
    #[error("standard input ended before {0}")]
    NoOrder(&'static str),
    /// Only a server that the load starts can be upgraded by it.
    #[error("an upgrade needs a server of the load's own: leave --join out")]
    NotOurs,
    /// The run shows that a promise is not kept, or does not show that it is.
    #[error("not as promised: {0}")]
    Broken(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl LoadError {
    /// Names what was attempted, for an [`io::Error`]: `.map_err(LoadError::io("connect"))`.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

fn text(code: u32) -> &'static str {
    Refusal::from_number(code).map_or("a reason that this version does not know", Refusal::text)
}
