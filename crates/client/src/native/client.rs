//! The face of the SDK.

mod devices;
mod people;
mod presence;

use std::collections::BTreeMap;
use std::path::Path;

use godwit_base::{AccountId, DeviceId, Handle, JoinLink, MessageId};
use tokio::sync::{broadcast, watch};

use super::about::new_key;
use super::home::Home;
use super::host::Host;
use super::join;
use super::request::{Request, Response};
use super::stream::{EventStream, InboxReader, Since};
use crate::core::{GroupCommand, GroupOutcome};
use crate::{
    ChatId, ChatSummary, ConnectionState, Contact, Error, Event, GroupInfo, HistoryItem, Me,
    MessageState, SafetyNumber,
};

/// Most bytes of texts in one [`Client::send_all`], 4 MiB: an eighth of the outbox.
pub const SEND_ALL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The account.
    pub account: AccountId,
    /// Its first device: this home.
    pub device: DeviceId,
}

/// One account on one home. Clones are cheap and share everything.
///
/// The first client of a home, over all processes, owns the link and the ratchets; others are
/// served by it over a socket in the home, with the same calls, and one of them takes over when
/// it ends.
#[derive(Debug, Clone)]
pub struct Client {
    me: Me,
    home: Home,
    host: Host,
}

impl Client {
    /// Creates keys and an account with this handle on the server of `link`. Asking again after a
    /// failure continues where it stopped.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's reason, [`Error::Unreachable`],
    /// [`Error::AlreadyJoined`], or trouble with the home's files.
    ///
    /// # Cancel safety
    /// Safe to drop at any point: the keys stay in the home and the next call uses them.
    pub async fn join(
        home: &Path,
        link: &JoinLink,
        handle: &Handle,
        invite: Option<&str>,
    ) -> Result<Joined, Error> {
        join::join(&Home::at(home), link, handle, invite).await
    }

    /// Opens a home that has joined; starts its link in the background.
    ///
    /// # Errors
    /// [`Error::NotJoined`], [`Error::HomeBusy`], or trouble with the home's files.
    ///
    /// # Cancel safety
    /// Safe: dropped, nothing was started.
    pub async fn open(home: &Path) -> Result<Self, Error> {
        let home = Home::at(home);
        if !home.exists() {
            return Err(Error::NotJoined { home: home.name() });
        }
        let (host, me) = Host::start(home.clone()).await?;
        Ok(Self { me, home, host })
    }

    /// Who this home is.
    pub fn me(&self) -> &Me {
        &self.me
    }

    /// Puts one text into the outbox and returns when it is durable there. It goes out when the
    /// link is up, also after this process has ended and another opened the home.
    ///
    /// # Errors
    /// [`Error::TextTooLong`], [`Error::OutboxFull`], [`Error::KeyChanged`], [`Error::Blocked`], or
    /// trouble with the home's files. Nothing was sent then, save that after [`Error::Storage`] it is not
    /// known: the commit may have come through. Look into the history before you send again. An empty text is a message
    /// too.
    ///
    /// # Cancel safety
    /// Not safe to repeat: dropped, the text may have been sent or not. Spawn it and keep the
    /// handle if that matters.
    pub async fn send(&self, to: impl Into<ChatId>, text: String) -> Result<MessageId, Error> {
        let ids = self.send_all(to, vec![text]).await?;
        ids.first().copied().ok_or(Error::Closed)
    }

