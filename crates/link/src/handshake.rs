//! The handshake, from both ends: two messages, then a [`Transport`] on each side.
//!
//! Each type is a state that is consumed by the step that leaves it, so that no step can be taken
//! twice or out of order.

use std::fmt;

use godwit_base::limits::HANDSHAKE_BYTES_MAX;

use crate::crypto::Backend;
use crate::error::LinkError;
use crate::key::{PublicKey, ServerKeys, StaticKey};
use crate::noise::{IK, NN_PSK0, Noise};
use crate::ticket::{Ticket, TicketKeys};
use crate::transport::Transport;

/// Noise prologue of the full handshake: the first four bytes on the connection (`GW`, version,
/// mode), so that nobody between can have changed them.
const PROLOGUE_IK: &[u8] = b"GW\x01\x01";
/// Noise prologue of resumption, likewise.
const PROLOGUE_RESUME: &[u8] = b"GW\x01\x02";

/// A finished handshake.
pub struct Established {
    /// Seals and opens the frames.
    pub transport: Transport,
    /// For the initiator, what the server said in its handshake message; empty for the responder,
    /// which has it in [`Arrival`].
    pub payload: Vec<u8>,
}

impl fmt::Debug for Established {
    /// Without the payload: a welcome holds the secret of a ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// The client, waiting for the server's handshake message.
pub struct Initiator(Noise);

impl Initiator {
    /// Begins the full handshake with the server that owns `server`. Returns the message to send;
    /// it carries `payload`, which anybody who recorded it can send again: it must change nothing.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`] when the message would exceed the largest handshake message,
    /// [`LinkError::WeakKey`] when `server` is no honest key.
    pub fn ik(
        me: &StaticKey,
        server: &PublicKey,
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), LinkError> {
        Self::ik_by(Backend::PREFERRED, me, server, payload)
    }

    pub(crate) fn ik_by(
        backend: Backend,
        me: &StaticKey,
        server: &PublicKey,
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), LinkError> {
        let mut noise = Noise::build(backend, IK, PROLOGUE_IK, Some(me.pair()), |builder| {
            builder.remote_public_key(&server.0)?.build_initiator()
        })?;
        let message = noise.write(payload)?;
        Ok((Self(noise), fitting(message)?))
    }

    /// Begins a resumption. Use a ticket once: it goes in the clear, and a second use would tell an
    /// observer that both links belong to the same device.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`] when the message would exceed the largest handshake message.
    pub fn resume(ticket: &Ticket, payload: &[u8]) -> Result<(Self, Vec<u8>), LinkError> {
        Self::resume_by(Backend::PREFERRED, ticket, payload)
    }

    pub(crate) fn resume_by(
        backend: Backend,
        ticket: &Ticket,
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), LinkError> {
        let mut noise = Noise::build(backend, NN_PSK0, PROLOGUE_RESUME, None, |builder| {
            builder.psk(0, ticket.psk())?.build_initiator()
        })?;
        let mut message = ticket.to_prefix()?;
        message.append(&mut noise.write(payload)?);
        Ok((Self(noise), fitting(message)?))
    }

    /// Completes the handshake with the server's message.
    ///
    /// # Errors
    /// [`LinkError::Malformed`], [`LinkError::NotAuthentic`] or [`LinkError::WeakKey`]: this is not
    /// the server that was dialled, or somebody changed its bytes.
    pub fn finish(self, message: &[u8]) -> Result<Established, LinkError> {
        let Self(mut noise) = self;
        let payload = noise.read(message)?;
        Ok(Established { transport: noise.into_transport()?, payload })
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator")
    }
}

/// A client has knocked. Its message may be a repetition of an old one: whoever sent it is `peer`
/// only once a frame of the established link opens.
#[derive(Debug)]
pub struct Arrival {
    /// Answers it.
    pub responder: Responder,
    /// The link key that the client proves, or proved when its ticket was issued.
    pub peer: PublicKey,
    /// What the client said in its handshake message.
    pub payload: Vec<u8>,
}

/// The server, about to answer a client's handshake message.
pub struct Responder(Noise);

impl Responder {
    /// Reads the first message of a full handshake; `hint` names the server key it was made for.
    ///
    /// # Errors
    /// [`LinkError::UnknownServerKey`]; [`LinkError::Malformed`], [`LinkError::NotAuthentic`] or
    /// [`LinkError::WeakKey`] when the message was not made for that key by an honest client.
    pub fn ik(keys: &ServerKeys, hint: [u8; 4], message: &[u8]) -> Result<Arrival, LinkError> {
        Self::ik_by(Backend::PREFERRED, keys, hint, message)
    }

    pub(crate) fn ik_by(
        backend: Backend,
        keys: &ServerKeys,
        hint: [u8; 4],
        message: &[u8],
    ) -> Result<Arrival, LinkError> {
        let key = keys.by_hint(hint).ok_or(LinkError::UnknownServerKey)?;
        let mut noise =
            Noise::build(backend, IK, PROLOGUE_IK, Some(key.pair()), |b| b.build_responder())?;
        let payload = noise.read(message)?;
        let peer = PublicKey(noise.peer()?);
        Ok(Arrival { responder: Self(noise), peer, payload })
    }

    /// Reads the first message of a resumption: length of the ticket (2 bytes, big endian), the
    /// ticket, the Noise message.
    ///
    /// # Errors
    /// [`LinkError::TicketInvalid`] and [`LinkError::TicketExpired`] when the client should make
    /// the full handshake; else as [`ik`](Self::ik).
    pub fn resume(tickets: &TicketKeys, now_ms: u64, message: &[u8]) -> Result<Arrival, LinkError> {
        Self::resume_by(Backend::PREFERRED, tickets, now_ms, message)
    }

    pub(crate) fn resume_by(
        backend: Backend,
        tickets: &TicketKeys,
        now_ms: u64,
        message: &[u8],
    ) -> Result<Arrival, LinkError> {
        let malformed = LinkError::Malformed { bytes: message.len() };
        if message.len() > HANDSHAKE_BYTES_MAX {
            return Err(malformed);
        }
        let (length, rest) = message.split_first_chunk::<2>().ok_or(malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (sealed, message) = rest.split_at_checked(length).ok_or(malformed)?;
        let pass = tickets.open(sealed, now_ms)?;
        let mut noise = Noise::build(backend, NN_PSK0, PROLOGUE_RESUME, None, |builder| {
            builder.psk(0, &pass.psk)?.build_responder()
        })?;
        let payload = noise.read(message)?;
        Ok(Arrival { responder: Self(noise), peer: pass.peer, payload })
    }

    /// Answers, with a payload that only this client can read. The message is to be sent.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`] when the message would exceed the largest handshake message,
    /// [`LinkError::WeakKey`] when the client's keys are no honest ones.
    pub fn reply(self, payload: &[u8]) -> Result<(Vec<u8>, Established), LinkError> {
        let Self(mut noise) = self;
        let message = fitting(noise.write(payload)?)?;
        let transport = noise.into_transport()?;
        Ok((message, Established { transport, payload: Vec::new() }))
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

fn fitting(message: Vec<u8>) -> Result<Vec<u8>, LinkError> {
    let bytes = message.len();
    if bytes > HANDSHAKE_BYTES_MAX {
        return Err(LinkError::TooLarge { bytes, bytes_max: HANDSHAKE_BYTES_MAX });
    }
    Ok(message)
}

#[cfg(test)]
mod tests;
