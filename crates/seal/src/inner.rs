//! The plaintext of a sealed message: what Olm carries, with the identities of both ends in it,
//! since Olm itself binds none.

use std::fmt;

use prost::Message;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{OpenError, SealError};
use crate::format;
use crate::group::{GroupHint, Place};
use crate::list::Peer;
use crate::padding::{pad, padded_len, unpad};
use crate::suite::Domain;

/// Longest body of one message, 48 KiB: a text of 48,000 bytes with its framing fits, and the
/// padded, sealed copy stays below [`godwit_base::limits::BODY_BYTES_MAX`].
pub const INNER_BODY_BYTES_MAX: usize = 48 * 1024;

const BINDING_BYTES: usize = 16;

/// What ties a plaintext to who says it, to whom and where.
pub(crate) type Binding = [u8; BINDING_BYTES];

/// What the sender says and the recipient reads. The body is wiped when dropped and is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Inner {
    /// The sending device's counter of this message, as on its envelope.
    pub counter: u64,
    /// The sender's clock, unix milliseconds: a claim, not a proof.
    pub sent_at_ms: u64,
    /// The counter of the earlier message that this one repeats after a retry request.
    pub resend_of: Option<u64>,
    /// What the layer above says, at most [`INNER_BODY_BYTES_MAX`].
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("counter", &self.counter)
            .field("sent_at_ms", &self.sent_at_ms)
            .field("resend_of", &self.resend_of)
            .finish_non_exhaustive()
    }
}

/// The two ends of a message, in the order it travels, and the group it is for, if it is for one.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) sender: &'a Peer,
    pub(crate) recipient: &'a Peer,
    pub(crate) place: Option<Place>,
}

/// Finds the places that a copy may have been said at, by what it says of its group and epoch. None:
/// the reader is not there yet, or never was.
pub(crate) type Places<'a> = &'a dyn Fn(GroupHint, u64) -> Vec<Place>;

impl<'a> Route<'a> {
    pub(crate) const fn new(sender: &'a Peer, recipient: &'a Peer) -> Self {
        Self { sender, recipient, place: None }
    }

    fn binding(&self) -> Binding {
        let (sender, recipient) = (of_peer(self.sender), of_peer(self.recipient));
        head(&match self.place {
            None => Domain::Binding.hash(&[&sender, &recipient]),
            Some(place) => Domain::GroupCopyBinding.hash(&[&sender, &recipient, &of_place(&place)]),
        })
    }

    fn parties(&self) -> format::Parties {
        format::Parties {
            sender_account: self.sender.account.0.to_vec(),
            sender_device: self.sender.number.0,
            recipient_account: self.recipient.account.0.to_vec(),
            recipient_device: self.recipient.number.0,
        }
    }
}

/// The binding of a message that is sealed once for a whole group.
pub(crate) fn group_binding(sender: &Peer, place: &Place) -> Binding {
    head(&Domain::GroupBinding.hash(&[&of_peer(sender), &of_place(place)]))
}

fn of_peer(peer: &Peer) -> Vec<u8> {
    let number = peer.number.0.to_be_bytes();
    [&peer.account.0, number.as_slice(), &peer.signing_key, &peer.dh_key].concat()
}

fn of_place(place: &Place) -> Vec<u8> {
    [place.group.0.as_slice(), &place.epoch.to_be_bytes(), &place.head].concat()
}

fn head(hash: &[u8; 32]) -> Binding {
    let mut binding = [0; BINDING_BYTES];
    binding.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    binding
}

/// The padded plaintext of a message. One that opens a session names both ends in full.
pub(crate) fn encode(
    inner: &Inner,
    route: Route<'_>,
    opening: bool,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let parties = opening.then(|| route.parties());
    encode_bound(inner, &route.binding(), parties, route.place.as_ref())
}

/// The padded plaintext of a message with this binding.
pub(crate) fn encode_bound(
    inner: &Inner,
    binding: &Binding,
    parties: Option<format::Parties>,
    place: Option<&Place>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if inner.body.len() > INNER_BODY_BYTES_MAX {
        return Err(SealError::BodyTooLarge);
    }
    let mut message = format::Inner {
        binding: binding.to_vec(),
        counter: inner.counter,
        sent_at_ms: inner.sent_at_ms,
        body: inner.body.to_vec(),
        resend_of: inner.resend_of.unwrap_or(0),
        parties,
        group: place.map(|place| place.hint().0.to_vec()).unwrap_or_default(),
        epoch: place.map_or(0, Place::epoch),
    };
    // All at once, so that no growth leaves a copy of the text behind.
    let mut text = Zeroizing::new(Vec::with_capacity(padded_len(message.encoded_len())));
    message.encode_raw(&mut *text);
    message.body.zeroize();
    pad(&mut text);
    Ok(text)
}

