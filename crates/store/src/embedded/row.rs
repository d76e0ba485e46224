//! Rows as bytes: big-endian fields, then a checksum over the row's key and fields.
//!
//! The database keeps checksums of its pages but verifies them only when it repairs or is asked to;
//! ours is verified at every read, so that a damaged row is an error and never a wrong value.

use bytes::Bytes;
use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId, Seq};

use super::fault::Fault;
use crate::{DeviceList, Entry, Invite};

mod fields;
pub(crate) mod group;
pub(crate) mod media;

use fields::{Fields, Writing};

const KIND_MESSAGE: u8 = 1;
const KIND_RECEIPT: u8 = 2;
const KIND_POST: u8 = 3;
const KIND_NEWS: u8 = 4;
const KIND_REACHED: u8 = 5;

/// All of a record but its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whose mailbox.
    pub(crate) owner: DeviceId,
    /// What it is.
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message {
        from: DeviceId,
        counter: u64,
        body_bytes: usize,
    },
    /// Device `by` acknowledged messages of device `origin` of the mailbox's own account.
    Receipt {
        by: DeviceId,
        origin: DeviceNumber,
        up_to: u64,
    },
    /// What it says lies in the post.
    Post {
        post: Seq,
    },
    News {
        group: GroupId,
        epoch: u64,
        missed: bool,
    },
    /// What it says lies in the row of reach, of which it was filed for this version.
    Reached {
        group: GroupId,
        origin: DeviceNumber,
        version: u64,
    },
}

/// What a record that is no message is about: there is at most one per mark in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Receipt { by: DeviceId, origin: DeviceNumber },
    News(GroupId),
    Reach { group: GroupId, origin: DeviceNumber },
}

/// Writes a message's row into `out`, which is cleared first.
pub(crate) fn put_message(
    out: &mut Vec<u8>,
    seq: Seq,
    owner: DeviceId,
    from: DeviceId,
    counter: u64,
    body: &[u8],
) {
    let mut row = Writing::start(out);
    row.u8(KIND_MESSAGE);
    row.device(owner);
    row.device(from);
    row.u64(counter);
    row.bytes(body);
    row.seal(&seq.0.to_be_bytes());
}

/// Writes a receipt's row into `out`, which is cleared first.
pub(crate) fn put_receipt(
    out: &mut Vec<u8>,
    seq: Seq,
    owner: DeviceId,
    by: DeviceId,
    origin: DeviceNumber,
    up_to: u64,
) {
    let mut row = Writing::start(out);
    row.u8(KIND_RECEIPT);
    row.device(owner);
    row.device(by);
    row.u64(up_to);
    row.u32(origin.0);
    row.seal(&seq.0.to_be_bytes());
}

/// Reads a record's row: its head, and its body as it lies in the row.
pub(crate) fn record(seq: Seq, row: &[u8]) -> Result<(Head, &[u8]), Fault> {
    let mut fields = Fields::open(&seq.0.to_be_bytes(), row, "record")?;
    let kind = fields.u8()?;
    let owner = fields.device()?;
    let mut body = &[][..];
    let kind = match kind {
        KIND_MESSAGE => {
            let (from, counter) = (fields.device()?, fields.u64()?);
            body = fields.rest();
            Kind::Message { from, counter, body_bytes: body.len() }
        }
        KIND_RECEIPT => {
            let (by, up_to) = (fields.device()?, fields.u64()?);
            Kind::Receipt { by, origin: DeviceNumber(fields.u32()?), up_to }
        }
        KIND_POST => Kind::Post { post: Seq(fields.u64()?) },
        KIND_NEWS => {
            let (group, epoch) = (GroupId(*fields.chunk()?), fields.u64()?);
            Kind::News { group, epoch, missed: fields.u8()? != 0 }
        }
        KIND_REACHED => {
            let (group, origin) = (GroupId(*fields.chunk()?), DeviceNumber(fields.u32()?));
            Kind::Reached { group, origin, version: fields.u64()? }
        }
        other => {
            return Err(Fault::damaged(format!("record {} is of unknown kind {other}", seq.0)));
        }
    };
    fields.end()?;
    Ok((Head { owner, kind }, body))
}

/// A record's entry from what [`record`] gave, if it lies there and not in another row; copies the body.
pub(crate) fn entry(head: &Head, body: &[u8]) -> Option<Entry> {
    match head.kind {
        Kind::Message { from, counter, .. } => {
            Some(Entry::Message { from, counter, body: Bytes::copy_from_slice(body) })
        }
        Kind::Receipt { by, origin, up_to } => Some(Entry::Receipt { origin, by, up_to }),
        Kind::News { group, epoch, missed } => Some(Entry::GroupNews { group, epoch, missed }),
        Kind::Post { .. } | Kind::Reached { .. } => None,
    }
}

