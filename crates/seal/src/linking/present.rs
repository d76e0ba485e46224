//! The side of the device that holds the account key.

use std::fmt;

use godwit_base::limits::DEVICES_MAX;
use godwit_base::{DeviceNumber, Handle};
use prost::Message;
use vodozemac::Curve25519PublicKey;
use vodozemac::hpke::{
    BidirectionalCreationResult, EstablishedHpkeChannel, InitialResponse, SenderCreationResult,
    UnidirectionalSenderChannel,
};

use super::code::LinkCode;
use super::{CheckDigits, LinkError, NONCE_BYTES, array, commitment, sender};
use crate::bundle::verified_upload;
use crate::device::KeyUpload;
use crate::format;
use crate::list::{DeviceEntry, DeviceList, read_entry};
use crate::verified::Verified;

/// What the present device says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// What the account is called.
    pub handle: &'a Handle,
    /// Its present device list.
    pub list: &'a Verified<DeviceList>,
    /// The server's key, of the join link.
    pub server_key: &'a [u8; 32],
}

/// The first step: message 1 has been made.
pub struct LinkApproval {
    channel: UnidirectionalSenderChannel,
    code: LinkCode,
    sender_key: [u8; 32],
    list: Verified<DeviceList>,
    number: DeviceNumber,
}

/// The second step: somebody who stands by the code wants to belong to the account.
pub struct LinkCandidate {
    pub(super) channel: EstablishedHpkeChannel,
    pub(super) code: LinkCode,
    list: Verified<DeviceList>,
    pub(super) entry: DeviceEntry,
    link_key: [u8; 32],
    first_keys: KeyUpload,
    digits: CheckDigits,
}

impl LinkApproval {
    /// Begins with a code that a person brought. Returns the next step and message 1.
    ///
    /// # Errors
    /// [`LinkError::AccountFull`]; [`LinkError::NotACode`] if its key cannot be one.
    pub fn begin(code: &LinkCode, present: Present<'_>) -> Result<(Self, Vec<u8>), LinkError> {
        let list = present.list;
        if list.entries().len() >= DEVICES_MAX {
            return Err(LinkError::AccountFull);
        }
        let next = list.highest_number().0.checked_add(1).ok_or(LinkError::AccountFull)?;
        let card = format::LinkCard {
            account_key: list.account_key().0.to_vec(),
            handle: present.handle.as_str().to_owned(),
            number: next,
            signed_list: list.signed().to_vec(),
            server_key: present.server_key.to_vec(),
        };
        let key = Curve25519PublicKey::from_bytes(*code.key());
        // It fails for keys of small order alone, which no right device shows.
        let SenderCreationResult { channel, message } = sender()
            .establish_channel(key, &card.encode_to_vec(), code.rendezvous())
            .map_err(|_| LinkError::NotACode)?;
        let approval = Self {
            channel,
            code: code.clone(),
            sender_key: message.encapsulated_key.to_bytes(),
            list: list.clone(),
            number: DeviceNumber(next),
        };
        Ok((approval, message.to_bytes()))
    }

    /// Hears message 1 of the new device.
    ///
    /// # Errors
    /// A [`LinkError`]: nothing is believed and the code is used up.
    pub fn hear_answer(self, message: &[u8]) -> Result<LinkCandidate, LinkError> {
        let message =
            InitialResponse::from_bytes(message).map_err(|_| LinkError::NotSealedForUs)?;
        let BidirectionalCreationResult { channel, message } = self
            .channel
            .establish_bidirectional_channel(&message, self.code.rendezvous())
            .map_err(|_| LinkError::NotSealedForUs)?;
        let answer =
            format::LinkAnswer::decode(message.as_slice()).map_err(|_| LinkError::Malformed)?;
        let nonce: [u8; NONCE_BYTES] = array(&answer.nonce)?;
        if commitment(self.code.key(), &nonce) != *self.code.rendezvous() {
            return Err(LinkError::NotCommitted);
        }
        let device = answer.device.ok_or(LinkError::Malformed)?;
        let entry = read_entry(self.list.account_key(), &device)?;
        if entry.number != self.number {
            return Err(LinkError::WrongNumber);
        }
        let owner = entry.peer(self.list.account_key());
        Ok(LinkCandidate {
            channel,
            digits: CheckDigits::of(self.code.key(), &self.sender_key, &nonce),
            code: self.code,
            list: self.list,
            link_key: array(&answer.link_key)?,
            first_keys: verified_upload(answer.one_time, answer.fallback, &owner)?,
            entry,
        })
    }
}

impl LinkCandidate {
    /// The digits to compare with those of the new device, before anything is signed.
    pub fn digits(&self) -> CheckDigits {
        self.digits
    }

    /// The number that the new device will have.
    pub fn number(&self) -> DeviceNumber {
        self.entry.number
    }

    /// The link key under which the server will know it.
    pub fn link_key(&self) -> &[u8; 32] {
        &self.link_key
    }

    /// Its first keys, signed by it: the list is published with them.
    pub fn first_keys(&self) -> &KeyUpload {
        &self.first_keys
    }

    /// The new device's entry, to be put on the next list after `list`, the account's list now. Only
    /// once the person has said that the digits are the same.
    ///
    /// # Errors
    /// [`LinkError::ListMoved`] if that is not the list that linking began with.
    pub fn entry(&self, list: &Verified<DeviceList>) -> Result<DeviceEntry, LinkError> {
        let is_same = *list == self.list;
        if is_same { Ok(self.entry.clone()) } else { Err(LinkError::ListMoved) }
    }

    /// Message 2, where the person says that the digits differ.
    pub fn refuse(mut self) -> Vec<u8> {
        let result = format::LinkResult { signed_list: Vec::new(), refused: true };
        self.channel.seal(&result.encode_to_vec(), self.code.rendezvous()).ciphertext
    }

    /// Message 2, once the next list is published.
    pub fn finish(mut self, list: &Verified<DeviceList>) -> Vec<u8> {
        let result = format::LinkResult { signed_list: list.signed().to_vec(), refused: false };
        self.channel.seal(&result.encode_to_vec(), self.code.rendezvous()).ciphertext
    }
}

impl fmt::Debug for LinkApproval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkApproval({} of {})", self.number.0, self.list.account())
    }
}

impl fmt::Debug for LinkCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkCandidate({} of {})", self.entry.number.0, self.list.account())
    }
}
