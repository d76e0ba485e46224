//! Both sides, a relay that lies, and sides that lie.

use godwit_base::{DeviceNumber, Handle};
use prost::Message;

use super::*;
use crate::account::AccountKey;
use crate::device::DeviceKeys;
use crate::format;
use crate::list::{DeviceEntry, DeviceList, Trust, to_format};
use crate::verified::Verified;

const NOW_MS: u64 = 1_800_000_000_000;
const SERVER: [u8; 32] = [3; 32];
const LINK_KEY: [u8; 32] = [4; 32];

/// Alice's primary device.
struct Alice {
    key: AccountKey,
    handle: Handle,
    list: Verified<DeviceList>,
}

impl Alice {
    fn new() -> Self {
        Self::with_devices(1)
    }

    fn with_devices(count: u32) -> Self {
        let key = AccountKey::generate();
        let device = |number| entry(&key, number);
        let devices: Vec<DeviceEntry> = (1..=count).map(device).collect();
        let list = list(&key, None, &devices);
        Self { key, handle: "alice".parse().unwrap(), list }
    }

    fn present(&self) -> Present<'_> {
        Present { handle: &self.handle, list: &self.list, server_key: &SERVER }
    }
}

fn entry(key: &AccountKey, number: u32) -> DeviceEntry {
    DeviceKeys::create(&key.public(), DeviceNumber(number), NOW_MS).describe()
}

fn list(
    key: &AccountKey,
    before: Option<&Verified<DeviceList>>,
    devices: &[DeviceEntry],
) -> Verified<DeviceList> {
    let signed = DeviceList::sign(key, before, devices, NOW_MS).unwrap();
    DeviceList::verify(&signed, Trust::Pinned(&key.public()), before, NOW_MS).unwrap()
}

/// The two as far as both show digits.
fn meet(alice: &Alice) -> (LinkJoining, LinkCandidate) {
    let offer = LinkOffer::new().unwrap();
    let code = offer.code().text().parse().unwrap();
    let (approval, card) = LinkApproval::begin(&code, alice.present()).unwrap();
    let (joining, answer) = offer.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap();
    (joining, approval.hear_answer(&answer).unwrap())
}

/// The person says yes: the next list and message 2.
fn confirm(candidate: LinkCandidate, alice: &Alice) -> (Verified<DeviceList>, Vec<u8>) {
    let mine = candidate.entry(&alice.list).unwrap();
    let devices = [alice.list.entries(), &[mine]].concat();
    let next = list(&alice.key, Some(&alice.list), &devices);
    let message = candidate.finish(&next);
    (next, message)
}

/// A message 2 that says what it likes.
fn result(candidate: &mut LinkCandidate, signed_list: &[u8]) -> Vec<u8> {
    let result = format::LinkResult { signed_list: signed_list.to_vec(), refused: false };
    candidate.channel.seal(&result.encode_to_vec(), candidate.code.rendezvous()).ciphertext
}

#[test]
fn a_new_device_comes_to_the_account() {
    let alice = Alice::with_devices(2);
    let (joining, candidate) = meet(&alice);
    assert_eq!(joining.digits(), candidate.digits());
    assert_eq!(joining.digits().to_string().len(), 6);
    assert_eq!((joining.handle(), joining.account()), (&alice.handle, alice.list.account()));
    assert_eq!((joining.number(), candidate.number()), (DeviceNumber(3), DeviceNumber(3)));
    assert_eq!(candidate.link_key(), &LINK_KEY);
    let (next, message) = confirm(candidate, &alice);
    let linked = joining.hear_result(&message, NOW_MS).unwrap();
    assert_eq!(linked.list, next);
    assert_eq!(linked.list.version(), 2);
    assert_eq!(linked.list.numbers().collect::<Vec<_>>(), [1, 2, 3].map(DeviceNumber));
    assert_eq!(linked.device.id().number, DeviceNumber(3));
    let peer = linked.list.peer(DeviceNumber(3)).unwrap();
    assert_eq!(peer, linked.device.as_peer(), "the keys on the list are those it has");
}

