//! What the store takes: memory of this process, blocks of the disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::machine::Processes;

/// Bytes of a block as [`MetadataExt::blocks`] counts them, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// Memory and disk at one moment. `None` what the machine does not tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    rss_bytes: Option<u64>,
    disk_bytes: Option<u64>,
}

impl Room {
    /// Of this process, and of the store in `data`.
    pub(super) fn now(data: &Path) -> Self {
        Self { rss_bytes: Processes::me().rss_bytes(), disk_bytes: disk_bytes(data) }
    }

    /// What is taken more than `before` for each of `records`: memory, then disk.
    pub(super) fn each_since(&self, before: &Self, records: u64) -> (Option<f64>, Option<f64>) {
        let each = |now: Option<u64>, before: Option<u64>| {
            let more = now?.saturating_sub(before?);
            (records > 0).then(|| more as f64 / records as f64)
        };
        (each(self.rss_bytes, before.rss_bytes), each(self.disk_bytes, before.disk_bytes))
    }
}

/// What the files of a folder take of the disk: holes are no bytes.
pub(super) fn disk_bytes(data: &Path) -> Option<u64> {
    let files = std::fs::read_dir(data).ok()?;
    let blocks = files.map(|file| Some(file.ok()?.metadata().ok()?.blocks()));
    Some(blocks.sum::<Option<u64>>()? * BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    #[test]
    fn what_is_taken_is_told_for_each_record() {
        let room = |rss, disk| Room { rss_bytes: Some(rss), disk_bytes: disk };
        let (before, now) = (room(1_000, None), room(5_000, Some(9)));
        assert_eq!(now.each_since(&before, 100), (Some(40.0), None));
        assert_eq!(before.each_since(&now, 100).0, Some(0.0), "less than before is nothing");
        assert_eq!(now.each_since(&before, 0), (None, None));
    }

    #[test]
    fn a_hole_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(dir.path().join("a")).unwrap();
        file.seek(SeekFrom::Start(64 << 20)).unwrap();
        file.write_all(&[1; 8_192]).unwrap();
        file.sync_all().unwrap();
        let bytes = disk_bytes(dir.path()).unwrap();
        assert!((8_192..1 << 20).contains(&bytes), "{bytes}");
    }
}
