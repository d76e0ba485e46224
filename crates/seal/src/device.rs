//! The keys of this device: who it is, and the keys by which others open sessions with it.

mod fallback;

use std::fmt;

use godwit_base::limits::ONE_TIME_KEYS_MAX;
use godwit_base::{DeviceId, DeviceNumber};
use serde::{Deserialize, Serialize};
use vodozemac::olm::{Account, AccountPickle};

use crate::account::AccountPublic;
use crate::bundle::signed_key;
use crate::list::{DeviceEntry, OUR_SUITES, Peer, consent_bytes};
use crate::row::{RowError, RowKey};
use crate::suite::Domain;

use fallback::Fallbacks;
pub use fallback::{FALLBACK_KEEP_MS, FALLBACK_ROTATE_MS};

/// Table name under which [`DeviceKeys::to_row`] seals.
const TABLE: &str = "device_keys";

/// All secret keys of this device but the link key. They cannot be printed.
///
/// A plain value: every change is lost unless the caller stores [`DeviceKeys::to_row`]. It must
/// never be copied to another machine or restored from an old copy, since then two installations
/// use one set of keys; a restored installation registers as a new device.
pub struct DeviceKeys {
    olm: Account,
    account: AccountPublic,
    number: DeviceNumber,
    next_key_id: u64,
    unpublished: Vec<OneTimeKey>,
    fallbacks: Fallbacks,
}

#[derive(Clone, Serialize, Deserialize)]
struct OneTimeKey {
    id: u64,
    key: [u8; 32],
}

/// What a device uploads: blobs that the server hands out unread.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyUpload {
    /// Signed one-time keys with their ids, ascending.
    pub one_time: Vec<(u64, Vec<u8>)>,
    /// The signed fallback key, if it is new.
    pub fallback: Option<Vec<u8>>,
}

/// The row of [`DeviceKeys`].
#[derive(Serialize, Deserialize)]
struct Stored<O> {
    olm: O,
    account: AccountPublic,
    number: DeviceNumber,
    next_key_id: u64,
    unpublished: Vec<OneTimeKey>,
    fallbacks: Fallbacks,
}

impl DeviceKeys {
    /// New keys for device `number` of `account`, with a first fallback key and a full set of
    /// one-time keys, none published yet.
    pub fn create(account: &AccountPublic, number: DeviceNumber, now_ms: u64) -> Self {
        let mut device = Self {
            olm: Account::new(),
            account: *account,
            number,
            next_key_id: 1,
            unpublished: Vec::new(),
            fallbacks: Fallbacks::default(),
        };
        device.rotate_fallback(now_ms);
        device.top_up(0);
        device
    }

    /// This device's address.
    pub fn id(&self) -> DeviceId {
        DeviceId { account: self.account.id(), number: self.number }
    }

    /// The account it belongs to.
    pub fn account_key(&self) -> &AccountPublic {
        &self.account
    }

    /// The public description for the account's device list, with this device's consent to belong
    /// to the account.
    pub fn describe(&self) -> DeviceEntry {
        let me = self.as_peer();
        let consent = self.sign(&consent_bytes(&self.account, self.number.0, &me.dh_key));
        DeviceEntry {
            number: self.number,
            signing_key: me.signing_key,
            dh_key: me.dh_key,
            suites: OUR_SUITES.to_vec(),
            consent: consent.to_vec(),
        }
    }

    /// Makes one-time keys so that, with `left_on_server`, there are [`ONE_TIME_KEYS_MAX`].
    /// Returns how many are new. They are part of [`DeviceKeys::upload`] from then on.
    pub fn top_up(&mut self, left_on_server: usize) -> usize {
        let have = left_on_server.saturating_add(self.unpublished.len());
        let count = ONE_TIME_KEYS_MAX.saturating_sub(have);
        let made = self.olm.generate_one_time_keys(count);
        // The library forgets the oldest keys above 5,000; never publish what is forgotten.
        self.unpublished.retain(|one| made.removed.iter().all(|gone| *gone.as_bytes() != one.key));
        for key in made.created {
            self.unpublished.push(OneTimeKey { id: self.next_key_id, key: key.to_bytes() });
            self.next_key_id = self.next_key_id.saturating_add(1);
        }
        self.olm.mark_keys_as_published(); // we keep that account ourselves, by id
        count
    }

