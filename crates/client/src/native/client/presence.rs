//! Presence: whose chats are shown, who types, who may see us.

use godwit_base::Handle;

use super::super::request::{Request, Response};
use super::Client;
use crate::{Error, Presence, Visibility};

impl Client {
    /// The chat with this contact is shown for the next minute ([`OPEN_MS`](crate::core::OPEN_MS)): what may
    /// be seen of them is told by [`Event::Presence`](crate::Event::Presence), and is the answer if it is
    /// known already. Call it again while the chat is shown.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn open_chat(&self, with: &Handle) -> Result<Option<Presence>, Error> {
        match self.host.ask(Request::OpenChat { with: with.clone() }).await? {
            Response::Presence(presence) => Ok(presence),
            _ => Err(Error::OtherVersion),
        }
    }

    /// The chat is not shown any more.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn close_chat(&self, with: &Handle) -> Result<(), Error> {
        self.done(Request::CloseChat { with: with.clone() }).await
    }

    /// The user pressed a key in this open chat (`true`), or sent or dropped what was typed (`false`). It
    /// ends by itself six seconds after the last key. Call it at most once a second.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn types(&self, with: &Handle, on: bool) -> Result<(), Error> {
        self.done(Request::Types { with: with.clone(), on }).await
    }

    /// Who may see when this account is online, and that it types.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn visibility(&self) -> Result<Visibility, Error> {
        match self.host.ask(Request::Visibility).await? {
            Response::Visibility(visibility) => Ok(visibility),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Sets who may see it, on all devices of the account. Who lets nobody see sees nobody. With `anew`
    /// only those to whom something is written from now on count as contacts.
    ///
    /// # Errors
    /// Trouble with the home.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_visibility(&self, visibility: Visibility, anew: bool) -> Result<(), Error> {
        self.done(Request::SetVisibility { visibility, anew }).await
    }

    /// Waits until what was set has left this device: [`set_visibility`](Self::set_visibility) counts at the
    /// server, and everybody was sent what [`set_profile`](Self::set_profile) changed. False when too many
    /// wait for that already.
    ///
    /// Without a link that takes until there is one again: give it a limit, or watch
    /// [`connection`](Self::connection) beside it.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn told(&self) -> Result<bool, Error> {
        match self.host.ask(Request::IsTold).await? {
            Response::Flag(told) => Ok(told),
            _ => Err(Error::OtherVersion),
        }
    }
}
