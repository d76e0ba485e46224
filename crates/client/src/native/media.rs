//! The face of the SDK: files.

use std::path::Path;

use godwit_base::{BlobId, MessageId};

use super::about::new_key;
use super::client::Client;
use super::request::{Passed, Request, Response};
use crate::{ChatId, Context, Error, Media, MediaInfo};

impl Client {
    /// Sends a file with a text, which may be empty, and what belongs to it. Seals it into the home,
    /// uploads it, and puts its message into the outbox; returns when it is there.
    /// [`Event::Transfer`](crate::Event::Transfer) tells how far it is. The upload goes on over cuts, and
    /// after a crash when the home is opened again. `info.bytes` is found out here. The caller adds the
    /// timeout.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read; [`Error::Refused`] if the server takes no such file;
    /// [`Error::NoAccount`]; [`Error::TooManyFiles`]; as [`send_with`](Self::send_with) besides.
    ///
    /// # Cancel safety
    /// Not safe to repeat: once the file is sealed it goes all the same.
    pub async fn send_file(
        &self,
        to: impl Into<ChatId>,
        path: &Path,
        info: MediaInfo,
        text: String,
        context: Context,
    ) -> Result<MessageId, Error> {
        let (key, to, path, files) = (new_key()?, to.into(), path.to_owned(), self.home().files()?);
        let pointer = blocking(move || Ok(files.seal(&path, |_| {})?)).await?;
        let sealed_bytes =
            pointer.sealed_bytes().map_err(|error| Error::File(error.to_string()))?;
        let media = Media {
            blob: BlobId(pointer.digest),
            sealed_bytes,
            info: MediaInfo { bytes: pointer.plain_bytes, ..info },
            key: pointer.key,
        };
        let passed = Box::new(Passed::from(&media));
        let asked = self.host().ask(Request::SendFile { key, to, media: passed, text, context });
        match asked.await? {
            Response::Sent(ids) => ids.first().copied().ok_or(Error::OtherVersion),
            _ => Err(Error::OtherVersion),
        }
    }

    /// Fetches the file that a message names, unless this home has it, and opens it into `out`, which
    /// appears when all of it is right; what is there by that name is replaced. What came stays in the
    /// home, sealed, so that a fetch goes on where it was cut and the file can be saved again.
    ///
    /// # Errors
    /// [`Error::NoMessage`], [`Error::NoFile`]; [`Error::Refused`] if the server does not have it any
    /// more; [`Error::File`] if it is not the file that the message names, or `out` cannot be written.
    ///
    /// # Cancel safety
    /// Safe: it can be repeated, and goes on.
    pub async fn save(&self, id: MessageId, out: &Path) -> Result<MediaInfo, Error> {
        let passed = match self.host().ask(Request::FileOf { id }).await? {
            Response::File(passed) => passed,
            _ => return Err(Error::OtherVersion),
        };
        let media = passed.media();
        // Of all devices that have its message only the one that uploaded it is not counted.
        let tell = id.device != self.me().device;
        self.done(Request::Bring { media: passed, tell }).await?;
        let (files, out, pointer) = (self.home().files()?, out.to_owned(), media.pointer());
        let open = move || {
            // What another `save` that was killed has left must not wait for the next start.
            files.tidy()?;
            Ok(files.open(&pointer, &out, |_| {})?)
        };
        blocking(open).await?;
        Ok(media.info)
    }
}

/// Work that waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::File(error.to_string()))?
}
