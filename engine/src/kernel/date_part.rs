//! `date_part(field, moment)` and `date_trunc(field, moment)`.
//!
//! Invariants: timestamps with a zone are taken apart in their zone, except for the epoch; weeks are ISO weeks; the
//! year before year 1 is -1, as in PostgreSQL. Next: `calendar.rs`.

use arrow::datatypes::IntervalMonthDayNano;
use stoadb_storage::{LogicalType, TimeUnit, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::fallible,
        calendar::{Clock, DAY_NANOS, add_months, civil, days_of, per_second},
        physical::{Physical, column, column_i64},
    },
};

/// What can be taken from a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

impl Field {
    /// The field of a name in any case; `None` when there is none.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name.trim().trim_matches('\'').to_ascii_lowercase().as_str() {
            "millennium" | "millennia" => Self::Millennium,
            "century" | "centuries" => Self::Century,
            "decade" | "decades" => Self::Decade,
            "year" | "years" | "y" | "yr" | "yrs" => Self::Year,
            "isoyear" => Self::IsoYear,
            "quarter" | "quarters" | "qtr" => Self::Quarter,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "week" | "weeks" | "w" => Self::Week,
            "day" | "days" | "d" => Self::Day,
            "dow" | "dayofweek" | "weekday" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" | "dayofyear" => Self::DayOfYear,
            "hour" | "hours" | "h" | "hr" | "hrs" => Self::Hour,
            "minute" | "minutes" | "min" | "mins" | "m" => Self::Minute,
            "second" | "seconds" | "sec" | "secs" | "s" => Self::Second,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => Self::Millisecond,
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => Self::Microsecond,
            "nanosecond" | "nanoseconds" | "ns" | "nsec" => Self::Nanosecond,
            "epoch" => Self::Epoch,
            _ => return None,
        })
    }

    /// Whether `date_part` of a moment of a type is done here.
    pub(crate) fn takes(self, ty: &LogicalType) -> bool {
        let clock_only = matches!(
            self,
            Self::Hour
                | Self::Minute
                | Self::Second
                | Self::Millisecond
                | Self::Microsecond
                | Self::Nanosecond
                | Self::Epoch
        );
        match ty {
            LogicalType::Date | LogicalType::Timestamp(..) => true,
            LogicalType::Time(_) => clock_only,
            LogicalType::Interval | LogicalType::Duration(_) => !matches!(
                self,
                Self::IsoYear | Self::Week | Self::DayOfWeek | Self::IsoDayOfWeek | Self::DayOfYear
            ),
            _ => false,
        }
    }
}

/// A part as a fraction: most are whole numbers, seconds and the epoch may not be.
type Part = (i128, i128);

/// `date_part` of every row of a vector, in the plan's type: a whole number or a float.
pub(crate) fn date_part(
    field: Field,
    moment: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let from = moment.ty()?;
    match &from {
        LogicalType::Date => {
            let dates = column::<i32>(moment)?;
            let nulls = dates.nulls.clone();
            if field == Field::Year && *ty == LogicalType::Int32 {
                return crate::kernel::arity::unary(&dates, rows, ty, |day| {
                    shown_year(civil(day.into()).0) as i32
                });
            }
            parts(rows, ty, nulls, |row| {
                let day = i64::from(dates.get(row));
                of_moment(field, day, 0, i128::from(day) * i128::from(DAY_NANOS))
            })
        }
        LogicalType::Timestamp(unit, zone) => {
            let clock = Clock::new(*unit, zone.as_deref())?;
            let per_unit = 1_000_000_000 / clock.per_second;
            let values = column_i64(moment)?;
            parts(rows, ty, values.nulls.clone(), |row| {
                let value = values.get(row);
                let local = i128::from(value) + i128::from(clock.offset(value));
                let per_day = i128::from(clock.per_day());
                let (day, within) = (local.div_euclid(per_day), local.rem_euclid(per_day));
                let epoch = i128::from(value) * i128::from(per_unit);
                of_moment(field, day as i64, within as i64 * per_unit, epoch)
            })
        }
        LogicalType::Time(unit) => {
            let per_unit = 1_000_000_000 / per_second(*unit);
            let nanos =
                |value: i64| of_moment(field, 0, value * per_unit, i128::from(value * per_unit));
            if Physical::of(&from) == Physical::I32 {
                let times = column::<i32>(moment)?;
                return parts(rows, ty, times.nulls.clone(), |row| nanos(times.get(row).into()));
            }
            let times = column_i64(moment)?;
            parts(rows, ty, times.nulls.clone(), |row| nanos(times.get(row)))
        }
        LogicalType::Interval => {
            let intervals = column::<IntervalMonthDayNano>(moment)?;
            parts(rows, ty, intervals.nulls.clone(), |row| {
                let value = intervals.get(row);
                of_interval(field, value.months.into(), value.days.into(), value.nanoseconds.into())
            })
        }
        LogicalType::Duration(unit) => {
            let per_unit = i128::from(1_000_000_000 / per_second(*unit));
            let day = i128::from(DAY_NANOS);
            let values = column_i64(moment)?;
            parts(rows, ty, values.nulls.clone(), |row| {
                let nanos = i128::from(values.get(row)) * per_unit;
                of_interval(field, 0, nanos / day, nanos % day)
            })
        }
        other => Err(EngineError::Unsupported(format!("date_part of {other}"))),
    }
}

