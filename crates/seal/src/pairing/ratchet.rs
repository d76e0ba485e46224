//! The one place that touches an Olm session: always configuration 2, always tried on a copy.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{
    Account, DecryptionError, Message, OlmMessage, PreKeyMessage, Session, SessionConfig,
    SessionCreationError, SessionKeys, SessionPickle,
};
use zeroize::Zeroizing;

use super::SessionId;
use crate::bundle::Bundle;
use crate::device::DeviceKeys;
use crate::error::{OpenError, SealError};
use crate::list::Peer;
use crate::suite::Domain;

/// Full 32-byte tags. The library's default is configuration 1, with 8-byte tags.
const CONFIG: SessionConfig = SessionConfig::version_2();

/// First byte of an Olm message under configuration 2.
const MESSAGE_VERSION: u8 = 4;

type Text = Zeroizing<Vec<u8>>;

pub(super) struct Ratchet(Session);

/// A parsed message, not opened yet.
pub(super) enum Arrived {
    Opening(PreKeyMessage),
    Settled(Message),
}

impl Ratchet {
    pub(super) fn outbound(me: &DeviceKeys, bundle: &Bundle) -> Result<Self, SealError> {
        me.olm()
            .create_outbound_session(
                CONFIG,
                Curve25519PublicKey::from_bytes(bundle.peer.dh_key),
                Curve25519PublicKey::from_bytes(bundle.key),
            )
            .map(Self)
            .map_err(|_| SealError::UnsafeKey)
    }

    /// Opens a session by its first message and hands both to `accept`. If that refuses, the
    /// one-time key is back in the account as if nothing had come.
    pub(super) fn inbound<T>(
        account: &mut Account,
        from: &Peer,
        message: &PreKeyMessage,
        accept: impl FnOnce(&[u8]) -> Result<T, OpenError>,
    ) -> Result<(Self, T), OpenError> {
        #[allow(clippy::disallowed_methods, reason = "kept for the length of this call, unsaved")]
        let before = account.pickle();
        let created = account
            .create_inbound_session(CONFIG, Curve25519PublicKey::from_bytes(from.dh_key), message)
            .map_err(creation_error)?;
        let text = Zeroizing::new(created.plaintext);
        match accept(&text) {
            Ok(accepted) => Ok((Self(created.session), accepted)),
            Err(refused) => {
                *account = Account::from_pickle(before);
                Err(refused)
            }
        }
    }

    /// Opens a message on a copy and returns the copy: a failed decryption may have moved it.
    pub(super) fn open(&self, message: &OlmMessage) -> Result<(Self, Text), OpenError> {
        let mut trial = self.copy();
        let text = trial.0.decrypt(message).map_err(|error| decryption_error(&error))?;
        Ok((trial, Zeroizing::new(text)))
    }

    /// Appends the sealed text to `out`.
    pub(super) fn seal(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let message = self.0.encrypt(text).map_err(|_| SealError::UnsafeKey)?;
        let bytes = match message {
            OlmMessage::Normal(message) => message.to_bytes(),
            OlmMessage::PreKey(message) => message.to_bytes(),
        };
        out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Whether the next message opens the session at the peer: it has answered nothing yet.
    pub(super) fn is_opening(&self) -> bool {
        !self.0.has_received_message()
    }

    pub(super) fn id(&self) -> SessionId {
        session_id(&self.0.session_keys())
    }

    fn copy(&self) -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one copy, and one of the two is dropped")]
        let pickle = self.0.pickle();
        Self(Session::from_pickle(pickle))
    }
}

impl Arrived {
    /// Parses a message; configuration 1 is refused here, before any key is touched.
    pub(super) fn parse(opening: bool, bytes: &[u8]) -> Result<Self, OpenError> {
        let (arrived, version) = if opening {
            let message = PreKeyMessage::from_bytes(bytes).map_err(|_| OpenError::Malformed)?;
            let version = message.message().version();
            (Self::Opening(message), version)
        } else {
            let message = Message::from_bytes(bytes).map_err(|_| OpenError::Malformed)?;
            let version = message.version();
            (Self::Settled(message), version)
        };
        if version == MESSAGE_VERSION { Ok(arrived) } else { Err(OpenError::Malformed) }
    }
}

pub(super) fn session_id(keys: &SessionKeys) -> SessionId {
    SessionId(Domain::Session.hash(&[
        keys.identity_key.as_bytes(),
        keys.base_key.as_bytes(),
        keys.one_time_key.as_bytes(),
    ]))
}

fn creation_error(error: SessionCreationError) -> OpenError {
    match error {
        SessionCreationError::MissingOneTimeKey(_) => OpenError::KeyUsed,
        SessionCreationError::MismatchedIdentityKey(..) => OpenError::WrongIdentity,
        SessionCreationError::MismatchedSessionConfig { .. } => OpenError::Malformed,
        SessionCreationError::Decryption(error) => decryption_error(&error),
        SessionCreationError::NonContributoryKey => OpenError::UnsafeKey,
    }
}

fn decryption_error(error: &DecryptionError) -> OpenError {
    match error {
        DecryptionError::InvalidMAC(_) | DecryptionError::InvalidMACLength(..) => OpenError::Forged,
        DecryptionError::InvalidPadding(_) => OpenError::Malformed,
        DecryptionError::NonContributoryKey => OpenError::UnsafeKey,
        DecryptionError::MissingMessageKey(_) => OpenError::KeyGone,
        DecryptionError::TooBigMessageGap(..) => OpenError::GapTooBig,
    }
}

impl Serialize for Ratchet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[allow(clippy::disallowed_methods, reason = "the row is the one place that stores it")]
        let pickle = self.0.pickle();
        pickle.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Ratchet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let session = Session::from_pickle(SessionPickle::deserialize(from)?);
        if session.session_config() == CONFIG {
            Ok(Self(session))
        } else {
            Err(D::Error::custom("a session of configuration 1"))
        }
    }
}
