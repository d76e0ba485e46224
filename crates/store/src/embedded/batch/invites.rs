//! Invites, and the server's own small values.

use redb::{ReadableTable, ReadableTableMetadata};

use super::Batch;
use super::stop::{Step, Stop, require, require_room};
use crate::embedded::fault::Fault;
use crate::embedded::{row, tables};
use crate::{INVITES_MAX, Invite, META_BYTES_MAX, RegisterError, Registration, StoreError};

/// Bytes of an invite's code: 256 bits in hexadecimal.
const CODE_BYTES_MAX: usize = 64;

impl Batch<'_> {
    /// The invite that a registration uses, if it needs one.
    pub(super) fn invite_of(
        &self,
        registration: &Registration,
    ) -> Step<Option<Invite>, RegisterError> {
        if !registration.require_invite {
            return Ok(None);
        }
        let Some(code) = &registration.invite else {
            return Err(Stop::Refused(RegisterError::InviteRequired));
        };
        let invites = self.txn.open_table(tables::INVITE)?;
        let row = invites.get(code.as_str())?;
        let invite = row.map(|row| row::invite(code, row.value())).transpose()?;
        match invite.filter(|invite| is_good(invite, self.terms.now_ms)) {
            Some(invite) => Ok(Some(invite)),
            None => Err(Stop::Refused(RegisterError::InviteInvalid)),
        }
    }

    pub(super) fn use_up(&mut self, mut invite: Invite) -> Result<(), Fault> {
        invite.uses_left = invite.uses_left.saturating_sub(1);
        self.set_invite(&invite)
    }

    pub(super) fn put_invite(&mut self, invite: &Invite) -> Step<(), StoreError> {
        let length = invite.code.len();
        require((1..=CODE_BYTES_MAX).contains(&length), StoreError::Limit("an invite's code"))?;
        require_room(self.terms.disk_full)?;
        if self.has_all_invites(&invite.code)? {
            self.drop_void_invites()?;
            let full = self.has_all_invites(&invite.code)?;
            require(!full, StoreError::Limit("invites"))?;
        }
        Ok(self.set_invite(invite)?)
    }

    pub(super) fn put_meta(&mut self, name: &str, value: &[u8]) -> Step<(), StoreError> {
        require(value.len() <= META_BYTES_MAX, StoreError::Limit("a meta value"))?;
        let row = row::put_plain(name.as_bytes(), value);
        self.txn.open_table(tables::META)?.insert(name, row.as_slice())?;
        self.changed = true;
        Ok(())
    }

    fn set_invite(&mut self, invite: &Invite) -> Result<(), Fault> {
        let row = row::put_invite(invite);
        self.txn.open_table(tables::INVITE)?.insert(invite.code.as_str(), row.as_slice())?;
        self.changed = true;
        Ok(())
    }

    /// Whether there is no room for an invite under `code`, which may replace one.
    fn has_all_invites(&self, code: &str) -> Result<bool, Fault> {
        let invites = self.txn.open_table(tables::INVITE)?;
        Ok(invites.len()? >= INVITES_MAX as u64 && invites.get(code)?.is_none())
    }

    fn drop_void_invites(&mut self) -> Result<(), Fault> {
        let mut invites = self.txn.open_table(tables::INVITE)?;
        let now_ms = self.terms.now_ms;
        // A row that cannot be read is kept: whoever uses it is told of the damage.
        invites
            .retain(|code, row| row::invite(code, row).map_or(true, |it| is_good(&it, now_ms)))?;
        self.changed = true;
        Ok(())
    }
}

fn is_good(invite: &Invite, now_ms: u64) -> bool {
    invite.uses_left > 0 && now_ms < invite.expires_ms
}
