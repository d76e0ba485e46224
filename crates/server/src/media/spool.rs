//! The spool: uploads that are not whole yet, one local file each. It survives a restart; its length is
//! where the upload goes on.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use godwit_base::{AccountId, BlobId};

/// Bytes read at a time while a file is digested.
const READ_BYTES: usize = 1024 * 1024;

/// A folder of partial uploads. Each account has its own file for a blob: what somebody else sends
/// under the same name cannot spoil it.
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Blocks on the disk.
    pub(super) fn open(parent: &Path) -> io::Result<Self> {
        let folder = parent.join("spool");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, account: AccountId, blob: BlobId) -> PathBuf {
        self.folder.join(format!("{account}-{blob}"))
    }

    /// Bytes that came so far.
    pub(super) async fn bytes_of(&self, account: AccountId, blob: BlobId) -> io::Result<u64> {
        match tokio::fs::metadata(self.path(account, blob)).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Opens a file to write behind what is there.
    pub(super) async fn append(
        &self,
        account: AccountId,
        blob: BlobId,
    ) -> io::Result<tokio::fs::File> {
        let path = self.path(account, blob);
        let opened = tokio::task::spawn_blocking(move || {
            fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
        });
        Ok(tokio::fs::File::from_std(opened.await.map_err(io::Error::other)??))
    }

    /// Removes a file, if it is there.
    pub(super) async fn remove(&self, account: AccountId, blob: BlobId) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(account, blob)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Who has begun to upload what. Blocks on the disk.
    pub(super) fn list(&self) -> io::Result<Vec<(AccountId, BlobId)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let parts = name.to_str().and_then(|name| name.split_once('-'));
            let parsed = parts.and_then(|(account, blob)| {
                Some((AccountId(u64::from_str_radix(account, 16).ok()?), blob.parse().ok()?))
            });
            found.extend(parsed);
        }
        Ok(found)
    }
}

/// The name that a file's bytes have. Blocks on the disk: a second for each 300 MB or less.
pub(super) fn digest(path: &Path) -> io::Result<BlobId> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        context.update(buffer.get(..n).unwrap_or_default());
    }
    let digest = context.finish();
    digest.as_ref().try_into().map(BlobId).map_err(io::Error::other)
}
