//! `godwit history`, `godwit chats` and `godwit search`: what this device has stored.

use godwit_client::{ChatId, Client, Error};

use super::{Time, meet};
use crate::arguments::{History, Search};
use crate::failure::Failure;
use crate::output::Output;
use crate::record::{Message, Names, message_line};
use crate::text::{fitted, one_line};
use crate::time::{LocalTime, now_ms};

/// Messages fetched at once.
const PAGE: u32 = 500;

/// Columns of the newest text in the list of chats.
const PREVIEW_COLUMNS: usize = 60;

/// Prints a chat, oldest message first, in pages: memory does not grow with the chat.
pub(super) async fn history(
    client: &Client,
    history: &History,
    output: &mut Output,
) -> Result<(), Failure> {
    let time = LocalTime::of_machine();
    meet(client, history.with.group(), Time::USUAL).await?;
    is_known(client, &history.with).await?;
    let names = Names::known_to(client).await?;
    let mut after = match history.limit {
        Some(limit) => first_of_last(client, history, limit).await?,
        None => 0,
    };
    loop {
        let page = client.history_after(&history.with, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.row;
        for item in &page {
            output.record(&Message::stored(item).named(&names), |_| message_line(item, &time))?;
        }
    }
}

/// Whether this device has ever heard of them: nothing to print is no answer to a mistyped name.
async fn is_known(client: &Client, with: &ChatId) -> Result<(), Failure> {
    if !client.history(with, None, 1).await?.is_empty() {
        return Ok(());
    }
    let unknown = match with {
        ChatId::Group(id) => {
            let groups = client.groups().await?;
            (!groups.iter().any(|group| group.id == *id)).then_some(Error::NoGroup(*id))
        }
        ChatId::Contact(handle) if *handle == client.me().handle => Some(Error::ToYourself),
        ChatId::Contact(handle) => {
            let people = client.contacts().await?;
            let is_met = people.iter().any(|person| person.handle == *handle);
            (!is_met).then(|| Error::NoContact(handle.clone()))
        }
    };
    unknown.map_or(Ok(()), |error| Err(error.into()))
}

/// The row before the newest `limit` messages.
async fn first_of_last(client: &Client, history: &History, limit: u64) -> Result<u64, Failure> {
    let mut before = None;
    let mut left = limit;
    while left > 0 {
        let want = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = client.history(&history.with, before, want).await?;
        let Some(first) = page.first() else { return Ok(0) };
        before = Some(first.row);
        left = left.saturating_sub(page.len() as u64);
    }
    // Nothing was asked for: after the newest row that there can be.
    Ok(before.map_or(u64::MAX, |row| row.saturating_sub(1)))
}

/// Prints the list of chats, newest first.
pub(super) async fn chats(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let (time, now) = (LocalTime::of_machine(), now_ms());
    for chat in client.chats().await? {
        output.record(&chat, |chat| {
            let text = one_line(chat.last_text.as_deref().unwrap_or_default()).into_owned();
            let at = match chat.last_at_ms {
                0 => String::new(),
                at_ms => time.short(at_ms, now),
            };
            let unread = match chat.unread {
                0 => String::new(),
                unread => format!("({unread})"),
            };
            let blocked = if chat.blocked { " [blocked]" } else { "" };
            let verified = if chat.verified { "verified" } else { "" };
            let line = format!(
                "{:<20} {unread:>6} {at:>8} {verified:<8}{blocked}  {}",
                one_line(&chat.title()),
                fitted(&text, PREVIEW_COLUMNS)
            );
            match &chat.notice {
                Some(notice) => format!("{}\n    !! {}", line.trim_end(), one_line(notice)),
                None => line.trim_end().to_owned(),
            }
        })?;
    }
    Ok(())
}

/// Prints the messages that contain a text, newest first.
pub(super) async fn search(
    client: &Client,
    search: &Search,
    output: &mut Output,
) -> Result<(), Failure> {
    let time = LocalTime::of_machine();
    for item in &client.search(&search.text, search.limit).await? {
        output.record(&Message::stored(item), |_| {
            format!("[{}] {}", item.with, message_line(item, &time))
        })?;
    }
    Ok(())
}
