//! What any thread may ask without waiting: who holds a link key, how many one-time keys are left,
//! how far a device's counter has come. Changed by the writer alone, after the batch that changed it
//! on disk is durable.
//!
//! RAM: about 64 B a link key, 56 B a device, 24 B a removed one, 32 B a group. The lock is taken once a login or
//! request and once a batch, never a message.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use godwit_base::{DeviceId, GroupId};

use crate::Standing;

#[derive(Debug, Default)]
pub(crate) struct Roll(RwLock<Rolled>);

/// The content of a [`Roll`].
#[derive(Debug, Default)]
pub(crate) struct Rolled {
    links: HashMap<[u8; 32], Standing>,
    one_time_left: HashMap<DeviceId, u32>,
    highest_counter: HashMap<DeviceId, u64>,
    /// Devices behind the link keys that are revoked.
    removed: HashSet<DeviceId>,
    /// Members of each group.
    group_sizes: HashMap<GroupId, u32>,
}

/// One change, applied once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RollChange {
    Link([u8; 32], Standing),
    OneTimeLeft(DeviceId, u32),
    /// A message with this counter was accepted.
    Accepted(DeviceId, u64),
    /// The device is gone, and its counters with it.
    Removed(DeviceId),
    /// A group has so many members.
    Group(GroupId, u32),
}

impl Roll {
    pub(crate) fn standing(&self, link_key: &[u8; 32]) -> Standing {
        let rolled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rolled.links.get(link_key).copied().unwrap_or(Standing::Stranger)
    }

    pub(crate) fn is_removed(&self, device: DeviceId) -> bool {
        let rolled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rolled.removed.contains(&device)
    }

    pub(crate) fn one_time_left(&self, device: DeviceId) -> u32 {
        let rolled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rolled.one_time_left.get(&device).copied().unwrap_or(0)
    }

    pub(crate) fn highest_counter(&self, device: DeviceId) -> u64 {
        let rolled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rolled.highest_counter.get(&device).copied().unwrap_or(0)
    }

    pub(crate) fn group_size(&self, group: GroupId) -> u32 {
        let rolled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rolled.group_sizes.get(&group).copied().unwrap_or(0)
    }

    pub(crate) fn apply(&self, changes: impl Iterator<Item = RollChange>) {
        let mut rolled = self.0.write().unwrap_or_else(PoisonError::into_inner);
        changes.for_each(|change| rolled.apply(change));
    }

    /// Everything anew, after a load.
    pub(crate) fn replace(&self, rolled: Rolled) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rolled;
    }
}

impl Rolled {
    pub(crate) fn apply(&mut self, change: RollChange) {
        match change {
            RollChange::Link(key, standing) => {
                if let Standing::Revoked(device) = standing {
                    self.removed.insert(device);
                }
                self.links.insert(key, standing);
            }
            RollChange::OneTimeLeft(device, 0) => {
                self.one_time_left.remove(&device);
            }
            RollChange::OneTimeLeft(device, left) => {
                self.one_time_left.insert(device, left);
            }
            RollChange::Accepted(device, counter) => {
                let highest = self.highest_counter.entry(device).or_default();
                *highest = counter.max(*highest);
            }
            RollChange::Removed(device) => {
                self.highest_counter.remove(&device);
            }
            RollChange::Group(group, 0) => {
                self.group_sizes.remove(&group);
            }
            RollChange::Group(group, size) => {
                self.group_sizes.insert(group, size);
            }
        }
    }

    /// One more one-time key of a device, while loading.
    pub(crate) fn count_one_time(&mut self, device: DeviceId) {
        *self.one_time_left.entry(device).or_default() += 1;
    }
}
