//! The one way in which a row is written and read.

use godwit_base::{AccountId, DeviceId, DeviceNumber};

use crate::embedded::fault::Fault;

/// Bytes of the checksum (CRC-32) at a row's end.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// A row being written.
pub(super) struct Writing<'a>(&'a mut Vec<u8>);

impl<'a> Writing<'a> {
    /// A new row in a used buffer.
    pub(super) fn start(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        Self(out)
    }

    /// More of a row that was started before.
    pub(super) fn go_on(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// A text of at most 255 bytes; handles and codes are bounded far below.
    pub(super) fn short(&mut self, value: &[u8]) {
        self.u8(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes(value);
    }

    pub(super) fn device(&mut self, device: DeviceId) {
        self.u64(device.account.0);
        self.u32(device.number.0);
    }

    /// The row is complete.
    pub(super) fn seal(self, key: &[u8]) {
        let sum = checksum(key, self.0);
        self.0.extend_from_slice(&sum);
    }
}

/// A row being read, its checksum verified.
pub(super) struct Fields<'a> {
    left: &'a [u8],
    table: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn open(key: &[u8], row: &'a [u8], table: &'static str) -> Result<Self, Fault> {
        let (left, sum) = row
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(|| Fault::damaged(format!("a {table} row has no checksum")))?;
        if checksum(key, left) != *sum {
            return Err(Fault::damaged(format!("a {table} row fails its checksum")));
        }
        Ok(Self { left, table })
    }

    pub(super) fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (chunk, left) = self.left.split_first_chunk::<N>().ok_or_else(|| self.short())?;
        self.left = left;
        Ok(chunk)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.chunk::<1>().map(|[byte]| *byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    pub(super) fn device(&mut self) -> Result<DeviceId, Fault> {
        let account = AccountId(self.u64()?);
        Ok(DeviceId { account, number: DeviceNumber(self.u32()?) })
    }

    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let length = usize::from(self.u8()?);
        let (text, left) = self.left.split_at_checked(length).ok_or_else(|| self.short())?;
        self.left = left;
        String::from_utf8(text.to_vec()).map_err(|_| self.short())
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(self.short()) }
    }

    fn short(&self) -> Fault {
        Fault::damaged(format!("a {} row has another form", self.table))
    }
}

fn checksum(key: &[u8], fields: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(fields);
    sum.finalize().to_be_bytes()
}
