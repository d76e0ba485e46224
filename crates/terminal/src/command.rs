//! What each command does.

mod about;
mod account;
mod community;
mod devices;
mod files;
mod group;
mod lines;
mod listen;
mod people;
mod presence;
mod progress;
mod report;
mod runs;
mod send;
mod shell;
mod stdin;
mod stored;
mod verify;

pub(crate) use self::verify::digit_lines;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use godwit_base::{GroupId, Handle, MessageId};
use godwit_client::{Client, ConnectionState, Error, MessageState};
use tokio::time::Instant;

use crate::arguments::{Arguments, Command, Limit, LinkCommand, RecoveryCommand, Wait};
use crate::failure::Failure;
use crate::output::Output;
use crate::text::one_line;
use crate::{chat, home};

/// How long a thread that still reads standard input may keep the process.
const SHUTDOWN: Duration = Duration::from_millis(50);

/// Does what the command line says.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut output = Output::new(arguments.json);
    match arguments.command {
        Command::Completions { shell } => shell::completions(shell, &mut output),
        Command::Man { folder } => shell::man(folder.as_deref(), &mut output),
        command => {
            let home = home::folder(arguments.home)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2) // one for the link and the store, one for what waits on them
                .enable_all()
                .build()
                .map_err(|error| Failure::io("cannot start", &error))?;
            let done = runtime.block_on(on_home(&home, command, &mut output));
            runtime.shutdown_timeout(SHUTDOWN);
            done
        }
    }
}

async fn on_home(home: &Path, command: Command, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Join(join) => account::join(home, &join, output).await,
        Command::Send(send) => {
            with_client(home, async |client| {
                meet(client, send.to.group(), Time::USUAL).await?;
                meet_message(client, send.reply).await?;
                match &send.file {
                    _ if send.lines => lines::send(client, &send, output).await,
                    Some(path) => files::send(client, &send, path, output).await,
                    None => send::one(client, &send, output).await,
                }
            })
            .await
        }
        Command::Save(save) => {
            with_client(home, async |client| files::save(client, &save, output).await).await
        }
        Command::About(about) => {
            with_client(home, async |client| about::about(client, about, output).await).await
        }
        Command::Listen(listen) => {
            with_client(home, async |client| listen::listen(client, &listen, output).await).await
        }
        Command::History(history) => {
            with_client(home, async |client| stored::history(client, &history, output).await).await
        }
        Command::Chats => {
            with_client(home, async |client| stored::chats(client, output).await).await
        }
        Command::Search(search) => {
            with_client(home, async |client| stored::search(client, &search, output).await).await
        }
        Command::Verify(verify) => {
            with_client(home, async |client| verify::verify(client, &verify, output).await).await
        }
        Command::Community { command, limit } => {
            let time = Time::of(limit);
            with_client(home, async |client| {
                community::community(client, command, time, output).await
            })
            .await
        }
        Command::Group { command, limit } => {
            let time = Time::of(limit);
            with_client(home, async |client| group::group(client, command, time, output).await)
                .await
        }
        Command::Presence(presence) => {
            with_client(home, async |client| presence::show(client, &presence, output).await).await
        }
        Command::Contacts => {
            with_client(home, async |client| people::contacts(client, output).await).await
        }
        Command::Profile(profile) => {
            with_client(home, async |client| people::profile(client, &profile, output).await).await
        }
        Command::Block(whom) => {
            with_client(home, async |client| people::block(client, &whom, true, output).await).await
        }
        Command::Unblock(whom) => {
            with_client(home, async |client| people::block(client, &whom, false, output).await)
                .await
        }
        Command::Mute(mute) => {
            with_client(home, async |client| people::mute(client, &mute, output).await).await
        }
        Command::Unmute(whom) => {
            with_client(home, async |client| people::unmute(client, &whom, output).await).await
        }
        Command::Report(report) => {
            report::is_meant(&report)?;
            with_client(home, async |client| report::report(client, &report, output).await).await
        }
        Command::Chat(chat) => {
            with_client(home, async |client| chat::run(client, chat.with).await).await
        }
        Command::Link(LinkCommand::Start(start)) => {
            Box::pin(devices::start(home, &start, output)).await
        }
        Command::Link(LinkCommand::Approve(approve)) => {
            with_client(home, async |client| devices::approve(client, &approve, output).await).await
        }
        Command::Devices { command, limit } => {
            let (command, time) = (command.as_ref(), Time::of(limit));
            with_client(home, async |client| devices::devices(client, command, time, output).await)
                .await
        }
        Command::Recovery(RecoveryCommand::Show(show)) => {
            with_client(home, async |client| devices::show_recovery(client, &show, output).await)
                .await
        }
        Command::Recover(recover) => Box::pin(devices::recover(home, &recover, output)).await,
        Command::Completions { .. } | Command::Man { .. } => Ok(()), // need no home; done above
    }
}

