//! `godwit send HANDLE --file PATH` and `godwit save MESSAGE_ID --out PATH`.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;

use godwit_client::core::Way;
use godwit_client::{Client, Event, Since};
use serde::Serialize;

use super::progress::{Counts, bar};
use super::send::{context, follow, while_asking, while_linked};
use super::{meet_message, within};
use crate::arguments::{Save, Send};
use crate::attach;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::amount;
use crate::text::one_line;

/// Sends a file, with the text if there is one.
pub(super) async fn send(
    client: &Client,
    send: &Send,
    path: &Path,
    output: &mut Output,
) -> Result<(), Failure> {
    let (looked_at, voice) = (path.to_owned(), send.voice);
    let looked = tokio::task::spawn_blocking(move || attach::look(&looked_at, voice)).await;
    let info = match looked {
        Ok(Ok(info)) => info,
        Ok(Err(error)) => {
            return Err(Failure::io(&format!("cannot send {}", path.display()), &error));
        }
        Err(error) => return Err(Failure::Other(error.to_string())),
    };
    if send.voice && !info.voice {
        let path = path.display();
        return Err(Failure::Usage(format!(
            "{path} is no Opus recording: send it without --voice"
        )));
    }
    let text = send.text.clone().unwrap_or_default();
    let context = context(client, send.reply, &text).await?;
    let sending = async { Ok(client.send_file(&send.to, path, info, text, context).await?) };
    let sending = Box::pin(watched(client, Way::Up, while_linked(client, sending)));
    let Some(id) = within(send.timeout, sending).await else {
        return Err(Failure::TimedOut(
            "not uploaded in time: that goes on when any godwit command has this home open"
                .to_owned(),
        ));
    };
    let (id, goal) = (id?, send.wait.into());
    follow(client, id, goal, send.timeout, output, client.wait_for(id, goal)).await
}

/// What `save` prints.
#[derive(Serialize)]
struct Saved<'a> {
    out: &'a Path,
    name: &'a str,
    mime: &'a str,
    bytes: u64,
}

/// Saves the file of a message.
pub(super) async fn save(client: &Client, save: &Save, output: &mut Output) -> Result<(), Failure> {
    let out = save.out.display();
    if save.out.is_dir() {
        return Err(Failure::Usage(format!("{out} is a folder: name the file in it")));
    }
    if !save.force && save.out.symlink_metadata().is_ok() {
        return Err(Failure::Usage(format!("{out} exists: choose another name, or add --force")));
    }
    meet_message(client, Some(save.id)).await?;
    let saving = async { Ok(client.save(save.id, &save.out).await?) };
    let saving = Box::pin(watched(client, Way::Down, while_asking(client, saving)));
    let Some(info) = within(save.timeout, saving).await else {
        return Err(Failure::TimedOut(
            "not fetched in time: what came is kept, and the next try goes on".to_owned(),
        ));
    };
    let info = info?;
    let saved = Saved { out: &save.out, name: &info.name, mime: &info.mime, bytes: info.bytes };
    output.record(&saved, |saved| {
        let (name, bytes) = (one_line(saved.name), amount(saved.bytes));
        format!("{out}: {name}, {bytes}")
    })
}

/// Shows how far files are while `work` runs.
async fn watched<T>(client: &Client, way: Way, work: impl Future<Output = T>) -> T {
    let bar = bar(if way == Way::Up { "sending" } else { "fetching" }, Counts::Bytes);
    if bar.is_hidden() {
        return work.await;
    }
    let mut events = client.events(Since::Now);
    let showing = async {
        while let Some(event) = events.next().await {
            if let Event::Transfer { way: moves, done_bytes, bytes, .. } = event
                && moves == way
            {
                bar.set_length(bytes);
                bar.set_position(done_bytes);
            }
        }
        std::future::pending::<Infallible>().await
    };
    let done = tokio::select! {
        biased;
        done = work => done,
        never = showing => match never {},
    };
    bar.finish_and_clear();
    done
}
