//! Arithmetic on dates, times, timestamps, intervals and durations.
//!
//! Invariants: months are added first and clamp to the month's end, then days, then nanoseconds; timestamps with a time
//! zone add months and days to their local time and nanoseconds to the instant. A result out of range is an error.
//! Next: `calendar.rs`.

use arrow::datatypes::IntervalMonthDayNano;
use stoadb_storage::{LogicalType, TimeUnit, Vector};

use crate::{
    error::{EngineError, Result},
    expr::ArithmeticOp,
    kernel::{
        arithmetic::{division_by_zero, symbol},
        arity::{fallible, union_nulls},
        calendar::{Clock, DAY_NANOS, add_months, per_second},
        physical::{Column, Physical, column, column_i64, with_number},
    },
};

/// The interval with every part negated.
pub(crate) fn negate_interval(interval: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano {
        months: interval.months.checked_neg()?,
        days: interval.days.checked_neg()?,
        nanoseconds: interval.nanoseconds.checked_neg()?,
    })
}

/// Temporal arithmetic on two vectors, neither of them constant NULL.
pub(crate) fn arithmetic(
    op: ArithmeticOp,
    left: &Vector,
    right: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    use ArithmeticOp::{Add, Multiply, Subtract};
    use LogicalType as T;
    let (left_ty, right_ty) = (left.ty()?, right.ty()?);
    let negative = op == Subtract;
    match (&left_ty, op, &right_ty) {
        (T::Date | T::Timestamp(..) | T::Time(_), Add | Subtract, T::Interval) => {
            shift(left, &left_ty, right, negative, rows, ty)
        }
        (T::Interval, Add, T::Date | T::Timestamp(..) | T::Time(_)) => {
            shift(right, &right_ty, left, false, rows, ty)
        }
        (T::Date, Subtract, T::Date)
        | (T::Timestamp(..), Subtract, T::Timestamp(..))
        | (T::Time(_), Subtract, T::Time(_))
        | (T::Date, Subtract, T::Timestamp(..))
        | (T::Timestamp(..), Subtract, T::Date) => {
            difference(left, &left_ty, right, &right_ty, rows, ty)
        }
        (T::Date, Add | Subtract, integer) if integer.is_integer() => {
            shift_days(left, right, negative, rows, ty)
        }
        (integer, Add, T::Date) if integer.is_integer() => shift_days(right, left, false, rows, ty),
        (T::Interval, Add | Subtract, T::Interval) => add_intervals(left, right, negative, rows),
        (T::Interval, Multiply, number) if number.is_integer() => scale(left, right, rows),
        (number, Multiply, T::Interval) if number.is_integer() => scale(right, left, rows),
        (T::Timestamp(..) | T::Duration(_), Add | Subtract, T::Duration(_))
        | (T::Duration(_), Add, T::Timestamp(..)) => {
            durations(left, &left_ty, right, &right_ty, negative, rows, ty)
        }
        (T::Duration(_), Multiply, number) | (number, Multiply, T::Duration(_))
            if number.is_integer() =>
        {
            scaled_duration(left, right, rows, ty)
        }
        (T::Duration(_), ArithmeticOp::Divide, number) if number.is_integer() => {
            let (a, b) = (column_i64(left)?, wide(right)?);
            let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
            fallible(rows, ty, nulls, |row| match b.get(row) {
                0 => Err(division_by_zero()),
                divisor => i64::try_from(i128::from(a.get(row)) / divisor)
                    .map_err(|_| out_of_range(op, &left_ty, &right_ty)),
            })
        }
        _ => Err(EngineError::Unsupported(format!("{left_ty} {} {right_ty}", symbol(op)))),
    }
}

fn out_of_range(op: ArithmeticOp, left: &LogicalType, right: &LogicalType) -> EngineError {
    EngineError::Value(format!("{left} {} {right} is out of range", symbol(op)))
}

/// Integers of any width.
#[expect(clippy::unnecessary_cast, reason = "one width of many is the target already")]
fn wide(vector: &Vector) -> Result<Column<i128>> {
    let ty = vector.ty()?;
    with_number!(Physical::of(&ty), N => {
        let column = column::<N>(vector)?;
        let values = column.values.iter().map(|&value| value as i128).collect();
        Ok(Column { values, nulls: column.nulls, constant: column.constant })
    }, _ => Err(EngineError::Internal(format!("an integer was expected, not {ty}"))))
}

