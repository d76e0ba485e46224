//! The devices of the account: linking, revoking, recovering.

use std::path::Path;

use godwit_base::JoinLink;

use super::{Client, Joined, changed};
use crate::native::home::Home;
use crate::native::newcomer;
use crate::native::request::{Request, Response};
use crate::{DeviceInfo, Error, Event, HistoryProgress, LinkId, LinkingState, NewcomerEvent};

impl Client {
    /// Makes an empty home a further device of an account that exists on the server of `link`: `tell`
    /// gets the code, which a person carries to the account's main device, and then the digits, which
    /// both show. Returns when the main device has linked this one.
    ///
    /// # Errors
    /// [`Error::Linking`] with what went wrong; [`Error::Refused`] when the ten minutes of a code are
    /// over; [`Error::Unreachable`], [`Error::AlreadyJoined`], or trouble with the home's files.
    ///
    /// # Cancel safety
    /// Dropped before it returns, this home is no device. Had the main device linked it already, its
    /// entry is left over there: revoke it.
    pub async fn link(
        home: &Path,
        link: &JoinLink,
        tell: impl FnMut(NewcomerEvent),
    ) -> Result<Joined, Error> {
        newcomer::link(&Home::at(home), link, tell).await
    }

    /// Makes an empty home the main device of the account whose key these words are. All its other
    /// devices are revoked by it.
    ///
    /// # Errors
    /// [`Error::Words`]; [`Error::Refused`] where the server has no such account;
    /// [`Error::Unreachable`], [`Error::AlreadyJoined`], or trouble with the home's files.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the others may be revoked already: call it again with an empty home.
    pub async fn recover(home: &Path, link: &JoinLink, words: &str) -> Result<Joined, Error> {
        newcomer::recover(&Home::at(home), link, words).await
    }

    /// Begins to link the device that shows this code; what follows is in
    /// [`linking`](Self::linking) under the id that is returned. One device is linked at a time, by
    /// whichever program of this home. A linking whose program ends before its user has confirmed the
    /// digits is given up.
    ///
    /// # Errors
    /// [`Error::NotMain`], [`Error::LinkingBusy`] while a device with another code is being linked,
    /// [`Error::TooManyDevices`], [`Error::Linking`] that says what is wrong with the code, or trouble
    /// with the home.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn approve_link(&self, code: &str) -> Result<LinkId, Error> {
        let link = LinkId::of_code(code)?;
        self.done(Request::ApproveLink { code: code.to_owned() }).await?;
        Ok(link)
    }

    /// The user has compared the digits, and they are the same: the device is put on the account's
    /// list. `with_history`: it is given what was said so far, at most 20,000 messages and 8 MiB, the
    /// newest first; [`history_given`](Self::history_given) waits for that.
    ///
    /// # Errors
    /// [`Error::Linking`] if none are shown or the list has changed, [`Error::TooManyDevices`],
    /// [`Error::ListBusy`], or trouble with the home.
    ///
    /// # Cancel safety
    /// Safe: done or not done; [`linking`](Self::linking) tells which.
    pub async fn confirm_link(&self, link: LinkId, with_history: bool) -> Result<(), Error> {
        self.done(Request::ConfirmLink { link, with_history }).await
    }

    /// Waits until a new device was given the history, as far as this device goes: the rest is the
    /// outbox's. It goes on at the next start if this ends before.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn history_given(&self) -> Result<(), Error> {
        let mut events = self.host.events();
        while self.history_progress().await?.is_some() {
            changed(&mut events, |event| matches!(event, Event::History(_))).await?;
        }
        Ok(())
    }

    /// How far a new device was given the history; `None` when none is being given it.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn history_progress(&self) -> Result<Option<HistoryProgress>, Error> {
        match self.host.ask(Request::HistoryProgress).await? {
            Response::HistoryProgress(progress) => Ok(progress),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Gives this linking up, such as when the digits differ. Another one goes on.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: done or not done, and it can be repeated.
    pub async fn cancel_link(&self, link: LinkId) -> Result<(), Error> {
        self.done(Request::CancelLink { link }).await
    }

    /// Which linking was begun last, by whichever program of this home, and how far it has come; `None`
    /// when nothing was begun.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn linking(&self) -> Result<Option<(LinkId, LinkingState)>, Error> {
        match self.host.ask(Request::Linking).await? {
            Response::Linking(state) => Ok(state),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Waits until this linking's digits are to be compared; they and the number of the new device.
    ///
    /// # Errors
    /// [`Error::Linking`] if linking fails, or is not under way.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn linking_digits(&self, link: LinkId) -> Result<(String, u32), Error> {
        self.linking_until(link, |state| match state {
            LinkingState::Compare { digits, device } => Some((digits, device)),
            _ => None,
        })
        .await
    }

    /// Waits until the device of this linking is one of the account's; its number.
    ///
    /// # Errors
    /// [`Error::Linking`] if linking fails, or is not under way.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn linked(&self, link: LinkId) -> Result<u32, Error> {
        self.linking_until(link, |state| match state {
            LinkingState::Linked { device } => Some(device),
            _ => None,
        })
        .await
    }

    async fn linking_until<T>(
        &self,
        link: LinkId,
        is_there: impl Fn(LinkingState) -> Option<T>,
    ) -> Result<T, Error> {
        let mut events = self.host.events();
        loop {
            let own = self.linking().await?.filter(|(other, _)| *other == link);
            match own.map(|(_, state)| state) {
                None => return Err(Error::Linking("it was given up".to_owned())),
                Some(LinkingState::Failed { reason }) => return Err(Error::Linking(reason)),
                Some(state) => {
                    if let Some(found) = is_there(state) {
                        return Ok(found);
                    }
                }
            }
            changed(
                &mut events,
                |event| matches!(event, Event::Linking { link: it, .. } if *it == link),
            )
            .await?;
        }
    }

    /// The devices of this account, as far as this one knows.
    ///
    /// # Errors
    /// When the client was closed.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, Error> {
        match self.host.ask(Request::Devices).await? {
            Response::Devices(devices) => Ok(devices),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Takes a device off the account and returns when the server has that. The caller adds the
    /// timeout.
    ///
    /// # Errors
    /// [`Error::NotMain`], [`Error::NoDevice`], [`Error::OwnDevice`], [`Error::ListBusy`], or trouble with
    /// the home.
    ///
    /// # Cancel safety
    /// Dropped, the device may still be taken off when the server is reached.
    pub async fn revoke_device(&self, device: u32) -> Result<(), Error> {
        let mut events = self.host.events();
        self.done(Request::RevokeDevice { device }).await?;
        while self.devices().await?.iter().any(|one| one.device == device) {
            changed(&mut events, |event| matches!(event, Event::Devices)).await?;
        }
        Ok(())
    }

    /// The account key as 24 words. Whoever has them is the account.
    ///
    /// # Errors
    /// [`Error::NotMain`].
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn recovery_words(&self) -> Result<String, Error> {
        match self.host.ask(Request::RecoveryWords).await? {
            Response::Words(words) => Ok(words.text().to_owned()),
            _ => Err(Error::OtherVersion),
        }
    }
}
