//! What the processes of one home say to each other over `owner.sock`: CBOR in frames of a length
//! (u32, big endian) and so many bytes.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::request::{Answer, Request};
use crate::{ConnectionState, Event, Me};

/// Version of these words. Another version is refused: both are programs of one user, who ends the
/// older one.
pub(crate) const VERSION: u32 = 4;

/// Largest frame, 8 MiB: a command carries at most 4 MiB of texts in at most 10,000 pieces (5 bytes
/// of CBOR each), a page of the history under 1 MiB.
pub(crate) const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// From an attached process to the owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToOwner {
    Hello { version: u32 },
    Call { number: u64, request: Request },
}

/// From the owner.
#[allow(
    clippy::large_enum_variant,
    reason = "messages are most of them; a box for each would be the dearer half"
)]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToAttached {
    Welcome { version: u32, me: Option<Me>, connection: ConnectionState },
    Answer { number: u64, answer: Answer },
    Event(Event),
}

/// Writes one frame.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] beyond [`FRAME_BYTES_MAX`], with nothing written; or the
/// socket's error.
///
/// # Cancel safety
/// Not safe: dropped, a part of the frame may be written. Only whole tasks that end with their
/// connection call it.
pub(crate) async fn write<T: Serialize + Sync>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> io::Result<()> {
    let frame = encode(message)?;
    to.write_all(&frame).await
}

/// Reads one frame; `None` at the end.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no frame; or the socket's error.
///
/// # Cancel safety
/// Not safe: dropped, a part of the frame may be read. Only tasks that end with their connection
/// call it.
pub(crate) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let length = match from.read_u32().await {
        Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > FRAME_BYTES_MAX {
        return Err(invalid());
    }
    // Grows with what comes, not with what is promised.
    let mut frame = Vec::new();
    let read = from.take(length as u64).read_to_end(&mut frame).await?;
    if read < length {
        return Ok(None);
    }
    ciborium::from_reader(frame.as_slice()).map(Some).map_err(|_| invalid())
}

fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut frame = vec![0; 4];
    ciborium::into_writer(message, &mut frame).map_err(|_| too_large())?;
    let length = frame.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(too_large());
    }
    let header = u32::try_from(length).map_err(|_| too_large())?.to_be_bytes();
    for (to, byte) in frame.iter_mut().zip(header) {
        *to = byte;
    }
    Ok(frame)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_of_the_largest_frame() {
        // CBOR of a text of this length has a head of 5 bytes.
        let fits = "x".repeat(FRAME_BYTES_MAX - 5);
        let mut bytes = Vec::new();
        write(&mut bytes, &fits).await.unwrap();
        assert_eq!(read::<String>(&mut bytes.as_slice()).await.unwrap(), Some(fits.clone()));
        let error = write(&mut Vec::new(), &(fits + "x")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let header = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
        let error = read::<String>(&mut header.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_end_and_garbage_an_error() {
        let mut bytes = Vec::new();
        write(&mut bytes, &ToOwner::Hello { version: VERSION }).await.unwrap();
        for cut in 0..bytes.len() {
            assert!(read::<ToOwner>(&mut &bytes[..cut]).await.unwrap().is_none());
        }
        let garbage = [0, 0, 0, 2, 0xff, 0xff];
        assert!(read::<ToOwner>(&mut garbage.as_slice()).await.is_err());
    }
}