fn shift(
    moment: &Vector,
    moment_ty: &LogicalType,
    interval: &Vector,
    negative: bool,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let op = if negative { ArithmeticOp::Subtract } else { ArithmeticOp::Add };
    let failure = || out_of_range(op, moment_ty, &LogicalType::Interval);
    let interval = column::<IntervalMonthDayNano>(interval)?;
    let span = |row: usize| {
        let interval = interval.get(row);
        if negative { negate_interval(interval).ok_or_else(failure) } else { Ok(interval) }
    };
    match moment_ty {
        LogicalType::Date => {
            let dates = column::<i32>(moment)?;
            let nulls = union_nulls(dates.nulls.as_ref(), interval.nulls.as_ref());
            let shifted = |row: usize| -> Result<(i64, i64)> {
                let span = span(row)?;
                let day = add_months(dates.get(row).into(), span.months.into());
                let day = day + i64::from(span.days) + span.nanoseconds.div_euclid(DAY_NANOS);
                Ok((day, span.nanoseconds.rem_euclid(DAY_NANOS)))
            };
            if let LogicalType::Timestamp(unit, zone) = ty {
                let clock = Clock::new(*unit, zone.as_deref())?;
                return fallible(rows, ty, nulls, |row| {
                    let (day, nanos) = shifted(row)?;
                    let local = clock.join(day, clock.units_of_nanos(nanos));
                    local.and_then(|local| clock.stored(local)).ok_or_else(failure)
                });
            }
            fallible(rows, ty, nulls, |row| i32::try_from(shifted(row)?.0).map_err(|_| failure()))
        }
        LogicalType::Timestamp(unit, zone) => {
            let clock = Clock::new(*unit, zone.as_deref())?;
            let times = column_i64(moment)?;
            let nulls = union_nulls(times.nulls.as_ref(), interval.nulls.as_ref());
            fallible(rows, ty, nulls, |row| {
                shift_timestamp(clock, times.get(row), span(row)?).ok_or_else(failure)
            })
        }
        LogicalType::Time(unit) => {
            let times = wide(moment)?;
            let nulls = union_nulls(times.nulls.as_ref(), interval.nulls.as_ref());
            let clock = Clock::new(*unit, None)?;
            let shifted = |row: usize| -> Result<i64> {
                let nanos = clock.units_of_nanos(span(row)?.nanoseconds % DAY_NANOS);
                Ok((times.get(row) as i64 + nanos).rem_euclid(clock.per_day()))
            };
            match unit {
                TimeUnit::Second | TimeUnit::Millisecond => {
                    fallible(rows, ty, nulls, |row| Ok(shifted(row)? as i32))
                }
                _ => fallible(rows, ty, nulls, shifted),
            }
        }
        other => Err(EngineError::Internal(format!("an interval added to {other}"))),
    }
}

/// A timestamp so much later.
pub(crate) fn shift_timestamp(clock: Clock, value: i64, span: IntervalMonthDayNano) -> Option<i64> {
    let moved = if span.months == 0 && span.days == 0 {
        value
    } else {
        let (day, within) = clock.split(clock.local(value)?);
        let day = add_months(day, span.months.into()) + i64::from(span.days);
        clock.stored(clock.join(day, within)?)?
    };
    moved.checked_add(clock.units_of_nanos(span.nanoseconds))
}

fn shift_days(
    dates: &Vector,
    days: &Vector,
    negative: bool,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let days_ty = days.ty()?;
    let (dates, days) = (column::<i32>(dates)?, wide(days)?);
    let nulls = union_nulls(dates.nulls.as_ref(), days.nulls.as_ref());
    fallible(rows, ty, nulls, |row| {
        let days = if negative { -days.get(row) } else { days.get(row) };
        let op = if negative { ArithmeticOp::Subtract } else { ArithmeticOp::Add };
        i32::try_from(i128::from(dates.get(row)) + days)
            .map_err(|_| out_of_range(op, &LogicalType::Date, &days_ty))
    })
}

/// Moments as nanoseconds since 1970 or midnight.
fn nanos(vector: &Vector, ty: &LogicalType) -> Result<Column<i128>> {
    let mut column = wide(vector)?;
    let factor = match ty {
        LogicalType::Date => i128::from(DAY_NANOS),
        LogicalType::Timestamp(unit, _) | LogicalType::Time(unit) | LogicalType::Duration(unit) => {
            i128::from(1_000_000_000 / per_second(*unit))
        }
        other => return Err(EngineError::Internal(format!("{other} is no moment"))),
    };
    column.values = column.values.iter().map(|&value| value * factor).collect();
    Ok(column)
}