    /// Makes a new fallback key if there is none or the present one is [`FALLBACK_ROTATE_MS`] old.
    /// Returns whether it did; the one before stays usable for [`FALLBACK_KEEP_MS`].
    pub fn rotate_fallback(&mut self, now_ms: u64) -> bool {
        self.fallbacks.rotate(&mut self.olm, &mut self.next_key_id, now_ms)
    }

    /// Forgets the previous fallback key once no message for it can still wait in a mailbox.
    /// Returns whether the row changed.
    pub fn tidy(&mut self, now_ms: u64) -> bool {
        self.fallbacks.tidy(&mut self.olm, now_ms)
    }

    /// Everything that is not on the server yet, each key signed at each call. The same bytes each time
    /// until [`DeviceKeys::mark_published`]. Store the row before it leaves.
    pub fn upload(&self) -> KeyUpload {
        let one_time = self
            .unpublished
            .iter()
            .map(|one| (one.id, signed_key(self, Domain::OneTimeKey, one.id, &one.key, 0)));
        KeyUpload { one_time: one_time.collect(), fallback: self.signed_fallback() }
    }

    /// Whether the server has all of it, so that [`DeviceKeys::upload`] is empty. Signs nothing.
    pub fn is_published(&self) -> bool {
        self.unpublished.is_empty() && self.fallbacks.unpublished().is_none()
    }

    /// The server has everything that there is.
    pub fn mark_all_published(&mut self) {
        self.unpublished.clear();
        self.fallbacks.mark_published();
    }

    /// The server has everything in `uploaded` durably. Keys made since stay unpublished.
    pub fn mark_published(&mut self, uploaded: &KeyUpload) {
        self.unpublished.retain(|one| uploaded.one_time.iter().all(|(id, _)| *id != one.id));
        if uploaded.fallback.is_some() && uploaded.fallback == self.signed_fallback() {
            self.fallbacks.mark_published();
        }
    }

    fn signed_fallback(&self) -> Option<Vec<u8>> {
        let key = self.fallbacks.unpublished()?;
        Some(signed_key(self, Domain::FallbackKey, key.id, &key.key, key.created_at_ms))
    }

    /// The keys as a sealed row. They must be stored before an upload leaves.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        #[allow(clippy::disallowed_methods, reason = "the row is the one place that stores it")]
        let olm = self.olm.pickle();
        let stored = Stored {
            olm,
            account: self.account,
            number: self.number,
            next_key_id: self.next_key_id,
            unpublished: self.unpublished.clone(),
            fallbacks: self.fallbacks.clone(),
        };
        row_key.seal_value(TABLE, b"", &stored)
    }

    /// Reads what [`DeviceKeys::to_row`] wrote.
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed.
    pub fn from_row(row_key: &RowKey, row: &[u8]) -> Result<Self, RowError> {
        let stored: Stored<AccountPickle> = row_key.open_value(TABLE, b"", row)?;
        Ok(Self {
            olm: Account::from_pickle(stored.olm),
            account: stored.account,
            number: stored.number,
            next_key_id: stored.next_key_id,
            unpublished: stored.unpublished,
            fallbacks: stored.fallbacks,
        })
    }

    /// This device as its peers see it.
    pub(crate) fn as_peer(&self) -> Peer {
        let keys = self.olm.identity_keys();
        Peer {
            account: self.account,
            number: self.number,
            signing_key: *keys.ed25519.as_bytes(),
            dh_key: keys.curve25519.to_bytes(),
        }
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.olm.sign(bytes).to_bytes()
    }

    pub(crate) fn olm(&self) -> &Account {
        &self.olm
    }

    pub(crate) fn olm_mut(&mut self) -> &mut Account {
        &mut self.olm
    }

    /// The id of the fallback key that this public key is, if it is one that still lives.
    pub(crate) fn fallback_id(&self, key: &[u8; 32]) -> Option<u64> {
        self.fallbacks.id_of(key)
    }

    /// Whether messages under this fallback key can still be opened.
    pub(crate) fn fallback_lives(&self, id: u64) -> bool {
        self.fallbacks.lives(id)
    }

    /// A one-time key was used, so the server has it even if its answer to the upload was lost.
    pub(crate) fn forget_one_time(&mut self, key: &[u8; 32]) {
        self.unpublished.retain(|one| one.key != *key);
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys(secrets of {})", self.id())
    }
}
