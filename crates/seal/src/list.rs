//! The signed device list: which devices an account has, in the words of its owner alone.

mod verify;

use godwit_base::limits::{DEVICES_MAX, EXPIRY_DAYS};
use godwit_base::{AccountId, DeviceId, DeviceNumber};
use prost::Message;

use crate::account::{AccountKey, AccountPublic};
use crate::format;
use crate::row::{RowError, RowKey};
use crate::suite::{Domain, SUITE, prefix};
use crate::verified::Verified;

pub(crate) use verify::entry as read_entry;
pub use verify::{ListError, Trust};

/// Oldest list that is believed, 35 days: a server can hide a removal no longer than that. The
/// primary device signs anew every week, so that four missed weeks do no harm.
pub const LIST_AGE_MAX_MS: u64 = 35 * 24 * 3600 * 1000;

/// After this time the owner signs anew, as the next version: 7 days.
pub const LIST_RENEW_MS: u64 = 7 * 24 * 3600 * 1000;

/// How far ahead of ours the signer's clock may be, 1 day.
pub const LIST_AHEAD_MAX_MS: u64 = 24 * 3600 * 1000;

/// How long what a removed device sent before is still opened, 30 days: so long it may wait in a mailbox.
pub const FORMER_KEEP_MS: u64 = EXPIRY_DAYS * 24 * 3600 * 1000;

/// Most removed devices that a list names, twice what an account may have at once: 16 x about 150 B. Of
/// more, the one removed longest ago is not named any more.
pub const FORMER_MAX: usize = 2 * DEVICES_MAX;

/// Table name under which a verified list is stored.
const TABLE: &str = "device_list";

/// The public keys of one device, as it describes itself; see
/// [`DeviceKeys::describe`](crate::DeviceKeys::describe).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    pub(crate) number: DeviceNumber,
    pub(crate) signing_key: [u8; 32],
    pub(crate) dh_key: [u8; 32],
    pub(crate) suites: Vec<u8>,
    pub(crate) consent: Vec<u8>,
}

impl DeviceEntry {
    /// The device's number in its account.
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// The device as its peers see it.
    pub(crate) fn peer(&self, account: &AccountPublic) -> Peer {
        Peer {
            account: *account,
            number: self.number,
            signing_key: self.signing_key,
            dh_key: self.dh_key,
        }
    }
}

/// A device that was removed from the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    entry: DeviceEntry,
    until_ms: u64,
}

/// The devices of one account. Made by [`DeviceList::sign`], believed after [`DeviceList::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    account: AccountPublic,
    version: u64,
    highest_number: u32,
    devices: Vec<DeviceEntry>,
    former: Vec<Former>,
    issued_at_ms: u64,
    content_hash: [u8; 32],
    signed: Vec<u8>,
}

/// One device of a verified list: whom a session is with. Only [`Verified<DeviceList>`] gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub(crate) account: AccountPublic,
    pub(crate) number: DeviceNumber,
    pub(crate) signing_key: [u8; 32],
    pub(crate) dh_key: [u8; 32],
}

impl DeviceList {
    /// Signs the list of `devices`: version 1 without `previous`, else the version after it.
    /// Returns the bytes to publish.
    ///
    /// # Errors
    /// A [`ListError`] if the list would not verify: no device or too many, a number twice or used
    /// before, consent missing, `previous` of another account.
    pub fn sign(
        key: &AccountKey,
        previous: Option<&Verified<Self>>,
        devices: &[DeviceEntry],
        now_ms: u64,
    ) -> Result<Vec<u8>, ListError> {
        let highest = devices.iter().map(|device| device.number.0).max().unwrap_or(0);
        let content = format::ListContent {
            account_key: key.public().0.to_vec(),
            version: previous.map_or(1, |list| list.version.saturating_add(1)),
            previous: previous.map(|list| list.content_hash.to_vec()).unwrap_or_default(),
            highest_number: previous.map_or(highest, |list| list.highest_number.max(highest)),
            devices: devices.iter().map(to_format).collect(),
            former: former(previous, devices, now_ms).iter().map(former_to_format).collect(),
        };
        let signed = envelope(key, content.encode_to_vec(), now_ms);
        // What we would refuse from others we do not publish.
        Self::verify(&signed, Trust::Pinned(&key.public()), previous, now_ms)?;
        Ok(signed)
    }

    /// The account's key.
    pub fn account_key(&self) -> &AccountPublic {
        &self.account
    }

    /// The account's id.
    pub fn account(&self) -> AccountId {
        self.account.id()
    }

    /// From 1, one more for each change of the devices.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was signed, unix milliseconds by the signer's clock.
    pub fn issued_at_ms(&self) -> u64 {
        self.issued_at_ms
    }

    /// The signed bytes as they were verified.
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// The devices, ascending by number.
    pub fn numbers(&self) -> impl Iterator<Item = DeviceNumber> {
        self.devices.iter().map(|device| device.number)
    }

    /// Devices that were removed, and until when what they sent before is opened. Nothing is ever
    /// sealed for them.
    pub fn former(&self) -> impl Iterator<Item = (DeviceNumber, u64)> {
        self.former.iter().map(|former| (former.entry.number, former.until_ms))
    }

