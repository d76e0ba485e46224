//! The devices of a run. All are derived from one seed, so that a worker process, or the same run
//! after a restart of the server, knows the same ones without being told their keys.

use bytes::Bytes;
use godwit_base::{AccountId, Handle};
use godwit_link::StaticKey;
use godwit_wire::v1;
use sha2::{Digest, Sha256};

/// Size of a signed device list of one device: 32 B of keys, number, version and a signature.
const SIGNED_LIST_BYTES: usize = 200;

/// Size of a signed key: suite, 32 B key, 64 B signature, id.
const SIGNED_KEY_BYTES: usize = 105;

/// All devices of a run, one an account, numbered from 0.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    seed: u64,
}

/// A device: the only one of its account.
pub struct Device {
    /// Identity key of the account: random bytes, for nobody verifies anything here.
    pub account_key: [u8; 32],
    /// Its account.
    pub account: AccountId,
    /// Its static key.
    pub link: StaticKey,
    /// The account's handle.
    pub handle: Handle,
}

/// The other one of a pair: device 0 and 1, 2 and 3, and so on write to each other, or look.
pub const fn neighbour_of(number: u32) -> u32 {
    number ^ 1
}

impl Cast {
    /// The cast that belongs to a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed that it belongs to.
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// The device with that number.
    pub fn device(self, number: u32) -> Device {
        let account_key = self.derive(number, "account");
        Device {
            account_key,
            account: AccountId::of_key(&account_key),
            link: StaticKey::from_bytes(self.derive(number, "link")),
            handle: handle(self.seed, number),
        }
    }

    fn derive(self, number: u32, what: &str) -> [u8; 32] {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .chain_update(what);
        digest.finalize().into()
    }
}

impl Device {
    /// Its registration. One one-time key and a fallback: no load here opens end-to-end sessions.
    pub fn registration(&self, request: u32) -> v1::Register {
        let key = |id: u8| Bytes::from(vec![id; SIGNED_KEY_BYTES]);
        v1::Register {
            request,
            handle: self.handle.to_string(),
            invite: String::new(),
            account_key: Bytes::copy_from_slice(&self.account_key),
            list: Some(v1::DeviceListUpload {
                version: 1,
                devices: vec![v1::DeviceRow {
                    number: 1,
                    link_key: Bytes::copy_from_slice(&self.link.public().0),
                }],
                signed: Bytes::from(vec![0; SIGNED_LIST_BYTES]),
            }),
            keys: Some(v1::KeyUpload {
                one_time: vec![v1::OneTimeKey { id: 1, signed: key(1) }],
                fallback: key(0),
            }),
        }
    }
}

#[expect(clippy::expect_used, reason = "1 + 16 + 1 + 10 characters at most: a test shows it")]
fn handle(seed: u64, number: u32) -> Handle {
    format!("b{seed:016x}-{number}").parse().expect("a handle")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_devices_again_and_others_make_others() {
        let (cast, same, other) = (Cast::new(7), Cast::new(7), Cast::new(8));
        assert_eq!(cast.device(3).link.public(), same.device(3).link.public());
        assert_eq!(cast.device(3).account, same.device(3).account);
        assert_ne!(cast.device(3).link.public(), cast.device(4).link.public());
        assert_ne!(cast.device(3).account, other.device(3).account);
    }

    #[test]
    fn everybody_has_one_neighbour_who_has_them() {
        for number in 0..10 {
            assert_ne!(neighbour_of(number), number);
            assert_eq!(neighbour_of(neighbour_of(number)), number);
        }
    }

    #[test]
    fn even_the_longest_handle_is_one() {
        assert_eq!(handle(u64::MAX, u32::MAX).as_str(), "bffffffffffffffff-4294967295");
    }
}
