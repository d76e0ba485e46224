//! How a command ends when it does not end well: an exit code and one line that says what to do.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command stopped. The text is one line for standard error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The command line was wrong.
    Usage(String),
    /// What was waited for did not come in time.
    TimedOut(String),
    /// The server, or the other side's keys, said no; trying the same again does not help.
    Refused(String),
    /// Anything else.
    Other(String),
    /// This one, and standard error has its line already.
    Told(Box<Self>),
    /// Whoever read our standard output has gone. Not an error: `godwit listen | head -1`.
    OutputClosed,
}

impl Failure {
    /// The exit code of the command-line contract.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Told(failure) => return failure.exit_code(),
            Self::OutputClosed => 0,
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::TimedOut(_) => 3,
            Self::Refused(_) => 4,
        })
    }

    /// Says it on standard error, unless that was done.
    pub(crate) fn tell(self) -> Self {
        match self {
            Self::OutputClosed | Self::Told(_) => self,
            failure => {
                // Nobody may be reading; there is no one left to tell.
                let _ = writeln!(io::stderr(), "godwit: {failure}");
                Self::Told(Box::new(failure))
            }
        }
    }

    /// Trouble with a file or stream, named.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        Self::Other(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Usage(text) | Self::TimedOut(text) | Self::Refused(text) | Self::Other(text) => {
                text
            }
            Self::Told(failure) => return failure.fmt(f),
            Self::OutputClosed => "standard output is closed",
        };
        // One line, whatever was in the text: scripts read it so.
        for (index, line) in text.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
            f.write_str(if index == 0 { "" } else { " " })?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let text = String::new;
        for (failure, code) in [
            (Failure::OutputClosed, 0),
            (Failure::Other(text()), 1),
            (Failure::Usage(text()), 2),
            (Failure::TimedOut(text()), 3),
            (Failure::Refused(text()), 4),
            (Failure::Refused(text()).tell().tell(), 4),
        ] {
            assert_eq!(failure.exit_code(), ExitCode::from(code), "{failure:?}");
        }
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::Other("first\n\n  second\n".to_owned());
        assert_eq!(failure.to_string(), "first second");
    }
}
