//! Who has a handle, for a command that must know it now. What is sent to a handle waits for it by itself.

use std::collections::BTreeMap;

use godwit_base::Handle;

use super::Core;
use super::lookup::{Keys, Who};
use crate::Error;

/// Handles that commands wait for at once, 64: one for each process that a home serves.
pub const FINDS_MAX: usize = 64;

/// What commands wait for, by number.
#[derive(Default)]
pub(super) struct Finds {
    by_number: BTreeMap<u64, Find>,
    last: u64,
}

struct Find {
    handle: Handle,
    /// Why it leads to nobody.
    failed: Option<Error>,
}

impl Core {
    /// Makes known who has a handle: the server is asked, unless this device knows. Returns the number
    /// under which [`take_found`](Self::take_found) tells what came of it.
    ///
    /// # Errors
    /// [`Error::ToYourself`], [`Error::TooManyFinds`], [`Error::Revoked`].
    pub fn find(&mut self, handle: &Handle) -> Result<u64, Error> {
        if self.is_revoked {
            return Err(Error::Revoked);
        }
        if *handle == self.me.home.handle {
            return Err(Error::ToYourself);
        }
        if self.finds.by_number.len() >= FINDS_MAX {
            return Err(Error::TooManyFinds { max: FINDS_MAX });
        }
        self.finds.last += 1;
        let find = Find { handle: handle.clone(), failed: None };
        self.finds.by_number.insert(self.finds.last, find);
        Ok(self.finds.last)
    }

    /// Whether somebody has it, once; `None` until that is known.
    pub fn take_found(&mut self, number: u64) -> Option<Result<(), Error>> {
        let find = self.finds.by_number.get(&number)?;
        let found = match &find.failed {
            _ if self.contacts.by_handle(&find.handle).is_some() => Ok(()),
            failed => Err(failed.clone()?),
        };
        self.finds.by_number.remove(&number);
        Some(found)
    }

    /// Nobody takes what comes of it.
    pub fn forget_find(&mut self, number: u64) {
        self.finds.by_number.remove(&number);
    }

    /// Asks for what is not known; again after a lost link.
    pub(super) fn tend_finds(&mut self) {
        for find in self.finds.by_number.values().filter(|find| find.failed.is_none()) {
            if self.contacts.by_handle(&find.handle).is_none() {
                self.lookups.want(Who::Handle(find.handle.clone()), Keys::None);
            }
        }
    }

    /// Nobody has the handle, or the server does not say.
    pub(super) fn fail_finds_for(&mut self, handle: &Handle, error: &Error) {
        let finds = self.finds.by_number.values_mut().filter(|find| find.handle == *handle);
        finds.for_each(|find| find.failed = Some(error.clone()));
    }

    /// The server says nothing any more.
    pub(super) fn fail_finds(&mut self, error: &Error) {
        let open = self.finds.by_number.values_mut().filter(|find| find.failed.is_none());
        open.for_each(|find| find.failed = Some(error.clone()));
    }
}
