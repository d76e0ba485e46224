//! `godwit`: the terminal client and the scriptable command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`command`] | what each command does; all but `chat` fit one file |
//! | [`chat`] | the full-screen messenger: model, view, loop |
//! | [`record`] | the lines that scripts read |
//! | [`output`], [`failure`] | standard output, exit codes |
//! | [`home`], [`text`], [`time`], [`qr`] | small parts |

mod arguments;
mod chat;
mod command;
mod failure;
mod home;
mod output;
mod qr;
mod record;
mod text;
mod time;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> ExitCode {
    match command::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure != Failure::OutputClosed {
                // Nobody may be reading; there is no one left to tell.
                let _ = writeln!(std::io::stderr(), "godwit: {failure}");
            }
            failure.exit_code()
        }
    }
}
