//! Devices whose sessions panic again and again are held back, so that one poisonous mailbox or
//! client does not keep a worker busy with unwinding.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use godwit_base::{AccountId, DeviceId, DeviceNumber};
use serde::Serialize;

use crate::handover::QuarantineRecord;

/// So many panics within [`WINDOW_MS`] and the device is held back.
const PANICS_MAX: usize = 3;
const WINDOW_MS: u64 = 60_000;

/// The first time in quarantine; doubled each time after.
const FIRST_MS: u64 = 60_000;
const LONGEST_MS: u64 = 30 * 60_000;

/// A device that behaved for so long starts again at [`FIRST_MS`], and is forgotten.
const FORGET_MS: u64 = 2 * LONGEST_MS;

/// Devices remembered; each entry is under 100 B. Beyond it the panics of new ones are counted
/// only: 65,536 different devices panicking within an hour are a fault of ours, not of theirs.
const DEVICES_MAX: usize = 65_536;

/// Who is held back, and until when. Times are milliseconds since the server started.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    /// Entries, readable without the lock: nearly always none.
    size: AtomicUsize,
    devices: Mutex<HashMap<DeviceId, Record>>,
}

#[derive(Debug, Default)]
struct Record {
    panics_ms: Vec<u64>,
    times: u32,
    until_ms: u64,
}

/// What is known of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    /// Panics of its sessions in the last minute, those not counted for which it was held back.
    pub(crate) recent_panics: usize,
    /// How often it was held back.
    pub(crate) times_held: u32,
    /// For how long it still is.
    pub(crate) held_ms: u64,
}

impl Quarantine {
    /// How long this device must still wait; `None`: it may come in.
    pub(crate) fn wait_ms(&self, device: DeviceId, now_ms: u64) -> Option<u32> {
        if self.size.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = devices.get(&device)?.until_ms.checked_sub(now_ms)?;
        u32::try_from(wait).ok().filter(|wait| *wait > 0)
    }

    /// What is known of this device, for the operator; None if it never panicked, or long ago.
    pub(crate) fn look(&self, device: DeviceId, now_ms: u64) -> Option<Standing> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let record = devices.get(&device)?;
        let recent = record.panics_ms.iter().filter(|at| **at + WINDOW_MS > now_ms).count();
        let held_ms = record.until_ms.saturating_sub(now_ms);
        Some(Standing { recent_panics: recent, times_held: record.times, held_ms })
    }

    /// Devices that are held back now.
    pub(crate) fn held(&self, now_ms: u64) -> usize {
        if self.size.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.values().filter(|record| record.until_ms > now_ms).count()
    }

    /// A session of this device panicked. True if the device is held back from now on.
    pub(crate) fn panicked(&self, device: DeviceId, now_ms: u64) -> bool {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if devices.len() >= DEVICES_MAX {
            devices.retain(|_, record| record.last_ms() + FORGET_MS > now_ms);
        }
        if devices.len() >= DEVICES_MAX && !devices.contains_key(&device) {
            return false;
        }
        let held_back = devices.entry(device).or_default().panicked(now_ms);
        self.size.store(devices.len(), Ordering::Relaxed);
        held_back
    }

    /// Everybody who is remembered, for another process.
    pub(crate) fn pack(&self) -> Vec<QuarantineRecord> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let pack = |(device, record): (&DeviceId, &Record)| QuarantineRecord {
            account: device.account.0,
            device: device.number.0,
            panics_ms: record.panics_ms.clone(),
            times: record.times,
            until_ms: record.until_ms,
        };
        devices.iter().map(pack).collect()
    }

    /// Remembers who was written down.
    pub(crate) fn unpack(&self, rows: &[QuarantineRecord]) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.iter().take(DEVICES_MAX) {
            let number = DeviceNumber(row.device);
            let device = DeviceId { account: AccountId(row.account), number };
            let panics_ms = row.panics_ms.iter().copied().take(PANICS_MAX).collect();
            let record = Record { panics_ms, times: row.times, until_ms: row.until_ms };
            devices.insert(device, record);
        }
        self.size.store(devices.len(), Ordering::Relaxed);
    }
}

impl Record {
    fn last_ms(&self) -> u64 {
        self.panics_ms.last().copied().unwrap_or(0).max(self.until_ms)
    }

    fn panicked(&mut self, now_ms: u64) -> bool {
        if self.last_ms() + FORGET_MS < now_ms {
            self.times = 0;
        }
        self.panics_ms.retain(|at| at + WINDOW_MS > now_ms);
        self.panics_ms.push(now_ms);
        if self.panics_ms.len() < PANICS_MAX {
            return false;
        }
        self.panics_ms.clear();
        let time_ms = FIRST_MS.checked_shl(self.times).unwrap_or(LONGEST_MS).min(LONGEST_MS);
        self.times = (self.times + 1).min(16);
        self.until_ms = now_ms + time_ms;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::new(1, 1);

    #[test]
    fn three_panics_in_a_minute_hold_back_and_each_time_longer() {
        let quarantine = Quarantine::default();
        let mut now = 1_000;
        for minutes in [1, 2, 4, 8, 16, 30, 30] {
            assert!(!quarantine.panicked(DEVICE, now));
            assert!(!quarantine.panicked(DEVICE, now));
            assert_eq!(quarantine.wait_ms(DEVICE, now), None);
            let recent = |now| quarantine.look(DEVICE, now).unwrap().recent_panics;
            assert_eq!((recent(now), quarantine.held(now)), (2, 0));
            assert!(quarantine.panicked(DEVICE, now));
            assert_eq!((recent(now), quarantine.held(now)), (0, 1));
            assert_eq!(quarantine.wait_ms(DEVICE, now), Some(minutes * 60_000));
            assert_eq!(quarantine.wait_ms(DeviceId::new(2, 1), now), None, "nobody else");
            now += u64::from(minutes) * 60_000;
            assert_eq!(quarantine.wait_ms(DEVICE, now), None, "over");
            assert_eq!(quarantine.held(now), 0);
        }
        now += FORGET_MS + 1;
        for _ in 0..PANICS_MAX {
            quarantine.panicked(DEVICE, now);
        }
        assert_eq!(quarantine.wait_ms(DEVICE, now), Some(60_000), "it began anew");
    }

    #[test]
    fn so_many_devices_are_remembered_and_room_comes_when_some_have_behaved() {
        let quarantine = Quarantine::default();
        let device = |n: usize| DeviceId::new(n as u64, 1);
        let holds_back =
            |n, now| (0..PANICS_MAX).map(|_| quarantine.panicked(device(n), now)).last();
        for n in 1..DEVICES_MAX {
            quarantine.panicked(device(n), 1_000);
        }
        assert_eq!(holds_back(DEVICES_MAX, 1_000), Some(true), "the last that has room");
        assert_eq!(holds_back(DEVICES_MAX + 1, 1_000), Some(false), "counted only");
        assert!(!quarantine.panicked(device(1), 1_000), "its second");
        assert!(quarantine.panicked(device(1), 1_000), "known already, and its third");
        assert_eq!(holds_back(DEVICES_MAX + 1, 1_001 + FORGET_MS), Some(true));
    }

    #[test]
    fn panics_far_apart_hold_nobody_back() {
        let quarantine = Quarantine::default();
        for minute in 0..10 {
            assert!(!quarantine.panicked(DEVICE, minute * 30_001));
        }
    }
}
