//! The link by which people join: 32 secret bytes, never seen by the server.

use std::fmt;

use godwit_base::GroupId;
use sha2::{Digest, Sha256};
use vodozemac::Ed25519SecretKey;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::entry::{Change, InviteOffer};
use super::secret::GroupSecret;
use crate::account::AccountPublic;
use crate::device::DeviceKeys;
use crate::row::{RowError, RowKey};
use crate::suite::Domain;

/// Where the group's secret is sealed, for [`RowKey`].
const PLACE: &str = "group_invite";

/// What a link holds beside the group's id. It is wiped when dropped and cannot be printed.
///
/// The log holds a public key made from it, not a hash: a proof of a hash would show the secret to
/// the server, which could then add whom it likes.
#[derive(ZeroizeOnDrop)]
pub struct InviteSecret(Zeroizing<[u8; 32]>);

impl InviteSecret {
    /// A new random link.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn generate() -> Result<Self, RowError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|_| RowError::Entropy)?;
        Ok(Self(bytes))
    }

    /// The link of these bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes, for the link's text.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// What the log holds of the link: whoever has it can read the group's name and join.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn offer(&self, secret: &GroupSecret) -> Result<InviteOffer, RowError> {
        let generation = secret.generation();
        let sealed = self.wrap().seal(PLACE, &generation.to_be_bytes(), &*secret.to_bytes())?;
        let (key, door) =
            (*self.key().public_key().as_bytes(), Sha256::digest(*self.token()).into());
        Ok(InviteOffer { key, generation, door, sealed })
    }

    /// Whether the offer in the log is of this link, and not of a later one.
    pub fn is_offered(&self, offer: &InviteOffer) -> bool {
        *self.key().public_key().as_bytes() == offer.key
    }

    /// The group's secret, from a link that is the one offered.
    pub fn open(&self, offer: &InviteOffer) -> Option<GroupSecret> {
        let place = offer.generation.to_be_bytes();
        let bytes = self.wrap().open(PLACE, &place, &offer.sealed).ok()?;
        let bytes: &[u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(GroupSecret::from_bytes(offer.generation, bytes))
    }

    /// The change by which this device's account joins.
    pub fn join(&self, group: GroupId, me: &DeviceKeys) -> Change {
        let bytes = join_bytes(group, me.account_key());
        Change::Join(self.key().sign(&bytes).to_bytes())
    }

    /// What is shown to the server, so that it lets in only who has the link. It opens and signs
    /// nothing.
    pub fn token(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(Domain::GroupInviteDoor.hash(&[self.0.as_slice()]))
    }

    fn key(&self) -> Ed25519SecretKey {
        let seed = Zeroizing::new(Domain::GroupInviteSign.hash(&[self.0.as_slice()]));
        Ed25519SecretKey::from_slice(&seed)
    }

    fn wrap(&self) -> RowKey {
        let key = Zeroizing::new(Domain::GroupInviteWrap.hash(&[self.0.as_slice()]));
        RowKey::from_bytes(&key)
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(secret)")
    }
}

/// What a link signs for one who joins.
pub(super) fn join_bytes(group: GroupId, account: &AccountPublic) -> Vec<u8> {
    Domain::GroupJoin.bytes(&[&group.0, &account.0])
}