fn difference(
    left: &Vector,
    left_ty: &LogicalType,
    right: &Vector,
    right_ty: &LogicalType,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let failure = || out_of_range(ArithmeticOp::Subtract, left_ty, right_ty);
    let (a, b) = (nanos(left, left_ty)?, nanos(right, right_ty)?);
    let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
    let span = |row: usize| a.get(row) - b.get(row);
    let day = i128::from(DAY_NANOS);
    match ty {
        LogicalType::Interval => fallible(rows, ty, nulls, |row| {
            // Whole days apart from the rest, as PostgreSQL gives them.
            let days = i32::try_from(span(row) / day).map_err(|_| failure())?;
            let nanos = (span(row) % day) as i64;
            Ok(IntervalMonthDayNano::new(0, days, nanos))
        }),
        LogicalType::Duration(unit) => {
            let divisor = i128::from(1_000_000_000 / per_second(*unit));
            fallible(rows, ty, nulls, |row| {
                i64::try_from(span(row).div_euclid(divisor)).map_err(|_| failure())
            })
        }
        LogicalType::Int32 => {
            fallible(rows, ty, nulls, |row| i32::try_from(span(row) / day).map_err(|_| failure()))
        }
        LogicalType::Int64 => {
            fallible(rows, ty, nulls, |row| i64::try_from(span(row) / day).map_err(|_| failure()))
        }
        _ => Err(EngineError::Unsupported(format!("{left_ty} - {right_ty} as {ty}"))),
    }
}

fn add_intervals(left: &Vector, right: &Vector, negative: bool, rows: usize) -> Result<Vector> {
    let (a, b) = (column::<IntervalMonthDayNano>(left)?, column::<IntervalMonthDayNano>(right)?);
    let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
    let op = if negative { ArithmeticOp::Subtract } else { ArithmeticOp::Add };
    fallible(rows, &LogicalType::Interval, nulls, |row| {
        let (a, b) = (a.get(row), b.get(row));
        let sum = match negative {
            false => a.months.checked_add(b.months).zip(a.days.checked_add(b.days)),
            true => a.months.checked_sub(b.months).zip(a.days.checked_sub(b.days)),
        };
        let nanos = match negative {
            false => a.nanoseconds.checked_add(b.nanoseconds),
            true => a.nanoseconds.checked_sub(b.nanoseconds),
        };
        sum.zip(nanos)
            .map(|((months, days), nanos)| IntervalMonthDayNano::new(months, days, nanos))
            .ok_or_else(|| out_of_range(op, &LogicalType::Interval, &LogicalType::Interval))
    })
}

fn scale(interval: &Vector, factor: &Vector, rows: usize) -> Result<Vector> {
    let factor_ty = factor.ty()?;
    let (a, b) = (column::<IntervalMonthDayNano>(interval)?, wide(factor)?);
    let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
    fallible(rows, &LogicalType::Interval, nulls, |row| {
        let (a, b) = (a.get(row), b.get(row));
        let months = i32::try_from(i128::from(a.months) * b);
        let days = i32::try_from(i128::from(a.days) * b);
        match (months, days, i64::try_from(i128::from(a.nanoseconds) * b)) {
            (Ok(months), Ok(days), Ok(nanos)) => Ok(IntervalMonthDayNano::new(months, days, nanos)),
            _ => Err(out_of_range(ArithmeticOp::Multiply, &LogicalType::Interval, &factor_ty)),
        }
    })
}

fn durations(
    left: &Vector,
    left_ty: &LogicalType,
    right: &Vector,
    right_ty: &LogicalType,
    negative: bool,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let (LogicalType::Timestamp(unit, _) | LogicalType::Duration(unit)) = ty else {
        return Err(EngineError::Unsupported(format!("{left_ty} and {right_ty} as {ty}")));
    };
    let op = if negative { ArithmeticOp::Subtract } else { ArithmeticOp::Add };
    let divisor = i128::from(1_000_000_000 / per_second(*unit));
    let (a, b) = (nanos(left, left_ty)?, nanos(right, right_ty)?);
    let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
    fallible(rows, ty, nulls, |row| {
        let sum = if negative { a.get(row) - b.get(row) } else { a.get(row) + b.get(row) };
        i64::try_from(sum.div_euclid(divisor)).map_err(|_| out_of_range(op, left_ty, right_ty))
    })
}

fn scaled_duration(left: &Vector, right: &Vector, rows: usize, ty: &LogicalType) -> Result<Vector> {
    let (left_ty, right_ty) = (left.ty()?, right.ty()?);
    let (a, b) = (wide(left)?, wide(right)?);
    let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
    fallible(rows, ty, nulls, |row| {
        let product = a.get(row).checked_mul(b.get(row));
        product
            .and_then(|product| i64::try_from(product).ok())
            .ok_or_else(|| out_of_range(ArithmeticOp::Multiply, &left_ty, &right_ty))
    })
}
