//! Dates, times, timestamps, intervals and durations as text.
//!
//! Invariants: every value of every unit has a text, also outside of the years 0 to 9999; a fraction of a second is
//! shown to its last digit that is not zero, and not at all when there is none.

use std::fmt::Write as _;

use arrow::{
    array::{Array, AsArray, PrimitiveArray},
    datatypes as dt,
    datatypes::{ArrowTimestampType, DataType, TimeUnit},
    error::ArrowError,
};
use chrono::{DateTime, FixedOffset, Offset, TimeZone};

const NANOS: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * NANOS;

/// Whether `write` knows the type.
pub(super) fn is_time(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Date32
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_)
            | DataType::Interval(dt::IntervalUnit::MonthDayNano)
    )
}

/// Appends the text of a value that is not NULL.
///
/// # Errors
/// For an unknown time zone.
pub(super) fn write(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let nanos = match array.data_type() {
        DataType::Date32 => {
            write_date(out, array.as_primitive::<dt::Date32Type>().value(row).into());
            return Ok(());
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<dt::IntervalMonthDayNanoType>().value(row);
            write_interval(out, value.months, value.days.into(), value.nanoseconds.into());
            return Ok(());
        }
        DataType::Time32(Second) => {
            i128::from(array.as_primitive::<dt::Time32SecondType>().value(row)) * NANOS
        }
        DataType::Time32(_) => {
            i128::from(array.as_primitive::<dt::Time32MillisecondType>().value(row)) * 1_000_000
        }
        DataType::Time64(Microsecond) => {
            i128::from(array.as_primitive::<dt::Time64MicrosecondType>().value(row)) * 1000
        }
        DataType::Time64(_) => array.as_primitive::<dt::Time64NanosecondType>().value(row).into(),
        DataType::Timestamp(Second, _) => {
            nanos(array.as_primitive::<dt::TimestampSecondType>(), row)
        }
        DataType::Timestamp(Millisecond, _) => {
            nanos(array.as_primitive::<dt::TimestampMillisecondType>(), row)
        }
        DataType::Timestamp(Microsecond, _) => {
            nanos(array.as_primitive::<dt::TimestampMicrosecondType>(), row)
        }
        DataType::Timestamp(Nanosecond, _) => {
            nanos(array.as_primitive::<dt::TimestampNanosecondType>(), row)
        }
        DataType::Duration(unit) => {
            let count = match unit {
                Second => array.as_primitive::<dt::DurationSecondType>().value(row),
                Millisecond => array.as_primitive::<dt::DurationMillisecondType>().value(row),
                Microsecond => array.as_primitive::<dt::DurationMicrosecondType>().value(row),
                Nanosecond => array.as_primitive::<dt::DurationNanosecondType>().value(row),
            };
            let nanos = i128::from(count) * scale(*unit);
            write_interval(out, 0, nanos / DAY, nanos % DAY);
            return Ok(());
        }
        other => return Err(ArrowError::NotYetImplemented(format!("the text of type {other}"))),
    };
    match array.data_type() {
        DataType::Timestamp(_, Some(zone)) => {
            let offset = offset_at(zone, nanos.div_euclid(NANOS))?;
            write_timestamp(out, nanos + i128::from(offset.local_minus_utc()) * NANOS);
            write_offset(out, offset);
        }
        DataType::Timestamp(..) => write_timestamp(out, nanos),
        _ => write_time(out, nanos),
    }
    Ok(())
}

fn scale(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => NANOS,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1000,
        TimeUnit::Nanosecond => 1,
    }
}

fn nanos<T: ArrowTimestampType>(array: &PrimitiveArray<T>, row: usize) -> i128 {
    i128::from(array.value(row)) * scale(T::UNIT)
}

fn write_timestamp(out: &mut String, nanos: i128) {
    write_date(out, nanos.div_euclid(DAY));
    out.push(' ');
    write_time(out, nanos.rem_euclid(DAY));
}

/// A day counted from 1970-01-01, in the proleptic Gregorian calendar; the year before 1 is 0.
fn write_date(out: &mut String, days: i128) {
    // Eras of 400 years, each beginning on a 1 March, so that a leap day is the last of its year.
    const ERA: i128 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have lengths that repeat over 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + next_year;
    let sign = if year < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:04}-{month:02}-{day:02}", year.abs());
}

/// `hh:mm:ss[.fffffffff]` of nanoseconds, not negative; hours may exceed 23.
fn write_time(out: &mut String, nanos: i128) {
    let (seconds, fraction) = (nanos / NANOS, nanos % NANOS);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let _ = write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// `1 year 2 months -3 days 04:05:06.7`; parts that are zero are left out, but not all.
fn write_interval(out: &mut String, months: i32, days: i128, nanos: i128) {
    let start = out.len();
    let parts =
        [(i128::from(months / 12), "year"), (i128::from(months % 12), "month"), (days, "day")];
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
        let plural = if count.abs() == 1 { "" } else { "s" };
        let blank = if out.len() == start { "" } else { " " };
        let _ = write!(out, "{blank}{count} {unit}{plural}");
    }
    if nanos != 0 || out.len() == start {
        out.push_str(if out.len() == start { "" } else { " " });
        out.push_str(if nanos < 0 { "-" } else { "" });
        write_time(out, nanos.abs());
    }
}

/// How far a zone (a name of the IANA data base or `+hh:mm`) is ahead of UTC at an instant.
fn offset_at(zone: &str, seconds: i128) -> Result<FixedOffset, ArrowError> {
    let unknown = || ArrowError::InvalidArgumentError(format!("unknown time zone '{zone}'"));
    if let Some(fixed) = fixed_offset(zone) {
        return Ok(fixed);
    }
    let zone: chrono_tz::Tz = zone.parse().map_err(|_| unknown())?;
    // Beyond the years that the rules cover, the nearest instant's offset holds.
    let least = DateTime::<chrono::Utc>::MIN_UTC.timestamp().into();
    let most = DateTime::<chrono::Utc>::MAX_UTC.timestamp().into();
    let seconds = i64::try_from(seconds.clamp(least, most)).map_err(|_| unknown())?;
    let instant = DateTime::from_timestamp(seconds, 0).ok_or_else(unknown)?;
    Ok(zone.offset_from_utc_datetime(&instant.naive_utc()).fix())
}

/// Of `Z`, `+hh`, `+hhmm`, `+hh:mm` and their negatives.
fn fixed_offset(zone: &str) -> Option<FixedOffset> {
    if zone == "Z" {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes: i32 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    FixedOffset::east_opt(sign * (hours.parse::<i32>().ok()? * 3600 + minutes * 60))
}

/// `+02`, or `+05:30` where minutes are not zero.
fn write_offset(out: &mut String, offset: FixedOffset) {
    let seconds = offset.local_minus_utc();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let _ = write!(out, "{sign}{:02}", minutes / 60);
    if minutes % 60 != 0 {
        let _ = write!(out, ":{:02}", minutes % 60);
    }
}
