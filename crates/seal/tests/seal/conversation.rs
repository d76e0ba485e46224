//! Two people write to each other: offline, at once, out of order, across restarts.

use godwit_seal::{OpenError, SESSION_KEEP_MS, SESSIONS_MAX};

use crate::people::{Letter, Person, inner, settled};

#[test]
fn alice_writes_to_bob_who_is_offline_and_he_answers_later() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let letters = ["one", "two", "three"].map(|text| alice.writes(&mut bob, text));
    assert!(letters.iter().all(|letter| letter.sealed.opening), "bob has not answered yet");

    let read: Vec<_> = letters.iter().map(|letter| bob.reads(&alice, letter)).collect();
    assert_eq!(read, ["one", "two", "three"]);

    let answer = bob.writes(&mut alice, "all three");
    assert!(!answer.sealed.opening);
    assert_eq!(alice.reads(&bob, &answer), "all three");
    assert!(!alice.writes(&mut bob, "settled").sealed.opening);
    assert_eq!(bob.pairings[&alice.device.id()].session_count(), 1);
}

#[test]
fn only_the_first_of_several_opening_messages_is_a_new_session() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let [first, second] = ["one", "two"].map(|text| alice.writes(&mut bob, text));
    let (second, first) = (bob.opens(&alice, &second).unwrap(), bob.opens(&alice, &first).unwrap());
    assert!(second.new_session, "whichever comes first");
    assert!(!first.new_session);
    assert_eq!(first.session, second.session);
}

#[test]
fn both_start_at_once_and_settle_on_one_session() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let from_alice = alice.writes(&mut bob, "hi bob");
    let from_bob = bob.writes(&mut alice, "hi alice");
    assert_eq!(alice.reads(&bob, &from_bob), "hi alice");
    assert_eq!(bob.reads(&alice, &from_alice), "hi bob");

    // Turn by turn they agree: each answers on the session that last worked for the other.
    for turn in 0..3 {
        let letter = alice.writes(&mut bob, "turn");
        assert_eq!(bob.reads(&alice, &letter), "turn", "{turn}");
        let letter = bob.writes(&mut alice, "turn");
        assert_eq!(alice.reads(&bob, &letter), "turn", "{turn}");
    }
    let at_alice = alice.with_peer(&bob).sending_session();
    assert_eq!(at_alice, bob.with_peer(&alice).sending_session());
    assert_eq!(alice.with_peer(&bob).session_count(), 2);
}

#[test]
fn of_two_sessions_that_opened_nothing_the_last_used_sends() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    alice.starts_with(&mut bob);
    let first = alice.with_peer(&bob).sending_session();
    alice.starts_with(&mut bob);
    let second = alice.with_peer(&bob).sending_session();
    assert_ne!(first, second);
    alice.seals(&bob, "text").unwrap();
    assert_eq!(alice.with_peer(&bob).sending_session(), second);
}

#[test]
fn messages_open_in_any_order_within_forty() {
    let (mut alice, mut bob) = settled();
    let mut letters: Vec<_> = (0..40).map(|n| alice.writes(&mut bob, &n.to_string())).collect();
    letters.reverse();
    let read: Vec<_> = letters.iter().map(|letter| bob.reads(&alice, letter)).collect();
    assert_eq!(read.first().unwrap(), "39");
    assert_eq!(read.last().unwrap(), "0");
}

/// The limit of the library, stated so that nobody is surprised: mailboxes keep order, and what is
/// lost is asked for again.
#[test]
fn of_sixty_messages_read_last_first_nineteen_are_gone() {
    let (mut alice, mut bob) = settled();
    let mut letters: Vec<_> = (0..60).map(|_| alice.writes(&mut bob, "x")).collect();
    letters.reverse();
    let lost = letters
        .iter()
        .filter(|letter| bob.opens(&alice, letter).is_err_and(|e| e == OpenError::KeyGone))
        .count();
    assert_eq!(lost, 19);
    assert!(OpenError::KeyGone.wants_retry());
}

#[test]
fn a_conversation_survives_restarts_at_every_step() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    for turn in 0..6 {
        let letter = alice.writes(&mut bob, "there");
        alice.restarts();
        assert_eq!(bob.reads(&alice, &letter), "there", "{turn}");
        bob.restarts();
        let letter = bob.writes(&mut alice, "and back");
        bob.restarts();
        assert_eq!(alice.reads(&bob, &letter), "and back", "{turn}");
        alice.restarts();
    }
}

#[test]
fn at_most_twelve_sessions_of_each_starter_are_kept_and_the_longest_unused_goes() {
    let (mut alice, mut bob) = settled();
    let settled_session = alice.with_peer(&bob).sending_session();
    for _ in 0..SESSIONS_MAX - 1 {
        alice.starts_with(&mut bob);
    }
    assert_eq!(alice.with_peer(&bob).session_count(), SESSIONS_MAX);
    assert_eq!(alice.with_peer(&bob).sending_session(), settled_session);

    // Sealing on the settled session makes it the youngest again; the next start drops another.
    alice.seals(&bob, "still here").unwrap();
    alice.starts_with(&mut bob);
    assert_eq!(alice.with_peer(&bob).session_count(), SESSIONS_MAX);
    assert_eq!(alice.with_peer(&bob).sending_session(), settled_session);
}

#[test]
fn what_one_starts_takes_no_room_from_what_the_other_started() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    for _ in 0..=SESSIONS_MAX {
        alice.starts_with(&mut bob);
        bob.starts_with(&mut alice);
        let letter = bob.seals(&alice, "from bob").unwrap();
        assert_eq!(alice.reads(&bob, &letter), "from bob");
    }
    assert_eq!(alice.with_peer(&bob).session_count(), 2 * SESSIONS_MAX);
}

#[test]
fn an_unused_session_is_wiped_after_thirty_days_but_never_the_sending_one() {
    let (mut alice, mut bob) = settled();
    let sending = alice.with_peer(&bob).sending_session();
    alice.starts_with(&mut bob);
    let now_ms = alice.now_ms;
    let pairing = alice.with_peer(&bob);
    assert!(!pairing.tidy(now_ms + SESSION_KEEP_MS - 1));
    assert!(pairing.tidy(now_ms + SESSION_KEEP_MS));
    assert_eq!(pairing.session_count(), 1);
    assert_eq!(pairing.sending_session(), sending);
    assert!(!pairing.tidy(u64::MAX), "the last one stays");
}

#[test]
fn a_resent_message_names_the_one_it_repeats() {
    let (mut alice, mut bob) = settled();
    let mut inner = inner(90, "again");
    inner.resend_of = Some(12);
    let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
    let sealed = pairing.seal(&alice.device, &inner).unwrap();
    let opened = bob.opens(&alice, &Letter { counter: 90, sealed }).unwrap();
    assert_eq!(opened.inner, inner);
}
