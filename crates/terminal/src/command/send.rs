//! `godwit send HANDLE TEXT`.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use godwit_base::MessageId;
use godwit_client::{Client, ConnectionState, Context, Error, MessageState, mentions_in};

use super::within;
use crate::arguments::Send;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::Sent;
use crate::text::one_line;

pub(super) async fn one(client: &Client, send: &Send, output: &mut Output) -> Result<(), Failure> {
    let text = send.text.clone().unwrap_or_default();
    if text.is_empty() {
        return Err(Failure::Usage("the text is empty: nothing was sent".to_owned()));
    }
    let context = context(client, send.reply, &text).await?;
    let id = client.send_with(&send.to, text, context).await?;
    let goal = send.wait.into();
    follow(client, id, goal, send.timeout, output, client.wait_for(id, goal)).await
}

/// What belongs to a text: what it answers, who is named in it.
pub(super) async fn context(
    client: &Client,
    reply: Option<MessageId>,
    text: &str,
) -> Result<Context, Failure> {
    let reply_to = match reply {
        Some(id) => Some(client.message(id).await?.ok_or(Error::NoMessage(id))?.quote()),
        None => None,
    };
    Ok(Context { reply_to, mentions: mentions_in(text), forwarded: false })
}

/// Prints the id of a message and waits until it came so far.
pub(super) async fn follow(
    client: &Client,
    id: MessageId,
    goal: MessageState,
    timeout: Option<Duration>,
    output: &mut Output,
    wait: impl Future<Output = Result<MessageState, Error>>,
) -> Result<(), Failure> {
    if !output.is_json() {
        // At once: whoever is stopped while waiting knows which message is in the outbox.
        output.line(&id.to_string())?;
    }
    let wait = async { Ok(wait.await?) };
    let state = match within(timeout, while_linked(client, wait)).await {
        Some(Ok(reached)) => reached,
        // It may have failed for the same reason for which the link was stopped.
        Some(Err(stopped)) => match client.state(id).await? {
            Some(failed @ MessageState::Failed(_)) => failed,
            _ => return Err(stopped),
        },
        None => client.state(id).await?.unwrap_or(MessageState::Pending),
    };
    if output.is_json() {
        output.record(&Sent::new(id, state), |_| String::new())?;
    }
    match state {
        MessageState::Failed(failure) => Err(Failure::Refused(format!("{failure}"))),
        state if state.reached(goal) => Ok(()),
        state => Err(Failure::TimedOut(format!(
            "not {goal} in time, the message is {state}: {}",
            advice(state)
        ))),
    }
}

/// What becomes of a message after the time is up.
pub(super) const fn advice(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => {
            "it stays in the outbox and goes out when any godwit command has this home open and the server is reachable"
        }
        _ => "it is safe on the server, which hands it over when they come online",
    }
}

/// Waits, and says once on standard error why it takes long if the server cannot be reached. Ends
/// when the link is stopped for good: nothing will come then.
pub(super) async fn while_linked<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    until_stopped(client, work, "; what was sent is safe in the outbox").await
}

/// The same for a question: nothing was sent.
pub(super) async fn while_asking<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    until_stopped(client, work, "").await
}

async fn until_stopped<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Failure>>,
    comfort: &str,
) -> Result<T, Failure> {
    tokio::select! {
        biased; // the result before the courtesy
        done = work => done,
        stopped = stopped_for_good(client, comfort) => Err(stopped),
    }
}

async fn stopped_for_good(client: &Client, comfort: &str) -> Failure {
    let mut connection = client.connection();
    let mut is_told = false;
    loop {
        if let ConnectionState::Offline { retry_in_ms, reason } = &*connection.borrow_and_update() {
            let reason = one_line(reason);
            if retry_in_ms.is_none() {
                return Failure::Refused(reason.into()); // from here nothing goes any more
            }
            if !std::mem::replace(&mut is_told, true) {
                // Standard error may be closed: the notice is a courtesy.
                let _ = writeln!(std::io::stderr(), "godwit: waiting, {reason}{comfort}");
            }
        }
        if connection.changed().await.is_err() {
            return std::future::pending().await; // the client ends, and says so itself
        }
    }
}