#[test]
fn a_no_ends_it_for_the_new_device_too() {
    let alice = Alice::new();
    let (joining, candidate) = meet(&alice);
    let error = joining.hear_result(&candidate.refuse(), NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::Refused);
    // One that was not said inside the channel is not heard as one.
    let ((joining, _), (_, other)) = (meet(&alice), meet(&alice));
    let error = joining.hear_result(&other.refuse(), NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::NotSealedForUs);
}

#[test]
fn the_new_device_gives_keys_along_that_are_its_own() {
    let alice = Alice::new();
    let offer = LinkOffer::new().unwrap();
    let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
    let (joining, answer) = offer.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap();
    assert!(answer.len() <= 12 * 1024 / 2, "{} bytes for a rendezvous", answer.len());
    let candidate = approval.hear_answer(&answer).unwrap();
    let given = candidate.first_keys().clone();
    assert_eq!(given.one_time.len(), 40);
    let (_, message) = confirm(candidate, &alice);
    let all = joining.hear_result(&message, NOW_MS).unwrap().device.upload();
    assert_eq!(given.one_time, all.one_time[..40], "the oldest of those it has");
    assert_eq!(given.fallback, all.fallback);
}

#[test]
fn keys_that_the_new_device_did_not_sign_are_refused() {
    let alice = Alice::new();
    let device = DeviceKeys::create(&alice.key.public(), DeviceNumber(2), NOW_MS);
    let other = DeviceKeys::create(&alice.key.public(), DeviceNumber(2), NOW_MS).upload();
    let mine = device.upload();
    let signed = |keys: &crate::device::KeyUpload| -> Vec<Vec<u8>> {
        keys.one_time.iter().map(|(_, signed)| signed.clone()).collect()
    };
    let (fallback, one_time) = (mine.fallback.clone().unwrap(), signed(&mine));
    let too_many = [one_time.clone(), one_time[..1].to_vec()].concat();
    for (one_time, fallback, error) in [
        (one_time.clone(), Vec::new(), BundleError::NoKeys),
        (one_time.clone(), other.fallback.clone().unwrap(), BundleError::BadSignature),
        (signed(&other), fallback.clone(), BundleError::BadSignature),
        (vec![fallback.clone()], fallback.clone(), BundleError::BadSignature),
        (one_time.clone(), one_time[0].clone(), BundleError::BadSignature),
        (too_many, fallback, BundleError::Malformed),
    ] {
        let offer = LinkOffer::new().unwrap();
        let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
        let answer = offer.answers(&card, |nonce| format::LinkAnswer {
            nonce,
            device: Some(to_format(&device.describe())),
            link_key: LINK_KEY.to_vec(),
            one_time,
            fallback,
        });
        assert_eq!(approval.hear_answer(&answer).unwrap_err(), LinkError::Keys(error));
    }
}

#[test]
fn a_lost_message_2_is_made_up_for_by_the_list_of_the_server() {
    let alice = Alice::new();
    let (joining, candidate) = meet(&alice);
    let (second, _) = confirm(candidate, &alice);
    let third = list(&alice.key, Some(&second), second.entries());
    let linked = joining.believe(third.signed(), NOW_MS).unwrap();
    assert_eq!(linked.list.version(), 3, "signed anew meanwhile");
    let (joining, _) = meet(&alice);
    let error = joining.believe(third.signed(), NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::WrongDevices, "another device has the number");
}

#[test]
fn another_code_opens_nothing() {
    let alice = Alice::new();
    let (shown, other) = (LinkOffer::new().unwrap(), LinkOffer::new().unwrap());
    let (_, card) = LinkApproval::begin(other.code(), alice.present()).unwrap();
    let error = shown.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::NotSealedForUs);
    // The right key at another rendezvous.
    let moved = LinkCode::new([0; RENDEZVOUS_BYTES], *other.code().key());
    let (_, card) = LinkApproval::begin(&moved, alice.present()).unwrap();
    let error = other.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::NotSealedForUs);
    let weak = LinkCode::new([0; RENDEZVOUS_BYTES], [0; 32]);
    let error = LinkApproval::begin(&weak, alice.present()).unwrap_err();
    assert_eq!(error, LinkError::NotACode);
}