    /// The highest device number ever given out; the next device gets one more.
    pub fn highest_number(&self) -> DeviceNumber {
        DeviceNumber(self.highest_number)
    }

    /// The entries, to sign a list that keeps them.
    pub fn entries(&self) -> &[DeviceEntry] {
        &self.devices
    }

    /// Whether it is young enough to seal for its devices, and not of tomorrow. A list that was
    /// verified once grows too old like any other; fetch it anew then.
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        verify::check_age(self, now_ms).is_ok()
    }

    /// Whether the owner should sign it anew: a week has passed, or the clock was wrong when it was
    /// signed, so that contacts do not believe it.
    pub fn is_renewal_due(&self, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.issued_at_ms);
        age_ms >= LIST_RENEW_MS || !self.is_fresh(now_ms)
    }
}

impl Verified<DeviceList> {
    /// A device of the list, or `None` if the account has no such device now.
    pub fn peer(&self, number: DeviceNumber) -> Option<Peer> {
        let device = self.devices.iter().find(|device| device.number == number)?;
        Some(device.peer(&self.account))
    }

    /// A device that is, or was, one of the account.
    pub fn any_peer(&self, number: DeviceNumber) -> Option<Peer> {
        self.peer(number).or_else(|| self.former_peer(number))
    }

    /// A device that was removed, or `None` if it is not known to have been one.
    pub fn former_peer(&self, number: DeviceNumber) -> Option<Peer> {
        let former = self.former.iter().find(|former| former.entry.number == number)?;
        Some(former.entry.peer(&self.account))
    }

    /// The list as a sealed row.
    ///
    /// # Errors
    /// [`RowError::Entropy`] if the machine gives no randomness.
    pub fn to_row(&self, row_key: &RowKey) -> Result<Vec<u8>, RowError> {
        row_key.seal(TABLE, &self.account().0.to_be_bytes(), &self.signed)
    }

    /// Reads what [`Verified::to_row`] wrote. Its age is not judged here: ask
    /// [`DeviceList::is_fresh`].
    ///
    /// # Errors
    /// [`RowError::Damaged`] if the row was changed or belongs to another account.
    pub fn from_row(row_key: &RowKey, account: AccountId, row: &[u8]) -> Result<Self, RowError> {
        let signed = row_key.open(TABLE, &account.0.to_be_bytes(), row)?;
        let (list, _) = DeviceList::read(&signed, Some(Trust::FirstUse(account)))
            .map_err(|_| RowError::Damaged)?;
        Ok(Self::vouch(list))
    }
}

impl Peer {
    /// The device's address.
    pub fn id(&self) -> DeviceId {
        DeviceId { account: self.account.id(), number: self.number }
    }

    /// The key of the account that it belongs to.
    pub fn account_key(&self) -> &AccountPublic {
        &self.account
    }
}

pub(crate) fn to_format(device: &DeviceEntry) -> format::Device {
    format::Device {
        number: device.number.0,
        signing_key: device.signing_key.to_vec(),
        dh_key: device.dh_key.to_vec(),
        suites: device.suites.clone(),
        consent: device.consent.clone(),
    }
}

/// Those that `previous` names and `devices` does not: named as former until their time is over.
fn former(
    previous: Option<&Verified<DeviceList>>,
    devices: &[DeviceEntry],
    now_ms: u64,
) -> Vec<Former> {
    let Some(previous) = previous else { return Vec::new() };
    let is_gone = |entry: &DeviceEntry| devices.iter().all(|kept| kept.number != entry.number);
    let until_ms = now_ms.saturating_add(FORMER_KEEP_MS);
    let gone = previous.devices.iter().filter(|entry| is_gone(entry));
    let gone = gone.map(|entry| Former { entry: entry.clone(), until_ms });
    let is_named = |former: &&Former| former.until_ms > now_ms && is_gone(&former.entry);
    let earlier = previous.former.iter().filter(is_named);
    // A clock that was ahead when one was removed must not make it a former device for longer.
    let earlier =
        earlier.map(|former| Former { until_ms: former.until_ms.min(until_ms), ..former.clone() });
    let mut all: Vec<Former> = earlier.chain(gone).collect();
    all.sort_by_key(|former| std::cmp::Reverse((former.until_ms, former.entry.number)));
    all.truncate(FORMER_MAX);
    all.sort_by_key(|former| former.entry.number);
    all
}

fn former_to_format(former: &Former) -> format::FormerDevice {
    format::FormerDevice { device: Some(to_format(&former.entry)), until_ms: former.until_ms }
}

fn envelope(key: &AccountKey, content: Vec<u8>, issued_at_ms: u64) -> Vec<u8> {
    let signature =
        key.sign(&Domain::DeviceList.bytes(&[&issued_at_ms.to_be_bytes(), &content])).to_vec();
    prefix(&format::SignedList { content, issued_at_ms, signature })
}

/// What a device signs to agree that it belongs to an account.
pub(crate) fn consent_bytes(account: &AccountPublic, number: u32, dh_key: &[u8; 32]) -> Vec<u8> {
    Domain::Device.bytes(&[&account.0, &number.to_be_bytes(), dh_key])
}

/// The suites that this version writes into its own entry.
pub(crate) const OUR_SUITES: [u8; 1] = [SUITE];
