//! The proleptic Gregorian calendar, times of day and time zones.
//!
//! Invariants: days count from 1970-01-01; a `Clock` knows its unit and its zone, and goes from stored values to local
//! ones and back; overflow is `None`. Next: `temporal.rs`, `date_part.rs`.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
pub(crate) use stoadb_storage::text::{days_of, month_days};
use stoadb_storage::{TimeUnit, text::parse_offset};

use crate::error::{EngineError, Result};

/// The months in English, January first.
pub const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The days of the week in English, Monday first.
pub const DAY_NAMES: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Seconds of a day.
pub(crate) const DAY_SECONDS: i64 = 86_400;
/// Nanoseconds of a day.
pub(crate) const DAY_NANOS: i64 = 86_400_000_000_000;

/// How many of a unit make a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// A day as year, month 1 to 12 and day of month.
pub(crate) fn civil(days: i64) -> (i64, u32, u32) {
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// The day so many months later, clamped to the month's end.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    if months == 0 {
        return days;
    }
    let (year, month, day) = civil(days);
    let month = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) as u32 + 1);
    days_of(year, month, day.min(month_days(year, month)))
}

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Seconds east of Greenwich.
    Fixed(i64),
    /// A zone of the time zone database.
    Named(Tz),
}

impl Zone {
    /// Reads `UTC`, `+05:30`, `+0530`, `+05` or a name such as `Europe/Berlin`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("z") {
            return Ok(Self::Fixed(0));
        }
        if let Some(seconds) = parse_offset(text) {
            return Ok(Self::Fixed(seconds));
        }
        let unknown = || EngineError::Value(format!("unknown time zone '{text}'"));
        let ignoring_case = || {
            let mut zones = chrono_tz::TZ_VARIANTS.iter();
            zones.find(|zone| zone.name().eq_ignore_ascii_case(text)).copied()
        };
        text.parse().ok().or_else(ignoring_case).map(Self::Named).ok_or_else(unknown)
    }

    /// Seconds to add to an instant (seconds since 1970 in UTC) to get local time.
    pub(crate) fn offset_at(self, instant: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => {
                let Some(utc) = naive(instant) else { return 0 };
                i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
            }
        }
    }

    /// Seconds to take away from local time to get the instant. A time that occurs twice is the earlier instant; one
    /// that was skipped is shifted by the length of the gap.
    pub(crate) fn offset_of_local(self, local: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => {
                let Some(time) = naive(local) else { return 0 };
                match zone.offset_from_local_datetime(&time) {
                    MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
                        i64::from(offset.fix().local_minus_utc())
                    }
                    MappedLocalTime::None => {
                        let before = time.checked_sub_signed(TimeDelta::hours(24)).unwrap_or(time);
                        self.offset_at(before.and_utc().timestamp())
                    }
                }
            }
        }
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|instant| instant.naive_utc())
}

/// How stored timestamps relate to local time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Units per second.
    pub(crate) per_second: i64,
    /// The zone, for timestamps that have one.
    pub(crate) zone: Option<Zone>,
}

impl Clock {
    /// The clock of a timestamp type.
    pub(crate) fn new(unit: TimeUnit, zone: Option<&str>) -> Result<Self> {
        Ok(Self { per_second: per_second(unit), zone: zone.map(Zone::parse).transpose()? })
    }

    /// Units per day.
    pub(crate) fn per_day(self) -> i64 {
        self.per_second * DAY_SECONDS
    }

    /// The offset from UTC in units at a stored value.
    pub(crate) fn offset(self, value: i64) -> i64 {
        match self.zone {
            None | Some(Zone::Fixed(0)) => 0,
            Some(zone) => zone.offset_at(value.div_euclid(self.per_second)) * self.per_second,
        }
    }

    /// A stored value as local units since 1970-01-01 00:00.
    pub(crate) fn local(self, value: i64) -> Option<i64> {
        value.checked_add(self.offset(value))
    }

    /// Local units as a stored value.
    pub(crate) fn stored(self, local: i64) -> Option<i64> {
        match self.zone {
            None | Some(Zone::Fixed(0)) => Some(local),
            Some(zone) => {
                let offset = zone.offset_of_local(local.div_euclid(self.per_second));
                local.checked_sub(offset * self.per_second)
            }
        }
    }

    /// Local units as day and units within it.
    pub(crate) fn split(self, local: i64) -> (i64, i64) {
        (local.div_euclid(self.per_day()), local.rem_euclid(self.per_day()))
    }

    /// Day and units within it as local units.
    pub(crate) fn join(self, day: i64, within: i64) -> Option<i64> {
        // In 128 bits, because the day's begin may be out of range when the time within it is not.
        let wide = i128::from(day) * i128::from(self.per_day()) + i128::from(within);
        i64::try_from(wide).ok()
    }

    /// Nanoseconds as units, rounded towards the past.
    pub(crate) fn units_of_nanos(self, nanos: i64) -> i64 {
        nanos.div_euclid(1_000_000_000 / self.per_second)
    }
}