/// Opens the home, does the work, and closes in every case, so that acknowledgements and read
/// receipts still go out.
async fn with_client<F>(home: &Path, work: F) -> Result<(), Failure>
where
    F: AsyncFnOnce(&Client) -> Result<(), Failure>,
{
    let client = Client::open(home).await?;
    let done = work(&client).await;
    client.close().await;
    done
}

/// Longest wait for news before what this device knows is printed, 3 s: five round trips of a 2G line.
const FRESH_MAX: Duration = Duration::from_secs(3);

/// Gives the client a moment to hear what happened while no command was running. Without a server, or
/// on a slow link, what is printed is what this device knows.
async fn fresh(client: &Client, time: Time) -> Result<(), Failure> {
    let mut connection = client.connection();
    let is_offline = |state: &ConnectionState| matches!(state, ConnectionState::Offline { .. });
    tokio::select! {
        biased;
        caught_up = within(Some(time.or(FRESH_MAX)), client.caught_up()) => {
            caught_up.transpose()?;
        }
        _ = connection.wait_for(is_offline) => {}
    }
    Ok(())
}

/// Waits until the server has what was set here, and others were sent it. False if that is not so in time,
/// or there is no server just now: it goes out as soon as there is one.
async fn is_told(client: &Client, time: Time) -> Result<bool, Failure> {
    let mut connection = client.connection();
    let is_offline = |state: &ConnectionState| matches!(state, ConnectionState::Offline { .. });
    tokio::select! {
        biased;
        told = within(Some(time.or(ANSWER_MAX)), client.told()) => {
            Ok(told.transpose()?.unwrap_or(false))
        }
        _ = connection.wait_for(is_offline) => Ok(false),
    }
}

/// Why the link was given up, if it was: nothing that this device knows is the latest then.
fn given_up(client: &Client) -> Option<Failure> {
    match &*client.connection().borrow() {
        ConnectionState::Offline { retry_in_ms: None, reason } => {
            Some(Failure::Refused(one_line(reason).into_owned()))
        }
        _ => None,
    }
}

/// Makes a group known into which somebody has put this account while no command was running.
async fn meet(client: &Client, group: Option<GroupId>, time: Time) -> Result<(), Failure> {
    let Some(id) = group else { return Ok(()) };
    if client.groups().await?.iter().any(|known| known.id == id) {
        return Ok(());
    }
    fresh(client, time).await
}

/// The same for a message that has come meanwhile.
async fn meet_message(client: &Client, message: Option<MessageId>) -> Result<(), Failure> {
    match message {
        Some(id) if client.message(id).await?.is_none() => fresh(client, Time::USUAL).await,
        _ => Ok(()),
    }
}

/// How long a command may wait for the server, counted from its start.
#[derive(Debug, Clone, Copy)]
struct Time(Option<(Duration, Instant)>);

impl Time {
    /// As long as each step usually may.
    const USUAL: Self = Self(None);

    /// As the user says.
    fn of(limit: Limit) -> Self {
        Self::until(limit.timeout)
    }

