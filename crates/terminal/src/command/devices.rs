//! `godwit link`, `godwit devices`, `godwit recovery` and `godwit recover`.

use std::future::Future;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use godwit_client::{
    Client, Error, Event, EventStream, HistoryProgress, Joined, LinkId, NewcomerEvent, Since,
};
use serde::Serialize;
use tokio::task::unconstrained;

use super::progress::{Counts, bar};
use super::send::while_asking;
use super::{CHANGE_MAX, Time, answered, fresh, given_up, within};
use crate::arguments::{Approve, DevicesCommand, LinkStart, Recover, RecoveryShow};
use crate::failure::Failure;
use crate::output::Output;
use crate::qr;

/// As long as a code is good, ten minutes.
const CODE_MAX: Duration = Duration::from_secs(600);

/// Longest file of recovery words that is read.
const WORDS_BYTES_MAX: u64 = 4_096;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Code {
        code: String,
        /// How long the other device is waited for.
        wait_s: f64,
    },
    Check {
        digits: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        handle: Option<String>,
        wait_s: f64,
    },
    Linked {
        device: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<String>,
    },
    History(HistoryProgress),
    HistoryGiven {},
    Revoked {
        device: u32,
    },
    Recovered {
        device: u32,
        account: String,
    },
}

#[derive(Serialize)]
struct Device {
    device: u32,
    this: bool,
    main: bool,
}

pub(super) async fn start(
    home: &Path,
    start: &LinkStart,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut broken = None;
    let wait_s = wait_s(start.timeout);
    let linked = Client::link(home, &start.link, |event| {
        if let Err(failure) = output_newcomer(event, wait_s, output) {
            broken.get_or_insert(failure);
        }
    });
    let Some(linked) = Box::pin(within(start.timeout, linked)).await else {
        return Err(Failure::TimedOut("nobody has linked this device: start again".to_owned()));
    };
    let Joined { account, device, .. } = linked?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    let line = Line::Linked { device: device.number.0, account: Some(account.to_string()) };
    output.record(&line, |_| "linked\nnext: `godwit chat`, or `godwit listen`".to_owned())
}

/// How long the other device is waited for, seconds: not longer than a code is good.
fn wait_s(timeout: Option<Duration>) -> f64 {
    timeout.map_or(CODE_MAX, |timeout| timeout.min(CODE_MAX)).as_secs_f64()
}

fn output_newcomer(event: NewcomerEvent, wait_s: f64, output: &mut Output) -> Result<(), Failure> {
    match event {
        NewcomerEvent::Code(code) => {
            let line = Line::Code { code: code.clone(), wait_s };
            output.record(&line, |_| {
                let picture = qr::lines(code.as_bytes()).unwrap_or_default().join("\n");
                format!(
                    "{picture}\n{code}\non the account's main device, within {wait_s} s: godwit link approve '{code}'"
                )
            })
        }
        NewcomerEvent::Check { digits, handle } => {
            let handle_text = Some(handle.to_string());
            let line = Line::Check { digits: digits.clone(), handle: handle_text, wait_s };
            output.record(&line, |_| {
                format!(
                    "for the account {handle}; the other device must show: {digits}\nit is to say yes or no within {wait_s} s from the start"
                )
            })
        }
        NewcomerEvent::History(progress) if output.is_json() => {
            output.record(&Line::History(progress), |_| String::new())
        }
        _ => Ok(()),
    }
}

pub(super) async fn approve(
    client: &Client,
    approve: &Approve,
    output: &mut Output,
) -> Result<(), Failure> {
    if !approve.yes {
        can_be_asked()?;
    }
    let events = client.events(Since::Now);
    let link = LinkId::of_code(&approve.code)?;
    let wait_s = wait_s(approve.timeout);
    let linked = async {
        client.approve_link(&approve.code).await?;
        // A courtesy: standard error may be closed.
        let _ = writeln!(io::stderr(), "godwit: waiting for the new device, {wait_s} s at most");
        let (digits, _) = client.linking_digits(link).await?;
        let line = Line::Check { digits: digits.clone(), handle: None, wait_s };
        output.record(&line, |_| format!("the new device must show: {digits}"))?;
        if !approve.yes && !asks("Does it show the same? yes/no: ")? {
            client.cancel_link(link).await?;
            return Err(Failure::Other(
                "not linked: the digits were not confirmed; the new device is told".to_owned(),
            ));
        }
        client.confirm_link(link, !approve.no_history).await?;
        Ok::<u32, Failure>(client.linked(link).await?)
    };
    let linked = Box::pin(while_asking(client, linked));
    let Some(device) = within(approve.timeout, linked).await else {
        client.cancel_link(link).await?;
        return Err(Failure::TimedOut("the new device did not answer: begin again".to_owned()));
    };
    let device = device?;
    let line = Line::Linked { device, account: None };
    output.record(&line, |_| "linked: `godwit devices` lists it".to_owned())?;
    if !approve.no_history {
        // What does not go out in time goes on whenever this device runs.
        let watch = HistoryWatch { client, device, events, is_over: false };
        Box::pin(give_history(watch, output)).await?;
        let line = Line::HistoryGiven {};
        output.record(&line, |_| "it was given the history".to_owned())?;
    }
    Ok(())
}

