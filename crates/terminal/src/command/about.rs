//! Commands about messages that are there: react, edit, delete, vote, star, show; and what is set.

use std::time::Duration;

use godwit_base::MessageId;
use godwit_client::{Act, Client, Error, MessageState};

use super::send::follow;
use super::{Time, meet, meet_message, of_somebody, presence};
use crate::arguments::{About, Setting, Switch, span};
use crate::failure::Failure;
use crate::output::Output;
use crate::record::{Delivery, Message, Set, message_line, reach_line, reach_of};
use crate::time::LocalTime;

pub(super) async fn about(
    client: &Client,
    about: About,
    output: &mut Output,
) -> Result<(), Failure> {
    meet(client, about.group(), Time::USUAL).await?;
    meet_message(client, about.message()).await?;
    match about {
        About::React { id, emoji, until } => {
            act(client, id, Act::Reaction(emoji), until.timeout, output).await
        }
        About::Edit { text, .. } if text.is_empty() => Err(Failure::Usage(
            "the text is empty: `godwit delete` takes a message back".to_owned(),
        )),
        About::Edit { id, text, until } => {
            act(client, id, Act::Edit(text), until.timeout, output).await
        }
        About::Delete { id, until } => act(client, id, Act::Deletion, until.timeout, output).await,
        About::Vote { id, options, until } => {
            let options = options.iter().map(|option| option.saturating_sub(1)).collect();
            act(client, id, Act::Vote(options), until.timeout, output).await
        }
        About::Star { id } => client.act(id, Act::Star(true)).await.map(drop).map_err(Into::into),
        About::Unstar { id } => {
            client.act(id, Act::Star(false)).await.map(drop).map_err(Into::into)
        }
        About::Forward { id, to, until } => {
            let id = client.forward(id, to).await?;
            sent(client, id, until.timeout, output).await
        }
        About::Poll { to, question, options, several, until } => {
            let id = client.send_poll(to, question, options, several).await?;
            sent(client, id, until.timeout, output).await
        }
        About::Timer { with, timer_s, until } => {
            let id = match with.contact() {
                None => client.set_timer(&with, timer_s).await?,
                Some(whom) => {
                    let time = Time::until(until.timeout);
                    of_somebody(client, whom, time, async || client.set_timer(whom, timer_s).await)
                        .await?
                }
            };
            sent(client, id, until.timeout, output).await
        }
        About::Settings { setting: None } => settings(client, output).await,
        About::Settings { setting: Some(Setting::Receipts { to }) } => {
            Ok(client.set_receipts(to == Switch::On).await?)
        }
        About::Settings { setting: Some(Setting::Presence { who, anew, limit }) } => {
            presence::setting(client, who.map(|who| (who, anew)), Time::of(limit), output).await
        }
        About::Show { id } => show(client, id, output).await,
        About::Info { id } => info(client, id, output).await,
    }
}

/// Does something about a message and waits until the server has it.
async fn act(
    client: &Client,
    id: MessageId,
    act: Act,
    timeout: Option<Duration>,
    output: &mut Output,
) -> Result<(), Failure> {
    let id = client.act(id, act).await?;
    let wait = client.wait_sent(id);
    follow(client, id, MessageState::Accepted, timeout, output, wait).await
}

async fn sent(
    client: &Client,
    id: MessageId,
    timeout: Option<Duration>,
    output: &mut Output,
) -> Result<(), Failure> {
    let wait = client.wait_for(id, MessageState::Accepted);
    follow(client, id, MessageState::Accepted, timeout, output, wait).await
}

async fn settings(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let settings = client.settings().await?;
    output.record(&Set::of(&settings), |_| {
        let receipts = if settings.receipts { "on" } else { "off" };
        let timers = settings.timers.iter();
        let timers = timers.map(|(chat, seconds)| format!("\ntimer {chat}  {}", span(*seconds)));
        let presence = settings.presence.as_str();
        format!("receipts  {receipts}\npresence  {presence}{}", timers.collect::<String>())
    })
}

async fn show(client: &Client, id: MessageId, output: &mut Output) -> Result<(), Failure> {
    let item = client.message(id).await?.ok_or(Error::NoMessage(id))?;
    output.record(&Message::stored(&item), |_| message_line(&item, &LocalTime::of_machine()))
}

async fn info(client: &Client, id: MessageId, output: &mut Output) -> Result<(), Failure> {
    let info = client.info(id).await?;
    output.record(&Delivery::of(&info), |_| {
        let mut lines = vec![message_line(&info.message, &LocalTime::of_machine())];
        lines.extend(reach_of(&info).map(reach_line));
        lines.extend(info.unknown.as_ref().map(|why| format!("by whom is not known: {why}")));
        for recipient in &info.recipients {
            lines.push(format!("{}  {}", recipient.handle, recipient.state));
            for (device, has) in &recipient.devices {
                let state = if *has { "delivered" } else { "on its way" };
                lines.push(format!("    device {}  {state}", device.number.0));
            }
        }
        lines.join("\n")
    })
}
