//! The device lists in RAM, as far as the message path needs them. RAM: about 72 B an account.

use std::collections::HashMap;

use godwit_base::{AccountId, DeviceId, DeviceNumber};

use crate::DeviceList;

/// The lists of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    accounts: HashMap<AccountId, Listed>,
    devices: u64,
}

/// One account's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) version: u64,
    /// The version with which the set of devices last changed; 0 if it never did.
    pub(crate) set_version: u64,
    /// Ascending.
    pub(crate) numbers: Box<[DeviceNumber]>,
}

impl Roster {
    pub(crate) fn get(&self, account: AccountId) -> Option<&Listed> {
        self.accounts.get(&account)
    }

    pub(crate) fn has(&self, device: DeviceId) -> bool {
        self.get(device.account).is_some_and(|listed| listed.numbers.contains(&device.number))
    }

    /// Sets an account's list, and the version with which its set of devices last changed.
    pub(crate) fn set(&mut self, account: AccountId, list: &DeviceList, set_version: u64) {
        let numbers: Box<[_]> = list.devices.iter().map(|(number, _)| *number).collect();
        self.devices += numbers.len() as u64;
        let listed = Listed { version: list.version, set_version, numbers };
        let before = self.accounts.insert(account, listed);
        self.devices -= before.map_or(0, |listed| listed.numbers.len() as u64);
    }

    /// The devices of an account.
    pub(crate) fn devices_of(
        &self,
        account: AccountId,
    ) -> impl Iterator<Item = DeviceId> + use<'_> {
        let numbers = self.get(account).map_or(&[][..], |listed| &listed.numbers);
        numbers.iter().map(move |number| DeviceId { account, number: *number })
    }

    pub(crate) fn accounts(&self) -> u64 {
        self.accounts.len() as u64
    }

    pub(crate) fn devices(&self) -> u64 {
        self.devices
    }
}

impl Listed {
    /// Whether copies for `numbers` are exactly for this list, if they come in its order. The usual
    /// case, without an allocation; otherwise ask [`Listed::differences`].
    pub(crate) fn is_exactly(
        &self,
        numbers: impl Iterator<Item = DeviceNumber>,
        sender: Option<DeviceNumber>,
    ) -> bool {
        self.numbers.iter().copied().filter(|number| Some(*number) != sender).eq(numbers)
    }

    /// How copies for `numbers` differ from this list: (missing, extra). A message to the sender's
    /// own account has no copy for `sender`.
    pub(crate) fn differences(
        &self,
        numbers: impl Iterator<Item = DeviceNumber>,
        sender: Option<DeviceNumber>,
    ) -> (Vec<DeviceNumber>, Vec<DeviceNumber>) {
        let expected = |number: &DeviceNumber| Some(*number) != sender;
        let mut missing: Vec<_> = self.numbers.iter().copied().filter(expected).collect();
        let mut extra = Vec::new();
        for number in numbers {
            match missing.iter().position(|wanted| *wanted == number) {
                Some(at) => {
                    missing.remove(at);
                }
                None => extra.push(number),
            }
        }
        (missing, extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[u32]) -> Vec<DeviceNumber> {
        numbers.iter().copied().map(DeviceNumber).collect()
    }

    #[test]
    fn differences_name_missing_extra_and_doubled_devices() {
        let listed = Listed { version: 1, set_version: 0, numbers: numbers(&[1, 2, 4]).into() };
        let of = |copies: &[u32], sender| listed.differences(numbers(copies).into_iter(), sender);
        assert_eq!(of(&[4, 2, 1], None), (vec![], vec![]));
        assert_eq!(of(&[1, 2, 3], None), (numbers(&[4]), numbers(&[3])));
        assert_eq!(of(&[1, 2, 4, 4], None), (vec![], numbers(&[4])));
        assert_eq!(of(&[2, 4], Some(DeviceNumber(1))), (vec![], vec![]));
        assert_eq!(of(&[1, 2, 4], Some(DeviceNumber(1))), (vec![], numbers(&[1])));
    }

    #[test]
    fn devices_are_counted_through_changes() {
        let list = |version, n: u32| DeviceList {
            version,
            signed: bytes::Bytes::new(),
            devices: (1..=n).map(|number| (DeviceNumber(number), [0; 32])).collect(),
        };
        let mut roster = Roster::default();
        roster.set(AccountId(1), &list(1, 3), 0);
        roster.set(AccountId(2), &list(1, 1), 0);
        roster.set(AccountId(1), &list(2, 2), 0);
        assert_eq!((roster.accounts(), roster.devices()), (2, 3));
        assert!(roster.has(DeviceId::new(1, 2)) && !roster.has(DeviceId::new(1, 3)));
    }
}
