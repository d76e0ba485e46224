//! The fallback key: what it must do when the one-time keys have run out, and what it must not.

use godwit_seal::{
    FALLBACK_KEEP_MS, FALLBACK_ROTATE_MS, FALLBACK_SESSIONS_MAX, OpenError, SESSIONS_MAX,
};

use crate::people::{Letter, NOW_MS, Person};

#[test]
fn without_one_time_keys_messages_still_arrive() {
    let (mut alice, mut carol, mut bob) = (Person::new(), Person::new(), Person::new());
    bob.runs_out_of_one_time_keys();
    let (from_alice, from_carol) = (alice.writes(&mut bob, "a"), carol.writes(&mut bob, "c"));
    assert_eq!(bob.reads(&alice, &from_alice), "a");
    assert_eq!(bob.reads(&carol, &from_carol), "c", "the key is not used up");
}

/// The library itself opens an opening message under a fallback key again once the session is gone.
#[test]
fn a_replay_under_a_fallback_key_is_refused_after_its_session_is_gone() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    bob.runs_out_of_one_time_keys();
    let recorded = alice.writes(&mut bob, "pay 100");
    bob.reads(&alice, &recorded);
    assert_eq!(bob.opens(&alice, &recorded).unwrap_err(), OpenError::KeyGone, "session lives");

    for _ in 0..SESSIONS_MAX {
        let letter = writes_on_a_new_session(&mut alice, &mut bob);
        bob.opens(&alice, &letter).unwrap();
    }
    bob.restarts();
    assert_eq!(bob.opens(&alice, &recorded).unwrap_err(), OpenError::Replayed);
    assert!(!OpenError::Replayed.wants_retry());
}

#[test]
fn a_peer_opens_so_many_sessions_under_one_fallback_key_and_no_more() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    bob.runs_out_of_one_time_keys();
    for _ in 0..FALLBACK_SESSIONS_MAX {
        let letter = writes_on_a_new_session(&mut alice, &mut bob);
        assert!(bob.opens(&alice, &letter).unwrap().new_session);
    }
    let one_more = writes_on_a_new_session(&mut alice, &mut bob);
    assert_eq!(bob.opens(&alice, &one_more).unwrap_err(), OpenError::TooManySessions);

    // Somebody else is not punished, and a new key starts a new count.
    let mut carol = Person::new();
    let letter = carol.writes(&mut bob, "hello");
    assert_eq!(bob.reads(&carol, &letter), "hello");
    bob.now_ms = NOW_MS + FALLBACK_ROTATE_MS;
    assert!(bob.device.rotate_fallback(bob.now_ms));
    bob.publishes();
    alice.now_ms = bob.now_ms;
    let letter = writes_on_a_new_session(&mut alice, &mut bob);
    assert!(bob.opens(&alice, &letter).is_ok());
}

#[test]
fn the_fallback_key_is_replaced_after_thirty_days_and_not_before() {
    let mut bob = Person::new();
    let first = bob.fallback.clone();
    assert!(!bob.device.rotate_fallback(NOW_MS + FALLBACK_ROTATE_MS - 1));
    assert!(!bob.device.rotate_fallback(0), "a clock that went back");
    assert!(bob.device.rotate_fallback(NOW_MS + FALLBACK_ROTATE_MS));
    bob.publishes();
    assert_ne!(bob.fallback, first);
}

#[test]
fn the_previous_fallback_key_opens_for_as_long_as_a_mailbox_may_hold_its_message() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    bob.runs_out_of_one_time_keys();
    let letters: Vec<_> = (0..2).map(|_| writes_on_a_new_session(&mut alice, &mut bob)).collect();

    let rotated_ms = NOW_MS + FALLBACK_ROTATE_MS;
    bob.device.rotate_fallback(rotated_ms);
    bob.restarts();
    assert!(!bob.device.tidy(rotated_ms + FALLBACK_KEEP_MS - 1));
    assert!(bob.opens(&alice, &letters[0]).is_ok());
    assert!(bob.device.tidy(rotated_ms + FALLBACK_KEEP_MS));
    assert_eq!(bob.opens(&alice, &letters[1]).unwrap_err(), OpenError::KeyUsed);
}

#[test]
fn openings_are_forgotten_with_their_key() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    bob.runs_out_of_one_time_keys();
    for _ in 0..50 {
        let letter = writes_on_a_new_session(&mut alice, &mut bob);
        bob.opens(&alice, &letter).unwrap();
    }
    let row_len = |bob: &Person| bob.state()[1].len();
    let before = row_len(&bob);

    bob.device.rotate_fallback(NOW_MS + FALLBACK_ROTATE_MS);
    bob.publishes();
    let letter = writes_on_a_new_session(&mut alice, &mut bob);
    bob.opens(&alice, &letter).unwrap();
    assert!(row_len(&bob) > before, "both keys live");

    bob.device.tidy(NOW_MS + FALLBACK_ROTATE_MS + FALLBACK_KEEP_MS);
    let letter = writes_on_a_new_session(&mut alice, &mut bob);
    bob.opens(&alice, &letter).unwrap();
    assert!(row_len(&bob) < before - 49 * 32, "one id is 32 bytes and more");
}

/// Alice forgets all sessions with Bob and opens one anew.
fn writes_on_a_new_session(alice: &mut Person, bob: &mut Person) -> Letter {
    alice.pairings.remove(&bob.device.id());
    alice.writes(bob, "x")
}
