//! `godwit send HANDLE TEXT`.

use std::future::Future;
use std::io::Write;

use godwit_client::{Client, ConnectionState, MessageState};

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
    let id = client.send(&send.to, text).await?;
    if !output.is_json() {
        // At once: whoever is stopped while waiting knows which message is in the outbox.
        output.line(&id.to_string())?;
    }
    let goal = send.wait.into();
    let wait = async { Ok(client.wait_for(id, goal).await?) };
    let reached = within(send.timeout, with_notice(client, wait)).await;
    let state = match reached {
        Some(reached) => reached?,
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

/// Waits, and says once on standard error why it takes long if the server cannot be reached.
///
/// # Errors
/// Those of `work`; [`Failure::Other`] when the client has given the server up for good.
pub(super) async fn with_notice<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut connection = client.connection();
    let notice = async move {
        let mut is_told = false;
        while let Ok(state) = connection.wait_for(|state| is_news(state, is_told)).await {
            let ConnectionState::Offline { retry_in_ms, reason } = &*state else { continue };
            let reason = one_line(reason);
            if retry_in_ms.is_none() {
                return Failure::Other(format!("{reason}; what was sent stays in the outbox"));
            }
            is_told = true;
            // Standard error may be closed: the notice is a courtesy.
            let _ = writeln!(
                std::io::stderr(),
                "godwit: waiting, {reason}; what was sent is safe in the outbox"
            );
        }
        std::future::pending().await
    };
    tokio::select! {
        biased; // the result before the courtesy
        done = work => done,
        given_up = notice => Err(given_up),
    }
}

/// Trouble is told once; that the server was given up is told always.
fn is_news(state: &ConnectionState, is_told: bool) -> bool {
    match state {
        ConnectionState::Offline { retry_in_ms, .. } => retry_in_ms.is_none() || !is_told,
        _ => false,
    }
}
