//! The known ways to get Olm wrong, each as a test that fails if we do.

use godwit_base::limits::BODY_BYTES_MAX;
use godwit_seal::{
    AccountKey, BURST_MAX, DeviceKeys, Envelope, INNER_BODY_BYTES_MAX, OpenError, Pairing,
    RowError, RowKey, SUITE, SealError,
};
use prost::Message;
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{Account, OlmMessage, SessionConfig};

use crate::forge;
use crate::people::{NOW_MS, Person, settled};

#[test]
fn a_failed_opening_leaves_everything_as_it_was() {
    let (mut alice, mut bob) = settled();
    let good = alice.writes(&mut bob, "one");
    let mut carol = Person::new();
    let hello = carol.writes(&mut bob, "hello");
    bob.with_peer(&carol);
    let before = bob.state();
    for at in 0..good.sealed.bytes.len() {
        let mut bad = good.clone();
        bad.sealed.bytes[at] ^= 1;
        assert!(bob.opens(&alice, &bad).is_err(), "byte {at}");
    }
    for at in 0..hello.sealed.bytes.len() {
        let mut bad = hello.clone();
        bad.sealed.bytes[at] ^= 1;
        assert!(bob.opens(&carol, &bad).is_err(), "byte {at}");
    }
    // These decrypt; what is inside is refused.
    for letter in [&good, &hello] {
        let from = if letter.sealed.opening { &carol } else { &alice };
        let envelope = Envelope { counter: letter.counter + 7, ..letter.envelope() };
        assert_eq!(bob.opens_envelope(from, envelope).unwrap_err(), OpenError::WrongCounter);
    }
    assert!(bob.state() == before, "not one bit moved");
    assert_eq!(bob.reads(&alice, &good), "one");
    assert_eq!(bob.reads(&carol, &hello), "hello", "the one-time key is still there");
}

#[test]
fn a_replay_opens_nothing() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let opening = alice.writes(&mut bob, "hello");
    bob.reads(&alice, &opening);
    assert_eq!(bob.opens(&alice, &opening).unwrap_err(), OpenError::KeyGone);
    let answer = bob.writes(&mut alice, "hi");
    alice.reads(&bob, &answer);
    let settled = alice.writes(&mut bob, "settled");
    bob.reads(&alice, &settled);
    bob.restarts();
    assert_eq!(bob.opens(&alice, &settled).unwrap_err(), OpenError::KeyGone);
    assert_eq!(bob.opens(&alice, &opening).unwrap_err(), OpenError::KeyGone);
}

#[test]
fn a_replay_of_an_opening_finds_its_one_time_key_used_once_the_session_is_gone() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let opening = alice.writes(&mut bob, "hello");
    bob.reads(&alice, &opening);
    bob.pairings.clear();
    assert_eq!(bob.opens(&alice, &opening).unwrap_err(), OpenError::KeyUsed);
}

#[test]
fn sealing_the_same_twice_never_gives_the_same_bytes() {
    let (mut alice, bob) = settled();
    let (one, two) = (alice.seals(&bob, "x").unwrap(), alice.seals(&bob, "x").unwrap());
    assert_ne!(one.sealed.bytes, two.sealed.bytes);
    assert_eq!(one.sealed.bytes.len(), two.sealed.bytes.len());
}

/// Eve puts Alice's public X25519 key into her own device, so that what Alice seals looks to Olm as
/// if Eve had sealed it; the server then delivers it as Eve's.
#[test]
fn a_message_cannot_be_passed_off_as_another_senders() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let letter = alice.writes(&mut bob, "I love you");
    let eve = eve_with_the_dh_key_of(&alice);
    assert_eq!(bob.opens(&eve, &letter).unwrap_err(), OpenError::WrongIdentity);
    assert_eq!(bob.reads(&alice, &letter), "I love you");
}

#[test]
fn a_message_opens_from_its_own_sender_only() {
    let (mut alice, mut bob, carol) = (Person::new(), Person::new(), Person::new());
    let opening = alice.writes(&mut bob, "x");
    assert_eq!(bob.opens(&carol, &opening).unwrap_err(), OpenError::WrongIdentity);
    bob.reads(&alice, &opening);
}