fn parts(
    rows: usize,
    ty: &LogicalType,
    nulls: Option<arrow::buffer::NullBuffer>,
    part: impl Fn(usize) -> Part,
) -> Result<Vector> {
    let whole = |row: usize| {
        let (numerator, denominator) = part(row);
        numerator / denominator
    };
    let failure = || EngineError::Value(format!("date_part is out of range for {ty}"));
    match ty {
        LogicalType::Int32 => {
            fallible(rows, ty, nulls, |row| i32::try_from(whole(row)).map_err(|_| failure()))
        }
        LogicalType::Int64 => {
            fallible(rows, ty, nulls, |row| i64::try_from(whole(row)).map_err(|_| failure()))
        }
        LogicalType::Float64 => fallible(rows, ty, nulls, |row| {
            let (numerator, denominator) = part(row);
            // The whole part and the rest apart, so that an epoch keeps its digits.
            let (whole, rest) = (numerator / denominator, numerator % denominator);
            Ok(match rest {
                0 => whole as f64,
                _ if numerator.unsigned_abs() < 1 << 53 => numerator as f64 / denominator as f64,
                _ => whole as f64 + rest as f64 / denominator as f64,
            })
        }),
        _ => Err(EngineError::Unsupported(format!("date_part as {ty}"))),
    }
}

/// Year 0 of the calendar is 1 BC, which shows as -1.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

fn of_moment(field: Field, day: i64, nanos: i64, epoch: i128) -> Part {
    let whole = |value: i64| (i128::from(value), 1);
    let weekday = (day + 3).rem_euclid(7); // Monday is 0
    match field {
        Field::Epoch => (epoch, 1_000_000_000),
        Field::Hour => whole(nanos / 3_600_000_000_000),
        Field::Minute => whole(nanos / 60_000_000_000 % 60),
        Field::Second => (i128::from(nanos % 60_000_000_000), 1_000_000_000),
        Field::Millisecond => (i128::from(nanos % 60_000_000_000), 1_000_000),
        Field::Microsecond => (i128::from(nanos % 60_000_000_000), 1_000),
        Field::Nanosecond => whole(nanos % 60_000_000_000),
        Field::DayOfWeek => whole((weekday + 1) % 7),
        Field::IsoDayOfWeek => whole(weekday + 1),
        Field::Week | Field::IsoYear => {
            // A week belongs to the year of its Thursday.
            let thursday = day - weekday + 3;
            let year = civil(thursday).0;
            match field {
                Field::IsoYear => whole(shown_year(year)),
                _ => whole((thursday - days_of(year, 1, 1)) / 7 + 1),
            }
        }
        _ => {
            let (year, month, date) = civil(day);
            whole(match field {
                Field::Millennium if year > 0 => (year + 999) / 1_000,
                Field::Millennium => -(1_000 - year) / 1_000,
                Field::Century if year > 0 => (year + 99) / 100,
                Field::Century => -(100 - year) / 100,
                Field::Decade => year.div_euclid(10),
                Field::Year => shown_year(year),
                Field::Quarter => i64::from(month - 1) / 3 + 1,
                Field::Month => i64::from(month),
                Field::DayOfYear => day - days_of(year, 1, 1) + 1,
                _ => i64::from(date),
            })
        }
    }
}

