//! The suite byte, and how signed and hashed things are told apart.

use sha2::{Digest, Sha256};

/// The one suite spoken so far: Ed25519 signatures, X25519, Olm with full 32-byte tags (session
/// configuration 2). 2 is reserved for the same with ML-KEM-768 mixed in.
pub const SUITE: u8 = 1;

/// What a signature or hash is about. Its text comes first, so that bytes made for one purpose
/// never pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    DeviceList,
    DeviceListContent,
    Device,
    OneTimeKey,
    FallbackKey,
    Binding,
    Session,
    Group,
    GroupEntry,
    GroupEntryContent,
    GroupJoin,
    GroupInviteSign,
    GroupInviteWrap,
    GroupInviteDoor,
    GroupBinding,
    GroupCopyBinding,
    LinkRendezvous,
    LinkCode,
    LinkCheck,
}

impl Domain {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::DeviceList => b"godwit/devlist/1\0",
            Self::DeviceListContent => b"godwit/devlist-content/1\0",
            Self::Device => b"godwit/device/1\0",
            Self::OneTimeKey => b"godwit/one-time/1\0",
            Self::FallbackKey => b"godwit/fallback/1\0",
            Self::Binding => b"godwit/binding/1\0",
            Self::Session => b"godwit/session/1\0",
            Self::Group => b"godwit/group/1\0",
            Self::GroupEntry => b"godwit/group-entry/1\0",
            Self::GroupEntryContent => b"godwit/group-entry-content/1\0",
            Self::GroupJoin => b"godwit/group-join/1\0",
            Self::GroupInviteSign => b"godwit/group-invite-sign/1\0",
            Self::GroupInviteWrap => b"godwit/group-invite-wrap/1\0",
            Self::GroupInviteDoor => b"godwit/group-invite-door/1\0",
            Self::GroupBinding => b"godwit/group-binding/1\0",
            Self::GroupCopyBinding => b"godwit/group-copy-binding/1\0",
            Self::LinkRendezvous => b"godwit/link-rendezvous/1\0",
            Self::LinkCode => b"godwit/link-code/1\0",
            Self::LinkCheck => b"godwit/link-check/1\0",
        }
    }

    /// Domain, suite, then the parts one after another. All parts but the last have a fixed
    /// length, so that no two lists of parts give the same bytes.
    pub(crate) fn bytes(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.text().to_vec();
        bytes.push(SUITE);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// SHA-256 over [`Domain::bytes`].
    pub(crate) fn hash(self, parts: &[&[u8]]) -> [u8; 32] {
        Sha256::digest(self.bytes(parts)).into()
    }
}

/// The rest after the suite byte, or the suite that we do not speak.
pub(crate) fn strip(blob: &[u8]) -> Result<&[u8], Option<u8>> {
    match blob.split_first() {
        Some((&SUITE, rest)) => Ok(rest),
        Some((&other, _)) => Err(Some(other)),
        None => Err(None),
    }
}

/// The suite byte, then `message`.
pub(crate) fn prefix(message: &impl prost::Message) -> Vec<u8> {
    let mut blob = Vec::with_capacity(1 + message.encoded_len());
    blob.push(SUITE);
    message.encode_raw(&mut blob);
    blob
}