/// The other way round: Eve lists Bob's keys, Alice seals for Eve, the server delivers it to Bob.
#[test]
fn a_message_cannot_be_redirected_to_another_account() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    let one_time = forge::format::SignedKey::decode(&bob.one_time[0][1..]).unwrap().key;
    let mut eve = forge::person([66; 32], dh_key_of(&bob), one_time.try_into().unwrap());
    let letter = alice.writes(&mut eve, "you are the only one, Eve");
    assert_eq!(bob.opens(&alice, &letter).unwrap_err(), OpenError::WrongIdentity);
}

/// The same trick on a settled message: Eve's pairing is moved onto Alice's session.
#[test]
fn a_settled_message_names_its_ends_too() {
    let (mut alice, mut bob) = settled();
    let eve = eve_with_the_dh_key_of(&alice);
    let row_key = RowKey::generate().unwrap();
    let row = bob.pairings[&alice.device.id()].to_row(&row_key).unwrap();
    let moved = Pairing::from_row(&row_key, eve.device.id(), &row);
    assert_eq!(moved.unwrap_err(), RowError::Damaged, "a row is bound to its device");

    let letter = alice.writes(&mut bob, "x");
    let pairing = bob.pairings.get_mut(&alice.device.id()).unwrap();
    let opened = pairing.open(&mut bob.device, &eve.peer(), letter.envelope(), NOW_MS);
    assert_eq!(opened.unwrap_err(), OpenError::PeerChanged);
}

#[test]
fn a_message_for_another_device_of_ours_is_refused() {
    // Bob's second device has the same Olm keys only if somebody copied them; the number differs.
    let (mut alice, mut bob) = settled();
    let letter = alice.writes(&mut bob, "x");
    let mut twin = twin_under_number_2(&bob);
    let pairing = bob.pairings.get_mut(&alice.device.id()).unwrap();
    let opened = pairing.open(&mut twin, &alice.peer(), letter.envelope(), NOW_MS);
    assert_eq!(opened.unwrap_err(), OpenError::WrongIdentity);
}

#[test]
fn session_configuration_1_is_refused() {
    let mut bob = Person::new();
    let alice = Person::new();
    let one_time = forge::format::SignedKey::decode(&bob.one_time[0][1..]).unwrap().key;
    let one_time = Curve25519PublicKey::from_slice(&one_time).unwrap();
    let bob_dh = Curve25519PublicKey::from_bytes(dh_key_of(&bob));
    let olm = Account::new();
    #[allow(clippy::disallowed_methods, reason = "to be refused")]
    let weak = SessionConfig::version_1();
    let mut session = olm.create_outbound_session(weak, bob_dh, one_time).unwrap();
    let OlmMessage::PreKey(message) = session.encrypt("weak").unwrap() else { panic!("pre-key") };
    for (opening, olm_bytes) in [(true, message.to_bytes()), (false, message.message().to_bytes())]
    {
        let bytes = [&[SUITE], olm_bytes.as_slice()].concat();
        let envelope = Envelope { counter: 1, opening, bytes: &bytes };
        assert_eq!(bob.opens_envelope(&alice, envelope).unwrap_err(), OpenError::Malformed);
    }
}

#[test]
fn our_own_messages_are_configuration_2() {
    let (mut alice, mut bob) = settled();
    assert_eq!(alice.writes(&mut bob, "x").sealed.bytes[..2], [SUITE, 4]);
}

#[test]
fn an_unknown_suite_asks_for_an_update() {
    let (mut alice, mut bob) = settled();
    let mut letter = alice.writes(&mut bob, "x");
    letter.sealed.bytes[0] = 2;
    assert_eq!(bob.opens(&alice, &letter).unwrap_err(), OpenError::UnknownSuite(2));
    letter.sealed.bytes.clear();
    assert_eq!(bob.opens(&alice, &letter).unwrap_err(), OpenError::Malformed);
}

#[test]
fn the_kind_on_the_envelope_is_only_a_claim() {
    let (mut alice, mut bob) = settled();
    let mut letter = alice.writes(&mut bob, "x");
    letter.sealed.opening = true;
    assert_eq!(bob.opens(&alice, &letter).unwrap_err(), OpenError::Malformed);
}

