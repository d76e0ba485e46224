//! What a device list must satisfy before anything is sealed for its devices.

use godwit_base::limits::{DEVICES_MAX, SIGNED_LIST_BYTES_MAX};
use godwit_base::{AccountId, DeviceNumber};
use prost::Message;

use super::{
    DeviceEntry, DeviceList, FORMER_KEEP_MS, FORMER_MAX, Former, LIST_AGE_MAX_MS,
    LIST_AHEAD_MAX_MS, consent_bytes,
};
use crate::account::{AccountPublic, verifies};
use crate::format;
use crate::suite::{Domain, strip};
use crate::verified::Verified;

/// Most suites an entry names: one byte each, and we shall not see more in this format's life.
const SUITES_MAX: usize = 16;

/// Whose list we expect.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// The account whose key was pinned before.
    Pinned(&'a AccountPublic),
    /// The first contact: any key that hashes to this id. Pin the key of the verified list.
    FirstUse(AccountId),
}

/// Why a device list is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// Not a device list: cut, too long, a field missing.
    #[error("the device list is malformed")]
    Malformed,
    /// Signed in a way that this version does not know.
    #[error("the device list uses suite {0}, which this version does not know: update the program")]
    UnknownSuite(u8),
    /// Another account key than the pinned one. The contact's key changed, or somebody stands
    /// between: ask the user, who compares safety numbers.
    #[error("the identity key of the contact changed")]
    KeyChanged {
        /// What we had.
        pinned: AccountPublic,
        /// What the list names.
        seen: AccountPublic,
    },
    /// The key in the list does not hash to the account that was asked for.
    #[error("the device list belongs to another account")]
    WrongAccount,
    /// The account did not sign these bytes.
    #[error("the signature of the device list is wrong")]
    BadSignature,
    /// A device in the list did not agree to belong to the account.
    #[error("device {} did not agree to belong to the account", .0.0)]
    NoConsent(DeviceNumber),
    /// Older than what we have seen: the server shows an old list.
    #[error("the device list went back from version {have} to {got}")]
    Rollback {
        /// The version (or the signing time, if the versions are equal) that we have.
        have: u64,
        /// What came.
        got: u64,
    },
    /// Two different lists with one version, or a next version that does not follow ours.
    #[error("the device list contradicts the one seen before")]
    Fork,
    /// A device number that was used before has new keys.
    #[error("device {} was replaced under its old number", .0.0)]
    NumberReused(DeviceNumber),
    /// Signed too long ago: the owner's primary device was not seen for weeks, or the server
    /// freezes the list, or our clock is wrong.
    #[error("the device list is too old (or this machine's clock is wrong)")]
    TooOld {
        /// When it was signed.
        issued_at_ms: u64,
    },
    /// Signed in the future: one of the two clocks is wrong.
    #[error("the device list comes from the future: check this machine's clock")]
    FromTheFuture {
        /// When it was signed.
        issued_at_ms: u64,
    },
}

impl DeviceList {
    /// Checks a device list that came from the server.
    ///
    /// `previous` is the list of this account that was verified last; pass it whenever there is
    /// one, else a rollback goes unseen. Versions between the two may be missing: the server keeps
    /// only the newest.
    ///
    /// # Errors
    /// A [`ListError`] that says what is wrong; nothing was believed.
    pub fn verify(
        bytes: &[u8],
        trust: Trust<'_>,
        previous: Option<&Verified<Self>>,
        now_ms: u64,
    ) -> Result<Verified<Self>, ListError> {
        let (list, previous_hash) = Self::read(bytes, Some(trust))?;
        check_age(&list, now_ms)?;
        if let Some(previous) = previous {
            check_follows(&list, &previous_hash, previous)?;
        }
        Ok(Verified::vouch(list))
    }

    /// Parses and checks every signature; knows nothing of time and of earlier lists. Returns the
    /// list and the hash that it names as its predecessor. Without `trust` the caller compares the
    /// account key itself.
    pub(crate) fn read(
        bytes: &[u8],
        trust: Option<Trust<'_>>,
    ) -> Result<(Self, Vec<u8>), ListError> {
        let (signed, content) = decode(bytes)?;
        let account = trusted_key(&content, trust)?;
        let bytes_signed =
            Domain::DeviceList.bytes(&[&signed.issued_at_ms.to_be_bytes(), &signed.content]);
        if !account.verifies(&bytes_signed, &signed.signature) {
            return Err(ListError::BadSignature);
        }
        let devices = devices(&account, &content)?;
        let list = Self {
            account,
            version: content.version,
            highest_number: content.highest_number,
            former: former(&account, &content, &devices, signed.issued_at_ms)?,
            devices,
            issued_at_ms: signed.issued_at_ms,
            content_hash: Domain::DeviceListContent.hash(&[&signed.content]),
            signed: bytes.to_vec(),
        };
        Ok((list, content.previous))
    }
}

fn decode(bytes: &[u8]) -> Result<(format::SignedList, format::ListContent), ListError> {
    if bytes.len() > SIGNED_LIST_BYTES_MAX {
        return Err(ListError::Malformed);
    }
    let blob = strip(bytes)
        .map_err(|suite| suite.map_or(ListError::Malformed, ListError::UnknownSuite))?;
    let signed = format::SignedList::decode(blob).map_err(|_| ListError::Malformed)?;
    let content =
        format::ListContent::decode(&*signed.content).map_err(|_| ListError::Malformed)?;
    // Version 1 has no predecessor, every other names its own.
    let previous_length = if content.version == 1 { 0 } else { 32 };
    if content.version == 0 || content.previous.len() != previous_length {
        return Err(ListError::Malformed);
    }
    Ok((signed, content))
}

