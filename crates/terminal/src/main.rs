//! `godwit`: the terminal client and the scriptable command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`command`] | what each command does; all but `chat` fit one file |
//! | [`chat`] | the full-screen messenger: model, view, loop |
//! | [`attach`] | what a file is, before it is sent |
//! | [`record`] | the lines that scripts read |
//! | [`output`], [`failure`] | standard output, exit codes |
//! | [`home`], [`text`], [`time`], [`qr`] | small parts |

mod arguments;
mod attach;
mod chat;
mod command;
mod failure;
mod home;
mod output;
mod qr;
mod record;
mod text;
mod time;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    match command::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell().exit_code(),
    }
}
