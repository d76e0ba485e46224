//! Media: sealed files, up and down over HTTP on the same port. The link gives tickets, the book (in
//! the store) says who holds what and until when, a partial upload lies in the [`spool`], a whole file
//! in the [`depot`]. Nothing of a file is held in RAM but the piece on its way.

mod depot;
pub(crate) mod http;
mod line;
mod spool;
mod sweep;
mod ticket;
mod upload;

use std::io;
use std::path::Path;
use std::sync::Arc;

use godwit_base::{BlobId, DeviceId};
use godwit_store::{Disk, EmbeddedMedia, Hold, HoldError, MediaBook, OpenError, StoreError};
use godwit_wire::{Refusal, v1};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::config::{Config, MediaLimits};
use crate::node::Node;
use crate::rate::{Rate, RateTable};
use crate::session::{BUSY_MS, DISK_FULL_MS, UNAVAILABLE_MS};
use depot::Depot;
use line::{Devices, Lines};
use spool::Spool;
pub(crate) use sweep::{sweep, tidy};
pub(crate) use ticket::TicketBoxKey;
use ticket::{Pass, TicketBox, Way};

/// Folder of files and of the book about them inside the data folder.
const FOLDER: &str = "media";

/// How long a ticket is good for. A transfer that began goes on; one that was cut later asks anew.
const TICKET_MS: u64 = 3_600_000;

/// How long a file may be under way: 300 MB take 17 hours at 40 kbit/s.
const UPLOAD_MS: u64 = 3 * DAY_MS;

const DAY_MS: u64 = 86_400_000;

/// Tickets and notes an hour of one device, and as many at once: on a line that is cut every 20 s each
/// cut may cost one, 180 an hour.
const ASKS_PER_HOUR: u32 = 2_000;

/// Transfers at once, of everybody. Each holds about 600 KB at most, the pieces between socket and
/// disk: 154 MB.
const TRANSFERS_MAX: usize = 256;

/// Locks of files that move, shared by all.
const SHELVES: usize = 64;

/// Everything about files of one server.
pub(crate) struct Media {
    limits: MediaLimits,
    reserve_bytes: u64,
    disk: Arc<dyn Disk>,
    book: Arc<dyn MediaBook>,
    depot: Depot,
    spool: Spool,
    tickets: TicketBox,
    lines: Lines,
    devices: Devices,
    transfers: Arc<Semaphore>,
    asks: RateTable<DeviceId>,
    /// Held while a file enters or leaves the depot and the book with it, so that a file that leaves
    /// never takes along one that comes.
    shelves: [Mutex<()>; SHELVES],
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The folders cannot be made.
    #[error(
        "the folder of files cannot be used: {0}; check that the data folder belongs to the user that runs godwitd"
    )]
    Folder(#[from] io::Error),
    /// The book cannot be opened.
    #[error(transparent)]
    Book(#[from] OpenError),
    /// The depot cannot be used.
    #[error(
        "the store for files cannot be used: {0}; check the section [media] of the configuration"
    )]
    Depot(String),
    /// The machine gives no randomness.
    #[error("no key for tickets could be made: the machine gives no randomness")]
    Entropy,
}

