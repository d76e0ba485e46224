//! Standard output: whole lines, each flushed, and quiet when the reader has gone.

use std::future::pending;
use std::io::{self, BufWriter, Stdout, Write};
use std::os::fd::AsFd;

use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::failure::Failure;

/// Where a command prints what it found: lines for people, or one JSON object a line.
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    json: bool,
}

impl Output {
    /// Standard output, in the form that was asked for.
    pub(crate) fn new(json: bool) -> Self {
        Self { to: BufWriter::new(io::stdout()), json }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one record: `object` as JSON, or what `human` makes of it. Flushed before it
    /// returns, so that whoever reads the pipe has it.
    pub(crate) fn record<T: Serialize>(
        &mut self,
        object: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            serde_json::to_writer(&mut self.to, object)
                .map_err(|error| Self::failed(&error.into()))?;
            self.line("")
        } else {
            let text = human(object);
            self.line(&text)
        }
    }

    /// Prints text and a line end, and flushes.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(text)?;
        self.text("\n")?;
        self.to.flush().map_err(|error| Self::failed(&error))
    }

    /// Prints text as it is; the next line flushes it.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.to.write_all(text.as_bytes()).map_err(|error| Self::failed(&error))
    }

    fn failed(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::io("cannot write to standard output", error),
        }
    }
}

/// Ends when whoever read our standard output has gone; never for a file, which nobody leaves. So
/// `godwit listen | head -1` ends with the first line and does not wait for another to fail on.
pub(crate) async fn closed() {
    let output = io::stdout().as_fd().try_clone_to_owned();
    // Unchecked: any descriptor that can be watched will do, and it stays a blocking one.
    if let Ok(watched) = output.and_then(Sender::from_owned_fd_unchecked)
        && watched.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}
