//! Dates, times, timestamps, intervals and durations among each other.
//!
//! Invariants: a finer moment becomes a coarser one by rounding towards the past; a timestamp without zone is local
//! time, and one with a zone an instant, so that between the two the zone decides.

use arrow::datatypes::IntervalMonthDayNano;
use stoadb_storage::{LogicalType, Vector, interval::interval_length};

use super::with_failure;
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::try_vector,
        calendar::{Clock, DAY_NANOS, per_second},
        physical::{Physical, column, column_i64},
    },
};

/// Whether a conversion is one of this file's.
pub(super) fn has_meaning(from: &LogicalType, to: &LogicalType) -> bool {
    use LogicalType as T;
    matches!(
        (from, to),
        (T::Date | T::Timestamp(..), T::Date | T::Timestamp(..) | T::Time(_))
            | (T::Time(_), T::Time(_) | T::Interval)
            | (T::Duration(_), T::Duration(_) | T::Interval)
            | (T::Interval, T::Time(_) | T::Duration(_))
    ) && !matches!((from, to), (T::Date, T::Time(_)))
}

/// The conversion; the types differ and the input is not constant NULL.
pub(super) fn convert(
    input: &Vector,
    from: &LogicalType,
    rows: usize,
    to: &LogicalType,
    or_null: bool,
) -> Result<Vector> {
    let nanos = in_nanos(input, from, to)?;
    let nulls = input.nulls();
    with_failure(input, from, to, or_null, |on_failure| match to {
        LogicalType::Date => try_vector(rows, to, nulls, on_failure, |row| {
            i32::try_from(nanos(row).div_euclid(DAY_NANOS.into())).ok()
        }),
        LogicalType::Timestamp(unit, zone) => {
            let clock = Clock::new(*unit, zone.as_deref())?;
            let per_unit = i128::from(1_000_000_000 / clock.per_second);
            let instant = is_instant(from) && zone.is_some();
            try_vector(rows, to, nulls, on_failure, |row| {
                let units = i64::try_from(nanos(row).div_euclid(per_unit)).ok()?;
                if instant { Some(units) } else { clock.stored(units) }
            })
        }
        LogicalType::Time(unit) => {
            let per_unit = i128::from(1_000_000_000 / per_second(*unit));
            let time =
                |row: usize| nanos(row).rem_euclid(DAY_NANOS.into()).div_euclid(per_unit) as i64;
            match Physical::of(to) {
                Physical::I32 => {
                    try_vector(rows, to, nulls, on_failure, |row| i32::try_from(time(row)).ok())
                }
                _ => try_vector(rows, to, nulls, on_failure, |row| Some(time(row))),
            }
        }
        LogicalType::Duration(unit) => {
            let per_unit = i128::from(1_000_000_000 / per_second(*unit));
            try_vector(rows, to, nulls, on_failure, |row| {
                i64::try_from(nanos(row).div_euclid(per_unit)).ok()
            })
        }
        LogicalType::Interval => try_vector(rows, to, nulls, on_failure, |row| {
            let day = i128::from(DAY_NANOS);
            let days = i32::try_from(nanos(row) / day).ok()?;
            Some(IntervalMonthDayNano::new(0, days, (nanos(row) % day) as i64))
        }),
        other => Err(EngineError::Internal(format!("a moment converted to {other}"))),
    })
}

fn is_instant(ty: &LogicalType) -> bool {
    matches!(ty, LogicalType::Timestamp(_, Some(_)))
}

/// Nanoseconds of each row: local ones, except from instant to instant.
fn in_nanos(
    input: &Vector,
    from: &LogicalType,
    to: &LogicalType,
) -> Result<Box<dyn Fn(usize) -> i128>> {
    let instant = is_instant(from) && is_instant(to);
    Ok(match from {
        LogicalType::Date => {
            let days = column::<i32>(input)?;
            Box::new(move |row| i128::from(days.get(row)) * i128::from(DAY_NANOS))
        }
        LogicalType::Timestamp(unit, zone) => {
            let clock = Clock::new(*unit, zone.as_deref())?;
            let per_unit = i128::from(1_000_000_000 / clock.per_second);
            let values = column_i64(input)?;
            Box::new(move |row| {
                let value = values.get(row);
                let offset = if instant { 0 } else { clock.offset(value) };
                (i128::from(value) + i128::from(offset)) * per_unit
            })
        }
        LogicalType::Time(unit) | LogicalType::Duration(unit) => {
            let per_unit = i128::from(1_000_000_000 / per_second(*unit));
            if Physical::of(from) == Physical::I32 {
                let values = column::<i32>(input)?;
                return Ok(Box::new(move |row| i128::from(values.get(row)) * per_unit));
            }
            let values = column_i64(input)?;
            Box::new(move |row| i128::from(values.get(row)) * per_unit)
        }
        LogicalType::Interval => {
            let values = column::<IntervalMonthDayNano>(input)?;
            Box::new(move |row| interval_length(values.get(row)))
        }
        other => return Err(EngineError::Internal(format!("{other} is no moment"))),
    })
}
