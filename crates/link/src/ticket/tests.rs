use proptest::prelude::*;

use super::*;
use crate::testing::hex;

const PEER: PublicKey = PublicKey([5; 32]);

const FIRST_RELEASE: &str = "020202020202020202020202020202020202020202020202c96333eaaf72f948a564649477557c9bc8d0\
    f4ad30e32e124562b96b74d4fa9d967ec3d760024b0b5d6791ee89bc3e3e45c9674a2b2115fdcd97287e\
    4993658764638cbb6b24c06620957db4fc95e21f74ddf0165cc0e34d";

fn issued(keys: &TicketKeys, expires_ms: u64) -> Ticket {
    Ticket::from_welcome(&keys.issue(&PEER, expires_ms).unwrap()).unwrap()
}

#[test]
fn a_ticket_tells_its_server_who_and_under_which_secret() {
    let keys = TicketKeys::new([1; 32]);
    let ticket = issued(&keys, 1_000);
    let pass = keys.open(&ticket.sealed, 999).unwrap();
    assert_eq!((pass.peer, pass.psk), (PEER, ticket.psk));
    assert_eq!(ticket.sealed.len(), SEALED_BYTES);
    assert_eq!(SEALED_BYTES, 112);
}

#[test]
fn tickets_of_the_first_release_still_open() {
    // The same bytes came from libsodium's XChaCha20-Poly1305.
    let first = hex(FIRST_RELEASE);
    let keys = TicketKeys::new([1; 32]);
    let pass = Pass { peer: PEER, psk: [6; 32] };
    assert_eq!(keys.seal(&pass, 1_000, &[2; NONCE_BYTES]).unwrap(), first);
    assert_eq!(keys.open(&first, 0).unwrap().psk, [6; 32]);
}

#[test]
fn a_ticket_ends_at_its_expiry() {
    let keys = TicketKeys::new([1; 32]);
    let ticket = issued(&keys, 1_000);
    assert!(keys.open(&ticket.sealed, 999).is_ok());
    assert_eq!(keys.open(&ticket.sealed, 1_000).err(), Some(LinkError::TicketExpired));
    assert_eq!(keys.open(&ticket.sealed, u64::MAX).err(), Some(LinkError::TicketExpired));
}

#[test]
fn a_ticket_survives_one_rotation_and_not_two() {
    let mut keys = TicketKeys::new([1; 32]);
    let ticket = issued(&keys, 1_000);
    keys.rotate([2; 32]);
    assert!(keys.open(&ticket.sealed, 0).is_ok());
    let newer = issued(&keys, 1_000);
    keys.rotate([3; 32]);
    assert_eq!(keys.open(&ticket.sealed, 0).err(), Some(LinkError::TicketInvalid));
    assert!(keys.open(&newer.sealed, 0).is_ok());
}

#[test]
fn another_server_cannot_open_it() {
    let ticket = issued(&TicketKeys::generate().unwrap(), 1_000);
    let other = TicketKeys::generate().unwrap();
    assert_eq!(other.open(&ticket.sealed, 0).err(), Some(LinkError::TicketInvalid));
}

#[test]
fn two_tickets_of_one_device_have_nothing_in_common() {
    let keys = TicketKeys::new([1; 32]);
    let (one, two) = (issued(&keys, 1_000), issued(&keys, 1_000));
    assert_ne!(one.psk, two.psk);
    let same = one.sealed.iter().zip(&two.sealed).filter(|(a, b)| a == b).count();
    assert!(same < SEALED_BYTES / 4, "{same} of {SEALED_BYTES} bytes are the same");
}

#[test]
fn a_stored_ticket_is_the_same_ticket() {
    let ticket = issued(&TicketKeys::new([1; 32]), 1_000);
    let again = Ticket::from_welcome(&ticket.to_bytes()).unwrap();
    assert_eq!((again.psk, &again.sealed), (ticket.psk, &ticket.sealed));
}

#[test]
fn a_client_takes_tickets_of_other_lengths_within_the_bound() {
    let take = |bytes: usize| Ticket::from_welcome(&vec![1; bytes]).map(|t| t.sealed.len());
    assert_eq!(take(KEY_BYTES), Err(LinkError::Malformed { bytes: KEY_BYTES }));
    assert_eq!(take(KEY_BYTES - 1), Err(LinkError::Malformed { bytes: KEY_BYTES - 1 }));
    assert_eq!(take(KEY_BYTES + 1), Ok(1));
    let largest = KEY_BYTES + TICKET_BYTES_MAX;
    assert_eq!(take(largest), Ok(TICKET_BYTES_MAX));
    assert_eq!(take(largest + 1), Err(LinkError::Malformed { bytes: largest + 1 }));
}

#[test]
fn secrets_do_not_show() {
    let keys = TicketKeys::new([1; 32]);
    assert_eq!(format!("{keys:?}"), "TicketKeys { .. }");
    assert_eq!(format!("{:?}", issued(&keys, 1_000)), "Ticket(112 bytes)");
}

proptest! {
    #[test]
    fn a_changed_ticket_is_refused(at: prop::sample::Index, bit in 0..8_u32) {
        let keys = TicketKeys::new([1; 32]);
        let mut sealed = issued(&keys, 1_000).sealed.clone();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(keys.open(&sealed, 0).err(), Some(LinkError::TicketInvalid));
    }

    #[test]
    fn any_bytes_are_refused_without_panic(
        sealed in prop::collection::vec(any::<u8>(), 0..2 * SEALED_BYTES),
    ) {
        let mut keys = TicketKeys::new([1; 32]);
        keys.rotate([2; 32]);
        prop_assert_eq!(keys.open(&sealed, 0).err(), Some(LinkError::TicketInvalid));
    }
}
