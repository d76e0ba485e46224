//! Rows of the book of files.

use godwit_base::{AccountId, DeviceId};

use super::fields::{Fields, Writing};
use crate::embedded::fault::Fault;

/// A file's row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BlobRow {
    /// Its length once it is stored, else 0.
    pub(crate) bytes: u64,
    pub(crate) is_stored: bool,
    pub(crate) holders: Vec<Holder>,
    /// Devices that have it.
    pub(crate) fetched: Vec<DeviceId>,
}

/// An account that a file is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) account: AccountId,
    pub(crate) bytes: u64,
    pub(crate) fetchers: u32,
    pub(crate) until_ms: u64,
}

pub(crate) fn put_blob(key: &[u8], blob: &BlobRow) -> Vec<u8> {
    let mut out = Vec::new();
    let mut row = Writing::start(&mut out);
    row.u8(u8::from(blob.is_stored));
    row.u64(blob.bytes);
    row.u32(u32::try_from(blob.holders.len()).unwrap_or(u32::MAX));
    for holder in &blob.holders {
        row.u64(holder.account.0);
        row.u64(holder.bytes);
        row.u32(holder.fetchers);
        row.u64(holder.until_ms);
    }
    for device in &blob.fetched {
        row.device(*device);
    }
    row.seal(key);
    out
}

pub(crate) fn blob(key: &[u8], row: &[u8]) -> Result<BlobRow, Fault> {
    let mut fields = Fields::open(key, row, "blob")?;
    let is_stored = fields.u8()? != 0;
    let bytes = fields.u64()?;
    let mut holders = Vec::new();
    for _ in 0..fields.u32()? {
        holders.push(Holder {
            account: AccountId(fields.u64()?),
            bytes: fields.u64()?,
            fetchers: fields.u32()?,
            until_ms: fields.u64()?,
        });
    }
    let mut fetched = Vec::new();
    while !fields.is_empty() {
        fetched.push(fields.device()?);
    }
    Ok(BlobRow { bytes, is_stored, holders, fetched })
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

pub(crate) fn put_usage(account: AccountId, usage: Usage) -> Vec<u8> {
    let mut out = Vec::new();
    let mut row = Writing::start(&mut out);
    row.u64(usage.files);
    row.u64(usage.bytes);
    row.seal(&account.0.to_be_bytes());
    out
}

pub(crate) fn usage(account: AccountId, row: &[u8]) -> Result<Usage, Fault> {
    let mut fields = Fields::open(&account.0.to_be_bytes(), row, "usage")?;
    let usage = Usage { files: fields.u64()?, bytes: fields.u64()? };
    fields.end().map(|()| usage)
}