impl Media {
    /// Opens everything under the data folder; with the key of another process's tickets, if there is one.
    /// Blocks on the disk.
    pub(crate) fn open(
        config: &Config,
        data: &Path,
        disk: Arc<dyn Disk>,
        key: Option<TicketBoxKey>,
    ) -> Result<Self, MediaError> {
        let folder = data.join(FOLDER);
        let spool = Spool::open(&folder)?;
        let depot = Depot::open(&config.media, &folder)?;
        let book = Arc::new(EmbeddedMedia::open(&folder, Arc::clone(&disk))?);
        Ok(Self {
            limits: config.media.clone(),
            reserve_bytes: config.store.reserve_bytes,
            disk,
            book,
            depot,
            spool,
            tickets: TicketBox::new(key).ok_or(MediaError::Entropy)?,
            lines: Lines::default(),
            devices: Devices::default(),
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            asks: RateTable::new(Rate::per_hour(ASKS_PER_HOUR)),
            shelves: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Counts of the book.
    pub(crate) fn stats(&self) -> godwit_store::MediaStats {
        self.book.media_stats()
    }

    /// What a process needs that takes over, so that tickets stay good.
    pub(crate) fn ticket_key(&self) -> &TicketBoxKey {
        self.tickets.key()
    }

    /// Closes the book. Blocks on the disk.
    pub(crate) fn close(&self) {
        self.book.close_media();
    }

    /// Lets go of what the table of rates needs no longer.
    pub(crate) fn forget_rates(&self, now_ns: u64) {
        self.asks.forget_fresh(now_ns);
    }

    /// Asks the book something, where waiting for the disk stops nobody else.
    async fn book<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn MediaBook) -> T + Send + 'static,
    ) -> Result<T, No> {
        let book = Arc::clone(&self.book);
        let asked = tokio::task::spawn_blocking(move || ask(&*book)).await;
        asked.map_err(|_| No::of(Refusal::Internal))
    }

    /// The lock of the shelf on which a file lies.
    fn shelf(&self, blob: BlobId) -> &Mutex<()> {
        let [first, ..] = blob.0;
        let [zeroth, ..] = &self.shelves;
        self.shelves.get(usize::from(first) % SHELVES).unwrap_or(zeroth)
    }

    /// Whether `bytes` more may be written to the disk of the spool.
    fn has_room_for(&self, bytes: u64) -> bool {
        let available = self.disk.available_bytes(self.spool.folder());
        available.is_ok_and(|available| available >= self.reserve_bytes.saturating_add(bytes))
    }

    /// A place among the transfers, and the device's among its own.
    fn enter(&self, device: DeviceId) -> Result<(OwnedSemaphorePermit, line::Place), No> {
        let place = self.devices.enter(device).ok_or(No::of(Refusal::RateLimited))?;
        let permit = Arc::clone(&self.transfers).try_acquire_owned();
        Ok((permit.map_err(|_| No::of(Refusal::Busy))?, place))
    }
}

/// A no, over the link or over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) refusal: Refusal,
    pub(crate) retry_after_ms: u32,
}

impl No {
    fn of(refusal: Refusal) -> Self {
        let retry_after_ms = match refusal {
            Refusal::Busy | Refusal::MediaDamaged => BUSY_MS,
            Refusal::DiskFull => DISK_FULL_MS,
            _ if refusal.retryable() => UNAVAILABLE_MS,
            _ => 0,
        };
        Self { refusal, retry_after_ms }
    }
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        Self::of(match error {
            StoreError::Busy => Refusal::Busy,
            StoreError::DiskFull => Refusal::DiskFull,
            _ => Refusal::Unavailable,
        })
    }
}

impl From<HoldError> for No {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Store(error) => error.into(),
            HoldError::Length => Self::of(Refusal::Malformed),
            _ => Self::of(Refusal::MediaQuota),
        }
    }
}

/// Failures of disk or depot. What they say goes to the log, not to the peer.
impl From<io::Error> for No {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::of(Refusal::DiskFull)
            }
            _ => {
                tracing::warn!(%error, "file not moved");
                Self::of(Refusal::Unavailable)
            }
        }
    }
}

/// A device asks for a ticket.
pub(crate) async fn grant(
    node: &Node,
    device: DeviceId,
    ask: v1::MediaGrantRequest,
) -> Result<v1::MediaGrant, No> {
    let media = &node.media;
    allow(node, device)?;
    let blob = blob_of(&ask.blob)?;
    let now_ms = node.clock.unix_ms();
    match v1::MediaDirection::try_from(ask.direction) {
        Ok(v1::MediaDirection::Up) => media.grant_up(device, blob, &ask, now_ms).await,
        Ok(v1::MediaDirection::Down) => media.grant_down(device, blob, &ask, now_ms).await,
        _ => Err(No::of(Refusal::Malformed)),
    }
}

/// A device has a file and needs it no more.
pub(crate) async fn fetched(
    node: &Node,
    device: DeviceId,
    fetched: v1::MediaFetched,
) -> Result<v1::MediaNoted, No> {
    let media = &node.media;
    allow(node, device)?;
    let blob = blob_of(&fetched.blob)?;
    if media.book(move |book| book.fetched(blob, device)).await?? {
        media.remove(blob).await?;
    }
    Ok(v1::MediaNoted { request: fetched.request })
}

