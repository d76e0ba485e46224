//! The face of the SDK: what goes beyond plain texts.

use godwit_base::MessageId;

use super::client::Client;
use super::request::{Request, Response};
use super::stream::Since;
use crate::core::SendKey;
use crate::{
    Act, ChatId, ConnectionState, Context, Error, Event, HistoryItem, Info, MessageState, Note,
    Poll, Recipient, Recipients, Settings,
};

impl Client {
    /// Puts one text into the outbox with what belongs to it: what it answers, who is named.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::OutOfBounds`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_with(
        &self,
        to: impl Into<ChatId>,
        text: String,
        context: Context,
    ) -> Result<MessageId, Error> {
        self.sent_one(Request::SendWith { key: new_key()?, to: to.into(), text, context }).await
    }

    /// Asks a question with answers to choose from.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::OutOfBounds`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_poll(
        &self,
        to: impl Into<ChatId>,
        question: String,
        options: Vec<String>,
        several: bool,
    ) -> Result<MessageId, Error> {
        let (key, to) = (new_key()?, to.into());
        self.sent_one(Request::SendPoll { key, to, question, options, several }).await
    }

    /// Sends the text of a message into another chat, with the mark that it was said before.
    ///
    /// # Errors
    /// [`Error::NoMessage`], [`Error::OutOfBounds`] for a file or a poll, [`Error::WrongKind`] if it has no
    /// text of its own for another reason, and those of [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn forward(&self, id: MessageId, to: impl Into<ChatId>) -> Result<MessageId, Error> {
        let item = self.message(id).await?.ok_or(Error::NoMessage(id))?;
        // A file is not the sender's to keep for another: its place on the server is counted.
        if item.details.media.is_some() {
            return Err(impossible("forwarding a file", "save it and send it again".to_owned()));
        }
        if item.details.poll.is_some() {
            return Err(impossible("forwarding a poll", "ask again in the other chat".to_owned()));
        }
        let text = item.text.ok_or(Error::WrongKind(id))?;
        let mentions = item.details.mentions;
        self.send_with(to, text, Context { forwarded: true, mentions, reply_to: None }).await
    }

    /// Does something about a message, here and for everybody in its chat. Durable when it returns,
    /// with the id that its own message has: see [`wait_sent`](Self::wait_sent).
    ///
    /// # Errors
    /// [`Error::NoMessage`]; [`Error::NotAuthor`]; [`Error::WrongKind`] for a message that it cannot
    /// be done to; [`Error::OutOfBounds`]; and those of [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Not safe to repeat for what is not the same twice, such as an edit by two users: dropped, it
    /// may have been done or not.
    pub async fn act(&self, id: MessageId, act: Act) -> Result<MessageId, Error> {
        let item = self.message(id).await?.ok_or(Error::NoMessage(id))?;
        fits(&item, &act)?;
        let (key, with) = (new_key()?, item.with);
        self.sent_one(Request::Act { key, with, about: id, act }).await
    }

    /// Waits until the server has what [`act`](Self::act) returned the id of. The caller adds the
    /// timeout.
    ///
    /// # Errors
    /// [`Error::WrongKind`] never; the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn wait_sent(&self, id: MessageId) -> Result<MessageState, Error> {
        let mut events = self.events(Since::Now);
        loop {
            match self.host().ask(Request::IsUnsent { id }).await? {
                Response::Flag(false) => return Ok(MessageState::Accepted),
                Response::Flag(true) => {}
                _ => return Err(Error::OtherVersion),
            }
            loop {
                match events.next().await.ok_or(Error::Closed)? {
                    Event::State { id: changed, state, .. } if changed == id => return Ok(state),
                    Event::Lagged(_) => break,
                    _ => {}
                }
            }
        }
    }

    /// One message as it is stored; `None` when there is none of this id.
    ///
    /// # Errors
    /// When the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn message(&self, id: MessageId) -> Result<Option<HistoryItem>, Error> {
        match self.host().ask(Request::Message { id }).await? {
            Response::Messages(mut messages) => Ok(messages.pop()),
            _ => Err(Error::OtherVersion),
        }
    }

    /// A message and how far it came at each recipient. Who has what the server gave to all members of a
    /// large group, it is asked; without a link [`Info::unknown`] says that it is not known just now. While
    /// the first link is being made it waits for that; the caller adds the timeout.
    ///
    /// # Errors
    /// [`Error::NoMessage`], or when the home cannot be read or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn info(&self, id: MessageId) -> Result<Info, Error> {
        let message = self.message(id).await?.ok_or(Error::NoMessage(id))?;
        let with = message.with.clone();
        let mut found = self.recipients(with.clone(), id).await?;
        // A program that was just started knows it as soon as it has a link, or has none.
        let mut connection = self.connection();
        if found.unknown.is_some() && *connection.borrow() == ConnectionState::Connecting {
            let is_tried = |state: &ConnectionState| *state != ConnectionState::Connecting;
            connection.wait_for(is_tried).await.map_err(|_| Error::Closed)?;
            found = self.recipients(with, id).await?;
        }
        // In a group each has come as far as it has, once the server has it.
        let of_each =
            message.with.group().is_some() && message.state.reached(MessageState::Accepted);
        let state = |to: Recipient| match of_each {
            true => to,
            false => Recipient { state: message.state, ..to },
        };
        let recipients = found.list.into_iter().map(state).collect();
        Ok(Info { recipients, unknown: found.unknown, message })
    }

    async fn recipients(&self, with: ChatId, id: MessageId) -> Result<Recipients, Error> {
        match self.host().ask(Request::Recipients { with, id }).await? {
            Response::Recipients(found) => Ok(found),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Sets the timer of a chat for both sides, seconds; 0 takes it away. Returns the message that
    /// tells of it.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`]; [`Error::NoChat`] when nothing was exchanged yet; and those of
    /// [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_timer(
        &self,
        with: impl Into<ChatId>,
        timer_s: u32,
    ) -> Result<MessageId, Error> {
        self.sent_one(Request::SetTimer { key: new_key()?, with: with.into(), timer_s }).await
    }

    /// What is set for this account.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn settings(&self) -> Result<Settings, Error> {
        match self.host().ask(Request::Settings).await? {
            Response::Settings(settings) => Ok(settings),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Sets whether others are told what was read, and this account is told what they have read, on
    /// all its devices.
    ///
    /// # Errors
    /// When the home cannot be written or the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_receipts(&self, on: bool) -> Result<(), Error> {
        self.done(Request::SetReceipts { on }).await
    }

    async fn sent_one(&self, request: Request) -> Result<MessageId, Error> {
        match self.host().ask(request).await? {
            Response::Sent(ids) => ids.first().copied().ok_or(Error::OtherVersion),
            _ => Err(Error::OtherVersion),
        }
    }
}

