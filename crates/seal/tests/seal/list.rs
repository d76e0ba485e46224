//! The device list: what is believed, and every way to tell a lie with one.

use godwit_base::DeviceNumber;
use godwit_base::limits::{DEVICES_MAX, SIGNED_LIST_BYTES_MAX};
use godwit_seal::{
    AccountKey, DeviceEntry, DeviceKeys, DeviceList, FORMER_KEEP_MS, FORMER_MAX, LIST_AGE_MAX_MS,
    LIST_AHEAD_MAX_MS, LIST_RENEW_MS, ListError, RowKey, Trust, Verified,
};
use prost::Message;

use crate::forge::{format, grown_to, signed_list};
use crate::people::{NOW_MS, ONE};

struct Owner {
    key: AccountKey,
}

impl Owner {
    fn new() -> Self {
        Self { key: AccountKey::generate() }
    }

    fn device(&self, number: u32) -> DeviceEntry {
        DeviceKeys::create(&self.key.public(), DeviceNumber(number), NOW_MS).describe()
    }

    fn signs(&self, previous: Option<&Verified<DeviceList>>, devices: &[DeviceEntry]) -> Vec<u8> {
        DeviceList::sign(&self.key, previous, devices, NOW_MS).unwrap()
    }

    fn verified(
        &self,
        bytes: &[u8],
        previous: Option<&Verified<DeviceList>>,
    ) -> Result<Verified<DeviceList>, ListError> {
        DeviceList::verify(bytes, Trust::Pinned(&self.key.public()), previous, NOW_MS)
    }

    /// Signs whatever content the forger wants: what an owner gone mad could do.
    fn forges(&self, bytes: &[u8], change: impl FnOnce(&mut format::ListContent)) -> Vec<u8> {
        let signed = format::SignedList::decode(&bytes[1..]).unwrap();
        let mut content = format::ListContent::decode(&*signed.content).unwrap();
        change(&mut content);
        signed_list(&self.key, content.encode_to_vec(), signed.issued_at_ms)
    }
}

#[test]
fn a_first_contact_is_believed_by_its_account_id_and_then_pinned() {
    let owner = Owner::new();
    let bytes = owner.signs(None, &[owner.device(1)]);
    let id = owner.key.public().id();
    let list = DeviceList::verify(&bytes, Trust::FirstUse(id), None, NOW_MS).unwrap();
    assert_eq!(list.account_key(), &owner.key.public());
    assert_eq!((list.version(), list.account()), (1, id));
    assert_eq!(list.peer(ONE).unwrap().id().account, id);
    assert!(list.peer(DeviceNumber(2)).is_none());

    let other = AccountKey::generate().public().id();
    assert_eq!(
        DeviceList::verify(&bytes, Trust::FirstUse(other), None, NOW_MS),
        Err(ListError::WrongAccount)
    );
}

#[test]
fn a_changed_account_key_is_named_not_accepted() {
    let (owner, stranger) = (Owner::new(), Owner::new());
    let bytes = stranger.signs(None, &[stranger.device(1)]);
    let (pinned, seen) = (owner.key.public(), stranger.key.public());
    assert_eq!(owner.verified(&bytes, None), Err(ListError::KeyChanged { pinned, seen }));
}

#[test]
fn every_changed_bit_is_noticed() {
    let owner = Owner::new();
    let bytes = owner.signs(None, &[owner.device(1)]);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(owner.verified(&changed, None).is_err(), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(owner.verified(&bytes[..length], None).is_err(), "cut to {length}");
    }
}

#[test]
fn a_device_cannot_be_claimed_against_its_will() {
    let (owner, thief) = (Owner::new(), Owner::new());
    let stolen = owner.device(1);
    assert_eq!(
        DeviceList::sign(&thief.key, None, &[stolen], NOW_MS),
        Err(ListError::NoConsent(ONE))
    );
}

#[test]
fn versions_follow_one_another_and_never_go_back() {
    let owner = Owner::new();
    let (first, second, third) = (owner.device(1), owner.device(2), owner.device(3));
    let v1 = owner.verified(&owner.signs(None, std::slice::from_ref(&first)), None).unwrap();
    let v2_bytes = owner.signs(Some(&v1), &[first.clone(), second]);
    let v2 = owner.verified(&v2_bytes, Some(&v1)).unwrap();
    let v3_bytes = owner.signs(Some(&v2), &[first.clone(), third]);
    assert_eq!(owner.verified(&v3_bytes, Some(&v2)).unwrap().version(), 3);
    assert_eq!(owner.verified(&v3_bytes, Some(&v1)).unwrap().version(), 3, "we were away");

    assert_eq!(
        owner.verified(v1.signed(), Some(&v2)),
        Err(ListError::Rollback { have: 2, got: 1 })
    );
    // Another version 2 than the one we know, and a version 3 that follows the other.
    let other_v2_bytes = owner.signs(Some(&v1), &[first.clone(), owner.device(2)]);
    assert_eq!(owner.verified(&other_v2_bytes, Some(&v2)), Err(ListError::Fork));
    let other_v2 = owner.verified(&other_v2_bytes, Some(&v1)).unwrap();
    let other_v3 = owner.signs(Some(&other_v2), &[first]);
    assert_eq!(owner.verified(&other_v3, Some(&v2)), Err(ListError::Fork));
}

