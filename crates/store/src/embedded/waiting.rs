//! For whom something waits, for any thread to ask: three of four mailboxes that are opened are empty,
//! and those need neither the writer, who may be in the middle of a sync, nor the file.
//!
//! RAM: about 30 B for each mailbox that is not empty. The lock is taken once a read of a mailbox and once a
//! batch.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use godwit_base::DeviceId;

/// Devices whose mailboxes hold something that is durable. Changed by the writer alone: it adds a device
/// before anybody is told of the record, and takes it out once the last record's deletion is durable. So
/// who finds nothing here and is told of nothing later misses nothing.
///
/// None while the store is closed, or has failed and was not read anew: then the writer answers.
#[derive(Debug, Default)]
pub(crate) struct Waiting(RwLock<Option<HashSet<DeviceId>>>);

/// A mailbox that was empty and is not, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turned {
    pub(crate) device: DeviceId,
    pub(crate) holds_something: bool,
}

impl Waiting {
    /// Whether it is known that there is nothing for this device.
    pub(crate) fn is_empty(&self, device: DeviceId) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|devices| !devices.contains(&device))
    }

    /// What a durable batch changed, in its order.
    pub(crate) fn apply(&self, turned: impl ExactSizeIterator<Item = Turned>) {
        if turned.len() == 0 {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(devices) = &mut *known else { return };
        for Turned { device, holds_something } in turned {
            if holds_something {
                devices.insert(device);
            } else {
                devices.remove(&device);
            }
        }
    }

    /// Begins anew with these, read from the file.
    pub(crate) fn replace(&self, devices: impl Iterator<Item = DeviceId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(devices.collect());
    }

    /// Nothing is known until then.
    pub(crate) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
