//! Times as people read them: in the machine's own time zone.

use godwit_base::{Clock, SystemClock};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The present, unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemClock.unix_ms()
}

/// Turns unix milliseconds into local days and hours.
#[derive(Debug, Clone)]
pub(crate) struct LocalTime {
    zone: TimeZone,
}

impl LocalTime {
    /// The machine's zone; UTC where it has none.
    pub(crate) fn of_machine() -> Self {
        Self { zone: TimeZone::system() }
    }

    /// UTC, for tests.
    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// The local day, to compare and to name.
    pub(crate) fn day(&self, unix_ms: u64) -> Date {
        self.zoned(unix_ms).date()
    }

    /// `14:03`.
    pub(crate) fn hour(&self, unix_ms: u64) -> String {
        self.zoned(unix_ms).strftime("%H:%M").to_string()
    }

    /// `2026-03-01 14:03:59`.
    pub(crate) fn full(&self, unix_ms: u64) -> String {
        self.zoned(unix_ms).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Name of a day in a conversation: `Today`, `Yesterday`, `Monday`, `3 March`, `3 March 2025`.
    pub(crate) fn day_name(&self, unix_ms: u64, now_ms: u64) -> String {
        let then = self.zoned(unix_ms);
        let form = match (self.days_ago(unix_ms, now_ms), then.year() == self.zoned(now_ms).year())
        {
            (0, _) => return "Today".to_owned(),
            (1, _) => return "Yesterday".to_owned(),
            (2..=6, _) => "%A",
            (_, true) => "%-d %B",
            (_, false) => "%-d %B %Y",
        };
        then.strftime(form).to_string()
    }

    /// A time for a narrow column: `14:03` today, `Mon` this week, `3 Mar`, `03.25` (month, year).
    pub(crate) fn short(&self, unix_ms: u64, now_ms: u64) -> String {
        let then = self.zoned(unix_ms);
        let form = match (self.days_ago(unix_ms, now_ms), then.year() == self.zoned(now_ms).year())
        {
            (0, _) => "%H:%M",
            (1..=6, _) => "%a",
            (_, true) => "%-d %b",
            (_, false) => "%b %Y",
        };
        then.strftime(form).to_string()
    }

    /// Whole local days from then to now; negative in the future.
    fn days_ago(&self, unix_ms: u64, now_ms: u64) -> i32 {
        self.day(unix_ms).until(self.day(now_ms)).map_or(i32::MAX, |span| span.get_days())
    }

    fn zoned(&self, unix_ms: u64) -> Zoned {
        let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        // A sender may claim any time: beyond the calendar it is shown as the calendar's end.
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_772_374_980_000; // Sunday 2026-03-01 14:23 UTC
    const DAY: u64 = 86_400_000;

    #[test]
    fn days_have_the_names_that_people_give_them() {
        let time = LocalTime::utc();
        let name = |days: u64| time.day_name(NOW - days * DAY, NOW);
        assert_eq!(name(0), "Today");
        assert_eq!(name(1), "Yesterday");
        assert_eq!(name(2), "Friday");
        assert_eq!(name(6), "Monday");
        assert_eq!(name(7), "22 February");
        assert_eq!(name(70), "21 December 2025");
        assert_eq!(time.day_name(NOW + 2 * DAY, NOW), "3 March");
    }

    #[test]
    fn short_times_fit_their_column() {
        let time = LocalTime::utc();
        let short = |days: u64| time.short(NOW - days * DAY, NOW);
        assert_eq!(
            [short(0), short(1), short(7), short(70)],
            ["14:23", "Sat", "22 Feb", "Dec 2025"]
        );
        assert_eq!(time.full(NOW), "2026-03-01 14:23:00");
    }

    #[test]
    fn any_claimed_time_can_be_shown() {
        let time = LocalTime::utc();
        for ms in [0, u64::MAX, i64::MAX as u64] {
            assert!(!time.day_name(ms, NOW).is_empty());
            assert!(!time.short(NOW, ms).is_empty());
        }
    }
}