#[test]
fn a_relay_that_changes_swaps_or_repeats_is_noticed() {
    let alice = Alice::new();
    for which in 0..3 {
        let offer = LinkOffer::new().unwrap();
        let (approval, mut card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
        if which == 0 {
            *card.last_mut().unwrap() ^= 1;
            let error = offer.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap_err();
            assert_eq!(error, LinkError::NotSealedForUs);
            continue;
        }
        let (joining, mut answer) = offer.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap();
        if which == 1 {
            answer[0] ^= 1;
            assert_eq!(approval.hear_answer(&answer).unwrap_err(), LinkError::NotSealedForUs);
            continue;
        }
        let candidate = approval.hear_answer(&answer).unwrap();
        let (_, mut message) = confirm(candidate, &alice);
        message[0] ^= 1;
        let error = joining.hear_result(&message, NOW_MS).unwrap_err();
        assert_eq!(error, LinkError::NotSealedForUs);
    }
    // What the other side said comes back, and what was said before comes again.
    let offer = LinkOffer::new().unwrap();
    let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
    let (joining, answer) = offer.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap();
    assert_eq!(joining.hear_result(&card, NOW_MS).unwrap_err(), LinkError::NotSealedForUs);
    assert_eq!(approval.hear_answer(&card).unwrap_err(), LinkError::NotSealedForUs);
    let offer = LinkOffer::new().unwrap();
    let error = offer.hear_card(&answer, &SERVER, &LINK_KEY, NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::NotSealedForUs);
    // A whole other linking of the same account.
    let (joining, _) = meet(&alice);
    let (_, other) = meet(&alice);
    let (_, message) = confirm(other, &alice);
    assert_eq!(joining.hear_result(&message, NOW_MS).unwrap_err(), LinkError::NotSealedForUs);
    for cut in [0, 31, 32, 47] {
        let offer = LinkOffer::new().unwrap();
        let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
        let error = offer.hear_card(&card[..cut], &SERVER, &LINK_KEY, NOW_MS).unwrap_err();
        assert_eq!(error, LinkError::NotSealedForUs);
        assert_eq!(approval.hear_answer(&card[..cut]).unwrap_err(), LinkError::NotSealedForUs);
    }
}

/// Somebody shows alice a code of his own and the new device a card of his own.
#[test]
fn whoever_stands_between_is_seen_by_the_digits() {
    let (alice, eve) = (Alice::new(), Alice::new());
    let (joining, _) = meet(&eve);
    let (_, candidate) = meet(&alice);
    assert_ne!(joining.digits(), candidate.digits(), "1 in 1,000,000");
    assert_ne!(joining.account(), alice.list.account());
}

#[test]
fn a_nonce_that_was_not_committed_to_is_refused() {
    let alice = Alice::new();
    let mut offer = LinkOffer::new().unwrap();
    offer.ground_out([9; NONCE_BYTES]);
    let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
    let (_, answer) = offer.hear_card(&card, &SERVER, &LINK_KEY, NOW_MS).unwrap();
    assert_eq!(approval.hear_answer(&answer).unwrap_err(), LinkError::NotCommitted);
}

#[test]
fn both_are_on_one_server() {
    let alice = Alice::new();
    let offer = LinkOffer::new().unwrap();
    let (_, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
    let error = offer.hear_card(&card, &[5; 32], &LINK_KEY, NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::OtherServer);
}

/// What a device answers that has another account, number or key in mind than it was told.
#[test]
fn an_answer_for_another_place_is_refused() {
    let alice = Alice::new();
    let stranger = AccountKey::generate();
    let taken = entry(&alice.key, 1);
    let elsewhere = entry(&stranger, 2);
    for (entry, error) in [
        (taken, LinkError::WrongNumber),
        (elsewhere, LinkError::List(ListError::NoConsent(DeviceNumber(2)))),
    ] {
        let offer = LinkOffer::new().unwrap();
        let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
        let answer = offer.answers(&card, |nonce| format::LinkAnswer {
            nonce,
            device: Some(to_format(&entry)),
            link_key: LINK_KEY.to_vec(),
            ..Default::default()
        });
        assert_eq!(approval.hear_answer(&answer).unwrap_err(), error);
    }
    let offer = LinkOffer::new().unwrap();
    let (approval, card) = LinkApproval::begin(offer.code(), alice.present()).unwrap();
    let answer = offer.answers(&card, |nonce| format::LinkAnswer {
        nonce,
        device: None,
        link_key: LINK_KEY.to_vec(),
        ..Default::default()
    });
    assert_eq!(approval.hear_answer(&answer).unwrap_err(), LinkError::Malformed);
}

#[test]
fn a_list_that_does_not_hold_exactly_this_device_more_is_refused() {
    let alice = Alice::with_devices(2);
    let before = &alice.list;
    let others = before.entries();
    let (third, fourth) = (entry(&alice.key, 3), entry(&alice.key, 4));
    for lie in 0..4 {
        let (joining, mut candidate) = meet(&alice);
        let mine = candidate.entry.clone();
        let devices = match lie {
            0 => others.to_vec(),                                 // without it
            1 => [others, std::slice::from_ref(&third)].concat(), // another in its place
            2 => [others, &[mine, fourth.clone()]].concat(),      // one more
            _ => vec![others[0].clone(), mine],                   // one less
        };
        let signed = list(&alice.key, Some(before), &devices);
        let message = result(&mut candidate, signed.signed());
        let error = joining.hear_result(&message, NOW_MS).unwrap_err();
        assert_eq!(error, LinkError::WrongDevices, "{lie}");
    }
    // Of another account, not after the one that was shown, or no list at all.
    let (joining, mut candidate) = meet(&alice);
    let eves = Alice::new().list;
    let message = result(&mut candidate, eves.signed());
    let error = joining.hear_result(&message, NOW_MS).unwrap_err();
    assert!(matches!(error, LinkError::List(ListError::KeyChanged { .. })), "{error}");
    let (joining, mut candidate) = meet(&alice);
    let fork = list(&alice.key, None, &[others[0].clone()]);
    let mine = candidate.entry.clone();
    let forked = list(&alice.key, Some(&fork), &[others[0].clone(), mine]);
    let message = result(&mut candidate, forked.signed());
    let error = joining.hear_result(&message, NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::List(ListError::Fork));
    let (joining, mut candidate) = meet(&alice);
    let message = result(&mut candidate, b"");
    let error = joining.hear_result(&message, NOW_MS).unwrap_err();
    assert_eq!(error, LinkError::List(ListError::Malformed));
}

#[test]
fn a_full_account_takes_no_more_and_a_changed_list_no_old_one() {
    let almost = Alice::with_devices(7);
    let (_, candidate) = meet(&almost);
    assert_eq!(confirm(candidate, &almost).0.entries().len(), 8);
    let full = Alice::with_devices(8);
    let offer = LinkOffer::new().unwrap();
    let error = LinkApproval::begin(offer.code(), full.present()).unwrap_err();
    assert_eq!(error, LinkError::AccountFull);
    let alice = Alice::new();
    let (_, candidate) = meet(&alice);
    let renewed = list(&alice.key, Some(&alice.list), alice.list.entries());
    let error = candidate.entry(&renewed).unwrap_err();
    assert_eq!(error, LinkError::ListMoved);
}

#[test]
fn nothing_secret_is_printed() {
    let offer = LinkOffer::new().unwrap();
    assert_eq!(format!("{offer:?} {:?}", offer.code()), "LinkOffer(..) LinkCode(..)");
}
