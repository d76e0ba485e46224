//! Who is writing what just now. The newest upload of a file wins: after a cut a device comes back
//! long before the server notices that the old connection is dead.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use godwit_base::{AccountId, BlobId, DeviceId};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::timeout;

/// Transfers of one device at once.
const PER_DEVICE_MAX: u8 = 8;

/// How long the older upload has to write down what came: a sync of 16 MiB on a slow disk.
const HANDOVER: Duration = Duration::from_secs(10);

type Key = (AccountId, BlobId);

/// The uploads that are running; as many rows as there are.
#[derive(Default)]
pub(super) struct Lines(Arc<Mutex<HashMap<Key, Arc<Line>>>>);

struct Line {
    /// The newest who came.
    newest: watch::Sender<u64>,
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// The right to write one upload, until it is displaced.
pub(super) struct Turn {
    key: Key,
    mine: u64,
    line: Arc<Line>,
    newest: watch::Receiver<u64>,
    writing: Option<OwnedMutexGuard<()>>,
    lines: Arc<Mutex<HashMap<Key, Arc<Line>>>>,
}

impl Lines {
    /// Displaces whoever writes this upload and takes its place; none if a still newer one came, or the
    /// older one does not let go.
    pub(super) async fn take(&self, account: AccountId, blob: BlobId) -> Option<Turn> {
        let mut turn = self.queue((account, blob));
        let writing = Arc::clone(&turn.line.writing);
        turn.writing = timeout(HANDOVER, writing.lock_owned()).await.ok();
        (turn.writing.is_some() && !turn.is_displaced()).then_some(turn)
    }

    /// The newest of this upload from here on.
    fn queue(&self, key: Key) -> Turn {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Arc::clone(lines.entry(key).or_insert_with(|| {
            Arc::new(Line { newest: watch::channel(0).0, writing: Arc::default() })
        }));
        line.newest.send_modify(|newest| *newest += 1);
        let newest = line.newest.subscribe();
        let mine = *newest.borrow();
        Turn { key, mine, line, newest, writing: None, lines: Arc::clone(&self.0) }
    }
}

impl Turn {
    fn is_displaced(&self) -> bool {
        *self.newest.borrow() != self.mine
    }

    /// Completes when a newer upload of the same file came. Cancel safe.
    pub(super) async fn displaced(&mut self) {
        let mine = self.mine;
        // The sender lives as long as this turn.
        let _ = self.newest.wait_for(|newest| *newest != mine).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.writing = None;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // The table and this one: nobody else waits.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.key);
        }
    }
}

/// Counts of transfers by device.
#[derive(Default)]
pub(super) struct Devices(Arc<Mutex<HashMap<DeviceId, u8>>>);

/// One transfer of a device; given back when dropped.
pub(super) struct Place(DeviceId, Arc<Mutex<HashMap<DeviceId, u8>>>);

impl Devices {
    /// None if the device has its share.
    pub(super) fn enter(&self, device: DeviceId) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(device).or_default();
        if *count >= PER_DEVICE_MAX {
            return None;
        }
        *count += 1;
        Some(Place(device, Arc::clone(&self.0)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        leave(&mut self.1.lock().unwrap_or_else(PoisonError::into_inner), &self.0);
    }
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, u8>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_base::DeviceNumber;

    const KEY: Key = (AccountId(1), BlobId([1; 32]));

    #[tokio::test]
    async fn the_newest_takes_over_and_the_oldest_is_told() {
        let lines = Lines::default();
        let mut first = lines.take(KEY.0, KEY.1).await.unwrap();
        let second = lines.take(KEY.0, KEY.1);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("the first still writes"),
            () = first.displaced() => {}
        }
        drop(first);
        let second = second.await.unwrap();
        assert!(!second.is_displaced());
        let other = lines.take(AccountId(2), KEY.1).await.unwrap();
        drop((second, other));
        assert!(lines.0.lock().unwrap().is_empty(), "who is done takes no room");
    }

    #[test]
    fn a_device_has_its_share_and_no_more() {
        let devices = Devices::default();
        let device = |number| DeviceId { account: AccountId(1), number: DeviceNumber(number) };
        let mut places: Vec<_> =
            (0..PER_DEVICE_MAX).map(|_| devices.enter(device(1)).unwrap()).collect();
        assert!(devices.enter(device(1)).is_none());
        assert!(devices.enter(device(2)).is_some());
        places.pop();
        assert!(devices.enter(device(1)).is_some());
        drop(places);
        assert!(devices.0.lock().unwrap().is_empty());
    }
}