    fn until(timeout: Option<Duration>) -> Self {
        Self(timeout.map(|limit| (limit, Instant::now())))
    }

    /// What is left, or what is usual.
    fn or(self, usual: Duration) -> Duration {
        self.0.map_or(usual, |(limit, began)| limit.saturating_sub(began.elapsed()))
    }

    /// All of it, seconds.
    fn seconds(self, usual: Duration) -> f64 {
        self.0.map_or(usual, |(limit, _)| limit).as_secs_f64()
    }
}

/// Adds an optional time limit to waiting; `None` when it ran out.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

/// Longest wait for the server's answer, 30 s: five times what the handshake and registration take on
/// the slowest link, a 2G line that loses packets.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Longest wait for the server to take a change of a group or a device list, 60 s: looking up a thousand
/// members on the slowest link takes longer, but then something is wrong more often than not.
const CHANGE_MAX: Duration = Duration::from_secs(60);

/// Does something about somebody, whom the server is asked for if this home has never met them.
async fn of_somebody<T>(
    client: &Client,
    with: &Handle,
    time: Time,
    work: impl AsyncFn() -> Result<T, Error>,
) -> Result<T, Failure> {
    match work().await {
        Err(Error::NoContact(_) | Error::NoChat(_)) => {}
        done => return Ok(done?),
    }
    meet_somebody(client, with, time).await?;
    Ok(work().await?)
}

/// Makes somebody known, if anybody has this handle.
async fn meet_somebody(client: &Client, with: &Handle, time: Time) -> Result<(), Failure> {
    let found = async { Ok(client.find(with).await?) };
    answered(time, ANSWER_MAX, send::while_asking(client, found), no_answer).await?
}

/// The server did not say in time what was asked.
fn no_answer(seconds: f64) -> Failure {
    Failure::TimedOut(format!(
        "no answer from the server within {seconds} s: try again when it can be reached"
    ))
}

/// Waits for the server no longer than the user says, or than is usual; `late` makes the failure of the
/// seconds that were too few.
async fn answered<T>(
    time: Time,
    usual: Duration,
    work: impl Future<Output = T>,
    late: impl FnOnce(f64) -> Failure,
) -> Result<T, Failure> {
    within(Some(time.or(usual)), work).await.ok_or_else(|| late(time.seconds(usual)))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { .. }
            | Error::KeyChanged(_)
            | Error::NoAccount { .. }
            | Error::Group(_)
            | Error::Blocked(_)
            | Error::Revoked
            | Error::BadReport(_) => Self::Refused(error.to_string()),
            Error::BadProfile(_) => Self::Usage(error.to_string()),
            Error::NotJoined { .. } => {
                Self::Other(format!("{error} (godwit join LINK --as HANDLE)"))
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<Wait> for MessageState {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Accepted => Self::Accepted,
            Wait::Delivered => Self::Delivered,
            Wait::Read => Self::Read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_so_long_and_no_longer() {
        for (limit, seconds) in [(ANSWER_MAX, 30), (CHANGE_MAX, 60)] {
            let late = |seconds: f64| Failure::TimedOut(seconds.to_string());
            let after = |ms| tokio::time::sleep(Duration::from_millis(ms));
            let usual = Time::USUAL;
            assert!(answered(usual, limit, after(seconds * 1_000 - 1), late).await.is_ok());
            let failure = answered(usual, limit, after(seconds * 1_000 + 1), late).await;
            assert_eq!(failure.unwrap_err().to_string(), seconds.to_string());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_users_time_is_that_of_all_steps_together() {
        let time = Time::until(Some(Duration::from_millis(2_500)));
        let late = |seconds: f64| Failure::TimedOut(seconds.to_string());
        let after = |ms| tokio::time::sleep(Duration::from_millis(ms));
        assert!(answered(time, ANSWER_MAX, after(2_000), late).await.is_ok());
        let failure = answered(time, ANSWER_MAX, after(501), late).await;
        assert_eq!(failure.unwrap_err().to_string(), "2.5");
    }
}