#[test]
fn a_burst_ends_at_a_thousand_and_goes_on_in_a_new_session() {
    let (mut alice, mut bob) = settled();
    let first = alice.with_peer(&bob).sending_session();
    let letters: Vec<_> = (0..BURST_MAX).map(|_| alice.seals(&bob, "x").unwrap()).collect();
    assert!(!alice.with_peer(&bob).is_ready());
    assert_eq!(alice.seals(&bob, "x").err(), Some(SealError::NeedsSession));

    let next = alice.writes(&mut bob, "one more");
    assert_ne!(alice.with_peer(&bob).sending_session(), first);
    for letter in &letters {
        bob.reads(&alice, letter);
    }
    assert_eq!(bob.reads(&alice, &next), "one more");
}

#[test]
fn acknowledgement_or_an_answer_ends_a_burst() {
    let (mut alice, mut bob) = settled();
    let first = alice.with_peer(&bob).sending_session();
    let letters: Vec<_> = (0..BURST_MAX).map(|_| alice.seals(&bob, "x").unwrap()).collect();
    let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
    pairing.delivered(letters[98].counter);
    assert!(!pairing.is_ready(), "known to within a hundred");
    pairing.delivered(letters[99].counter);
    assert!(pairing.is_ready());
    for _ in 0..100 {
        alice.seals(&bob, "x").unwrap();
    }
    assert_eq!(alice.seals(&bob, "x").err(), Some(SealError::NeedsSession));

    bob.reads(&alice, &letters[0]);
    let answer = bob.writes(&mut alice, "got one");
    alice.reads(&bob, &answer);
    assert!(alice.with_peer(&bob).is_ready());
    assert_eq!(alice.with_peer(&bob).sending_session(), first);
}

/// Why a burst ends at a thousand: the library opens nothing after a gap of more than 2,000.
#[test]
fn a_gap_of_two_thousand_is_the_end_of_a_session() {
    let (mut alice, mut bob) = settled();
    let mut after_a_gap_of = |gap: u64| {
        for _ in 0..gap {
            let lost = alice.seals(&bob, "lost").unwrap();
            alice.pairings.get_mut(&bob.device.id()).unwrap().delivered(lost.counter);
        }
        let letter = alice.seals(&bob, "x").unwrap();
        bob.opens(&alice, &letter).map(|_| ())
    };
    assert_eq!(after_a_gap_of(2_000), Ok(()));
    assert_eq!(after_a_gap_of(2_001), Err(OpenError::GapTooBig));
    assert!(OpenError::GapTooBig.wants_retry());
}

#[test]
fn a_low_order_key_makes_no_session() {
    let alice = Person::new();
    let olm = Account::new();
    let zero = Curve25519PublicKey::from_bytes([0; 32]);
    let good = olm.curve25519_key();
    // What our outbound path relies on: the library refuses, whichever key it is.
    let config = SessionConfig::version_2();
    assert!(olm.create_outbound_session(config, zero, good).is_err());
    assert!(olm.create_outbound_session(config, good, zero).is_err());
    // And ours turns that into its own error: a device that lists a zero key.
    let mut mallory = forge::person([66; 32], [0; 32], [5; 32]);
    let bundle = mallory.bundle();
    let mut pairing = Pairing::new(&mallory.peer());
    assert_eq!(pairing.start(&alice.device, &bundle, NOW_MS), Err(SealError::UnsafeKey));
}

#[test]
fn bodies_have_a_bound_on_both_sides_and_fit_the_wire() {
    let (mut alice, mut bob) = settled();
    let longest = alice.writes(&mut bob, &"x".repeat(INNER_BODY_BYTES_MAX));
    assert!(longest.sealed.bytes.len() <= BODY_BYTES_MAX, "{}", longest.sealed.bytes.len());
    assert_eq!(bob.reads(&alice, &longest).len(), INNER_BODY_BYTES_MAX);
    let too_long = alice.seals(&bob, &"x".repeat(INNER_BODY_BYTES_MAX + 1));
    assert_eq!(too_long.err(), Some(SealError::BodyTooLarge));

    // A field that nobody knows makes an opening message as long as one likes.
    let mut carol = Person::new();
    let mut letter = carol.writes(&mut bob, "hello");
    let short = letter.sealed.bytes;
    letter.sealed.bytes = forge::grown_to(BODY_BYTES_MAX + 1, short.clone());
    assert_eq!(bob.opens(&carol, &letter).unwrap_err(), OpenError::Malformed);
    letter.sealed.bytes = forge::grown_to(BODY_BYTES_MAX, short);
    assert_eq!(bob.reads(&carol, &letter), "hello");
}

