//! Somebody wants an upgrade, and hears what comes of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Carried;

/// Lines that wait for whoever asked: there are five, and one at the end.
const LINES_MAX: usize = 16;

/// How long whoever asked may take to write the last one down.
const LAST_LINE_TIME: Duration = Duration::from_secs(1);

/// An upgrade that is asked for.
#[derive(Debug)]
pub struct Wish {
    binary: Option<PathBuf>,
    hears: Option<mpsc::Sender<Line>>,
}

/// What whoever asked hears.
#[derive(Debug)]
pub(crate) enum Line {
    Progress(String),
    Done(Report),
    /// It goes on as it was.
    Failed(String),
}

/// What an upgrade was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) old_pid: u32,
    pub(crate) new_pid: u32,
    pub(crate) old_version: &'static str,
    pub(crate) new_version: String,
    /// Sessions that went on.
    pub(crate) sessions: usize,
    /// Sessions that had to be sent home.
    pub(crate) dropped: usize,
    /// What those that went on were in the midst of.
    #[serde(flatten)]
    pub(crate) carried: Carried,
    /// From when the first session was stopped until all have had their turn.
    pub(crate) silence_ms: u64,
    /// From the wish to here.
    pub(crate) took_ms: u64,
}

impl Wish {
    /// By a signal: to the program that this one was started from, and nobody hears but the log.
    pub fn by_signal() -> Self {
        Self { binary: None, hears: None }
    }

    /// By the operator; the second hears.
    pub(crate) fn by_operator(binary: Option<PathBuf>) -> (Self, mpsc::Receiver<Line>) {
        let (hears, lines) = mpsc::channel(LINES_MAX);
        (Self { binary, hears: Some(hears) }, lines)
    }

    /// The program to go to, if one was named.
    pub(super) fn binary(&self) -> Option<&Path> {
        self.binary.as_deref()
    }

    /// One more line.
    pub(super) fn progress(&self, text: impl Into<String>) {
        let text = text.into();
        tracing::info!(text, "upgrade");
        if let Some(hears) = &self.hears {
            // Who does not read misses it; the last line is waited for.
            drop(hears.try_send(Line::Progress(text)));
        }
    }

    pub(super) async fn done(self, report: Report) {
        tracing::info!(
            new_pid = report.new_pid,
            sessions = report.sessions,
            dropped = report.dropped,
            silence_ms = report.silence_ms,
            "upgraded"
        );
        self.last(Line::Done(report)).await;
    }

    pub(super) async fn failed(self, why: String) {
        tracing::warn!(why, "no upgrade");
        self.last(Line::Failed(why)).await;
    }

    /// The process may end after it: it is waited for until it is written.
    async fn last(self, line: Line) {
        let Some(hears) = self.hears else { return };
        let _ = timeout(LAST_LINE_TIME, async {
            if hears.send(line).await.is_ok() {
                hears.closed().await;
            }
        })
        .await;
    }
}
