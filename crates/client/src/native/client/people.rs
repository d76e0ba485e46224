//! Contacts: who is blocked or muted, names and pictures, reports.

use godwit_base::Handle;

use super::super::request::{Request, Response};
use super::super::stream::Since;
use super::Client;
use crate::{Contact, Error, Event, OwnProfile, Reported};

impl Client {
    /// Everybody whom this account knows, and who is blocked or muted, by handle.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn contacts(&self) -> Result<Vec<Contact>, Error> {
        match self.host.ask(Request::People).await? {
            Response::People(people) => Ok(people),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Makes whoever has a handle known to this home: the server is asked, unless that is known. Waits
    /// while there is no link; the caller adds the timeout.
    ///
    /// # Errors
    /// [`Error::NoAccount`] when nobody has it, [`Error::ToYourself`], [`Error::TooManyFinds`].
    ///
    /// # Cancel safety
    /// Safe: the server may be asked still, and it can be repeated.
    pub async fn find(&self, with: &Handle) -> Result<(), Error> {
        self.done(Request::Find { with: with.clone() }).await
    }

    /// Blocks a contact or lifts that, on all devices of this account. While it is blocked nothing of
    /// it is shown and nothing is sent to it; it is not told, and sees its messages delivered.
    ///
    /// # Errors
    /// [`Error::NoContact`] until [`find`](Self::find) has made them known, [`Error::ToYourself`],
    /// [`Error::TooManySettings`], or trouble with the home.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_blocked(&self, with: &Handle, blocked: bool) -> Result<(), Error> {
        self.done(Request::SetBlocked { with: with.clone(), blocked }).await
    }

    /// Mutes a contact on all devices of this account, until a time in unix milliseconds,
    /// [`MUTED_FOREVER_MS`](crate::core::MUTED_FOREVER_MS), or 0 for not at all: a mark for whoever
    /// makes notifications.
    ///
    /// # Errors
    /// As [`set_blocked`](Self::set_blocked).
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_muted(&self, with: &Handle, until_ms: u64) -> Result<(), Error> {
        self.done(Request::SetMuted { with: with.clone(), until_ms }).await
    }

    /// How this account is shown to its contacts.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn profile(&self) -> Result<OwnProfile, Error> {
        match self.host.ask(Request::Profile).await? {
            Response::Profile(profile) => Ok(profile),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Changes what is given of this account's profile, all or nothing; an empty one takes it away.
    /// Whoever the user has written to is told, end-to-end encrypted, and nobody else.
    ///
    /// # Errors
    /// [`Error::BadProfile`], or trouble with the home.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn set_profile(
        &self,
        name: Option<String>,
        about: Option<String>,
        picture: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        self.done(Request::SetProfile { name, about, picture }).await
    }

    /// The picture that a contact has told us, a JPEG or PNG file.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn picture_of(&self, with: &Handle) -> Result<Option<Vec<u8>>, Error> {
        match self.host.ask(Request::PictureOf { with: with.clone() }).await? {
            Response::Picture(picture) => Ok(picture),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Reports a contact to the operator of the server, who can read the given messages then. Returns
    /// when the server has it on disk.
    ///
    /// # Errors
    /// [`Error::NoContact`], [`Error::BadReport`] also with the server's reason for a no.
    ///
    /// # Cancel safety
    /// Dropped, the report may still be sent while this client lives.
    pub async fn report(
        &self,
        with: &Handle,
        reason: &str,
        messages: Vec<Reported>,
    ) -> Result<(), Error> {
        let mut events = self.events(Since::Now);
        let (reported, reason) = (with.clone(), reason.to_owned());
        self.done(Request::Report { with: reported, reason, messages }).await?;
        loop {
            match events.next().await.ok_or(Error::Closed)? {
                Event::Reported { with: reported, refused } if reported == *with => {
                    return refused.map_or(Ok(()), |refused| Err(Error::BadReport(refused)));
                }
                _ => {}
            }
        }
    }
}
