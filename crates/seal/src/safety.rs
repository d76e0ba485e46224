//! The safety number: what two people compare to know that nobody stands between.

use sha2::{Digest, Sha512};

use crate::account::AccountPublic;

/// Rounds of SHA-512 for each half: makes a search for a colliding key 5,200 times dearer.
const ROUNDS: usize = 5_200;

/// Version of the digits and of the QR code.
const VERSION: u8 = 1;

/// Bytes of the QR code: version, then key and list version of each side.
const QR_BYTES: usize = 1 + 2 * (32 + 8);

/// One side of the comparison: an account as this device knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// The account's key.
    pub account_key: AccountPublic,
    /// The version of its device list.
    pub list_version: u64,
}

/// The safety number of two accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    /// 60 digits, the same at both sides.
    pub digits: String,
    /// What this side's QR code holds, 81 bytes; the other side's holds the same, sides swapped.
    pub qr: Vec<u8>,
}

/// What a scanned code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QrMatch {
    /// Both see the same keys and the same device lists.
    Same,
    /// The keys are the same; one side has not seen the other's newest device list yet.
    SameKeysOtherLists,
    /// The keys differ: somebody stands between, or it is the code of another chat.
    Different,
    /// Not a code that this version reads.
    Unreadable,
}

impl SafetyNumber {
    /// The number for the chat between `mine` and `theirs`.
    pub fn of(mine: &Side, theirs: &Side) -> Self {
        let mut halves = [half(&mine.account_key), half(&theirs.account_key)];
        halves.sort();
        Self { digits: halves.concat(), qr: qr(mine, theirs) }
    }

    /// The digits in groups of five, as they are read aloud.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let starts = (0..self.digits.len()).step_by(5);
        starts.filter_map(|start| self.digits.get(start..start.saturating_add(5)))
    }

    /// Compares the code on the other side's screen with what this side knows.
    pub fn compare(mine: &Side, theirs: &Side, scanned: &[u8]) -> QrMatch {
        if scanned.len() != QR_BYTES || scanned.first() != Some(&VERSION) {
            return QrMatch::Unreadable;
        }
        let expected = qr(theirs, mine);
        if scanned == expected {
            return QrMatch::Same;
        }
        if keys_of(scanned).eq(keys_of(&expected)) {
            QrMatch::SameKeysOtherLists
        } else {
            QrMatch::Different
        }
    }
}

/// 30 digits of one account: 6 groups of 5 bytes, each modulo 100,000.
fn half(key: &AccountPublic) -> String {
    let id = key.id().0.to_be_bytes();
    let mut hash =
        Sha512::new().chain_update([VERSION]).chain_update(id).chain_update(key.0).finalize();
    for _ in 1..ROUNDS {
        hash = Sha512::new().chain_update(hash).chain_update(key.0).finalize();
    }
    let group = |bytes: &[u8]| {
        let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        format!("{:05}", number % 100_000)
    };
    hash.chunks_exact(5).take(6).map(group).collect()
}

fn qr(first: &Side, second: &Side) -> Vec<u8> {
    let mut code = vec![VERSION];
    for side in [first, second] {
        code.extend_from_slice(&side.account_key.0);
        code.extend_from_slice(&side.list_version.to_be_bytes());
    }
    code
}

fn keys_of(code: &[u8]) -> impl Iterator<Item = &[u8]> {
    [1..33, 41..73].into_iter().filter_map(|range| code.get(range))
}