/// Shows how far the new device was given the history, until there is no more.
async fn give_history(mut watch: HistoryWatch<'_>, output: &mut Output) -> Result<(), Failure> {
    let bar = bar("giving it the history", Counts::Messages);
    let client = watch.client;
    while let Some(progress) = Box::pin(taken(client, Time::USUAL, watch.next())).await? {
        bar.set_length(progress.of.into());
        bar.set_position(progress.given.into());
        if output.is_json() {
            output.record(&Line::History(progress), |_| String::new())?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// What is told of one device's history.
struct HistoryWatch<'a> {
    client: &'a Client,
    device: u32,
    /// Since before it was linked.
    events: EventStream,
    /// What is not told yet is in `events` already.
    is_over: bool,
}

impl HistoryWatch<'_> {
    /// The next, none after the last.
    async fn next(&mut self) -> Result<Option<HistoryProgress>, Error> {
        loop {
            let event = match self.is_over {
                true => match unconstrained(self.events.next()).now_or_never() {
                    Some(event) => event,
                    None => return Ok(None),
                },
                false => self.events.next().await,
            };
            match event.ok_or(Error::Closed)? {
                Event::History(progress) if progress.device == self.device => {
                    self.is_over |= progress.done;
                    return Ok(Some(progress));
                }
                // The last may be among those that were dropped, or that another owner told.
                Event::Lagged(_) => {
                    self.is_over |= self.client.history_progress().await?.is_none();
                }
                _ => {}
            }
        }
    }
}

pub(super) async fn devices(
    client: &Client,
    command: Option<&DevicesCommand>,
    time: Time,
    output: &mut Output,
) -> Result<(), Failure> {
    if let Some(DevicesCommand::Revoke { device }) = command {
        Box::pin(taken(client, time, client.revoke_device(*device))).await?;
        let line = Line::Revoked { device: *device };
        return output.record(&line, |_| format!("device {device} is no device of yours any more"));
    }
    fresh(client, time).await?;
    // A list that this device is not on any more would be taken for the account's.
    given_up(client).map_or(Ok(()), Err)?;
    for one in client.devices().await? {
        let device = Device { device: one.device, this: one.this, main: one.main };
        output.record(&device, |device| {
            let this = if device.this { "  (this one)" } else { "" };
            let main = if device.main { "  main" } else { "" };
            format!("{}{main}{this}", device.device)
        })?;
    }
    Ok(())
}

/// A minute, if the user does not say otherwise, for what only the server can finish.
async fn taken<T>(
    client: &Client,
    time: Time,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let work = async { Ok(work.await?) };
    answered(time, CHANGE_MAX, while_asking(client, work), too_late).await?
}

fn too_late(seconds: f64) -> Failure {
    Failure::TimedOut(format!(
        "the server did not answer within {seconds} s: it goes on when it is reached"
    ))
}

pub(super) async fn show_recovery(
    client: &Client,
    show: &RecoveryShow,
    output: &mut Output,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Words<'a> {
        words: &'a str,
    }
    let question = "Whoever sees the words is this account. Is nobody looking? yes/no: ";
    if !show.yes && !asks(question)? {
        return Err(Failure::Other("nothing was shown".to_owned()));
    }
    let words = client.recovery_words().await?;
    output.record(&Words { words: &words }, |_| {
        let numbered: Vec<String> =
            words.split(' ').enumerate().map(|(at, word)| format!("{:2} {word}", at + 1)).collect();
        let lines: Vec<String> = numbered.chunks(4).map(|row| row.join("   ")).collect();
        format!("{}\nwrite them on paper, and keep them apart from this device", lines.join("\n"))
    })
}

pub(super) async fn recover(
    home: &Path,
    recover: &Recover,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut words = String::new();
    let read = match &recover.words_file {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(WORDS_BYTES_MAX).read_to_string(&mut words)),
        None => io::stdin().lock().take(WORDS_BYTES_MAX).read_to_string(&mut words),
    };
    read.map_err(|error| Failure::io("cannot read the recovery words", &error))?;
    let (time, link) = (Time::of(recover.limit), &recover.link);
    let recovered = Box::pin(Client::recover(home, link, &words));
    let Joined { account, device, .. } = answered(time, CHANGE_MAX, recovered, too_late).await??;
    let line = Line::Recovered { device: device.number.0, account: account.to_string() };
    output.record(&line, |_| {
        "recovered: this is the account's main device now, and its only one; link others anew"
            .to_owned()
    })
}

/// Asks a person; anything but yes is no. Without a terminal nobody can answer.
fn asks(question: &str) -> Result<bool, Failure> {
    can_be_asked()?;
    eprint!("{question}");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::io("cannot read the answer", &error))?;
    Ok(matches!(answer.trim(), "yes" | "y"))
}

fn can_be_asked() -> Result<(), Failure> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::Usage("nobody can be asked here: give --yes".to_owned()))
}
