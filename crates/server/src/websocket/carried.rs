//! What a WebSocket is beyond its connection, as bytes for the process that goes on with it.

use bytes::Bytes;
use prost::Message;

use super::WebSocket;
use super::frames::Frames;

/// The first byte. A process that does not know it cannot go on with the connection.
const VERSION: u8 = 1;

/// Why carried bytes are not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CarriedError {
    /// They were written by a newer program.
    #[error("a WebSocket's state of version {0}; this program knows {VERSION}")]
    Version(u8),
    /// A bug of whoever wrote them.
    #[error("a WebSocket's state that cannot be read")]
    Malformed,
}

/// Version 1. Fields are added, never used for something else.
#[derive(Clone, PartialEq, Message)]
struct Carried {
    /// Raw bytes of the client that were read and are to be read again, as the first of all.
    #[prost(bytes = "vec", tag = "1")]
    unread: Vec<u8>,
    /// Bytes of the frame in progress that have not come.
    #[prost(uint64, tag = "2")]
    left: u64,
    /// Mask of the next four of them.
    #[prost(bytes = "vec", tag = "3")]
    mask: Vec<u8>,
    #[prost(bool, tag = "4")]
    in_message: bool,
    /// Raw bytes for the client that the system has not taken.
    #[prost(bytes = "vec", tag = "5")]
    unsent: Vec<u8>,
    #[prost(bool, tag = "6")]
    has_closed: bool,
    #[prost(bool, tag = "7")]
    is_over: bool,
}

impl<S> WebSocket<S> {
    /// Takes it apart: the connection, and everything that was read of it or is to be written to it and is
    /// not with the session or the system. 1 byte for one that is idle.
    pub(crate) fn part(self) -> (S, Vec<u8>) {
        let Self { stream, ahead, frames, unsent } = self;
        let is_masked = frames.left > 0;
        let carried = Carried {
            unread: [&frames.begun[..], &ahead].concat(),
            left: frames.left,
            mask: if is_masked { frames.mask.to_vec() } else { Vec::new() },
            in_message: frames.in_message,
            unsent: [unsent, frames.answer].concat(),
            has_closed: frames.has_closed,
            is_over: frames.is_over,
        };
        (stream, [vec![VERSION], carried.encode_to_vec()].concat())
    }

    /// Puts it together again from what [`WebSocket::part`] gave, here or in another process.
    ///
    /// # Errors
    /// The bytes are of a newer version, or damaged.
    pub(crate) fn join(stream: S, carried: &[u8]) -> Result<Self, CarriedError> {
        let (&version, carried) = carried.split_first().ok_or(CarriedError::Malformed)?;
        if version != VERSION {
            return Err(CarriedError::Version(version));
        }
        let carried = Carried::decode(carried).map_err(|_| CarriedError::Malformed)?;
        let mask = match carried.left {
            0 => [0; 4],
            _ => <[u8; 4]>::try_from(carried.mask).map_err(|_| CarriedError::Malformed)?,
        };
        let frames = Frames {
            begun: Vec::new(), // it begins the bytes ahead, and is looked at again
            left: carried.left,
            mask,
            in_message: carried.in_message,
            answer: Vec::new(), // the last that is unsent
            has_closed: carried.has_closed,
            is_over: carried.is_over,
        };
        Ok(Self { stream, ahead: Bytes::from(carried.unread), frames, unsent: carried.unsent })
    }
}
