//! Does what the model asks for: calls of the client, one at a time and in order, so that texts
//! leave as they were typed.

use std::collections::VecDeque;
use std::path::Path;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use godwit_base::MessageId;
use godwit_client::{ChatId, Client, Context, Error, HistoryItem, mentions_in};

use super::model::{Effect, Outcome, Place};
use crate::attach::free_path;

/// Messages fetched at once.
const PAGE: u32 = 100;

/// Hits of a search: more than anybody reads.
const HITS: u32 = 200;

/// Files saved at once, and devices being revoked: more than a person waits for.
const SAVING_MAX: usize = 8;

/// What is being done and what comes after. Bounded by what a user can ask for while one call
/// runs, since questions that wait already are not asked twice.
pub(crate) struct Effects<'a> {
    client: &'a Client,
    waiting: VecDeque<Effect>,
    running: Option<LocalBoxFuture<'a, Outcome>>,
    /// Files that are being saved, and one device that is being revoked: they take long, and hold
    /// nothing up.
    beside: FuturesUnordered<LocalBoxFuture<'a, Outcome>>,
}

impl<'a> Effects<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        let beside = FuturesUnordered::new();
        Self { client, waiting: VecDeque::new(), running: None, beside }
    }

    /// Adds to the end what is not there already.
    pub(crate) fn add(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            add(&mut self.waiting, effect);
        }
    }

    /// What came of the next effect; never ends while there is none. Safe to drop: a call that
    /// runs goes on with the next `next`.
    pub(crate) async fn next(&mut self) -> Outcome {
        while self.running.is_none()
            && let Some(effect) = self.waiting.pop_front()
        {
            match effect {
                Effect::Save { .. } if self.beside.len() >= SAVING_MAX => {
                    return Outcome::Saved(Err(Error::TooManyFiles { max: SAVING_MAX }));
                }
                Effect::Save { id, name } => self.beside.push(save(self.client, id, name)),
                Effect::Revoke { device } => self.beside.push(revoke(self.client, device)),
                effect => self.running = perform(self.client, effect),
            }
        }
        let (outcome, is_running) = tokio::select! {
            biased;
            outcome = ended(&mut self.running) => (outcome, true),
            Some(outcome) = self.beside.next() => (outcome, false),
        };
        if is_running {
            self.running = None;
        }
        outcome
    }
}

async fn ended(running: &mut Option<LocalBoxFuture<'_, Outcome>>) -> Outcome {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

/// Saves a file into the folder that the messenger was started in.
fn save(client: &Client, id: MessageId, name: String) -> LocalBoxFuture<'_, Outcome> {
    async move {
        let Some(out) = free_path(Path::new(""), &name) else {
            let text = format!("too many files are called {name}: use godwit save");
            return Outcome::Saved(Err(Error::File(text)));
        };
        Outcome::Saved(client.save(id, &out).await.map(|_| out))
    }
    .boxed_local()
}

/// Takes a device off the account: done when the server has that, whenever it is reached.
fn revoke(client: &Client, device: u32) -> LocalBoxFuture<'_, Outcome> {
    async move { Outcome::Revoked { device, done: client.revoke_device(device).await } }
        .boxed_local()
}

/// A question that waits already is not asked twice; a newer search replaces one that waits.
fn add(waiting: &mut VecDeque<Effect>, effect: Effect) {
    match &effect {
        Effect::Redraw => return,                         // the loop did it
        Effect::Send { .. } | Effect::Answer { .. } => {} // the same words twice are two messages
        Effect::Search { .. } => waiting.retain(|other| !matches!(other, Effect::Search { .. })),
        _ if waiting.contains(&effect) => return,
        _ => {}
    }
    waiting.push_back(effect);
}

