//! Device keys and bundles: publishing, topping up, and what a server may not slip in.

use godwit_base::DeviceNumber;
use godwit_base::limits::{ONE_TIME_KEYS_MAX, SIGNED_KEY_BYTES_MAX};
use godwit_seal::{
    Bundle, BundleError, DeviceKeys, DeviceList, FALLBACK_ROTATE_MS, KeyUpload, LIST_AGE_MAX_MS,
    OpenError, SealError, Trust, Verified,
};
use prost::Message;

use crate::forge::{self, format};
use crate::people::{NOW_MS, ONE, Person};

fn fresh() -> DeviceKeys {
    DeviceKeys::create(&Person::new().account.public(), ONE, NOW_MS)
}

#[test]
fn a_new_device_has_a_full_set_of_keys_to_publish() {
    let device = fresh();
    let upload = device.upload();
    assert_eq!(upload.one_time.len(), ONE_TIME_KEYS_MAX);
    assert!(upload.fallback.is_some());
    assert!(upload.one_time.is_sorted_by(|a, b| a.0 < b.0), "ids ascend");
    assert_eq!(upload, device.upload(), "an upload repeated is the same upload");
}

#[test]
fn keys_stay_unpublished_until_the_server_says_so() {
    let mut device = fresh();
    let first = device.upload();
    assert_eq!(device.top_up(0), 0, "100 wait to be uploaded already");

    device.mark_published(&first);
    assert!(device.is_published() && device.upload() == KeyUpload::default());
    assert_eq!(device.top_up(29), 71);
    let second = device.upload();
    assert_eq!(second.one_time.len(), 71);
    assert!(second.fallback.is_none());
    assert!(second.one_time[0].0 > first.one_time[99].0, "ids never repeat");

    device.mark_published(&first);
    assert_eq!(device.upload(), second, "a late answer to the first upload changes nothing");
    assert!(!device.is_published());

    device.mark_all_published();
    assert!(device.is_published() && device.upload() == KeyUpload::default());
}

#[test]
fn unpublished_keys_survive_a_restart() {
    let mut bob = Person::new();
    bob.device.top_up(0);
    let before = bob.device.upload();
    bob.restarts();
    assert_eq!(bob.device.upload(), before);
    assert_eq!(before.one_time.len(), 100);
}

#[test]
fn a_one_time_key_opens_one_session() {
    let (mut alice, mut carol, mut bob) = (Person::new(), Person::new(), Person::new());
    let key = bob.one_time.front().unwrap().clone();
    let letter = alice.writes(&mut bob, "first");
    bob.one_time.push_front(key); // the server gives it out a second time
    let second = carol.writes(&mut bob, "second");
    bob.reads(&alice, &letter);
    assert_eq!(bob.opens(&carol, &second).unwrap_err(), OpenError::KeyUsed);
    assert!(OpenError::KeyUsed.wants_retry());
}

#[test]
fn a_used_key_is_not_uploaded_again_when_the_answer_to_the_upload_was_lost() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    bob.device.top_up(0);
    let upload = bob.device.upload();
    bob.one_time = upload.one_time.iter().map(|(_, blob)| blob.clone()).collect();
    let letter = alice.writes(&mut bob, "hello");
    bob.reads(&alice, &letter);
    assert_eq!(bob.device.upload().one_time, upload.one_time[1..]);
}

/// The library keeps 5,000 private keys and drops the oldest without a word.
#[test]
fn a_key_that_the_library_dropped_is_never_published() {
    let mut device = fresh();
    let stuck = device.upload().one_time[0].0;
    let mut made = ONE_TIME_KEYS_MAX;
    while made <= 5_000 {
        let mut upload = device.upload();
        assert_eq!(upload.one_time.remove(0).0, stuck, "{made} keys are all still there");
        device.mark_published(&upload);
        made += device.top_up(0);
    }
    assert!(device.upload().one_time.iter().all(|(id, _)| *id != stuck));
}

#[test]
fn a_late_answer_does_not_publish_the_fallback_key_made_since() {
    let mut device = fresh();
    let first = device.upload();
    let later_ms = NOW_MS + FALLBACK_ROTATE_MS;
    assert!(device.rotate_fallback(later_ms));
    let second = device.upload().fallback;
    device.mark_published(&first);
    assert_eq!(device.upload().fallback, second);
    assert!(second.is_some() && second != first.fallback);
}

