//! Tickets: what the link granted, sealed by the server for itself, to be shown over HTTP. The network
//! sees them and learns nothing from them but that they are tickets.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use godwit_base::{AccountId, BlobId, DeviceId, DeviceNumber};
use zeroize::Zeroizing;

/// First byte inside.
const VERSION: u8 = 1;

/// Keeps these tickets apart from anything else that could be sealed under the key.
const ASSOCIATED: &[u8] = b"godwit media ticket 1";

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// What a ticket allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) way: Way,
    pub(super) device: DeviceId,
    pub(super) blob: BlobId,
    /// Length of the file.
    pub(super) bytes: u64,
}

/// Seals and opens tickets. The key lives as long as the process, and goes on into the one that takes
/// over: after a restart a device asks for another ticket over its link, which it has to dial anew anyway.
pub(super) struct TicketBox {
    sealer: RandomizedNonceKey,
    key: TicketBoxKey,
}

/// The key of a [`TicketBox`].
pub(crate) type TicketBoxKey = Zeroizing<[u8; 32]>;

impl TicketBox {
    /// With this key, or a new one. None if the machine gives no randomness.
    pub(super) fn new(key: Option<TicketBoxKey>) -> Option<Self> {
        let key = match key {
            Some(key) => key,
            None => {
                let mut key = TicketBoxKey::default();
                aws_lc_rs::rand::fill(key.as_mut_slice()).ok()?;
                key
            }
        };
        let sealer = RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).ok()?;
        Some(Self { sealer, key })
    }

    /// For the process that takes over.
    pub(super) fn key(&self) -> &TicketBoxKey {
        &self.key
    }

    /// Nonce, ciphertext, tag. None if the machine gives no randomness.
    pub(super) fn seal(&self, pass: &Pass, expires_ms: u64) -> Option<Vec<u8>> {
        let way = match pass.way {
            Way::Up => 1,
            Way::Down => 2,
        };
        let mut inside = vec![VERSION, way];
        inside.extend_from_slice(&pass.device.account.0.to_be_bytes());
        inside.extend_from_slice(&pass.device.number.0.to_be_bytes());
        inside.extend_from_slice(&pass.blob.0);
        inside.extend_from_slice(&pass.bytes.to_be_bytes());
        inside.extend_from_slice(&expires_ms.to_be_bytes());
        let nonce =
            self.sealer.seal_in_place_append_tag(Aad::from(ASSOCIATED), &mut inside).ok()?;
        Some([nonce.as_ref().as_slice(), &inside].concat())
    }

    /// What a ticket allows; none if it is not ours, was changed, or is over.
    pub(super) fn open(&self, ticket: &[u8], now_ms: u64) -> Option<Pass> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let inside = self.sealer.open_in_place(nonce, Aad::from(ASSOCIATED), &mut sealed).ok()?;
        let (head, rest) = inside.split_first_chunk::<2>()?;
        let (account, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (blob, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let expires_ms = u64::from_be_bytes(rest.try_into().ok()?);
        let way = match *head {
            [VERSION, 1] => Way::Up,
            [VERSION, 2] => Way::Down,
            _ => return None,
        };
        (expires_ms > now_ms).then_some(Pass {
            way,
            device: DeviceId {
                account: AccountId(u64::from_be_bytes(*account)),
                number: DeviceNumber(u32::from_be_bytes(*number)),
            },
            blob: BlobId(*blob),
            bytes: u64::from_be_bytes(*bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: Pass = Pass {
        way: Way::Up,
        device: DeviceId { account: AccountId(u64::MAX), number: DeviceNumber(7) },
        blob: BlobId([9; 32]),
        bytes: 1 << 33,
    };

    #[test]
    fn a_ticket_says_what_was_granted_until_it_is_over() {
        let tickets = TicketBox::new(None).unwrap();
        for pass in [PASS, Pass { way: Way::Down, ..PASS }] {
            let ticket = tickets.seal(&pass, 1_000).unwrap();
            assert!(ticket.len() <= godwit_wire::MEDIA_TICKET_BYTES_MAX);
            assert_eq!(tickets.open(&ticket, 999), Some(pass));
            assert_eq!(tickets.open(&ticket, 1_000), None, "over");
        }
        assert_ne!(
            tickets.seal(&PASS, 1),
            tickets.seal(&PASS, 1),
            "nobody sees that two are one's"
        );
    }

    #[test]
    fn a_changed_or_foreign_ticket_is_none() {
        let tickets = TicketBox::new(None).unwrap();
        let ticket = tickets.seal(&PASS, 1_000).unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.open(&changed, 0), None, "{at}");
        }
        assert_eq!(tickets.open(&ticket[..ticket.len() - 1], 0), None);
        assert_eq!(tickets.open(&[], 0), None);
        assert_eq!(TicketBox::new(None).unwrap().open(&ticket, 0), None, "of another process");
        let takes_over = TicketBox::new(Some(tickets.key().clone())).unwrap();
        assert!(takes_over.open(&ticket, 0).is_some(), "of the one that it took over from");
    }
}
