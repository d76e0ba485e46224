//! The side of the device that is to be linked.

use std::fmt;

use godwit_base::limits::ONE_TIME_KEYS_LOW;
use godwit_base::{AccountId, DeviceNumber, Handle};
use prost::Message;
use vodozemac::hpke::{
    BidirectionalCreationResult, EstablishedHpkeChannel, HpkeRecipientChannel, InitialMessage,
    Message as Sealed, RecipientCreationResult,
};
use zeroize::Zeroizing;

use super::code::LinkCode;
use super::{CheckDigits, HPKE_INFO, LinkError, NONCE_BYTES, array, commitment};
use crate::account::AccountPublic;
use crate::device::DeviceKeys;
use crate::format;
use crate::list::{DeviceEntry, DeviceList, Trust, to_format};
use crate::verified::Verified;

/// One-time keys that the new device gives along, 40: so many contacts may write to it before it has
/// spoken itself, and it need not top up at once. With 104 bytes each they leave two thirds of the
/// 12 KiB that a rendezvous takes.
const FIRST_ONE_TIME_KEYS: usize = 40;

const _: () = assert!(FIRST_ONE_TIME_KEYS >= ONE_TIME_KEYS_LOW);

/// The first step: a code to show. Its secrets are wiped when dropped and cannot be printed.
pub struct LinkOffer {
    channel: HpkeRecipientChannel,
    nonce: Zeroizing<[u8; NONCE_BYTES]>,
    code: LinkCode,
}

/// The second step: it knows which account it may belong to, and waits for the list.
pub struct LinkJoining {
    channel: EstablishedHpkeChannel,
    rendezvous: [u8; super::RENDEZVOUS_BYTES],
    device: DeviceKeys,
    handle: Handle,
    list: Verified<DeviceList>,
    digits: CheckDigits,
}

/// The device belongs to the account.
#[derive(Debug)]
pub struct Linked {
    /// All its secret keys, nothing of them published yet.
    pub device: DeviceKeys,
    /// What the account is called.
    pub handle: Handle,
    /// The list that has this device.
    pub list: Verified<DeviceList>,
}

impl LinkOffer {
    /// New random keys for one attempt.
    ///
    /// # Errors
    /// [`LinkError::Entropy`] if the machine gives no randomness.
    pub fn new() -> Result<Self, LinkError> {
        let mut nonce = Zeroizing::new([0; NONCE_BYTES]);
        getrandom::fill(nonce.as_mut()).map_err(|_| LinkError::Entropy)?;
        let channel = HpkeRecipientChannel::with_info(HPKE_INFO);
        let key = channel.public_key().to_bytes();
        let code = LinkCode::new(commitment(&key, &nonce), key);
        Ok(Self { channel, nonce, code })
    }

    /// The code to show.
    pub fn code(&self) -> &LinkCode {
        &self.code
    }

    /// Hears message 1 of the present device. `server_key` is the server's as this device knows it,
    /// `link_key` the public link key under which this device will be known. Returns the next step
    /// and message 1 of this side.
    ///
    /// # Errors
    /// A [`LinkError`]: nothing is believed and the code is used up.
    pub fn hear_card(
        self,
        message: &[u8],
        server_key: &[u8; 32],
        link_key: &[u8; 32],
        now_ms: u64,
    ) -> Result<(LinkJoining, Vec<u8>), LinkError> {
        let rendezvous = *self.code.rendezvous();
        let message = InitialMessage::from_bytes(message).map_err(|_| LinkError::NotSealedForUs)?;
        let sender_key = message.encapsulated_key.to_bytes();
        let RecipientCreationResult { channel, message } = self
            .channel
            .establish_channel(&message, &rendezvous)
            .map_err(|_| LinkError::NotSealedForUs)?;
        let card = Card::read(&message, server_key, now_ms)?;
        let device = DeviceKeys::create(&card.account, card.number, now_ms);
        let keys = device.upload();
        let one_time = keys.one_time.into_iter().take(FIRST_ONE_TIME_KEYS);
        let answer = format::LinkAnswer {
            nonce: self.nonce.to_vec(),
            device: Some(to_format(&device.describe())),
            link_key: link_key.to_vec(),
            one_time: one_time.map(|(_, signed)| signed).collect(),
            fallback: keys.fallback.unwrap_or_default(),
        };
        let plaintext = Zeroizing::new(answer.encode_to_vec());
        let BidirectionalCreationResult { channel, message } =
            channel.establish_bidirectional_channel(&plaintext, &rendezvous);
        let digits = CheckDigits::of(self.code.key(), &sender_key, &self.nonce);
        let Card { handle, list, .. } = card;
        Ok((LinkJoining { channel, rendezvous, device, handle, list, digits }, message.to_bytes()))
    }
}