    /// Puts several texts into the outbox in one commit, in order: all or none.
    ///
    /// # Errors
    /// As [`send`](Self::send); one bad text refuses them all.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_all(
        &self,
        to: impl Into<ChatId>,
        texts: Vec<String>,
    ) -> Result<Vec<MessageId>, Error> {
        let bytes = texts.iter().map(String::len).sum();
        if bytes > SEND_ALL_BYTES_MAX {
            return Err(Error::TextsTooLong { bytes, max: SEND_ALL_BYTES_MAX });
        }
        let key = new_key()?;
        match self.host.ask(Request::Send { key, to: to.into(), texts }).await? {
            Response::Sent(ids) => Ok(ids),
            _ => Err(Error::OtherVersion),
        }
    }

    /// How far a message of this home came; `None` when there is no such message.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn state(&self, id: MessageId) -> Result<Option<MessageState>, Error> {
        match self.host.ask(Request::State { id }).await? {
            Response::State(state) => Ok(state),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Waits until a message reached `goal` and returns its state, which may be further; returns
    /// early with [`MessageState::Failed`]. The caller adds the timeout.
    ///
    /// # Errors
    /// [`Error::NoMessage`], the client was closed, or the home's files fail, such as on a full disk:
    /// nothing becomes of the message until that is mended.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn wait_for(&self, id: MessageId, goal: MessageState) -> Result<MessageState, Error> {
        let mut events = self.events(Since::Now);
        let mut trouble = self.host.trouble();
        loop {
            let state = self.state(id).await?.ok_or(Error::NoMessage(id))?;
            if state.is_failed() || state.reached(goal) {
                return Ok(state);
            }
            loop {
                let event = tokio::select! {
                    biased; // what happened before the files failed counts
                    event = events.next() => event.ok_or(Error::Closed)?,
                    error = trouble.next() => return Err(error),
                };
                match event {
                    Event::State { id: changed, .. } if changed == id => break,
                    Event::Lagged(_) => break,
                    _ => {}
                }
            }
        }
    }

    /// What happens from `since` on.
    pub fn events(&self, since: Since) -> EventStream {
        EventStream::new(&self.host, since)
    }

    /// Reads incoming messages, each once across restarts; for `listen` and bots. One reader a
    /// home.
    ///
    /// # Errors
    /// When the cursor's file cannot be used.
    pub fn inbox(&self) -> Result<InboxReader, Error> {
        InboxReader::open(&self.host, &self.home)
    }

    /// Messages of one chat, oldest first: the newest `limit` that were stored before the row
    /// `before`. A page holds at most 500 messages and 512 KiB: it may be shorter than asked.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn history(
        &self,
        with: impl Into<ChatId>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<HistoryItem>, Error> {
        self.messages(Request::History { with: with.into(), before, limit }).await
    }

    /// Messages of one chat, oldest first: the oldest `limit` that were stored after the row
    /// `after`. Pages are bounded as those of [`history`](Self::history); an empty one is the end.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn history_after(
        &self,
        with: impl Into<ChatId>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryItem>, Error> {
        self.messages(Request::HistoryAfter { with: with.into(), after, limit }).await
    }

    /// All chats, newest first; then the groups of this account in which nothing was said yet.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn chats(&self) -> Result<Vec<ChatSummary>, Error> {
        let Response::Chats(chats) = self.host.ask(Request::Chats).await? else {
            return Err(Error::OtherVersion);
        };
        let mut chats = with_groups(chats, self.groups().await?);
        let people = self.contacts().await?;
        let people: BTreeMap<&Handle, &Contact> = people.iter().map(|p| (&p.handle, p)).collect();
        for chat in &mut chats {
            let person = chat.with.contact().and_then(|with| people.get(with));
            if let Some(person) = person {
                chat.name.clone_from(&person.name);
                (chat.blocked, chat.muted_until_ms) = (person.blocked, person.muted_until_ms);
            }
        }
        Ok(chats)
    }

    /// Marks everything received in a chat as read and tells its sender.
    ///
    /// # Errors
    /// When the home cannot be written or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn mark_read(&self, with: impl Into<ChatId>) -> Result<(), Error> {
        self.done(Request::MarkRead { with: with.into() }).await
    }

    /// Marks a message, and all of its sender before it, as read and tells its sender.
    ///
    /// # Errors
    /// [`Error::NoMessage`], or trouble with the home.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn mark_message_read(&self, id: MessageId) -> Result<(), Error> {
        self.done(Request::MarkMessageRead { id }).await
    }

    /// Messages that contain `text`, newest first, without regard to case.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn search(&self, text: &str, limit: u32) -> Result<Vec<HistoryItem>, Error> {
        self.messages(Request::Search { text: text.to_owned(), limit }).await
    }

    /// The number that both sides compare.
    ///
    /// # Errors
    /// [`Error::NoChat`] when this device does not know the contact's key yet.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn safety_number(&self, with: &Handle) -> Result<SafetyNumber, Error> {
        match self.host.ask(Request::SafetyNumber { with: with.clone() }).await? {
            Response::SafetyNumber(number) => Ok(number),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Remembers that the user compared the safety number (or takes it back). After a key change,
    /// `true` accepts the new key.
    ///
    /// # Errors
    /// [`Error::NoChat`] when this device does not know the contact's key yet.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_verified(&self, with: &Handle, verified: bool) -> Result<(), Error> {
        self.done(Request::SetVerified { with: with.clone(), verified }).await
    }

    /// Changes a group and returns when the server has put the change into the group's log. Waits while
    /// there is no link; the caller adds the timeout.
    ///
    /// # Errors
    /// [`Error::NoGroup`], [`Error::NoAccount`], [`Error::Group`] if the group does not allow it,
    /// [`Error::Refused`], or trouble with the home.
    ///
    /// # Cancel safety
    /// Not safe to repeat: dropped, the change may be made or not. Look at [`groups`](Self::groups).
    pub async fn change_group(&self, command: GroupCommand) -> Result<GroupOutcome, Error> {
        match self.host.ask(Request::ChangeGroup { command }).await? {
            Response::Group(outcome) => Ok(outcome),
            _ => Err(Error::OtherVersion),
        }
    }

    /// All groups as this device has verified them, those that were left too.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn groups(&self) -> Result<Vec<GroupInfo>, Error> {
        match self.host.ask(Request::Groups).await? {
            Response::Groups(groups) => Ok(groups),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Waits until this device knows what the server has for it: its mailbox is read, the logs of its
    /// groups are here, and who is in them is known by name.
    ///
    /// Without a link that takes until there is one again: give it a limit, or watch
    /// [`connection`](Self::connection) beside it.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn caught_up(&self) -> Result<(), Error> {
        let news = |event: &Event| {
            matches!(event, Event::CaughtUp | Event::Group { .. } | Event::Contact(_))
        };
        let mut events = self.host.events();
        while let Response::Flag(false) = self.host.ask(Request::IsCaughtUp).await? {
            changed(&mut events, news).await?;
        }
        Ok(())
    }

    /// Dials at once, if the client waits before its next attempt; for a user who knows that the
    /// server is back. Does nothing while there is a link, or while the link is stopped for good.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn dial_now(&self) -> Result<(), Error> {
        self.done(Request::DialNow).await
    }

    /// The link to the server, now and as it changes.
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.host.connection()
    }

    /// Ends this client and all its clones: what was sent is durable, the link is closed, the
    /// home is free for another process.
    ///
    /// # Cancel safety
    /// Safe: once called, the client ends even if the future is dropped.
    pub async fn close(self) {
        self.host.close().await;
    }

    pub(super) const fn home(&self) -> &Home {
        &self.home
    }

    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    async fn messages(&self, request: Request) -> Result<Vec<HistoryItem>, Error> {
        match self.host.ask(request).await? {
            Response::Messages(messages) => Ok(messages),
            _ => Err(Error::OtherVersion),
        }
    }

    pub(super) async fn done(&self, request: Request) -> Result<(), Error> {
        match self.host.ask(request).await? {
            Response::Done => Ok(()),
            _ => Err(Error::OtherVersion),
        }
    }
}

/// Chats with the names of groups; those that have no message come last.
fn with_groups(mut chats: Vec<ChatSummary>, groups: Vec<GroupInfo>) -> Vec<ChatSummary> {
    for group in groups {
        let with = ChatId::Group(group.id);
        match chats.iter_mut().find(|chat| chat.with == with) {
            Some(chat) => (chat.name, chat.notice) = (group.name, group.frozen),
            None if group.is_member => chats.push(ChatSummary {
                with,
                last_text: None,
                last_at_ms: 0,
                unread: 0,
                verified: false,
                notice: group.frozen,
                name: group.name,
                blocked: false,
                muted_until_ms: 0,
            }),
            None => {}
        }
    }
    chats
}

/// Waits for such an event, or for a gap in which one may have been.
async fn changed(
    events: &mut broadcast::Receiver<Event>,
    is_it: impl Fn(&Event) -> bool,
) -> Result<(), Error> {
    loop {
        match events.recv().await {
            Ok(Event::Lagged(_)) | Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
            Ok(event) if is_it(&event) => return Ok(()),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return Err(Error::Closed),
        }
    }
}
