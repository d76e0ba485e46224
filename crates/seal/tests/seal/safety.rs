//! The safety number.

use godwit_seal::{AccountKey, QrMatch, SafetyNumber, Side};

fn side(seed: u8, list_version: u64) -> Side {
    Side { account_key: AccountKey::from_seed(&[seed; 32]).public(), list_version }
}

#[test]
fn both_sides_read_the_same_sixty_digits() {
    let (alice, bob) = (side(1, 1), side(2, 5));
    let at_alice = SafetyNumber::of(&alice, &bob);
    let at_bob = SafetyNumber::of(&bob, &alice);
    assert_eq!(at_alice.digits, at_bob.digits);
    assert_eq!(at_alice.digits.len(), 60);
    assert!(at_alice.digits.bytes().all(|digit| digit.is_ascii_digit()));
    assert_eq!(at_alice.groups().count(), 12);
    assert_eq!(at_alice.groups().collect::<String>(), at_alice.digits);
    assert_ne!(SafetyNumber::of(&alice, &side(3, 5)).digits, at_alice.digits);
}

#[test]
fn digits_depend_on_keys_alone() {
    let with_new_device = SafetyNumber::of(&side(1, 2), &side(2, 9));
    assert_eq!(with_new_device.digits, SafetyNumber::of(&side(1, 1), &side(2, 5)).digits);
}

#[test]
fn a_scanned_code_is_compared_in_code() {
    let (alice, bob) = (side(1, 1), side(2, 5));
    let shown_by_bob = SafetyNumber::of(&bob, &alice).qr;
    assert_eq!(SafetyNumber::compare(&alice, &bob, &shown_by_bob), QrMatch::Same);
    assert_eq!(
        SafetyNumber::compare(&alice, &side(2, 4), &shown_by_bob),
        QrMatch::SameKeysOtherLists
    );
    assert_eq!(SafetyNumber::compare(&alice, &side(3, 5), &shown_by_bob), QrMatch::Different);
    let own = SafetyNumber::of(&alice, &bob).qr;
    assert_eq!(SafetyNumber::compare(&alice, &bob, &own), QrMatch::Different, "one's own code");
    for bad in [&[][..], &shown_by_bob[1..], &[2; 81]] {
        assert_eq!(SafetyNumber::compare(&alice, &bob, bad), QrMatch::Unreadable);
    }
}

/// Frozen: a change here would make people think that somebody stands between them.
#[test]
fn the_number_of_two_known_keys_never_changes() {
    let number = SafetyNumber::of(&side(1, 1), &side(2, 5));
    assert_eq!(number.digits, "183833801297151323821914483098693384590886902019922141907421");
}