#[test]
fn a_device_that_speaks_only_another_suite_gets_no_session() {
    let bob = Person::new();
    let signed = format::SignedList::decode(&bob.list.signed()[1..]).unwrap();
    let mut content = format::ListContent::decode(&*signed.content).unwrap();
    content.devices[0].suites = vec![2];
    let list = forge::signed_list(&bob.account, content.encode_to_vec(), NOW_MS);
    let pin = bob.account.public();
    let list = DeviceList::verify(&list, Trust::Pinned(&pin), None, NOW_MS).unwrap();
    let bundle = Bundle::verify(&bob.one_time[0], &bob.fallback, &list, ONE, NOW_MS);
    assert_eq!(bundle, Err(BundleError::UnknownSuite(2)));
}

#[test]
fn a_bundle_takes_the_one_time_key_and_falls_back_without() {
    let bob = Person::new();
    let one_time = &bob.one_time[0];
    let bundle = |one_time: &[u8], fallback: &[u8]| {
        Bundle::verify(one_time, fallback, &bob.list, ONE, NOW_MS)
    };
    assert!(!bundle(one_time, &bob.fallback).unwrap().is_fallback());
    assert!(!bundle(one_time, &[]).unwrap().is_fallback());
    assert!(bundle(&[], &bob.fallback).unwrap().is_fallback());
    assert_eq!(bundle(&[], &[]), Err(BundleError::NoKeys));
    assert_eq!(bundle(&[], &bob.fallback).unwrap().peer().id(), bob.device.id());
}

#[test]
fn a_key_of_one_kind_does_not_pass_for_the_other() {
    let bob = Person::new();
    let wrong = Bundle::verify(&bob.fallback, &bob.fallback, &bob.list, ONE, NOW_MS);
    assert_eq!(wrong, Err(BundleError::BadSignature), "no silent fall back either");
    let wrong = Bundle::verify(&[], &bob.one_time[0], &bob.list, ONE, NOW_MS);
    assert_eq!(wrong, Err(BundleError::BadSignature));
}

#[test]
fn every_changed_bit_of_a_key_is_noticed() {
    let bob = Person::new();
    for at in 0..bob.one_time[0].len() {
        let mut changed = bob.one_time[0].clone();
        changed[at] ^= 1;
        assert!(Bundle::verify(&changed, &[], &bob.list, ONE, NOW_MS).is_err(), "byte {at}");
    }
}

#[test]
fn another_device_or_account_cannot_lend_its_keys() {
    let (bob, mallory) = (Person::new(), Person::new());
    let lent = Bundle::verify(&mallory.one_time[0], &[], &bob.list, ONE, NOW_MS);
    assert_eq!(lent, Err(BundleError::BadSignature));
    let missing = Bundle::verify(&bob.one_time[0], &[], &bob.list, DeviceNumber(2), NOW_MS);
    assert_eq!(missing, Err(BundleError::UnknownDevice));
}

#[test]
fn an_old_list_gives_no_bundle() {
    let bob = Person::new();
    let at = |now_ms| Bundle::verify(&bob.one_time[0], &[], &bob.list, ONE, now_ms);
    assert!(at(NOW_MS + LIST_AGE_MAX_MS).is_ok());
    assert_eq!(at(NOW_MS + LIST_AGE_MAX_MS + 1), Err(BundleError::StaleList));
}

#[test]
fn lengths_and_suites_of_a_key_are_checked() {
    let bob = Person::new();
    let verify = |blob: &[u8]| Bundle::verify(blob, &[], &bob.list, ONE, NOW_MS);
    let padded_to = |length| forge::grown_to(length, bob.one_time[0].clone());
    assert!(verify(&padded_to(SIGNED_KEY_BYTES_MAX)).is_ok());
    assert_eq!(verify(&padded_to(SIGNED_KEY_BYTES_MAX + 1)), Err(BundleError::Malformed));

    let mut other_suite = bob.one_time[0].clone();
    other_suite[0] = 2;
    assert_eq!(verify(&other_suite), Err(BundleError::UnknownSuite(2)));
    let mut short = format::SignedKey::decode(&bob.one_time[0][1..]).unwrap();
    short.key.pop();
    assert_eq!(verify(&forge::blob(&short)), Err(BundleError::Malformed));
}

#[test]
fn a_pairing_takes_the_bundle_of_its_own_device_only() {
    let (mut alice, mut bob, mut carol) = (Person::new(), Person::new(), Person::new());
    let bundle: Verified<Bundle> = carol.bundle();
    alice.starts_with(&mut bob);
    let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
    assert_eq!(pairing.start(&alice.device, &bundle, NOW_MS), Err(SealError::PeerChanged));
}
