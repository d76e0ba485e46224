//! The depot: whole files, each under its digest. A folder by default, else a bucket of something that
//! speaks S3; both through the crate `object_store`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use godwit_base::BlobId;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, WriteMultipart,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::MediaError;
use crate::config::MediaLimits;

/// Bytes of a folder's file that are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Bytes of one part of an upload to a bucket, above the least that S3 takes (5 MiB), and parts on
/// their way at once: 16 MiB a file that is being put away.
const PART_BYTES: usize = 8 * 1024 * 1024;
const PARTS_MAX: usize = 1;

/// Whole files.
pub(super) struct Depot {
    store: Arc<dyn ObjectStore>,
    /// Where they lie, if in a folder: a whole upload is moved there without copying it.
    folder: Option<PathBuf>,
}

impl Depot {
    /// Blocks on the disk.
    pub(super) fn open(limits: &MediaLimits, parent: &Path) -> Result<Self, MediaError> {
        let unusable = |error: object_store::Error| MediaError::Depot(error.to_string());
        if let Some(bucket) = &limits.bucket {
            let store = bucket_of(bucket, limits).map_err(unusable)?;
            return Ok(Self { store, folder: None });
        }
        let folder = parent.join("blobs");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(unusable)?;
        Ok(Self { store: Arc::new(store), folder: Some(folder) })
    }

    /// Takes a whole and synced upload; durable when this returns. The file may be gone from where it
    /// was, or still there.
    pub(super) async fn put(&self, blob: BlobId, from: PathBuf) -> io::Result<()> {
        match &self.folder {
            Some(folder) => {
                let to = folder.join(key_of(blob).as_ref());
                let moved = tokio::task::spawn_blocking(move || move_durably(&from, &to));
                moved.await.map_err(io::Error::other)?
            }
            None => self.copy(blob, &from).await,
        }
    }

    async fn copy(&self, blob: BlobId, from: &Path) -> io::Result<()> {
        let mut file = tokio::fs::File::open(from).await?;
        let upload = self.store.put_multipart(&key_of(blob)).await.map_err(io_error)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = async {
                upload.wait_for_capacity(PARTS_MAX).await.map_err(io_error)?;
                file.read(&mut buffer).await
            };
            match read.await {
                Ok(0) => break,
                Ok(n) => upload.write(buffer.get(..n).unwrap_or_default()),
                Err(error) => {
                    // Parts that stay behind cost room: S3 keeps them until told.
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
        }
        upload.finish().await.map(drop).map_err(io_error)
    }

    /// A part of a file, in pieces as they are asked for.
    pub(super) async fn read(
        &self,
        blob: BlobId,
        range: Range<u64>,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let options =
            GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found = self.store.get_opts(&key_of(blob), options).await.map_err(io_error)?;
        match found.payload {
            GetResultPayload::File(file, _) => pieces(file, range).await,
            GetResultPayload::Stream(pieces) => Ok(pieces.map_err(io_error).boxed()),
        }
    }

    /// Deletes a file, if it is there.
    pub(super) async fn delete(&self, blob: BlobId) -> io::Result<()> {
        match self.store.delete(&key_of(blob)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(io_error(error)),
        }
    }

    /// Every file in the folder. Nothing of a bucket: another server may keep its files there, and what
    /// is left behind in it is for its own rules of expiry.
    pub(super) fn list(&self) -> BoxStream<'static, BlobId> {
        if self.folder.is_none() {
            return stream::empty().boxed();
        }
        let found = self.store.list(None).filter_map(|found| async move {
            found.ok().and_then(|found| found.location.filename()?.parse().ok())
        });
        found.boxed()
    }
}

/// The first two digits are a folder of their own: 256 of them keep folders small.
fn key_of(blob: BlobId) -> Key {
    let name = blob.to_string();
    Key::from_iter([name.get(..2).unwrap_or_default(), name.as_str()])
}

#[cfg(feature = "s3")]
fn bucket_of(
    bucket: &str,
    limits: &MediaLimits,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let mut builder = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(region) = &limits.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &limits.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http:"));
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(not(feature = "s3"))]
fn bucket_of(_: &str, _: &MediaLimits) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    Err(object_store::Error::NotImplemented {
        operation: "buckets".to_owned(),
        implementer: "this godwitd, built without its feature s3".to_owned(),
    })
}

/// Renames, and syncs what names it: after a crash it is there or still where it was.
fn move_durably(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
    }
    fs::rename(from, to)?;
    File::open(folder)?.sync_all()
}

/// Reads a file from `range.start` on.
async fn pieces(
    file: File,
    range: Range<u64>,
) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(io::SeekFrom::Start(range.start)).await?;
    let left = range.end.saturating_sub(range.start);
    let pieces = stream::try_unfold((file, left), |(mut file, left)| async move {
        let wanted = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; wanted];
        let n = file.read(&mut piece).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(n);
        Ok(Some((Bytes::from(piece), (file, left - n as u64))))
    });
    Ok(pieces.boxed())
}

fn io_error(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        other => io::Error::other(other),
    }
}
