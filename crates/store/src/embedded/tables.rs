//! The tables of the file and their keys. `docs/schema.md` draws them on one page.

use godwit_base::{AccountId, DeviceId, DeviceNumber, GroupId};
use redb::TableDefinition;

use super::fault::Fault;

/// Version of everything below. A file with a greater one is refused.
pub(crate) const SCHEMA: u64 = 3;

/// A device as a key: account, then number, big endian, so that rows of an account lie together.
pub(crate) type DeviceKey = [u8; 12];

/// A one-time key's key: device, then key id, big endian, so that the oldest is taken first.
pub(crate) type OneTimeKey = [u8; 20];

/// An entry of a membership log (group, epoch), or an account of a group (group, account); big endian.
pub(crate) type GroupKey = [u8; 24];

/// A sending device of a group: group, then device.
pub(crate) type ReachKey = [u8; 28];

/// Records of all mailboxes by their sequence. The order per device is in RAM only.
pub(crate) const MAILBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("mailbox");
/// What each batch accepted, by the last sequence it used: the changes of the windows since they
/// were last written to [`WINDOW`].
pub(crate) const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
/// The de-duplication window of each sending device.
pub(crate) const WINDOW: TableDefinition<&DeviceKey, &[u8]> = TableDefinition::new("window");
/// Accounts by id.
pub(crate) const ACCOUNT: TableDefinition<u64, &[u8]> = TableDefinition::new("account");
/// Accounts by handle.
pub(crate) const HANDLE: TableDefinition<&str, &[u8]> = TableDefinition::new("handle");
/// Devices, present and revoked, by link key.
pub(crate) const LINK: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("link");
/// One-time keys.
pub(crate) const ONE_TIME: TableDefinition<&OneTimeKey, &[u8]> = TableDefinition::new("one_time");
/// Fallback key and highest one-time key id of each device.
pub(crate) const DEVICE: TableDefinition<&DeviceKey, &[u8]> = TableDefinition::new("device");
/// Invites by code.
pub(crate) const INVITE: TableDefinition<&str, &[u8]> = TableDefinition::new("invite");
/// The version of its list with which the set of an account's devices last changed; none if it never did.
pub(crate) const DEVICE_SET: TableDefinition<u64, &[u8]> = TableDefinition::new("device_set");
/// Groups by id.
pub(crate) const GROUP: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("group");
/// Entries of the membership logs, by group and epoch.
pub(crate) const GROUP_LOG: TableDefinition<&GroupKey, &[u8]> = TableDefinition::new("group_log");
/// The epoch at which an account left a group, by group and account.
pub(crate) const GROUP_FORMER: TableDefinition<&GroupKey, &[u8]> =
    TableDefinition::new("group_former");
/// Messages to groups, once each, by the place that was taken before those of the records of it.
pub(crate) const POST: TableDefinition<u64, &[u8]> = TableDefinition::new("post");
/// How far posts have come, by group and sending device.
pub(crate) const REACH: TableDefinition<&ReachKey, &[u8]> = TableDefinition::new("reach");
/// Small values of the server by name.
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Numbers of the engine itself: `schema`, `seen_ms`.
pub(crate) const ENGINE: TableDefinition<&str, u64> = TableDefinition::new("engine");

/// Name in [`ENGINE`] of the schema that wrote the file.
pub(crate) const SCHEMA_NAME: &str = "schema";
/// Name in [`ENGINE`] of the newest clock reading that the sweep believed, unix milliseconds.
pub(crate) const SEEN_NAME: &str = "seen_ms";

/// The key of a device.
pub(crate) fn device_key(device: DeviceId) -> DeviceKey {
    let mut key = [0; 12];
    let (account, number) = key.split_at_mut(8);
    account.copy_from_slice(&device.account.0.to_be_bytes());
    number.copy_from_slice(&device.number.0.to_be_bytes());
    key
}

/// The device of a key.
pub(crate) fn device_of(key: &[u8]) -> Result<DeviceId, Fault> {
    let short = || Fault::damaged("a device key is cut short");
    let (account, number) = key.split_first_chunk::<8>().ok_or_else(short)?;
    let number = number.first_chunk::<4>().ok_or_else(short)?;
    Ok(DeviceId {
        account: AccountId(u64::from_be_bytes(*account)),
        number: DeviceNumber(u32::from_be_bytes(*number)),
    })
}

/// The key of one one-time key of a device.
pub(crate) fn one_time_key(device: DeviceId, id: u64) -> OneTimeKey {
    let mut key = [0; 20];
    let (head, tail) = key.split_at_mut(12);
    head.copy_from_slice(&device_key(device));
    tail.copy_from_slice(&id.to_be_bytes());
    key
}

/// The key of an entry, or of an account, of a group.
pub(crate) fn group_key(group: GroupId, at: u64) -> GroupKey {
    let mut key = [0; 24];
    let (head, tail) = key.split_at_mut(16);
    head.copy_from_slice(&group.0);
    tail.copy_from_slice(&at.to_be_bytes());
    key
}

/// Group and number of a key that [`group_key`] made.
pub(crate) fn group_of(key: &GroupKey) -> (GroupId, u64) {
    let mut number = [0; 8];
    number.copy_from_slice(key.split_at(16).1);
    let mut group = [0; 16];
    group.copy_from_slice(key.split_at(16).0);
    (GroupId(group), u64::from_be_bytes(number))
}

/// The key of a sending device of a group.
pub(crate) fn reach_key(group: GroupId, origin: DeviceId) -> ReachKey {
    let mut key = [0; 28];
    let (head, tail) = key.split_at_mut(16);
    head.copy_from_slice(&group.0);
    tail.copy_from_slice(&device_key(origin));
    key
}
