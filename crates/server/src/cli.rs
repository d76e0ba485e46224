//! The command line of `godwitd`: what it takes, and the commands that only look or ask. Serving
//! itself is in `main.rs`.

mod operator;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, example, reference};
use crate::serve::{StartError, default_data};

pub use operator::{
    CommandError, backup, compact, invite, reports, restore, rotate_key, session, status, tree,
    upgrade, verify,
};

/// The server of Godwit. Without arguments: serves from your own data folder, and prints the join
/// link and what to type next.
#[derive(Debug, Parser)]
#[command(name = "godwitd", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do; to serve if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until it is told to stop (SIGTERM or Ctrl-C).
    Serve(Serve),
    /// Check a configuration file: names a wrong key and what to do.
    CheckConfig(CheckConfig),
    /// Make an invite code.
    Invite(Invite),
    /// Put a new program in the place of the running server's; nobody is disconnected.
    Upgrade(Upgrade),
    /// Show how the running server is.
    Status(Look),
    /// Show the supervision tree of the running server.
    Tree(TreeLook),
    /// Show the sessions of somebody on the running server.
    Session(SessionLook),
    /// List what people reported to you: who, why, and messages that the reporter chose to show.
    Reports(Look),
    /// Write everything into a new file, while the server runs or not.
    Backup(Backup),
    /// Put a backup back into an empty data folder.
    Restore(Restore),
    /// Check every row of the store of a stopped server.
    Verify(Look),
    /// Give the room that the store of a stopped server leaves unused back to the disk.
    Compact(Look),
    /// Make a new server key for join links, in use at once; the present one stays valid until the next rotation.
    RotateKey(Look),
}

/// Where the data is.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Run the server.
#[derive(Debug, Clone, Default, Args)]
pub struct Serve {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// Where to listen; port 0 takes any free port.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Print JSON objects, one a line; the first says that the server is ready.
    #[arg(long)]
    pub json: bool,
    /// Take everything over from the server that starts this one.
    #[arg(long, hide = true)]
    pub take_over: bool,
}

/// Upgrade.
#[derive(Debug, Clone, Args)]
pub struct Upgrade {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// The new program; the path that the running one was started by, if it is not named.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Check a configuration.
#[derive(Debug, Clone, Args)]
pub struct CheckConfig {
    /// The file to check.
    #[arg(value_name = "FILE", required_unless_present_any = ["example", "reference"])]
    pub file: Option<PathBuf>,
    /// Print a commented file with every key at its default.
    #[arg(long, conflicts_with = "file")]
    pub example: bool,
    /// Print the page that documents every key.
    #[arg(long, conflicts_with_all = ["file", "example"])]
    pub reference: bool,
}

/// Make an invite.
#[derive(Debug, Clone, Args)]
pub struct Invite {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// Accounts that may register with it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub uses: u32,
    /// Days that it is good for.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Look at a server.
#[derive(Debug, Clone, Args)]
pub struct Look {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Look at the tree.
#[derive(Debug, Clone, Args)]
pub struct TreeLook {
    /// Where the data is.
    #[command(flatten)]
    pub look: Look,
    /// Show it anew each second, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
}

/// Look at sessions.
#[derive(Debug, Clone, Args)]
pub struct SessionLook {
    /// A handle (alice), a device (0123456789abcdef.1), an account (0123456789abcdef) or a session (t:42).
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where the data is.
    #[command(flatten)]
    pub look: Look,
}

/// Back up.
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Restore.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
    /// Where the data goes.
    #[command(flatten)]
    pub place: Place,
}

impl Place {
    /// The configuration file with the command line over it.
    ///
    /// # Errors
    /// The file is wrong.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config =
            self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        if let Some(data) = &self.data {
            config.data = Some(data.clone());
        }
        Ok(config)
    }

    /// The data folder: by the command line, the file, or the default.
    ///
    /// # Errors
    /// The file is wrong, or the user has no home.
    pub fn data(&self) -> Result<PathBuf, CommandError> {
        let config = self.config()?;
        Ok(config.data.or_else(default_data).ok_or(StartError::NoData)?)
    }
}

impl Serve {
    /// The configuration that this command line asks for.
    ///
    /// # Errors
    /// The file is wrong.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = self.place.config()?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        Ok(config)
    }
}

/// Checks a file, or prints what `--example` and `--reference` ask for. Returns what to print.
///
/// # Errors
/// The file is wrong; the error names the key and what to do.
pub fn check_config(wish: &CheckConfig) -> Result<String, ConfigError> {
    match &wish.file {
        Some(file) => Config::load(file).map(|_| format!("{} is good\n", shown(file))),
        None if wish.reference => Ok(reference()),
        None => Ok(example()),
    }
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("godwit.toml");
        std::fs::write(&file, "data = \"/from/file\"\nlisten = \"127.0.0.1:1\"\nworkers = 3\n")
            .unwrap();
        let parse = |more: &[&str]| {
            let line = ["godwitd", "serve", "--config", file.to_str().unwrap()];
            let parsed = Arguments::parse_from(line.iter().chain(more));
            let Some(Command::Serve(serve)) = parsed.command else { panic!("not serve") };
            serve.config().unwrap()
        };
        let config = parse(&[]);
        assert_eq!(config.data.unwrap(), Path::new("/from/file"));
        let config = parse(&["--data", "/d", "--listen", "127.0.0.1:0"]);
        assert_eq!(config.data.unwrap(), Path::new("/d"));
        assert_eq!(config.listen.port(), 0);
        assert_eq!(config.workers, 3);
    }
}