#[test]
fn secrets_do_not_print() {
    let (mut alice, mut bob) = settled();
    let row_key = RowKey::generate().unwrap();
    let letter = alice.writes(&mut bob, "the text");
    let opened = bob.opens(&alice, &letter).unwrap();
    let printed = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        alice.account,
        alice.device,
        row_key,
        alice.pairings[&bob.device.id()],
        opened
    );
    assert!(!printed.contains("the text") && !printed.contains("116, 104, 101"), "{printed}");
    assert!(printed.contains("AccountKey(secret of"), "{printed}");
    assert!(printed.len() < 700, "no key material in it: {printed}");
}

#[test]
fn a_row_opens_at_its_own_place_under_its_own_key_only() {
    let row_key = RowKey::generate().unwrap();
    let row = row_key.seal("text", b"42", b"secret").unwrap();
    assert_eq!(row_key.open("text", b"42", &row).unwrap().as_slice(), b"secret");
    let damaged = Err(RowError::Damaged);
    assert_eq!(row_key.open("text", b"43", &row), damaged);
    assert_eq!(row_key.open("tex", b"t42", &row), damaged, "no sliding between name and key");
    assert_eq!(RowKey::generate().unwrap().open("text", b"42", &row), damaged);
    for at in 1..row.len() {
        let mut changed = row.clone();
        changed[at] ^= 1;
        assert_eq!(row_key.open("text", b"42", &changed), damaged, "byte {at}");
        assert_eq!(row_key.open("text", b"42", &row[..at]), damaged, "cut to {at}");
    }
    let mut newer = row.clone();
    newer[0] = 2;
    assert_eq!(row_key.open("text", b"42", &newer), Err(RowError::Newer));
    assert_ne!(row_key.seal("text", b"42", b"secret").unwrap(), row, "a nonce of its own");
}

#[test]
fn an_account_key_round_trips_as_row_and_seed() {
    let (key, row_key) = (AccountKey::generate(), RowKey::generate().unwrap());
    let row = key.to_row(&row_key).unwrap();
    assert_eq!(AccountKey::from_row(&row_key, &row).unwrap().public(), key.public());
    assert_eq!(AccountKey::from_seed(&key.to_seed()).public(), key.public());
    let same = RowKey::from_bytes(&row_key.to_bytes());
    assert_eq!(AccountKey::from_row(&same, &row).unwrap().public(), key.public());
}

/// Somebody whose device lists Alice's X25519 key as its own: nothing proves possession.
fn eve_with_the_dh_key_of(victim: &Person) -> Person {
    forge::person([66; 32], dh_key_of(victim), [5; 32])
}

fn dh_key_of(person: &Person) -> [u8; 32] {
    forge::listed_device(person).dh_key.try_into().unwrap()
}

/// Bob's keys on a device with another number, made by editing the row's account of itself.
fn twin_under_number_2(bob: &Person) -> DeviceKeys {
    let row_key = RowKey::generate().unwrap();
    let row = bob.device.to_row(&row_key).unwrap();
    let cbor = row_key.open("device_keys", b"", &row).unwrap();
    let mut value: ciborium::Value = ciborium::from_reader(cbor.as_slice()).unwrap();
    for (name, field) in value.as_map_mut().unwrap() {
        if name.as_text() == Some("number") {
            *field = 2.into();
        }
    }
    let mut edited = Vec::new();
    ciborium::into_writer(&value, &mut edited).unwrap();
    let row = row_key.seal("device_keys", b"", &edited).unwrap();
    DeviceKeys::from_row(&row_key, &row).unwrap()
}