/// Whether this can be done to such a message; if not, why.
fn fits(item: &HistoryItem, act: &Act) -> Result<(), Error> {
    let is_there = item.note.is_none();
    let fits = match act {
        Act::Star(on) => is_there || !on,
        Act::Reaction(_) => is_there,
        Act::Edit(_) => is_there && item.text.is_some() && item.details.poll.is_none(),
        Act::Deletion => item.note != Some(Note::Deleted),
        Act::Vote(options) => match &item.details.poll {
            Some(poll) if poll.takes(options) => true,
            Some(poll) => return Err(impossible("this vote", choice(poll))),
            None => false,
        },
    };
    fits.then_some(()).ok_or(Error::WrongKind(item.id))
}

fn impossible(what: &str, bound: String) -> Error {
    Error::OutOfBounds { what: what.to_owned(), bound }
}

/// What may be chosen.
fn choice(poll: &Poll) -> String {
    let answers = poll.options.len();
    match poll.several {
        true => format!("this poll has {answers} answers"),
        false => format!("this poll has {answers} answers and takes one only"),
    }
}

/// A name for one command.
pub(super) fn new_key() -> Result<SendKey, Error> {
    let mut key = SendKey::default();
    getrandom::fill(&mut key).map_err(|error| Error::Storage(error.to_string()))?;
    Ok(key)
}