/// Devices that lie, for tests.
#[cfg(test)]
impl LinkOffer {
    pub(super) fn ground_out(&mut self, nonce: [u8; NONCE_BYTES]) {
        *self.nonce = nonce;
    }

    pub(super) fn answers(
        self,
        card: &[u8],
        says: impl FnOnce(Vec<u8>) -> format::LinkAnswer,
    ) -> Vec<u8> {
        let message = InitialMessage::from_bytes(card).unwrap();
        let rendezvous = *self.code.rendezvous();
        let created = self.channel.establish_channel(&message, &rendezvous).unwrap();
        let plaintext = says(self.nonce.to_vec()).encode_to_vec();
        let established = created.channel.establish_bidirectional_channel(&plaintext, &rendezvous);
        established.message.to_bytes()
    }
}

/// What the present device says of itself, checked.
struct Card {
    account: AccountPublic,
    handle: Handle,
    number: DeviceNumber,
    list: Verified<DeviceList>,
}

impl Card {
    fn read(bytes: &[u8], server_key: &[u8; 32], now_ms: u64) -> Result<Self, LinkError> {
        let card = format::LinkCard::decode(bytes).map_err(|_| LinkError::Malformed)?;
        if array(&card.server_key)? != *server_key {
            return Err(LinkError::OtherServer);
        }
        let account = AccountPublic(array(&card.account_key)?);
        let handle = card.handle.parse().map_err(|_| LinkError::Malformed)?;
        let list = DeviceList::verify(&card.signed_list, Trust::Pinned(&account), None, now_ms)?;
        let next = list.highest_number().0.checked_add(1).ok_or(LinkError::WrongNumber)?;
        if card.number != next {
            return Err(LinkError::WrongNumber);
        }
        Ok(Self { account, handle, number: DeviceNumber(next), list })
    }
}

impl LinkJoining {
    /// The digits to compare with those of the present device.
    pub fn digits(&self) -> CheckDigits {
        self.digits
    }

    /// What the account is called that the other side says it has. The digits prove it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The account that the other side says it has.
    pub fn account(&self) -> AccountId {
        self.list.account()
    }

    /// The number of this device in it.
    pub fn number(&self) -> DeviceNumber {
        self.device.id().number
    }

    /// Hears message 2 of the present device: it is done if the list is right.
    ///
    /// # Errors
    /// A [`LinkError`]: this device belongs to nothing.
    pub fn hear_result(mut self, message: &[u8], now_ms: u64) -> Result<Linked, LinkError> {
        let message = Sealed { ciphertext: message.to_vec() };
        let plaintext =
            self.channel.open(&message, &self.rendezvous).map_err(|_| LinkError::NotSealedForUs)?;
        let result =
            format::LinkResult::decode(plaintext.as_slice()).map_err(|_| LinkError::Malformed)?;
        if result.refused {
            return Err(LinkError::Refused);
        }
        let before = self.list.clone();
        let mine = self.device.describe();
        let linked = self.believe(&result.signed_list, now_ms)?;
        let is_next = linked.list.version() == before.version().saturating_add(1);
        let others = linked.list.entries().iter().filter(|entry| !is_same(entry, &mine));
        if !is_next || !others.eq(before.entries()) {
            return Err(LinkError::WrongDevices);
        }
        Ok(linked)
    }

    /// The same, where message 2 was lost and the server says that this link is the device's: with
    /// the account's list as the server has it, which may be a later one.
    ///
    /// # Errors
    /// A [`LinkError`]: this device belongs to nothing.
    pub fn believe(self, signed_list: &[u8], now_ms: u64) -> Result<Linked, LinkError> {
        let trust = Trust::Pinned(self.list.account_key());
        let list = DeviceList::verify(signed_list, trust, Some(&self.list), now_ms)?;
        let mine = self.device.describe();
        if !list.entries().iter().any(|entry| is_same(entry, &mine)) {
            return Err(LinkError::WrongDevices);
        }
        Ok(Linked { device: self.device, handle: self.handle, list })
    }
}

/// The same device; its consent may have been signed twice.
fn is_same(one: &DeviceEntry, other: &DeviceEntry) -> bool {
    one.number == other.number
        && one.signing_key == other.signing_key
        && one.dh_key == other.dh_key
        && one.suites == other.suites
}

impl fmt::Debug for LinkOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkOffer(..)")
    }
}

impl fmt::Debug for LinkJoining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkJoining({})", self.device.id())
    }
}
