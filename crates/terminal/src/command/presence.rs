//! `godwit presence`, and the setting that says who may see ours.

use std::pin::pin;
use std::time::Duration;

use godwit_client::{Client, Event, EventStream, Presence, PresenceState, Since, Visibility};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Time;
use super::send::while_asking;
use crate::arguments::{self, Who};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::record::{Heard, presence_line};
use crate::time::{LocalTime, now_ms};

/// How often the chat is said to be open still: it closes by itself after a minute.
const OPEN_AGAIN: Duration = Duration::from_secs(25);

/// How long an answer is awaited when only the present state is wanted.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the state of somebody, and with `--watch` every change.
pub(super) async fn show(
    client: &Client,
    asked: &arguments::Presence,
    output: &mut Output,
) -> Result<(), Failure> {
    let events = client.events(Since::Now);
    let limit = asked.timeout.or((!asked.watch).then_some(PATIENCE));
    let watched = async {
        client.find(&asked.with).await?;
        watch(client, asked, events, output).await
    };
    let ended = super::within(limit, while_asking(client, watched)).await;
    client.close_chat(&asked.with).await?;
    match ended {
        Some(ended) => ended,
        None if asked.watch => Ok(()),
        None => Err(Failure::TimedOut(format!(
            "nothing is known of {} yet: check the connection",
            asked.with
        ))),
    }
}

/// Ticks at once, and whenever a chat must be said to be open again.
pub(super) fn open_again() -> Interval {
    let mut again = interval(OPEN_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    again
}

async fn watch(
    client: &Client,
    asked: &arguments::Presence,
    mut events: EventStream,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut closed = pin!(output::closed());
    let mut again = open_again();
    let mut shown = None;
    loop {
        let presence = tokio::select! {
            biased;
            () = &mut closed => return Err(Failure::OutputClosed),
            event = events.next() => match event {
                Some(Event::Presence { with, presence }) if with == asked.with => Some(presence),
                Some(_) => None,
                None => return Err(godwit_client::Error::Closed.into()),
            },
            _ = again.tick() => client.open_chat(&asked.with).await?,
        };
        let Some(presence) = presence.filter(|presence| shown != Some(*presence)) else { continue };
        shown = Some(presence);
        print(asked, presence, output)?;
        if !asked.watch {
            return Ok(());
        }
    }
}

fn print(
    asked: &arguments::Presence,
    presence: Presence,
    output: &mut Output,
) -> Result<(), Failure> {
    output.record(&Heard::presence(&asked.with, &presence), |_| {
        let time = LocalTime::of_machine();
        let text = match presence.state {
            PresenceState::Unknown => "not known: they do not show it, or you do not".to_owned(),
            _ => presence_line(&presence, &time, now_ms()),
        };
        format!("{}  {text}", asked.with)
    })
}

#[derive(Serialize)]
struct Setting {
    presence: &'static str,
    /// Whether the server has it, when it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<bool>,
}

/// Shows the setting, or changes it; `true`: the contacts start anew.
pub(super) async fn setting(
    client: &Client,
    who: Option<(Who, bool)>,
    time: Time,
    output: &mut Output,
) -> Result<(), Failure> {
    let (visibility, told) = match who {
        None => (client.visibility().await?, None),
        Some((who, anew)) => {
            let visibility = match who {
                Who::Everyone => Visibility::Everyone,
                Who::Contacts => Visibility::Contacts,
                Who::Nobody => Visibility::Nobody,
            };
            client.set_visibility(visibility, anew).await?;
            (visibility, Some(super::is_told(client, time).await?))
        }
    };
    let setting = Setting { presence: visibility.as_str(), told };
    output.record(&setting, |Setting { presence, told }| {
        let not_yet = match told {
            Some(false) => "\nnot yet in force: the server is told when it can be reached again",
            _ => "",
        };
        format!("when you are online, and that you type, can be seen by: {presence}{not_yet}")
    })
}