fn perform(client: &Client, effect: Effect) -> Option<LocalBoxFuture<'_, Outcome>> {
    Some(match effect {
        Effect::LoadChats => async { Outcome::Chats(client.chats().await) }.boxed_local(),
        Effect::LoadPage { with, place } => async move {
            let page = page(client, &with, place).await;
            Outcome::Page { with, place, page }
        }
        .boxed_local(),
        Effect::Send { to, text } => async move {
            let context = Context { mentions: mentions_in(&text), ..Context::default() };
            let sent = client.send_with(&to, text.clone(), context).await;
            Outcome::Sent { to, text, sent }
        }
        .boxed_local(),
        Effect::Answer { to, text, reply_to } => async move {
            let mentions = mentions_in(&text);
            let context = Context { reply_to: Some(reply_to), mentions, forwarded: false };
            let sent = client.send_with(&to, text.clone(), context).await;
            Outcome::Sent { to, text, sent }
        }
        .boxed_local(),
        Effect::Act { id, act } => async move {
            let done = client.act(id, act.clone()).await;
            Outcome::Acted { act, done }
        }
        .boxed_local(),
        Effect::MarkRead { with } => {
            async move { Outcome::MarkedRead(client.mark_read(&with).await) }.boxed_local()
        }
        Effect::Search { text } => async move {
            let hits = client.search(text.trim(), HITS).await;
            Outcome::Found { text, hits }
        }
        .boxed_local(),
        Effect::LoadSafety { with } => async move {
            let number = match with.contact() {
                Some(contact) => client.safety_number(contact).await,
                None => Err(Error::NoChat(with.clone())),
            };
            Outcome::Safety { with, number }
        }
        .boxed_local(),
        Effect::SetVerified { with, verified } => async move {
            let done = match with.contact() {
                Some(contact) => client.set_verified(contact, verified).await,
                None => Err(Error::NoChat(with.clone())),
            };
            Outcome::Verified { with, verified, done }
        }
        .boxed_local(),
        Effect::Watch { with } => async move {
            let presence = match with.contact() {
                Some(contact) => client.open_chat(contact).await,
                None => Ok(None),
            };
            Outcome::Watched { with, presence }
        }
        .boxed_local(),
        Effect::Unwatch { with } => async move {
            if let Some(contact) = with.contact() {
                client.close_chat(contact).await.ok();
            }
            Outcome::Told
        }
        .boxed_local(),
        Effect::Types { with, on } => async move {
            if let Some(contact) = with.contact() {
                client.types(contact, on).await.ok();
            }
            Outcome::Told
        }
        .boxed_local(),
        Effect::DialNow => async { Outcome::Dialled(client.dial_now().await) }.boxed_local(),
        effect => return perform_about_devices(client, effect),
    })
}

fn perform_about_devices(client: &Client, effect: Effect) -> Option<LocalBoxFuture<'_, Outcome>> {
    Some(match effect {
        Effect::LoadDevices => async {
            let linking = client.linking().await.ok().flatten();
            Outcome::Devices { list: client.devices().await, linking }
        }
        .boxed_local(),
        Effect::ApproveLink { code } => async move {
            let done = client.approve_link(&code).await.map(|_| ());
            Outcome::Approved { code, done }
        }
        .boxed_local(),
        Effect::ConfirmLink { link, with_history } => {
            async move { Outcome::Confirmed(client.confirm_link(link, with_history).await) }
                .boxed_local()
        }
        Effect::CancelLink { link } => async move {
            client.cancel_link(link).await.ok();
            Outcome::Told
        }
        .boxed_local(),
        _ => return None, // done elsewhere
    })
}

async fn page(client: &Client, with: &ChatId, place: Place) -> Result<Vec<HistoryItem>, Error> {
    match place {
        Place::Newest => client.history(with, None, PAGE).await,
        Place::Before(row) => client.history(with, Some(row), PAGE).await,
        Place::After(row) => client.history_after(with, row, PAGE).await,
        Place::Around(row) => {
            let mut page = client.history(with, Some(row.saturating_add(1)), PAGE / 2).await?;
            page.extend(client.history_after(with, row, PAGE / 2).await?);
            Ok(page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::sample::handle;

    #[test]
    fn questions_are_asked_once_and_texts_leave_as_often_as_they_were_typed() {
        let send = || Effect::Send { to: handle("bob"), text: "hm".to_owned() };
        let search = |text: &str| Effect::Search { text: text.to_owned() };
        let asked = [
            Effect::LoadChats,
            send(),
            search("a"),
            Effect::LoadChats,
            send(),
            Effect::Redraw,
            search("ab"),
        ];
        let mut waiting = VecDeque::new();
        for effect in asked {
            add(&mut waiting, effect);
        }
        assert_eq!(waiting, [Effect::LoadChats, send(), send(), search("ab")]);
    }
}