fn allow(node: &Node, device: DeviceId) -> Result<(), No> {
    let asked = node.media.asks.take(device, node.now_ns());
    asked.map_err(|retry_after_ms| No { refusal: Refusal::RateLimited, retry_after_ms })
}

fn blob_of(bytes: &[u8]) -> Result<BlobId, No> {
    bytes.try_into().map(BlobId).map_err(|_| No::of(Refusal::Malformed))
}

impl Media {
    async fn grant_up(
        &self,
        device: DeviceId,
        blob: BlobId,
        ask: &v1::MediaGrantRequest,
        now_ms: u64,
    ) -> Result<v1::MediaGrant, No> {
        if ask.bytes == 0 {
            return Err(No::of(Refusal::Malformed));
        }
        if ask.bytes > self.limits.blob_bytes_max {
            return Err(No::of(Refusal::MediaTooLarge));
        }
        let there = self.spool.bytes_of(device.account, blob).await?;
        if !self.has_room_for(ask.bytes.saturating_sub(there)) {
            return Err(No::of(Refusal::DiskFull));
        }
        let hold = Hold {
            account: device.account,
            blob,
            bytes: ask.bytes,
            fetchers: ask.fetchers,
            until_ms: now_ms.saturating_add(UPLOAD_MS),
            keep_until_ms: self.keep_until_ms(now_ms),
            quota_bytes: self.limits.account_bytes_max,
        };
        let held = self.book(move |book| book.hold(&hold)).await??;
        let pass = Pass { way: Way::Up, device, blob, bytes: ask.bytes };
        let (ticket, ticket_expires_ms) = match held.is_stored {
            true => (Vec::new(), 0),
            false => self.ticket(&pass, now_ms)?,
        };
        Ok(v1::MediaGrant {
            request: ask.request,
            ticket: ticket.into(),
            bytes: held.bytes,
            offset: if held.is_stored { held.bytes } else { there.min(held.bytes) },
            already_there: held.is_stored,
            ticket_expires_ms,
            blob_expires_ms: held.until_ms,
        })
    }

    async fn grant_down(
        &self,
        device: DeviceId,
        blob: BlobId,
        ask: &v1::MediaGrantRequest,
        now_ms: u64,
    ) -> Result<v1::MediaGrant, No> {
        let found = self.book(move |book| book.blob(blob)).await??;
        let found = found.ok_or(No::of(Refusal::MediaGone))?;
        let pass = Pass { way: Way::Down, device, blob, bytes: found.bytes };
        let (ticket, ticket_expires_ms) = self.ticket(&pass, now_ms)?;
        Ok(v1::MediaGrant {
            request: ask.request,
            ticket: ticket.into(),
            bytes: found.bytes,
            offset: 0,
            already_there: false,
            ticket_expires_ms,
            blob_expires_ms: found.until_ms,
        })
    }

    fn ticket(&self, pass: &Pass, now_ms: u64) -> Result<(Vec<u8>, u64), No> {
        let expires_ms = now_ms.saturating_add(TICKET_MS);
        let ticket = self.tickets.seal(pass, expires_ms).ok_or(No::of(Refusal::Internal))?;
        Ok((ticket, expires_ms))
    }

    fn keep_until_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add(self.limits.expiry_days.saturating_mul(DAY_MS))
    }

    /// Deletes the bytes of a file that left the book, unless it came back meanwhile.
    async fn remove(&self, blob: BlobId) -> Result<(), No> {
        let _shelf = self.shelf(blob).lock().await;
        if self.book(move |book| book.blob(blob)).await??.is_none() {
            self.depot.delete(blob).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_store::FileDisk;

    #[test]
    fn so_many_transfers_at_once_and_the_next_is_told_to_come_back() {
        let data = tempfile::tempdir().unwrap();
        let media = Media::open(&Config::default(), data.path(), Arc::new(FileDisk), None).unwrap();
        let enter = |account: usize| media.enter(DeviceId::new(account as u64, 1));
        let mut places: Vec<_> = (0..TRANSFERS_MAX).filter_map(|n| enter(n).ok()).collect();
        assert_eq!(places.len(), TRANSFERS_MAX);
        let no = enter(TRANSFERS_MAX).err().unwrap();
        assert_eq!((no.refusal, no.retry_after_ms), (Refusal::Busy, BUSY_MS));
        places.pop();
        assert!(enter(TRANSFERS_MAX).is_ok());
    }
}