#[test]
fn a_device_number_never_gets_other_keys() {
    let owner = Owner::new();
    let (first, second) = (owner.device(1), owner.device(2));
    let v1 = owner.verified(&owner.signs(None, &[first.clone(), second]), None).unwrap();

    let replaced = DeviceList::sign(&owner.key, Some(&v1), &[owner.device(1)], NOW_MS);
    assert_eq!(replaced, Err(ListError::NumberReused(ONE)));

    let v2 =
        owner.verified(&owner.signs(Some(&v1), std::slice::from_ref(&first)), Some(&v1)).unwrap();
    assert_eq!(v2.highest_number(), DeviceNumber(2), "remembered after its removal");
    let forgotten = owner.forges(v2.signed(), |list| {
        list.highest_number = 1;
        list.former.clear();
    });
    assert_eq!(owner.verified(&forgotten, Some(&v1)), Err(ListError::Fork));
    let back = DeviceList::sign(&owner.key, Some(&v2), &[first, owner.device(2)], NOW_MS);
    assert_eq!(back, Err(ListError::NumberReused(DeviceNumber(2))));
}

#[test]
fn a_list_is_believed_for_thirty_five_days_and_one_day_ahead() {
    let owner = Owner::new();
    let bytes = owner.signs(None, &[owner.device(1)]);
    let key = owner.key.public();
    let at = |now_ms| DeviceList::verify(&bytes, Trust::Pinned(&key), None, now_ms);
    let list = at(NOW_MS + LIST_AGE_MAX_MS).unwrap();
    assert!(list.is_fresh(NOW_MS + LIST_AGE_MAX_MS));
    assert!(!list.is_fresh(NOW_MS + LIST_AGE_MAX_MS + 1));
    assert!(list.is_fresh(NOW_MS - LIST_AHEAD_MAX_MS));
    assert!(!list.is_fresh(NOW_MS - LIST_AHEAD_MAX_MS - 1));
    let too_old = ListError::TooOld { issued_at_ms: NOW_MS };
    assert_eq!(at(NOW_MS + LIST_AGE_MAX_MS + 1), Err(too_old.clone()));
    assert_eq!(at(NOW_MS + 365 * 24 * 3600 * 1000), Err(too_old), "a clock a year ahead");

    assert!(at(NOW_MS - LIST_AHEAD_MAX_MS).is_ok());
    let ahead = ListError::FromTheFuture { issued_at_ms: NOW_MS };
    assert_eq!(at(NOW_MS - LIST_AHEAD_MAX_MS - 1), Err(ahead.clone()));
    assert_eq!(at(NOW_MS - 365 * 24 * 3600 * 1000), Err(ahead), "a clock a year behind");
}

#[test]
fn the_owner_signs_anew_as_the_next_version() {
    let owner = Owner::new();
    let list = owner.verified(&owner.signs(None, &[owner.device(1)]), None).unwrap();
    let later = NOW_MS + LIST_RENEW_MS;
    assert!(!list.is_renewal_due(later - 1));
    assert!(list.is_renewal_due(later));
    assert!(!list.is_renewal_due(NOW_MS - LIST_AHEAD_MAX_MS));
    assert!(
        list.is_renewal_due(NOW_MS - LIST_AHEAD_MAX_MS - 1),
        "signed by a clock that was ahead"
    );
    for now_ms in [later, NOW_MS - LIST_AHEAD_MAX_MS - 1] {
        let signed = DeviceList::sign(&owner.key, Some(&list), list.entries(), now_ms).unwrap();
        let pin = Trust::Pinned(list.account_key());
        let renewed = DeviceList::verify(&signed, pin, Some(&list), now_ms).unwrap();
        assert_eq!((renewed.version(), renewed.issued_at_ms()), (2, now_ms));
        assert_eq!(renewed.entries(), list.entries());
        assert!(!renewed.is_renewal_due(now_ms));
    }
}

