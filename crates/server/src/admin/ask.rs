//! The other end: asks a running server.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Question, socket_path};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens.
    #[error("no server runs on {}; start one with `godwitd serve --data '{}'`", .0.display(), .0.display())]
    NotRunning(PathBuf),
    /// The socket failed.
    #[error("the server did not answer: {0}; look at its log")]
    Io(#[from] io::Error),
    /// The server went away instead of answering.
    #[error(
        "the server ended before it answered; `godwitd status` says whether one runs, its log why"
    )]
    Ended,
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}

/// Asks the server that runs on `data`; waits for its answer.
///
/// # Errors
/// See [`AskError`].
pub fn ask(data: &Path, question: &Question) -> Result<Value, AskError> {
    ask_and_hear(data, question, |_| {})
}

/// The same; `hears` gets each line of progress.
///
/// # Errors
/// See [`AskError`].
pub fn ask_and_hear(
    data: &Path,
    question: &Question,
    mut hears: impl FnMut(&str),
) -> Result<Value, AskError> {
    let mut stream =
        UnixStream::connect(socket_path(data)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AskError::NotRunning(data.to_owned())
            }
            _ => AskError::Io(error),
        })?;
    let line = serde_json::to_string(question).map_err(io::Error::from)?;
    writeln!(stream, "{line}")?;
    let mut lines = BufReader::new(stream);
    let mut answer = loop {
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => return Err(AskError::Ended),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(AskError::Ended);
            }
            read => read?,
        };
        let answer: Value = serde_json::from_str(&line).map_err(io::Error::from)?;
        match answer.get("progress").and_then(Value::as_str) {
            Some(progress) => hears(progress),
            None => break answer,
        }
    };
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(AskError::Refused(error.to_owned())),
        None => Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default()),
    }
}