fn trusted_key(
    content: &format::ListContent,
    trust: Option<Trust<'_>>,
) -> Result<AccountPublic, ListError> {
    let seen = AccountPublic(array(&content.account_key)?);
    match trust {
        Some(Trust::Pinned(pinned)) if *pinned != seen => {
            Err(ListError::KeyChanged { pinned: *pinned, seen })
        }
        Some(Trust::FirstUse(id)) if seen.id() != id => Err(ListError::WrongAccount),
        _ => Ok(seen),
    }
}

fn devices(
    account: &AccountPublic,
    content: &format::ListContent,
) -> Result<Vec<DeviceEntry>, ListError> {
    if content.devices.is_empty() || content.devices.len() > DEVICES_MAX {
        return Err(ListError::Malformed);
    }
    let mut last_number = 0;
    let mut entries = Vec::with_capacity(content.devices.len());
    for device in &content.devices {
        if device.number <= last_number || device.number > content.highest_number {
            return Err(ListError::Malformed);
        }
        last_number = device.number;
        entries.push(entry(account, device)?);
    }
    Ok(entries)
}

/// Devices that were removed: none is on the list, and none is named for longer than 30 days.
fn former(
    account: &AccountPublic,
    content: &format::ListContent,
    devices: &[DeviceEntry],
    issued_at_ms: u64,
) -> Result<Vec<Former>, ListError> {
    if content.former.len() > FORMER_MAX {
        return Err(ListError::Malformed);
    }
    let mut last_number = 0;
    let mut all = Vec::with_capacity(content.former.len());
    for former in &content.former {
        let device = former.device.as_ref().ok_or(ListError::Malformed)?;
        let is_listed = devices.iter().any(|listed| listed.number.0 == device.number);
        if device.number <= last_number
            || device.number > content.highest_number
            || is_listed
            || former.until_ms > issued_at_ms.saturating_add(FORMER_KEEP_MS)
        {
            return Err(ListError::Malformed);
        }
        last_number = device.number;
        all.push(Former { entry: entry(account, device)?, until_ms: former.until_ms });
    }
    Ok(all)
}

/// One device, if it agreed to belong to the account under that number.
pub(crate) fn entry(
    account: &AccountPublic,
    device: &format::Device,
) -> Result<DeviceEntry, ListError> {
    let signing_key = array(&device.signing_key)?;
    let dh_key = array(&device.dh_key)?;
    if device.suites.is_empty() || device.suites.len() > SUITES_MAX {
        return Err(ListError::Malformed);
    }
    if !verifies(&signing_key, &consent_bytes(account, device.number, &dh_key), &device.consent) {
        return Err(ListError::NoConsent(DeviceNumber(device.number)));
    }
    Ok(DeviceEntry {
        number: DeviceNumber(device.number),
        signing_key,
        dh_key,
        suites: device.suites.clone(),
        consent: device.consent.clone(),
    })
}

pub(super) fn check_age(list: &DeviceList, now_ms: u64) -> Result<(), ListError> {
    let issued_at_ms = list.issued_at_ms;
    if now_ms.saturating_sub(issued_at_ms) > LIST_AGE_MAX_MS {
        return Err(ListError::TooOld { issued_at_ms });
    }
    if issued_at_ms.saturating_sub(now_ms) > LIST_AHEAD_MAX_MS {
        return Err(ListError::FromTheFuture { issued_at_ms });
    }
    Ok(())
}

fn check_follows(
    list: &DeviceList,
    previous_hash: &[u8],
    previous: &DeviceList,
) -> Result<(), ListError> {
    if list.account != previous.account {
        return Err(ListError::KeyChanged { pinned: previous.account, seen: list.account });
    }
    if list.version < previous.version {
        return Err(ListError::Rollback { have: previous.version, got: list.version });
    }
    if list.version == previous.version {
        if list.content_hash != previous.content_hash {
            return Err(ListError::Fork);
        }
        if list.issued_at_ms < previous.issued_at_ms {
            return Err(ListError::Rollback {
                have: previous.issued_at_ms,
                got: list.issued_at_ms,
            });
        }
        return Ok(());
    }
    if list.version == previous.version.saturating_add(1) && previous_hash != previous.content_hash
    {
        return Err(ListError::Fork);
    }
    check_numbers(list, previous)
}

/// A number keeps its keys for ever: it is either in both lists with the same keys, or new.
fn check_numbers(list: &DeviceList, previous: &DeviceList) -> Result<(), ListError> {
    if list.highest_number < previous.highest_number {
        return Err(ListError::Fork);
    }
    let former = list.former.iter().map(|former| &former.entry);
    let named_before = || {
        let former = previous.former.iter().map(|former| &former.entry);
        previous.devices.iter().map(|device| (device, true)).chain(former.map(|one| (one, false)))
    };
    let all = list.devices.iter().map(|device| (device, true));
    for (device, is_listed) in all.chain(former.map(|device| (device, false))) {
        let known = named_before().find(|(known, _)| known.number == device.number);
        // Who was removed does not come back.
        let known = known.map(|(known, was_listed)| (known, was_listed || !is_listed));
        let keeps_its_keys = match known {
            Some((_, false)) => false,
            Some((known, true)) => {
                known.signing_key == device.signing_key && known.dh_key == device.dh_key
            }
            None => device.number.0 > previous.highest_number,
        };
        if !keeps_its_keys {
            return Err(ListError::NumberReused(device.number));
        }
    }
    Ok(())
}

fn array(bytes: &[u8]) -> Result<[u8; 32], ListError> {
    bytes.try_into().map_err(|_| ListError::Malformed)
}
