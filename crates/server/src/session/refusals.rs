//! What refusals leave behind on a link: from which message on everything waits, and whether the device
//! listens to them. Whoever goes on sending what is refused is not read for a while; TCP holds the sender
//! back then, and its refusals cost the others next to nothing (decision 0152).

use super::protocol::BUSY_MS;
use crate::handover::SessionRecord;
use crate::rate::{Meter, Rate};
use crate::seat::IN_FLIGHT_MAX;

const NS_PER_MS: u64 = 1_000_000;

/// Refusals at once that no device is blamed for. When the first one is said, a window of submissions may be
/// on its way, and another one behind it if an earlier message is refused meanwhile: 2 x 256.
pub(super) const AT_ONCE: u32 = 2 * IN_FLIGHT_MAX as u32;

/// Refusals a second that it is not blamed for: as many again each time when it may come again, which is
/// 100 ms later at the earliest. At a microsecond each a deaf device keeps half a hundredth of a CPU busy.
const PER_S: u32 = AT_ONCE * 1_000 / BUSY_MS;

/// For how long input is held at least: no refusal for now names less.
const HOLD_MS_MIN: u32 = BUSY_MS;

/// And at most. Its keepalives are not seen meanwhile, nor that it is gone; a client that awaits an answer
/// takes the link for dead after 20 s.
const HOLD_MS_MAX: u32 = 5_000;

/// Of one link; empty until something is refused.
#[derive(Debug, Default)]
pub(super) struct Refusals(Option<Box<State>>);

#[derive(Debug, Default)]
struct State {
    /// The first counter refused for now: everything after it is refused until it comes again, so
    /// that messages stay in order (M4). 0: none.
    from: u64,
    /// When it may come again.
    again_at_ns: u64,
    /// How much was refused lately.
    said: Meter,
}

impl Refusals {
    /// This counter is refused for now, for so long.
    pub(super) fn begin(&mut self, counter: u64, retry_ms: u32, now_ns: u64) {
        let state = self.0.get_or_insert_default();
        if state.from == 0 || counter <= state.from {
            state.from = counter;
            state.again_at_ns = now_ns.saturating_add(u64::from(retry_ms) * NS_PER_MS);
        }
    }

    /// For how many milliseconds this counter has to wait because an earlier one is refused, if it has to.
    pub(super) fn hold_up(&self, counter: u64, now_ns: u64) -> Option<u32> {
        let state = self.0.as_ref().filter(|state| state.from != 0 && counter > state.from)?;
        let left_ms = state.again_at_ns.saturating_sub(now_ns).div_ceil(NS_PER_MS);
        Some(u32::try_from(left_ms).unwrap_or(u32::MAX).max(BUSY_MS))
    }

    /// The counter that is waited for, and in how many milliseconds it may come.
    pub(super) fn from(&self, now_ns: u64) -> Option<(u64, u64)> {
        let state = self.0.as_ref().filter(|state| state.from != 0)?;
        Some((state.from, state.again_at_ns.saturating_sub(now_ns).div_ceil(NS_PER_MS)))
    }

    /// This counter is taken; if it is the one that was waited for, so are those after it.
    pub(super) fn end(&mut self, counter: u64) {
        if let Some(state) = self.0.as_mut().filter(|state| state.from == counter) {
            state.from = 0;
        }
    }

    /// Writes it down for another process.
    pub(super) fn pack(&self, record: &mut SessionRecord) {
        if let Some(state) = &self.0 {
            record.refused_from = state.from;
            record.refused_again_at_ns = state.again_at_ns;
            record.refusals_paid_at_ns = state.said.paid_at_ns();
        }
    }

    /// What was written down.
    pub(super) fn unpack(record: &SessionRecord) -> Self {
        let said = Meter::paid_at(record.refusals_paid_at_ns);
        let (from, again_at_ns) = (record.refused_from, record.refused_again_at_ns);
        let is_empty = from == 0 && said.is_new();
        Self((!is_empty).then(|| Box::new(State { from, again_at_ns, said })))
    }

    /// A message that cost its sender nothing is refused, for so long; 0 is for good. Returns for how many
    /// milliseconds its input is to be held: 0 unless it hears more refusals than one who listens to them.
    pub(super) fn said(&mut self, retry_ms: u32, now_ns: u64) -> u32 {
        let said = &mut self.0.get_or_insert_default().said;
        match said.overdraw(Rate::per_second(PER_S, AT_ONCE), now_ns) {
            0 => 0,
            over_ms => over_ms.max(retry_ms).clamp(HOLD_MS_MIN, HOLD_MS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    /// What the last of so many refusals at once gives, each of which named `retry_ms`.
    fn last_of(count: u32, refusals: &mut Refusals, retry_ms: u32, now_ns: u64) -> u32 {
        (0..count).map(|_| refusals.said(retry_ms, now_ns)).last().unwrap()
    }

    #[test]
    fn two_windows_of_refusals_hold_nobody_and_one_more_does() {
        let mut refusals = Refusals::default();
        assert_eq!(last_of(AT_ONCE, &mut refusals, 1_000, NOW), 0);
        assert_eq!(refusals.said(1_000, NOW), 1_000, "as long as the refusal named");
    }

    #[test]
    fn who_waits_as_told_may_be_refused_as_much_each_time() {
        let mut refusals = Refusals::default();
        for round in 0..100 {
            let now_ns = NOW + round * u64::from(BUSY_MS) * NS_PER_MS;
            assert_eq!(last_of(AT_ONCE, &mut refusals, BUSY_MS, now_ns), 0, "round {round}");
        }
        let early_ns = NOW + 100 * u64::from(BUSY_MS) * NS_PER_MS - 1_000_000;
        assert_ne!(last_of(AT_ONCE, &mut refusals, BUSY_MS, early_ns), 0, "a millisecond early");
    }

    #[test]
    fn a_hold_is_bounded_on_both_sides_and_pays_for_what_was_said() {
        let held = |count, retry_ms| last_of(count, &mut Refusals::default(), retry_ms, NOW);
        assert_eq!(held(AT_ONCE + 1, 0), HOLD_MS_MIN, "a refusal for good");
        assert_eq!(held(AT_ONCE + 1, 3_600_000), HOLD_MS_MAX);
        assert_eq!(held(AT_ONCE + 2 * PER_S, 0), 2_000, "a frame of many small messages");
        assert_eq!(held(AT_ONCE + 9 * PER_S, 0), HOLD_MS_MAX);
    }

    #[test]
    fn the_earliest_refused_counter_is_waited_for_and_says_how_long() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.hold_up(9, NOW), None);
        refusals.begin(8, 1_000, NOW);
        refusals.begin(9, 5_000, NOW);
        assert_eq!(refusals.from(NOW + 300 * NS_PER_MS), Some((8, 700)));
        assert_eq!((refusals.hold_up(8, NOW), refusals.hold_up(9, NOW)), (None, Some(1_000)));
        assert_eq!(refusals.hold_up(9, NOW + 300 * NS_PER_MS), Some(700), "what is left of it");
        assert_eq!(refusals.hold_up(9, NOW + 2_000 * NS_PER_MS), Some(BUSY_MS), "it is late");
        refusals.begin(5, 2_000, NOW);
        assert_eq!(refusals.hold_up(8, NOW), Some(2_000));
        refusals.end(8);
        assert_eq!(refusals.hold_up(8, NOW), Some(2_000), "not the one that is waited for");
        refusals.end(5);
        assert_eq!(refusals.from(NOW), None);
        assert_eq!(refusals.hold_up(8, NOW), None);
    }
}