fn of_interval(field: Field, months: i128, days: i128, nanos: i128) -> Part {
    let minute = 60_000_000_000;
    match field {
        Field::Millennium => (months / 12_000, 1),
        Field::Century => (months / 1_200, 1),
        Field::Decade => (months / 120, 1),
        Field::Year => (months / 12, 1),
        Field::Quarter => (months % 12 / 3 + 1, 1),
        Field::Month => (months % 12, 1),
        Field::Hour => (nanos / (60 * minute), 1),
        Field::Minute => (nanos / minute % 60, 1),
        Field::Second => (nanos % minute, 1_000_000_000),
        Field::Millisecond => (nanos % minute, 1_000_000),
        Field::Microsecond => (nanos % minute, 1_000),
        Field::Nanosecond => (nanos % minute, 1),
        Field::Epoch => {
            // A year counts 365.25 days here, a month left over 30.
            let quarter_days = months / 12 * 1_461 + (months % 12 * 30 + days) * 4;
            (quarter_days * i128::from(DAY_NANOS / 4) + nanos, 1_000_000_000)
        }
        _ => (days, 1),
    }
}

/// `date_trunc` of every row of a date or timestamp vector, in the plan's type: a date or a timestamp.
pub(crate) fn date_trunc(
    field: Field,
    moment: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let from = moment.ty()?;
    match (&from, ty) {
        (LogicalType::Date, LogicalType::Date) => {
            let dates = column::<i32>(moment)?;
            fallible(rows, ty, dates.nulls.clone(), |row| {
                i32::try_from(begin(field, dates.get(row).into())).map_err(|_| out_of_range())
            })
        }
        (LogicalType::Date, LogicalType::Timestamp(unit, None)) => {
            let clock = Clock::new(*unit, None)?;
            let dates = column::<i32>(moment)?;
            fallible(rows, ty, dates.nulls.clone(), |row| {
                let day = begin(field, dates.get(row).into());
                clock.join(day, 0).ok_or_else(out_of_range)
            })
        }
        (LogicalType::Timestamp(unit, zone), LogicalType::Timestamp(..)) if from == *ty => {
            let clock = Clock::new(*unit, zone.as_deref())?;
            let values = column_i64(moment)?;
            let step = clock_step(field, *unit);
            fallible(rows, ty, values.nulls.clone(), |row| {
                let value = values.get(row);
                let local = clock.local(value).ok_or_else(out_of_range)?;
                if let Some(step) = step {
                    // Taken from the instant, so that a repeated hour stays the one that it is.
                    return value.checked_sub(local.rem_euclid(step)).ok_or_else(out_of_range);
                }
                let day = begin(field, clock.split(local).0);
                clock.join(day, 0).and_then(|local| clock.stored(local)).ok_or_else(out_of_range)
            })
        }
        _ => Err(EngineError::Unsupported(format!("date_trunc of {from} as {ty}"))),
    }
}

fn out_of_range() -> EngineError {
    EngineError::Value("date_trunc is out of range".into())
}

/// The length in units of a field within a day; `None` for days and longer.
fn clock_step(field: Field, unit: TimeUnit) -> Option<i64> {
    let units = per_second(unit);
    Some(match field {
        Field::Hour => units * 3_600,
        Field::Minute => units * 60,
        Field::Second | Field::Epoch => units,
        Field::Millisecond => (units / 1_000).max(1),
        Field::Microsecond => (units / 1_000_000).max(1),
        Field::Nanosecond => 1,
        _ => return None,
    })
}

/// The first day of the span that a day lies in.
fn begin(field: Field, day: i64) -> i64 {
    let monday = |day: i64| day - (day + 3).rem_euclid(7);
    if field == Field::Week {
        return monday(day);
    }
    if field == Field::IsoYear {
        // A week belongs to the year of its Thursday, and 4 January to the first week.
        return monday(days_of(civil(monday(day) + 3).0, 1, 4));
    }
    let (year, month, date) = civil(day);
    // Centuries and millennia begin with year 1.
    let first = |span: i64| days_of((year - 1).div_euclid(span) * span + 1, 1, 1);
    match field {
        Field::Month => day - i64::from(date) + 1,
        Field::Quarter => add_months(days_of(year, month, 1), -i64::from((month - 1) % 3)),
        Field::Year => days_of(year, 1, 1),
        Field::Decade => days_of(year.div_euclid(10) * 10, 1, 1),
        Field::Century => first(100),
        Field::Millennium => first(1_000),
        _ => day,
    }
}