/// We sign anew as the next version; others may sign the same version with a later time.
#[test]
fn the_same_version_may_come_with_a_later_time_and_not_with_an_earlier_one() {
    let owner = Owner::new();
    let list = owner.verified(&owner.signs(None, &[owner.device(1)]), None).unwrap();
    let content = format::SignedList::decode(&list.signed()[1..]).unwrap().content;
    let later = NOW_MS + LIST_RENEW_MS;
    let renewed = signed_list(&owner.key, content, later);
    let pin = Trust::Pinned(list.account_key());
    let renewed = DeviceList::verify(&renewed, pin, Some(&list), later).unwrap();
    assert_eq!((renewed.version(), renewed.issued_at_ms()), (1, later));
    assert_eq!(
        DeviceList::verify(list.signed(), pin, Some(&renewed), later),
        Err(ListError::Rollback { have: later, got: NOW_MS })
    );
}

#[test]
fn counts_and_lengths_have_bounds_on_both_sides() {
    let owner = Owner::new();
    let devices: Vec<_> = (1..).map(|n| owner.device(n)).take(DEVICES_MAX + 1).collect();
    let full = owner.signs(None, &devices[..DEVICES_MAX]);
    assert!(full.len() < SIGNED_LIST_BYTES_MAX / 4, "{} bytes leave room", full.len());
    assert!(owner.verified(&full, None).is_ok());
    let malformed = |devices: &[DeviceEntry]| {
        DeviceList::sign(&owner.key, None, devices, NOW_MS) == Err(ListError::Malformed)
    };
    assert!(malformed(&devices), "one too many");
    assert!(malformed(&[]), "none");
    assert!(malformed(&[devices[1].clone(), devices[0].clone()]), "descending");
    assert!(malformed(&[devices[0].clone(), devices[0].clone()]), "twice");

    // A field that nobody knows is skipped, up to the length bound and not beyond.
    let one = owner.signs(None, &devices[..1]);
    let padded_to = |length| grown_to(length, one.clone());
    assert!(owner.verified(&padded_to(SIGNED_LIST_BYTES_MAX), None).is_ok());
    assert_eq!(
        owner.verified(&padded_to(SIGNED_LIST_BYTES_MAX + 1), None),
        Err(ListError::Malformed)
    );
}

#[test]
fn a_signature_does_not_excuse_nonsense() {
    let owner = Owner::new();
    let bytes = owner.signs(None, &[owner.device(1), owner.device(2)]);
    let refused = |change: fn(&mut format::ListContent)| {
        owner.verified(&owner.forges(&bytes, change), None).unwrap_err()
    };
    assert_eq!(refused(|list| list.version = 0), ListError::Malformed);
    assert_eq!(refused(|list| list.version = 2), ListError::Malformed, "names no predecessor");
    assert_eq!(refused(|list| list.previous = vec![0; 32]), ListError::Malformed);
    assert_eq!(refused(|list| list.highest_number = 1), ListError::Malformed);
    assert_eq!(refused(|list| list.devices[0].number = 0), ListError::Malformed);
    assert_eq!(refused(|list| list.devices[0].suites.clear()), ListError::Malformed);
    assert_eq!(refused(|list| list.devices[0].suites = vec![1; 17]), ListError::Malformed);
    assert_eq!(refused(|list| list.devices[0].dh_key.truncate(31)), ListError::Malformed);
    assert_eq!(
        refused(|list| list.devices[1].dh_key = vec![9; 32]),
        ListError::NoConsent(DeviceNumber(2))
    );
}

#[test]
fn another_suite_asks_for_an_update() {
    let owner = Owner::new();
    let mut bytes = owner.signs(None, &[owner.device(1)]);
    bytes[0] = 2;
    assert_eq!(owner.verified(&bytes, None), Err(ListError::UnknownSuite(2)));
    assert_eq!(owner.verified(&[], None), Err(ListError::Malformed));
}

#[test]
fn a_stored_list_is_bound_to_its_account_and_keeps_its_age() {
    let (owner, other) = (Owner::new(), Owner::new());
    let list = owner.verified(&owner.signs(None, &[owner.device(1)]), None).unwrap();
    let row_key = RowKey::generate().unwrap();
    let row = list.to_row(&row_key).unwrap();
    let back = Verified::<DeviceList>::from_row(&row_key, list.account(), &row).unwrap();
    assert_eq!(back, list);
    assert!(!back.is_fresh(u64::MAX));
    assert!(Verified::<DeviceList>::from_row(&row_key, other.key.public().id(), &row).is_err());
}

fn former(list: &DeviceList) -> Vec<(u32, u64)> {
    list.former().map(|(number, until_ms)| (number.0, until_ms)).collect()
}

