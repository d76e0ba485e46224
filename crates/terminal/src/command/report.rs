//! `godwit report`: messages of somebody, in clear, to the operator of the server.

use godwit_base::Handle;
use godwit_client::{Client, Reported};
use serde::Serialize;

use super::send::while_asking;
use super::{ANSWER_MAX, Time, answered, meet_somebody, no_answer};
use crate::arguments::Report;
use crate::failure::Failure;
use crate::output::Output;

/// Messages looked through for those that can be reported.
const PAGE: u32 = 500;

#[derive(Serialize)]
struct Done<'a> {
    event: &'static str,
    with: &'a Handle,
    messages: usize,
}

/// Whether the user knows what a report is.
pub(super) fn is_meant(report: &Report) -> Result<(), Failure> {
    if report.yes {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "nothing was sent: a report takes the last {} messages of {} out of the encryption, and the \
         operator of the server can read them and your reason; if you want that, add --yes",
        report.last, report.with
    )))
}

/// Reports, and waits until the operator has it.
pub(super) async fn report(
    client: &Client,
    report: &Report,
    output: &mut Output,
) -> Result<(), Failure> {
    let time = Time::of(report.limit);
    let messages = chosen(client, report).await?;
    let count = messages.len();
    meet_somebody(client, &report.with, time).await?;
    let taken = async { Ok(client.report(&report.with, &report.reason, messages).await?) };
    answered(time, ANSWER_MAX, while_asking(client, taken), no_answer).await??;
    let done = Done { event: "reported", with: &report.with, messages: count };
    output.record(&done, |done| {
        format!(
            "reported {} with {} messages, which the operator of the server can read now",
            done.with, done.messages
        )
    })
}

/// The last texts of the other side, oldest first.
async fn chosen(client: &Client, report: &Report) -> Result<Vec<Reported>, Failure> {
    let page = client.history(&report.with, None, PAGE).await?;
    let theirs = page.into_iter().rev().filter(|item| !item.outgoing);
    let texts = theirs.filter_map(|item| {
        Some(Reported { id: item.id, sent_at_ms: item.sent_at_ms, text: item.text? })
    });
    let mut chosen: Vec<Reported> = texts.take(report.last.into()).collect();
    chosen.reverse();
    Ok(chosen)
}
