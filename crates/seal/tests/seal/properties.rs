//! For all inputs: round trips hold, and bytes from outside never panic.

use godwit_seal::{
    AccountKey, AccountPublic, Bundle, Change, DeviceKeys, DeviceList, Envelope, Group, GroupShare,
    HeardKey, Pairing, RetryRequest, RowKey, SafetyNumber, SenderKey, SenderKeyId, Side, Trust,
    Verified,
};
use proptest::prelude::*;

use crate::people::{Letter, NOW_MS, ONE, Person, settled};

/// Bytes that look a little like ours: a suite byte, an Olm version, and then anything.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        proptest::collection::vec(any::<u8>(), 0..400)
            .prop_map(|rest| [&[1, 4], rest.as_slice()].concat()),
        proptest::collection::vec(any::<u8>(), 0..400)
            .prop_map(|rest| [&[1, 3], rest.as_slice()].concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_arrives_as_it_was(
        body in proptest::collection::vec(any::<u8>(), 0..3_000),
        counter: u64,
        sent_at_ms: u64,
        resend_of in proptest::option::of(1_u64..),
    ) {
        let (mut alice, mut bob) = (Person::new(), Person::new());
        alice.starts_with(&mut bob);
        let inner = godwit_seal::Inner { counter, sent_at_ms, resend_of, body: body.into() };
        let pairing = alice.pairings.get_mut(&bob.device.id()).unwrap();
        let sealed = pairing.seal(&alice.device, &inner).unwrap();
        let opened = bob.opens(&alice, &Letter { counter, sealed }).unwrap();
        prop_assert_eq!(opened.inner, inner);
    }

    #[test]
    fn any_order_of_a_window_opens_each_message_once(order in Just((0..20).collect::<Vec<usize>>()).prop_shuffle()) {
        let (mut alice, mut bob) = settled();
        let letters: Vec<_> = (0..20).map(|n| alice.writes(&mut bob, &n.to_string())).collect();
        for at in &order {
            prop_assert_eq!(bob.reads(&alice, &letters[*at]), at.to_string());
        }
        for letter in &letters {
            prop_assert!(bob.opens(&alice, letter).is_err());
        }
    }

    #[test]
    fn any_bytes_as_a_message_are_refused_and_change_nothing(bytes in bytes(), opening: bool, counter: u64) {
        let (alice, mut bob) = settled();
        let before = bob.state();
        let envelope = Envelope { counter, opening, bytes: &bytes };
        prop_assert!(bob.opens_envelope(&alice, envelope).is_err());
        prop_assert!(bob.state() == before);
    }

    #[test]
    fn any_talk_of_two_people_stays_readable(turns in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..40)) {
        // Each turn: who writes, whether the mail of the other is read now, whether both restart.
        let (mut alice, mut bob) = (Person::new(), Person::new());
        let (mut for_alice, mut for_bob) = (Vec::new(), Vec::new());
        for (alice_writes, deliver, restart) in turns {
            if alice_writes {
                for_bob.push(alice.writes(&mut bob, "to bob"));
            } else {
                for_alice.push(bob.writes(&mut alice, "to alice"));
            }
            if deliver {
                for letter in for_bob.drain(..) {
                    prop_assert_eq!(bob.reads(&alice, &letter), "to bob");
                }
                for letter in for_alice.drain(..) {
                    prop_assert_eq!(alice.reads(&bob, &letter), "to alice");
                }
            }
            if restart {
                alice.restarts();
                bob.restarts();
            }
        }
    }

    #[test]
    fn any_bytes_as_anything_else_are_refused(bytes in bytes(), key: [u8; 32]) {
        let key = AccountPublic(key);
        prop_assert!(DeviceList::verify(&bytes, Trust::Pinned(&key), None, NOW_MS).is_err());
        prop_assert!(DeviceList::verify(&bytes, Trust::FirstUse(key.id()), None, NOW_MS).is_err());
        let bob = Person::new();
        prop_assert!(Bundle::verify(&bytes, &bytes, &bob.list, ONE, NOW_MS).is_err());
        if let Ok(request) = RetryRequest::decode(&bytes) {
            prop_assert_eq!(RetryRequest::decode(&request.encode()), Ok(request));
        }
        let row_key = RowKey::from_bytes(&key.0);
        prop_assert!(DeviceKeys::from_row(&row_key, &bytes).is_err());
        prop_assert!(AccountKey::from_row(&row_key, &bytes).is_err());
        prop_assert!(Pairing::from_row(&row_key, bob.device.id(), &bytes).is_err());
        prop_assert!(Verified::<DeviceList>::from_row(&row_key, key.id(), &bytes).is_err());
        let (_, group) = bob.founds(&[]);
        prop_assert!(Group::found(&bytes).is_err());
        prop_assert!(group.clone().apply(&bytes).is_err());
        if let Ok(share) = GroupShare::decode(&bytes) {
            prop_assert!(share.check(&bob.peer(), &group).is_err());
        }
        SenderKeyId::of_message(&bytes);
        prop_assert!(Group::from_row(&row_key, group.id(), &bytes).is_err());
        let side = Side { account_key: key, list_version: 1 };
        SafetyNumber::compare(&side, &side, &bytes);
    }

    #[test]
    fn any_order_under_a_sender_key_opens_each_message_once(
        order in Just((0..40).collect::<Vec<usize>>()).prop_shuffle(),
        restart in proptest::collection::vec(any::<bool>(), 40),
        body in proptest::collection::vec(any::<u8>(), 0..500),
    ) {
        let (alice, bob) = (Person::new(), Person::new());
        let (_, group) = alice.founds(&[&bob]);
        let (place, row_key) = (group.place(), RowKey::generate().unwrap());
        let mut key = SenderKey::create(&place, NOW_MS);
        let share = GroupShare::decode(&GroupShare::of_key(&key, &place, None)).unwrap();
        let mut heard = HeardKey::accept(&share, &alice.peer(), &group).unwrap();
        let inner = |n: usize| godwit_seal::Inner {
            counter: n as u64,
            sent_at_ms: NOW_MS,
            resend_of: None,
            body: body.clone().into(),
        };
        let said: Vec<_> =
            (0..40).map(|n| key.seal(&alice.device, &place, &inner(n)).unwrap()).collect();
        for (n, restarts) in order.iter().zip(restart) {
            let opened = heard.open(&alice.peer(), &place, *n as u64, &said[*n]).unwrap();
            prop_assert_eq!(opened, inner(*n));
            prop_assert!(heard.open(&alice.peer(), &place, *n as u64, &said[*n]).is_err());
            if restarts {
                let row = heard.to_row(&row_key).unwrap();
                heard = HeardKey::from_row(&row_key, group.id(), heard.from(), heard.id(), &row).unwrap();
            }
        }
    }

    #[test]
    fn any_changes_of_a_group_leave_it_whole_and_alike(
        wanted in proptest::collection::vec((0..5_usize, 0..6_u8, 0..5_usize), 1..60),
    ) {
        let people: Vec<_> = (0..5).map(|_| Person::new()).collect();
        let (first, mut group) = people[0].founds(&[&people[1], &people[2]]);
        let mut log = vec![first];
        for (author, what, whom) in wanted {
            let (author, whom) = (&people[author], &people[whom]);
            let change = match what {
                0 | 1 => Change::Add(whom.key()),
                2 => Change::Remove(whom.id()),
                3 => Change::Promote(whom.id()),
                4 => Change::Demote(whom.id()),
                _ => Change::OnlyAdminsWrite(!group.only_admins_write()),
            };
            let before = group.clone();
            match author.signs(&group, &[change]) {
                Ok(entry) => {
                    group.apply(&entry).unwrap();
                    prop_assert!(before.member(author.id()).is_some());
                    log.push(entry);
                }
                Err(_) => prop_assert_eq!(&group, &before),
            }
            prop_assert!(group.is_closed() || group.members().any(|(_, member)| member.is_admin()));
        }
        let (mut late, _) = Group::found(&log[0]).unwrap();
        for entry in &log[1..] {
            late.apply(entry).unwrap();
        }
        prop_assert_eq!(late, group);
    }

    #[test]
    fn any_cbor_in_a_row_of_ours_is_refused(bytes in bytes()) {
        // A row that opens but holds nonsense, as after a downgrade of the program.
        let row_key = RowKey::generate().unwrap();
        let row = row_key.seal("device_keys", b"", &bytes).unwrap();
        prop_assert!(DeviceKeys::from_row(&row_key, &row).is_err());
    }

    #[test]
    fn any_row_round_trips(plaintext in proptest::collection::vec(any::<u8>(), 0..300), key in proptest::collection::vec(any::<u8>(), 0..20)) {
        let row_key = RowKey::generate().unwrap();
        let row = row_key.seal("t", &key, &plaintext).unwrap();
        prop_assert_eq!(row.len(), plaintext.len() + godwit_seal::ROW_OVERHEAD_BYTES);
        let opened = row_key.open("t", &key, &row).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    }
}
