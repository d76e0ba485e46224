//! An account that its owner recovered: a new device, alone on the list, that knows nothing.

use godwit_base::{AccountId, DeviceId, DeviceNumber};
use godwit_client::MessageState;
use godwit_client::core::Seat;
use godwit_link::StaticKey;
use godwit_seal::{AccountKey, DeviceKeys, DeviceList, KeyUpload, Trust};
use godwit_wire::v1;

use crate::device::Device;
use crate::posts::{group_of, texts};
use crate::server::{Entry, Server};
use crate::world::World;

impl World {
    /// The device at `at` is lost, and its owner recovers the account by the words. Returns where the new
    /// device is.
    pub(crate) fn recovers(&mut self, at: usize) -> usize {
        let words = self.devices[at].core().recovery_words().unwrap();
        let account_key = AccountKey::from_words(&words).unwrap();
        let (account, handle) = (self.devices[at].id().account, self.devices[at].handle.clone());
        let now = self.now();
        let signed = self.server.accounts[&account].signed_list.clone();
        let trust = Trust::FirstUse(account);
        let before = DeviceList::verify(&signed, trust, None, now.wall_ms).unwrap();
        let number = DeviceNumber(before.highest_number().0 + 1);
        let keys = DeviceKeys::create(&account_key.public(), number, now.wall_ms);
        let devices = [keys.describe()];
        let signed = DeviceList::sign(&account_key, Some(&before), &devices, now.wall_ms).unwrap();
        let trust = Trust::Pinned(before.account_key());
        let list = DeviceList::verify(&signed, trust, Some(&before), now.wall_ms).unwrap();
        let link_key = StaticKey::generate().unwrap();
        let row = v1::DeviceRow { number: number.0, link_key: link_key.public().0.to_vec().into() };
        let (version, signed) = (list.version(), signed.into());
        let upload = v1::DeviceListUpload { version, devices: vec![row], signed };
        let first_keys = v1::FirstKeys { device: number.0, keys: Some(to_wire(keys.upload())) };
        self.server.take_owners_list(account, &upload, first_keys);
        let seat = Seat { keys, link_key, list };
        let device = Device::recovered(&handle, &self.link(), account_key, seat, now);
        self.devices.push(device);
        let newcomer = self.devices.len() - 1;
        self.drive(newcomer);
        newcomer
    }

    /// The main device at `main` links another one.
    fn links_to(&mut self, main: usize) -> usize {
        let newcomer = self.offers(main).expect("room on the list");
        self.settle();
        assert!(self.begins(newcomer).is_none(), "the server has the list");
        self.settle();
        self.devices.len() - 1
    }
}

fn to_wire(keys: KeyUpload) -> v1::KeyUpload {
    let one_time = keys.one_time.into_iter();
    v1::KeyUpload {
        one_time: one_time
            .map(|(id, signed)| v1::OneTimeKey { id, signed: signed.into() })
            .collect(),
        fallback: keys.fallback.unwrap_or_default().into(),
    }
}

impl Server {
    /// The owner of an account replaces its list by one with a single new device.
    fn take_owners_list(
        &mut self,
        id: AccountId,
        list: &v1::DeviceListUpload,
        first_keys: v1::FirstKeys,
    ) {
        let account = self.accounts.get_mut(&id).unwrap();
        (account.list_version, account.signed_list) = (list.version, list.signed.to_vec());
        let to = DeviceId { account: id, number: DeviceNumber(first_keys.device) };
        self.take_rows(id, &list.devices, vec![first_keys]);
        let with = self.groups.iter().filter(|(_, group)| group.members.contains_key(&id));
        let news = with.map(|(group, logged)| (group.clone(), logged.log.len() as u64));
        for (group, epoch) in news.collect::<Vec<_>>() {
            self.append(to, Entry::News { group, epoch });
        }
    }
}

#[test]
fn it_has_its_groups_again_small_or_large() {
    for people in [3, 40] {
        let (mut world, group) = group_of(people);
        world.says(0, group, "one");
        world.says(1, group, "two");
        world.settle();
        let new = world.recovers(1);
        world.settle();
        let seen = world.sees(new, group);
        assert_eq!((seen.name, seen.members.len()), (None, people), "before anybody writes");

        world.says(0, group, "three");
        world.settle();
        assert_eq!(world.texts_in(new, group), texts(&["three"]), "{people} people");
        assert_eq!(world.summary(new, group), world.summary(0, group), "{people} people");
        let id = world.says(new, group, "four");
        world.settle();
        assert_eq!(world.devices[new].state_of(id), MessageState::Delivered);
        for at in [0, 2] {
            let said = world.texts_in(at, group);
            assert_eq!(said[2..], texts(&["three", "four"]), "device {at} of {people}");
        }
    }
}

#[test]
fn who_hears_from_it_tells_it_the_name() {
    let (mut world, group) = group_of(3);
    let new = world.recovers(1);
    world.settle();
    world.says(new, group, "it is me");
    world.settle();
    assert_eq!(world.texts_in(0, group), texts(&["it is me"]));
    assert_eq!(world.summary(new, group), world.summary(0, group));
    // What it links now hears of the group from it.
    let linked = world.links_to(new);
    assert_eq!(world.summary(linked, group), world.summary(0, group));
}

#[test]
fn a_linked_device_is_told_by_its_own_alone() {
    let (mut world, group) = group_of(3);
    world.says(0, group, "one");
    world.settle();
    let other = world.add_device("p1");
    let next = world.devices[0].core().next_message();
    world.says(0, group, "two");
    world.settle();
    assert_eq!(world.texts_in(other, group), texts(&["two"]));
    assert_eq!(world.summary(other, group), world.summary(0, group));
    assert_eq!(world.devices[0].core().next_message(), next + 1, "nothing but the message");
}
