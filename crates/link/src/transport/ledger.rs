//! Which counters were used with which key, in this thread: for simulation, where it is asked that none is
//! used twice (M11). Costs nothing until [`begin`].

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::crypto::KEY_BYTES;

thread_local! {
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Ledger {
    /// Of each key, the first counter that was not used.
    next: BTreeMap<[u8; KEY_BYTES], u64>,
    twice: u64,
}

/// From now on this thread notes what is sealed, and has noted nothing.
pub fn begin() {
    LEDGER.set(Some(Ledger::default()));
}

/// Frames since [`begin`] whose counter their key had used already.
pub fn sealed_twice() -> u64 {
    LEDGER.with_borrow(|ledger| ledger.as_ref().map_or(0, |ledger| ledger.twice))
}

/// A frame was sealed. Counters of a key only grow: one that does not was used before.
pub(super) fn note(key: &[u8; KEY_BYTES], counter: u64) {
    LEDGER.with_borrow_mut(|ledger| {
        let Some(ledger) = ledger else { return };
        let next = ledger.next.entry(*key).or_default();
        ledger.twice += u64::from(counter < *next);
        *next = (*next).max(counter.saturating_add(1));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Transport;

    #[test]
    fn a_counter_that_is_used_again_is_seen() {
        let mut link = Transport::new(&[1; KEY_BYTES], &[2; KEY_BYTES]);
        let mut other = Transport::new(&[2; KEY_BYTES], &[1; KEY_BYTES]);
        let says = |link: &mut Transport| link.seal_into(b"hi", &mut Vec::new()).unwrap();
        says(&mut link);
        begin();
        says(&mut link);
        says(&mut other);
        let mut parted = link.part();
        let mut moved = Transport::join(&parted);
        says(&mut moved);
        assert_eq!(sealed_twice(), 0, "it went on where it was parted");
        parted.sealed -= 1;
        says(&mut Transport::join(&parted));
        assert_eq!(sealed_twice(), 1);
        begin();
        assert_eq!(sealed_twice(), 0);
    }
}
