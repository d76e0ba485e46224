//! The fallback key: given out when the one-time keys have run out, never deleted on use.

use serde::{Deserialize, Serialize};
use vodozemac::olm::Account;

/// Age at which the fallback key is replaced, 30 days. The library keeps two, so that the one
/// before must be out of use when the next comes: not shorter than [`FALLBACK_KEEP_MS`].
pub const FALLBACK_ROTATE_MS: u64 = 30 * 24 * 3600 * 1000;

/// How long a replaced fallback key still opens messages: the 30 days that one may wait in a
/// mailbox ([`godwit_base::limits::EXPIRY_DAYS`]).
pub const FALLBACK_KEEP_MS: u64 = godwit_base::limits::EXPIRY_DAYS * 24 * 3600 * 1000;

const _: () = assert!(FALLBACK_ROTATE_MS >= FALLBACK_KEEP_MS);

/// The public side of the fallback keys that the Olm account holds.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Fallbacks {
    current: Option<FallbackKey>,
    previous: Option<FallbackKey>,
    published: bool,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct FallbackKey {
    pub(super) id: u64,
    pub(super) key: [u8; 32],
    pub(super) created_at_ms: u64,
}

impl Fallbacks {
    pub(super) fn rotate(&mut self, olm: &mut Account, next_id: &mut u64, now_ms: u64) -> bool {
        self.tidy(olm, now_ms);
        let is_due = self.current.as_ref().is_none_or(|current| {
            now_ms.saturating_sub(current.created_at_ms) >= FALLBACK_ROTATE_MS
        });
        if !is_due {
            return false;
        }
        olm.generate_fallback_key();
        let Some(key) = olm.fallback_key().into_values().next() else { return false };
        olm.mark_keys_as_published(); // we keep that account ourselves
        self.previous = self.current.take();
        self.current =
            Some(FallbackKey { id: *next_id, key: key.to_bytes(), created_at_ms: now_ms });
        self.published = false;
        *next_id = next_id.saturating_add(1);
        true
    }

    /// The previous key was replaced when the current one was made.
    pub(super) fn tidy(&mut self, olm: &mut Account, now_ms: u64) -> bool {
        let replaced_at_ms = self.current.as_ref().map_or(0, |current| current.created_at_ms);
        let is_over = now_ms.saturating_sub(replaced_at_ms) >= FALLBACK_KEEP_MS;
        if self.previous.is_none() || !is_over {
            return false;
        }
        olm.forget_fallback_key();
        self.previous = None;
        true
    }

    pub(super) fn unpublished(&self) -> Option<&FallbackKey> {
        self.current.as_ref().filter(|_| !self.published)
    }

    pub(super) fn mark_published(&mut self) {
        self.published = true;
    }

    pub(super) fn id_of(&self, key: &[u8; 32]) -> Option<u64> {
        self.living().find(|known| known.key == *key).map(|known| known.id)
    }

    pub(super) fn lives(&self, id: u64) -> bool {
        self.living().any(|known| known.id == id)
    }

    fn living(&self) -> impl Iterator<Item = &FallbackKey> {
        self.current.iter().chain(&self.previous)
    }
}