/// Adds one accepted counter to a journal row that [`seal_journal`] finishes.
pub(crate) fn push_journal(out: &mut Vec<u8>, origin: DeviceId, counter: u64) {
    let mut row = Writing::go_on(out);
    row.device(origin);
    row.u64(counter);
}

/// Finishes a journal row.
pub(crate) fn seal_journal(out: &mut Vec<u8>, seq: Seq) {
    Writing::go_on(out).seal(&seq.0.to_be_bytes());
}

/// The accepted counters of a journal row.
pub(crate) fn journal(seq: Seq, row: &[u8]) -> Result<Vec<(DeviceId, u64)>, Fault> {
    let mut fields = Fields::open(&seq.0.to_be_bytes(), row, "journal")?;
    let mut accepted = Vec::new();
    while !fields.is_empty() {
        accepted.push((fields.device()?, fields.u64()?));
    }
    Ok(accepted)
}

/// A window: highest counter and the bits below it.
pub(crate) fn put_window(key: &[u8], highest: u64, bits: u128) -> Vec<u8> {
    let mut out = Vec::with_capacity(28);
    let mut row = Writing::start(&mut out);
    row.u64(highest);
    row.bytes(&bits.to_be_bytes());
    row.seal(key);
    out
}

pub(crate) fn window(key: &[u8], row: &[u8]) -> Result<(u64, u128), Fault> {
    let mut fields = Fields::open(key, row, "window")?;
    let highest = fields.u64()?;
    let bits = u128::from_be_bytes(*fields.chunk()?);
    fields.end()?;
    Ok((highest, bits))
}

/// An account's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) account_key: [u8; 32],
    pub(crate) handle: String,
    /// The highest device number ever used: none is used twice.
    pub(crate) highest_number: u32,
    pub(crate) list: DeviceList,
}

pub(crate) fn put_account(id: AccountId, account: &Account) -> Vec<u8> {
    let mut out = Vec::new();
    let mut row = Writing::start(&mut out);
    row.bytes(&account.account_key);
    row.u32(account.highest_number);
    row.u64(account.list.version);
    row.short(account.handle.as_bytes());
    row.u32(u32::try_from(account.list.devices.len()).unwrap_or(u32::MAX));
    for (number, link_key) in &account.list.devices {
        row.u32(number.0);
        row.bytes(link_key);
    }
    row.bytes(&account.list.signed);
    row.seal(&id.0.to_be_bytes());
    out
}

pub(crate) fn account(id: AccountId, row: &[u8]) -> Result<Account, Fault> {
    let mut fields = Fields::open(&id.0.to_be_bytes(), row, "account")?;
    let account_key = *fields.chunk()?;
    let highest_number = fields.u32()?;
    let version = fields.u64()?;
    let handle = fields.text()?;
    let mut devices = Vec::new();
    for _ in 0..fields.u32()? {
        devices.push((DeviceNumber(fields.u32()?), *fields.chunk()?));
    }
    let signed = Bytes::copy_from_slice(fields.rest());
    let list = DeviceList { version, signed, devices };
    Ok(Account { account_key, handle, highest_number, list })
}

/// A handle's row: whose it is.
pub(crate) fn put_handle(handle: &str, account: AccountId) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    let mut row = Writing::start(&mut out);
    row.u64(account.0);
    row.seal(handle.as_bytes());
    out
}

pub(crate) fn handle(handle: &str, row: &[u8]) -> Result<AccountId, Fault> {
    let mut fields = Fields::open(handle.as_bytes(), row, "handle")?;
    let account = AccountId(fields.u64()?);
    fields.end()?;
    Ok(account)
}

/// A link key's row: whose it is, and whether that device was revoked.
pub(crate) fn put_link(link_key: &[u8; 32], device: DeviceId, revoked: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(17);
    let mut row = Writing::start(&mut out);
    row.device(device);
    row.u8(u8::from(revoked));
    row.seal(link_key);
    out
}

pub(crate) fn link(link_key: &[u8; 32], row: &[u8]) -> Result<(DeviceId, bool), Fault> {
    let mut fields = Fields::open(link_key, row, "link")?;
    let device = fields.device()?;
    let revoked = fields.u8()? != 0;
    fields.end()?;
    Ok((device, revoked))
}

/// What a device published beside its one-time keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The highest one-time key id it ever published.
    pub(crate) highest_id: Option<u64>,
    pub(crate) fallback: Option<Bytes>,
}

pub(crate) fn put_published(key: &[u8], published: &Published) -> Vec<u8> {
    let mut out = Vec::new();
    let mut row = Writing::start(&mut out);
    row.u8(u8::from(published.highest_id.is_some()));
    row.u64(published.highest_id.unwrap_or(0));
    row.bytes(published.fallback.as_deref().unwrap_or(&[]));
    row.seal(key);
    out
}