/// Reads a decrypted plaintext, which must be for us, from the peer and with the counter of its
/// envelope; and if it was said in a group, at one of the `places`, which is returned.
pub(crate) fn decode(
    padded: &[u8],
    route: Route<'_>,
    opening: bool,
    counter: u64,
    places: Places<'_>,
) -> Result<(Inner, Option<Place>), OpenError> {
    let message = parse(padded)?;
    let names_the_route = match &message.parties {
        Some(parties) => *parties == route.parties(),
        None => !opening,
    };
    if !names_the_route {
        return Err(OpenError::WrongIdentity);
    }
    let candidates = candidates(&message, places)?;
    let is_bound = |place: &Option<Place>| {
        let binding = Route { place: *place, ..route }.binding();
        bool::from(message.binding.ct_eq(binding.as_slice()))
    };
    let place = candidates.into_iter().find(is_bound).ok_or(OpenError::WrongIdentity)?;
    Ok((checked(message, counter)?, place))
}

/// Where the message says that it was said; nowhere in particular if it names no group.
fn candidates(
    message: &format::Inner,
    places: Places<'_>,
) -> Result<Vec<Option<Place>>, OpenError> {
    if message.group.is_empty() && message.epoch == 0 {
        return Ok(vec![None]);
    }
    let hint = GroupHint(message.group.as_slice().try_into().map_err(|_| OpenError::Malformed)?);
    let places = places(hint, message.epoch);
    if places.is_empty() {
        return Err(OpenError::UnknownPlace { group: hint, epoch: message.epoch });
    }
    Ok(places.into_iter().map(Some).collect())
}

/// Reads a plaintext that was sealed for a whole group and must have this binding.
pub(crate) fn decode_bound(
    padded: &[u8],
    binding: &Binding,
    counter: u64,
) -> Result<Inner, OpenError> {
    let message = parse(padded)?;
    let is_bound = bool::from(message.binding.ct_eq(binding.as_slice()));
    if message.parties.is_some() || !is_bound {
        return Err(OpenError::WrongIdentity);
    }
    checked(message, counter)
}

fn parse(padded: &[u8]) -> Result<format::Inner, OpenError> {
    let text = unpad(padded).ok_or(OpenError::Malformed)?;
    format::Inner::decode(text).map_err(|_| OpenError::Malformed)
}

fn checked(message: format::Inner, counter: u64) -> Result<Inner, OpenError> {
    let inner = Inner {
        counter: message.counter,
        sent_at_ms: message.sent_at_ms,
        resend_of: (message.resend_of != 0).then_some(message.resend_of),
        body: Zeroizing::new(message.body),
    };
    if inner.counter == counter { Ok(inner) } else { Err(OpenError::WrongCounter) }
}

#[cfg(test)]
mod tests {
    use godwit_base::DeviceNumber;

    use super::*;
    use crate::account::AccountPublic;

    fn peer(byte: u8) -> Peer {
        Peer {
            account: AccountPublic([byte; 32]),
            number: DeviceNumber(u32::from(byte)),
            signing_key: [byte + 1; 32],
            dh_key: [byte + 2; 32],
        }
    }

    fn text(opening: bool) -> Zeroizing<Vec<u8>> {
        let inner = Inner {
            counter: 300,
            sent_at_ms: 1_800_000_000_000,
            resend_of: Some(7),
            body: Zeroizing::new(b"hi".to_vec()),
        };
        encode(&inner, Route::new(&peer(10), &peer(20)), opening).unwrap()
    }

    fn read(
        text: &[u8],
        route: Route<'_>,
        opening: bool,
        counter: u64,
    ) -> Result<Inner, OpenError> {
        decode(text, route, opening, counter, &|_, _| Vec::new()).map(|(inner, _)| inner)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_plaintext_of_a_settled_message_never_changes() {
        assert_eq!(
            hex(&text(false)),
            "0a1065f4166b902cea3d4e154c386149b58710ac021880a0f1c2b134220268692807\
             8000000000000000000000000000000000000000000000000000000000"
        );
    }

    #[test]
    fn the_plaintext_of_an_opening_message_never_changes() {
        assert_eq!(
            hex(&text(true)),
            "0a1065f4166b902cea3d4e154c386149b58710ac021880a0f1c2b134220268692807\
             32480a200a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a100a\
             1a2014141414141414141414141414141414141414141414141414141414141414142014\
             80000000000000000000000000000000000000"
        );
    }

    #[test]
    fn each_end_and_each_direction_is_bound() {
        let refused = |sender: u8, recipient: u8| {
            let (sender, recipient) = (peer(sender), peer(recipient));
            let route = Route::new(&sender, &recipient);
            read(&text(false), route, false, 300).is_err_and(|e| e == OpenError::WrongIdentity)
        };
        assert!(refused(11, 20) && refused(10, 21) && refused(20, 10));
        assert!(!refused(10, 20));
        let mut changed = peer(10);
        changed.signing_key[31] ^= 1;
        let recipient = peer(20);
        let route = Route::new(&changed, &recipient);
        assert_eq!(read(&text(false), route, false, 300), Err(OpenError::WrongIdentity));
    }

    #[test]
    fn an_opening_message_must_name_its_ends_in_full() {
        let (sender, recipient) = (peer(10), peer(20));
        let route = Route::new(&sender, &recipient);
        assert_eq!(read(&text(false), route, true, 300), Err(OpenError::WrongIdentity));
        assert!(read(&text(true), route, true, 300).is_ok());
        assert!(read(&text(true), route, false, 300).is_ok());
        assert_eq!(read(&text(true), route, true, 301), Err(OpenError::WrongCounter));
    }
}
