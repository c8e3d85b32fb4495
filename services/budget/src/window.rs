//! Budget windows: calendar months of a time zone, whatever its clocks do.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A span of time, from `start` (included) to `end` (excluded), in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The calendar months of one time zone.
#[derive(Clone, Debug)]
pub(crate) struct Months {
    zone: TimeZone,
}

impl Months {
    /// Of a zone by its IANA name, e.g. `Europe/Berlin`.
    pub(crate) fn of(zone: &str) -> Result<Self, jiff::Error> {
        Ok(Self { zone: TimeZone::get(zone)? })
    }

    /// The month that holds an instant, in milliseconds. Instants beyond the calendar (year 9999) fall into one
    /// window without end.
    pub(crate) fn at(&self, unix_ms: i64) -> Window {
        self.month(unix_ms).unwrap_or(Window { start: i64::MIN, end: i64::MAX })
    }

    fn month(&self, unix_ms: i64) -> Option<Window> {
        let instant = Timestamp::from_millisecond(unix_ms).ok()?;
        let first = self.zone.to_datetime(instant).date().first_of_month();
        let next = first.checked_add(1.month()).ok()?;
        Some(Window { start: self.midnight(first)?, end: self.midnight(next)? })
    }

    /// A day's first instant: the earlier one where midnight comes twice, the first after the gap where it is skipped.
    fn midnight(&self, day: Date) -> Option<i64> {
        Some(day.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn months_in_los_angeles_follow_daylight_saving() {
        let months = Months::of("America/Los_Angeles").unwrap();
        // March 2026 begins in standard time and ends in daylight time; November the other way round.
        let march = Window { start: ms("2026-03-01T08:00:00Z"), end: ms("2026-04-01T07:00:00Z") };
        assert_eq!(months.at(ms("2026-03-20T00:00:00Z")), march);
        let november = Window { start: ms("2026-11-01T07:00:00Z"), end: ms("2026-12-01T08:00:00Z") };
        assert_eq!(months.at(ms("2026-11-01T07:00:00Z")), november);
        assert_eq!(months.at(november.start - 1).end, november.start);
    }

    #[test]
    fn midnight_may_come_twice_or_never() {
        // Havana set its clocks back from 01:00 to 00:00 on 1 November 2020.
        let months = Months::of("America/Havana").unwrap();
        assert_eq!(months.at(ms("2020-11-10T00:00:00Z")).start, ms("2020-11-01T04:00:00Z"));
        assert!(Months::of("Mars/Olympus").is_err());
    }

    proptest! {
        #[test]
        fn windows_leave_no_gap(at in 0i64..4_000_000_000_000, zone in prop::sample::select(vec![
            "UTC", "America/Los_Angeles", "Asia/Kathmandu", "America/Havana", "Pacific/Apia", "Africa/Cairo",
        ])) {
            let months = Months::of(zone).unwrap();
            let window = months.at(at);
            prop_assert!(window.start <= at && at < window.end);
            prop_assert_eq!(months.at(window.end).start, window.end);
            prop_assert_eq!(months.at(window.start - 1).end, window.start);
        }
    }
}
