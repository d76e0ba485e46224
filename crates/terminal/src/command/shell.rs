//! `godwit completions` and `godwit man`.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the completions of one shell.
pub(super) fn completions(shell: Shell, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "godwit", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}

/// Prints the manual page, or writes the pages of all commands into a folder.
pub(super) fn man(folder: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        Man::new(Arguments::command())
            .render(&mut page)
            .map_err(|error| Failure::io("cannot write the page", &error))?;
        return output.line(String::from_utf8_lossy(&page).trim_end());
    };
    write_pages(folder)
        .map_err(|error| Failure::io(&format!("cannot write into {}", folder.display()), &error))
}

fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}
