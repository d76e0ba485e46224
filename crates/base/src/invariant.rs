//! The promises M1 to M13, numbered once. [`invariant!`](crate::invariant!) checks one: an assertion
//! in tests and simulation, a counter and an alarm in production.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A promise that the code keeps at every moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Invariant {
    /// No `Accepted` before the record is durable for every recipient device.
    M1 = 1,
    /// A record leaves a mailbox only by its device's acknowledgement, expiry, or removal of the device.
    M2,
    /// One (sender device, counter, recipient device) is stored once and shown once.
    M3,
    /// Order per sender and recipient device is kept.
    M4,
    /// No `Delivered` before the device's acknowledgement.
    M5,
    /// No path from the server to plaintext or private keys.
    M6,
    /// At most one live session per device.
    M7,
    /// Every queue, buffer, retry and map has a bound, and reaching it loses nothing accepted.
    M8,
    /// A one-time key is given out at most once.
    M9,
    /// A panic in a session's turn ends that session only.
    M10,
    /// After a hand-over no two processes write to one link.
    M11,
    /// A group message goes to exactly the members of its epoch.
    M12,
    /// Typing and presence are never stored.
    M13,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::M1,
        Self::M2,
        Self::M3,
        Self::M4,
        Self::M5,
        Self::M6,
        Self::M7,
        Self::M8,
        Self::M9,
        Self::M10,
        Self::M11,
        Self::M12,
        Self::M13,
    ];
}

static VIOLATIONS: [AtomicU64; Invariant::ALL.len()] =
    [const { AtomicU64::new(0) }; Invariant::ALL.len()];
static ALARM: OnceLock<fn(Invariant, &str)> = OnceLock::new();

/// How often each invariant was found broken in this process, in order of its number.
pub fn violations() -> impl Iterator<Item = (Invariant, u64)> {
    Invariant::ALL.into_iter().zip(&VIOLATIONS).map(|(i, n)| (i, n.load(Ordering::Relaxed)))
}

/// Names the function that is called when an invariant is found broken in production. The first
/// call decides; later ones change nothing.
pub fn set_alarm(alarm: fn(Invariant, &str)) {
    let _ = ALARM.set(alarm);
}

/// Records a broken invariant; called by [`invariant!`](crate::invariant!) only.
///
/// # Panics
/// With debug assertions, always: a broken invariant fails the test that met it.
#[doc(hidden)]
#[cold]
pub fn broken(invariant: Invariant, what: &str) {
    if let Some(count) = VIOLATIONS.get(usize::from(invariant as u8).wrapping_sub(1)) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(alarm) = ALARM.get() {
        alarm(invariant, what);
    }
    #[allow(clippy::panic, reason = "in tests a broken invariant must stop the test")]
    if cfg!(debug_assertions) {
        panic!("invariant {invariant:?} broken: {what}");
    }
}

/// Checks a numbered invariant: `invariant!(M4, seq > last, "record handed over out of order")`.
///
/// # Panics
/// With debug assertions, when the condition is false. Otherwise it counts and raises the alarm.
#[macro_export]
macro_rules! invariant {
    ($number:ident, $holds:expr, $what:literal) => {
        if !$holds {
            $crate::__broken($crate::Invariant::$number, $what);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_invariant_is_counted_and_stops_a_test() {
        let count = || violations().find(|(i, _)| *i == Invariant::M13).map(|(_, n)| n);
        let before = count();
        let stopped = std::panic::catch_unwind(|| crate::invariant!(M13, 1 > 2, "planted"));
        assert!(stopped.is_err());
        assert_eq!(count(), before.map(|n| n + 1));
        crate::invariant!(M13, 2 > 1, "holds");
        assert_eq!(count(), before.map(|n| n + 1));
    }

    #[test]
    fn numbers_are_those_of_the_design() {
        for (index, invariant) in Invariant::ALL.into_iter().enumerate() {
            assert_eq!(invariant as usize, index + 1);
        }
    }
}
