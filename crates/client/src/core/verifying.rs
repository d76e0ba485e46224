//! Safety numbers, and what happens when a contact's key changes.

use godwit_base::{AccountId, Handle};
use godwit_seal::{SafetyNumber as Number, Side};

use super::Core;
use super::output::Write;
use crate::{Error, SafetyNumber, WarningKind};

impl Core {
    /// The number to compare with a contact.
    ///
    /// # Errors
    /// [`Error::NoChat`] when their key is not known yet.
    pub fn safety_number(&self, with: &Handle) -> Result<SafetyNumber, Error> {
        let contact = self.contacts.by_handle(with).ok_or_else(|| Error::NoChat(with.into()))?;
        let theirs =
            Side { account_key: *contact.list.account_key(), list_version: contact.list.version() };
        let Number { digits, qr } = Number::of(&self.me.side(), &theirs);
        Ok(SafetyNumber { digits, qr })
    }

    /// Remembers that the user compared the number, which accepts the contact's present key, and its
    /// device list if the user was told that it is old; or takes an earlier comparison back, which
    /// accepts nothing.
    ///
    /// # Errors
    /// [`Error::NoChat`] when their key is not known yet.
    pub fn set_verified(&mut self, with: &Handle, verified: bool) -> Result<(), Error> {
        let no_chat = || Error::NoChat(with.into());
        let account = self.contacts.account_of(with).ok_or_else(no_chat)?;
        let contact = self.contacts.get_mut(account).ok_or_else(no_chat)?;
        let issued_at_ms = contact.list.issued_at_ms();
        // Only a list whose age the user was told of: none is accepted before it is old.
        if verified && contact.record.old_list_told_ms == Some(issued_at_ms) {
            contact.record.old_list_accepted_ms = Some(issued_at_ms);
        }
        contact.record.verified = verified;
        if verified {
            contact.record.blocked = false;
            contact.record.notice = None;
        }
        let (with, notice) = (with.clone(), contact.record.notice.clone());
        self.staged.writes.push(Write::Chat { with: with.into(), verified, notice });
        Ok(())
    }

    /// The handle leads to an account with another key than before.
    pub(super) fn on_key_change(&mut self, handle: &Handle, new: AccountId, former: &[AccountId]) {
        let mut was_verified = false;
        for account in former {
            if let Some(contact) = self.contacts.get_mut(*account) {
                was_verified |= contact.record.verified || contact.record.blocked;
                contact.record.verified = false;
            }
        }
        let advice = if was_verified {
            "nothing is sent to them until you accept it"
        } else {
            "compare the safety number if that matters"
        };
        let notice = format!("{handle} has another identity key than before: {advice}");
        if let Some(contact) = self.contacts.get_mut(new) {
            contact.record.blocked = was_verified;
            contact.record.verified = false;
            contact.record.notice = Some(notice.clone());
        }
        self.staged.writes.push(Write::Chat {
            with: handle.into(),
            verified: false,
            notice: Some(notice.clone()),
        });
        self.warn(WarningKind::KeyChange, Some(handle.clone()), notice);
    }
}