#[test]
fn a_removed_device_is_named_for_thirty_days() {
    let owner = Owner::new();
    let trust = owner.key.public();
    let devices = [1, 2, 3].map(|number| owner.device(number));
    let list = |previous: &Verified<DeviceList>, devices: &[DeviceEntry], now_ms| {
        let signed = DeviceList::sign(&owner.key, Some(previous), devices, now_ms).unwrap();
        DeviceList::verify(&signed, Trust::Pinned(&trust), Some(previous), now_ms).unwrap()
    };
    let first = owner.verified(&owner.signs(None, &devices), None).unwrap();
    assert_eq!(former(&first), []);
    let second = list(&first, &devices[..2], NOW_MS);
    let until_ms = NOW_MS + FORMER_KEEP_MS;
    assert_eq!(former(&second), [(3, until_ms)]);
    assert!(second.peer(DeviceNumber(3)).is_none());
    assert_eq!(second.former_peer(DeviceNumber(3)), first.peer(DeviceNumber(3)));
    assert!(second.former_peer(DeviceNumber(2)).is_none());
    let third = list(&second, &devices[..1], NOW_MS + 1);
    assert_eq!(former(&third), [(2, until_ms + 1), (3, until_ms)]);
    assert_eq!(former(&list(&third, &devices[..1], until_ms - 1)).len(), 2);
    assert_eq!(former(&list(&third, &devices[..1], until_ms)), [(2, until_ms + 1)]);
    // Removed while the clock was a day ahead.
    let day_ms = LIST_AHEAD_MAX_MS;
    let ahead = list(&first, &devices[..2], NOW_MS + day_ms);
    assert_eq!(former(&list(&ahead, &devices[..2], NOW_MS + day_ms)), [(3, until_ms + day_ms)]);
    // It does not come back.
    let back = DeviceList::sign(&owner.key, Some(&second), &devices, NOW_MS);
    assert_eq!(back, Err(ListError::NumberReused(DeviceNumber(3))));
}

#[test]
fn of_many_removed_devices_the_latest_are_named() {
    let owner = Owner::new();
    let trust = owner.key.public();
    let own = owner.device(1);
    let mut list = owner.verified(&owner.signs(None, std::slice::from_ref(&own)), None).unwrap();
    let mut number = 1;
    let most = u32::try_from(FORMER_MAX).unwrap();
    for round in 0..=u64::from(most) {
        number += 1;
        let both = [own.clone(), owner.device(number)];
        for devices in [&both[..], &both[..1]] {
            let now_ms = NOW_MS + round;
            let signed = DeviceList::sign(&owner.key, Some(&list), devices, now_ms).unwrap();
            assert!(signed.len() <= SIGNED_LIST_BYTES_MAX);
            list = DeviceList::verify(&signed, Trust::Pinned(&trust), Some(&list), now_ms).unwrap();
        }
        let first = if number > most + 1 { number - most + 1 } else { 2 };
        let named: Vec<u32> = former(&list).into_iter().map(|(number, _)| number).collect();
        assert_eq!(named, (first..=number).collect::<Vec<_>>());
    }
}

#[test]
fn a_signature_does_not_excuse_nonsense_about_removed_devices() {
    let owner = Owner::new();
    let devices = [1, 2, 3].map(|number| owner.device(number));
    let first = owner.verified(&owner.signs(None, &devices), None).unwrap();
    let bytes = owner.signs(Some(&first), &devices[..1]);
    assert!(owner.verified(&bytes, Some(&first)).is_ok());
    type Lie = fn(&mut format::ListContent);
    let malformed: [Lie; 5] = [
        |content| content.former[0].until_ms += 1,
        |content| content.former.swap(0, 1),
        |content| content.former[0].device = content.devices.first().cloned(),
        |content| content.former[0].device = None,
        |content| content.former = vec![content.former[0].clone(); FORMER_MAX + 1],
    ];
    for (at, lie) in malformed.into_iter().enumerate() {
        let forged = owner.forges(&bytes, lie);
        assert_eq!(owner.verified(&forged, Some(&first)), Err(ListError::Malformed), "{at}");
    }
    let other = Owner { key: AccountKey::generate() };
    let foreign = other.verified(&other.signs(None, &[other.device(2)]), None).unwrap();
    let signed = format::SignedList::decode(&foreign.signed()[1..]).unwrap();
    let stranger = format::ListContent::decode(&*signed.content).unwrap().devices.remove(0);
    let forged = owner.forges(&bytes, |content| content.former[0].device = Some(stranger));
    assert_eq!(owner.verified(&forged, None), Err(ListError::NoConsent(DeviceNumber(2))));
    // Another device's keys under the number.
    let again = owner.verified(&owner.signs(None, &[devices[0].clone(), owner.device(2)]), None);
    let again = owner.signs(Some(&again.unwrap()), &devices[..1]);
    let later = owner.forges(&again, |content| {
        content.version = 5;
        content.highest_number = 3;
    });
    let error = owner.verified(&later, Some(&first)).unwrap_err();
    assert_eq!(error, ListError::NumberReused(DeviceNumber(2)));
}