pub(crate) fn published(key: &[u8], row: &[u8]) -> Result<Published, Fault> {
    let mut fields = Fields::open(key, row, "device")?;
    let any = fields.u8()? != 0;
    let highest = fields.u64()?;
    let fallback = fields.rest();
    let fallback = (!fallback.is_empty()).then(|| Bytes::copy_from_slice(fallback));
    Ok(Published { highest_id: any.then_some(highest), fallback })
}

/// A value as it is: a one-time key, a meta value.
pub(crate) fn put_plain(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + fields::CHECKSUM_BYTES);
    let mut row = Writing::start(&mut out);
    row.bytes(value);
    row.seal(key);
    out
}

pub(crate) fn plain(key: &[u8], row: &[u8]) -> Result<Bytes, Fault> {
    Ok(Bytes::copy_from_slice(Fields::open(key, row, "value")?.rest()))
}

/// An invite's row.
pub(crate) fn put_invite(invite: &Invite) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    let mut row = Writing::start(&mut out);
    row.u32(invite.uses_left);
    row.u64(invite.expires_ms);
    row.seal(invite.code.as_bytes());
    out
}

pub(crate) fn invite(code: &str, row: &[u8]) -> Result<Invite, Fault> {
    let mut fields = Fields::open(code.as_bytes(), row, "invite")?;
    let (uses_left, expires_ms) = (fields.u32()?, fields.u64()?);
    fields.end()?;
    Ok(Invite { code: code.to_owned(), uses_left, expires_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: DeviceId = DeviceId::new(0x0102_0304_0506_0708, 1);
    const FROM: DeviceId = DeviceId::new(0x1112_1314_1516_1718, 2);

    #[test]
    fn a_record_lies_as_documented() {
        let mut row = Vec::new();
        put_message(&mut row, Seq(7), OWNER, FROM, 9, b"hi");
        assert_eq!(row.len(), 1 + 12 + 12 + 8 + 2 + fields::CHECKSUM_BYTES);
        let fields: String = row[..35].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            fields,
            "01\
             010203040506070800000001\
             111213141516171800000002\
             0000000000000009\
             6869"
        );
    }

    #[test]
    fn a_row_under_another_key_is_damage() {
        let mut row = Vec::new();
        put_message(&mut row, Seq(7), OWNER, FROM, 9, b"hi");
        assert!(record(Seq(7), &row).is_ok());
        assert!(matches!(record(Seq(8), &row), Err(Fault::Damaged(_))));
    }

    proptest! {
        #[test]
        fn records_survive(counter: u64, origin: u32, body: Vec<u8>) {
            let mut row = Vec::new();
            put_message(&mut row, Seq(1), OWNER, FROM, counter, &body);
            let (head, read) = record(Seq(1), &row).unwrap();
            prop_assert_eq!(head.owner, OWNER);
            prop_assert_eq!(
                entry(&head, read),
                Some(Entry::Message { from: FROM, counter, body: Bytes::from(body) })
            );
            let origin = DeviceNumber(origin);
            put_receipt(&mut row, Seq(1), OWNER, FROM, origin, counter);
            prop_assert_eq!(
                record(Seq(1), &row).unwrap().0,
                Head { owner: OWNER, kind: Kind::Receipt { by: FROM, origin, up_to: counter } }
            );
        }

        #[test]
        fn one_changed_bit_is_damage(body: Vec<u8>, at: prop::sample::Index, bit in 0..8) {
            let mut row = Vec::new();
            put_message(&mut row, Seq(1), OWNER, FROM, 1, &body);
            let at = at.index(row.len());
            row[at] ^= 1u8 << bit;
            prop_assert!(record(Seq(1), &row).is_err());
        }

        #[test]
        fn any_bytes_are_a_row_or_damage(row: Vec<u8>) {
            let _ = record(Seq(1), &row);
            let _ = account(AccountId(1), &row);
            let _ = journal(Seq(1), &row);
        }

        #[test]
        fn accounts_survive(
            version: u64,
            highest_number: u32,
            numbers in prop::collection::vec(any::<(u32, [u8; 32])>(), 0..9),
            signed: Vec<u8>,
        ) {
            let devices = numbers.into_iter().map(|(n, key)| (DeviceNumber(n), key)).collect();
            let list = DeviceList { version, signed: signed.into(), devices };
            let written =
                Account { account_key: [3; 32], handle: "alice".into(), highest_number, list };
            let row = put_account(AccountId(5), &written);
            prop_assert_eq!(account(AccountId(5), &row).unwrap(), written);
        }
    }
}
