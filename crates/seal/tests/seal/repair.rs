//! Retry requests: two devices find together again, and nobody can use that against them.

use godwit_base::DeviceId;
use godwit_seal::{
    AccountKey, OpenError, REPAIR_INTERVAL_MS, RESEND_AGE_MAX_MS, RETRY_MAX, RetryDecision,
    RetryMalformed, RetryRefusal, RetryRequest, SUITE, SentTo,
};

use crate::people::{NOW_MS, Person, settled};

fn sent_to(person: &Person) -> SentTo {
    SentTo { account_key: person.account.public(), sent_at_ms: NOW_MS, resends: 0 }
}

fn ask(counter: u64) -> RetryRequest {
    RetryRequest::new(counter, 1).unwrap()
}

/// Bob lost his sessions (not his keys): Alice's settled messages open nowhere.
#[test]
fn a_broken_session_is_repaired_once_and_serves_all_that_was_lost() {
    let (mut alice, mut bob) = settled();
    bob.pairings.clear();
    let lost: Vec<_> = (0..3).map(|n| alice.writes(&mut bob, &n.to_string())).collect();
    for letter in &lost {
        let error = bob.opens(&alice, letter).unwrap_err();
        assert_eq!(error, OpenError::NoSession);
        assert!(error.wants_retry());
    }

    let id: DeviceId = bob.device.id();
    let first = alice.pairings[&id].on_retry(ask(lost[0].counter), Some(&sent_to(&bob)), NOW_MS);
    assert_eq!(first, RetryDecision::RepairThenResend);
    alice.repairs_with(&mut bob);
    let again = alice.seals(&bob, "0").unwrap();
    assert!(again.sealed.opening);
    assert_eq!(bob.reads(&alice, &again), "0");

    // The other two went out on the old session too: resent on the new one, no second repair.
    for letter in &lost[1..] {
        let decision =
            alice.pairings[&id].on_retry(ask(letter.counter), Some(&sent_to(&bob)), NOW_MS);
        assert_eq!(decision, RetryDecision::Resend);
    }
}

#[test]
fn after_a_repair_the_old_session_receives_but_never_sends() {
    let (mut alice, mut bob) = settled();
    let old = alice.with_peer(&bob).sending_session();
    let late = bob.writes(&mut alice, "on the old session");
    alice.repairs_with(&mut bob);
    alice.restarts();
    assert_eq!(alice.reads(&bob, &late), "on the old session");
    assert_ne!(alice.with_peer(&bob).sending_session(), old);
}

#[test]
fn one_repair_an_hour() {
    let (mut alice, mut bob) = settled();
    let sent = sent_to(&bob);
    alice.repairs_with(&mut bob);
    let letter = alice.writes(&mut bob, "on the repaired session");
    let id = bob.device.id();
    let decide = |alice: &Person, now_ms| {
        alice.pairings[&id].on_retry(ask(letter.counter), Some(&sent), now_ms)
    };
    let too_soon = RetryDecision::Refuse(RetryRefusal::TooSoon);
    assert_eq!(decide(&alice, NOW_MS), too_soon);
    assert_eq!(decide(&alice, NOW_MS + REPAIR_INTERVAL_MS - 1), too_soon);
    alice.restarts();
    assert_eq!(decide(&alice, NOW_MS + REPAIR_INTERVAL_MS - 1), too_soon, "after a restart too");
    assert_eq!(decide(&alice, NOW_MS + REPAIR_INTERVAL_MS), RetryDecision::RepairThenResend);
    let year_ms = 365 * 24 * 3600 * 1000;
    assert_eq!(
        decide(&alice, NOW_MS - year_ms),
        RetryDecision::RepairThenResend,
        "a clock that was wrong once does not forbid it for a year"
    );
}

#[test]
fn only_an_original_recipient_device_under_the_same_key_is_answered() {
    let (alice, bob) = settled();
    let pairing = &alice.pairings[&bob.device.id()];
    let refuse = |sent: Option<&SentTo>| pairing.on_retry(ask(1), sent, NOW_MS);
    assert_eq!(refuse(None), RetryDecision::Refuse(RetryRefusal::NotSent));
    let other_key = SentTo { account_key: AccountKey::generate().public(), ..sent_to(&bob) };
    assert_eq!(refuse(Some(&other_key)), RetryDecision::Refuse(RetryRefusal::KeyChanged));
}

#[test]
fn three_times_and_fourteen_days_are_the_end() {
    let (alice, bob) = settled();
    let pairing = &alice.pairings[&bob.device.id()];
    let decide = |resends, now_ms| {
        pairing.on_retry(ask(1), Some(&SentTo { resends, ..sent_to(&bob) }), now_ms)
    };
    assert_eq!(decide(RETRY_MAX - 1, NOW_MS), RetryDecision::RepairThenResend);
    assert_eq!(decide(RETRY_MAX, NOW_MS), RetryDecision::Refuse(RetryRefusal::TooOften));
    assert_eq!(decide(0, NOW_MS + RESEND_AGE_MAX_MS), RetryDecision::RepairThenResend);
    assert_eq!(
        decide(0, NOW_MS + RESEND_AGE_MAX_MS + 1),
        RetryDecision::Refuse(RetryRefusal::TooOld)
    );
    let dishonest = RetryRequest { counter: 1, attempt: RETRY_MAX + 1 };
    assert_eq!(
        pairing.on_retry(dishonest, Some(&sent_to(&bob)), NOW_MS),
        RetryDecision::Refuse(RetryRefusal::TooOften)
    );
}

#[test]
fn a_request_says_which_message_and_nothing_else() {
    let request = RetryRequest::new(300, 3).unwrap();
    assert_eq!(request.encode(), [SUITE, 0x08, 0xac, 0x02, 0x10, 0x03]);
    assert_eq!(RetryRequest::decode(&request.encode()), Ok(request));
    assert_eq!(RetryRequest::new(300, 0), None);
    assert_eq!(RetryRequest::new(300, RETRY_MAX + 1), None);
    for bad in [
        &[][..],
        &[SUITE],
        &[2, 0x08, 0x01, 0x10, 0x01],
        &[SUITE, 0x08, 0x01, 0x10, 0x04],
        &[SUITE; 33],
    ] {
        assert_eq!(RetryRequest::decode(bad), Err(RetryMalformed), "{bad:?}");
    }
}
