//! godwitd: reads its orders, starts the server, says that it is up, waits for the signal to stop,
//! and goes down in order, or hands over to another process. Everything else is in the library.

use std::convert::Infallible;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use godwit_server::cli::{self, Arguments, Command, Serve};
use godwit_server::config::{Config, Log, LogFormat};
use godwit_server::handover::{Origin, Upgraded, Wish, take_over, upgrade};
use godwit_server::{Event, Server, Setup, crash, systemd};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

// Exact size classes: a session costs 648 bytes instead of 993.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Between two looks of `tree --watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// How long the threads of the runtime may take to end once the server has: they only have to drop what is left.
const WORKERS_TIME: Duration = Duration::from_secs(5);

/// What went wrong, as the one line that is printed.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Command::Serve(Serve::default())) {
        Command::Serve(wish) => serve(&wish),
        Command::CheckConfig(wish) => print(cli::check_config(&wish)),
        Command::Invite(wish) => print(cli::invite(&wish)),
        Command::Upgrade(wish) => print(cli::upgrade(&wish)),
        Command::Status(wish) => print(cli::status(&wish)),
        Command::Tree(wish) if wish.watch => watch(&wish.look),
        Command::Tree(wish) => print(cli::tree(&wish.look)),
        Command::Session(wish) => print(cli::session(&wish)),
        Command::Backup(wish) => print(cli::backup(&wish)),
        Command::Restore(wish) => print(cli::restore(&wish)),
        Command::Reports(wish) => print(cli::reports(&wish)),
        Command::Verify(wish) => print(cli::verify(&wish)),
        Command::Compact(wish) => print(cli::compact(&wish)),
        Command::RotateKey(wish) => print(cli::rotate_key(&wish)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("godwitd: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn serve(wish: &Serve) -> Result<(), Failure> {
    let port = systemd::port()?;
    let config = wish.config()?;
    log(&config.log)?;
    crash::arm()?;
    let origin = Origin::of_process()?;
    let runtime = runtime(&config)?;
    let ended = runtime.block_on(run(config, wish, &origin, port));
    // Everything has ended that can: a worker in a turn without end is not waited for.
    runtime.shutdown_timeout(WORKERS_TIME);
    ended
}

async fn run(
    config: Config,
    wish: &Serve,
    origin: &Origin,
    port: Option<TcpListener>,
) -> Result<(), Failure> {
    // Listened for before anybody is told that the server is up.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut replace = signal(SignalKind::user_defined2())?;
    let setup = Setup::new(config);
    let mut server = match wish.take_over {
        true => take_over(setup, systemd::serves).await?,
        false => Server::start_on(setup, port).await?,
    };
    match announce(&server, wish.json) {
        // Whoever read what the process before this one said may have gone.
        Err(_) if wish.take_over => {}
        announced => announced?,
    }
    systemd::serves();
    loop {
        let upgrade_wish = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = replace.recv() => Wish::by_signal(),
            event = server.next() => match event {
                Event::Upgrade(upgrade_wish) => upgrade_wish,
                Event::Ended(exit) => {
                    return Err(format!("the server ended by itself: {exit}").into());
                }
            },
        };
        server = match upgrade(server, upgrade_wish, origin).await? {
            Upgraded::Back(back) => *back,
            Upgraded::Gone => return Ok(()),
        };
    }
    systemd::stops();
    tracing::info!("going down");
    match server.stop().await {
        exit if exit.is_normal() => Ok(()),
        exit => Err(format!("the server did not go down in order: {exit}").into()),
    }
}

fn announce(server: &Server, json: bool) -> io::Result<()> {
    let ready = server.ready();
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", ready.json())?;
    } else {
        write!(out, "{}", ready.text())?;
    }
    out.flush()
}

fn runtime(config: &Config) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if config.workers > 0 {
        builder.worker_threads(config.workers);
    }
    builder.thread_name("godwitd-worker").enable_all().build()
}

/// Logs go to standard error; standard output is for what was asked.
fn log(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| format!("log.level = {:?}: {error}", log.level))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    // A panic is a log line like any other; what it says may hold a peer's bytes, so it is left out.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(())
}

/// Shows the tree each second until the server or the user ends it. A screen is cleared in between.
fn watch(look: &cli::Look) -> Result<(), Failure> {
    let clears = !look.json && io::stdout().is_terminal();
    loop {
        let tree = cli::tree(look)?;
        print(Ok::<_, Infallible>(if clears { format!("\x1b[H\x1b[2J{tree}") } else { tree }))?;
        #[expect(clippy::disallowed_methods, reason = "it is a pause that is wanted")]
        std::thread::sleep(WATCH_PAUSE);
    }
}

fn print<E: std::error::Error + 'static>(text: Result<String, E>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text?.as_bytes())?;
    out.flush()?;
    Ok(())
}
